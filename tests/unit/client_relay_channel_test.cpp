// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The client's side of relay.h. Here the test is the daemon's side, frame by frame; with the daemon
// itself there are the tests in namespaces.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstring>
#include <deque>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <arpa/inet.h>
#include <catch2/catch.hpp>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client-lib/src/relay_channel.hpp"
#include "relay.h"

using namespace std::chrono_literals;
using namespace impnet::detail;
using impnet::Ipv4;
using impnet::OutgoingDatagram;

namespace {

struct Frame {
    impnet_relay_header header{};
    std::string payload;
};

/// The daemon's end of the pair.
class DaemonEnd {
  public:
    explicit DaemonEnd(int fd) : fd_(fd) {}

    /// The next frame; nothing when the client has closed, or none comes for 5 s. Of several
    /// datagrams in one message each is a frame, as if it had come by itself.
    std::optional<Frame> read() {
        if (frames_.empty()) {
            const auto frame = read_message();
            if (!frame) return std::nullopt;
            take_apart(*frame);
        }
        auto frame = std::move(frames_.front());
        frames_.pop_front();
        return frame;
    }
    /// The next message as it is.
    std::optional<Frame> read_message() const {
        pollfd waiting{.fd = fd_.get(), .events = POLLIN, .revents = 0};
        if (::poll(&waiting, 1, 5'000) != 1) return std::nullopt;
        std::vector<char> message(70'000);
        const auto size = ::recv(fd_.get(), message.data(), message.size(), 0);
        if (size < static_cast<ssize_t>(sizeof(impnet_relay_header))) return std::nullopt;
        Frame frame;
        std::memcpy(&frame.header, message.data(), sizeof frame.header);
        frame.payload.assign(message.data() + sizeof frame.header, message.data() + size);
        return frame;
    }
    /// Waits until so many bytes are there to be read. False: they are not, after 5 s.
    bool holds(std::size_t bytes) const {
        const auto deadline = std::chrono::steady_clock::now() + 5s;
        int there = 0;
        while (::ioctl(fd_.get(), FIONREAD, &there) == 0 && static_cast<std::size_t>(there) < bytes)
            if (std::chrono::steady_clock::now() > deadline) return false;
        return true;
    }
    /// Waits for room if there is none, as long as the client is there.
    void write(const Frame& frame) const {
        std::string message(reinterpret_cast<const char*>(&frame.header), sizeof frame.header);
        message += frame.payload;
        write(message);
    }
    void write(const std::string& message) const {
        ::send(fd_.get(), message.data(), message.size(), MSG_NOSIGNAL);
    }
    void verdict(std::uint16_t sequence, const std::vector<int>& codes,
                 std::uint16_t local_port = 2001, std::chrono::microseconds wait = 0us) const {
        Frame frame;
        frame.header.peer_address = htonl(static_cast<std::uint32_t>(wait.count()));
        frame.header.version = IMPNET_RELAY_VERSION;
        frame.header.kind = IMPNET_RELAY_VERDICT;
        frame.header.sequence = htons(sequence);
        frame.header.local_port = htons(local_port);
        for (const int code : codes) frame.payload += static_cast<char>(code);
        write(frame);
    }
    void resumed() const {
        Frame frame;
        frame.header.version = IMPNET_RELAY_VERSION;
        frame.header.kind = IMPNET_RELAY_RESUMED;
        write(frame);
    }
    void datagram(const std::string& payload, std::uint16_t from_port = 5000) const {
        Frame frame;
        frame.header.version = IMPNET_RELAY_VERSION;
        frame.header.kind = IMPNET_RELAY_DATAGRAM;
        frame.header.peer_address = htonl(Ipv4(10, 0, 0, 9).bits());
        frame.header.peer_port = htons(from_port);
        frame.header.local_address = htonl(Ipv4(10, 0, 0, 255).bits());
        frame.header.local_port = htons(2001);
        frame.payload = payload;
        write(frame);
    }

  private:
    void take_apart(const Frame& message) {
        const std::size_t size = message.header.kind == IMPNET_RELAY_DATAGRAMS
                                     ? ntohs(message.header.local_port)
                                     : message.payload.size();
        std::uint16_t sequence = ntohs(message.header.sequence);
        std::size_t at = 0;
        do {
            Frame frame{message.header, message.payload.substr(at, size)};
            frame.header.kind = IMPNET_RELAY_DATAGRAM;
            frame.header.local_port = 0;
            frame.header.sequence = htons(sequence++);
            frames_.push_back(frame);
            at += size;
        } while (at < message.payload.size());
    }

    Descriptor fd_;
    std::deque<Frame> frames_;
};

struct Relay {
    std::optional<DaemonEnd> daemon;
    std::optional<RelayChannel> channel;
    Backlog backlog;
    ReceiveBatch scratch{32};
    ReceiveBatch batch{32};

    explicit Relay(std::chrono::milliseconds limit = RelayChannel::default_limit) {
        std::array<int, 2> ends{};
        if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) < 0)
            throw std::runtime_error("socketpair");
        daemon.emplace(ends[0]);
        channel.emplace(Descriptor(ends[1]), std::uint16_t{0}, limit);
    }

    std::vector<Verdict> send(const std::vector<OutgoingDatagram>& datagrams) {
        std::vector<Verdict> verdicts(datagrams.size(), Verdict::failed);
        channel->send(datagrams, verdicts, backlog, scratch);
        return verdicts;
    }
    Verdict send(const std::string& payload) { return send({outgoing(payload)}).front(); }

    /// `payload` must outlive it.
    static OutgoingDatagram outgoing(const std::string& payload) {
        return {.to = Ipv4(10, 0, 0, 9), .port = 5000, .data = std::as_bytes(std::span(payload))};
    }
};

/// A program on the daemon's end for the length of a scope; the client's end must close, or the
/// program end, before it.
class Script {
  public:
    template <typename Program>
    explicit Script(Program program) : thread_(std::move(program)) {}
    ~Script() { thread_.join(); }

