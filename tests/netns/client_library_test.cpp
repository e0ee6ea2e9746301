// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What libimpnet-client promises to a program: when callbacks run and what they may do, what is
// told when something ends, and that its one descriptor knows of everything.
#include <array>
#include <csignal>
#include <filesystem>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <poll.h>

#include "lab/connected.hpp"
#include "lab/lab.hpp"
#include "lab/raw_client.hpp"
#include "relay.h"

using namespace std::chrono_literals;
using impnet::ErrorCode;
using impnet::State;
using lab::Bytes;
using lab::Steps;

namespace {

constexpr auto soon = 5s;

/// Enough for tests that are not about the rate.
constexpr const char* unlimited = "[limiter]\nrate = 0\n";

bool readable(const impnet::Client& client) {
    pollfd asked{.fd = client.fd(), .events = POLLIN, .revents = 0};
    return ::poll(&asked, 1, 0) == 1;
}

/// A socket on the program's port 2001 and a peer that has sent it `count` datagrams, numbered from
/// 0, none of them dispatched yet.
struct Waiting {
    lab::Connected connected{unlimited};
    lab::Peer peer{connected.lan.server, 3000};
    impnet::UdpSocket socket = connected.open_udp(2001);

    void arrive(std::uint8_t count, std::uint8_t first = 0) const {
        for (std::uint8_t i = 0; i < count; ++i)
            peer.send(lab::Connected::address, 2001, {static_cast<std::uint8_t>(first + i)});
    }
    bool until(const std::function<bool()>& predicate) {
        return connected.program.until(soon, predicate);
    }
};

std::uint8_t number(const impnet::Datagram& datagram) {
    return std::to_integer<std::uint8_t>(datagram.data[0]);
}

}  // namespace

TEST_CASE("the client's descriptor shows signals that came while a call waited", "[library]") {
    lab::Lan lan;
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    // The daemon answers calls in order: with the answer to the last one, the signals that it sent
    // before have been read from the bus already, and are where no descriptor shows them.
    for (int i = 0; i < 50 && !diary.is(State::starting); ++i) {
        REQUIRE(eth0.ip_table());
        CHECK(diary.entries().empty());
    }
    CHECK(readable(program.client()));
    program.turn();
    REQUIRE_FALSE(diary.entries().empty());
    CHECK(diary.entries().front().change.state == State::starting);
}

TEST_CASE("an idle client is not readable", "[library]") {
    Waiting waiting;
    waiting.connected.program.idle(200ms);
    CHECK_FALSE(readable(waiting.connected.program.client()));
}

TEST_CASE("datagrams that arrive during a send come with the next dispatch, in order",
          "[library]") {
    Waiting waiting;
    std::vector<int> numbers;
    std::uint8_t next = 0;
    waiting.socket.on_datagram([&](const impnet::Datagram& datagram) {
        numbers.push_back(number(datagram));
        // Each answer waits for its verdict, and so reads past what is still to come.
        CHECK(lab::outcome(waiting.socket.send("10.77.1.1", 3000, datagram.data)) == "0");
        if (next == 100) return;
        waiting.arrive(1, next++);  // and the next one is behind what it has read
        CHECK_FALSE(lab::wait_readable({waiting.socket.fd()}, lab::Deadline(soon)).empty());
    });
    std::vector<int> expected(100);
    std::iota(expected.begin(), expected.end(), 0);
    waiting.arrive(20);
    next = 20;
    CHECK(lab::outcome(waiting.socket.send("10.77.1.1", 3000, "x")) == "0");
    CHECK(numbers.empty());  // callbacks run from dispatch() only
    CHECK(readable(waiting.connected.program.client()));
    REQUIRE(waiting.until([&] { return numbers.size() == 100; }));
    CHECK(numbers == expected);
    CHECK(waiting.peer.receive(lab::Deadline(soon))->data == Bytes{'x'});
    for (std::uint8_t i = 0; i < 100; ++i)
        CHECK(waiting.peer.receive(lab::Deadline(soon))->data == Bytes{i});
}

