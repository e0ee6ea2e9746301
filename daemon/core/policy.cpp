// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/policy.hpp"

#include <algorithm>
#include <array>
#include <variant>

#include "core/datagram_policy.hpp"
#include "core/quote.hpp"

namespace impnetd {

namespace {

// What the base calls its own rules.
constexpr const char* root_rule = "root";
constexpr const char* group_rule = "group impnet";
constexpr const char* widen_rule = "widen";
constexpr const char* default_rule = "default";
constexpr const char* space_rule = "address space";
constexpr const char* subnet_rule = "subnet";
constexpr const char* destination_port_rule = "destination port";

/// Ordered: all conditions together fit as the worst of them does.
enum class Fit : std::uint8_t { no, unknown, yes };

template <typename Conditions, typename Known, typename Holds>
Fit fit(const Conditions& conditions, const std::optional<Known>& known, Holds holds) {
    if (conditions.empty()) return Fit::yes;
    if (!known) return Fit::unknown;
    const bool one_holds = std::any_of(conditions.begin(), conditions.end(),
                                       [&](const auto& value) { return holds(value, *known); });
    return one_holds ? Fit::yes : Fit::no;
}

constexpr auto is_same = [](const auto& value, const auto& known) { return value == known; };
constexpr auto contains = [](const auto& range, const auto& known) {
    return range.contains(known);
};
constexpr auto is_one_of = [](gid_t group, const std::vector<gid_t>& known) {
    return std::find(known.begin(), known.end(), group) != known.end();
};

/// '*' stands for any text, also none.
bool matches(std::string_view pattern, std::string_view text) {
    std::size_t p = 0;
    std::size_t t = 0;
    std::optional<std::size_t> star;  // behind the last one
    std::size_t resume = 0;           // what it stands for ends here
    while (t < text.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = ++p;
            resume = t;
        } else if (p < pattern.size() && pattern[p] == text[t]) {
            ++p;
            ++t;
        } else if (star) {
            p = *star;
            t = ++resume;
        } else {
            return false;
        }
    }
    return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

/// Who is in no unit is in none that a pattern could stand for.
constexpr auto is_unit = [](const std::string& pattern, const std::string& unit) {
    return !unit.empty() && matches(pattern, unit);
};

Fit fit_socket(const PolicyRule& rule, const PolicyQuery& query) {
    return std::min({fit(rule.users, query.uid, is_same), fit(rule.groups, query.groups, is_one_of),
                     fit(rule.units, query.unit, is_unit),
                     fit(rule.interfaces, query.interface, is_same),
                     fit(rule.ports, query.port, contains)});
}

Fit fit_destination(const PolicyRule& rule, const PolicyQuery& query) {
    return std::min(fit(rule.destinations, query.address, contains),
                    fit(rule.destination_ports, query.destination_port, contains));
}

PolicyQuery query_of(const Client& client, std::optional<Nii> interface) {
    PolicyQuery query;
    query.uid = client.uid;
    query.groups = client.groups;
    query.unit = client.unit;
    query.interface = interface;
    return query;
}

Decision decided_by(const PolicyRule& rule) {
    return {rule.allow, rule.name, (rule.allow ? "allowed at " : "denied at ") + rule.place};
}

/// Allowed unless a rule says no. A rule that allows and might fit is named if one that denies
/// follows it; else it makes no difference.
Decision judge_by_rules(const std::vector<PolicyRule>& rules, const PolicyQuery& query,
                        Decision otherwise) {
    const PolicyRule* exception = nullptr;
    for (const auto& rule : rules) {
        const auto fits = std::min(fit_socket(rule, query), fit_destination(rule, query));
        if (fits == Fit::yes)
            return decided_by(exception != nullptr && !rule.allow ? *exception : rule);
        if (fits == Fit::unknown && rule.allow && exception == nullptr) exception = &rule;
    }
    return otherwise;
}

/// The rules about destinations of those that fit a socket, as far as they can make a difference.
template <typename Fits>
SocketPolicy compile(const std::vector<PolicyRule>& rules, Fits fits) {
    SocketPolicy out;
    const auto any_network = std::vector<Ipv4Network>{{Ipv4(), 0}};
    const auto any_port = std::vector<PortRange>{{}};
    for (const auto& rule : rules) {
        if (!fits(rule)) continue;
        const bool last = !rule.is_about_destinations();
        if (last && rule.allow) {
            out.own_limit = rule.limit;
            break;
        }
        for (const auto& network : rule.destinations.empty() ? any_network : rule.destinations)
            for (const auto& port :
                 rule.destination_ports.empty() ? any_port : rule.destination_ports)
                out.destinations.push_back({network, port.first, port.last, rule.allow, rule.name});
        if (last) break;
    }
    // An exception to nothing.
    while (!out.destinations.empty() && out.destinations.back().allow) out.destinations.pop_back();
    return out;
}

std::optional<Decision> judge_address(const PolicyQuery& query, const Widening& widen) {
    if (!query.address) return std::nullopt;
    const auto address = *query.address;
    if (!is_local_space(address, widen.networks))
        return Decision{false, space_rule,
                        address.text() + " is neither private nor in a network of [widen]"};
    if (query.network && query.network->broadcast() && address == query.network->network())
        return Decision{false, space_rule, address.text() + " is the network's own address"};
    return std::nullopt;
}

/// What no rule says and happens all the same.
std::optional<Decision> judge_reach(const PolicyQuery& query) {
    if (query.destination_port && !is_allowed_destination(*query.destination_port))
        return Decision{false, destination_port_rule,
                        "nothing is sent to port " + std::to_string(*query.destination_port)};
    if (!query.address || !query.network) return std::nullopt;
    const auto address = *query.address;
    if (address == query.network->address)
        return Decision{false, subnet_rule, address.text() + " is the interface's own address"};
    if (!address.is_limited_broadcast() && !query.network->contains(address))
        return Decision{
            false, subnet_rule,
            address.text() + " is not on the interface's subnet, " + query.network->text()};
    return std::nullopt;
}

}  // namespace

std::string PortRange::text() const {
    if (first == last) return std::to_string(first);
    return std::to_string(first) + "-" + std::to_string(last);
}

std::size_t PolicyRule::destination_count() const {
    if (!is_about_destinations()) return allow ? 0 : 1;
    return std::max<std::size_t>(destinations.size(), 1) *
           std::max<std::size_t>(destination_ports.size(), 1);
}

std::string explain(const Decision& denial) {
    return "not allowed by the rule " + denial.rule + ": " + denial.reason;
}

bool is_reserved_rule_name(std::string_view name) {
    constexpr std::array<std::string_view, 7> reserved{
        root_rule,  group_rule,  widen_rule,           default_rule,
        space_rule, subnet_rule, destination_port_rule};
    return std::find(reserved.begin(), reserved.end(), name) != reserved.end();
}

// --- Policy -------------------------------------------------------------------------------------

Decision Policy::judge_client(const PolicyQuery& query) const {
    if (query.uid == uid_t{0}) return {true, root_rule, "root may open interfaces"};
    const std::vector<gid_t> impnet =
        impnet_group ? std::vector<gid_t>{*impnet_group} : std::vector<gid_t>{};
    if (!impnet.empty() && fit(impnet, query.groups, is_one_of) == Fit::yes)
        return {true, group_rule, "members of the group impnet may open interfaces"};
    const auto named = [](const char* what) {
        return Decision{true, widen_rule, std::string(what) + " is one that [widen] names"};
    };
    if (!widen.users.empty() && fit(widen.users, query.uid, is_same) == Fit::yes)
        return named("the user");
    if (!widen.groups.empty() && fit(widen.groups, query.groups, is_one_of) == Fit::yes)
        return named("a group of the user");
    if (!widen.units.empty() && fit(widen.units, query.unit, is_unit) == Fit::yes)
        return named("the unit");
    if (!query.uid)
        return {true, default_rule, "if it is one who may open interfaces: root, for example"};
    if (!query.groups && !(impnet.empty() && widen.groups.empty()))
        return {true, default_rule, "if the user is in a group that may open interfaces"};
    if (!query.unit && !widen.units.empty())
        return {true, widen_rule, "if the unit is one that [widen] names"};
    return {false, default_rule,
            "only root, members of the group impnet and whom [widen] names may open interfaces"};
}

Decision Policy::check(const PolicyQuery& query) const {
    auto decision = judge_client(query);
    if (!decision.allowed) return decision;
    if (auto denied = judge_address(query, widen)) return *std::move(denied);
    decision = judge_by_rules(rules, query, std::move(decision));
    if (!decision.allowed) return decision;
    if (auto denied = judge_reach(query)) return *std::move(denied);
    return decision;
}

Decision Policy::may_open(const Client& client, std::optional<Nii> interface) const {
    return check(query_of(client, interface));
}

tl::expected<SocketPolicy, Decision> Policy::open_socket(const Client& client, Nii interface,
                                                         std::uint16_t port) const {
    auto query = query_of(client, interface);
    query.port = port;
    if (auto decision = check(query); !decision.allowed)
        return tl::unexpected<Decision>(std::move(decision));
    auto policy =
        compile(rules, [&](const PolicyRule& rule) { return fit_socket(rule, query) == Fit::yes; });
    if (policy.destinations.size() > SocketPolicy::max_destinations)
        return tl::unexpected<Decision>(
            {false, policy.destinations[SocketPolicy::max_destinations].rule,
             "the rules for this socket name more than " +
                 std::to_string(SocketPolicy::max_destinations) + " destinations"});
    return policy;
}

const PolicyRule* Policy::one_too_many() const {
    const auto policy = compile(rules, [](const PolicyRule& rule) {
        return fit_socket(rule, {}) == Fit::yes;  // for everybody
    });
    if (policy.destinations.size() <= SocketPolicy::max_destinations) return nullptr;
    const auto& name = policy.destinations[SocketPolicy::max_destinations].rule;
    const auto found = std::find_if(rules.begin(), rules.end(),
                                    [&](const PolicyRule& rule) { return rule.name == name; });
    return &*found;
}

// --- The query of Policy.Check ------------------------------------------------------------------

namespace {

tl::unexpected<Error> refuse(const std::string& key, const char* why) {
    return fail(ErrorCode::invalid_argument, key + ": " + why);
}

template <typename Number>
Result<> read_number(const std::string& key, const Value& value, std::int64_t most, const char* why,
                     std::optional<Number>& place) {
    const auto* number = std::get_if<std::int64_t>(&value.content);
    if (number == nullptr || *number < 0 || *number > most) return refuse(key, why);
    place = static_cast<Number>(*number);
    return {};
}

Result<> read_query_key(PolicyQuery& query, const std::string& key, const Value& value) {
    constexpr const char* no_port = "not 0 to 65535";
    if (key == "uid")
        return read_number(key, value, std::int64_t{UINT32_MAX} - 1, "not the number of a user",
                           query.uid);
    if (key == "port") return read_number(key, value, 65535, no_port, query.port);
    if (key == "destination_port")
        return read_number(key, value, 65535, no_port, query.destination_port);
    const auto* text = std::get_if<std::string>(&value.content);
    if (key == "unit") {
        if (text == nullptr) return refuse(key, "not a string");
        query.unit = *text;
    } else if (key == "interface") {
        query.interface = text == nullptr ? std::nullopt : Nii::resolve(*text);
        if (!query.interface) return refuse(key, "not an interface, like \"eth0\"");
    } else if (key == "address") {
        query.address = text == nullptr ? std::nullopt : Ipv4::parse(*text);
        if (!query.address) return refuse(key, "not a dotted quad");
    } else {
        return refuse(shortened(key), "unknown key");
    }
    return {};
}

}  // namespace

Result<PolicyQuery> parse_policy_query(const Dict& dict) {
    PolicyQuery query;
    for (const auto& [key, value] : dict)
        if (auto done = read_query_key(query, key, value); !done)
            return tl::unexpected<Error>(std::move(done.error()));
    return query;
}

}  // namespace impnetd
