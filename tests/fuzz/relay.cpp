// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The input: how many datagrams the client sends (a byte), then messages, each its length (a byte)
// and its bytes. They are judged as the daemon would judge them of a client, and then go to the
// client's end of a real socket pair, where they are all there is before the end of the stream.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <vector>

#include <arpa/inet.h>
#include <sys/socket.h>

#include "client-lib/src/relay_channel.hpp"
#include "datapath/relay/frame.hpp"
#include "fuzz/input.hpp"
#include "fuzz/targets.hpp"

namespace fuzz {

namespace {

namespace client = impnet::detail;
using client::Verdict;
using impnetd::relay::Header;
using Message = std::vector<std::uint8_t>;

constexpr unsigned most_sent = 4;
/// As many as the smallest socket buffer takes.
constexpr std::size_t most_messages = 64;

void check_as_request(Bytes message) {
    namespace relay = impnetd::relay;
    const auto header = relay::decode(message);
    if (header) {
        const auto encoded = relay::encode(*header);
        demand(std::equal(encoded.begin(), encoded.end(), message.begin()),
               "a header is encoded as it was decoded");
    }
    const auto payload = message.size() - std::min(message.size(), relay::header_size);
    const std::size_t size = header ? header->local_port : 0;
    const bool one = header && header->kind == IMPNET_RELAY_DATAGRAM && size == 0;
    const bool several = header && header->kind == IMPNET_RELAY_DATAGRAMS && size > 0 &&
                         payload > size && payload <= size * IMPNET_RELAY_MOST_DATAGRAMS &&
                         payload <= impnetd::max_payload;
    const auto request = relay::decode_request(message);
    demand(request.has_value() == ((one || several) && header->local.is_zero()),
           "a client sends datagrams, and fills in nothing else");
    if (!request) return;
    demand(request->count == (several ? (payload - 1) / size + 1 : 1), "so many as there are");
    demand(request->size == (several ? size : payload), "and of their size");
}

/// What the client should make of the messages.
struct Expected {
    std::vector<Message> datagrams;
    std::vector<Verdict> verdicts;
    std::uint16_t local_port = 0;
    /// The verdict by which the daemon closed the socket: what follows it may be read or not.
    std::optional<std::size_t> forbidden;
};

Verdict verdict_of(std::uint8_t code) {
    switch (code) {
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

/// The client's side of the protocol, as relay.h has it.
class Oracle {
  public:
    explicit Oracle(std::size_t sent) : sent_(sent), written_(sent) {}

    /// The client comes to its next read: what it had to write is written by now.
    void next_read() {
        if (answered_ < sent_) written_ = sent_ + probes_;
    }
    /// False: the message ends the stream.
    bool take(const Message& message) {
        impnet_relay_header header{};
        if (message.size() < sizeof(header)) return false;
        std::memcpy(&header, message.data(), sizeof(header));
        if (header.version != IMPNET_RELAY_VERSION) return false;
        if (header.kind == IMPNET_RELAY_DATAGRAM) out_.datagrams.push_back(message);
        // A daemon took the place of another: what that one had read may have no verdict.
        if (header.kind == IMPNET_RELAY_RESUMED && answered_ < written_) ++probes_;
        if (header.kind == IMPNET_RELAY_VERDICT) take_verdicts(header, message);
        return true;  // other kinds are passed over
    }
    Expected result() {
        const auto& verdicts = out_.verdicts;
        const auto last = std::find(verdicts.begin(), verdicts.end(), Verdict::address_not_allowed);
        if (last != verdicts.end())
            out_.forbidden = static_cast<std::size_t>(last - verdicts.begin());
        out_.verdicts.resize(sent_, Verdict::closed);
        return std::move(out_);
    }

  private:
    void take_verdicts(const impnet_relay_header& header, const Message& message) {
        out_.local_port = ntohs(header.local_port);
        auto sequence = ntohs(header.sequence);
        for (std::size_t at = sizeof(header); at < message.size(); ++at, ++sequence) {
            const auto lost = static_cast<std::uint16_t>(sequence - answered_);
            if (lost >= written_ - answered_) continue;
            for (std::size_t left = lost; left > 0; --left) answer(Verdict::would_block);
            answer(verdict_of(message[at]));
        }
    }
    void answer(Verdict verdict) {
        if (answered_++ < sent_) out_.verdicts.push_back(verdict);
    }

    std::size_t sent_;
    std::size_t written_;
    std::size_t answered_ = 0;
    std::size_t probes_ = 0;
    Expected out_;
};

/// Messages that the client reads at once; between two reads it writes what it has to.
constexpr std::size_t read_at_once = 32;

Expected expect(const std::vector<Message>& messages, std::size_t sent) {
    Oracle oracle(sent);
    for (std::size_t i = 0; i < messages.size(); ++i) {
        if (i > 0 && i % read_at_once == 0) oracle.next_read();
        if (!oracle.take(messages[i])) break;
    }
    return oracle.result();
}

Message message_of(const impnet::Datagram& datagram) {
    const Header header{.kind = IMPNET_RELAY_DATAGRAM,
                        .peer = impnetd::Ipv4(datagram.from.bits()),
                        .peer_port = datagram.from_port,
                        .local = impnetd::Ipv4(datagram.to.bits()),
                        .local_port = datagram.to_port,
                        .sequence = 0};
    const auto encoded = impnetd::relay::encode(header);
    Message out(encoded.begin(), encoded.end());
    for (const auto byte : datagram.data) out.push_back(std::to_integer<std::uint8_t>(byte));
    return out;
}

/// A datagram has no number of its own.
Message without_sequence(Message message) {
    std::fill_n(message.begin() + offsetof(impnet_relay_header, sequence), 2, std::uint8_t{0});
    return message;
}

/// What the client wrote is what the daemon understands.
void check_requests(int daemon_end, const std::vector<impnet::OutgoingDatagram>& datagrams) {
    std::uint16_t sequence = 0;
    for (const auto& datagram : datagrams) {
        Message message(256);
        const auto size = ::recv(daemon_end, message.data(), message.size(), MSG_DONTWAIT);
        demand(size > 0, "each datagram becomes a message");
        message.resize(static_cast<std::size_t>(size));
        const impnetd::relay::Request expected{.peer = impnetd::Ipv4(datagram.to.bits()),
                                               .peer_port = datagram.port,
                                               .sequence = sequence++,
                                               .count = 1,
                                               .size = datagram.data.size()};
        demand(impnetd::relay::decode_request(message) == expected,
               "the daemon understands the client");
        const auto payload = Bytes(message).subspan(impnetd::relay::header_size);
        demand(std::equal(payload.begin(), payload.end(), datagram.data.begin(),
                          datagram.data.end(), [](auto a, auto b) { return std::byte{a} == b; }),
               "the data travels as it is");
    }
}

void check_client(const std::vector<Message>& messages, std::size_t sent) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) < 0)
        throw std::runtime_error("socketpair");
    const client::Descriptor daemon_end(ends[0]);
    client::RelayChannel channel(client::Descriptor(ends[1]), 0);
    for (const auto& message : messages)
        demand(::send(daemon_end.get(), message.data(), message.size(), MSG_DONTWAIT) >= 0,
               "the socket takes the messages");
    ::shutdown(daemon_end.get(), SHUT_WR);

