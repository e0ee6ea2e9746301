// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Datagrams that were read from the data path but not yet given to the program: those that came in
// between a send and its verdict, and those left over when a callback threw. It stands in for the
// kernel's receive buffer, so it is bounded as one is, and what does not fit is dropped and
// counted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <utility>
#include <vector>

#include "impnet/datagram.hpp"

namespace impnet::detail {

class Backlog {
  public:
    static constexpr std::size_t default_limit = std::size_t{4} << 20;

    /// `limit` in bytes, the bookkeeping included.
    explicit Backlog(std::size_t limit = default_limit) : limit_(limit) {}

    bool empty() const { return kept_.empty(); }
    std::size_t size() const { return kept_.size(); }
    std::uint64_t dropped() const { return dropped_; }

    void clear() {
        kept_.clear();
        size_ = 0;
    }

    void push(const Datagram& datagram) {
        if (size_ + cost(datagram) > limit_) {
            ++dropped_;
            return;
        }
        size_ += cost(datagram);
        kept_.emplace_back(datagram);
    }

    /// Puts back, before everything else, what had been taken out already.
    void put_back(std::span<const Datagram> datagrams) {
        for (; !datagrams.empty(); datagrams = datagrams.first(datagrams.size() - 1)) {
            kept_.emplace_front(datagrams.back());
            size_ += cost(datagrams.back());
        }
    }

    /// A datagram that owns its data.
    class Kept {
      public:
        explicit Kept(const Datagram& datagram)
            : datagram_(datagram), data_(datagram.data.begin(), datagram.data.end()) {}

        Datagram view() const {
            Datagram out = datagram_;
            out.data = data_;
            return out;
        }

      private:
        Datagram datagram_;
        std::vector<std::byte> data_;
    };

    /// The oldest. There must be one.
    Kept take() {
        Kept oldest = std::move(kept_.front());
        kept_.pop_front();
        size_ -= cost(oldest.view());
        return oldest;
    }

  private:
    static std::size_t cost(const Datagram& datagram) {
        return sizeof(Kept) + datagram.data.size();
    }

    std::deque<Kept> kept_;
    std::size_t size_ = 0;
    std::size_t limit_;
    std::uint64_t dropped_ = 0;
};

}  // namespace impnet::detail
