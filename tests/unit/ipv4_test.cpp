// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/ipv4.hpp"

#include <string>

#include <catch2/catch.hpp>

#include "core/link.hpp"

using namespace impnetd;

TEST_CASE("a dotted quad is exactly four decimal numbers") {
    CHECK(Ipv4::parse("192.168.1.7") == Ipv4(192, 168, 1, 7));
    CHECK(Ipv4::parse("0.0.0.0") == Ipv4());
    CHECK(Ipv4::parse("255.255.255.255") == Ipv4(0xffffffff));
    for (const auto* text :
         {"", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.-4", "1.2.3.04", " 1.2.3.4",
          "1.2.3.4 ", "1.2.3.4\n", "0x1.2.3.4", "1..2.3", "1.2.3.", "1.2.3.4444", "host"}) {
        INFO(text);
        CHECK_FALSE(Ipv4::parse(text));
    }
}

TEST_CASE("an address reads back as it was written") {
    for (const auto* text : {"10.0.0.1", "172.16.254.3", "255.255.255.255", "0.0.0.0"})
        CHECK(Ipv4::parse(text)->text() == text);
    CHECK(Ipv4::from_network_order(Ipv4(1, 2, 3, 4).network_order()) == Ipv4(1, 2, 3, 4));
}

TEST_CASE("private addresses are those of RFC 1918") {
    for (const auto* text :
         {"10.0.0.0", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1"})
        CHECK(Ipv4::parse(text)->is_private());
    for (const auto* text : {"9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0",
                             "192.167.255.255", "192.169.0.0", "169.254.1.1", "127.0.0.1",
                             "224.0.0.1", "255.255.255.255", "0.0.0.0", "100.64.0.1"}) {
        INFO(text);
        CHECK_FALSE(Ipv4::parse(text)->is_private());
    }
}

TEST_CASE("a subnet knows its network, its broadcast address and its members") {
    const Ipv4Network net{Ipv4(192, 168, 5, 77), 26};
    CHECK(net.netmask() == Ipv4(255, 255, 255, 192));
    CHECK(net.network() == Ipv4(192, 168, 5, 64));
    CHECK(net.broadcast() == Ipv4(192, 168, 5, 127));
    CHECK(net.contains(Ipv4(192, 168, 5, 64)));
    CHECK_FALSE(net.contains(Ipv4(192, 168, 5, 128)));
    CHECK(net.text() == "192.168.5.77/26");
}

TEST_CASE("the shortest and longest prefixes have no surprises") {
    CHECK(Ipv4Network{Ipv4(10, 0, 0, 1), 0}.netmask() == Ipv4());
    CHECK(Ipv4Network{Ipv4(10, 0, 0, 1), 0}.contains(Ipv4(200, 1, 1, 1)));
    CHECK(Ipv4Network{Ipv4(10, 0, 0, 1), 32}.netmask() == Ipv4(0xffffffff));
    CHECK_FALSE(Ipv4Network{Ipv4(10, 0, 0, 1), 32}.broadcast());
    CHECK_FALSE(Ipv4Network{Ipv4(10, 0, 0, 1), 31}.broadcast());
}

TEST_CASE("a netmask must be contiguous") {
    CHECK(Ipv4Network::from_netmask(Ipv4(10, 0, 0, 1), Ipv4(255, 255, 252, 0))->prefix == 22);
    CHECK(Ipv4Network::from_netmask(Ipv4(10, 0, 0, 1), Ipv4())->prefix == 0);
    CHECK_FALSE(Ipv4Network::from_netmask(Ipv4(10, 0, 0, 1), Ipv4(255, 0, 255, 0)));
    CHECK_FALSE(Ipv4Network::from_netmask(Ipv4(10, 0, 0, 1), Ipv4(0, 0, 0, 1)));
}

TEST_CASE("a host can have some addresses and not others") {
    CHECK(is_host_address({Ipv4(10, 0, 0, 1), 24}));
    CHECK(is_host_address({Ipv4(10, 0, 0, 0), 31}));
    CHECK_FALSE(is_host_address({Ipv4(10, 0, 0, 0), 24}));
    CHECK_FALSE(is_host_address({Ipv4(10, 0, 0, 255), 24}));
    CHECK_FALSE(is_host_address({Ipv4(0, 1, 2, 3), 24}));
    CHECK_FALSE(is_host_address({Ipv4(127, 0, 0, 1), 8}));
    CHECK_FALSE(is_host_address({Ipv4(224, 0, 0, 1), 24}));
    CHECK_FALSE(is_host_address({Ipv4(255, 255, 255, 255), 24}));
}

TEST_CASE("a MAC address is read in the usual forms and written as the guide has it") {
    const MacAddress mac{{0x0c, 0x2a, 0x69, 0x08, 0xb1, 0xf3}};
    CHECK(MacAddress::parse("0c2a6908b1f3") == mac);
    CHECK(MacAddress::parse("0C:2A:69:08:B1:F3") == mac);
    CHECK(MacAddress::parse("0c-2a-69-08-b1-f3") == mac);
    CHECK(mac.text() == "0c2a6908b1f3");
    for (const auto* text : {"", "0c2a6908b1f", "0c2a6908b1f33", "0c:2a:69:08:b1:g3",
                             "0c:2a:69:08:b1", "0c:2a-69:08:b1:f3", "0c:2a:69:08:b1f3:"}) {
        INFO(text);
        CHECK_FALSE(MacAddress::parse(text));
    }
}
