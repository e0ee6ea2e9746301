// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the kernel says over rtnetlink, from bytes to values. Nothing here does I/O or remembers
// anything, and no byte is trusted: what is cut short, foreign or not about us decodes to nothing.
//
//     MessageReader reader(datagram);
//     while (const nlmsghdr* header = reader.next())
//         if (const auto message = decode(*header)) ...
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include <linux/netlink.h>

#include "core/ipv4.hpp"
#include "core/link.hpp"

namespace impnetd::netlink {

/// A device is there, new or changed (RTM_NEWLINK).
struct LinkSeen {
    Link link;

    friend bool operator==(const LinkSeen&, const LinkSeen&) = default;
};

/// A device is gone: deleted, or moved to another namespace (RTM_DELLINK).
struct LinkGone {
    int ifindex = 0;

    friend bool operator==(const LinkGone&, const LinkGone&) = default;
};

/// An IPv4 address with what the kernel tells it apart and orders it by.
struct Address {
    LinkAddress address;
    Ipv4 peer;               ///< IFA_ADDRESS: its own unless the link is point-to-point
    std::uint8_t scope = 0;  ///< RT_SCOPE_…

    friend bool operator==(const Address&, const Address&) = default;
};

struct AddressSeen {
    Address address;

    friend bool operator==(const AddressSeen&, const AddressSeen&) = default;
};

struct AddressGone {
    Address address;

    friend bool operator==(const AddressGone&, const AddressGone&) = default;
};

/// One way out of a route.
struct NextHop {
    int ifindex = 0;
    std::optional<Ipv4> gateway;
    /// Its device is down; it serves again when the device does. No part of the route's identity.
    bool dead = false;

    friend bool operator==(const NextHop& a, const NextHop& b) {
        return a.ifindex == b.ifindex && a.gateway == b.gateway;
    }
};

/// An IPv4 default route of the main table.
struct DefaultRoute {
    std::uint32_t metric = 0;
    std::uint8_t type = 0;         ///< RTN_UNICAST, or RTN_UNREACHABLE and the like without hops
    std::uint8_t protocol = 0;     ///< RTPROT_…
    std::optional<Ipv4> source;    ///< preferred source address
    std::uint32_t nexthop_id = 0;  ///< of a nexthop object; 0: none
    std::vector<NextHop> hops;

    friend bool operator==(const DefaultRoute&, const DefaultRoute&) = default;
};

struct RouteSeen {
    /// Where among the routes of equal metric the kernel put it.
    enum class Place : std::uint8_t { front, back, instead_of_front };

    DefaultRoute route;
    Place place = Place::back;

    friend bool operator==(const RouteSeen&, const RouteSeen&) = default;
};

struct RouteGone {
    DefaultRoute route;

    friend bool operator==(const RouteGone&, const RouteGone&) = default;
};

/// A nexthop object was deleted; the routes that use it go without a word.
struct NextHopGone {
    std::uint32_t id = 0;

    friend bool operator==(const NextHopGone&, const NextHopGone&) = default;
};

using Message =
    std::variant<LinkSeen, LinkGone, AddressSeen, AddressGone, RouteSeen, RouteGone, NextHopGone>;

/// The answer to a request, or the end of a dump.
struct Answer {
    std::uint32_t sequence = 0;
    int error = 0;       ///< an errno; 0: done
    std::string detail;  ///< the kernel's own words, often none

    friend bool operator==(const Answer&, const Answer&) = default;
};

/// Walks the messages of one datagram, which must be aligned as an nlmsghdr and outlive the reader.
class MessageReader {
  public:
    explicit MessageReader(std::span<const std::byte> datagram);

    /// The next message, whole; nullptr at the end, or where the rest makes no sense.
    const nlmsghdr* next();

  private:
    const nlmsghdr* at_;
    int left_;
};

/// Nothing: the message says nothing that we follow, or is malformed.
std::optional<Message> decode(const nlmsghdr& header);
/// NLMSG_ERROR and NLMSG_DONE.
std::optional<Answer> decode_answer(const nlmsghdr& header);
/// RTM_NEWLINK with IFLA_AF_SPEC, as it answers a question about one device.
std::optional<LinkSettings> decode_settings(const nlmsghdr& header);
/// RTM_NEWSTATS with IFLA_STATS_LINK_64.
std::optional<LinkCounters> decode_counters(const nlmsghdr& header);

}  // namespace impnetd::netlink
