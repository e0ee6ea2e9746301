// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Whoever says in ARP, true or not, that an address is at a device.
#pragma once

#include <string>

#include "fd.hpp"
#include "namespace.hpp"

namespace lab {

class Neighbour {
  public:
    Neighbour(const Namespace& where, const std::string& device);

    /// Announces an address to everybody.
    void announce(const std::string& address) const;

  private:
    int ifindex_;
    std::string mac_;  // six octets
    Fd socket_;
};

}  // namespace lab
