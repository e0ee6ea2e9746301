// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A program that uses libimpnet-client, while the bus or the daemon under it is restarted, stopped
// or killed: it sees a pause, and no error.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>
#include <poll.h>

#include "lab/connected.hpp"
#include "lab/lab.hpp"
#include "lab/raw_client.hpp"

using namespace std::chrono_literals;
using impnet::State;
using lab::Bytes;
using lab::Steps;

namespace {

constexpr auto soon = 10s;

/// A program that echoes on port 2001, the daemon, which is a service, and a peer on the network.
struct Echoing {
    lab::Lan lan;
    lab::DhcpServer dhcp{lan.server, "srv0",
                         lab::DhcpServer::Options::only(lab::Connected::address)};
    lab::Service service{lan.host, lan.bus, lab::Lan::managed("[limiter]\nrate = 0\n")};
    std::vector<std::string> log;
    std::function<void()> on_absence = [] {};
    impnet::Client client;
    lab::Diary diary;
    impnet::Interface eth0;
    lab::Peer peer{lan.server, 3000};
    impnet::UdpSocket socket;
    std::vector<std::string> outcomes;
    std::vector<std::string> closed;

    Echoing() : client(connect()), eth0(open()), socket(open_udp(2001)) {
        socket.on_datagram([this](const impnet::Datagram& datagram) {
            outcomes.push_back(
                lab::outcome(socket.send(datagram.from, datagram.from_port, datagram.data)));
        });
        socket.on_closed([this](const std::string& reason) { closed.push_back(reason); });
        if (!until([this] { return diary.is(State::connected); }))
            throw std::runtime_error("not connected:\n" + service.log());
        // It may be killed once it has also noted down what it has told.
        static_cast<void>(eth0.ip_table());
        diary.clear();
    }

    impnet::Client connect() {
        return *impnet::Client::connect(
            {.bus_address = lan.bus.address(), .log = [this](const auto line) {
                 log.emplace_back(line);
                 if (line.ends_with("waiting for it to return")) on_absence();
             }});
    }
    impnet::Interface open() { return *client.open("eth0", diary.callback()); }
    impnet::UdpSocket open_udp(std::uint16_t port) { return *eth0.open_udp(port); }

    void turn() {
        const auto done = client.dispatch();
        if (!done) throw std::runtime_error(lab::Program::text(done.error()));
    }
    bool until(const std::function<bool()>& predicate) {
        return lab::eventually(lab::Deadline(soon), {client.fd()}, predicate, [this] { turn(); });
    }
    void idle(lab::Milliseconds time) {
        lab::eventually(
            lab::Deadline(time), {client.fd()}, [] { return false; }, [this] { turn(); });
    }
    /// One datagram there and back.
    bool echoes(std::uint8_t number) {
        const auto before = outcomes.size();
        peer.send(lab::Connected::address, 2001, {number});
        if (!until([&] { return outcomes.size() > before; })) return false;
        const auto answer = peer.receive(lab::Deadline(soon));
        return outcomes.back() == "0" && answer && answer->data == Bytes{number};
    }
    /// The session has been resumed so often, and can be used.
    bool resumed(std::ptrdiff_t times) {
        return until([&] {
                   return std::count(log.begin(), log.end(), "eth0: the session goes on") == times;
               }) &&
               eth0.ip_table();
    }
    void check_nothing_was_told() {
        idle(100ms);
        INFO(service.log());
        CHECK_THAT(diary.steps(), Catch::Equals(Steps{}));
        CHECK(closed.empty());
        CHECK(eth0.open_udp(2002));
    }
};

}  // namespace

TEST_CASE("the bus is restarted, and datagrams are echoed meanwhile", "[restart]") {
    Echoing echoing;
    for (std::uint8_t i = 0; i < 3; ++i) {
        CHECK(echoing.echoes(i));
        echoing.lan.bus.stop();
        CHECK(echoing.echoes(i));
        echoing.lan.bus.start();
        REQUIRE(echoing.resumed(i + 1));
        CHECK(echoing.echoes(i));
    }
    echoing.check_nothing_was_told();
}

TEST_CASE("steps without a bus are told once it is back, in order and once", "[restart]") {
    Echoing echoing;
    echoing.lan.bus.stop();
    echoing.lan.cable.pull();
    echoing.service.wait_log(" state_name=ETHERNET_STOPPED_NO_LINK", lab::Deadline(soon));
    echoing.lan.cable.plug();
    echoing.service.wait_log("state_name=STARTING previous_state=204", lab::Deadline(soon));
    echoing.lan.bus.start();
    REQUIRE(echoing.until([&] { return echoing.diary.entries().size() >= 5; }));
    echoing.idle(200ms);
    CHECK(echoing.diary.steps() == Steps{{1, 204}, {204, 0}, {0, 200}, {200, 201}, {201, 1}});
    CHECK(echoing.echoes(7));
    CHECK(echoing.closed.empty());
}