    const std::array<std::byte, 3> data{std::byte{1}, std::byte{2}, std::byte{3}};
    std::vector<impnet::OutgoingDatagram> outgoing;
    for (std::size_t i = 0; i < sent; ++i)
        outgoing.push_back({.to = impnet::Ipv4(10, 0, 0, 9),
                            .port = static_cast<std::uint16_t>(2000 + i),
                            .data = std::span(data).first(i % (data.size() + 1))});

    // Their memory is large and its contents do not matter.
    static client::ReceiveBatch scratch(read_at_once);
    static client::ReceiveBatch batch(read_at_once);
    client::Backlog backlog;
    std::vector<Verdict> verdicts(sent, Verdict::no_answer);
    channel.send(outgoing, verdicts, backlog, scratch);
    check_requests(daemon_end.get(), outgoing);

    std::vector<Message> received;
    while (!backlog.empty()) received.push_back(message_of(backlog.take().view()));
    while (!channel.ended())
        for (const auto& datagram : channel.receive(batch))
            received.push_back(message_of(datagram));

    const auto expected = expect(messages, sent);
    const auto certain = expected.forbidden ? *expected.forbidden + 1 : sent;
    demand(std::equal(verdicts.begin(), verdicts.begin() + static_cast<std::ptrdiff_t>(certain),
                      expected.verdicts.begin()),
           "each datagram has the verdict that was meant for it");
    demand(received.size() == expected.datagrams.size() ||
               (expected.forbidden && received.size() < expected.datagrams.size()),
           "each datagram is received, up to the end");
    demand(expected.forbidden || channel.local_port() == expected.local_port,
           "the port is the last that was told");
    for (std::size_t i = 0; i < received.size(); ++i)
        demand(received[i] == without_sequence(expected.datagrams[i]),
               "datagrams are received in order, as they were sent");
}

}  // namespace

void relay(Bytes input) {
    Input in(input);
    const auto sent = in.upto(most_sent);
    std::vector<Message> messages;
    while (!in.empty() && messages.size() < most_messages) {
        const auto bytes = in.bytes(in.byte());
        messages.emplace_back(bytes.begin(), bytes.end());
        check_as_request(messages.back());
    }
    check_client(messages, sent);
}

}  // namespace fuzz
