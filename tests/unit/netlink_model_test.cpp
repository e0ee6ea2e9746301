// SPDX-License-Identifier: LGPL-2.1-or-later
#include <initializer_list>
#include <optional>
#include <ostream>
#include <vector>

#include <catch2/catch.hpp>
#include <linux/rtnetlink.h>

#include "netlink/model.hpp"

namespace impnetd::netlink {

std::ostream& operator<<(std::ostream& out, const Change& change) {
    static constexpr const char* names[] = {"link ", "removed ", "addresses "};
    return out << names[static_cast<int>(change.what)] << change.ifindex;
}

}  // namespace impnetd::netlink

namespace {

using namespace impnetd;
using namespace impnetd::netlink;

Change link(int ifindex) {
    return {Change::What::link, ifindex};
}
Change removed(int ifindex) {
    return {Change::What::removed, ifindex};
}
Change addresses(int ifindex) {
    return {Change::What::addresses, ifindex};
}

Link ether(int ifindex, bool up = true) {
    Link out;
    out.ifindex = ifindex;
    out.name = "eth" + std::to_string(ifindex);
    out.ethernet = true;
    out.up = up;
    out.carrier = up;
    return out;
}

Address held(int ifindex, Ipv4 address, bool secondary = false,
             std::uint8_t scope = RT_SCOPE_UNIVERSE) {
    return {{ifindex, {address, 24}, std::nullopt, secondary}, address, scope};
}

DefaultRoute route(std::vector<NextHop> hops, std::uint32_t metric = 0) {
    DefaultRoute out;
    out.metric = metric;
    out.type = RTN_UNICAST;
    out.hops = std::move(hops);
    return out;
}
DefaultRoute via(int ifindex, Ipv4 gateway, std::uint32_t metric = 0) {
    return route({{ifindex, gateway, false}}, metric);
}
RouteSeen seen(const DefaultRoute& route, RouteSeen::Place place = RouteSeen::Place::front) {
    return {route, place};
}

constexpr Ipv4 host_a(10, 0, 0, 5);
constexpr Ipv4 host_b(10, 0, 0, 6);
constexpr Ipv4 host_c(10, 1, 0, 5);
constexpr Ipv4 router_a(10, 0, 0, 1);
constexpr Ipv4 router_b(10, 0, 0, 2);
constexpr Ipv4 router_c(10, 0, 0, 3);

/// A model that remembers what it said of the last messages.
struct Told {
    Model model;

    Changes operator()(std::initializer_list<Message> messages) {
        Changes changes;
        for (const auto& message : messages) model.apply(message, changes);
        return changes;
    }
    std::vector<Ipv4> held_by(int ifindex) const {
        std::vector<Ipv4> out;
        for (const auto& address : model.addresses(ifindex)) out.push_back(address.network.address);
        return out;
    }
};

/// Device 2 is on with an address, and so is device 3.
Told two_devices() {
    Told told;
    told({LinkSeen{ether(2)}, LinkSeen{ether(3)}, AddressSeen{held(2, host_a)},
          AddressSeen{held(3, host_c)}});
    return told;
}

}  // namespace

TEST_CASE("a new device is told, the same words again are not", "[netlink]") {
    Told told;
    CHECK(told({LinkSeen{ether(2)}}) == Changes{link(2)});
    CHECK(told({LinkSeen{ether(2)}}).empty());
    CHECK(told.model.links() == std::vector{ether(2)});
}

TEST_CASE("each step of a cable's way out and in is told", "[netlink]") {
    Told told;
    told({LinkSeen{ether(2)}});
    Link pulled = ether(2);
    pulled.carrier = false;
    CHECK(told({LinkSeen{pulled}, LinkSeen{ether(2)}, LinkSeen{pulled}}) ==
          Changes{link(2), link(2), link(2)});
    CHECK(*told.model.link(2) == pulled);
}

TEST_CASE("a renamed device stays the device it is", "[netlink]") {
    Told told = two_devices();
    Link renamed = ether(2);
    renamed.name = "lan0";
    CHECK(told({LinkSeen{renamed}}) == Changes{link(2)});
    CHECK(told.model.link(2)->name == "lan0");
    CHECK(told.held_by(2) == std::vector{host_a});
}

TEST_CASE("links are kept by rising ifindex, however they come", "[netlink]") {
    Told told;
    told({LinkSeen{ether(7)}, LinkSeen{ether(2)}, LinkSeen{ether(5)}});
    CHECK(told.model.links() == std::vector{ether(2), ether(5), ether(7)});
}

TEST_CASE("a device takes its addresses and gateway along", "[netlink]") {
    Told told = two_devices();
    told({seen(via(2, router_a))});
    CHECK(told({LinkGone{2}}) == Changes{removed(2)});
    CHECK(told.model.link(2) == nullptr);
    CHECK(told.held_by(2).empty());
    CHECK(told.model.gateway(2) == std::nullopt);
    CHECK(told({LinkGone{2}}).empty());
    // Under the same index comes another device, not the old one.
    CHECK(told({LinkSeen{ether(2)}}) == Changes{link(2)});
    CHECK(told.model.gateway(2) == std::nullopt);
}

