// SPDX-License-Identifier: LGPL-2.1-or-later
//
// One reading of everything that the model follows: links, then their addresses, then the routes,
// so that each finds what it refers to. It goes in steps of one datagram, for a loop that must not
// wait. A table that changed under the kernel's hands (NLM_F_DUMP_INTR) is read again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "netlink/message.hpp"
#include "netlink/model.hpp"
#include "netlink/socket.hpp"

namespace impnetd::netlink {

class Dump {
  public:
    /// Throws std::system_error without a socket.
    Dump() = default;

    /// Takes the next step; true: it was the last one.
    Result<bool> advance();
    /// What was read, once complete.
    Model take() { return std::move(model_); }

    /// Readable while `advance` has something to do after its first call.
    int fd() const { return socket_.fd(); }

  private:
    enum class Table : std::uint8_t { links, addresses, routes, none };

    Result<> ask();
    Result<> take_in(const nlmsghdr& header);
    Result<> finish(int error);

    Socket socket_;
    Table table_ = Table::links;
    std::uint32_t sequence_ = 0;  // of the request that is being answered; 0: none yet
    bool interrupted_ = false;
    std::vector<Message> read_;  // of this table
    Model model_;
    Changes ignored_;
};

}  // namespace impnetd::netlink