TEST_CASE("a bus that ends takes leave of the program before the daemon, and nothing is lost",
          "[restart]") {
    // A bus that is told to end disconnects who came first before those who came later, and tells
    // them of it. After this the program is the one that came first.
    Echoing echoing;
    echoing.service.crash(SIGKILL);
    REQUIRE(echoing.resumed(1));
    echoing.lan.bus.stop();
    echoing.lan.bus.start();
    REQUIRE(echoing.resumed(2));
    echoing.check_nothing_was_told();
}

TEST_CASE("the daemon is restarted, and the program sees a pause", "[restart]") {
    const int signal = GENERATE(SIGKILL, SIGSEGV, SIGTERM);
    CAPTURE(signal);
    Echoing echoing;
    CHECK(echoing.echoes(1));
    echoing.service.crash(signal);
    CHECK(echoing.echoes(2));  // whether it has been resumed by now or not
    REQUIRE(echoing.resumed(1));
    CHECK(echoing.echoes(3));
    echoing.check_nothing_was_told();
}

TEST_CASE("steps while there is no daemon are told by the next one, in order and once",
          "[restart]") {
    Echoing echoing;
    ::kill(echoing.service.pid(), SIGSTOP);  // it must not see the cable before it dies
    echoing.lan.cable.pull();
    echoing.service.crash(SIGKILL);
    REQUIRE(echoing.until([&] { return echoing.diary.is(State::ethernet_stopped_no_link); }));
    echoing.lan.cable.plug();
    REQUIRE(echoing.until([&] { return echoing.diary.is(State::connected); }));
    CHECK(echoing.diary.steps() == Steps{{1, 204}, {204, 0}, {0, 200}, {200, 201}, {201, 1}});
    CHECK(echoing.echoes(7));
    CHECK(echoing.closed.empty());
}

TEST_CASE("the daemon is killed again before the program hears of the next one", "[restart]") {
    Echoing echoing;
    for (int i = 0; i < 3; ++i) echoing.service.crash(SIGKILL);
    REQUIRE(echoing.until([&] { return echoing.log.size() >= 2 && echoing.eth0.ip_table(); }));
    CHECK(echoing.echoes(1));
    echoing.check_nothing_was_told();
}

TEST_CASE("what is closed while there is no daemon is free once there is one", "[restart]") {
    Echoing echoing;
    auto other = echoing.open_udp(2003);
    bool closed = false;
    SECTION("a socket") {
        echoing.on_absence = [&] {
            other.close();
            closed = true;
        };
        echoing.service.crash(SIGKILL);
        REQUIRE(echoing.resumed(1));
        REQUIRE(echoing.until([&] { return echoing.eth0.open_udp(2003).has_value(); }));
        CHECK(echoing.echoes(1));
    }
    SECTION("a session") {
        echoing.on_absence = [&] {
            echoing.eth0.close();
            closed = true;
        };
        echoing.service.crash(SIGKILL);
        lab::RawClient raw(echoing.lan.bus);
        REQUIRE(echoing.until([&] {
            return closed && raw.interface_property<std::uint32_t>("eth0", "Sessions") == 0;
        }));
        echoing.eth0 = echoing.open();
        CHECK(echoing.eth0.open_udp(2003));
    }
    CHECK(closed);
    CHECK(echoing.closed.empty());
}

TEST_CASE("the daemon is killed twenty times under load, and no send fails", "[restart]") {
    Echoing echoing;
    constexpr std::size_t batch_size = 500;
    constexpr int kills = 20;
    const Bytes data = {1};
    const std::vector<impnet::OutgoingDatagram> batch(
        batch_size, {.to = impnet::Ipv4(10, 77, 1, 1), .port = 3001, .data = lab::view(data)});
    std::size_t sent = 0;
    std::size_t unknown = 0;
    std::uint64_t longest = 0;
    std::vector<std::string> others;
    std::atomic<int> killed = 0;
    std::jthread killer([&](const std::stop_token& stop) {
        while (killed < kills && !stop.stop_requested()) {
            // Somewhere in the middle of a batch.
            static_cast<void>(::poll(nullptr, 0, 20 + 7 * killed));
            echoing.service.crash(SIGKILL);
            ++killed;
        }
    });
    while (killed < kills) {
        const auto begin = lab::monotonic_usec();
        for (const auto& result : echoing.socket.send_batch(batch)) {
            const auto outcome = lab::outcome(result);
            if (outcome == "0")
                ++sent;
            else if (outcome == "4")
                ++unknown;
            else
                others.push_back(outcome);
        }
        longest = std::max(longest, lab::monotonic_usec() - begin);
        echoing.turn();
    }
    killer.join();
    REQUIRE(echoing.until([&] { return echoing.eth0.ip_table().has_value(); }));
    INFO(sent << " sent, " << unknown << " unknown, longest batch " << longest / 1000 << " ms");
    CHECK(others.empty());
    CHECK(unknown <= std::size_t{kills} * 64);
    CHECK(sent > 10'000);
    CHECK(echoing.echoes(9));
    echoing.check_nothing_was_told();
}
