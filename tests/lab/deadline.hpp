// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Waiting for something to happen, for so long and no longer. The tests never sleep: they wait on
// descriptors for an event, and the deadline is what turns an event that never comes into a
// failure.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

namespace lab {

using Milliseconds = std::chrono::milliseconds;

class Deadline {
  public:
    explicit Deadline(Milliseconds from_now) : at_(Clock::now() + from_now) {}

    bool passed() const { return Clock::now() >= at_; }
    /// What is left, for poll(2): rounded up, 0 when it has passed.
    int poll_timeout() const;

  private:
    using Clock = std::chrono::steady_clock;
    Clock::time_point at_;
};

/// Those of the descriptors that are readable (or hung up); none: the deadline has passed.
std::vector<int> wait_readable(const std::vector<int>& fds, const Deadline& deadline);

/// Runs `pump` each time one of the descriptors is readable, until `predicate` holds. False: the
/// deadline passed first.
template <typename Predicate, typename Pump>
bool eventually(const Deadline& deadline, const std::vector<int>& fds, Predicate predicate,
                Pump pump) {
    while (!predicate()) {
        if (wait_readable(fds, deadline).empty()) return predicate();
        pump();
    }
    return true;
}

/// CLOCK_MONOTONIC in microseconds, the clock of the daemon's state reports.
std::uint64_t monotonic_usec();

}  // namespace lab
