// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The clock of the rate limit and of signs of life: CLOCK_MONOTONIC, which is bpf_ktime_get_ns() to
// the programs.
#pragma once

#include <cstdint>

#include <time.h>

namespace impnetd {

inline std::uint64_t monotonic_nanoseconds() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace impnetd
