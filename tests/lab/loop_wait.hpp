// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Waiting inside the daemon's own loop: for tests of parts that live on it.
#pragma once

#include <functional>

#include "loop/loop.hpp"

namespace lab {

/// Turns the loop until `predicate` holds. False: the limit passed first. The predicate is asked
/// after every turn.
inline bool run_until(impnetd::Loop& loop, impnetd::Milliseconds limit,
                      const std::function<bool()>& predicate) {
    bool passed = false;
    impnetd::Timer limit_timer(loop, [&passed] { passed = true; });
    limit_timer.start(limit);
    while (!predicate()) {
        if (passed) return false;
        uv_run(loop.raw(), UV_RUN_ONCE);
    }
    return true;
}

/// Turns the loop for so long, whatever happens: to show that something does not.
inline void run_for(impnetd::Loop& loop, impnetd::Milliseconds time) {
    run_until(loop, time, [] { return false; });
}

}  // namespace lab
