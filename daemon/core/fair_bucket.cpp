// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/fair_bucket.hpp"

#include <algorithm>
#include <cmath>

namespace impnetd {

namespace {

constexpr std::uint64_t eighth_of_a_second = 125'000'000;
constexpr std::uint64_t most_tokens_of_lead = 64;

std::uint64_t interval_of(double rate) {
    if (rate == 0) return 0;
    const double nanoseconds = std::ceil(1e9 / rate);
    const bool usable = nanoseconds >= 1 && nanoseconds < static_cast<double>(IMPNET_LONGEST);
    return usable ? static_cast<std::uint64_t>(nanoseconds) : IMPNET_LONGEST;
}

std::uint64_t lead_of(const impnet_limit& limit) {
    // Time is the only thing that a bucket of one token has to tell who goes first.
    if (limit.depth <= limit.interval) return limit.interval / 16;
    const std::uint64_t fitting = (limit.depth - limit.held_most - limit.interval) / 2;
    const std::uint64_t wanted = std::max<std::uint64_t>(eighth_of_a_second, 2 * limit.interval);
    const std::uint64_t lead = std::min(wanted, fitting);
    return lead / most_tokens_of_lead < limit.interval ? lead
                                                       : most_tokens_of_lead * limit.interval;
}

}  // namespace

impnet_limit bucket_limit(const RateLimit& limit) {
    impnet_limit fair{};
    fair.interval = interval_of(limit.rate);
    if (fair.interval == 0) return fair;
    const std::uint64_t tokens =
        std::min<std::uint64_t>(limit.burst, IMPNET_LONGEST / fair.interval);
    fair.depth = tokens * fair.interval;
    fair.held_most = tokens / 4 * fair.interval;
    fair.lead_most = lead_of(fair);
    return fair;
}

impnet_limit bucket_limit(const std::optional<RateLimit>& limit) {
    return limit ? bucket_limit(*limit) : impnet_limit{};
}

std::uint64_t sharers(const impnet_bucket& bucket, const impnet_share& share, std::uint64_t now) {
    const impnet_limit none{};
    return impnet_stand(&none, &bucket, &share, now).active;
}

std::uint64_t full_at_after_change(std::uint64_t full_at, const impnet_limit& before,
                                   const impnet_limit& after, std::uint64_t now) {
    if (full_at <= now || after.interval == 0) return full_at;
    const std::uint64_t lacking = full_at - now;
    if (before.interval == 0) return now + std::min<std::uint64_t>(lacking, after.depth);
    __extension__ using Wide = unsigned __int128;
    const Wide converted = (Wide{lacking} * after.interval + before.interval - 1) / before.interval;
    return now + static_cast<std::uint64_t>(std::min<Wide>(converted, after.depth));
}

}  // namespace impnetd
