// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Tells the service manager that the loop still turns, twice as often as it asks for
// ($WATCHDOG_USEC); a daemon that hangs is then restarted. Not asked for: nothing is told and
// nothing wakes up.
#pragma once

#include <chrono>

#include "loop/loop.hpp"
#include "service/notify.hpp"

namespace impnetd {

class Watchdog {
  public:
    /// `limit`: the longest silence that the manager bears; 0: it does not care.
    Watchdog(Loop& loop, Notify& notify, std::chrono::microseconds limit);

    /// $WATCHDOG_USEC, if it is meant for this process; else 0.
    static std::chrono::microseconds limit_from_environment();

  private:
    void alive();

    Notify& notify_;
    Milliseconds period_;
    Timer timer_;
};

}  // namespace impnetd
