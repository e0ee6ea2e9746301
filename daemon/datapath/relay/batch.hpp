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

    /// Fills slots with whole messages from a client, at most so many. The end of the stream is an
    /// empty message.
    Outcome receive_frames(int fd, std::size_t most = capacity);
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
    /// Lists the datagrams of a slot that holds a message from a client. Several travel together,
    /// and the kernel cuts them apart where they leave (UDP_SEGMENT, udp(7)); unless they are
    /// larger than `largest_segment`.
    void list_request(std::size_t slot, const Request& request, std::size_t largest_segment);
    const Request& request(std::size_t listed) const { return requests_[listed]; }
    bool together(std::size_t listed) const { return together_[listed]; }
    /// They have to go one by one after all.
    void take_apart(std::size_t listed) { together_[listed] = false; }
    /// Leaves only the first `count` of them.
    void cut(std::size_t listed, std::size_t count);
    /// Takes the first `count` datagrams, and not all, out of the message in a slot.
    void drop(std::size_t slot, std::size_t count);
    /// Writes the header of a slot that holds a datagram from the network, and lists both.
    void list_frame(std::size_t slot, const Header& header);
    /// Sends listed messages [first, last), up to one that has to be taken apart; returns how many
    /// went. An error is that of the first.
    Outcome send(int fd, std::size_t first, std::size_t last);
    /// Sends the datagrams of a listed request one by one, from the one numbered `from` on; returns
    /// how many went. An error is that of the first.
    Outcome send_apart(int fd, std::size_t listed, std::size_t from);

  private:
    enum class Content : std::uint8_t { nothing, frames, datagrams };

    Outcome receive(int fd, Content content, std::size_t most);
    void prepare(Content content);
    void note_touched(std::size_t slot);
    std::uint8_t* begin(std::size_t slot) const;

    std::uint8_t* memory_;
    std::array<std::size_t, capacity> touched_{};  // of each slot, by large messages,
    std::size_t touched_by_large_ = 0;             // and of all
    std::size_t listed_ = 0;
    PacketOrigin origin_;
    Content content_ = Content::nothing;  // that the headers are ready for, but for
    std::size_t filled_ = 0;              // the first so many
    std::array<mmsghdr, capacity> received_{};
    std::array<iovec, capacity> received_parts_{};
    std::array<mmsghdr, capacity> list_{};
    std::array<iovec, capacity> list_parts_{};
    std::array<Request, capacity> requests_{};
    std::array<bool, capacity> together_{};
    std::array<mmsghdr, capacity> apart_{};
    std::array<iovec, capacity> apart_parts_{};
    std::array<sockaddr_in, capacity> addresses_{};
    /// Of a datagram that came, or of those to send.
    struct Control {
        alignas(
            cmsghdr) char bytes[CMSG_SPACE(sizeof(in_pktinfo)) + CMSG_SPACE(sizeof(std::uint16_t))];
    };
    std::array<Control, capacity> controls_{};
};

}  // namespace impnetd::relay
