// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Sockets of the kernel path are taken back, or follow their interface, in the same moment: also
// from somebody who has inherited the descriptor and whom the daemon does not know.
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "lab/lab.hpp"
#include "lab/owner.hpp"
#include "lab/rude_client.hpp"
#include "netns/kernel_scene.hpp"

using namespace ports;

namespace {

using namespace std::chrono_literals;
using lab::Running;

constexpr auto soon = lab::Owner::soon;
const std::string kernel_config = "[datapath]\npath = \"kernel\"\n";

/// Another process that has the descriptor and waits in one call: a holder that nobody knows.
class Waiter {
  public:
    using Wait = std::string (*)(int fd);

    Waiter(int fd, Wait wait)
        : process_([fd, wait](const auto& say) {
              say("waiting");
              say(wait(fd));
          }) {
        REQUIRE(process_.hear(lab::Deadline(soon)) == "waiting");
        const lab::Deadline deadline(soon);
        while (state() != 'S' && !deadline.passed()) continue;
        REQUIRE(state() == 'S');
    }

    /// What its call came to.
    std::string told() { return process_.hear(lab::Deadline(soon)); }
    bool waits() const { return state() == 'S'; }

    static std::string by_poll(int fd) {
        pollfd state{.fd = fd, .events = POLLIN, .revents = 0};
        ::poll(&state, 1, -1);
        return (state.revents & POLLHUP) != 0 ? "hung up" : "something else";
    }
    static std::string by_recv(int fd) {
        ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK);
        char byte = 0;
        return std::to_string(::recv(fd, &byte, 1, 0));
    }

  private:
    char state() const {
        std::ifstream file("/proc/" + std::to_string(process_.pid()) + "/stat");
        std::string number;
        std::string name;
        char letter = 0;
        file >> number >> name >> letter;
        return letter;
    }

    lab::Fork process_;
};

int send_to_peer(int fd) {
    const auto address = impnetd::socket_address(Ipv4(10, 77, 1, 1), 3000);
    return ::sendto(fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL,
                    reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0
               ? errno
               : 0;
}

bool hung_up(int fd, Milliseconds limit) {
    pollfd state{.fd = fd, .events = 0, .revents = 0};
    return ::poll(&state, 1, static_cast<int>(limit.count())) == 1 &&
           (state.revents & POLLHUP) != 0;
}

int receive(int fd) {
    std::array<char, 16> data{};
    return static_cast<int>(::recv(fd, data.data(), data.size(), MSG_DONTWAIT));
}

}  // namespace

// --- In this process -----------------------------------------------------------------------------

TEST_CASE("a socket that is taken back is dead at once for everybody who holds it",
          "[kernel][revocation]") {
    KernelScene scene({.burst = 1, .rate = 0});
    auto socket = scene.open(2001, Delivery::descriptor);
    const auto client = KernelScene::acquire_socket(*socket);
    Waiter polls(client->fd(), Waiter::by_poll);
    Waiter receives(client->fd(), Waiter::by_recv);
    SECTION("by its session") {
        socket.reset();
    }
    SECTION("for a forbidden address") {
        CHECK(client->send_raw(Ipv4(8, 8, 8, 8), 53, {}) == EACCES);
        // Nothing can be done with it already, before the daemon knows.
        CHECK(client->send_raw(DataPathScene::peer(), DataPathScene::peer_port, {}) == EPIPE);
        scene.peer_sends(0, DataPathScene::ours(), 2001, payload(3));
        REQUIRE(scene.until([&] { return !scene.log.closings.empty(); }));
    }
    SECTION("for a forbidden address that the daemon itself was asked to send to") {
        CHECK_FALSE(socket->send(Ipv4(8, 8, 8, 8), 53, {}));
    }
    CHECK(polls.told() == "hung up");
    CHECK(receives.told() == "0");
    check_dead(scene, *client);
}

TEST_CASE("what waits in a socket that is taken back is gone", "[kernel][revocation]") {
    KernelScene scene;
    auto socket = scene.open(2001, Delivery::descriptor);
    const auto client = KernelScene::acquire_socket(*socket);
    for (int i = 0; i < 50; ++i) scene.peer_sends(0, DataPathScene::ours(), 2001, payload(5));
    REQUIRE(scene.until([&] { return socket->counters().received == 50; }));
    REQUIRE(client->receive());
    socket.reset();
    check_dead(scene, *client);
}

