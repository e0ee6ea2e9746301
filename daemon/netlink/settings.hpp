// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The settings of a device, as of now. The kernel does not tell when somebody changes one, so they
// are no part of the model: each question goes to the kernel, which answers inside the system call.
#pragma once

#include <optional>

#include "core/link_settings.hpp"
#include "netlink/socket.hpp"

namespace impnetd::netlink {

class Settings {
  public:
    /// Nothing if there is no such device.
    std::optional<LinkSettings> read(int ifindex);

  private:
    Socket socket_;
};

}  // namespace impnetd::netlink
