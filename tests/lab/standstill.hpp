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

    /// Of this, only pauses that are worth mentioning.
    std::chrono::nanoseconds total() const { return std::chrono::nanoseconds(total_); }

  private:
    std::atomic<std::int64_t> total_ = 0;
    std::jthread thread_;
};

}  // namespace lab
