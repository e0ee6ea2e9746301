// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the kernel does on a device by itself, beside its addresses: a value that can be read,
// changed for as long as impnetd manages the device, and put back.
#pragma once

#include <cstdint>
#include <optional>

namespace impnetd {

struct LinkSettings {
    struct Ipv6 {
        bool disabled = false;        ///< no addresses, no routes; what arrives is dropped
        std::uint8_t generation = 0;  ///< IFLA_INET6_ADDR_GEN_MODE: how link-local ones are made

        friend bool operator==(const Ipv6&, const Ipv6&) = default;
    };

    std::optional<Ipv6> ipv6;  ///< nothing: the kernel has no IPv6 there at all
    // As in the kernel's Documentation/networking/ip-sysctl.rst, of this device alone.
    std::uint32_t arp_ignore = 0;
    std::uint32_t arp_announce = 0;
    std::uint32_t rp_filter = 0;

    friend bool operator==(const LinkSettings&, const LinkSettings&) = default;
};

/// What a device that was found so gets while it is managed.
LinkSettings managed_settings(LinkSettings found, bool ipv6_off);

}  // namespace impnetd
