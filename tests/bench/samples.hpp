// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What was measured, round by round, and what is made of it. The machine has other things to do,
// and its own moods: a number by itself says little. So a way is compared with the bare socket's
// turn a moment before or after it, in the same round, and the median of these ratios counts.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace bench {

/// A number for each round; NaN: it has none.
using Samples = std::vector<double>;

inline constexpr double nothing = std::numeric_limits<double>::quiet_NaN();

/// The number that so much of the samples, 0 to 1, lies below.
inline double quantile(Samples samples, double part) {
    samples.erase(std::remove_if(samples.begin(), samples.end(),
                                 [](double value) { return !std::isfinite(value); }),
                  samples.end());
    if (samples.empty()) return nothing;
    std::sort(samples.begin(), samples.end());
    const double place = part * static_cast<double>(samples.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    const auto above = std::min(below + 1, samples.size() - 1);
    return samples[below] +
           (samples[above] - samples[below]) * (place - static_cast<double>(below));
}

inline double median(const Samples& samples) {
    return quantile(samples, 0.5);
}

/// Round by round.
inline Samples ratios(const Samples& samples, const Samples& base) {
    Samples out;
    for (std::size_t i = 0; i < samples.size() && i < base.size(); ++i)
        out.push_back(samples[i] / base[i]);
    return out;
}

}  // namespace bench
