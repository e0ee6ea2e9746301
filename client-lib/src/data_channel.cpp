// SPDX-License-Identifier: LGPL-2.1-or-later
#include "data_channel.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>

namespace impnet::detail {

namespace {

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
    if (wait == Wait::yes && !can_wait_) {
        if (!let_wait(fd())) return -1;
        can_wait_ = true;
    }
    return batch.fill(fd(), wait);
}

}  // namespace impnet::detail
