// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/fair_bucket.h"
#include "core/rate_limit.hpp"

namespace impnetd {

/// A limit as the bucket counts. Rounded to the strict side where it cannot be met exactly.
inline impnet_limit bucket_limit(const RateLimit& limit) {
    impnet_limit out{};
    if (limit.rate == 0) return out;
    constexpr std::uint64_t longest = IMPNET_LONGEST;
    const double nanoseconds = std::ceil(1e9 / limit.rate);
    const bool usable = nanoseconds >= 1 && nanoseconds < static_cast<double>(longest);
    out.interval = usable ? static_cast<std::uint64_t>(nanoseconds) : longest;
    const std::uint64_t tokens = std::min<std::uint64_t>(limit.burst, longest / out.interval);
    out.depth = tokens * out.interval;
    out.held_most = tokens / 4 * out.interval;
    out.lead_most = std::min<std::uint64_t>(4, tokens - 1 - tokens / 4) * out.interval;
    return out;
}

}  // namespace impnetd
