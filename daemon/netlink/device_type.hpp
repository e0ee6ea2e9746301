// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What rtnetlink does not tell: Wi-Fi and cellular devices call themselves ethernet, too. The
// driver's own word for them is in sysfs.
#pragma once

#include "core/link.hpp"

namespace impnetd::netlink {

/// False for a device whose driver says "wlan" or "wwan" (DEVTYPE in its uevent; see the kernel's
/// Documentation/ABI/testing/sysfs-class-net). Reads a file of sysfs, which never waits.
bool is_wired(const Link& link);

}  // namespace impnetd::netlink
