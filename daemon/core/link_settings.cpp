// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/link_settings.hpp"

#include <algorithm>

namespace impnetd {

namespace {

constexpr std::uint8_t generate_none = 1;  // IN6_ADDR_GEN_MODE_NONE

// Two devices on one LAN: left to itself, the kernel takes an address for the host's and not for
// the device's. Either device answers ARP for both addresses, and asks with whichever the packet
// has, so that neighbours send to the wrong one.
constexpr std::uint32_t answer_for_own = 1;
constexpr std::uint32_t answer_for_own_subnet = 2;  // stricter: also the asker must be of it
constexpr std::uint32_t announce_own = 2;
// And both are ways to the subnet, but only one of them is the way back: a strict filter would drop
// what arrives at the other.
constexpr std::uint32_t some_way_back = 2;

}  // namespace

LinkSettings managed_settings(LinkSettings found, bool ipv6_off) {
    // Each by itself is not enough: without link-local addresses routers are still listened to, and
    // who sets net.ipv6.conf.all.disable_ipv6 sets that of each device.
    if (found.ipv6 && ipv6_off) found.ipv6 = LinkSettings::Ipv6{true, generate_none};
    found.arp_ignore = std::clamp(found.arp_ignore, answer_for_own, answer_for_own_subnet);
    found.arp_announce = announce_own;
    found.rp_filter = some_way_back;
    return found;
}

}  // namespace impnetd
