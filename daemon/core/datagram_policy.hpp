// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Which datagrams may leave and arrive: the table of `Send` and the rule of what is delivered, as
// pure functions. Both data paths answer as these do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/ipv4.hpp"

namespace impnetd {

/// The most a UDP datagram over IPv4 can carry: 65535 - 20 - 8.
inline constexpr std::size_t max_payload = 65507;

enum class EgressVerdict : std::uint8_t {
    pass,
    not_connected,      ///< no address, off the subnet, or our own address: result 1
    forbidden_address,  ///< AddressNotAllowed, and the socket is closed
    forbidden_port,     ///< InvalidArgument; the socket stays open
    too_large,          ///< TooLarge; the socket stays open
};

/// `network`: the interface's address and subnet while it is connected.
EgressVerdict judge_egress(const std::optional<Ipv4Network>& network, Ipv4 to, std::uint16_t port,
                           std::size_t size);

/// Only from hosts of the interface's subnet, never from ourselves; only to our own address, the
/// subnet's broadcast address or 255.255.255.255.
bool admits_ingress(const std::optional<Ipv4Network>& network, Ipv4 from, Ipv4 to);

}  // namespace impnetd
