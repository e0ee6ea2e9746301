// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The data path without the daemon in it: the descriptor is a UDP socket that the daemon made and
// the kernel governs. What a send may not do comes back as an errno; the table is in the bus API.
// The daemon takes the socket back by shutting it down, which is the end of this channel.
#pragma once

#include <sys/socket.h>

#include "data_channel.hpp"

namespace impnet::detail {

class KernelChannel final : public DataChannel {
  public:
    /// `local_port`: the one in force, 0 if none is before the first send.
    KernelChannel(Descriptor fd, std::uint16_t local_port);

    std::string_view path() const override { return "kernel"; }
    void send(std::span<const OutgoingDatagram> datagrams, std::span<Verdict> verdicts,
              Backlog& backlog, ReceiveBatch& scratch) override;
    std::span<const Datagram> receive(ReceiveBatch& batch) override;

  private:
    Verdict ask_again(const msghdr& message);
    void note(Verdict verdict);

    std::uint16_t bound_port_;  ///< what the socket is bound to, in force or not
};

}  // namespace impnet::detail
