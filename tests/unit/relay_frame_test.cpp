// SPDX-License-Identifier: LGPL-2.1-or-later
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include <catch2/catch.hpp>

#include "datapath/relay/frame.hpp"

using namespace impnetd;
using relay::Header;

namespace {

const Header arrival{.kind = IMPNET_RELAY_DATAGRAM,
                     .peer = Ipv4(10, 1, 2, 3),
                     .peer_port = 0x1234,
                     .local = Ipv4(10, 1, 2, 255),
                     .local_port = 2001,
                     .sequence = 0x5678};
const Header request{.kind = IMPNET_RELAY_DATAGRAM,
                     .peer = Ipv4(10, 1, 2, 3),
                     .peer_port = 4000,
                     .local = {},
                     .local_port = 0,
                     .sequence = 65535};

std::vector<std::uint8_t> bytes_of(const Header& header) {
    const auto bytes = relay::encode(header);
    return {bytes.begin(), bytes.end()};
}

}  // namespace

TEST_CASE("A header travels in network byte order", "[relay]") {
    const std::vector<std::uint8_t> expected = {1,  1, 0x12, 0x34, 10,   1,    2,    3,
                                                10, 1, 2,    255,  0x07, 0xd1, 0x56, 0x78};
    CHECK(bytes_of(arrival) == expected);
}

TEST_CASE("A header that was encoded decodes to itself", "[relay]") {
    const Header verdict{.kind = IMPNET_RELAY_VERDICT,
                         .peer = {},
                         .peer_port = 0,
                         .local = {},
                         .local_port = 40000,
                         .sequence = 7};
    for (const Header& header : {arrival, request, verdict, Header{}}) {
        CHECK(relay::decode(bytes_of(header)) == header);
    }
}

TEST_CASE("What follows the header is not looked at", "[relay]") {
    auto bytes = bytes_of(arrival);
    bytes.resize(relay::max_frame, 0xff);
    CHECK(relay::decode(bytes) == arrival);
}

TEST_CASE("Messages that are too short have no header", "[relay]") {
    const auto bytes = bytes_of(arrival);
    for (std::size_t size = 0; size < relay::header_size; ++size) {
        CHECK_FALSE(relay::decode(std::span(bytes).first(size)));
    }
}

TEST_CASE("Other versions and kinds are not understood", "[relay]") {
    for (int value = 0; value < 256; ++value) {
        auto version = bytes_of(arrival);
        version[0] = static_cast<std::uint8_t>(value);
        CHECK(relay::decode(version).has_value() == (value == 1));
        auto kind = bytes_of(arrival);
        kind[1] = static_cast<std::uint8_t>(value);
        CHECK(relay::decode(kind).has_value() == (value >= 1 && value <= 4));
    }
}

TEST_CASE("A client sends datagrams, and leaves alone what is not its to fill in", "[relay]") {
    CHECK(relay::decode_request(bytes_of(request)) == relay::Request{.peer = Ipv4(10, 1, 2, 3),
                                                                     .peer_port = 4000,
                                                                     .sequence = 65535,
                                                                     .count = 1,
                                                                     .size = 0});
    for (std::size_t at = 8; at < 14; ++at) {
        auto bytes = bytes_of(request);
        bytes[at] = 1;
        INFO("byte " << at);
        CHECK(relay::decode(bytes));
        CHECK_FALSE(relay::decode_request(bytes));
    }
    for (const auto kind : {IMPNET_RELAY_VERDICT, IMPNET_RELAY_RESUMED, IMPNET_RELAY_DATAGRAMS}) {
        auto other = request;
        other.kind = kind;
        CHECK_FALSE(relay::decode_request(bytes_of(other)));
    }
}

TEST_CASE("A client sends several datagrams at once, if they are so many and alike", "[relay]") {
    // The size of each, that of all, and how many these are; none: it is refused.
    const auto [size, all, count] =
        GENERATE(table<std::uint16_t, std::size_t, std::size_t>({{10, 11, 2},
                                                                 {10, 20, 2},
                                                                 {10, 21, 3},
                                                                 {1, 64, 64},
                                                                 {1023, 65472, 64},
                                                                 {1024, 65507, 64},
                                                                 {32754, 65507, 2},
                                                                 {65506, 65507, 2},
                                                                 {10, 0, 0},
                                                                 {10, 10, 0},
                                                                 {10, 9, 0},
                                                                 {0, 10, 0},
                                                                 {1, 65, 0},
                                                                 {1022, 65409, 0},
                                                                 {65507, 65507, 0},
                                                                 {1024, 65508, 0},
                                                                 {32754, 65508, 0}}));
    CAPTURE(size, all);
    auto header = request;
    header.kind = IMPNET_RELAY_DATAGRAMS;
    header.local_port = size;
    auto bytes = bytes_of(header);
    bytes.resize(relay::header_size + all);
    const auto decoded = relay::decode_request(bytes);
    CHECK(decoded.has_value() == (count > 0));
    if (!decoded) return;
    CHECK(decoded->count == count);
    CHECK(decoded->size == size);
    CHECK(decoded->sequence == 65535);
}

TEST_CASE("Whatever arrives is either refused or encodes to the same bytes", "[relay]") {
    std::mt19937 random(Catch::rngSeed());
    int understood = 0;
    for (int run = 0; run < 100'000; ++run) {
        std::vector<std::uint8_t> bytes(random() % 40);
        for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
        if (bytes.size() >= 2 && run % 2 == 0) {
            bytes[0] = 1;
            bytes[1] = static_cast<std::uint8_t>(1 + random() % 2);
        }
        const auto header = relay::decode(bytes);
        if (!header) continue;
        ++understood;
        bytes.resize(relay::header_size);
        REQUIRE(bytes_of(*header) == bytes);
    }
    CHECK(understood > 10'000);
}
