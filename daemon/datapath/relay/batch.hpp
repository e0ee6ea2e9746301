// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Up to 64 messages on their way through the daemon: received by one system call, sent on by one,
// each lying where it was received, with the room for its header just before it. One batch serves
// all sockets of the relay, in both directions, since each is through before the next begins.
//
// Every slot has room for the largest datagram, 4 MiB in all, as address space: a page that nothing
// was written to costs nothing. Small datagrams touch the first page or two of each slot; the pages
// that large ones touched are given back to the kernel when there are more than half a MiB of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <sys/socket.h>

#include "core/ipv4.hpp"
#include "datapath/relay/frame.hpp"
#include "datapath/udp_socket.hpp"

namespace impnetd::relay {

class Batch {
  public:
    static constexpr std::size_t capacity = 64;

    /// Where a datagram came from and what it was sent to.
    struct Arrival {
        Ipv4 from;
        std::uint16_t from_port = 0;
        Ipv4 to;
        int ifindex = 0;
    };

    /// What a system call did: how many messages, or why none.
    struct Outcome {
        std::size_t count = 0;
        int error = 0;
    };

    Batch();
    ~Batch();
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;

    /// Fills the slots with whole messages from a client. The end of the stream is an empty
    /// message.
    Outcome receive_frames(int fd);
    /// Fills them with datagrams from the network, behind room for a header.
    Outcome receive_datagrams(int fd);

    /// A message from a client; longer than `max_frame` if it was cut short.
    std::span<const std::uint8_t> frame(std::size_t slot) const;
    /// Puts back a message that was taken out.
    void restore(std::size_t slot, std::span<const std::uint8_t> frame);
    std::span<const std::uint8_t> payload(std::size_t slot) const;
    Arrival arrival(std::size_t slot) const;

    /// Begins a new list of messages to send. `origin`: of the datagrams that get listed.
    void begin_list(const PacketOrigin& origin = {});
    std::size_t listed() const { return listed_; }
    /// Lists the payload of a slot that holds a message from a client.
    void list_datagram(std::size_t slot, Ipv4 to, std::uint16_t port);
    /// Writes the header of a slot that holds a datagram from the network, and lists both.
    void list_frame(std::size_t slot, const Header& header);
    /// Sends listed messages [first, last); returns how many went. An error is that of the first.
    Outcome send(int fd, std::size_t first, std::size_t last);

  private:
    Outcome receive(int fd, std::size_t offset);
    std::uint8_t* begin(std::size_t slot) const;

    std::uint8_t* memory_;
    std::size_t touched_by_large_ = 0;
    std::size_t listed_ = 0;
    PacketOrigin origin_;
    std::array<mmsghdr, capacity> received_{};
    std::array<iovec, capacity> received_parts_{};
    std::array<mmsghdr, capacity> list_{};
    std::array<iovec, capacity> list_parts_{};
    std::array<sockaddr_in, capacity> addresses_{};
    struct Control {
        alignas(cmsghdr) char bytes[CMSG_SPACE(sizeof(in_pktinfo))];
    };
    std::array<Control, capacity> controls_{};
};

}  // namespace impnetd::relay
