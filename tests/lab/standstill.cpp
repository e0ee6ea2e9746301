// SPDX-License-Identifier: LGPL-2.1-or-later
#include "standstill.hpp"

#include <pthread.h>
#include <sched.h>

namespace lab {

using namespace std::chrono_literals;

namespace {

std::chrono::nanoseconds worth_mentioning(std::chrono::nanoseconds time) {
    return time > 5ms ? time : 0ns;
}

}  // namespace

Standstill::Standstill()
    : thread_([this](const std::stop_token& stop) {
          // Without the privilege it counts some time as well that others were run.
          const sched_param first{.sched_priority = 1};
          ::pthread_setschedparam(::pthread_self(), SCHED_FIFO, &first);
          while (!stop.stop_requested()) {
              const auto now = Clock::now();
              total_ = total_.load() + worth_mentioning(now - seen_.load());
              seen_ = now;
              std::this_thread::sleep_for(1ms);
          }
      }) {}

std::chrono::nanoseconds Standstill::total() const {
    const auto seen = seen_.load();
    return total_.load() + worth_mentioning(Clock::now() - seen);
}

}  // namespace lab
