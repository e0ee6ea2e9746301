// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What we ask of the kernel, and its answers, matched by sequence number. The kernel carries a
// request out before `send` returns, but the answer is always told from the loop, after whatever
// the request has changed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "core/link.hpp"
#include "loop/loop.hpp"
#include "netlink/message.hpp"
#include "netlink/socket.hpp"

namespace impnetd::netlink {

class Requests {
  public:
    /// `before_answer` runs before each answer is told.
    Requests(Loop& loop, std::function<void()> before_answer);

    struct Request {
        RequestMessage message;
        std::string what;                 ///< for errors: "eth0: adding address 10.0.0.5/24"
        std::vector<int> also_success{};  ///< errnos that mean: nothing to do
        LinkPort::Done done;
    };
    void send(Request request);

  private:
    struct Pending {
        std::uint32_t sequence = 0;
        Request request;
    };
    struct Unsent {
        int error = 0;
        Request request;
    };

    void read();
    void answer(const Answer& answer);
    void answer_unsent();
    void tell(const Request& request, int error, const std::string& detail);

    Loop& loop_;
    std::function<void()> before_answer_;
    std::vector<Pending> pending_;
    std::vector<Unsent> unsent_;
    Socket socket_;
    Poll poll_;
    Timer unsent_timer_;
};

}  // namespace impnetd::netlink
