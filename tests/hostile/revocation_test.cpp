// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The end of a socket that somebody would like to go on with: held by others, inherited, in the
// middle of sending; and what is left of it. On both paths where both have it.
#include <algorithm>
#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <poll.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "datapath/relay/frame.hpp"
#include "hostile/scene.hpp"
#include "kernel.h"

namespace {

using namespace hostile;

/// A datagram by either kind of descriptor.
void send_by(const std::string& path, Attempts& a, const char* host) {
    if (path == "kernel") {
        a.send(host, peer_port);
        return;
    }
    const auto header = impnetd::relay::encode({.kind = IMPNET_RELAY_DATAGRAM,
                                                .peer = Ipv4::parse(host).value(),
                                                .peer_port = peer_port,
                                                .local = {},
                                                .local_port = 0,
                                                .sequence = 0});
    a.result(::send(a.fd, header.data(), header.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
}

/// Waits for the hang-up.
void wait_end(Attempts& a) {
    pollfd state{.fd = a.fd, .events = 0, .revents = 0};
    int woken = 0;
    do {
        woken = ::poll(&state, 1, 10'000);
    } while (woken < 0 && errno == EINTR);  // the end of a child
    a.note(woken == 1 && (state.revents & POLLHUP) != 0 ? "HUP" : "asleep");
}

std::uint64_t realtime_usec() {
    timeval now{};
    ::gettimeofday(&now, nullptr);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
           static_cast<std::uint64_t>(now.tv_usec);
}

}  // namespace

TEST_CASE("A socket that is taken back is dead for whoever has inherited it", "[hostile]") {
    const std::string path = GENERATE("kernel", "relay");
    INFO(path);
    Scene scene(path);
    auto [socket, fd] = scene.victim();
    scene.peers[0].send(ours, attackers_port, {'x'});
    scene.peers[0].send(ours, attackers_port, {'y'});
    lab::run_for(scene.loop, Milliseconds(20));
    scene.clear();
    lab::Attacker attacker(scene.foreign, [&](const lab::Attacker::Line& line) {
        const int taken = line.take();
        if (::fork() == 0) {
            // Its parent is gone before the end comes.
            Attempts a(taken);
            line.say("here");
            wait_end(a);
            for (int i = 0; i < 3; ++i) send_by(path, a, peer);
            a.receive();
            a.result(::recv(a.fd, nullptr, 0, MSG_DONTWAIT | MSG_PEEK | MSG_ERRQUEUE));
            line.say(a.words());
        }
    });
    attacker.give(fd.get());
    fd.reset();
    REQUIRE(scene.hear(attacker) == "here");
    CHECK(attacker.wait() == 0);
    socket.reset();
    const auto words = scene.hear(attacker);
    // What waits in a relay's descriptor had been delivered before the end.
    CHECK(words == (path == "kernel" ? "HUP EPIPE EPIPE EPIPE nothing EAGAIN"
                                     : "HUP EPIPE EPIPE EPIPE \1\1 OK"));
    auto [next, next_fd] = scene.victim();
    CHECK(next->local_port() == attackers_port);
    scene.check_after(0);
}

TEST_CASE("A descriptor that was passed on to somebody else dies with its session", "[hostile]") {
    const std::string path = GENERATE("kernel", "relay");
    INFO(path);
    Scene scene(path);
    auto [socket, fd] = scene.victim();
    const auto attack = [&](const lab::Attacker::Line& line) {
        Attempts a(line.take());
        send_by(path, a, peer);
        line.say(a.words());
        line.wait();
        Attempts after(a.fd);
        send_by(path, after, peer);
        send_by(path, after, "8.8.8.8");
        wait_end(after);
        line.say(after.words());
    };
    scene.clear();
    lab::Attacker first(scene.foreign, attack);
    lab::Attacker second(scene.far, attack, 1234);
    first.give(fd.get());
    CHECK(scene.hear(first) == "OK");
    second.give(fd.get());
    CHECK(scene.hear(second) == "OK");
    fd.reset();
    scene.check_honest();
    socket.reset();
    first.go_on();
    second.go_on();
    CHECK(scene.hear(first) == (path == "kernel" ? "EPIPE EACCES HUP" : "EPIPE EPIPE HUP"));
    CHECK(scene.hear(second) == (path == "kernel" ? "EPIPE EACCES HUP" : "EPIPE EPIPE HUP"));
    scene.check_after(2);
    CHECK(scene.heard.closings.empty());
}

TEST_CASE("A dead socket is not brought back to life, and cannot take its port again",
          "[hostile][kernel]") {
    Scene scene("kernel");
    auto [socket, fd] = scene.victim();
    scene.clear();
    lab::Attacker attacker(scene.foreign, [](const lab::Attacker::Line& line) {
        const int taken = line.take();
        line.say("has it");
        line.wait();
        Attempts a(taken);
        a.send(peer, peer_port);
        a.disconnect();
        a.send(peer, peer_port);
        a.send(other_peer, peer_port);
        a.result(::send(taken, "", 1, MSG_NOSIGNAL));
        a.connect(peer, peer_port);
        a.bind("0.0.0.0", attackers_port);
        a.result(::setsockopt(taken, SOL_SOCKET, SO_BINDTODEVICE, "lan0", 4));
        a.result(::setsockopt(taken, SOL_SOCKET, SO_BINDTODEVICE, "lan1", 4));
        a.option(SOL_SOCKET, SO_BINDTOIFINDEX, 0);
        a.result(::setsockopt(taken, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2));
        a.send("127.0.0.1", peer_port);
        a.disconnect();
        a.option(SOL_SOCKET, SO_REUSEADDR, 0);
        a.option(IPPROTO_IP, IP_TTL, 64);
        std::uint64_t wait = 0;
        socklen_t size = sizeof(wait);
        a.result(::getsockopt(taken, IMPNET_SOL, IMPNET_SO_WAIT, &wait, &size));
        a.note(wait == ~0ULL ? "never" : std::to_string(wait));
        line.say(a.words());
        line.wait();
        Attempts then(taken);
        then.receive();
        then.send(peer, peer_port);
        line.say(then.words());
    });
    attacker.give(fd.get());
    fd.reset();
    REQUIRE(scene.hear(attacker) == "has it");
    socket.reset();
    attacker.go_on();
    CHECK(
        scene.hear(attacker) ==
        "EPIPE OK EPIPE EPIPE EDESTADDRREQ EPERM EPERM EPERM EPERM EPERM OK EACCES OK EPERM EPERM "
        "OK never");
    // Its port is another's, on its own interface and on others, and that one's datagrams are.
    for (const DataPath::Slot slot : {0U, 1U}) {
        Heard heard;
        auto next =
            scene.path().open(scene.request(attackers_port, Delivery::signal, 1002, slot), heard);
        if (!next) FAIL_CHECK(next.error().message);
        if (!next) continue;
        scene.peers[slot].send(slot == 0 ? ours : other_ours, attackers_port, {'n'});
        CHECK(lab::run_until(scene.loop, Milliseconds(2'000),
                             [&] { return heard.datagrams.size() == 1; }));
        // And it is one socket's only, as ever.
        CHECK_FALSE(
            scene.path().open(scene.request(attackers_port, Delivery::signal, 1003, slot), heard));
    }
    attacker.go_on();
    CHECK(scene.hear(attacker) == "nothing EPIPE");
    scene.check_after(0);
}

TEST_CASE("A holder that disconnects its socket takes no port on other interfaces",
          "[hostile][kernel]") {
    Scene scene("kernel");
    auto [socket, fd] = scene.victim();
    CHECK(scene.attack(fd.get(), [](Attempts& a) { a.disconnect(); }) == "OK");
    Heard heard;
    auto other = scene.path().open(scene.request(attackers_port, Delivery::signal, 1002, 1), heard);
    if (!other) FAIL(other.error().message);
    CHECK((*other)->send(Ipv4::parse(other_peer).value(), peer_port, {1}) ==
          impnetd::SendResult::sent);
    CHECK(scene.peers[1].receive(lab::Deadline(Milliseconds(2'000))));
    // Its owner hears of it.
    CHECK(lab::run_until(scene.loop, Milliseconds(2'000),
                         [&] { return scene.heard.closings.size() == 1; }));
    scene.check_honest();
}

TEST_CASE("A port that impnetd chose stays its socket's when that is disconnected",
          "[hostile][kernel]") {
    Scene scene("kernel");
    auto [socket, fd] = scene.victim(0);
    scene.clear();
    const auto words = scene.attack(fd.get(), [](Attempts& a) {
        const auto before = a.port();
        a.note(before >= 1024 ? "port" : "none");
        a.disconnect();
        a.send(peer, peer_port);
        a.send(peer, peer_port, 65'508);
        a.note(a.port() == before ? "same" : "other");
    });
    CHECK(words == "port OK ENETUNREACH ENETUNREACH same");
    scene.check_after(0);
}

TEST_CASE("Who is in the middle of sending when its socket is taken back sends no more",
          "[hostile]") {
    const std::string path = GENERATE("kernel", "relay");
    INFO(path);
    Scene scene(path, {.burst = 100, .rate = 20'000});  // or the witnesses could not follow
    constexpr int rounds = 20;
    for (int round = 0; round < rounds; ++round) {
        auto [socket, fd] = scene.victim();
        scene.clear();
        lab::Attacker attacker(scene.foreign, [&](const lab::Attacker::Line& line) {
            const int taken = line.take();
            const bool second = ::fork() == 0;
            Attempts a(taken);
            if (!second) line.say("begins");
            for (std::string last; last != "EPIPE";) {
                Attempts one(taken);
                send_by(path, one, peer);
                last = one.words();
            }
            line.say("ended");
            line.wait();
        });
        attacker.give(fd.get());
        fd.reset();
        REQUIRE(scene.hear(attacker) == "begins");
        const lab::Deadline deadline(Milliseconds(5'000));
        do lab::run_for(scene.loop, Milliseconds(1 + round % 5));
        while (scene.left() == 0 && !deadline.passed());
        socket.reset();
        const auto closed = realtime_usec();
        CHECK(scene.hear(attacker) == "ended");
        CHECK(scene.hear(attacker) == "ended");
        // Both have had their last EPIPE: whatever was to leave has left. What had passed the rules
        // before the end may be a moment on its way.
        std::uint64_t latest = 0;
        for (const auto& packet : scene.capture(0).packets()) {
            if (packet.outgoing && packet.from_port == attackers_port)
                latest = std::max(latest, packet.usec);
        }
        CHECK(latest > 0);
        CHECK(latest < closed + 20'000);
        CHECK_THAT(scene.forbidden(), Catch::Equals(""));
        auto [next, next_fd] = scene.victim();
        CHECK(next->local_port() == attackers_port);
        scene.capture(0).clear();
        scene.check_honest();
        CHECK(scene.left() == 0);
        ::kill(attacker.pid(), SIGKILL);
    }
}

TEST_CASE("Sockets that come and go under attack let nothing forbidden through", "[hostile]") {
    const std::string path = GENERATE("kernel", "relay");
    INFO(path);
    Scene scene(path);
    constexpr unsigned count = 200;
    lab::Attacker attacker(scene.foreign, [&](const lab::Attacker::Line& line) {
        std::vector<int> held;
        for (unsigned number = 0; number < count; ++number) {
            held.push_back(line.take());
            for (const int fd : held) {
                Attempts a(fd);
                for (const char* host :
                     {other_peer, "10.99.0.1", number % 7 == 0 ? "8.8.8.8" : peer})
                    send_by(path, a, host);
                a.disconnect();
            }
            if (held.size() > 16) {
                ::close(held.front());
                held.erase(held.begin());
            }
        }
        line.say("ended");
    });
    for (unsigned number = 0; number < count; ++number) {
        auto [socket, fd] = scene.victim();
        attacker.give(fd.get());
        if (number % 3 == 0) lab::run_for(scene.loop, Milliseconds(1));
    }
    CHECK(scene.hear(attacker, Milliseconds(20'000)) == "ended");
    scene.check_honest();
    CHECK_THAT(scene.forbidden(), Catch::Equals(""));
}

TEST_CASE("A forbidden address is the end of a socket, and its owner hears of it once",
          "[hostile]") {
    const std::string path = GENERATE("kernel", "relay");
    INFO(path);
    Scene scene(path);
    auto [socket, fd] = scene.victim();
    scene.clear();
    lab::Attacker attacker(scene.foreign, [&](const lab::Attacker::Line& line) {
        const int taken = line.take();
        if (::fork() == 0) {  // two at once
            Attempts a(taken);
            for (int i = 0; i < 100; ++i) send_by(path, a, "8.8.8.8");
            ::_exit(0);
        }
        Attempts a(taken);
        for (int i = 0; i < 100; ++i) send_by(path, a, "224.0.0.251");
        Attempts end(taken);
        wait_end(end);
        send_by(path, end, peer);
        line.say(end.words());
    });
    attacker.give(fd.get());
    CHECK(scene.hear(attacker) == "HUP EPIPE");
    lab::run_for(scene.loop, Milliseconds(20));
    CHECK(scene.heard.closings.size() == 1);
    auto [next, next_fd] = scene.victim();
    CHECK(next->local_port() == attackers_port);
    scene.check_after(0);
}

TEST_CASE("There are no more clients than slots, and all that are there go on",
          "[hostile][kernel]") {
    Scene scene("kernel");
    std::vector<std::unique_ptr<DataSocket>> sockets;
    // One is the honest client.
    for (uid_t user = 10'000; sockets.size() < 1'023; ++user)
        sockets.push_back(scene.open(0, Delivery::signal, user, scene.heard));
    const auto more = scene.path().open(scene.request(0, Delivery::signal, 9'999), scene.heard);
    REQUIRE_FALSE(more);
    CHECK(more.error().code == impnetd::ErrorCode::limit_exceeded);
    CHECK(sockets.back()->send(Ipv4::parse(peer).value(), peer_port, {1}) ==
          impnetd::SendResult::sent);
    scene.check_honest();
    sockets.pop_back();
    CHECK(scene.path().open(scene.request(0, Delivery::signal, 9'999), scene.heard));
}

TEST_CASE("Of as many sockets as there can be each tells of its end", "[hostile][kernel]") {
    constexpr rlim_t most = 16'384;
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    const rlimit limit{.rlim_cur = most + 1'000,
                       .rlim_max = std::max<rlim_t>(most + 1'000, before.rlim_max)};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
    {
        Scene scene("kernel");
        std::vector<std::unique_ptr<DataSocket>> sockets;
        std::uint16_t port = 10'000;
        while (sockets.size() < most - 1)
            sockets.push_back(
                scene.open(port++, Delivery::signal, lab::Attacker::user, scene.heard));
        // As a holder would, while the daemon does nothing.
        for (const auto& socket : sockets) {
            Attempts a(socket->descriptors().front());
            a.send("8.8.8.8", peer_port);
            if (a.words() != "EACCES") FAIL(a.words());
        }
        CHECK(lab::run_until(scene.loop, Milliseconds(20'000),
                             [&] { return scene.heard.closings.size() == most - 1; }));
        scene.check_after(0);
    }
    CHECK(::setrlimit(RLIMIT_NOFILE, &before) == 0);
}