  private:
    std::thread thread_;
};

}  // namespace

TEST_CASE("a datagram becomes a frame, and its verdict the result", "[client]") {
    Relay relay;
    Frame seen;
    {
        Script script([&] {
            if (auto frame = relay.daemon->read()) seen = *frame;
            relay.daemon->verdict(0, {IMPNET_RELAY_SENT}, 40'000);
        });
        CHECK(relay.channel->local_port() == 0);
        CHECK(relay.send("hello") == Verdict::sent);
        CHECK(relay.channel->local_port() == 40'000);
    }
    CHECK(seen.payload == "hello");
    CHECK(seen.header.version == IMPNET_RELAY_VERSION);
    CHECK(seen.header.kind == IMPNET_RELAY_DATAGRAM);
    CHECK(ntohl(seen.header.peer_address) == Ipv4(10, 0, 0, 9).bits());
    CHECK(ntohs(seen.header.peer_port) == 5000);
    CHECK(seen.header.local_address == 0);
    CHECK(seen.header.local_port == 0);
    CHECK(seen.header.sequence == 0);
}

TEST_CASE("datagrams that are alike travel in one message", "[client]") {
    Relay relay;
    const std::string one = "one";
    const std::string two = "two";
    const std::string to = "to";
    const std::string none;
    const std::string large(1'473, 'x');
    auto elsewhere = Relay::outgoing(one);
    elsewhere.port = 5001;
    const std::vector<OutgoingDatagram> datagrams = {
        Relay::outgoing(one),   Relay::outgoing(two),
        Relay::outgoing(to),  // the shorter ends it
        Relay::outgoing(one),   elsewhere,
        Relay::outgoing(none),  Relay::outgoing(none),
        Relay::outgoing(large), Relay::outgoing(large)};
    std::vector<Frame> seen;
    {
        Script script([&] {
            for (int i = 0; i < 7; ++i)
                if (auto frame = relay.daemon->read_message()) seen.push_back(*frame);
            relay.daemon->verdict(0, std::vector<int>(datagrams.size(), IMPNET_RELAY_SENT));
        });
        CHECK(relay.send(datagrams) == std::vector(datagrams.size(), Verdict::sent));
    }
    std::vector<std::tuple<int, int, int, std::string>> messages;  // kind, sequence, size
    messages.reserve(seen.size());
    for (const auto& frame : seen)
        messages.emplace_back(frame.header.kind, ntohs(frame.header.sequence),
                              ntohs(frame.header.local_port), frame.payload);
    CHECK(messages == decltype(messages){{IMPNET_RELAY_DATAGRAMS, 0, 3, "onetwoto"},
                                         {IMPNET_RELAY_DATAGRAM, 3, 0, "one"},
                                         {IMPNET_RELAY_DATAGRAM, 4, 0, "one"},
                                         {IMPNET_RELAY_DATAGRAM, 5, 0, ""},
                                         {IMPNET_RELAY_DATAGRAM, 6, 0, ""},
                                         {IMPNET_RELAY_DATAGRAM, 7, 0, large},
                                         {IMPNET_RELAY_DATAGRAM, 8, 0, large}});
}

TEST_CASE("each relay verdict has its meaning", "[client]") {
    Relay relay;
    const std::vector<std::pair<int, Verdict>> meanings = {
        {IMPNET_RELAY_SENT, Verdict::sent},
        {IMPNET_RELAY_NOT_CONNECTED, Verdict::not_connected},
        {IMPNET_RELAY_WOULD_BLOCK, Verdict::would_block},
        {IMPNET_RELAY_INVALID_PORT, Verdict::invalid_port},
        {IMPNET_RELAY_TOO_LARGE, Verdict::too_large},
        {99, Verdict::failed},
        {IMPNET_RELAY_ADDRESS_NOT_ALLOWED, Verdict::address_not_allowed}};
    std::uint16_t sequence = 0;
    for (const auto& [code, verdict] : meanings) {
        CHECK_FALSE(relay.channel->ended());
        relay.daemon->verdict(sequence++, {code});  // lies ready before the datagram is sent
        CHECK(relay.send("x") == verdict);
    }
    CHECK(relay.channel->ended());
    CHECK(relay.send("x") == Verdict::closed);
}

TEST_CASE("datagrams that come before the verdict wait in the backlog, in order", "[client]") {
    Relay relay;
    relay.daemon->datagram("one", 1111);
    relay.daemon->datagram("", 2222);
    relay.daemon->verdict(0, {IMPNET_RELAY_SENT});
    relay.daemon->datagram("three", 3333);
    CHECK(relay.send("x") == Verdict::sent);

    REQUIRE(relay.backlog.size() == 3);
    const auto one = relay.backlog.take();
    CHECK(one.view().text() == "one");
    CHECK(one.view().from == Ipv4(10, 0, 0, 9));
    CHECK(one.view().from_port == 1111);
    CHECK(one.view().to == Ipv4(10, 0, 0, 255));
    CHECK(one.view().to_port == 2001);
    CHECK(relay.backlog.take().view().from_port == 2222);
    CHECK(relay.backlog.take().view().from_port == 3333);
}

TEST_CASE("verdicts of a batch may come in any packing", "[client]") {
    Relay relay;
    relay.daemon->verdict(0, {0, 1, 4});
    relay.daemon->datagram("between");
    relay.daemon->verdict(3, {0});
    relay.daemon->verdict(4, {17, 18, 0});
    const std::string payload = "x";
    CHECK(relay.send(std::vector(7, Relay::outgoing(payload))) ==
          std::vector{Verdict::sent, Verdict::not_connected, Verdict::would_block, Verdict::sent,
                      Verdict::invalid_port, Verdict::too_large, Verdict::sent});
    CHECK(relay.backlog.size() == 1);
}

TEST_CASE("a batch is complete though both directions are full at times", "[client]") {
    // This daemon reads nothing as long as it has something to write, and for each frame writes a
    // datagram as large as the frame: it fills the client's buffer while the client fills its.
    constexpr std::size_t count = 2'000;
    Relay relay;
    std::vector<std::string> payloads;
    std::vector<OutgoingDatagram> datagrams;
    payloads.reserve(count);
    datagrams.reserve(count);
    for (std::size_t i = 0; i < count; ++i)
        payloads.push_back(std::to_string(i) + std::string(8'000, '.'));
    for (const auto& payload : payloads) datagrams.push_back(Relay::outgoing(payload));
    std::size_t in_order = 0;
    std::vector<Verdict> verdicts;
    {
        Script script([&] {
            while (const auto frame = relay.daemon->read()) {
                if (frame->payload == payloads[in_order] &&
                    ntohs(frame->header.sequence) == in_order)
                    ++in_order;
                relay.daemon->datagram(frame->payload);
                relay.daemon->verdict(ntohs(frame->header.sequence),
                                      {in_order % 3 == 0 ? IMPNET_RELAY_WOULD_BLOCK : 0});
                if (in_order == count) return;
            }
        });
        verdicts = relay.send(datagrams);
    }
    CHECK(in_order == count);
    std::size_t expected = 0;
    for (std::size_t i = 0; i < count; ++i)
        expected += verdicts[i] == ((i + 1) % 3 == 0 ? Verdict::would_block : Verdict::sent);
    CHECK(expected == count);
    // The datagrams are there, as many as the bound allows, and the others are counted.
    CHECK(relay.backlog.size() + relay.backlog.dropped() >= count - 1);
    CHECK(relay.backlog.dropped() > 0);
}

TEST_CASE("relay sequence numbers wrap around", "[client]") {
    constexpr std::size_t count = 70'000;
    Relay relay;
    const std::string payload = "x";
    std::vector<Verdict> verdicts;
    std::atomic<std::size_t> as_counted = 0;
    {
        Script script([&] {
            for (std::size_t i = 0; i < count; ++i) {
                const auto frame = relay.daemon->read();
                if (!frame) return;
                as_counted += ntohs(frame->header.sequence) == static_cast<std::uint16_t>(i);
                relay.daemon->verdict(ntohs(frame->header.sequence), {static_cast<int>(i % 2)});
            }
        });
        verdicts = relay.send(std::vector(count, Relay::outgoing(payload)));
    }
    CHECK(as_counted == count);
    std::size_t expected = 0;
    for (std::size_t i = 0; i < count; ++i)
        expected += verdicts[i] == (i % 2 == 0 ? Verdict::sent : Verdict::not_connected);
    CHECK(expected == count);
}

TEST_CASE("a forbidden address closes the socket for the rest of the batch", "[client]") {
    Relay relay;
    relay.daemon->verdict(0, {IMPNET_RELAY_SENT, IMPNET_RELAY_ADDRESS_NOT_ALLOWED});
    const std::string payload = "x";
    CHECK(
        relay.send(std::vector(4, Relay::outgoing(payload))) ==
        std::vector{Verdict::sent, Verdict::address_not_allowed, Verdict::closed, Verdict::closed});
    CHECK(relay.channel->ended());
}

TEST_CASE("the last words of a daemon that closed are heard, and the rest is closed", "[client]") {
    Relay relay;
    SECTION("before anything was sent") {
        relay.daemon->datagram("last");
        relay.daemon->verdict(0, {IMPNET_RELAY_SENT});
        relay.daemon.reset();
        CHECK(relay.send("x") == Verdict::closed);  // it cannot have been sent
        CHECK(relay.backlog.size() == 1);
    }
    SECTION("with frames unread") {
        const std::string payload(1'473, 'x');  // too large to travel with another
        std::vector<Verdict> verdicts;
        {
            Script script([&] {
                if (!relay.daemon->holds(3 * (sizeof(impnet_relay_header) + payload.size())) ||
                    !relay.daemon->read())
                    return;
                relay.daemon->datagram("last");
                relay.daemon->verdict(0, {IMPNET_RELAY_ADDRESS_NOT_ALLOWED});
                relay.daemon.reset();
            });
            verdicts = relay.send(std::vector(3, Relay::outgoing(payload)));
        }
        CHECK(verdicts ==
              std::vector{Verdict::address_not_allowed, Verdict::closed, Verdict::closed});
        CHECK(relay.backlog.size() == 1);
    }
    CHECK(relay.channel->ended());
    CHECK(relay.send("x") == Verdict::closed);
}

TEST_CASE("a silent daemon is waited for no longer than the limit", "[client]") {
    Relay relay(50ms);
    const auto asked = std::chrono::steady_clock::now();
    SECTION("altogether") {
        CHECK(relay.send("first") == Verdict::no_answer);
    }
    SECTION("but for datagrams, which keep coming") {
        std::atomic<bool> done = false;
        Script script([&] {
            while (!done) {
                relay.daemon->datagram("noise");
                static_cast<void>(::poll(nullptr, 0, 5));
            }
        });
        CHECK(relay.send("first") == Verdict::no_answer);
        done = true;
    }
    const auto taken = std::chrono::steady_clock::now() - asked;
    CHECK(taken >= 50ms);
    CHECK(taken < 2s);

    // Its late verdict is not taken for another's.
    relay.daemon->verdict(0, {IMPNET_RELAY_NOT_CONNECTED, IMPNET_RELAY_WOULD_BLOCK});
    CHECK(relay.send("second") == Verdict::would_block);
}

TEST_CASE("a send hears a verdict that came in time, whatever interrupted it", "[client]") {
    SECTION("signals") {
        Relay relay;
        struct sigaction action {};
        struct sigaction before {};
        action.sa_handler = [](int) {};
        ::sigaction(SIGUSR1, &action, &before);
        {
            Script script([&, sender = ::pthread_self()] {
                static_cast<void>(relay.daemon->read());
                for (int i = 0; i < 20; ++i) {
                    ::pthread_kill(sender, SIGUSR1);
                    static_cast<void>(::poll(nullptr, 0, 1));
                }
                relay.daemon->verdict(0, {IMPNET_RELAY_SENT});
            });
            CHECK(relay.send("first") == Verdict::sent);
        }
        ::sigaction(SIGUSR1, &before, nullptr);
    }
    SECTION("a stop that is longer than the send would have waited") {
        constexpr auto limit = 100ms;
        Relay relay(limit);
        const pid_t sender = ::fork();
        REQUIRE(sender >= 0);
        if (sender == 0) ::_exit(relay.send("first") == Verdict::sent ? 0 : 1);
        REQUIRE(relay.daemon->read());
        REQUIRE(::kill(sender, SIGSTOP) == 0);
        int status = 0;
        REQUIRE(::waitpid(sender, &status, WUNTRACED) == sender);
        REQUIRE(WIFSTOPPED(status));
        relay.daemon->verdict(0, {IMPNET_RELAY_SENT});
        static_cast<void>(::poll(nullptr, 0, 3 * static_cast<int>(limit.count())));
        REQUIRE(::kill(sender, SIGCONT) == 0);
        REQUIRE(::waitpid(sender, &status, 0) == sender);
        REQUIRE(WIFEXITED(status));
        CHECK(WEXITSTATUS(status) == 0);
    }
}

TEST_CASE("data that is too large is cut to where it still is too large", "[client]") {
    Relay relay;
    std::size_t seen = 0;
    {
        Script script([&] {
            if (const auto frame = relay.daemon->read()) seen = frame->payload.size();
            relay.daemon->verdict(0, {IMPNET_RELAY_TOO_LARGE});
            if (const auto frame = relay.daemon->read()) seen += frame->payload.size();
            relay.daemon->verdict(1, {IMPNET_RELAY_SENT});
        });
        CHECK(relay.send(std::string(1'000'000, 'x')) == Verdict::too_large);
        CHECK(relay.send(std::string(65'507, 'x')) == Verdict::sent);
    }
    CHECK(seen == 65'508 + 65'507);
}

TEST_CASE("what has arrived is received in batches", "[client]") {
    Relay relay;
    for (std::uint16_t i = 0; i < 40; ++i)
        relay.daemon->datagram(std::string(std::size_t{i} * 37, 'x'),
                               static_cast<std::uint16_t>(i + 1));
    std::uint16_t next = 1;
    for (const std::size_t expected : {32u, 8u, 0u}) {
        const auto received = relay.channel->receive(relay.batch);
        REQUIRE(received.size() == expected);
        for (const auto& datagram : received) {
            CHECK(datagram.from_port == next);
            CHECK(datagram.data.size() == std::size_t{next} * 37 - 37);
            ++next;
        }
    }
    CHECK_FALSE(relay.channel->ended());
}

TEST_CASE("the largest datagram is received whole", "[client]") {
    Relay relay;
    std::string payload(65'507, 'a');
    payload.back() = 'z';
    relay.daemon->datagram(payload);
    const auto received = relay.channel->receive(relay.batch);
    REQUIRE(received.size() == 1);
    CHECK(received[0].text() == payload);
}

TEST_CASE("the end of the stream comes after what was written before it", "[client]") {
    Relay relay;
    relay.daemon->datagram("last");
    relay.daemon.reset();
    const auto received = relay.channel->receive(relay.batch);
    REQUIRE(received.size() == 1);
    CHECK(received[0].text() == "last");
    CHECK(relay.channel->receive(relay.batch).empty());
    CHECK(relay.channel->ended());
}

TEST_CASE("a frame that makes no sense ends the relay", "[client]") {
    Relay relay;
    Frame frame;
    frame.header.version = IMPNET_RELAY_VERSION;
    frame.header.kind = IMPNET_RELAY_DATAGRAM;
    SECTION("too short") {
        relay.daemon->write(std::string("short"));
    }
    SECTION("another version") {
        frame.header.version = 2;
        relay.daemon->write(frame);
    }
    CHECK(relay.channel->receive(relay.batch).empty());
    CHECK(relay.channel->ended());
}

TEST_CASE("a frame of a kind that came later is passed over", "[client]") {
    Relay relay;
    Frame frame;
    frame.header.version = IMPNET_RELAY_VERSION;
    frame.header.kind = 200;
    frame.payload = "news";
    relay.daemon->write(frame);
    relay.daemon->datagram("one");
    relay.daemon->write(frame);
    CHECK(relay.channel->receive(relay.batch).size() == 1);
    relay.daemon->write(frame);
    relay.daemon->verdict(0, {IMPNET_RELAY_SENT});
    CHECK(relay.send("x") == Verdict::sent);
    CHECK_FALSE(relay.channel->ended());
}

TEST_CASE("a datagram that was lost with a daemon would have blocked", "[client]") {
    Relay relay;
    Frame probe;
    {
        Script script([&] {
            if (!relay.daemon->read()) return;  // and so it is lost
            relay.daemon->resumed();
            if (const auto frame = relay.daemon->read()) probe = *frame;
            relay.daemon->verdict(1, {IMPNET_RELAY_INVALID_PORT});
            if (const auto frame = relay.daemon->read())
                relay.daemon->verdict(ntohs(frame->header.sequence), {IMPNET_RELAY_SENT});
        });
        CHECK(relay.send("lost") == Verdict::would_block);
        CHECK(relay.send("next") == Verdict::sent);
    }
    // What was asked with goes nowhere.
    CHECK(probe.header.kind == IMPNET_RELAY_DATAGRAM);
    CHECK(ntohl(probe.header.peer_address) == Ipv4(255, 255, 255, 255).bits());
    CHECK(probe.header.peer_port == 0);
    CHECK(ntohs(probe.header.sequence) == 1);
    CHECK(probe.payload.empty());
}

TEST_CASE("of a batch only what a daemon had taken with it is lost", "[client]") {
    constexpr std::size_t taken = 64;
    const std::size_t count = GENERATE(100u, 5'000u);
    Relay relay;
    const std::string payload = "x";
    std::vector<Verdict> verdicts;
    {
        Script script([&] {
            for (std::size_t i = 0; i < taken; ++i)
                if (!relay.daemon->read()) return;
            relay.daemon->verdict(0, {IMPNET_RELAY_SENT, IMPNET_RELAY_SENT});
            const bool early = count == 100;  // or with the whole pair full meanwhile
            if (early) relay.daemon->resumed();
            for (std::size_t i = taken; i < count; ++i) {
                const auto frame = relay.daemon->read();
                if (!frame) return;
                relay.daemon->verdict(ntohs(frame->header.sequence), {IMPNET_RELAY_NOT_CONNECTED});
                if (!early && i == taken + 300) relay.daemon->resumed();
            }
        });
        verdicts = relay.send(std::vector(count, Relay::outgoing(payload)));
    }
    std::vector<Verdict> expected(count, Verdict::not_connected);
    std::fill_n(expected.begin(), taken, Verdict::would_block);
    std::fill_n(expected.begin(), 2, Verdict::sent);
    CHECK(verdicts == expected);
}

TEST_CASE("what two daemons in a row have lost is found out as well", "[client]") {
    Relay relay;
    std::vector<Verdict> verdicts;
    const std::string payload = "x";
    {
        Script script([&] {
            if (!relay.daemon->read() || !relay.daemon->read()) return;
            relay.daemon->resumed();
            if (!relay.daemon->read()) return;  // the probe, and then it ends as well
            relay.daemon->resumed();
            if (const auto frame = relay.daemon->read())
                relay.daemon->verdict(ntohs(frame->header.sequence), {IMPNET_RELAY_INVALID_PORT});
        });
        verdicts = relay.send(std::vector(2, Relay::outgoing(payload)));
    }
    CHECK(verdicts == std::vector{Verdict::would_block, Verdict::would_block});
}

TEST_CASE("a daemon that comes while nothing is due changes nothing", "[client]") {
    Relay relay;
    relay.daemon->resumed();
    CHECK(relay.channel->receive(relay.batch).empty());
    relay.daemon->resumed();
    relay.daemon->verdict(0, {IMPNET_RELAY_SENT});
    CHECK(relay.send("x") == Verdict::sent);
    CHECK(relay.channel->receive(relay.batch).empty());
    // At most a probe, if the marker was read behind the datagram.
    std::uint16_t next = 1;
    {
        Script script([&] {
            for (auto frame = relay.daemon->read(); frame; frame = relay.daemon->read()) {
                next = ntohs(frame->header.sequence);
                if (frame->payload == "y") break;
            }
            relay.daemon->verdict(next, {IMPNET_RELAY_NOT_CONNECTED});
        });
        CHECK(relay.send("y") == Verdict::not_connected);
    }
}

TEST_CASE("a verdict that says would block says how long", "[client]") {
    Relay relay;
    const std::string payload = "x";
    const auto began = std::chrono::steady_clock::now();
    std::chrono::nanoseconds told{};
    SECTION("to the microsecond") {
        relay.daemon->verdict(0, {IMPNET_RELAY_WOULD_BLOCK}, 2001, 3'600'000'001us);
        told = 3'600'000'001us;
    }
    SECTION("or does not know") {
        relay.daemon->verdict(0, {IMPNET_RELAY_WOULD_BLOCK});
        told = 40ms;
    }
    SECTION("the last of a batch counts, without those that were sent") {
        relay.daemon->verdict(0, {IMPNET_RELAY_WOULD_BLOCK}, 2001, 500s);
        relay.daemon->verdict(1, {IMPNET_RELAY_SENT, IMPNET_RELAY_WOULD_BLOCK}, 2001, 1'000s);
        relay.daemon->verdict(3, {IMPNET_RELAY_SENT}, 2001, 2'000s);
        relay.send(std::vector(3, Relay::outgoing(payload)));
        told = 1'000s;
    }
    relay.send("x");
    const auto left = relay.channel->retry_after();
    const auto taken = std::chrono::steady_clock::now() - began;
    CHECK(left <= told);
    CHECK(left >= told - taken);
}

TEST_CASE("a wait that is over is none", "[client]") {
    Relay relay;
    CHECK(relay.channel->retry_after() == 0ns);
    relay.daemon->verdict(0, {IMPNET_RELAY_WOULD_BLOCK}, 2001, 1us);
    CHECK(relay.send("x") == Verdict::would_block);
    const auto sent = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - sent < 1us) continue;
    CHECK(relay.channel->retry_after() == 0ns);
}

TEST_CASE("nobody knows how long to wait after what was lost with a daemon", "[client]") {
    Relay relay;
    const auto began = std::chrono::steady_clock::now();
    relay.daemon->verdict(1, {IMPNET_RELAY_SENT}, 2001, 1'000s);
    const std::string payload = "x";
    CHECK(relay.send(std::vector(2, Relay::outgoing(payload))) ==
          std::vector{Verdict::would_block, Verdict::sent});
    const auto left = relay.channel->retry_after();
    CHECK(left <= 40ms);
    CHECK(left >= 40ms - (std::chrono::steady_clock::now() - began));
}
