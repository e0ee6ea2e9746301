// SPDX-License-Identifier: LGPL-2.1-or-later
#include "addressing/arp.hpp"

#include <vector>

#include <catch2/catch.hpp>

using namespace impnetd;

namespace {

const MacAddress ours = *MacAddress::parse("0c2a6908b1f3");
const MacAddress other = *MacAddress::parse("525400123456");

}  // namespace

TEST_CASE("an ARP message has its parts where RFC 826 has them") {
    const ArpMessage message{.operation = 2,
                             .sender_mac = ours,
                             .sender = Ipv4(10, 0, 0, 5),
                             .target_mac = other,
                             .target = Ipv4(10, 0, 0, 9)};
    const std::vector<std::uint8_t> expected{0,    1,    8,    0,    6,  4, 0, 2, 0x0c, 0x2a,
                                             0x69, 0x08, 0xb1, 0xf3, 10, 0, 0, 5, 0x52, 0x54,
                                             0,    0x12, 0x34, 0x56, 10, 0, 0, 9};
    const auto bytes = write_arp(message);
    CHECK(std::vector<std::uint8_t>(bytes.begin(), bytes.end()) == expected);
    CHECK(read_arp(expected) == message);
}

TEST_CASE("a probe asks without a sender, an announcement names the address twice") {
    const auto probe = ArpMessage::probe(ours, Ipv4(10, 0, 0, 5));
    CHECK(probe == ArpMessage{1, ours, Ipv4(), {}, Ipv4(10, 0, 0, 5)});
    const auto announcement = ArpMessage::announcement(ours, Ipv4(10, 0, 0, 5));
    CHECK(announcement == ArpMessage{1, ours, Ipv4(10, 0, 0, 5), {}, Ipv4(10, 0, 0, 5)});
}

TEST_CASE("what is cut short or of another protocol is no ARP message") {
    const auto bytes = write_arp(ArpMessage::probe(ours, Ipv4(10, 0, 0, 5)));
    for (std::size_t size = 0; size < bytes.size(); ++size)
        CHECK_FALSE(read_arp(std::span(bytes).first(size)));
    for (std::size_t at = 0; at < 6; ++at) {
        auto foreign = bytes;
        ++foreign.at(at);
        CHECK_FALSE(read_arp(foreign));
    }
    std::vector<std::uint8_t> padded(bytes.begin(), bytes.end());
    padded.resize(46);
    CHECK(read_arp(padded));
}

TEST_CASE("a hardware address is shown as people know it") {
    CHECK(ours.with_colons() == "0c:2a:69:08:b1:f3");
}