TEST_CASE("an address is told when it comes and when it goes", "[netlink]") {
    Told told;
    told({LinkSeen{ether(2)}});
    CHECK(told({AddressSeen{held(2, host_a)}}) == Changes{addresses(2)});
    CHECK(told({AddressSeen{held(2, host_a)}}).empty());
    CHECK(told({AddressGone{held(2, host_a)}}) == Changes{addresses(2)});
    CHECK(told({AddressGone{held(2, host_a)}}).empty());
    CHECK(told({AddressSeen{held(9, host_a)}}).empty());
}

TEST_CASE("primary addresses come first, each kind in the order it came", "[netlink]") {
    Told told;
    told({LinkSeen{ether(2)}, AddressSeen{held(2, host_a)}, AddressSeen{held(2, host_b, true)},
          AddressSeen{held(2, host_c)}});
    CHECK(told.held_by(2) == std::vector{host_a, host_c, host_b});
}

TEST_CASE("an address of narrower scope stands before the wider ones, as in the kernel",
          "[netlink]") {
    Told told;
    told({LinkSeen{ether(2)}, AddressSeen{held(2, host_a)},
          AddressSeen{held(2, host_c, false, RT_SCOPE_LINK)}});
    CHECK(told.held_by(2) == std::vector{host_c, host_a});
}

TEST_CASE("a promoted address moves up among the primary ones", "[netlink]") {
    Told told;
    told({LinkSeen{ether(2)}, AddressSeen{held(2, host_a)}, AddressSeen{held(2, host_b, true)},
          AddressSeen{held(2, router_c, true)}});
    CHECK(told({AddressGone{held(2, host_a)}, AddressSeen{held(2, router_c, false)}}) ==
          Changes{addresses(2), addresses(2)});
    CHECK(told.held_by(2) == std::vector{router_c, host_b});
}

TEST_CASE("point-to-point addresses with different peers are different addresses", "[netlink]") {
    Told told;
    Address one{{2, {host_a, 32}, std::nullopt, false}, router_a, 0};
    Address other{{2, {host_a, 32}, std::nullopt, false}, router_b, 0};
    told({LinkSeen{ether(2)}, AddressSeen{one}, AddressSeen{other}});
    CHECK(told.held_by(2) == std::vector{host_a, host_a});
    told({AddressGone{one}});
    CHECK(told.held_by(2) == std::vector{host_a});
}

TEST_CASE("the gateway is that of the lowest metric", "[netlink]") {
    Told told = two_devices();
    CHECK(told({seen(via(2, router_b, 50))}) == Changes{addresses(2)});
    CHECK(told({seen(via(2, router_a, 10))}) == Changes{addresses(2)});
    CHECK(told({seen(via(2, router_c, 90))}).empty());
    CHECK(told.model.gateway(2) == router_a);
    CHECK(told({RouteGone{via(2, router_a, 10)}}) == Changes{addresses(2)});
    CHECK(told.model.gateway(2) == router_b);
    CHECK(told.model.gateway(3) == std::nullopt);
}

TEST_CASE("among routes of equal metric the kernel's order decides", "[netlink]") {
    Told told = two_devices();
    told({seen(via(2, router_a)), seen(via(2, router_b), RouteSeen::Place::back)});
    CHECK(told.model.gateway(2) == router_a);
    told({seen(via(2, router_c), RouteSeen::Place::front)});
    CHECK(told.model.gateway(2) == router_c);
    told({RouteGone{via(2, router_c)}, RouteGone{via(2, router_a)}});
    CHECK(told.model.gateway(2) == router_b);
}

TEST_CASE("a replaced route leaves no trace", "[netlink]") {
    Told told = two_devices();
    told({seen(via(2, router_a)), seen(via(2, router_b), RouteSeen::Place::back)});
    CHECK(told({seen(via(2, router_c), RouteSeen::Place::instead_of_front)}) ==
          Changes{addresses(2)});
    told({RouteGone{via(2, router_c)}});
    CHECK(told.model.gateway(2) == router_b);
    // Also one that is replaced by a route through another device, or by none.
    CHECK(told({seen(via(3, router_a), RouteSeen::Place::instead_of_front)}) ==
          Changes{addresses(2), addresses(3)});
    DefaultRoute unreachable = route({});
    unreachable.type = RTN_UNREACHABLE;
    CHECK(told({seen(unreachable, RouteSeen::Place::instead_of_front)}) == Changes{addresses(3)});
}

TEST_CASE("a route that was in the dump already is not there twice", "[netlink]") {
    Told told = two_devices();
    told({seen(via(2, router_a), RouteSeen::Place::back), seen(via(2, router_a))});
    told({RouteGone{via(2, router_a)}});
    CHECK(told.model.gateway(2) == std::nullopt);
}

TEST_CASE("a device that goes down loses its gateway without the kernel's word", "[netlink]") {
    Told told = two_devices();
    told({seen(via(2, router_a)), seen(via(3, router_b, 5))});
    CHECK(told({LinkSeen{ether(2, false)}}) == Changes{link(2), addresses(2)});
    CHECK(told.model.gateway(2) == std::nullopt);
    CHECK(told.model.gateway(3) == router_b);
    CHECK(told({LinkSeen{ether(2)}}) == Changes{link(2)});
    CHECK(told.model.gateway(2) == std::nullopt);
}

