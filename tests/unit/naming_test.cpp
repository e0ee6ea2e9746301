// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Which device gets which identifier.
#include "network/naming.hpp"

#include <string>

#include <catch2/catch.hpp>

using namespace impnetd;

namespace {

Link card(int ifindex, const std::string& name, std::uint8_t mac, const std::string& path) {
    Link link;
    link.ifindex = ifindex;
    link.name = name;
    link.mac = {{2, 0, 0, 0, 0, mac}};
    link.ethernet = true;
    link.path = path;
    return link;
}

InterfaceRule rule(unsigned number) {
    InterfaceRule out;
    out.nii.number = number;
    return out;
}

constexpr auto wired = [](const Link&) { return true; };

Nii eth(unsigned number) {
    return {InterfaceClass::ethernet, number};
}

}  // namespace

TEST_CASE("hardware gets the numbers in the order it is met") {
    Naming naming({}, wired);
    CHECK(naming.name(card(2, "enp1s0", 1, "pci-0000:01:00.0")) == eth(0));
    CHECK(naming.name(card(3, "enp2s0", 2, "pci-0000:02:00.0")) == eth(1));
}

TEST_CASE("a virtual device gets a name only by a rule") {
    auto veth = card(2, "lan0", 1, "");
    veth.kind = "veth";
    CHECK_FALSE(Naming({}, wired).name(veth));

    auto by_device = rule(3);
    by_device.device = "lan0";
    CHECK(Naming({by_device}, wired).name(veth) == eth(3));
}

TEST_CASE("a card that is not wired is no ethernet interface") {
    Naming naming({}, [](const Link& link) { return link.name != "wlan0"; });
    CHECK_FALSE(naming.name(card(2, "wlan0", 1, "pci-0000:01:00.0")));
}

TEST_CASE("rules name devices by device, MAC or path, and keep their numbers from others") {
    auto by_mac = rule(0);
    by_mac.mac = MacAddress{{2, 0, 0, 0, 0, 9}};
    auto by_path = rule(1);
    by_path.path = "usb-1-1:1.0";
    Naming naming({by_mac, by_path}, wired);
    CHECK(naming.name(card(2, "enp1s0", 1, "pci-0000:01:00.0")) == eth(2));
    CHECK(naming.name(card(3, "enp9s0", 9, "pci-0000:09:00.0")) == eth(0));
    CHECK(naming.name(card(4, "enx0", 5, "usb-1-1:1.0")) == eth(1));
}

TEST_CASE("a rule without a device is for whatever gets its number") {
    auto managed = rule(0);
    managed.managed = true;
    Naming naming({managed}, wired);
    REQUIRE(naming.name(card(2, "enp1s0", 1, "pci-0000:01:00.0")) == eth(0));
    CHECK(naming.rule(eth(0)).managed);
    CHECK_FALSE(naming.rule(eth(1)).managed);
}

TEST_CASE("a device that returns has its old identifier") {
    Naming naming({}, wired);
    const auto first = card(2, "enp1s0", 1, "pci-0000:01:00.0");
    const auto second = card(3, "enx02", 2, "usb-1-1:1.0");
    REQUIRE(naming.name(first) == eth(0));
    REQUIRE(naming.name(second) == eth(1));
    naming.release(eth(0));
    CHECK(naming.known(eth(0)));
    CHECK(naming.name(card(7, "enp5s0", 5, "pci-0000:05:00.0")) == eth(2));

    auto moved = first;  // other slot, same card
    moved.ifindex = 9;
    moved.path = "pci-0000:08:00.0";
    CHECK(naming.name(moved) == eth(0));

    naming.release(eth(1));
    auto swapped = second;  // same port, other adapter
    swapped.mac = {{2, 0, 0, 0, 0, 77}};
    CHECK(naming.name(swapped) == eth(1));
}

TEST_CASE("a card in another card's place keeps its own identifier") {
    Naming naming({}, wired);
    REQUIRE(naming.name(card(2, "a", 1, "usb-1-1:1.0")) == eth(0));
    REQUIRE(naming.name(card(3, "b", 2, "usb-1-2:1.0")) == eth(1));
    naming.release(eth(0));
    naming.release(eth(1));
    CHECK(naming.name(card(4, "b", 2, "usb-1-1:1.0")) == eth(1));
}

