// SPDX-License-Identifier: LGPL-2.1-or-later
#include "relay_channel.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <optional>
#include <utility>

#include <arpa/inet.h>
#include <poll.h>

#include "alike.hpp"
#include "relay.h"

namespace impnet::detail {

namespace {

using Header = impnet_relay_header;

/// Sent for its verdict alone: nothing goes out to port 0, wherever it is.
constexpr OutgoingDatagram probe{.to = Ipv4(255, 255, 255, 255), .port = 0, .data = {}};
/// Frames in one system call.
constexpr std::size_t frames_at_once = 64;
/// Frames without a verdict: far fewer than there are sequence numbers.
constexpr std::size_t most_in_flight = 1024;
/// One byte more than a datagram can carry. Longer ones are cut to this: the daemon judges them
/// (the address comes before the size) without the whole of them having to travel.
constexpr std::size_t most_payload = 65508;

Verdict translate(std::byte code) {
    switch (std::to_integer<int>(code)) {
        case IMPNET_RELAY_SENT:
            return Verdict::sent;
        case IMPNET_RELAY_NOT_CONNECTED:
            return Verdict::not_connected;
        case IMPNET_RELAY_WOULD_BLOCK:
            return Verdict::would_block;
        case IMPNET_RELAY_ADDRESS_NOT_ALLOWED:
            return Verdict::address_not_allowed;
        case IMPNET_RELAY_INVALID_PORT:
            return Verdict::invalid_port;
        case IMPNET_RELAY_TOO_LARGE:
            return Verdict::too_large;
        default:
            return Verdict::failed;
    }
}

struct Frame {
    Header header;  ///< numbers in network byte order, as they came
    std::span<const std::byte> payload;
};

std::optional<Frame> parse(std::span<const std::byte> message) {
    Frame frame{};
    if (message.size() < sizeof frame.header) return std::nullopt;
    std::memcpy(&frame.header, message.data(), sizeof frame.header);
    if (frame.header.version != IMPNET_RELAY_VERSION) return std::nullopt;
    frame.payload = message.subspan(sizeof frame.header);
    return frame;
}

/// Of the datagrams that a VERDICT says would block.
std::chrono::nanoseconds wait_of(const Header& verdicts) {
    const std::chrono::microseconds told(ntohl(verdicts.peer_address));
    return told.count() > 0 ? told : unknown_wait;
}

Datagram datagram_of(const Frame& frame) {
    return {.from = Ipv4(ntohl(frame.header.peer_address)),
            .from_port = ntohs(frame.header.peer_port),
            .to = Ipv4(ntohl(frame.header.local_address)),
            .to_port = ntohs(frame.header.local_port),
            .data = frame.payload};
}

}  // namespace

/// A batch under way: `answered` <= `written` <= all, which are the datagrams and then the probes.
struct RelayChannel::Exchange {
    std::span<const OutgoingDatagram> datagrams;
    std::span<Verdict> verdicts;
    Backlog& backlog;
    std::uint16_t first_sequence;
    std::size_t written = 0;
    std::size_t answered = 0;
    std::size_t probes = 0;  ///< one for each successor: something to be written that is answered
    bool refused = false;    ///< the other end takes no more; its last words may still be unread
    Clock::time_point deadline;

