// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The client's data path without the daemon in it. A UDP socket on the loopback device stands where
// the daemon's will: what the kernel itself does with a socket is the real thing, the daemon's
// programs add errnos. Nothing leaves the loopback device.
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <catch2/catch.hpp>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "client-lib/src/kernel_channel.hpp"
#include "lab/refusal.hpp"

using namespace std::chrono_literals;
using namespace impnet::detail;
using impnet::Ipv4;
using impnet::OutgoingDatagram;

namespace {

const Ipv4 loopback(127, 0, 0, 1);

/// As the daemon makes them: bound, with IP_PKTINFO, no router crossed.
Descriptor udp_socket() {
    Descriptor fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
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

/// What becomes of datagrams that the kernel answers with this errno.
std::vector<Verdict> refused_with(int error, Kernel& kernel,
                                  const std::vector<OutgoingDatagram>& datagrams) {
    std::vector<Verdict> verdicts;
    std::thread([&] {
        lab::refuse({SYS_sendto, SYS_sendmsg, SYS_sendmmsg}, error);
        verdicts = kernel.send(datagrams);
    }).join();
    return verdicts;
}

const std::string small = "x";
const std::string large(70'000, 'x');

OutgoingDatagram outgoing(Ipv4 to, std::uint16_t port, const std::string& data = small) {
    return {.to = to, .port = port, .data = std::as_bytes(std::span(data))};
}

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

TEST_CASE("datagrams that can go together and such that cannot arrive in order", "[client]") {
    Kernel kernel;
    const Descriptor other = udp_socket();
    const auto port = port_of(kernel.peer.get());
    const std::size_t large = 1'400;  // of which 46 fit into what the kernel takes at once
    std::vector<std::pair<std::uint16_t, std::string>> written;
    const auto write = [&](std::size_t size, std::size_t count, std::uint16_t to) {
        for (std::size_t i = 0; i < count; ++i)
            written.emplace_back(to, std::string(size, static_cast<char>('a' + i % 26)));
    };
    for (const std::size_t size : {std::size_t{1}, std::size_t{700}, large}) {
        write(size, 5, port);
        write(size / 2, 1, port);  // shorter, or empty
        write(size, 3, port);
        write(size + 1, 6, port);
        write(size, 1, port_of(other.get()));
        write(0, 7, port);
        write(size, 70, port);
    }
    std::vector<OutgoingDatagram> datagrams;
    datagrams.reserve(written.size());
    for (const auto& [to, data] : written) datagrams.push_back(outgoing(loopback, to, data));
    // Not all at once: a socket's buffer has no room for so much.
    for (std::size_t i = 0; i < datagrams.size(); i += 60) {
        const auto end = std::min(i + 60, datagrams.size());
        const std::vector<OutgoingDatagram> part(&datagrams[i], &datagrams[i] + (end - i));
        CHECK(kernel.send(part) == std::vector(part.size(), Verdict::sent));
        for (std::size_t sent = i; sent < end; ++sent)
            if (written[sent].first == port) CHECK(kernel.at_peer() == written[sent].second);
    }
    CHECK(kernel.at_peer() == "nothing");
}

TEST_CASE("datagrams that are alike go together, and where they cannot, one by one", "[client]") {
    Kernel kernel;
    const std::vector<OutgoingDatagram> datagrams(10,
                                                  outgoing(loopback, port_of(kernel.peer.get())));
    const auto send_refusing = [&](const std::vector<unsigned>& calls, int error) {
        std::vector<Verdict> verdicts;
        std::thread([&] {
            lab::refuse(calls, error);
            verdicts = kernel.send(datagrams);
        }).join();
        return verdicts;
    };
    const std::vector<Verdict> sent(datagrams.size(), Verdict::sent);
    SECTION("together") {
        CHECK(send_refusing({SYS_sendto, SYS_sendmmsg}, EPERM) == sent);
    }
    SECTION("one by one") {
        const int error = GENERATE(EIO, EINVAL, EMSGSIZE, EOPNOTSUPP, ENOBUFS, ENOMEM, EPERM);
        CAPTURE(error);
        CHECK(send_refusing({SYS_sendmsg}, error) == sent);
    }
    SECTION("together again, after it was the address") {
        CHECK(send_refusing({SYS_sendto, SYS_sendmsg, SYS_sendmmsg}, EINVAL) ==
              std::vector(datagrams.size(), Verdict::not_connected));
        CHECK(send_refusing({SYS_sendto, SYS_sendmmsg}, EPERM) == sent);
    }
    std::size_t arrived = 0;
    while (kernel.at_peer() == small) ++arrived;
    CHECK(arrived == datagrams.size());
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

TEST_CASE("the kernel path waits for a datagram, but for a few ticks at most", "[client]") {
    Kernel kernel;
    const auto wait = [&] { return kernel.channel.receive(kernel.batch, Wait::yes); };
    CHECK(wait().empty());  // and comes back
    CHECK_FALSE(kernel.channel.ended());
    std::jthread other;
    SECTION("that comes") {
        other = std::jthread([&] { kernel.arrive(loopback, ""); });
        std::span<const impnet::Datagram> received;
        while (received.empty()) received = wait();
        CHECK(received[0].from_port == port_of(kernel.peer.get()));
    }
    SECTION("more of which is taken along") {
        for (int i = 0; i < 5; ++i) kernel.arrive(loopback, "x");
        for (std::size_t received = 0; received < 5;) received += wait().size();
    }
    SECTION("and hears of the end") {
        other = std::jthread([&] { ::shutdown(kernel.channel.fd(), SHUT_RDWR); });
        while (!kernel.channel.ended()) CHECK(wait().empty());
    }
    SECTION("also where it may not say how long") {
        std::thread([&] {
            Kernel other_one;
            lab::refuse({SYS_setsockopt}, EACCES);
            other_one.arrive(loopback, "x");
            while (other_one.channel.receive(other_one.batch, Wait::yes).empty()) continue;
            CHECK(other_one.channel.receive(other_one.batch, Wait::yes).empty());
            CHECK_FALSE(other_one.channel.ended());
        }).join();
    }
    // Who does not want to wait does not.
    if (!kernel.channel.ended()) CHECK(kernel.channel.receive(kernel.batch).empty());
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

TEST_CASE("what is refused is told one by one and in a batch alike", "[client]") {
    const auto [error, verdict] = GENERATE(
        std::pair(EAGAIN, Verdict::would_block), std::pair(ENETUNREACH, Verdict::not_connected),
        std::pair(EPERM, Verdict::not_connected), std::pair(ENOMEM, Verdict::failed));
    CAPTURE(error);
    Kernel kernel;
    CHECK(refused_with(error, kernel, {outgoing(loopback, 5000)}) == std::vector{verdict});
    CHECK(refused_with(error, kernel, std::vector(100, outgoing(loopback, 5000))) ==
          std::vector(100, verdict));
    CHECK_FALSE(kernel.channel.ended());
    CHECK(kernel.channel.local_port() == 0);
}

TEST_CASE("EINVAL is about the port where the port is forbidden, else about the interface",
          "[client]") {
    Kernel kernel;
    CHECK(refused_with(EINVAL, kernel,
                       {outgoing(loopback, 0), outgoing(loopback, 1), outgoing(loopback, 67),
                        outgoing(loopback, 68), outgoing(loopback, 69)}) ==
          std::vector{Verdict::invalid_port, Verdict::not_connected, Verdict::invalid_port,
                      Verdict::invalid_port, Verdict::not_connected});
    CHECK_FALSE(kernel.channel.ended());
}

TEST_CASE("the kernel path judges the address first, whatever else is wrong", "[client]") {
    // EACCES without SO_BROADCAST, once the kernel gets so far.
    const Ipv4 forbidden(127, 255, 255, 255);
    Kernel kernel;
    const auto port = port_of(kernel.peer.get());
    SECTION("a port that the kernel refuses before") {
        CHECK(kernel.send(forbidden, 0) == Verdict::address_not_allowed);
    }
    SECTION("a size that the kernel refuses before") {
        CHECK(kernel.send(forbidden, port, large) == Verdict::address_not_allowed);
    }
    SECTION("both, in the middle of a batch") {
        CHECK(kernel.send({outgoing(loopback, port), outgoing(loopback, 0, large),
                           outgoing(loopback, port, large), outgoing(forbidden, 0, large),
                           outgoing(loopback, port)}) ==
              std::vector{Verdict::sent, Verdict::invalid_port, Verdict::too_large,
                          Verdict::address_not_allowed, Verdict::closed});
        CHECK(kernel.at_peer() == small);
    }
    CHECK(kernel.channel.ended());
    CHECK(kernel.at_peer() == "nothing");
}

TEST_CASE("what is too large is too large, whatever the kernel saw first", "[client]") {
    Kernel kernel;
    const int error = GENERATE(EAGAIN, ENETUNREACH, EINVAL, EMSGSIZE);
    CHECK(refused_with(error, kernel, {outgoing(loopback, 5000, large)}) ==
          std::vector{Verdict::too_large});
}

TEST_CASE("a socket that its own datagram had closed when it was tried again tells so",
          "[client]") {
    // sendmmsg keeps the errno of what it stops at to itself.
    const auto outside = outgoing(Ipv4(198, 51, 100, 1), 5000);
    const auto inside = outgoing(Ipv4(192, 168, 0, 1), 5000);
    CHECK(verdict_of(EPIPE, outside, true) == Verdict::address_not_allowed);
    CHECK(verdict_of(EACCES, inside, true) == Verdict::address_not_allowed);
    CHECK(verdict_of(EPIPE, outside, false) == Verdict::closed);
    for (const Ipv4 local :
         {Ipv4(10, 0, 0, 0), Ipv4(10, 255, 255, 255), Ipv4(172, 16, 0, 1), Ipv4(172, 31, 255, 255),
          Ipv4(192, 168, 0, 1), Ipv4(255, 255, 255, 255)})
        CHECK(verdict_of(EPIPE, outgoing(local, 5000), true) == Verdict::closed);
    for (const Ipv4 other : {Ipv4(9, 255, 255, 255), Ipv4(11, 0, 0, 0), Ipv4(172, 15, 255, 255),
                             Ipv4(172, 32, 0, 0), Ipv4(192, 169, 0, 0), Ipv4()})
        CHECK(verdict_of(EPIPE, outgoing(other, 5000), true) == Verdict::address_not_allowed);
}

TEST_CASE("a kernel that does not know how long to wait leaves it at 40 ms", "[client]") {
    const Kernel kernel;
    CHECK(kernel.channel.retry_after() == 40ms);
}