TEST_CASE("two devices never have one identifier") {
    auto by_path = rule(0);
    by_path.path = "usb-1-1:1.0";
    Naming naming({by_path}, wired);
    REQUIRE(naming.name(card(2, "a", 1, "usb-1-1:1.0")) == eth(0));
    CHECK_FALSE(naming.name(card(3, "b", 2, "usb-1-1:1.0")));
}

TEST_CASE("a virtual device is not taken for the card whose address it has") {
    auto by_mac = rule(0);
    by_mac.mac = MacAddress{{2, 0, 0, 0, 0, 9}};
    auto bridge = card(7, "br0", 9, "");
    bridge.kind = "bridge";
    const auto its_card = card(2, "enp9s0", 9, "pci-0000:09:00.0");

    SECTION("where a rule has the address") {
        Naming naming({by_mac}, wired);
        REQUIRE(naming.name(its_card) == eth(0));
        naming.release(eth(0));
        CHECK_FALSE(naming.name(bridge));
        CHECK(naming.name(its_card) == eth(0));
    }
    SECTION("where the card was discovered") {
        Naming naming({}, wired);
        REQUIRE(naming.name(its_card) == eth(0));
        naming.release(eth(0));
        CHECK_FALSE(naming.name(bridge));
    }
    SECTION("but a rule may mean a virtual device by its address") {
        CHECK(Naming({by_mac}, wired).name(bridge) == eth(0));
    }
}

TEST_CASE("devices that return in another order, to the next process, have their identifiers") {
    Naming before({}, wired);
    REQUIRE(before.name(card(2, "enp1s0", 1, "usb-1-1:1.0")) == eth(0));
    REQUIRE(before.name(card(3, "enp2s0", 2, "usb-1-2:1.0")) == eth(1));
    Naming next({}, wired);
    next.remember(before.names());
    CHECK(next.name(card(2, "enp2s0", 2, "usb-1-2:1.0")) == eth(1));
    CHECK(next.name(card(3, "enp3s0", 3, "usb-1-3:1.0")) == eth(2));
    CHECK(next.name(card(4, "enp1s0", 1, "usb-1-1:1.0")) == eth(0));
}

TEST_CASE("other rules are for devices that are there, too") {
    const auto first = card(2, "enp1s0", 1, "pci-0000:01:00.0");
    const auto second = card(3, "enp2s0", 2, "pci-0000:02:00.0");
    Naming naming({}, wired);
    REQUIRE(naming.name(first) == eth(0));
    REQUIRE(naming.name(second) == eth(1));

    auto managed = rule(1);
    managed.managed = true;
    const auto same = naming.under({managed});
    CHECK(same.same_devices(naming));
    CHECK(same.look(first, eth(0)) == eth(0));
    CHECK(same.look(second, eth(1)) == eth(1));

    auto swap = rule(0);
    swap.path = "pci-0000:02:00.0";
    const auto swapped = naming.under({swap});
    CHECK_FALSE(swapped.same_devices(naming));
    CHECK_FALSE(naming.same_devices(swapped));
    CHECK(swapped.look(second, eth(1)) == eth(0));
    CHECK(swapped.look(first, eth(0)) == eth(2));  // eth1 is remembered
}

TEST_CASE("the thousand-and-first card has no identifier") {
    Naming naming({}, wired);
    for (unsigned number = 0; number < 1'000; ++number) {
        auto one = card(2, "usb0", 0, "usb-" + std::to_string(number));
        one.mac.octets[3] = static_cast<std::uint8_t>(number >> 8);
        one.mac.octets[4] = static_cast<std::uint8_t>(number);
        REQUIRE(naming.name(one) == eth(number));
        naming.release(eth(number));
    }
    CHECK_FALSE(naming.name(card(2, "usb0", 77, "usb-1000")));
}

TEST_CASE("a device that a rule gives another identifier gives up the old one") {
    Naming before({}, wired);
    const auto device = card(2, "enp1s0", 1, "pci-0000:01:00.0");
    REQUIRE(before.name(device) == eth(0));
    auto by_device = rule(5);
    by_device.device = "enp1s0";
    Naming next({by_device}, wired);
    next.remember(before.names());
    REQUIRE(next.known(eth(0)));
    CHECK(next.name(device) == eth(5));
    CHECK_FALSE(next.known(eth(0)));
    CHECK(next.name(card(3, "enp2s0", 2, "pci-0000:02:00.0")) == eth(0));
}
