// SPDX-License-Identifier: LGPL-2.1-or-later
//
// How long the machine stood still: a virtual one does, when its host has other things to do. What
// is to be done in some time then is not done, and nobody here is to blame.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

namespace lab {

class Standstill {
  public:
    /// Watches from now on, by a thread that is run before all others.
    Standstill();

    /// Of all until now, only what is worth mentioning.
    std::chrono::nanoseconds total() const;

  private:
    using Clock = std::chrono::steady_clock;

    std::atomic<Clock::time_point> seen_ = Clock::now();
    std::atomic<std::chrono::nanoseconds> total_ = std::chrono::nanoseconds(0);
    std::jthread thread_;
};

}  // namespace lab
