// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Room for many messages at once, for recvmmsg: buffers, addresses, control messages. A client has
// few of these for all its sockets; memory that no message has touched is not resident.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include <netinet/in.h>
#include <sys/socket.h>

#include "impnet/datagram.hpp"
#include "wait.hpp"

namespace impnet::detail {

class ReceiveBatch {
  public:
    /// The largest message: a relay frame with a full payload fits.
    static constexpr std::size_t message_size = std::size_t{64} << 10;

    explicit ReceiveBatch(std::size_t messages);

    /// Reads what is there; waits for the first message, if it is to and the descriptor has it so.
    /// The number of messages; -1 with errno set, EINTR only when it was to wait.
    int fill(int fd, Wait wait);

    std::span<const std::byte> message(std::size_t i) const {
        return {&data_[i * stride], headers_[i].msg_len};
    }
    bool truncated(std::size_t i) const { return (headers_[i].msg_hdr.msg_flags & MSG_TRUNC) != 0; }
    const sockaddr_in& sender(std::size_t i) const { return slots_[i].sender; }
    /// For CMSG_FIRSTHDR and CMSG_NXTHDR, which take no const.
    msghdr& header(std::size_t i) { return headers_[i].msg_hdr; }

    /// For whoever fills the batch: what it made of the messages. Their data stays in the batch.
    std::vector<Datagram> datagrams;

  private:
    /// From message to message. A power of two would put the beginning of each into the same few
    /// lines of the cache.
    static constexpr std::size_t stride = message_size + 5 * std::size_t{64};

    struct Slot {
        sockaddr_in sender{};
        iovec data{};
        alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(in_pktinfo))> control{};
    };

    static void restore(msghdr& header);

    std::unique_ptr<std::byte[]> data_;  // NOLINT(modernize-avoid-c-arrays): left uninitialised
    std::vector<Slot> slots_;
    std::vector<mmsghdr> headers_;
    std::size_t filled_ = 0;  ///< headers that the kernel has changed
};

}  // namespace impnet::detail