TEST_CASE("a batch gives each datagram its own result", "[library]") {
    lab::Connected connected;  // a bucket of 100
    lab::Peer peer(connected.lan.server, 3000);
    auto socket = connected.open_udp(2001);
    std::vector<impnet::OutgoingDatagram> batch;
    const Bytes data = {1};
    const impnet::Ipv4 server(10, 77, 1, 1);
    batch.push_back({.to = server, .port = 67, .data = lab::view(data)});
    batch.push_back({.to = impnet::Ipv4(10, 99, 0, 1), .port = 3000, .data = lab::view(data)});
    for (int i = 0; i < 120; ++i)
        batch.push_back({.to = server, .port = 3000, .data = lab::view(data)});
    batch.push_back({.to = impnet::Ipv4(8, 8, 8, 8), .port = 3000, .data = lab::view(data)});
    batch.push_back({.to = server, .port = 3000, .data = lab::view(data)});

    const auto results = socket.send_batch(batch);
    REQUIRE(results.size() == batch.size());
    CHECK(lab::outcome(results[0]) == "InvalidArgument");
    CHECK(lab::outcome(results[1]) == "1");
    std::size_t sent = 0;
    for (std::size_t i = 2; i < 122; ++i) sent += lab::outcome(results[i]) == "0";
    CHECK(sent >= 100);
    CHECK(sent < 110);  // the bucket fills by 25 a second
    CHECK(lab::outcome(results[122]) == "AddressNotAllowed");
    CHECK(lab::outcome(results[123]) == "SocketClosed");
    CHECK_FALSE(socket.is_open());
    CHECK(peer.count(sent, lab::Deadline(soon), 100ms) == sent);
}

