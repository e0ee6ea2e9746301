// SPDX-License-Identifier: LGPL-2.1-or-later
#include "receive_batch.hpp"

#include <cerrno>

namespace impnet::detail {

ReceiveBatch::ReceiveBatch(std::size_t messages)
    // NOLINTNEXTLINE(modernize-avoid-c-arrays)
    : data_(std::make_unique_for_overwrite<std::byte[]>(messages * stride)),
      slots_(messages),
      headers_(messages) {
    datagrams.reserve(messages);
    for (std::size_t i = 0; i < messages; ++i) {
        slots_[i].data = {&data_[i * stride], message_size};
        auto& header = headers_[i].msg_hdr;
        header.msg_iov = &slots_[i].data;
        header.msg_iovlen = 1;
        header.msg_name = &slots_[i].sender;
        header.msg_control = slots_[i].control.data();
        restore(header);
    }
}

/// What the kernel overwrites with every message.
void ReceiveBatch::restore(msghdr& header) {
    header.msg_namelen = sizeof(sockaddr_in);
    header.msg_controllen = sizeof(Slot::control);
    header.msg_flags = 0;
}

int ReceiveBatch::fill(int fd, Wait wait) {
    for (std::size_t i = 0; i < filled_; ++i) restore(headers_[i].msg_hdr);
    filled_ = 0;
    const int how = wait == Wait::yes ? MSG_WAITFORONE : MSG_DONTWAIT;
    int count = 0;
    do {
        count = ::recvmmsg(fd, headers_.data(), static_cast<unsigned>(headers_.size()),
                           how | MSG_CMSG_CLOEXEC, nullptr);
    } while (count < 0 && errno == EINTR && wait == Wait::no);
    if (count > 0) filled_ = static_cast<std::size_t>(count);
    return count;
}

}  // namespace impnet::detail
