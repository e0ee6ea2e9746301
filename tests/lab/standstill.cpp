// SPDX-License-Identifier: LGPL-2.1-or-later
#include "standstill.hpp"

#include <algorithm>

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

namespace lab {

using namespace std::chrono_literals;

namespace {

std::chrono::nanoseconds worth_mentioning(std::chrono::nanoseconds time) {
    return time > 5ms ? time : 0ns;
}

}  // namespace

Standstill::Watch::Watch(int processor)
    : thread_([this, processor](const std::stop_token& stop) {
          cpu_set_t where;
          CPU_ZERO(&where);
          CPU_SET(static_cast<std::size_t>(processor), &where);
          ::pthread_setaffinity_np(::pthread_self(), sizeof(where), &where);
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

std::chrono::nanoseconds Standstill::Watch::total() const {
    const auto seen = seen_.load();
    return total_.load() + worth_mentioning(Clock::now() - seen);
}

Standstill::Standstill() {
    const long processors = ::sysconf(_SC_NPROCESSORS_ONLN);
    for (int processor = 0; processor < processors; ++processor) watches_.emplace_back(processor);
}

std::chrono::nanoseconds Standstill::total() const {
    std::chrono::nanoseconds most = 0ns;
    for (const auto& watch : watches_) most = std::max(most, watch.total());
    return most;
}

}  // namespace lab
