// SPDX-License-Identifier: LGPL-2.1-or-later
//
// How long an interface rests after failed attempts: growing, and capped so that a network that
// comes back is found soon.
#pragma once

#include <algorithm>
#include <chrono>

namespace impnetd {

/// `failures`: attempts that failed in a row, from 1. 1, 2, 4, 8, then always 15 seconds.
constexpr std::chrono::milliseconds retry_pause(unsigned failures) {
    constexpr std::chrono::seconds longest{15};
    const unsigned doublings = std::min(failures > 0 ? failures - 1 : 0U, 4U);
    return std::min(std::chrono::seconds{1U << doublings}, longest);
}

}  // namespace impnetd
