// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Takes values off the front of an input. Where the input ends there are zeros and empty texts, so
// that every input means something.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "fuzz/targets.hpp"

namespace fuzz {

class Input {
  public:
    explicit Input(Bytes bytes) : left_(bytes) {}

    bool empty() const { return left_.empty(); }
    std::uint8_t byte() {
        if (left_.empty()) return 0;
        const auto first = left_.front();
        left_ = left_.subspan(1);
        return first;
    }
    bool flag() { return (byte() & 1) != 0; }
    /// 0 to `most`.
    unsigned upto(unsigned most) { return byte() % (most + 1); }
    Bytes bytes(std::size_t size) {
        const auto out = left_.first(std::min(size, left_.size()));
        left_ = left_.subspan(out.size());
        return out;
    }
    /// What comes before the next `end`, or all that is left. The `end` is taken off, too.
    Bytes until(std::uint8_t end) {
        const auto at = std::find(left_.begin(), left_.end(), end);
        const auto out = bytes(static_cast<std::size_t>(at - left_.begin()));
        byte();
        return out;
    }

  private:
    Bytes left_;
};

}  // namespace fuzz
