// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The daemon's rate limit: a token bucket that starts full, in the GCRA form. Instead of a level
// that needs refilling it keeps one number, the theoretical arrival time: when the bucket would be
// full again. Taking a token moves it on by one interval; the bucket is empty when it lies a whole
// burst ahead. Over any time T no more than burst + rate * T tokens are given. The kernel program
// computes the same (ITU-T I.371; RFC 2697 for the bucket).
//
// Times are whole nanoseconds, so that nothing drifts. Where a limit cannot be met exactly (an
// interval that is no whole number, a bucket that takes longer than 70 years to fill) it is rounded
// to the strict side: the bound above holds for every burst and rate.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "core/rate_limit.hpp"

namespace impnetd {

class TokenBucket {
  public:
    explicit TokenBucket(RateLimit limits)
        : interval_(interval_of(limits.rate)),
          depth_(interval_ != 0 && limits.burst > longest / interval_ ? longest
                                                                      : interval_ * limits.burst) {}

    /// Takes `tokens`, all or none. `now`: monotonic nanoseconds, never going back.
    bool take(std::uint64_t now, std::uint32_t tokens = 1) {
        if (interval_ == 0) return true;
        if (tokens > depth_ / interval_) return false;
        const std::uint64_t next = std::max(full_at_, now) + interval_ * tokens;
        if (next - now > depth_) return false;
        full_at_ = next;
        return true;
    }

    /// Puts back tokens that a `take` got and nobody used.
    void give_back(std::uint32_t tokens) { full_at_ -= std::min(full_at_, interval_ * tokens); }

    /// How many tokens a `take` at this time could get.
    std::uint32_t available(std::uint64_t now) const {
        constexpr std::uint32_t all = std::numeric_limits<std::uint32_t>::max();
        if (interval_ == 0) return all;
        const std::uint64_t lacking = full_at_ > now ? full_at_ - now : 0;
        const std::uint64_t there = lacking < depth_ ? (depth_ - lacking) / interval_ : 0;
        return static_cast<std::uint32_t>(std::min<std::uint64_t>(there, all));
    }

    /// Nanoseconds from `now` until one token is there.
    std::uint64_t wait(std::uint64_t now) const {
        if (interval_ == 0 || full_at_ + interval_ <= now + depth_) return 0;
        return full_at_ + interval_ - now - depth_;
    }

    /// When the bucket will be full again: all that there is to remember of it.
    std::uint64_t full_at() const { return full_at_; }
    /// Goes on where another bucket was, perhaps one with other limits: never fuller than it was,
    /// and never emptier than empty.
    void restore(std::uint64_t full_at, std::uint64_t now) {
        full_at_ = std::min(full_at, now + depth_);
    }

  private:
    /// With spans no longer than this, no sum of a time and two of them overflows.
    static constexpr std::uint64_t longest = std::uint64_t{1} << 61;

    static std::uint64_t interval_of(double rate) {
        if (rate == 0) return 0;
        const double nanoseconds = std::ceil(1e9 / rate);
        const bool usable = nanoseconds >= 1 && nanoseconds < static_cast<double>(longest);
        return usable ? static_cast<std::uint64_t>(nanoseconds) : longest;
    }

    std::uint64_t interval_;  // nanoseconds a token
    std::uint64_t depth_;     // nanoseconds a burst
    std::uint64_t full_at_ = 0;
};

}  // namespace impnetd
