// SPDX-License-Identifier: LGPL-2.1-or-later
//
// An interface and the names of devices survive the daemon as bytes; other bytes are refused.
#include "core/interface_record.hpp"

#include <vector>

#include <catch2/catch.hpp>

using namespace impnetd;

namespace {

InterfaceRecord full_record() {
    InterfaceRecord record;
    record.nii = {InterfaceClass::ethernet, 3};
    record.managed = true;
    record.link = {.ifindex = 7,
                   .name = "lan0",
                   .mac = *MacAddress::parse("0c2a6908b1f3"),
                   .ethernet = true,
                   .up = true,
                   .carrier = true,
                   .kind = "veth",
                   .path = "pci-0000:03:00.0",
                   .carrier_losses = 12,
                   .mtu = 1400,
                   .max_mtu = 9000};
    record.state = State::connected;
    record.reason = "address 10.0.0.9/24";
    record.address = AddressAssignment{{Ipv4(10, 0, 0, 9), 24}, Ipv4(10, 0, 0, 255), 3600};
    record.lease = Lease{.network = {Ipv4(10, 0, 0, 9), 24},
                         .broadcast = Ipv4(10, 0, 0, 255),
                         .gateway = Ipv4(10, 0, 0, 1),
                         .server = Ipv4(10, 0, 0, 2),
                         .dns = {Ipv4(10, 0, 0, 3), Ipv4(9, 9, 9, 9)},
                         .mtu = 1400,
                         .routes = {{{Ipv4(10, 0, 0, 0), 8}, Ipv4(10, 0, 0, 1)}, {}},
                         .seconds = 3600,
                         .obtained_usec = 123'456'789};
    record.static_network =
        StaticConfig{{Ipv4(10, 0, 0, 8), 24}, Ipv4(10, 0, 0, 1), {Ipv4(10, 0, 0, 1)}};
    record.proxy = ProxyConfig{"http", "proxy.lan", 3128, "user", SecretText("word")};
    record.extended = true;
    record.found = LinkSettings{
        .ipv6 = LinkSettings::Ipv6{false, 3}, .arp_ignore = 8, .arp_announce = 1, .rp_filter = 2};
    record.found_mtu = 1500;
    return record;
}

std::vector<NamedDevice> names() {
    return {{{InterfaceClass::ethernet, 0}, *MacAddress::parse("0c2a6908b1f3"), "pci-0000:03:00.0"},
            {{InterfaceClass::ethernet, 7}, {}, ""}};
}

}  // namespace

TEST_CASE("an interface reads back as it was written") {
    CHECK(read_interface_record(write_record(full_record())) == full_record());
    InterfaceRecord bare;
    bare.state = State::ethernet_stopped;
    CHECK(read_interface_record(write_record(bare)) == bare);
}

TEST_CASE("names read back as they were written") {
    CHECK(read_names(write_record(names())) == names());
    CHECK(read_names(write_record(std::vector<NamedDevice>{})) == std::vector<NamedDevice>{});
}

TEST_CASE("a record that was cut anywhere, or goes on, is refused") {
    auto bytes = write_record(full_record());
    for (std::size_t size = 0; size < bytes.size(); ++size)
        REQUIRE_FALSE(read_interface_record(std::span(bytes).first(size)));
    bytes.push_back(0);
    CHECK_FALSE(read_interface_record(bytes));
    CHECK_FALSE(read_names(write_record(full_record())));

    auto listed = write_record(names());
    for (std::size_t size = 0; size < listed.size(); ++size)
        REQUIRE_FALSE(read_names(std::span(listed).first(size)));
    listed.push_back(0);
    CHECK_FALSE(read_names(listed));
    CHECK_FALSE(read_interface_record(write_record(names())));
}

TEST_CASE("damaged bytes give an interface or an error, and nothing worse") {
    const auto bytes = write_record(full_record());
    for (std::size_t at = 0; at < bytes.size(); ++at)
        for (const std::uint8_t value : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
            auto damaged = bytes;
            damaged[at] = value;
            const auto record = read_interface_record(damaged);
            if (record) REQUIRE(read_interface_record(write_record(*record)) == *record);
        }
}
