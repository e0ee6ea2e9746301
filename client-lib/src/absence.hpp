// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The time that a session is without its daemon: until when it waits, and when to ask the daemon
// for it. Times are CLOCK_MONOTONIC microseconds, and passed in.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "pause.hpp"

namespace impnet::detail {

class Absence {
  public:
    static constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();

    Absence(std::uint64_t lost, std::uint64_t limit) : over_(lost + limit) {}

    /// There is a daemon: it is to be asked.
    void daemon_came(std::uint64_t now) {
        pause_.reset();
        ask_at_ = now;
    }
    /// Or it is gone once more, and with it what it was asked. The limit does not begin anew.
    void daemon_left() { ask_at_ = never; }

    bool asks(std::uint64_t now) const { return now >= ask_at_; }
    /// It was asked, and answers in its own time.
    void asked() { ask_at_ = never; }
    /// It said: not yet.
    void put_off(std::uint64_t now) { ask_at_ = now + pause_.next(); }

    bool over(std::uint64_t now) const { return now >= over_; }
    /// When there is something to do.
    std::uint64_t deadline() const { return std::min(ask_at_, over_); }

  private:
    std::uint64_t over_;
    std::uint64_t ask_at_ = never;
    Pause pause_{20'000, 1'000'000};
};

}  // namespace impnet::detail
