// SPDX-License-Identifier: LGPL-2.1-or-later
#include "poller.hpp"

#include <cerrno>
#include <chrono>
#include <ctime>
#include <system_error>

#include <sys/eventfd.h>
#include <sys/timerfd.h>

namespace impnet::detail {

namespace {

constexpr Poller::Token wake_token = ~Poller::Token{0};
constexpr Poller::Token timer_token = ~Poller::Token{1};

Descriptor owned(int fd, const char* what) {
    if (fd < 0) throw std::system_error(errno, std::generic_category(), what);
    return Descriptor(fd);
}

int control(int epoll, int operation, int fd, std::uint32_t events, Poller::Token token) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = token;
    return ::epoll_ctl(epoll, operation, fd, &event);
}

void drain(int fd) {
    std::uint64_t count = 0;
    // Nothing to read is as good: both descriptors are non-blocking and only their level matters.
    [[maybe_unused]] const auto got = ::read(fd, &count, sizeof count);
}

}  // namespace

Poller::Poller()
    : epoll_(owned(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      wake_(owned(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      timer_(
          owned(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd_create")) {
    watch(wake_.get(), EPOLLIN, wake_token);
    watch(timer_.get(), EPOLLIN, timer_token);
}

void Poller::watch(int fd, std::uint32_t events, Token token) {
    if (control(epoll_.get(), EPOLL_CTL_ADD, fd, events, token) < 0)
        throw std::system_error(errno, std::generic_category(), "epoll_ctl");
}

void Poller::change(int fd, std::uint32_t events, Token token) {
    control(epoll_.get(), EPOLL_CTL_MOD, fd, events, token);
}

void Poller::forget(int fd) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void Poller::wake() noexcept {
    const int saved = errno;  // a signal handler must leave it alone
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);
    errno = saved;
}

void Poller::set_deadline(std::uint64_t usec) {
    if (usec == deadline_) return;
    deadline_ = usec;
    itimerspec when{};
    if (usec != never) {
        // A time of zero would disarm the timer; one nanosecond after boot has passed just as well.
        when.it_value.tv_sec = static_cast<time_t>(usec / 1'000'000);
        when.it_value.tv_nsec = static_cast<long>(usec % 1'000'000 * 1000) + 1;
    }
    ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

std::span<const Poller::Token> Poller::ready(Wait wait) {
    std::array<epoll_event, 64> events{};
    const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                   wait == Wait::yes ? -1 : 0);
    std::size_t kept = 0;
    for (int i = 0; i < count; ++i) {
        const Token token = events[static_cast<std::size_t>(i)].data.u64;
        if (token == wake_token) {
            drain(wake_.get());
        } else if (token == timer_token) {
            drain(timer_.get());
            deadline_ = never;
        } else {
            tokens_[kept++] = token;
        }
    }
    return {tokens_.data(), kept};
}

std::uint64_t monotonic_usec() {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                          std::chrono::steady_clock::now().time_since_epoch())
                                          .count());
}

}  // namespace impnet::detail
