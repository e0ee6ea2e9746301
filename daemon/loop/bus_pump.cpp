// SPDX-License-Identifier: LGPL-2.1-or-later
#include "loop/bus_pump.hpp"

#include <utility>

#include <poll.h>

namespace impnetd {

BusPump::BusPump(Loop& loop, sdbus::IConnection& connection,
                 std::function<void(const std::string&)> on_lost)
    : connection_(connection),
      on_lost_(std::move(on_lost)),
      poll_(loop, connection.getEventLoopPollData().fd, [this](int) { process(); }),
      timeout_(loop, [this] { process(); }),
      prepare_(loop, [this] { refresh(); }) {}

void BusPump::refresh() {
    if (lost_) return;
    try {
        const auto wanted = connection_.getEventLoopPollData();
        poll_.watch(((wanted.events & POLLIN) != 0 ? Poll::readable : 0) |
                    ((wanted.events & POLLOUT) != 0 ? Poll::writable : 0));
        const int delay = wanted.getPollTimeout();
        if (delay >= 0)
            timeout_.start(Milliseconds(delay));
        else
            timeout_.stop();
    } catch (const sdbus::Error& e) {
        lost(e.getMessage());
    }
}

void BusPump::process() {
    if (lost_) return;
    try {
        // What is left after a batch shows as a timeout of 0 in `refresh`.
        for (int i = 0; i < batch && connection_.processPendingRequest(); ++i) {
        }
    } catch (const sdbus::Error& e) {
        lost(e.getMessage());
    }
}

void BusPump::lost(const std::string& reason) {
    lost_ = true;
    poll_.watch(0);
    timeout_.stop();
    on_lost_(reason);
}

}  // namespace impnetd