TEST_CASE("a policy that changes is in force with the next datagram", "[kernel][revocation]") {
    KernelScene scene({.burst = 1, .rate = 0});
    const auto socket = scene.open(2001, Delivery::descriptor);
    const auto client = KernelScene::acquire_socket(*socket);
    const auto send = [&] {
        return client->send_raw(DataPathScene::peer(), DataPathScene::peer_port, {});
    };
    CHECK(send() == 0);
    socket->set_policy(
        {.destinations = {}, .own_limit = impnetd::RateLimit{.burst = 2, .rate = 0.01}});
    CHECK(send() == 0);
    CHECK(send() == 0);
    CHECK(send() == EAGAIN);
    socket->set_policy({});
    CHECK(send() == 0);
    Waiter polls(client->fd(), Waiter::by_poll);
    socket->set_policy({.destinations = {{.network = Ipv4Network{Ipv4(10, 77, 1, 0), 24},
                                          .first_port = 0,
                                          .last_port = 65535,
                                          .allow = false,
                                          .rule = "none"}},
                        .own_limit = {}});
    CHECK(polls.waits());
    CHECK(send() == EACCES);
    REQUIRE(scene.until([&] { return !scene.log.closings.empty(); }));
    CHECK(polls.told() == "hung up");
    check_dead(scene, *client, EACCES, 4);
}

TEST_CASE("a socket that is raced for is taken back all the same", "[kernel][revocation]") {
    KernelScene scene({.burst = 1, .rate = 0});
    for (int i = 0; i < 20; ++i) {
        auto socket = scene.open(2001, Delivery::descriptor);
        const auto client = KernelScene::acquire_socket(*socket);
        // Holders that do all they can while it happens, and tell whether anything worked after.
        lab::Fork rival([fd = client->fd()](const auto& say) {
            const auto peer =
                impnetd::socket_address(DataPathScene::peer(), DataPathScene::peer_port);
            const sockaddr nothing{.sa_family = AF_UNSPEC, .sa_data = {}};
            say("begins");
            int error = 0;
            while (error != EPIPE) {
                static_cast<void>(::connect(fd, &nothing, sizeof(nothing)));
                error = ::sendto(fd, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL,
                                 reinterpret_cast<const sockaddr*>(&peer), sizeof(peer)) < 0
                            ? errno
                            : 0;
            }
            bool dead = true;
            for (int k = 0; k < 1'000; ++k) {
                dead = dead && ::sendto(fd, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL,
                                        reinterpret_cast<const sockaddr*>(&peer), sizeof(peer)) < 0;
                dead = dead && errno == EPIPE;
            }
            say(dead ? "dead" : "alive");
        });
        REQUIRE(rival.hear(lab::Deadline(soon)) == "begins");
        socket.reset();
        CHECK(rival.hear(lab::Deadline(soon)) == "dead");
        // The rival may have kept the end itself waiting.
        CHECK(hung_up(client->fd(), soon));
    }
}

// --- With the real daemon ------------------------------------------------------------------------

TEST_CASE("sockets end with their session, also for who has inherited them",
          "[kernel][revocation]") {
    Running running(kernel_config);
    auto& owner = running.owner;
    lab::Peer peer(running.lan.server, 3000, "srv0");
    const auto socket = owner.open_udp(2001);
    const auto fd = owner.acquire(socket);
    CHECK(send_to_peer(fd.get()) == 0);
    REQUIRE(peer.receive(lab::Deadline(soon)));
    Waiter polls(fd.get(), Waiter::by_poll);
    Waiter receives(fd.get(), Waiter::by_recv);
    owner.raw.call(owner.session, "org.impnet1.Session", "Close");
    // With the answer it is done.
    CHECK(hung_up(fd.get(), 0ms));
    CHECK(send_to_peer(fd.get()) == EPIPE);
    CHECK(polls.told() == "hung up");
    CHECK(receives.told() == "0");
    owner.open();
    const auto next = owner.open_udp(2001);
    const auto next_fd = owner.acquire(next);
    peer.send("10.77.1.100", 2001, {1, 2});
    REQUIRE(!lab::wait_readable({next_fd.get()}, lab::Deadline(soon)).empty());
    CHECK(receive(next_fd.get()) == 2);
    CHECK(receive(fd.get()) < 0);
    CHECK_FALSE(peer.receive(lab::Deadline(50ms)));
}

