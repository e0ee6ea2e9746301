// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The one place where a datagram asks whether it may leave now. There is one token bucket for the
// whole daemon, and every question names the client it is asked for (`Client::key`), so that shares
// can be told apart here and nowhere else.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "core/token_bucket.hpp"

namespace impnetd {

class Limiter {
  public:
    /// Monotonic nanoseconds.
    using Clock = std::function<std::uint64_t()>;

    /// `full_at` is the state of the bucket: kept elsewhere, as it outlives this process.
    Limiter(RateLimit limits, Clock clock, std::uint64_t& full_at)
        : bucket_(limits), clock_(std::move(clock)), full_at_(full_at) {
        bucket_.restore(full_at_, clock_());
    }

    /// Other limits from now on. What is spent stays spent.
    void set_limits(RateLimit limits) {
        bucket_ = TokenBucket(limits);
        bucket_.restore(full_at_, clock_());
    }

    /// How many datagrams of this client may leave now.
    std::uint32_t available(const std::string& /*client*/) const {
        return bucket_.available(clock_());
    }
    /// Takes so many tokens, all or none: before the datagrams are sent, so that a process that is
    /// killed meanwhile has not sent any for nothing.
    bool take(const std::string& /*client*/, std::uint32_t count) {
        const bool taken = bucket_.take(clock_(), count);
        full_at_ = bucket_.full_at();
        return taken;
    }
    /// Of those taken just now, so many are not needed: what the network refuses costs nothing.
    void give_back(const std::string& /*client*/, std::uint32_t count) {
        bucket_.give_back(count);
        full_at_ = bucket_.full_at();
    }

  private:
    TokenBucket bucket_;
    Clock clock_;
    std::uint64_t& full_at_;
};

}  // namespace impnetd
