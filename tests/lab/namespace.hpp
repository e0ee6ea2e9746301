// SPDX-License-Identifier: LGPL-2.1-or-later
//
// One host of the lab: a network namespace, and with it a mount namespace whose /sys shows the
// devices of that network (a program must never see the devices of another host). Nothing has a
// name outside: descriptors keep both alive, and they end with this object.
#pragma once

#include <string>
#include <vector>

#include "fd.hpp"

namespace lab {

class Namespace {
  public:
    /// `name` is for messages only. The loopback device is up, nothing else is there.
    explicit Namespace(std::string name);
    Namespace(const Namespace&) = delete;
    Namespace& operator=(const Namespace&) = delete;

    const std::string& name() const { return name_; }

    /// Runs a command here, to its end, and returns what it wrote. A status other than 0 throws,
    /// with that text.
    std::string run(const std::vector<std::string>& command) const;

    /// The calling thread's network is this one for as long as the result lives. Sockets stay in
    /// the network they were made in.
    class Visit {
      public:
        explicit Visit(int network_fd);
        ~Visit();
        Visit(const Visit&) = delete;
        Visit& operator=(const Visit&) = delete;

      private:
        Fd home_;
    };
    [[nodiscard]] Visit enter() const { return Visit(network_.get()); }

    /// Turns a device on or off by one system call.
    void set_up(const std::string& device, bool up = true) const;
    bool is_up(const std::string& device) const;
    int ifindex(const std::string& device) const;  ///< 0: there is none of that name
    /// "aa:bb:cc:dd:ee:ff"
    std::string mac(const std::string& device) const;

    int network_fd() const { return network_.get(); }
    int mount_fd() const { return mount_.get(); }
    /// A socket of this network, for ioctls.
    int control_fd() const { return control_.get(); }

  private:
    std::string name_;
    Fd network_;
    Fd mount_;
    Fd control_;
};

}  // namespace lab
