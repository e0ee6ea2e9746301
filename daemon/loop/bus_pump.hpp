// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Lets sdbus-c++ live on the loop: waits for what the connection wants to wait for, and lets it
// process. What it wants changes with every message sent, so it is asked anew in each turn.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <sdbus-c++/sdbus-c++.h>

#include "loop/loop.hpp"

namespace impnetd {

class BusPump {
  public:
    /// `on_lost` is called once, when the connection is beyond use. The connection must outlive the
    /// pump.
    BusPump(Loop& loop, sdbus::IConnection& connection,
            std::function<void(const std::string& reason)> on_lost);

  private:
    void refresh();
    void process();
    void lost(const std::string& reason);

    /// Messages a turn: a flood on the bus must not keep timers, netlink and datagrams waiting.
    static constexpr int batch = 64;

    sdbus::IConnection& connection_;
    std::function<void(const std::string&)> on_lost_;
    bool lost_ = false;
    Poll poll_;
    Timer timeout_;
    Prepare prepare_;
};

}  // namespace impnetd
