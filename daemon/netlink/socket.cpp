// SPDX-License-Identifier: LGPL-2.1-or-later
#include "netlink/socket.hpp"

#include <array>
#include <cerrno>
#include <system_error>

#include <linux/sock_diag.h>
#include <netlink/msg.h>
#include <sys/socket.h>

namespace impnetd::netlink {

void FreeRequest::operator()(nl_msg* message) const {
    nlmsg_free(message);
}

Socket::Socket()
    : fd_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE)) {
    sockaddr_nl self{};
    self.nl_family = AF_NETLINK;
    if (!fd_ || ::bind(fd(), reinterpret_cast<const sockaddr*>(&self), sizeof(self)) != 0) {
        throw std::system_error(errno, std::generic_category(), "rtnetlink socket");
    }
    // Each is a help where the kernel has it: errors in words, answers that don't repeat the
    // request, and dumps filtered by their header.
    const int on = 1;
    for (const int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK}) {
        ::setsockopt(fd(), SOL_NETLINK, option, &on, sizeof(on));
    }
}

int Socket::join(unsigned group) const {
    return ::setsockopt(fd(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) == 0
               ? 0
               : errno;
}

void Socket::set_receive_buffer(std::size_t bytes) const {
    const int size = static_cast<int>(bytes);
    if (::setsockopt(fd(), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0) {
        ::setsockopt(fd(), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    }
}

int Socket::most_waiting() const {
    // What the kernel charges for a datagram besides its bytes is more, also on 32 bits.
    constexpr std::uint32_t least_charge = 256;
    std::array<std::uint32_t, SK_MEMINFO_VARS> memory{};
    socklen_t size = sizeof(memory);
    if (::getsockopt(fd(), SOL_SOCKET, SO_MEMINFO, memory.data(), &size) != 0) {
        throw std::system_error(errno, std::generic_category(), "SO_MEMINFO");
    }
    return static_cast<int>(memory[SK_MEMINFO_RMEM_ALLOC] / least_charge);
}

tl::expected<std::uint32_t, int> Socket::send(const RequestMessage& message) {
    nlmsghdr* header = nlmsg_hdr(message.get());
    header->nlmsg_seq = ++sequence_;
    sockaddr_nl kernel{};
    kernel.nl_family = AF_NETLINK;
    const auto sent = ::sendto(fd(), header, header->nlmsg_len, MSG_DONTWAIT,
                               reinterpret_cast<const sockaddr*>(&kernel), sizeof(kernel));
    if (sent < 0) return tl::unexpected<int>(errno);
    return sequence_;
}

tl::expected<std::span<const std::byte>, int> Socket::receive(ReceiveBuffer& buffer) const {
    sockaddr_nl sender{};
    socklen_t sender_size = sizeof(sender);
    const auto size =
        ::recvfrom(fd(), buffer.bytes.data(), buffer.bytes.size(), MSG_DONTWAIT | MSG_TRUNC,
                   reinterpret_cast<sockaddr*>(&sender), &sender_size);
    if (size < 0) return tl::unexpected<int>(errno);
    if (sender.nl_pid != 0) return std::span<const std::byte>();
    // A datagram that doesn't fit is as good as lost.
    if (static_cast<std::size_t>(size) > buffer.bytes.size()) return tl::unexpected<int>(ENOBUFS);
    return std::span<const std::byte>(buffer.bytes.data(), static_cast<std::size_t>(size));
}

}  // namespace impnetd::netlink