TEST_CASE("a large batch gets through while as much arrives", "[library]") {
    Waiting waiting;
    const Bytes data = lab::pattern(8'000);
    const std::vector<impnet::OutgoingDatagram> batch(
        1'000, {.to = impnet::Ipv4(10, 77, 1, 1), .port = 3000, .data = lab::view(data)});
    std::jthread flood([&](const std::stop_token& stop) {
        while (!stop.stop_requested()) waiting.peer.send(lab::Connected::address, 2001, data);
    });
    const auto results = waiting.socket.send_batch(batch);
    flood.request_stop();
    std::size_t sent = 0;
    for (const auto& result : results) sent += lab::outcome(result) == "0";
    CHECK(sent == batch.size());
}

TEST_CASE("a program that sends and sends without dispatching hears what arrives all the same",
          "[library][kernel]") {
    Waiting waiting;
    std::size_t heard = 0;
    waiting.socket.on_datagram([&](const impnet::Datagram&) { ++heard; });
    const auto& client = waiting.connected.program.client();
    for (std::size_t round = 1; round <= 3; ++round) {
        for (int i = 0; i < 1'000; ++i)
            REQUIRE(lab::outcome(waiting.socket.send("10.77.1.1", 3000, "x")) == "0");
        // Until it dispatches, its descriptor says that it should.
        CHECK(readable(client));
        waiting.arrive(1);
        CHECK(waiting.until([&] { return heard == 2 * round - 1; }));
        // And what arrives after that shows as ever.
        CHECK_FALSE(readable(client));
        waiting.arrive(1);
        CHECK(waiting.until([&] { return heard == 2 * round; }));
    }
    // Nor does it matter that the socket is closed before it does.
    for (int i = 0; i < 1'000; ++i)
        REQUIRE(lab::outcome(waiting.socket.send("10.77.1.1", 3000, "x")) == "0");
    waiting.socket.close();
    waiting.connected.program.turn();
    CHECK_FALSE(readable(client));
}

TEST_CASE("a forbidden address tells its reason, once, and then the socket is closed",
          "[library]") {
    Waiting waiting;
    std::vector<std::string> reasons;
    waiting.socket.on_closed([&](const std::string& reason) { reasons.push_back(reason); });
    const auto [to, why] = GENERATE(std::pair<std::string, std::string>("8.8.8.8", "8.8.8.8"),
                                    std::pair<std::string, std::string>("server", "dotted quad"));
    const auto sent = waiting.socket.send(to, 53, "x");
    REQUIRE_FALSE(sent);
    CHECK(sent.error().name() == "org.impnet1.Error.AddressNotAllowed");
    CHECK_FALSE(waiting.socket.is_open());
    CHECK(waiting.socket.send("10.77.1.1", 3000, "x").error().code() == ErrorCode::socket_closed);
    CHECK(reasons.empty());
    REQUIRE(waiting.until([&] { return !reasons.empty(); }));
    CHECK_THAT(reasons[0], Catch::Contains(why));
    CHECK(waiting.socket.fd() == -1);
    waiting.connected.program.idle(100ms);
    CHECK(reasons.size() == 1);
    auto again = waiting.connected.open_udp(2001);  // its port is free
    CHECK(again.is_open());
}

TEST_CASE("an address that cannot even travel over D-Bus is not allowed", "[library]") {
    Waiting waiting;
    using namespace std::string_literals;
    const auto to =
        GENERATE("10.77.1.1\0"s, "10.77.1.1\xff"s, "\x80"s, "\n"s, std::string(1 << 20, '1'));
    CHECK(lab::outcome(waiting.socket.send(to, 3000, "x")) == "AddressNotAllowed");
    CHECK_FALSE(waiting.socket.is_open());
    CHECK_FALSE(waiting.peer.receive(lab::Deadline(100ms)));
}

TEST_CASE("a callback may end what it is called for", "[library]") {
    Waiting waiting;
    lab::Connected& connected = waiting.connected;
    std::vector<int> numbers;
    int calls_after = 0;
    waiting.arrive(5);

    SECTION("close its socket") {
        waiting.socket.on_datagram([&](const impnet::Datagram& datagram) {
            numbers.push_back(number(datagram));
            waiting.socket.close();
        });
        REQUIRE(waiting.until([&] { return !waiting.socket.is_open(); }));
    }
    SECTION("destroy its socket") {
        std::optional<impnet::UdpSocket> socket(std::move(waiting.socket));
        socket->on_datagram([&, owned = std::string(100, 'x')](const impnet::Datagram& datagram) {
            numbers.push_back(number(datagram));
            socket.reset();
            calls_after += owned == std::string(100, 'x');  // the callback itself is still there
        });
        REQUIRE(waiting.until([&] { return !socket; }));
        CHECK(calls_after == 1);
    }
    SECTION("destroy the interface") {
        waiting.socket.on_datagram([&](const impnet::Datagram& datagram) {
            numbers.push_back(number(datagram));
            connected.eth0 = impnet::Interface();
        });
        REQUIRE(waiting.until([&] { return !waiting.socket.is_open(); }));
    }
    SECTION("destroy the client") {
        std::optional<lab::Program> other(connected.lan.bus);
        lab::Diary diary;
        auto eth0 = other->open("eth0", diary);
        auto opened = eth0.open_udp(2002, [&](const impnet::Datagram& datagram) {
            numbers.push_back(number(datagram));
            other.reset();
        });
        auto socket = std::move(*opened);
        for (std::uint8_t i = 0; i < 5; ++i) waiting.peer.send(lab::Connected::address, 2002, {i});
        other->client().stop();  // so that run() is entered, and left at once
        CHECK(other->client().run());
        while (other) {
            REQUIRE(!lab::wait_readable({other->client().fd()}, lab::Deadline(soon)).empty());
            static_cast<void>(other->client().dispatch());
        }
        CHECK_FALSE(socket.is_open());
        CHECK_FALSE(eth0.is_open());
        CHECK(socket.send("10.77.1.1", 3000, "x").error().code() == ErrorCode::socket_closed);
        CHECK(eth0.open_udp(2003).error().code() == ErrorCode::unavailable);
    }
    connected.program.idle(100ms);
    CHECK(numbers == std::vector{0});
}

TEST_CASE("a state callback may close its interface, and hears no more", "[library]") {
    lab::Lan lan;
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    lab::Program program(lan.bus);
    impnet::Interface eth0;
    int told = 0;
    const bool destroy = GENERATE(false, true);
    auto opened = program.client().open("eth0", [&](const impnet::StateChange&) {
        ++told;
        if (destroy)
            eth0 = impnet::Interface();
        else
            eth0.close();
    });
    REQUIRE(opened);
    eth0 = std::move(*opened);
    REQUIRE(program.until(soon, [&] { return told > 0; }));
    program.idle(200ms);
    CHECK(told == 1);
    CHECK_FALSE(eth0.is_open());
    eth0.close();
    lab::RawClient raw(lan.bus);
    CHECK(raw.interface_property<std::uint32_t>("eth0", "Sessions") == 0);
}

TEST_CASE("an exception of a callback leaves through dispatch, and nothing is lost", "[library]") {
    Waiting waiting;
    std::vector<int> numbers;
    int thrown = 0;
    waiting.socket.on_datagram([&](const impnet::Datagram& datagram) {
        numbers.push_back(number(datagram));
        if (numbers.size() % 2 == 0) throw std::runtime_error("from a callback");
    });
    waiting.arrive(9);
    auto& client = waiting.connected.program.client();
    while (numbers.size() < 9) {
        REQUIRE(!lab::wait_readable({client.fd()}, lab::Deadline(soon)).empty());
        try {
            const auto done = client.dispatch();
            CHECK(done);
        } catch (const std::runtime_error& error) {
            CHECK(error.what() == std::string("from a callback"));
            ++thrown;
        }
    }
    CHECK(numbers == std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8});
    CHECK(thrown == 4);
}

TEST_CASE("dispatch from inside a callback is refused", "[library]") {
    Waiting waiting;
    std::optional<std::string> inner;
    waiting.socket.on_datagram([&](const impnet::Datagram&) {
        inner = lab::outcome(waiting.connected.program.client().dispatch());
    });
    waiting.arrive(1);
    REQUIRE(waiting.until([&] { return inner.has_value(); }));
    CHECK(inner == "Busy");
}

TEST_CASE("one socket's flood does not keep another socket waiting", "[library]") {
    Waiting waiting;
    int first = 0;
    int second = 0;
    waiting.socket.on_datagram([&](const impnet::Datagram&) { ++first; });
    auto other = waiting.connected.open_udp(2002, [&](const impnet::Datagram&) { ++second; });
    waiting.arrive(200);
    waiting.peer.send(lab::Connected::address, 2002, {0});
    REQUIRE(waiting.until([&] { return second == 1; }));
    REQUIRE(waiting.until([&] { return first == 200; }));
}

TEST_CASE("a callback that replaces itself gives the rest to the new one", "[library]") {
    Waiting waiting;
    std::vector<int> old_numbers;
    std::vector<int> new_numbers;
    waiting.socket.on_datagram(
        [&, owned = std::string(100, 'x')](const impnet::Datagram& datagram) {
            waiting.socket.on_datagram(
                [&](const impnet::Datagram& later) { new_numbers.push_back(number(later)); });
            old_numbers.push_back(number(datagram) + static_cast<int>(owned.size()) - 100);
        });
    waiting.arrive(4);
    REQUIRE(waiting.until([&] { return new_numbers.size() == 3; }));
    CHECK(old_numbers == std::vector{0});
    CHECK(new_numbers == std::vector{1, 2, 3});
    CHECK(waiting.socket.dropped() == 0);
}

TEST_CASE("closing a socket frees its port at once", "[library]") {
    Waiting waiting;
    for (int i = 0; i < 20; ++i) {
        if (i % 2 == 0)
            waiting.socket.close();
        else
            waiting.socket = impnet::UdpSocket();  // by the destructor
        waiting.socket = waiting.connected.open_udp(2001);
        REQUIRE(waiting.socket.local_port() == 2001);
    }
    waiting.socket.close();
    waiting.socket.close();
    CHECK(waiting.socket.local_port() == 0);
    CHECK(waiting.socket.path().empty());
}

TEST_CASE("when the daemon loses the session, the last report is UNKNOWN, and one may open again",
          "[library]") {
    Waiting waiting;
    lab::Connected& connected = waiting.connected;
    std::vector<std::string> closed;
    waiting.socket.on_closed([&](const std::string& reason) { closed.push_back(reason); });
    connected.daemon.restart(SIGKILL);  // with nobody who keeps its sockets for it
    REQUIRE(waiting.until([&] { return !closed.empty(); }));
    const std::string reason = connected.diary.last().change.reason;
    CHECK(connected.diary.last().change.previous == State::connected);
    CHECK(connected.diary.last().change.state == State::unknown);
    CHECK_THAT(reason, Catch::StartsWith("the daemon has gone, and the session with it: "));
    CHECK(closed.size() == 1);
    CHECK_FALSE(connected.eth0.is_open());
    CHECK_FALSE(waiting.socket.is_open());
    CHECK(connected.eth0.open_udp(2001).error().code() == ErrorCode::unavailable);
    connected.eth0.close();

    lab::Diary diary;
    auto again = connected.program.open("eth0", diary);
    REQUIRE(waiting.until([&] { return diary.is(State::connected); }));
    CHECK(again.open_udp(2001));
}

TEST_CASE("without a daemon open says so, and the client works when it comes", "[library]") {
    lab::Lan lan;
    lab::Program program(lan.bus);
    const auto opened = program.client().open("eth0", {});
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code() == ErrorCode::no_daemon);
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    CHECK(program.client().open("eth0", {}));
}

TEST_CASE("signals of others are not believed", "[library]") {
    Waiting waiting;
    std::vector<std::string> closed;
    waiting.socket.on_closed([&](const std::string& reason) { closed.push_back(reason); });
    lab::RawClient stranger(waiting.connected.lan.bus);
    const auto before = waiting.connected.diary.entries().size();
    std::vector<std::string> names;
    sdbus::createProxy(stranger.connection(), "org.freedesktop.DBus", "/org/freedesktop/DBus")
        ->callMethod("ListNames")
        .onInterface("org.freedesktop.DBus")
        .storeResultsTo(names);
    // To everybody; the objects' numbers are easy to guess.
    const auto send = [&](const char* path, const char* interface, const char* member,
                          const auto&... arguments) {
        auto object = sdbus::createObject(stranger.connection(), path);
        for (const auto& name : names) {
            auto signal = object->createSignal(interface, member);
            static_cast<void>((signal << ... << arguments));
            signal.setDestination(name);
            object->emitSignal(signal);
        }
    };
    send("/org/impnet1/session/1", "org.impnet1.Session", "StateChanged", std::int32_t{204},
         std::int32_t{1}, std::uint64_t{1}, std::string("forged"));
    send("/org/impnet1/socket/1", "org.impnet1.UdpSocket", "Closed", std::string("forged"));
    // What the stranger sent is before the answer to this, on the bus and so in the client.
    CHECK_FALSE(stranger.open("eth0").empty());
    REQUIRE(waiting.connected.eth0.ip_table());
    waiting.connected.program.idle(100ms);
    CHECK(waiting.connected.diary.entries().size() == before);
    CHECK(closed.empty());
    CHECK(waiting.socket.is_open());
}

TEST_CASE("stop ends run, from a callback, another thread and a signal handler", "[library]") {
    Waiting waiting;
    static impnet::Client* client = nullptr;
    client = &waiting.connected.program.client();
    SECTION("from a callback") {
        waiting.socket.on_datagram([](const impnet::Datagram&) { client->stop(); });
        waiting.arrive(1);
        CHECK(client->run());
    }
    SECTION("before it runs") {
        client->stop();
        CHECK(client->run());
    }
    SECTION("from another thread") {
        std::jthread other([] { client->stop(); });
        CHECK(client->run());
    }
    SECTION("from a signal handler") {
        struct sigaction action {};
        struct sigaction before {};
        action.sa_handler = [](int) { client->stop(); };
        ::sigaction(SIGUSR1, &action, &before);
        ::raise(SIGUSR1);
        CHECK(client->run());
        ::sigaction(SIGUSR1, &before, nullptr);
    }
}

TEST_CASE("a raw socket leaves its data path to the program", "[library]") {
    lab::Connected connected("[datapath]\npath = \"relay\"\n");
    lab::Peer peer(connected.lan.server, 3000);
    impnet::UdpOptions options(2001);
    options.raw = true;
    auto socket = connected.open_udp(options);
    REQUIRE(socket.path() == "relay");
    CHECK(lab::outcome(socket.send("10.77.1.1", 3000, "x")) == "NotSupported");
    peer.send(lab::Connected::address, 2001, {7});
    pollfd waiting{.fd = socket.fd(), .events = POLLIN, .revents = 0};
    REQUIRE(::poll(&waiting, 1, 5'000) == 1);
    connected.program.turn();
    std::array<std::uint8_t, 100> frame{};
    REQUIRE(::read(socket.fd(), frame.data(), frame.size()) == sizeof(impnet_relay_header) + 1);
    CHECK(frame[1] == IMPNET_RELAY_DATAGRAM);
    CHECK(frame[sizeof(impnet_relay_header)] == 7);
    socket.close();
    CHECK(socket.fd() == -1);
}

TEST_CASE("the example echoes, over a pulled cable, and ends with its session", "[library]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0", lab::DhcpServer::Options::only("10.77.1.100"));
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    lab::Peer peer(lan.server, 3000);
    const auto built = std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path();
    lab::Process echo(lan.host,
                      {built / "client-lib/examples/echo", "--bus", lan.bus.address(), "ethernet"});
    const auto echoed = [&](const std::string& to, const Bytes& data) {
        peer.send(to, 2001, data);
        const auto answer = peer.receive(lab::Deadline(soon));
        REQUIRE(answer);
        CHECK(answer->from == "10.77.1.100");
        CHECK(answer->from_port == 2001);
        CHECK(answer->data == data);
    };
    auto at = echo.wait_output("CONNECTED", lab::Deadline(soon));
    echo.wait_output("echoing on port 2001", lab::Deadline(soon), at);
    echoed("10.77.1.100", {'h', 'e', 'l', 'l', 'o'});
    echoed("10.77.1.255", {});
    at = echo.wait_output("5 bytes from 10.77.1.1:3000 to 10.77.1.100: 0\n", lab::Deadline(soon));
    at = echo.wait_output("0 bytes from 10.77.1.1:3000 to 10.77.1.255: 0\n", lab::Deadline(soon),
                          at);
    lan.cable.pull();
    at = echo.wait_output("ETHERNET_STOPPED_NO_LINK", lab::Deadline(soon), at);
    lan.cable.plug();
    at = echo.wait_output("CONNECTED", lab::Deadline(soon), at);
    echo.wait_output("echoing on port 2001", lab::Deadline(soon), at);
    echoed("10.77.1.100", {1, 2, 3});
    daemon.restart(SIGKILL);  // with nobody who keeps the session
    echo.wait_output("waiting for it to return", lab::Deadline(soon), at);
    echo.wait_output("UNKNOWN (the daemon has gone", lab::Deadline(soon), at);
    CHECK(echo.wait(lab::Deadline(soon)) == 1);
}

TEST_CASE("a client's descriptors are not inherited", "[library]") {
    Waiting waiting;
    CHECK(lab::outcome(waiting.socket.send("10.77.1.1", 3000, "x")) == "0");
    for (const int fd : {waiting.connected.program.client().fd(), waiting.socket.fd()})
        CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
}
