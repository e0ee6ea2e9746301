// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The end of the daemon, when it is told to end (SIGTERM, SIGINT). A restart is to be noticed by
// nobody, so everything is left as it is. If this is a stop, the sockets that were handed out are
// taken back, as they might work without us; and devices are powered down if the configuration says
// so (`on-stop`). systemd sends the same signal for both, so it is asked.
#pragma once

#include "bus/presence.hpp"
#include "loop/loop.hpp"
#include "network/interfaces.hpp"
#include "network/sessions.hpp"
#include "service/notify.hpp"

namespace impnetd {

class Ending {
  public:
    Ending(Loop& loop, Notify& notify, Interfaces& interfaces, Sessions& sessions,
           const bus::Presence& presence);

  private:
    void begin();
    void stop();

    Loop& loop_;
    Notify& notify_;
    Interfaces& interfaces_;
    Sessions& sessions_;
    const bus::Presence& presence_;
    bool begun_ = false;
    SignalWatch on_term_;
    SignalWatch on_int_;
};

}  // namespace impnetd
