// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The data path without the daemon in it: the descriptor is a UDP socket that the daemon made and
// the kernel governs. What a send may not do comes back as an errno; the table is in the bus API.
// The daemon takes the socket back by shutting it down, which is the end of this channel.
//
// The contract judges the address first, then the port, then the size. The kernel looks at some of
// that before it asks the daemon's programs: it refuses port 0, and more than 65535 bytes, whatever
// the address. So what is too large travels cut to where it still is too large, and port 0 is asked
// about once more in a form that the programs get to see and that cannot leave.
#pragma once

#include <algorithm>
#include <cerrno>
#include <optional>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "alike.hpp"
#include "data_channel.hpp"

namespace impnet::detail {

class KernelChannel final : public DataChannel {
  public:
    /// Of one datagram.
    static constexpr std::size_t most_payload = 65507;

    /// `local_port`: the one in force, 0 if none is before the first send.
    KernelChannel(Descriptor fd, std::uint16_t local_port);

    std::string_view path() const override { return "kernel"; }
    void send(std::span<const OutgoingDatagram> datagrams, std::span<Verdict> verdicts,
              Backlog& backlog, ReceiveBatch& scratch) override;
    /// Asks the kernel: a system call.
    std::chrono::nanoseconds retry_after() const override;
    std::span<const Datagram> receive(ReceiveBatch& batch) override {
        return receive(batch, Wait::no);
    }
    /// The same; with `Wait::yes` it waits for the first datagram, until a signal comes or for one
    /// or two ticks of the kernel's clock.
    std::span<const Datagram> receive(ReceiveBatch& batch, Wait wait);

    /// One datagram, the cheapest way. Inline: after a system call each return is mispredicted, and
    /// a few of these cost as much as what the kernel's programs do.
    Verdict send(const OutgoingDatagram& datagram) {
        if (ended_) return Verdict::closed;
        const int error = try_to_send(datagram);
        if (error != 0) return judge_and_note(error, datagram, false);
        local_port_ = bound_port_;
        return Verdict::sent;
    }

  private:
    static constexpr int flags = MSG_DONTWAIT | MSG_NOSIGNAL;

    static sockaddr_in socket_address(const OutgoingDatagram& datagram) {
        sockaddr_in out{};
        out.sin_family = AF_INET;
        out.sin_port = htons(datagram.port);
        out.sin_addr.s_addr = htonl(datagram.to.bits());
        return out;
    }
    /// What is handed to the kernel: one byte more than there can be is as much too large as all.
    static std::size_t size_to_send(const OutgoingDatagram& datagram) {
        return std::min(datagram.data.size(), most_payload + 1);
    }
    /// 0, or the errno.
    int try_to_send(const OutgoingDatagram& datagram) const {
        const auto address = socket_address(datagram);
        for (;;) {
            if (::sendto(fd(), datagram.data.data(), size_to_send(datagram), flags,
                         reinterpret_cast<const sockaddr*>(&address), sizeof address) >= 0)
                return 0;
            if (errno != EINTR) return errno;
        }
    }

    std::size_t alike(std::span<const OutgoingDatagram> datagrams) const;
    std::size_t send_alike(std::span<const OutgoingDatagram> datagrams,
                           std::span<Verdict> verdicts);
    void send_some(std::span<const OutgoingDatagram> datagrams, std::span<Verdict> verdicts);
    Verdict judge_and_note(int error, const OutgoingDatagram& datagram, bool tried_before);
    Verdict judge(int error, const OutgoingDatagram& datagram, bool tried_before) const;
    void note(Verdict verdict);

    std::size_t largest_segment_ = largest_alike;  ///< that the device takes, as far as is known
    std::optional<std::size_t> largest_tried_;  ///< it would be this, if the refusal was about that
    std::size_t single_ = 0;    ///< datagrams that are not sent together with others for now
    std::uint16_t bound_port_;  ///< what the socket is bound to, in force or not
};

/// What the errno of a datagram means, by the bus API's table; EPERM for good. `tried_before`: this
/// was the second try, after one whose errno sendmmsg had kept to itself.
Verdict verdict_of(int error, const OutgoingDatagram& datagram, bool tried_before);

}  // namespace impnet::detail
