// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A connection to the bus, ready to be used by the loop. Making one waits for the bus several times
// over (the greeting, each match rule), and the bus may hang; so it is made in the background, and
// whatever waits is done here. From then on the bus is only asked asynchronously.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <sdbus-c++/sdbus-c++.h>

#include "loop/loop.hpp"

namespace impnetd::bus {

class Connection {
  public:
    /// Blocks. `address` empty: the system bus. Throws sdbus::Error.
    static std::unique_ptr<Connection> make(const std::string& address);

    sdbus::IConnection& get() { return *connection_; }

    /// A connection left the bus. Anybody can send a signal that looks so; only this is the bus's.
    std::function<void(const std::string& unique_name)> on_gone;
    /// The host is about to sleep, or woke up, says `sender`: who is yet to be proved to be logind.
    std::function<void(bool about_to_sleep, const std::string& sender)> on_sleep;

  private:
    explicit Connection(std::unique_ptr<sdbus::IConnection> connection);

    std::unique_ptr<sdbus::IConnection> connection_;
    std::vector<sdbus::Slot> matches_;
};

}  // namespace impnetd::bus
