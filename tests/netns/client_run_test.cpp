// SPDX-License-Identifier: LGPL-2.1-or-later
//
// run() while datagrams come one soon after the other: it waits for them in the call that reads
// them, and hears of everything else all the same.
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>

#include "lab/connected.hpp"
#include "lab/lab.hpp"
#include "lab/refusal.hpp"

using namespace std::chrono_literals;
using impnet::State;
using lab::Bytes;

namespace {

constexpr auto soon = 5s;
constexpr std::uint16_t port = 2001;

/// A host that sends datagrams to the program's port, some thousand a second, numbered from 0; but
/// no more ahead of what was `heard` than there is room for.
class Stream {
  public:
    Stream(const lab::Namespace& where, const std::atomic<std::uint32_t>& heard)
        : peer_(where, 3000), thread_([this, &heard](const std::stop_token& stop) {
              const std::uint32_t before = heard;
              for (std::uint32_t i = 0; !stop.stop_requested();) {
                  std::this_thread::sleep_for(100us);  // the distance, nothing to wait for
                  if (i - (heard - before) >= 100) continue;
                  const std::uint8_t low = i & 255;
                  const std::uint8_t high = i >> 8 & 255;
                  ++i;
                  try {
                      peer_.send(lab::Connected::address, port, {low, high});
                  } catch (const std::exception&) {  // its cable is pulled
                  }
              }
          }) {}

  private:
    lab::Peer peer_;
    std::jthread thread_;
};

int number(const impnet::Datagram& datagram) {
    return std::to_integer<int>(datagram.data[0]) | std::to_integer<int>(datagram.data[1]) << 8;
}

/// A program in run(), with a socket that a stream comes to.
struct Running {
    lab::Connected connected;
    impnet::UdpSocket socket = connected.open_udp(port);
    std::atomic<std::uint32_t> heard = 0;
    std::optional<Stream> stream;
    std::uint32_t datagrams = 0;

    explicit Running(const std::string& configuration = "[limiter]\nrate = 0\n")
        : connected("[datapath]\npath = \"kernel\"\n" + configuration) {}

    impnet::Client& client() { return connected.program.client(); }

    /// Does something when run() waits for datagrams alone, and has for a while.
    void then(std::function<void()> act) {
        socket.on_datagram([this, act = std::move(act)](const impnet::Datagram&) {
            ++heard;
            if (++datagrams == 200) act();
        });
    }
    /// run(), until somebody calls stop(). False: nobody did.
    bool runs() {
        if (!stream) stream.emplace(connected.lan.server, heard);
        bool late = false;
        {
            const std::jthread guard([&](const std::stop_token& stop) {
                std::mutex mutex;
                std::unique_lock lock(mutex);
                std::condition_variable_any never;
                never.wait_for(lock, stop, soon, [] { return false; });
                if (stop.stop_requested()) return;
                late = true;
                client().stop();
            });
            const auto done = client().run();  // lets exceptions through
            REQUIRE(done);
        }
        return !late;
    }
    /// Whether it has waited so at all.
    bool has_attended() const { return (::fcntl(socket.fd(), F_GETFL) & O_NONBLOCK) == 0; }
};

}  // namespace

TEST_CASE("run() that waits for datagrams hears of everything else", "[library]") {
    Running running;
    auto& connected = running.connected;
    SECTION("a report, and answers of the bus") {
        impnet::Interface second;
        running.then([&] {
            auto opened = running.client().open("eth0", [&](const impnet::StateChange& change) {
                if (change.state == State::connected) running.client().stop();
            });
            REQUIRE(opened);
            second = std::move(*opened);
        });
        CHECK(running.runs());
    }
    SECTION("a cable that is pulled, and nothing arrives any more") {
        auto second = running.client().open("eth0", [&](const impnet::StateChange& change) {
            if (change.state == State::ethernet_stopped_no_link) running.client().stop();
        });
        REQUIRE(second);
        running.then([&] { connected.lan.cable.pull(); });
        CHECK(running.runs());
    }
    SECTION("another socket's datagram") {
        const lab::Peer peer(connected.lan.server, 3001);
        impnet::UdpSocket other;
        running.then([&] {
            other =
                connected.open_udp(2002, [&](const impnet::Datagram&) { running.client().stop(); });
            peer.send(lab::Connected::address, 2002, {1});
        });
        CHECK(running.runs());
    }
    SECTION("stop() of the callback") {
        running.then([&] { running.client().stop(); });
        CHECK(running.runs());
    }
    SECTION("stop() of another thread") {
        std::jthread other;
        running.then([&] { other = std::jthread([&] { running.client().stop(); }); });
        CHECK(running.runs());
    }
    SECTION("stop() of a signal handler, and nothing arrives any more") {
        static impnet::Client* client = nullptr;
        client = &running.client();
        struct sigaction action {};
        struct sigaction before {};
        action.sa_handler = [](int) { client->stop(); };
        action.sa_flags = SA_RESTART;
        ::sigaction(SIGUSR1, &action, &before);
        std::jthread other;
        running.then([&, self = ::pthread_self()] {
            running.stream.reset();
            other = std::jthread([self] { ::pthread_kill(self, SIGUSR1); });
        });
        CHECK(running.runs());
        if (other.joinable()) other.join();
        ::sigaction(SIGUSR1, &before, nullptr);
    }
    CHECK(running.datagrams >= 200);
    CHECK(running.has_attended());
}

