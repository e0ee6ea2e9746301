// SPDX-License-Identifier: LGPL-2.1-or-later
//
// How long the machine stood still: a virtual one does, when its host has other things to do. What
// is to be done in some time then is not done, and nobody here is to blame.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <thread>

namespace lab {

class Standstill {
  public:
    /// Watches from now on, by threads that are run before all others.
    Standstill();

    /// Of all until now, only what is worth mentioning; of the processor that did the most of it.
    std::chrono::nanoseconds total() const;

  private:
    using Clock = std::chrono::steady_clock;

    class Watch {
      public:
        explicit Watch(int processor);
        std::chrono::nanoseconds total() const;

      private:
        std::atomic<Clock::time_point> seen_ = Clock::now();
        std::atomic<std::chrono::nanoseconds> total_ = std::chrono::nanoseconds(0);
        std::jthread thread_;
    };
    std::deque<Watch> watches_;
};

}  // namespace lab
