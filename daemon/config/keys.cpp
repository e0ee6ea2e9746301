// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/keys.hpp"

#include <array>
#include <cstdint>
#include <set>
#include <string_view>

namespace impnetd {

namespace {

enum class From : std::uint8_t { reload, start };

struct SettingKey {
    std::string_view name;
    From from;
    bool (*same)(const Configuration& a, const Configuration& b);
    void (*take)(Configuration& to, const Configuration& from);
};

template <auto table, auto member>
constexpr SettingKey setting(std::string_view name, From from) {
    return {name, from,
            [](const Configuration& a, const Configuration& b) {
                return a.*table.*member == b.*table.*member;
            },
            [](Configuration& to, const Configuration& other) {
                to.*table.*member = other.*table.*member;
            }};
}

using C = Configuration;

// Sockets that are open have their path and their TTL.
constexpr std::array setting_keys{
    setting<&C::timeouts, &C::Timeouts::attempt>("timeouts.attempt", From::reload),
    setting<&C::timeouts, &C::Timeouts::linger>("timeouts.linger", From::reload),
    setting<&C::limiter, &RateLimit::burst>("limiter.burst", From::reload),
    setting<&C::limiter, &RateLimit::rate>("limiter.rate", From::reload),
    setting<&C::datapath, &C::Datapath::path>("datapath.path", From::start),
    setting<&C::datapath, &C::Datapath::ttl>("datapath.ttl", From::start),
    setting<&C::limits, &C::Limits::sessions_per_uid>("limits.sessions-per-uid", From::reload),
    setting<&C::limits, &C::Limits::sockets_per_uid>("limits.sockets-per-uid", From::reload),
    setting<&C::limits, &C::Limits::calls_per_uid>("limits.calls-per-uid", From::reload),
};

struct RuleKey {
    std::string_view name;
    bool (*same)(const InterfaceRule& a, const InterfaceRule& b);
};

template <auto member>
constexpr RuleKey rule(std::string_view name) {
    return {name,
            [](const InterfaceRule& a, const InterfaceRule& b) { return a.*member == b.*member; }};
}

constexpr std::array rule_keys{
    rule<&InterfaceRule::device>("device"),       rule<&InterfaceRule::mac>("mac"),
    rule<&InterfaceRule::path>("path"),           rule<&InterfaceRule::managed>("managed"),
    rule<&InterfaceRule::always_on>("always-on"), rule<&InterfaceRule::down_on_stop>("on-stop"),
    rule<&InterfaceRule::kernel_ipv6>("ipv6"),
};

/// An NII's rule; without one, the defaults.
InterfaceRule rule_of(const Configuration& config, Nii nii) {
    for (const auto& rule : config.interfaces)
        if (rule.nii == nii) return rule;
    InterfaceRule none;
    none.nii = nii;
    return none;
}

}  // namespace

std::vector<std::string> differing_keys(const Configuration& present, const Configuration& next) {
    std::vector<std::string> out;
    std::set<Nii> niis;
    for (const auto* config : {&present, &next})
        for (const auto& rule : config->interfaces) niis.insert(rule.nii);
    for (const auto nii : niis) {
        const auto before = rule_of(present, nii);
        const auto after = rule_of(next, nii);
        for (const auto& key : rule_keys)
            if (!key.same(before, after))
                out.push_back("interfaces." + nii.text() + "." + std::string(key.name));
    }
    for (const auto& key : setting_keys)
        if (!key.same(present, next)) out.emplace_back(key.name);
    return out;
}

Configuration without_restart(Configuration next, const Configuration& present) {
    for (const auto& key : setting_keys)
        if (key.from == From::start) key.take(next, present);
    return next;
}

}  // namespace impnetd
