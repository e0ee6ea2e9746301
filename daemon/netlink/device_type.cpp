// SPDX-License-Identifier: LGPL-2.1-or-later
#include "netlink/device_type.hpp"

#include <fstream>
#include <string>

namespace impnetd::netlink {

bool is_wired(const Link& link) {
    std::ifstream uevent("/sys/class/net/" + link.name + "/uevent");
    for (std::string line; std::getline(uevent, line);)
        if (line == "DEVTYPE=wlan" || line == "DEVTYPE=wwan") return false;
    return true;
}

}  // namespace impnetd::netlink
