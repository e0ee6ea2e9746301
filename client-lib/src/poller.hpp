// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The one descriptor that a program polls: an epoll instance over the bus, the sockets, a timer,
// and a wake-up. The wake-up stands for what no descriptor shows: messages that libsystemd has
// already read from the bus, datagrams that came while a send waited for its verdict, `stop()`.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <span>

#include <sys/epoll.h>

#include "descriptor.hpp"
#include "wait.hpp"

namespace impnet::detail {

class Poller {
  public:
    using Token = std::uint64_t;
    static constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();

    /// Throws std::system_error when out of descriptors.
    Poller();

    int fd() const { return epoll_.get(); }

    /// Watches a descriptor for epoll events. Throws std::system_error.
    void watch(int fd, std::uint32_t events, Token token);
    /// For other events from now on. One that was closed meanwhile is not watched any more anyway.
    void change(int fd, std::uint32_t events, Token token);
    /// Before the descriptor is closed: somebody may hold a copy of it.
    void forget(int fd);

    /// Makes `fd()` readable until the next `ready()`. Safe in a signal handler.
    void wake() noexcept;
    /// Makes `fd()` readable at this CLOCK_MONOTONIC time, in microseconds. Replaces the last one.
    void set_deadline(std::uint64_t usec);

    /// The tokens of what is ready now, each once; timer and wake-up are taken in and not among
    /// them. Waits for the first, or for a signal, if it is to. Valid until the next call.
    std::span<const Token> ready(Wait wait = Wait::no);

  private:
    Descriptor epoll_;
    Descriptor wake_;
    Descriptor timer_;
    std::uint64_t deadline_ = never;
    std::array<Token, 64> tokens_{};
};

/// A descriptor that is watched as long as this is there. It must be open as long.
class Watch {
  public:
    /// For reading, at first. Throws std::system_error.
    Watch(Poller& poller, int fd, Poller::Token token) : poller_(poller), fd_(fd), token_(token) {
        poller_.watch(fd_, events_, token_);
    }
    ~Watch() { poller_.forget(fd_); }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

    void set(std::uint32_t events) {
        if (events != events_) poller_.change(fd_, events, token_);
        events_ = events;
    }

  private:
    Poller& poller_;
    int fd_;
    Poller::Token token_;
    std::uint32_t events_ = EPOLLIN;
};

/// CLOCK_MONOTONIC in microseconds.
std::uint64_t monotonic_usec();

}  // namespace impnet::detail
