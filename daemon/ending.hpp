// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The end of the daemon, when it is told to end (SIGTERM, SIGINT). A restart is to be noticed by
// nobody, so by default everything is left as it is; only if this is a stop, and the configuration
// says so (`on-stop`), devices are powered down. systemd sends the same signal for both, so it is
// asked.
#pragma once

#include "bus/presence.hpp"
#include "loop/loop.hpp"
#include "network/interfaces.hpp"
#include "service/notify.hpp"

namespace impnetd {

class Ending {
  public:
    Ending(Loop& loop, Notify& notify, Interfaces& interfaces, const bus::Presence& presence);

  private:
    void begin();
    void stop();

    Loop& loop_;
    Notify& notify_;
    Interfaces& interfaces_;
    const bus::Presence& presence_;
    bool begun_ = false;
    SignalWatch on_term_;
    SignalWatch on_int_;
};

}  // namespace impnetd