TEST_CASE("a pulled cable leaves the gateway where it is, as the kernel does", "[netlink]") {
    Told told = two_devices();
    told({seen(via(2, router_a))});
    Link pulled = ether(2);
    pulled.carrier = false;
    told({LinkSeen{pulled}});
    CHECK(told.model.gateway(2) == router_a);
}

TEST_CASE("the last address takes the gateway along, another one does not", "[netlink]") {
    Told told = two_devices();
    told({AddressSeen{held(2, host_b, true)}, seen(via(2, router_a))});
    CHECK(told({AddressGone{held(2, host_b, true)}}) == Changes{addresses(2)});
    CHECK(told.model.gateway(2) == router_a);
    CHECK(told({AddressGone{held(2, host_a)}}) == Changes{addresses(2)});
    CHECK(told.model.gateway(2) == std::nullopt);
}

TEST_CASE("an address takes the routes along that prefer it as source", "[netlink]") {
    Told told = two_devices();
    DefaultRoute preferring = via(2, router_a);
    preferring.source = host_c;
    told({seen(preferring)});
    CHECK(told({AddressGone{held(3, host_c)}}) == Changes{addresses(3), addresses(2)});
    CHECK(told.model.gateway(2) == std::nullopt);
}

TEST_CASE("an address that takes gateways along, its own and another's, is told once",
          "[netlink]") {
    Told told = two_devices();
    DefaultRoute preferring = via(2, router_a);
    preferring.source = host_c;
    told({seen(preferring), seen(via(3, router_b, 5))});
    CHECK(told({AddressGone{held(3, host_c)}}) == Changes{addresses(3), addresses(2)});
    CHECK(told.model.gateway(2) == std::nullopt);
    CHECK(told.model.gateway(3) == std::nullopt);
}

TEST_CASE("a source address that another device has too keeps its routes", "[netlink]") {
    Told told = two_devices();
    DefaultRoute preferring = via(2, router_a);
    preferring.source = host_c;
    told({AddressSeen{held(2, host_c)}, seen(preferring), AddressGone{held(3, host_c)}});
    CHECK(told.model.gateway(2) == router_a);
}

TEST_CASE("a nexthop object takes its routes along", "[netlink]") {
    Told told = two_devices();
    DefaultRoute by_object = via(2, router_a);
    by_object.nexthop_id = 5;
    told({seen(by_object), NextHopGone{6}});
    CHECK(told.model.gateway(2) == router_a);
    CHECK(told({NextHopGone{5}}) == Changes{addresses(2)});
    CHECK(told.model.gateway(2) == std::nullopt);
}

TEST_CASE("a route over two devices survives one, and has it back when it returns", "[netlink]") {
    Told told = two_devices();
    const DefaultRoute both = route({{2, router_a, false}, {3, router_b, false}});
    CHECK(told({seen(both)}) == Changes{addresses(2), addresses(3)});
    CHECK(told({LinkSeen{ether(2, false)}}) == Changes{link(2), addresses(2)});
    CHECK(told.model.gateway(3) == router_b);
    CHECK(told({LinkSeen{ether(2)}}) == Changes{link(2), addresses(2)});
    CHECK(told.model.gateway(2) == router_a);
    CHECK(told({LinkSeen{ether(2, false)}, LinkSeen{ether(3, false)}, LinkSeen{ether(2)}}) ==
          Changes{link(2), addresses(2), link(3), addresses(3), link(2)});
    CHECK(told.model.gateway(2) == std::nullopt);
}

TEST_CASE("a route over two devices does not survive the removal of one", "[netlink]") {
    Told told = two_devices();
    told({seen(route({{2, router_a, false}, {3, router_b, false}}))});
    CHECK(told({LinkGone{2}}) == Changes{removed(2), addresses(3)});
    CHECK(told.model.gateway(3) == std::nullopt);
}

TEST_CASE("after a loss only what differs is told", "[netlink]") {
    Told told = two_devices();
    told({LinkSeen{ether(4)}, LinkSeen{ether(5)}, AddressSeen{held(5, host_b)},
          seen(via(3, router_a))});
    Link pulled = ether(5);
    pulled.carrier = false;

    Told fresh;
    fresh({LinkSeen{ether(2)}, LinkSeen{ether(3)}, LinkSeen{pulled}, LinkSeen{ether(6)},
           LinkSeen{ether(7)}, AddressSeen{held(2, host_a)}, AddressSeen{held(3, host_c)},
           AddressSeen{held(5, router_c)}, AddressSeen{held(7, router_b)},
           seen(via(3, router_b), RouteSeen::Place::back)});
    Changes changes;
    told.model.become(fresh.model, changes);
    CHECK(changes ==
          Changes{removed(4), addresses(3), link(5), addresses(5), link(6), link(7), addresses(7)});
    CHECK(told.model == fresh.model);

    changes.clear();
    told.model.become(fresh.model, changes);
    CHECK(changes.empty());
}
