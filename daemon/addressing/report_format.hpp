// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What impnet-lease-report and the daemon agree on. One event of udhcpc is one record of a
// sequenced packet socket:
//
//     event NUL { NAME=value NUL } NUL
//
// The names are those of udhcpc's script environment, the values as it wrote them. The empty string
// at the end tells a whole record from one that was cut off. The program only copies; whatever a
// server may have put there is judged in the daemon (`lease_report.hpp`).
#pragma once

#include <array>
#include <cstddef>

namespace impnetd::report {

/// The program's end of the socket. udhcpc puts its own signal pipe on 3 and 4.
inline constexpr int descriptor = 5;

/// udhcpc takes no message with more than 580 octets of options: as text, and if all of them were
/// addresses, that is 2.3 KiB; if all were static routes to anywhere, 3.1 KiB.
inline constexpr std::size_t max_size = 4096;

inline constexpr std::array variables = {
    "ip", "subnet", "router", "dns", "serverid", "lease", "message", "mtu", "staticroutes",
};

}  // namespace impnetd::report
