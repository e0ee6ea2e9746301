// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The speed that a wired link has agreed on. rtnetlink does not carry it; the driver is asked by
// ioctl (ETHTOOL_GLINKSETTINGS, linux/ethtool.h).
#pragma once

#include <cstdint>
#include <string>

#include "loop/unique_fd.hpp"

namespace impnetd::netlink {

class Speed {
  public:
    Speed();

    /// Mbit/s; 0 if there is no such device, or it does not know.
    std::uint32_t read(const std::string& device) const;

  private:
    UniqueFd socket_;
};

}  // namespace impnetd::netlink
