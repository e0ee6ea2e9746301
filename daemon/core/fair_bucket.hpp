// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The fair bucket (core/fair_bucket.h) as the daemon sees it: its limits from what an administrator
// wrote, and what becomes of it when he writes something else. Where a limit cannot be met exactly
// (an interval that is no whole number of nanoseconds, a bucket that takes longer than 70 years to
// fill) it is rounded to the strict side: no more than burst + rate * T for every burst and rate.
#pragma once

#include <cstdint>
#include <optional>

#include "core/fair_bucket.h"
#include "core/rate_limit.hpp"

namespace impnetd {

/// Held back for quiet clients: whole tokens, at most a quarter of the burst. Lead: what comes in
/// an eighth of a second, so that others soon have what one leaves unused, but two tokens at least
/// and 64 at most, and no more than fits into the bucket.
impnet_limit bucket_limit(const RateLimit& limit);

/// How many share the rate while this client wants to send: those that are active, and it.
std::uint64_t sharers(const impnet_bucket& bucket, const impnet_share& share, std::uint64_t now);

/// An own limit: none is unlimited.
impnet_limit bucket_limit(const std::optional<RateLimit>& limit);

/// When a bucket whose limit changes now is full again: it lacks as many tokens as it did, all of
/// them if it is not deep enough for so many. What one that was unlimited lacks is not known: no
/// more than all.
std::uint64_t full_at_after_change(std::uint64_t full_at, const impnet_limit& before,
                                   const impnet_limit& after, std::uint64_t now);

}  // namespace impnetd
