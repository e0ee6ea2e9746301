// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Traffic counters, as of now. They change all the time and are asked for seldom, so they are no
// part of the model: each question goes to the kernel, which answers inside the system call.
#pragma once

#include "core/link.hpp"
#include "netlink/socket.hpp"

namespace impnetd::netlink {

class Counters {
  public:
    /// Zeros if there is no such device.
    LinkCounters read(int ifindex);

  private:
    Socket socket_;
};

}  // namespace impnetd::netlink
