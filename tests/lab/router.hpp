// SPDX-License-Identifier: LGPL-2.1-or-later
//
// An IPv6 router that advertises itself and a prefix when it is asked to: what makes every device
// that listens take an address of 2001:db8:5::/64 and a default route.
#pragma once

#include <string>

#include "fd.hpp"
#include "namespace.hpp"

namespace lab {

class Router {
  public:
    Router(const Namespace& where, std::string device);

    void advertise() const;

  private:
    const Namespace& where_;
    std::string device_;
    Fd socket_;
};

}  // namespace lab
