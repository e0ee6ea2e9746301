// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a managed device gets, by how it was found.
#include "core/link_settings.hpp"

#include <catch2/catch.hpp>

using namespace impnetd;

TEST_CASE("a managed device has no IPv6, and ARP for its own addresses") {
    const LinkSettings found{.ipv6 = LinkSettings::Ipv6{false, 3}};
    const auto managed = managed_settings(found, true);
    CHECK(managed == LinkSettings{.ipv6 = LinkSettings::Ipv6{true, 1},
                                  .arp_ignore = 1,
                                  .arp_announce = 2,
                                  .rp_filter = 2});
    CHECK(managed_settings(managed, true) == managed);
}

TEST_CASE("IPv6 stays as it is if it is the kernel's, or if there is none") {
    const LinkSettings found{.ipv6 = LinkSettings::Ipv6{false, 3}};
    CHECK(managed_settings(found, false).ipv6 == found.ipv6);
    CHECK_FALSE(managed_settings(LinkSettings{}, true).ipv6);
}

TEST_CASE("a host that answers less ARP than we need goes on so, unless it answers none") {
    const auto arp_ignore = [](std::uint32_t found) {
        return managed_settings({.ipv6 = {}, .arp_ignore = found}, true).arp_ignore;
    };
    CHECK(arp_ignore(1) == 1);
    CHECK(arp_ignore(2) == 2);
    CHECK(arp_ignore(8) == 2);
}