TEST_CASE("sockets end with their client, though somebody holds them still",
          "[kernel][revocation]") {
    Running running(kernel_config);
    auto& owner = running.owner;
    lab::Peer peer(running.lan.server, 3000, "srv0");
    lab::RudeClient client(running.lan.bus);
    const auto session = client.open("eth0");
    const auto fd = client.acquire(client.open_udp(session, 2001, "fd"));
    CHECK(send_to_peer(fd.get()) == 0);
    REQUIRE(peer.receive(lab::Deadline(soon)));
    peer.send("10.77.1.100", 2001, {1});
    REQUIRE(!lab::wait_readable({fd.get()}, lab::Deadline(soon)).empty());
    client.vanish();
    REQUIRE(hung_up(fd.get(), soon));
    CHECK(send_to_peer(fd.get()) == EPIPE);
    // What had waited in it is gone with the answer to the next call, at the latest.
    const auto next = owner.acquire(owner.open_udp(2001));
    CHECK(receive(fd.get()) < 0);
    CHECK(send_to_peer(next.get()) == 0);
    REQUIRE(peer.receive(lab::Deadline(soon)));
    peer.send("10.77.1.100", 2001, {1, 2, 3});
    REQUIRE(!lab::wait_readable({next.get()}, lab::Deadline(soon)).empty());
    CHECK(receive(next.get()) == 3);
    CHECK(receive(fd.get()) < 0);
}

TEST_CASE("a device that is removed takes its sockets, and comes back to the same session",
          "[kernel][revocation]") {
    Running running(kernel_config);
    auto& owner = running.owner;
    const auto socket = owner.open_udp(2001);
    const auto fd = owner.acquire(socket);
    Waiter polls(fd.get(), Waiter::by_poll);
    Waiter receives(fd.get(), Waiter::by_recv);
    const bool watched = GENERATE(true, false);
    if (!watched) ::kill(running.service.pid(), SIGSTOP);
    running.lan.cable.remove();
    CHECK(send_to_peer(fd.get()) != 0);  // wherever the news of it is
    if (!watched) {
        // And another one of that name is there before anybody looks.
        running.lan.cable.restore();
        running.service.crash(SIGKILL);
        owner.resume();
    }
    REQUIRE(owner.hears_end_of(socket));
    CHECK(owner.closings.at(socket) == "device removed");
    CHECK(hung_up(fd.get(), 0ms));
    CHECK(send_to_peer(fd.get()) == EPIPE);
    CHECK(polls.told() == "hung up");
    CHECK(receives.told() == "0");
    if (watched) {
        owner.steps.clear();
        running.lan.cable.restore();
    }
    running.lan.server.run(
        {"ip", "address", "add", "10.77.1.1/24", "broadcast", "+", "dev", "srv0"});
    REQUIRE(owner.reaches(1));
    lab::Peer peer(running.lan.server, 3000, "srv0");
    const auto next = owner.acquire(owner.open_udp(2001));
    CHECK(send_to_peer(next.get()) == 0);
    REQUIRE(peer.receive(lab::Deadline(soon)));
    CHECK(send_to_peer(fd.get()) == EPIPE);
}

TEST_CASE("a socket follows its interface: no cable, and another address", "[kernel][revocation]") {
    Running running(kernel_config);
    auto& owner = running.owner;
    lab::Peer peer(running.lan.server, 3000, "srv0");
    const auto socket = owner.open_udp(2001);
    const auto fd = owner.acquire(socket);
    CHECK(send_to_peer(fd.get()) == 0);
    CHECK(peer.receive(lab::Deadline(soon))->from == "10.77.1.100");
    Waiter polls(fd.get(), Waiter::by_poll);

    running.lan.cable.pull();
    REQUIRE(owner.reaches(204));
    CHECK(send_to_peer(fd.get()) == ENETUNREACH);
    CHECK_FALSE(hung_up(fd.get(), 0ms));
    CHECK(polls.waits());

    running.dhcp.stop();
    running.dhcp.start(lab::DhcpServer::Options::only("10.77.1.120"),
                       lab::DhcpServer::Leases::forget);
    owner.steps.clear();
    running.lan.cable.plug();
    REQUIRE(owner.reaches(1));
    CHECK(send_to_peer(fd.get()) == 0);
    const auto arrived = peer.receive(lab::Deadline(soon));
    REQUIRE(arrived);
    CHECK(arrived->from == "10.77.1.120");
    CHECK(arrived->from_port == 2001);
    CHECK(polls.waits());

    // The old address is not its own any more, even if the host had it still.
    running.lan.host.run({"ip", "address", "replace", "10.77.1.100/32", "dev", "lan0"});
    peer.send("10.77.1.100", 2001, {1});
    peer.send("10.77.1.120", 2001, {1, 2});
    CHECK(polls.told() == "something else");
    CHECK(receive(fd.get()) == 2);
    CHECK(receive(fd.get()) < 0);
    CHECK(owner.closings.empty());
}
