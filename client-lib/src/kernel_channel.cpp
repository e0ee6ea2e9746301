// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel_channel.hpp"

#include <array>
#include <cstring>

#include <netinet/udp.h>
#include <poll.h>

#include "kernel.h"

namespace impnet::detail {

namespace {

/// Datagrams in one system call.
constexpr std::size_t datagrams_at_once = most_alike;
/// From so many on it pays to have the kernel cut them apart.
constexpr std::size_t fewest_segments = 4;
/// So many datagrams go one by one after some were refused together: who is at the rate limit would
/// be refused nearly always.
constexpr std::size_t singles_after_refusal = 1'024;
/// Longer than any wait of a limiter that lets anything pass.
constexpr std::chrono::nanoseconds longest_wait = std::chrono::hours(24);

/// Data that no datagram can carry; never read, never written.
std::array<std::byte, KernelChannel::most_payload + 1> too_much;

std::uint16_t bound_port(int fd) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) < 0) return 0;
    return ntohs(address.sin_port);
}

bool is_too_large(const OutgoingDatagram& datagram) {
    return datagram.data.size() > KernelChannel::most_payload;
}

bool is_forbidden(std::uint16_t port) {
    return port == 0 || port == 67 || port == 68;
}

/// RFC 1918 or 255.255.255.255.
bool is_local(Ipv4 address) {
    const auto within = [&](Ipv4 network, unsigned bits) {
        return (address.bits() ^ network.bits()) >> (32 - bits) == 0;
    };
    return within(Ipv4(10, 0, 0, 0), 8) || within(Ipv4(172, 16, 0, 0), 12) ||
           within(Ipv4(192, 168, 0, 0), 16) || address == Ipv4(255, 255, 255, 255);
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
    while (!datagrams.empty()) {
        std::size_t count = alike(datagrams);
        std::size_t answered = 0;
        largest_tried_.reset();
        if (count >= fewest_segments)
            answered = send_alike(datagrams.first(count), verdicts.first(count));
        if (answered == 0) {
            // With what follows, up to those that can be sent so.
            const auto more = [&] { return alike(datagrams.subspan(count)); };
            for (auto next = more();
                 next > 0 && next < fewest_segments && count + next <= datagrams_at_once;
                 next = more())
                count += next;
            send_some(datagrams.first(count), verdicts.first(count));
            answered = count;
            // Each by itself it went: together it cannot.
            if (largest_tried_ && verdicts.front() == Verdict::sent)
                largest_segment_ = *largest_tried_;
        }
        datagrams = datagrams.subspan(answered);
        verdicts = verdicts.subspan(answered);
    }
}

/// Datagrams at the beginning that can go together. Not to forbidden ports: what their errno means
/// depends on it.
std::size_t KernelChannel::alike(std::span<const OutgoingDatagram> datagrams) const {
    if (!datagrams.empty() && is_forbidden(datagrams.front().port)) return 1;
    return count_alike(datagrams, largest_segment_);
}

/// The kernel cuts them apart where they leave (UDP_SEGMENT, udp(7)): up to there they are one. How
/// many are answered: all; the first, for which the refusal holds (or, if there were not tokens for
/// all of them, another try); or none, which have to be sent otherwise.
std::size_t KernelChannel::send_alike(std::span<const OutgoingDatagram> datagrams,
                                      std::span<Verdict> verdicts) {
    if (single_ > 0 || ended_) {
        single_ -= std::min(single_, datagrams.size());
        return 0;
    }
    const auto size = static_cast<std::uint16_t>(datagrams.front().data.size());
    auto address = socket_address(datagrams.front());
    std::array<iovec, datagrams_at_once> payloads;
    for (std::size_t i = 0; i < datagrams.size(); ++i)
        payloads[i] = {const_cast<std::byte*>(datagrams[i].data.data()), datagrams[i].data.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof size)> control{};
    msghdr message{};
    message.msg_name = &address;
    message.msg_namelen = sizeof address;
    message.msg_iov = payloads.data();
    message.msg_iovlen = datagrams.size();
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = IPPROTO_UDP;
    part->cmsg_type = UDP_SEGMENT;
    part->cmsg_len = CMSG_LEN(sizeof size);
    std::memcpy(CMSG_DATA(part), &size, sizeof size);
    int error = 0;
    do error = ::sendmsg(fd(), &message, flags) < 0 ? errno : 0;
    while (error == EINTR);
    switch (error) {
        case 0:
            std::fill(verdicts.begin(), verdicts.end(), Verdict::sent);
            note(Verdict::sent);
            return datagrams.size();
        case EIO:
        case EOPNOTSUPP:  // not over this device
            largest_tried_ = 0;
            return 0;
        case EINVAL:    // or the address has just gone
        case EMSGSIZE:  // they would have to be fragmented here
            largest_tried_ = size - 1U;
            return 0;
        case ENOBUFS:
        case ENOMEM:  // for so much at once
            single_ = singles_after_refusal;
            return 0;
        default:
            single_ = singles_after_refusal;
            verdicts[0] = judge_and_note(error, datagrams.front(), false);
            return 1;
    }
}

