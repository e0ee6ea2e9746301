// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/datagram_policy.hpp"

namespace impnetd {

EgressVerdict judge_egress(const std::optional<Ipv4Network>& network, Ipv4 to, std::uint16_t port,
                           std::size_t size) {
    // The address comes first: a program that aims outside loses its socket whatever else is wrong.
    if (!to.is_private() && !to.is_limited_broadcast()) return EgressVerdict::forbidden_address;
    // A subnet that has a broadcast address has an all-zero address, too.
    if (network && network->broadcast() && to == network->network()) {
        return EgressVerdict::forbidden_address;
    }
    // 67 and 68 are DHCP's: a client must not play server or disturb the daemon's own leases.
    if (port == 0 || port == 67 || port == 68) return EgressVerdict::forbidden_port;
    if (size > max_payload) return EgressVerdict::too_large;
    if (!network || to == network->address) return EgressVerdict::not_connected;
    if (!to.is_limited_broadcast() && !network->contains(to)) return EgressVerdict::not_connected;
    return EgressVerdict::pass;
}

bool admits_ingress(const std::optional<Ipv4Network>& network, Ipv4 from, Ipv4 to) {
    if (!network || !network->contains(from) || from == network->address) return false;
    // No host has these addresses. A forged sender must not make a program that answers it send a
    // broadcast, or lose its socket for aiming at a forbidden address.
    if (from == network->broadcast()) return false;
    if (network->broadcast() && from == network->network()) return false;
    return to == network->address || to == network->broadcast() || to.is_limited_broadcast();
}

}  // namespace impnetd
