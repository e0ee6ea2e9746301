// SPDX-License-Identifier: LGPL-2.1-or-later
#include "deadline.hpp"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <system_error>

#include <poll.h>

namespace lab {

int Deadline::poll_timeout() const {
    const auto left = std::chrono::ceil<Milliseconds>(at_ - Clock::now());
    return static_cast<int>(std::max<Milliseconds::rep>(0, left.count()));
}

std::vector<int> wait_readable(const std::vector<int>& fds, const Deadline& deadline) {
    std::vector<pollfd> polled;
    polled.reserve(fds.size());
    for (const int fd : fds) polled.push_back({fd, POLLIN, 0});
    int ready = -1;
    do {
        ready = ::poll(polled.data(), polled.size(), deadline.poll_timeout());
    } while (ready < 0 && errno == EINTR);
    if (ready < 0) throw std::system_error(errno, std::generic_category(), "poll");
    std::vector<int> result;
    for (const pollfd& entry : polled) {
        if (entry.revents != 0) result.push_back(entry.fd);
    }
    return result;
}

std::uint64_t monotonic_usec() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
           static_cast<std::uint64_t>(now.tv_nsec) / 1'000;
}

}  // namespace lab
