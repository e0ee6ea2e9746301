// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Which datagrams may leave and arrive: the table of `Send` and the rule of what is delivered, as
// pure functions. Both data paths answer as these do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "core/ipv4.hpp"
#include "core/socket_policy.hpp"

namespace impnetd {

/// The most a UDP datagram over IPv4 can carry: 65535 - 20 - 8.
inline constexpr std::size_t max_payload = 65507;

enum class EgressVerdict : std::uint8_t {
    pass,
    not_connected,      ///< no address, off the subnet, or our own address: result 1
    forbidden_address,  ///< AddressNotAllowed, and the socket is closed
    denied_by_rule,     ///< the same, by a rule of the policy
    forbidden_port,     ///< InvalidArgument; the socket stays open
    too_large,          ///< TooLarge; the socket stays open
};

/// What a datagram that leaves is judged by.
struct EgressRules {
    /// The interface's address and subnet while it is connected.
    std::optional<Ipv4Network> network;
    /// Local address space beside RFC 1918's.
    std::span<const Ipv4Network> extra_networks = {};
    /// Those of the socket's policy.
    std::span<const DestinationRule> destinations = {};
};

EgressVerdict judge_egress(const EgressRules& rules, Ipv4 to, std::uint16_t port, std::size_t size);

/// Why a datagram with the verdict forbidden_address or denied_by_rule ended its socket: the reason
/// that is told and logged.
std::string reason_of_denial(const EgressRules& rules, Ipv4 to, std::uint16_t port);

/// A private address, or in one of the networks, or 255.255.255.255: on some subnet it may be sent
/// to.
bool is_local_space(Ipv4 address, std::span<const Ipv4Network> extra_networks);

/// 67 and 68 are DHCP's: a client must not play server or disturb the daemon's own leases.
constexpr bool is_allowed_destination(std::uint16_t port) {
    return port != 0 && port != 67 && port != 68;
}

/// Only from hosts of the interface's subnet, never from ourselves; only to our own address, the
/// subnet's broadcast address or 255.255.255.255.
bool admits_ingress(const std::optional<Ipv4Network>& network, Ipv4 from, Ipv4 to);

/// The same, and not from where a rule would not let the socket answer: whoever is there, or claims
/// to be, could make it lose its socket.
bool admits_ingress(const EgressRules& rules, Ipv4 from, std::uint16_t from_port, Ipv4 to);

}  // namespace impnetd
