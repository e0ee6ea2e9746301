// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Keeps the model true: it listens to the kernel's notifications and tells each change in their
// order. The socket's buffer is finite, and what does not fit is lost. Then what waits in it is
// thrown away, everything is read again, a datagram a turn of the loop, and the difference told.
// Meanwhile notifications wait in the socket, so that none is older than the tables that it is
// applied to.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "loop/loop.hpp"
#include "netlink/dump.hpp"
#include "netlink/model.hpp"
#include "netlink/socket.hpp"

namespace impnetd::netlink {

class Monitor {
  public:
    using Tell = std::function<void(const Change&)>;

    /// Reads the tables before it returns: the model is complete from the start. Throws
    /// std::runtime_error if the kernel refuses.
    Monitor(Loop& loop, std::size_t receive_buffer, Tell tell);

    const Model& model() const { return model_; }
    /// Tells what has arrived by now, and not much of what comes meanwhile. From the loop only, and
    /// not from inside `tell`.
    void catch_up();

  private:
    struct Resync {
        Resync(Loop& loop, std::function<void()> on_ready)
            : poll(loop, dump.fd(), [ready = std::move(on_ready)](int) { ready(); }) {
            poll.watch(Poll::readable);
        }
        Dump dump;
        Poll poll;
    };

    void read(int most);
    void take_in(std::span<const std::byte> datagram);
    void tell_changes();
    void start_resync();
    void advance_resync();
    void fail_resync(const std::string& why);

    Loop& loop_;
    Tell tell_;
    Model model_;
    Changes changes_;  // kept for its memory
    bool lost_ = false;
    Socket events_;
    Poll events_poll_;
    std::unique_ptr<Resync> resync_;
    Timer retry_;
};

}  // namespace impnetd::netlink
