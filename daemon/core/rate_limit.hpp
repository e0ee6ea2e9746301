// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A rate limit as an administrator writes it.
#pragma once

#include <cstdint>

namespace impnetd {

struct RateLimit {
    std::uint32_t burst = 100;  ///< datagrams that may leave at once
    double rate = 25.0;         ///< datagrams per second; 0: unlimited

    friend bool operator==(const RateLimit&, const RateLimit&) = default;
};

}  // namespace impnetd
