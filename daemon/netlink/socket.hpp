// SPDX-License-Identifier: LGPL-2.1-or-later
//
// An rtnetlink socket that never blocks. The kernel works inside the caller's own `send`: when that
// returns, a request is carried out and its answer waits to be received. Only the kernel is
// listened to, whoever else may write to the socket.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include <linux/netlink.h>
#include <tl/expected.hpp>

#include "loop/unique_fd.hpp"

struct nl_msg;

namespace impnetd::netlink {

struct FreeRequest {
    void operator()(nl_msg* message) const;
};

/// A message to the kernel.
using RequestMessage = std::unique_ptr<nl_msg, FreeRequest>;

/// As large as the kernel ever fills one datagram of a dump. Meant for the stack: only what is
/// written to becomes memory.
struct ReceiveBuffer {
    alignas(nlmsghdr) std::array<std::byte, std::size_t{32} * 1024> bytes;
};

class Socket {
  public:
    /// Throws std::system_error: the process is out of descriptors or memory.
    Socket();

    /// Multicast group RTNLGRP_…: an errno, or 0.
    int join(unsigned group) const;
    /// Room for messages that wait. Without CAP_NET_ADMIN the kernel caps it.
    void set_receive_buffer(std::size_t bytes) const;

    /// Sends with a sequence number of its own, which it returns; or an errno.
    tl::expected<std::uint32_t, int> send(const RequestMessage& message);
    /// One datagram, as long as the buffer is left alone; empty if somebody else than the kernel
    /// sent it. Or an errno: EAGAIN for none, ENOBUFS for some that were lost.
    tl::expected<std::span<const std::byte>, int> receive(ReceiveBuffer& buffer) const;

    /// No more datagrams than that wait to be received.
    int most_waiting() const;

    int fd() const { return fd_.get(); }

  private:
    UniqueFd fd_;
    std::uint32_t sequence_ = 0;
};

}  // namespace impnetd::netlink
