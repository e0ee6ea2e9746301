// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The client's data path without the daemon in it. A UDP socket on the loopback device stands where
// the daemon's will: what the kernel itself does with a socket is the real thing, the daemon's
// programs add errnos. Nothing leaves the loopback device.
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <catch2/catch.hpp>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "client-lib/src/kernel_channel.hpp"

using namespace impnet::detail;
using impnet::Ipv4;
using impnet::OutgoingDatagram;

namespace {

const Ipv4 loopback(127, 0, 0, 1);

/// As the daemon makes them: bound, with IP_PKTINFO, no router crossed.
Descriptor udp_socket() {
    Descriptor fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    const int on = 1;
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 ||
        ::setsockopt(fd.get(), IPPROTO_IP, IP_PKTINFO, &on, sizeof on) < 0 ||
        ::setsockopt(fd.get(), SOL_SOCKET, SO_DONTROUTE, &on, sizeof on) < 0)
        throw std::runtime_error("socket");
    return fd;
}

std::uint16_t port_of(int fd) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.sin_port);
}

struct Kernel {
    Descriptor peer = udp_socket();
    KernelChannel channel{udp_socket(), 0};
    Backlog backlog;
    ReceiveBatch scratch{1};
    ReceiveBatch batch{32};

    std::vector<Verdict> send(const std::vector<OutgoingDatagram>& datagrams) {
        std::vector<Verdict> verdicts(datagrams.size(), Verdict::no_answer);
        channel.send(datagrams, verdicts, backlog, scratch);
        return verdicts;
    }
    Verdict send(Ipv4 to, std::uint16_t port, const std::string& data = "x") {
        return send({{.to = to, .port = port, .data = std::as_bytes(std::span(data))}}).front();
    }
    /// Sent by the peer.
    void arrive(Ipv4 to, const std::string& data) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port_of(channel.fd()));
        address.sin_addr.s_addr = htonl(to.bits());
        ::sendto(peer.get(), data.data(), data.size(), 0,
                 reinterpret_cast<const sockaddr*>(&address), sizeof address);
    }
    /// The next datagram that the peer gets; it must be there.
    std::string at_peer() const {
        std::vector<char> data(70'000);
        const auto size = ::recv(peer.get(), data.data(), data.size(), MSG_DONTWAIT);
        return size < 0 ? "nothing" : std::string(data.data(), static_cast<std::size_t>(size));
    }
};

}  // namespace

TEST_CASE("the kernel path sends, and has its port from the first send on", "[client]") {
    Kernel kernel;
    CHECK(kernel.channel.local_port() == 0);
    CHECK(kernel.send(loopback, 0) == Verdict::invalid_port);
    CHECK(kernel.channel.local_port() == 0);
    CHECK(kernel.send(loopback, port_of(kernel.peer.get()), "hello") == Verdict::sent);
    CHECK(kernel.channel.local_port() == port_of(kernel.channel.fd()));
    CHECK(kernel.at_peer() == "hello");
    CHECK(kernel.send(loopback, port_of(kernel.peer.get()), "") == Verdict::sent);
    CHECK(kernel.at_peer().empty());
}

TEST_CASE("the kernel's refusals are verdicts, and the socket stays open", "[client]") {
    Kernel kernel;
    const auto port = port_of(kernel.peer.get());
    CHECK(kernel.send(loopback, 0) == Verdict::invalid_port);
    CHECK(kernel.send(loopback, port, std::string(65'508, 'x')) == Verdict::too_large);
    // Without a router, no network has this one (RFC 5737).
    CHECK(kernel.send(Ipv4(198, 51, 100, 1), port) == Verdict::not_connected);
    CHECK_FALSE(kernel.channel.ended());
    CHECK(kernel.send(loopback, port, std::string(65'507, 'x')) == Verdict::sent);
    CHECK(kernel.at_peer().size() == 65'507);
}

TEST_CASE("an address that the kernel denies ends the kernel path", "[client]") {
    Kernel kernel;
    // A broadcast address without SO_BROADCAST: EACCES, the errno of a forbidden address.
    const std::string data = "x";
    const auto to = [&](Ipv4 address) {
        return OutgoingDatagram{.to = address,
                                .port = port_of(kernel.peer.get()),
                                .data = std::as_bytes(std::span(data))};
    };
    CHECK(kernel.send({to(loopback), to(Ipv4(127, 255, 255, 255)), to(loopback)}) ==
          std::vector{Verdict::sent, Verdict::address_not_allowed, Verdict::closed});
    CHECK(kernel.channel.ended());
    CHECK(kernel.at_peer() == "x");
    CHECK(kernel.at_peer() == "nothing");
}

TEST_CASE("a batch on the kernel path goes on after what was refused", "[client]") {
    Kernel kernel;
    std::vector<std::string> payloads;
    std::vector<OutgoingDatagram> datagrams;
    payloads.reserve(150);
    datagrams.reserve(150);
    for (int i = 0; i < 150; ++i) payloads.push_back(std::to_string(i));
    for (const auto& payload : payloads)
        datagrams.push_back({.to = loopback,
                             .port = port_of(kernel.peer.get()),
                             .data = std::as_bytes(std::span(payload))});
    std::vector<Verdict> expected(150, Verdict::sent);
    for (const std::size_t refused : {0u, 1u, 63u, 64u, 100u, 149u}) {
        datagrams[refused].port = 0;
        expected[refused] = Verdict::invalid_port;
    }
    CHECK(kernel.send(datagrams) == expected);
    for (std::size_t i = 0; i < 150; ++i) {
        if (expected[i] == Verdict::sent) CHECK(kernel.at_peer() == payloads[i]);
    }
    CHECK(kernel.at_peer() == "nothing");
}

TEST_CASE("the kernel path tells from whom and to which address", "[client]") {
    Kernel kernel;
    kernel.arrive(loopback, "one");
    kernel.arrive(Ipv4(127, 0, 0, 2), "");
    kernel.arrive(loopback, std::string(60'000, 'x'));
    const auto received = kernel.channel.receive(kernel.batch);
    REQUIRE(received.size() == 3);
    CHECK(received[0].from == loopback);
    CHECK(received[0].from_port == port_of(kernel.peer.get()));
    CHECK(received[0].to == loopback);
    CHECK(received[0].to_port == port_of(kernel.channel.fd()));
    CHECK(received[0].text() == "one");
    CHECK(received[1].to == Ipv4(127, 0, 0, 2));
    CHECK(received[1].data.empty());
    CHECK(received[2].data.size() == 60'000);
    CHECK(kernel.channel.receive(kernel.batch).empty());
    CHECK_FALSE(kernel.channel.ended());
}

TEST_CASE("a socket that is taken back is the end of the kernel path", "[client]") {
    Kernel kernel;
    const auto port = port_of(kernel.peer.get());
    // As the daemon does it, on its own copy; it answers ENOTCONN and works.
    ::shutdown(kernel.channel.fd(), SHUT_RDWR);
    SECTION("noticed by the hang-up") {
        pollfd waiting{.fd = kernel.channel.fd(), .events = POLLIN, .revents = 0};
        REQUIRE(::poll(&waiting, 1, 1'000) == 1);
        for (int i = 0; i < 3 && !kernel.channel.ended(); ++i)
            CHECK(kernel.channel.receive(kernel.batch).empty());
    }
    SECTION("noticed by a send") {
        CHECK(kernel.send(loopback, port) == Verdict::closed);
    }
    CHECK(kernel.channel.ended());
    CHECK(kernel.send(loopback, port) == Verdict::closed);
}
