// SPDX-License-Identifier: LGPL-2.1-or-later
//
// How long to rest between tries: twice as long after each, up to a limit. Microseconds.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

namespace impnet::detail {

class Pause {
  public:
    constexpr Pause(std::uint64_t shortest, std::uint64_t longest)
        : shortest_(shortest), longest_(longest), next_(shortest) {}

    std::uint64_t next() { return std::exchange(next_, std::min(next_ * 2, longest_)); }
    void reset() { next_ = shortest_; }

  private:
    std::uint64_t shortest_;
    std::uint64_t longest_;
    std::uint64_t next_;
};

}  // namespace impnet::detail
