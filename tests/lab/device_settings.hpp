// SPDX-License-Identifier: LGPL-2.1-or-later
//
// How the kernel treats a device, beside its addresses, as text.
#pragma once

#include <string>

#include "namespace.hpp"

namespace lab {

/// Those that impnetd has a hand in.
inline std::string settings_of(const Namespace& host, const std::string& device) {
    return host.run({"sh", "-c",
                     "cd /proc/sys/net; cat ipv6/conf/" + device + "/disable_ipv6 ipv4/conf/" +
                         device + "/arp_ignore ipv4/conf/" + device + "/arp_announce ipv4/conf/" +
                         device + "/rp_filter /sys/class/net/" + device + "/mtu; ip -d link show " +
                         device + " | grep -o 'addrgenmode [a-z0-9]*'"});
}

/// "10.77.1.100/24 "
inline std::string addresses_of(const Namespace& host, const std::string& device) {
    return host.run({"sh", "-c",
                     "ip -4 -o address show dev " + device +
                         " | while read n d f a rest; do printf '%s ' $a; done"});
}

}  // namespace lab
