// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A program that was refused by the rate limit is told when it may send again: by a timer in the
// client's descriptor, once, and at the right time.
#include <chrono>
#include <cstddef>
#include <ctime>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include <catch2/catch.hpp>
#include <poll.h>

#include "lab/connected.hpp"
#include "lab/lab.hpp"
#include "lab/standstill.hpp"

using namespace std::chrono_literals;
using lab::outcome;

namespace {

constexpr auto soon = 5s;
constexpr const char* server = "10.77.1.1";
/// One datagram, and one more every 40 ms.
constexpr const char* one_by_one = "[limiter]\nburst = 1\nrate = 25.0\n";

bool readable(const impnet::Client& client) {
    pollfd asked{.fd = client.fd(), .events = POLLIN, .revents = 0};
    return ::poll(&asked, 1, 0) == 1;
}

std::chrono::nanoseconds cpu_time() {
    timespec used{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

/// A socket whose `on_sendable` is counted.
struct Refused {
    lab::Connected connected{one_by_one};
    lab::Peer peer{connected.lan.server, 3000};
    impnet::UdpSocket socket = connected.open_udp(2001);
    int told = 0;

    Refused() { listen(); }

    void listen() {
        socket.on_sendable([this] { ++told; });
    }
    std::string send() { return outcome(socket.send(server, 3000, "x")); }
    /// Sends until it is refused.
    void exhaust() {
        for (int i = 0; i < 100; ++i)
            if (send() == "4") return;
        throw std::runtime_error("never refused");
    }
    bool until_told(int times = 1) {
        return connected.program.until(soon, [&] { return told >= times; });
    }
    void check_silence() {
        const int before = told;
        connected.program.idle(200ms);
        CHECK(told == before);
        CHECK_FALSE(readable(connected.program.client()));
    }
};

}  // namespace

TEST_CASE("who was refused is told once when the next datagram may pass, and then it does",
          "[sendable]") {
    Refused refused;
    for (int round = 1; round <= 5; ++round) {
        CAPTURE(round);
        CHECK(refused.socket.retry_after() == 0ns);
        const auto before = std::chrono::steady_clock::now();
        refused.exhaust();
        const auto wait = refused.socket.retry_after();
        CHECK(wait > 0ns);
        CHECK(wait <= 40ms);
        CHECK_FALSE(readable(refused.connected.program.client()));
        CHECK(refused.told == round - 1);
        REQUIRE(refused.until_told(round));
        const auto waited = std::chrono::steady_clock::now() - before;
        CHECK(waited >= wait);
        CHECK(waited < wait + 1s);
        CHECK(refused.socket.retry_after() == 0ns);
        CHECK(refused.send() == "0");
    }
    refused.check_silence();
    CHECK(refused.told == 5);
}

TEST_CASE("who was never refused is never told", "[sendable]") {
    Refused refused;
    CHECK(refused.send() == "0");
    CHECK(refused.socket.retry_after() == 0ns);
    refused.check_silence();
    CHECK(outcome(refused.socket.send("10.99.0.1", 3000, "off the subnet")) == "1");
    CHECK(outcome(refused.socket.send(server, 67, "forbidden port")) == "InvalidArgument");
    CHECK(refused.socket.retry_after() == 0ns);
    refused.check_silence();
    CHECK(refused.told == 0);
}

TEST_CASE("many refusals are told together, whatever was sent in between", "[sendable]") {
    Refused refused;
    const std::string text = "x";
    const impnet::OutgoingDatagram datagram{impnet::Ipv4(10, 77, 1, 1), 3000,
                                            std::as_bytes(std::span(text))};
    std::size_t blocked = 0;
    for (const auto& result : refused.socket.send_batch(std::vector(100, datagram)))
        blocked += outcome(result) == "4";
    REQUIRE(blocked > 0);
    // A token that comes before the callback does not take it away.
    const lab::Deadline limit(soon);
    while (refused.send() != "0" && !limit.passed()) continue;
    CHECK_FALSE(limit.passed());
    CHECK(refused.told == 0);
    REQUIRE(refused.until_told());
    refused.check_silence();
    CHECK(refused.told == 1);
}

TEST_CASE("on_sendable may be installed after the refusal, replaced and removed", "[sendable]") {
    Refused refused;
    refused.exhaust();
    SECTION("installed afterwards, even when the wait is over") {
        refused.socket.on_sendable(nullptr);
        CHECK(refused.socket.retry_after() <= 40ms);
        refused.check_silence();
        CHECK(refused.socket.retry_after() == 0ns);
        refused.listen();
        CHECK(refused.told == 0);  // from dispatch only
        REQUIRE(refused.until_told());
    }
    SECTION("replaced") {
        int other = 0;
        refused.socket.on_sendable([&] { ++other; });
        REQUIRE(refused.connected.program.until(soon, [&] { return other > 0; }));
        refused.check_silence();
        CHECK(other == 1);
        CHECK(refused.told == 0);
    }
    SECTION("removed") {
        refused.socket.on_sendable(nullptr);
        refused.check_silence();
        CHECK(refused.told == 0);
    }
}

TEST_CASE("a socket that is closed has nothing to send", "[sendable]") {
    Refused refused;
    refused.exhaust();
    SECTION("by the program") {
        refused.socket.close();
    }
    SECTION("with its interface") {
        refused.connected.eth0.close();
    }
    SECTION("for a forbidden address") {
        CHECK(outcome(refused.socket.send("8.8.8.8", 53, "x")) == "AddressNotAllowed");
    }
    CHECK(refused.socket.retry_after() == 0ns);
    refused.check_silence();
    CHECK(refused.told == 0);
}

TEST_CASE("on_sendable may end what it is called for", "[sendable]") {
    Refused refused;
    int calls = 0;
    SECTION("close its socket") {
        refused.socket.on_sendable([&] {
            ++calls;
            refused.socket.close();
        });
        refused.exhaust();
    }
    SECTION("destroy its socket") {
        refused.socket.on_sendable([&, owned = std::string(100, 'x')] {
            refused.socket = impnet::UdpSocket();
            calls += owned == std::string(100, 'x');  // the callback itself is still there
        });
        refused.exhaust();
    }
    SECTION("destroy another socket that was to be told, and its interface") {
        auto second = refused.connected.open_udp(2002);
        const auto end = [&] {
            ++calls;
            refused.socket = impnet::UdpSocket();
            second = impnet::UdpSocket();
            refused.connected.eth0 = impnet::Interface();
        };
        refused.socket.on_sendable(end);
        second.on_sendable(end);
        refused.exhaust();
        CHECK(outcome(second.send(server, 3000, "x")) == "4");
        // Both waits are over before either is told.
        const lab::Deadline limit(soon);
        while (second.retry_after() > 0ns || refused.socket.retry_after() > 0ns) {
            if (limit.passed()) throw std::runtime_error("the wait does not end");
        }
        refused.check_silence();
    }
    SECTION("throw, and what others are to be told is not lost") {
        auto second = refused.connected.open_udp(2002);
        refused.socket.on_sendable([&] { throw std::runtime_error("mine"); });
        second.on_sendable([&] { ++calls; });
        refused.exhaust();
        CHECK(outcome(second.send(server, 3000, "x")) == "4");
        CHECK_THROWS_WITH(refused.connected.program.until(soon, [] { return false; }), "mine");
        REQUIRE(refused.connected.program.until(soon, [&] { return calls > 0; }));
    }
    if (calls == 0) {
        refused.connected.program.until(soon, [&] { return calls > 0; });
    }
    refused.check_silence();
    CHECK(calls == 1);
    CHECK(refused.told == 0);
}

TEST_CASE("a program that goes on from on_sendable alone sends all that the rate grants",
          "[sendable]") {
    const auto [burst, rate, time] =
        GENERATE(std::tuple(100.0, 25.0, 2'000ms), std::tuple(20.0, 400.0, 1'000ms));
    CAPTURE(rate);
    lab::Connected connected("[limiter]\nburst = " + std::to_string(static_cast<int>(burst)) +
                             "\nrate = " + std::to_string(rate) + "\n");
    lab::Peer peer(connected.lan.server, 3000);
    auto socket = connected.open_udp(2001);
    connected.program.idle(50ms);

    std::size_t sent = 0;
    std::size_t refusals = 0;
    const auto flood = [&] {
        for (;;) {
            const auto result = outcome(socket.send(server, 3000, "x"));
            if (result != "0") {
                CHECK(result == "4");
                ++refusals;
                return;
            }
            ++sent;
        }
    };
    socket.on_sendable(flood);
    const lab::Standstill still;
    std::size_t turns = 0;
    const auto began = std::chrono::steady_clock::now();
    flood();
    const auto cpu_before = cpu_time();
    lab::eventually(
        lab::Deadline(time), {connected.program.client().fd()}, [] { return false; },
        [&] {
            ++turns;
            connected.program.turn();
        });
    const auto cpu = cpu_time() - cpu_before;
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    socket.on_sendable(nullptr);

    const double granted = burst + rate * seconds;
    // What there was no room for in the bucket, because nobody could take it out.
    const double missed = rate * std::chrono::duration<double>(still.total()).count();
    CAPTURE(sent, refusals, turns, cpu.count());
    CHECK(static_cast<double>(sent) <= granted + 1);
    CHECK(static_cast<double>(sent) >= 0.95 * (granted - missed) - 2);
    CHECK(peer.count(sent, lab::Deadline(soon), 100ms) == sent);
    // Each turn is a wait that was over: no more of them than datagrams that it let pass.
    CHECK(static_cast<double>(turns) <= rate * seconds * 1.1 + 10);
    CHECK(refusals <= turns + 1);
    CHECK(cpu < time / 4);
}

TEST_CASE("one timer serves all sockets of a client", "[sendable]") {
    Refused refused;
    auto second = refused.connected.open_udp(2002);
    int first_told = 0;
    int second_told = 0;
    const auto go_on = [](impnet::UdpSocket& socket) {
        while (outcome(socket.send(server, 3000, "x")) == "0") continue;
    };
    refused.socket.on_sendable([&] {
        ++first_told;
        go_on(refused.socket);
    });
    second.on_sendable([&] {
        ++second_told;
        go_on(second);
    });
    go_on(refused.socket);
    go_on(second);
    CHECK(refused.connected.program.until(soon,
                                          [&] { return first_told >= 10 && second_told >= 10; }));
}

TEST_CASE("without its daemon a socket is told once at most", "[sendable]") {
    Refused refused;
    refused.exhaust();
    CHECK(refused.connected.daemon.stop() == 0);
    refused.connected.program.idle(300ms);
    CHECK(refused.told <= 1);
    refused.check_silence();
}
