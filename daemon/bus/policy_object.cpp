// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/policy_object.hpp"

#include <algorithm>
#include <iterator>
#include <memory>
#include <tuple>
#include <utility>

#include "bus/path.hpp"
#include "bus/reply.hpp"

namespace impnetd::bus {

namespace {

template <typename Value>
std::vector<std::string> texts(const std::vector<Value>& values) {
    std::vector<std::string> out;
    std::transform(values.begin(), values.end(), std::back_inserter(out),
                   [](const Value& value) { return value.text(); });
    return out;
}

/// A condition that there is.
template <typename Value>
void add(VariantMap& map, const char* key, const std::vector<Value>& values) {
    if (!values.empty()) map.emplace(key, values);
}

VariantMap describe(const Widening& widen) {
    VariantMap out{{"name", std::string("widen")}};
    add(out, "networks", texts(widen.networks));
    add(out, "user", widen.users);
    add(out, "group", widen.groups);
    add(out, "unit", widen.units);
    return out;
}

VariantMap describe(const PolicyRule& rule) {
    VariantMap out{{"name", rule.name},
                   {"action", std::string(rule.allow ? "allow" : "deny")},
                   {"place", rule.place}};
    add(out, "user", rule.users);
    add(out, "group", rule.groups);
    add(out, "unit", rule.units);
    add(out, "interface", texts(rule.interfaces));
    add(out, "port", texts(rule.ports));
    add(out, "destination", texts(rule.destinations));
    add(out, "destination-port", texts(rule.destination_ports));
    if (rule.limit) {
        out.emplace("burst", rule.limit->burst);
        out.emplace("rate", rule.limit->rate);
    }
    return out;
}

VariantMap describe(const impnetd::Sessions::Usage& usage) {
    return {{"uid", std::uint32_t{usage.client.uid}},
            {"pid", static_cast<std::uint32_t>(usage.client.pid)},
            {"unit", usage.client.unit},
            {"sockets", std::uint32_t{usage.sockets}},
            {"sent", usage.sent},
            {"limited", usage.limited},
            {"share", usage.share}};
}

}  // namespace

PolicyObject::PolicyObject(Loop& loop, sdbus::IConnection& connection, const Interfaces& interfaces,
                           const impnetd::Sessions& sessions)
    : AdaptorInterfaces(connection, policy_path),
      interfaces_(interfaces),
      sessions_(sessions),
      announced_(sessions.policy()),
      membership_(loop) {
    registerAdaptor();
}

PolicyObject::~PolicyObject() {
    unregisterAdaptor();
}

void PolicyObject::announce_added() {
    getObject().emitInterfacesAddedSignal({INTERFACE_NAME});
}

void PolicyObject::refresh() {
    const auto& now = sessions_.policy();
    const Policy old = std::exchange(announced_, now);
    std::vector<std::string> changed;
    const auto compare = [&](const char* property, bool same) {
        if (!same) changed.emplace_back(property);
    };
    compare("Burst", old.limit.burst == now.limit.burst);
    compare("Rate", old.limit.rate == now.limit.rate);
    compare("Rules", old.rules == now.rules && old.widen == now.widen);
    if (!changed.empty()) getObject().emitPropertiesChangedSignal(INTERFACE_NAME, changed);
}

void PolicyObject::add_network(PolicyQuery& query) const {
    if (!query.interface) return;
    const auto interface = interfaces_.find(query.interface->text());
    if (interface && (*interface)->ip_table()) query.network = (*interface)->ip_table()->network;
}

void PolicyObject::answer(const CheckResult& result, PolicyQuery query) const {
    reply(result, [&]() -> Result<std::tuple<bool, std::string, std::string>> {
        add_network(query);
        const auto decision = sessions_.policy().check(query);
        return std::tuple(decision.allowed, decision.rule, decision.reason);
    });
}

void PolicyObject::Check(CheckResult&& result, Arguments query) {
    auto parsed = query.dict.and_then(parse_policy_query);
    if (!parsed) return refuse(result, to_bus(parsed.error()));
    if (!parsed->uid) return answer(result, *std::move(parsed));
    const auto own = std::make_shared<CheckResult>(std::move(result));
    const auto asked =
        membership_.ask(*parsed->uid, [this, own, known = *parsed](std::vector<gid_t> groups) {
            auto full = known;
            full.groups = std::move(groups);
            answer(*own, std::move(full));
        });
    if (!asked) refuse(*own, to_bus(asked.error()));
}

void PolicyObject::GetUsage(sdbus::Result<std::vector<VariantMap>>&& result) {
    reply(result, [&]() -> Result<std::vector<VariantMap>> {
        std::vector<VariantMap> out;
        for (const auto& [client, usage] : sessions_.usage()) out.push_back(describe(usage));
        return out;
    });
}

std::vector<VariantMap> PolicyObject::Rules() {
    const auto& policy = sessions_.policy();
    std::vector<VariantMap> out;
    if (!policy.widen.empty()) out.push_back(describe(policy.widen));
    for (const auto& rule : policy.rules) out.push_back(describe(rule));
    return out;
}

}  // namespace impnetd::bus
