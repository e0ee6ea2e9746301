// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the policy says of one socket, as a data path needs it: made from the rules that fit its
// client, its interface and its port.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/ipv4.hpp"
#include "core/rate_limit.hpp"

namespace impnetd {

/// A rule about where datagrams may go. It only narrows what every socket may do.
struct DestinationRule {
    Ipv4Network network{Ipv4(), 0};  ///< its address is the network's own; prefix 0: any
    std::uint16_t first_port = 0;
    std::uint16_t last_port = 65535;
    bool allow = false;
    std::string rule;  ///< its name

    bool fits(Ipv4 to, std::uint16_t port) const {
        return network.contains(to) && first_port <= port && port <= last_port;
    }

    friend bool operator==(const DestinationRule&, const DestinationRule&) = default;
};

struct SocketPolicy {
    static constexpr std::size_t max_destinations = 16;

    /// The first that fits decides; where none does, the datagram may go.
    std::vector<DestinationRule> destinations;
    /// Under the limit that all share.
    std::optional<RateLimit> own_limit;

    friend bool operator==(const SocketPolicy&, const SocketPolicy&) = default;
};

}  // namespace impnetd
