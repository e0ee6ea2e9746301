// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The input is a list of messages, each a byte for its kind and then its values, a byte each. There
// are few devices, addresses and metrics, so that messages meet.
#include <array>
#include <optional>
#include <string>

#include <linux/rtnetlink.h>

#include "fuzz/input.hpp"
#include "fuzz/targets.hpp"
#include "fuzz/told_model.hpp"
#include "netlink/message.hpp"

namespace fuzz {

namespace {

namespace netlink = impnetd::netlink;
using impnetd::Ipv4;

/// Enough to meet, and few enough to be tried often.
constexpr int most_steps = 100;

int read_ifindex(Input& in) {
    return 1 + static_cast<int>(in.upto(3));
}

Ipv4 read_ipv4(Input& in) {
    constexpr std::array addresses{Ipv4(10, 0, 0, 1), Ipv4(10, 0, 0, 2), Ipv4(10, 0, 1, 1),
                                   Ipv4(192, 168, 0, 1)};
    return addresses.at(in.upto(addresses.size() - 1));
}

std::optional<Ipv4> read_optional_ipv4(Input& in) {
    if (in.flag()) return std::nullopt;
    return read_ipv4(in);
}

impnetd::Link read_link(Input& in) {
    impnetd::Link link;
    link.ifindex = read_ifindex(in);
    link.name = "eth" + std::to_string(in.upto(3));
    link.up = in.flag();
    link.carrier = in.flag();
    link.carrier_losses = in.byte();
    return link;
}

netlink::Address read_address(Input& in) {
    constexpr std::array<std::uint8_t, 4> prefixes{8, 24, 31, 32};
    netlink::Address address;
    address.address.ifindex = read_ifindex(in);
    address.address.network = {read_ipv4(in), prefixes.at(in.upto(prefixes.size() - 1))};
    address.address.broadcast = read_optional_ipv4(in);
    address.address.secondary = in.flag();
    address.peer = read_optional_ipv4(in).value_or(address.address.network.address);
    address.scope = in.flag() ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    return address;
}

netlink::DefaultRoute read_route(Input& in) {
    netlink::DefaultRoute route;
    route.metric = in.upto(2);
    route.type = in.flag() ? RTN_UNREACHABLE : RTN_UNICAST;
    route.source = read_optional_ipv4(in);
    route.nexthop_id = in.upto(2);
    for (auto left = in.upto(3); left > 0; --left)
        route.hops.push_back({read_ifindex(in), read_optional_ipv4(in), in.flag()});
    return route;
}

netlink::Message read_message(Input& in) {
    using Place = netlink::RouteSeen::Place;
    constexpr std::array places{Place::front, Place::back, Place::instead_of_front};
    switch (in.upto(6)) {
        case 0:
            return netlink::LinkSeen{read_link(in)};
        case 1:
            return netlink::LinkGone{read_ifindex(in)};
        case 2:
            return netlink::AddressSeen{read_address(in)};
        case 3:
            return netlink::AddressGone{read_address(in)};
        case 4: {
            const auto place = places.at(in.upto(places.size() - 1));
            return netlink::RouteSeen{read_route(in), place};
        }
        case 5:
            return netlink::RouteGone{read_route(in)};
        default:
            return netlink::NextHopGone{in.upto(2)};
    }
}

}  // namespace

void netlink_model(Bytes input) {
    Input in(input);
    // What one of them was told, the other may have missed, until it becomes the same.
    std::array<ToldModel, 2> models;
    for (int step = 0; step < most_steps && !in.empty(); ++step) {
        switch (in.upto(3)) {
            case 0:
                models[0].become(models[1]);
                break;
            case 1:
                models[1].apply(read_message(in));
                break;
            default: {
                const auto message = read_message(in);
                for (auto& model : models) model.apply(message);
            }
        }
    }
}

}  // namespace fuzz