TEST_CASE("run() that waits for datagrams tells when something may be sent again", "[library]") {
    Running running("[limiter]\nburst = 1\nrate = 20\n");
    running.then([&] {
        running.socket.on_sendable([&] { running.client().stop(); });
        while (lab::outcome(running.socket.send("10.77.1.1", 3001, "x")) == "0") continue;
    });
    CHECK(running.runs());
    CHECK(running.datagrams >= 200);
    CHECK(running.has_attended());
}

TEST_CASE("run() that waits for datagrams ends with what it waits for", "[library]") {
    Running running;
    SECTION("a socket that is closed") {
        running.then([&] {
            CHECK(running.has_attended());
            running.socket.close();
            running.client().stop();
        });
        CHECK(running.runs());
        CHECK_FALSE(running.socket.is_open());
    }
    SECTION("a socket that the daemon closes") {
        std::string reason;
        running.socket.on_closed([&](std::string_view why) {
            reason = why;
            running.client().stop();
        });
        running.then([&] {
            CHECK(running.has_attended());
            CHECK(lab::outcome(running.socket.send("8.8.8.8", 53, "x")) == "AddressNotAllowed");
        });
        CHECK(running.runs());
        CHECK(reason.find("8.8.8.8") != std::string::npos);
    }
    SECTION("its socket, though it is another's by then") {
        std::optional<impnet::UdpSocket> socket(std::move(running.socket));
        socket->on_datagram([&](const impnet::Datagram&) {
            if (++running.heard < 200) return;
            socket.reset();
            running.client().stop();
        });
        CHECK(running.runs());
        CHECK(running.heard == 200);
    }
    CHECK(running.connected.connected());
}

TEST_CASE("what a callback throws leaves run() that waits for datagrams, and nothing is lost",
          "[library]") {
    Running running;
    std::vector<int> numbers;
    running.socket.on_datagram([&](const impnet::Datagram& datagram) {
        ++running.heard;
        numbers.push_back(number(datagram));
        if (numbers.size() == 1'000) running.client().stop();
        if (numbers.size() % 100 == 0) throw std::runtime_error("from a callback");
    });
    int thrown = 0;
    for (bool done = false; !done;) {
        try {
            done = running.runs();
            REQUIRE(done);
        } catch (const std::runtime_error& error) {
            CHECK(error.what() == std::string("from a callback"));
            ++thrown;
        }
    }
    CHECK(thrown == 10);
    REQUIRE(numbers.size() >= 1'000);
    for (std::size_t i = 1; i < numbers.size(); ++i)
        CHECK(numbers[i] == numbers[0] + static_cast<int>(i));
    CHECK(running.has_attended());
}

TEST_CASE("run() waits for all sockets alike if there are several", "[library]") {
    Running running;
    const lab::Peer peer(running.connected.lan.server, 3001);
    auto other =
        running.connected.open_udp(2002, [&](const impnet::Datagram&) { running.client().stop(); });
    running.then([&] { peer.send(lab::Connected::address, 2002, {1}); });
    CHECK(running.runs());
    CHECK_FALSE(running.has_attended());
    // Those that the program reads itself are not waited for.
    other.close();
    impnet::UdpOptions raw(2002);
    raw.raw = true;
    other = running.connected.open_udp(raw);
    running.datagrams = 0;
    running.then([&] { running.client().stop(); });
    CHECK(running.runs());
    CHECK(running.has_attended());
}

TEST_CASE("run() goes on when the kernel has no room for a watch", "[library]") {
    // In a thread: what the kernel refuses from then on it refuses for good.
    std::thread([] {
        Running running;
        running.stream.emplace(running.connected.lan.server, running.heard);
        // Also to end one, so that there is something to hear.
        lab::refuse({SYS_epoll_ctl}, ENOSPC);
        running.then([&] { running.client().stop(); });
        CHECK(running.runs());
        CHECK(running.has_attended());
    }).join();
}

TEST_CASE("run() hears of everything in a sandbox that does not let it set options", "[library]") {
    std::thread([] {
        Running running;
        running.stream.emplace(running.connected.lan.server, running.heard);
        lab::refuse({SYS_setsockopt}, EACCES);
        running.then([&] { running.client().stop(); });
        CHECK(running.runs());
        CHECK_FALSE(running.has_attended());
    }).join();
}
