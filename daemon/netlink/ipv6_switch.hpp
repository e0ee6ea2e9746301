// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The one thing about a device that rtnetlink can read but not write: whether it has IPv6. Without
// this switch a device that makes no link-local address still listens to routers, and takes an
// address and a default route from the first that advertises one (seen with Linux 6.18). The
// service may write there and nowhere else below /proc/sys (ReadWritePaths= of its unit).
#pragma once

#include "core/error.hpp"

namespace impnetd::netlink {

/// Off: addresses and routes that are there go, and none come. On: the kernel makes them anew when
/// the device is up. In the network of the calling thread.
Result<> switch_ipv6(int ifindex, bool on);

}  // namespace impnetd::netlink
