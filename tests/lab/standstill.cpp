// SPDX-License-Identifier: LGPL-2.1-or-later
#include "standstill.hpp"

#include <pthread.h>
#include <sched.h>

namespace lab {

using namespace std::chrono_literals;

Standstill::Standstill()
    : thread_([this](const std::stop_token& stop) {
          constexpr auto step = 1ms;
          constexpr auto usual = 5ms;
          // Without the privilege it counts some time as well that others were run.
          const sched_param first{.sched_priority = 1};
          ::pthread_setschedparam(::pthread_self(), SCHED_FIFO, &first);
          auto before = std::chrono::steady_clock::now();
          while (!stop.stop_requested()) {
              std::this_thread::sleep_for(step);
              const auto now = std::chrono::steady_clock::now();
              if (now - before > usual) total_ += std::chrono::nanoseconds(now - before).count();
              before = now;
          }
      }) {}

}  // namespace lab
