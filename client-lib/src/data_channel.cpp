// SPDX-License-Identifier: LGPL-2.1-or-later
#include "data_channel.hpp"

#include <chrono>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

namespace impnet::detail {

namespace {

/// About as long as the other wait can be.
constexpr std::chrono::milliseconds as_long(10);

/// Has a read of the descriptor wait, but for the shortest time there is. All that is not to wait
/// says so with each call, here and in the daemon, which may have the descriptor as well.
bool let_wait(int fd) {
    constexpr timeval shortest{.tv_sec = 0, .tv_usec = 1};
    if (::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &shortest, sizeof shortest) < 0) return false;
    const int flags = ::fcntl(fd, F_GETFL);
    return flags >= 0 && ::fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0;
}

}  // namespace

int DataChannel::fill(ReceiveBatch& batch, Wait wait) {
    if (wait == Wait::yes && !waits_) waits_ = let_wait(fd());
    if (wait == Wait::yes && !*waits_) {  // the program may be in a sandbox that does not like it
        pollfd asked{.fd = fd(), .events = POLLIN, .revents = 0};
        ::poll(&asked, 1, static_cast<int>(as_long.count()));
        wait = Wait::no;
    }
    return batch.fill(fd(), wait);
}

}  // namespace impnet::detail
