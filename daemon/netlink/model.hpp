// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the daemon believes about devices, addresses and default routes: values, changed by one
// message at a time or exchanged whole after a loss, each time with the list of what differs. No
// I/O, so every rule of it is shown by unit tests.
//
// The kernel does not tell everything. A default route that goes because its device went down, or
// because the last address did, or its preferred source, or its nexthop object, goes without a
// message. The model therefore follows the kernel's own rules for these; reading the table again at
// such a moment would be a race, for the message comes before the deed.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/ipv4.hpp"
#include "core/link.hpp"
#include "netlink/message.hpp"

namespace impnetd::netlink {

/// What is told to the observer; the values are in the model.
struct Change {
    enum class What : std::uint8_t { link, removed, addresses };

    What what = What::link;
    int ifindex = 0;

    friend bool operator==(const Change&, const Change&) = default;
};

using Changes = std::vector<Change>;

class Model {
  public:
    /// Takes in one message and appends what it changed.
    void apply(const Message& message, Changes& changes);
    /// Becomes `fresh`, and appends the difference: removed devices first, then by rising ifindex.
    void become(Model fresh, Changes& changes);

    /// nullptr: there is none. The pointer holds until the model changes.
    const Link* link(int ifindex) const;
    std::vector<Link> links() const;
    std::vector<LinkAddress> addresses(int ifindex) const;
    std::optional<Ipv4> gateway(int ifindex) const;

    friend bool operator==(const Model&, const Model&) = default;

  private:
    struct Device {
        Link link;
        std::vector<Address> addresses;  // in the kernel's order
        std::optional<Ipv4> gateway;     // follows from routes_; kept to see when it differs

        friend bool operator==(const Device&, const Device&) = default;
    };
    using Devices = std::vector<Device>;

    void take(const LinkSeen& message, Changes& changes);
    void take(const LinkGone& message, Changes& changes);
    void take(const AddressSeen& message, Changes& changes);
    void take(const AddressGone& message, Changes& changes);
    void take(const RouteSeen& message, Changes& changes);
    void take(const RouteGone& message, Changes& changes);
    void take(const NextHopGone& message, Changes& changes);

    const Device* find(int ifindex) const;
    Device* find(int ifindex);
    Devices::iterator place_of(int ifindex);
    void set_hops_dead(int ifindex, bool dead);
    bool holds_address(Ipv4 address) const;
    std::optional<Ipv4> gateway_by_routes(int ifindex) const;
    void settle_gateways(Changes& changes);

    Devices devices_;                   // by rising ifindex
    std::vector<DefaultRoute> routes_;  // by rising metric, equal ones in the kernel's order
};

}  // namespace impnetd::netlink