/// At most `datagrams_at_once`.
void KernelChannel::send_some(std::span<const OutgoingDatagram> datagrams,
                              std::span<Verdict> verdicts) {
    std::array<sockaddr_in, datagrams_at_once> addresses;
    std::array<iovec, datagrams_at_once> payloads;
    std::array<mmsghdr, datagrams_at_once> messages;
    for (std::size_t i = 0; i < datagrams.size(); ++i) {
        const auto& datagram = datagrams[i];
        addresses[i] = socket_address(datagram);
        payloads[i] = {const_cast<std::byte*>(datagram.data.data()), size_to_send(datagram)};
        messages[i] = {};
        messages[i].msg_hdr.msg_name = &addresses[i];
        messages[i].msg_hdr.msg_namelen = sizeof addresses[i];
        messages[i].msg_hdr.msg_iov = &payloads[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    std::size_t done = 0;
    bool tried_before = false;
    while (done < datagrams.size() && !ended_) {
        const int sent = ::sendmmsg(fd(), &messages[done],
                                    static_cast<unsigned>(datagrams.size() - done), flags);
        if (sent > 0) {
            std::fill_n(&verdicts[done], sent, Verdict::sent);
            note(Verdict::sent);
            done += static_cast<std::size_t>(sent);
            // Of the next one only its being refused is known: why, a second try has to tell.
            tried_before = true;
        } else if (errno != EINTR) {
            verdicts[done] = judge_and_note(errno, datagrams[done], tried_before);
            ++done;
            tried_before = false;
        }
    }
    std::fill(verdicts.begin() + static_cast<std::ptrdiff_t>(done), verdicts.end(),
              Verdict::closed);
}

Verdict KernelChannel::judge_and_note(int error, const OutgoingDatagram& datagram,
                                      bool tried_before) {
    const Verdict verdict = judge(error, datagram, tried_before);
    note(verdict);
    return verdict;
}

Verdict KernelChannel::judge(int error, const OutgoingDatagram& datagram, bool tried_before) const {
    // The bucket ran empty between the look at it and the taking, or a firewall of the host said
    // no. A second try tells which: EAGAIN for the bucket, EPERM again for the firewall.
    if (error == EPERM) error = try_to_send(datagram);
    if (error == 0) return Verdict::sent;
    // Refused before the address was looked at.
    if (error == EINVAL && datagram.port == 0) {
        const int judged = try_to_send({.to = datagram.to, .port = 67, .data = too_much});
        if (judged == EACCES) error = judged;
    }
    return verdict_of(error, datagram, tried_before);
}

Verdict verdict_of(int error, const OutgoingDatagram& datagram, bool tried_before) {
    if (error == EACCES) return Verdict::address_not_allowed;
    if (error == EPIPE) {
        // The first try may be what closed the socket.
        return tried_before && !is_local(datagram.to) ? Verdict::address_not_allowed
                                                      : Verdict::closed;
    }
    // The rest in the contract's order, which is not the kernel's.
    if (error == EINVAL && is_forbidden(datagram.port)) return Verdict::invalid_port;
    if (is_too_large(datagram) || error == EMSGSIZE) return Verdict::too_large;
    switch (error) {
        case EAGAIN:
            return Verdict::would_block;
        // The table has the first; the kernel has more words for an interface that just went.
        case ENETUNREACH:
        case EHOSTUNREACH:
        case ENETDOWN:
        case ENODEV:
        case ENXIO:
        case EADDRNOTAVAIL:
        case EINVAL:  // the address has just gone from the device
        case EPERM:   // a firewall of the host
            return Verdict::not_connected;
        default:
            return Verdict::failed;
    }
}

std::chrono::nanoseconds KernelChannel::retry_after() const {
    std::uint64_t wait = 0;
    socklen_t size = sizeof wait;
    if (::getsockopt(fd(), IMPNET_SOL, IMPNET_SO_WAIT, &wait, &size) < 0 || size != sizeof wait)
        return unknown_wait;
    constexpr auto longest = static_cast<std::uint64_t>(longest_wait.count());
    // At once: it was not the rate limit but a full send buffer, which takes a moment to empty.
    constexpr std::uint64_t shortest = 1'000'000;
    return std::chrono::nanoseconds(std::clamp(wait, shortest, longest));
}

/// What a verdict means for the socket as a whole.
void KernelChannel::note(Verdict verdict) {
    if (verdict == Verdict::sent) local_port_ = bound_port_;
    if (verdict == Verdict::address_not_allowed || verdict == Verdict::closed) ended_ = true;
}

std::span<const Datagram> KernelChannel::receive(ReceiveBatch& batch, Wait wait) {
    batch.datagrams.clear();
    if (ended_) return {};
    const int count = fill(batch, wait);
    for (std::size_t i = 0; count > 0 && i < static_cast<std::size_t>(count); ++i) {
        // Who waits while the socket is shut down is told of an empty message from nobody.
        if (batch.header(i).msg_namelen == 0) break;
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
