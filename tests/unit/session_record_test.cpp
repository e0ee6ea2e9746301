// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A session survives the daemon as bytes; bytes that are no session are refused.
#include "core/session_record.hpp"

#include <vector>

#include <catch2/catch.hpp>

using namespace impnetd;

namespace {

SessionRecord full_record() {
    SessionRecord record;
    record.id = 7;
    record.token = "00112233445566778899aabbccddeeff";
    record.client.uid = 1000;
    record.client.pid = 4711;
    record.client.groups = {1000, 990};
    record.client.unit = "echo.service";
    record.nic.interface = "wifi";
    record.nic.nii = {InterfaceClass::wifi, 0};
    record.nic.wifi = WifiConfig{"home", std::vector<std::uint8_t>{0, 1, 255}};
    record.nic.static_network = StaticConfig{
        {Ipv4(10, 0, 0, 9), 24}, Ipv4(10, 0, 0, 1), {Ipv4(10, 0, 0, 1), Ipv4(9, 9, 9, 9)}};
    record.nic.proxy = ProxyConfig{"http", "proxy.lan", 3128, "user", SecretText("word")};
    record.state = State::ethernet_stopped_no_link;
    record.untold = {{State::starting, State::ethernet_stopped_no_link, 7, "carrier came back"},
                     {State::ethernet_link_up, State::starting, 8, "carrier"}};
    record.sockets = {{1, 2001, Delivery::descriptor}, {2, 0, Delivery::signal}};
    return record;
}

}  // namespace

TEST_CASE("a session reads back as it was written") {
    CHECK(read_session_record(write_record(full_record())) == full_record());

    SessionRecord plain;
    plain.id = 1;
    plain.nic.interface = "eth0";
    CHECK(read_session_record(write_record(plain)) == plain);
}

TEST_CASE("a session that was cut anywhere is refused") {
    const auto bytes = write_record(full_record());
    for (std::size_t size = 0; size < bytes.size(); ++size)
        REQUIRE_FALSE(read_session_record(std::span(bytes).first(size)));
    auto longer = bytes;
    longer.push_back(0);
    CHECK_FALSE(read_session_record(longer));
}

TEST_CASE("damaged bytes give a session or an error, and nothing worse") {
    const auto bytes = write_record(full_record());
    for (std::size_t at = 0; at < bytes.size(); ++at)
        for (const std::uint8_t value : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
            auto damaged = bytes;
            damaged[at] = value;
            const auto record = read_session_record(damaged);
            if (record) REQUIRE(read_session_record(write_record(*record)) == *record);
        }
}
