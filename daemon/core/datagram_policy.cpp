// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/datagram_policy.hpp"

#include <algorithm>

namespace impnetd {

namespace {

/// The first rule that fits, if it denies; null: the datagram may go.
const DestinationRule* denying_rule(std::span<const DestinationRule> rules, Ipv4 to,
                                    std::uint16_t port) {
    const auto found = std::find_if(rules.begin(), rules.end(), [&](const DestinationRule& rule) {
        return rule.fits(to, port);
    });
    return found == rules.end() || found->allow ? nullptr : &*found;
}

bool is_forbidden(const EgressRules& rules, Ipv4 to) {
    if (!is_local_space(to, rules.extra_networks)) return true;
    // A subnet that has a broadcast address has an all-zero address, too.
    return rules.network && rules.network->broadcast() && to == rules.network->network();
}

}  // namespace

bool is_local_space(Ipv4 address, std::span<const Ipv4Network> extra_networks) {
    return address.is_private() || address.is_limited_broadcast() ||
           std::any_of(extra_networks.begin(), extra_networks.end(),
                       [&](const Ipv4Network& network) { return network.contains(address); });
}

EgressVerdict judge_egress(const EgressRules& rules, Ipv4 to, std::uint16_t port,
                           std::size_t size) {
    // The address comes first: a program that aims outside loses its socket whatever else is wrong.
    if (is_forbidden(rules, to)) return EgressVerdict::forbidden_address;
    if (denying_rule(rules.destinations, to, port) != nullptr) return EgressVerdict::denied_by_rule;
    if (!is_allowed_destination(port)) return EgressVerdict::forbidden_port;
    if (size > max_payload) return EgressVerdict::too_large;
    const auto& network = rules.network;
    if (!network || to == network->address) return EgressVerdict::not_connected;
    if (!to.is_limited_broadcast() && !network->contains(to)) return EgressVerdict::not_connected;
    return EgressVerdict::pass;
}

std::string reason_of_denial(const EgressRules& rules, Ipv4 to, std::uint16_t port) {
    const auto* rule =
        is_forbidden(rules, to) ? nullptr : denying_rule(rules.destinations, to, port);
    if (rule == nullptr) return "address " + to.text() + " is not allowed";
    return "address " + to.text() + " with port " + std::to_string(port) +
           " is not allowed by the rule " + rule->rule;
}

bool admits_ingress(const std::optional<Ipv4Network>& network, Ipv4 from, Ipv4 to) {
    if (!network || !network->contains(from) || from == network->address) return false;
    // No host has these addresses. A forged sender must not make a program that answers it send a
    // broadcast, or lose its socket for aiming at a forbidden address.
    if (from == network->broadcast()) return false;
    if (network->broadcast() && from == network->network()) return false;
    return to == network->address || to == network->broadcast() || to.is_limited_broadcast();
}

bool admits_ingress(const EgressRules& rules, Ipv4 from, std::uint16_t from_port, Ipv4 to) {
    return admits_ingress(rules.network, from, to) &&
           denying_rule(rules.destinations, from, from_port) == nullptr;
}

}  // namespace impnetd
