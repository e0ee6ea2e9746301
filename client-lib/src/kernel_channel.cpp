// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel_channel.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>

namespace impnet::detail {

namespace {

/// Datagrams in one system call.
constexpr std::size_t datagrams_at_once = 64;

std::uint16_t bound_port(int fd) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) < 0) return 0;
    return ntohs(address.sin_port);
}

sockaddr_in socket_address(Ipv4 address, std::uint16_t port) {
    sockaddr_in out{};
    out.sin_family = AF_INET;
    out.sin_port = htons(port);
    out.sin_addr.s_addr = htonl(address.bits());
    return out;
}

/// The errnos of the bus API's table, EPERM excepted.
Verdict translate(int error) {
    switch (error) {
        case EAGAIN:
            return Verdict::would_block;
        case EACCES:
            return Verdict::address_not_allowed;
        case EINVAL:
            return Verdict::invalid_port;
        case EMSGSIZE:
            return Verdict::too_large;
        case EPIPE:
            return Verdict::closed;
        // The table has the first; the kernel has more words for an interface that just went.
        case ENETUNREACH:
        case EHOSTUNREACH:
        case ENETDOWN:
        case ENODEV:
        case ENXIO:
        case EADDRNOTAVAIL:
            return Verdict::not_connected;
        default:
            return Verdict::failed;
    }
}

/// The address that a datagram was sent to (IP_PKTINFO).
Ipv4 destination(msghdr& header) {
    for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr;
         part = CMSG_NXTHDR(&header, part)) {
        if (part->cmsg_level != IPPROTO_IP || part->cmsg_type != IP_PKTINFO) continue;
        in_pktinfo info{};
        std::memcpy(&info, CMSG_DATA(part), sizeof info);
        return Ipv4(ntohl(info.ipi_addr.s_addr));
    }
    return {};
}

bool hung_up(int fd) {
    pollfd asked{.fd = fd, .events = 0, .revents = 0};
    return ::poll(&asked, 1, 0) > 0 && (asked.revents & POLLHUP) != 0;
}

}  // namespace

KernelChannel::KernelChannel(Descriptor fd, std::uint16_t local_port)
    : DataChannel(std::move(fd), local_port), bound_port_(bound_port(this->fd())) {}

void KernelChannel::send(std::span<const OutgoingDatagram> datagrams, std::span<Verdict> verdicts,
                         Backlog&, ReceiveBatch&) {
    std::size_t done = 0;
    while (done < datagrams.size()) {
        if (ended_) {
            verdicts[done++] = Verdict::closed;
            continue;
        }
        std::array<sockaddr_in, datagrams_at_once> addresses;
        std::array<iovec, datagrams_at_once> payloads;
        std::array<mmsghdr, datagrams_at_once> messages;
        const std::size_t count = std::min(datagrams_at_once, datagrams.size() - done);
        for (std::size_t i = 0; i < count; ++i) {
            const auto& datagram = datagrams[done + i];
            addresses[i] = socket_address(datagram.to, datagram.port);
            payloads[i] = {const_cast<std::byte*>(datagram.data.data()), datagram.data.size()};
            messages[i] = {};
            messages[i].msg_hdr.msg_name = &addresses[i];
            messages[i].msg_hdr.msg_namelen = sizeof addresses[i];
            messages[i].msg_hdr.msg_iov = &payloads[i];
            messages[i].msg_hdr.msg_iovlen = 1;
        }
        const int sent = ::sendmmsg(fd(), messages.data(), static_cast<unsigned>(count),
                                    MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) {  // the first one's error; of a later one it is told when that is the first
            const auto verdict = errno == EPERM ? ask_again(messages[0].msg_hdr) : translate(errno);
            verdicts[done++] = verdict;
            note(verdict);
            continue;
        }
        for (int i = 0; i < sent; ++i) verdicts[done++] = Verdict::sent;
        note(Verdict::sent);
    }
}

/// EPERM: the bucket ran empty between the look at it and the taking, or a firewall of the host
/// said no. A second try tells which: EAGAIN for the bucket, EPERM again for the firewall.
Verdict KernelChannel::ask_again(const msghdr& message) {
    ssize_t sent = 0;
    do {
        sent = ::sendmsg(fd(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0) return Verdict::sent;
    return errno == EPERM ? Verdict::not_connected : translate(errno);
}

/// What a verdict means for the socket as a whole.
void KernelChannel::note(Verdict verdict) {
    if (verdict == Verdict::sent) local_port_ = bound_port_;
    if (verdict == Verdict::address_not_allowed || verdict == Verdict::closed) ended_ = true;
}

std::span<const Datagram> KernelChannel::receive(ReceiveBatch& batch) {
    batch.datagrams.clear();
    if (ended_) return {};
    const int count = batch.fill(fd());
    for (std::size_t i = 0; count > 0 && i < static_cast<std::size_t>(count); ++i) {
        const auto& sender = batch.sender(i);
        batch.datagrams.push_back({.from = Ipv4(ntohl(sender.sin_addr.s_addr)),
                                   .from_port = ntohs(sender.sin_port),
                                   .to = destination(batch.header(i)),
                                   .to_port = bound_port_,
                                   .data = batch.message(i)});
    }
    if (batch.datagrams.empty() && hung_up(fd())) ended_ = true;
    return batch.datagrams;
}

}  // namespace impnet::detail
