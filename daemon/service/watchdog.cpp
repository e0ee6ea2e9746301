// SPDX-License-Identifier: LGPL-2.1-or-later
#include "service/watchdog.hpp"

#include <systemd/sd-daemon.h>

namespace impnetd {

Watchdog::Watchdog(Loop& loop, Notify& notify, std::chrono::microseconds limit)
    : notify_(notify),
      period_(std::chrono::duration_cast<Milliseconds>(limit / 2)),
      timer_(loop, [this] { alive(); }) {
    if (period_.count() > 0) alive();
}

std::chrono::microseconds Watchdog::limit_from_environment() {
    std::uint64_t usec = 0;
    return std::chrono::microseconds(sd_watchdog_enabled(0, &usec) > 0 ? usec : 0);
}

void Watchdog::alive() {
    notify_.send("WATCHDOG=1");
    timer_.start(period_);
}

}  // namespace impnetd