    bool done() const { return answered >= datagrams.size(); }
    /// Frames that may be written now.
    std::size_t room() const {
        if (refused) return 0;
        return std::min(datagrams.size() + probes - written,
                        most_in_flight + probes - (written - answered));
    }
    /// How many travel together, from that one on.
    std::size_t alike(std::size_t index) const {
        return index < datagrams.size() ? count_alike(datagrams.subspan(index)) : 1;
    }
    const OutgoingDatagram& at(std::size_t index) const {
        return index < datagrams.size() ? datagrams[index] : probe;
    }
    void answer(Verdict verdict) {
        if (answered < datagrams.size()) verdicts[answered] = verdict;
        ++answered;
    }
};

RelayChannel::RelayChannel(Descriptor fd, std::uint16_t local_port, std::chrono::milliseconds limit)
    : DataChannel(std::move(fd), local_port), limit_(limit) {}

void RelayChannel::send(std::span<const OutgoingDatagram> datagrams, std::span<Verdict> verdicts,
                        Backlog& backlog, ReceiveBatch& scratch) {
    Exchange exchange{.datagrams = datagrams,
                      .verdicts = verdicts,
                      .backlog = backlog,
                      .first_sequence = next_sequence_,
                      .deadline = Clock::now() + limit_};
    while (!exchange.done() && !ended_) {
        const auto before = std::pair(exchange.written, exchange.answered);
        if (exchange.room() > 0) write_some(exchange);
        // When all is written the call that reads waits: a call less, and that is much of what a
        // single datagram costs.
        const bool room = exchange.room() > 0;
        if (room) wait_for_room(exchange);
        // Looked at before: whoever was stopped meanwhile reads once more what came in time.
        const bool last = Clock::now() >= exchange.deadline;
        read_some(scratch, room ? Wait::no : Wait::yes, &exchange);
        if (std::pair(exchange.written, exchange.answered) != before)
            exchange.deadline = Clock::now() + limit_;
        else if (last)
            break;
    }
    while (!exchange.done()) exchange.answer(ended_ ? Verdict::closed : Verdict::no_answer);
}

std::chrono::nanoseconds RelayChannel::retry_after() const {
    return std::max(wait_over_ - Clock::now(), std::chrono::nanoseconds::zero());
}

std::span<const Datagram> RelayChannel::receive(ReceiveBatch& batch) {
    batch.datagrams.clear();
    if (!ended_) read_some(batch, Wait::no, nullptr);
    return batch.datagrams;
}

/// Writes what the socket takes.
void RelayChannel::write_some(Exchange& exchange) {
    std::array<Header, frames_at_once> headers;
    std::array<iovec, 2 * frames_at_once> parts;
    std::array<mmsghdr, frames_at_once> messages;
    std::array<std::size_t, frames_at_once> datagrams;  // of each message
    std::size_t written = 0;
    std::size_t used_parts = 0;
    std::size_t count = 0;
    const std::size_t room = exchange.room();
    while (written < room && count < frames_at_once && used_parts + 2 <= parts.size()) {
        const std::size_t next = exchange.written + written;
        const auto& first = exchange.at(next);
        const std::size_t alike =
            std::min({exchange.alike(next), room - written, parts.size() - used_parts - 1});
        headers[count] = {
            .version = IMPNET_RELAY_VERSION,
            .kind = static_cast<std::uint8_t>(alike > 1 ? IMPNET_RELAY_DATAGRAMS
                                                        : IMPNET_RELAY_DATAGRAM),
            .peer_port = htons(first.port),
            .peer_address = htonl(first.to.bits()),
            .local_address = 0,
            .local_port = htons(static_cast<std::uint16_t>(alike > 1 ? first.data.size() : 0)),
            .sequence = htons(static_cast<std::uint16_t>(next_sequence_ + written))};
        messages[count] = {};
        messages[count].msg_hdr.msg_iov = &parts[used_parts];
        messages[count].msg_hdr.msg_iovlen = alike + 1;
        parts[used_parts++] = {&headers[count], sizeof headers[count]};
        for (std::size_t i = 0; i < alike; ++i) {
            const auto& data = exchange.at(next + i).data;
            parts[used_parts++] = {const_cast<std::byte*>(data.data()),
                                   std::min(data.size(), most_payload)};
        }
        datagrams[count++] = alike;
        written += alike;
    }
    const int sent = ::sendmmsg(fd(), messages.data(), static_cast<unsigned>(count),
                                MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
        const bool hung_up = errno == EPIPE || errno == ECONNRESET || errno == ECONNREFUSED;
        if (hung_up)
            exchange.refused = true;
        else if (errno != EAGAIN && errno != EINTR)
            ended_ = true;
        return;
    }
    const auto through =
        std::accumulate(datagrams.begin(), datagrams.begin() + sent, std::size_t{0});
    exchange.written += through;
    next_sequence_ = static_cast<std::uint16_t>(next_sequence_ + through);
}

/// Reads what is there. Datagrams go to the exchange's backlog, or without an exchange to the
/// batch.
void RelayChannel::read_some(ReceiveBatch& batch, Wait wait, Exchange* exchange) {
    const int count = fill(batch, wait);
    if (count < 0) {
        // A daemon that closed without having read all of ours is reported once as ECONNRESET,
        // before what it had still written: go on reading, to the end of the stream.
        if (errno != ECONNRESET && errno != EAGAIN && errno != EINTR) ended_ = true;
        return;
    }
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
        // An empty message is the end of the stream; what makes no sense ends it as well.
        const auto frame = parse(batch.message(i));
        if (!frame || batch.truncated(i)) {
            ended_ = true;
            return;
        }
        if (frame->header.kind == IMPNET_RELAY_VERDICT) {
            local_port_ = ntohs(frame->header.local_port);
            if (exchange != nullptr)
                take_verdicts(ntohs(frame->header.sequence), frame->payload, wait_of(frame->header),
                              *exchange);
        } else if (frame->header.kind == IMPNET_RELAY_DATAGRAM) {
            if (exchange != nullptr)
                exchange->backlog.push(datagram_of(*frame));
            else
                batch.datagrams.push_back(datagram_of(*frame));
        } else if (frame->header.kind == IMPNET_RELAY_RESUMED && exchange != nullptr) {
            if (exchange->answered < exchange->written) ++exchange->probes;
        }
    }
}

/// Verdicts come in order. Those of an earlier send that nobody waits for any more are passed over;
/// those that are passed over themselves were lost with a daemon.
void RelayChannel::take_verdicts(std::uint16_t sequence, std::span<const std::byte> verdicts,
                                 std::chrono::nanoseconds wait, Exchange& exchange) {
    for (const auto code : verdicts) {
        const auto due = static_cast<std::uint16_t>(exchange.first_sequence + exchange.answered);
        const auto lost = static_cast<std::uint16_t>(sequence - due);
        if (lost < exchange.written - exchange.answered) {
            for (std::size_t i = 0; i < lost; ++i) exchange.answer(Verdict::would_block);
            if (lost > 0) refused(unknown_wait);
            const auto verdict = translate(code);
            exchange.answer(verdict);
            if (verdict == Verdict::would_block) refused(wait);
            if (verdict == Verdict::address_not_allowed) ended_ = true;
        }
        ++sequence;
    }
}

/// Waits until there is something to read, or room to write, or the time is over.
void RelayChannel::wait_for_room(const Exchange& exchange) const {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(exchange.deadline - Clock::now()).count();
    pollfd waiting{.fd = fd(), .events = POLLIN | POLLOUT, .revents = 0};
    ::poll(&waiting, 1, static_cast<int>(std::max<std::int64_t>(left, 0)));
}

}  // namespace impnet::detail
