// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A cable between two hosts: a pair of veth devices. The near end is what the tests are about and
// is left as it is made (down); the far end is the server's, and is up.
#pragma once

#include <string>

#include "namespace.hpp"

namespace lab {

class Cable {
  public:
    Cable(Namespace& near, std::string near_device, Namespace& far, std::string far_device);
    /// The devices go with the cable, if they are still there.
    ~Cable();
    Cable(const Cable&) = delete;
    Cable& operator=(const Cable&) = delete;

    /// The near end loses its carrier, by one system call at the far end.
    void pull() { far_.set_up(far_device_, false); }
    void plug() { far_.set_up(far_device_, true); }
    /// Takes both devices away, as when a card is pulled out; `restore` makes them anew, with the
    /// same hardware addresses. The far end then has no address.
    void remove();
    void restore();

    const std::string& near_device() const { return near_device_; }
    const std::string& far_device() const { return far_device_; }

  private:
    void make();

    Namespace& near_;
    Namespace& far_;
    std::string near_device_;
    std::string far_device_;
    std::string near_mac_;
    std::string far_mac_;
};

}  // namespace lab
