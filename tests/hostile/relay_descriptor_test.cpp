// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Who holds the descriptor of the relay, and what it tries with it: there is no UDP socket in its
// hands, but a line to the daemon that it may abuse.
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "datapath/relay/frame.hpp"
#include "hostile/ring.hpp"
#include "hostile/scene.hpp"

namespace {

using namespace hostile;

using Bytes = std::vector<std::uint8_t>;

Bytes frame(const char* host, std::uint16_t port = peer_port, std::size_t size = 8) {
    const auto header = impnetd::relay::encode({.kind = IMPNET_RELAY_DATAGRAM,
                                                .peer = Ipv4::parse(host).value(),
                                                .peer_port = port,
                                                .local = {},
                                                .local_port = 0,
                                                .sequence = 0});
    Bytes out(header.begin(), header.end());
    out.resize(out.size() + size);
    return out;
}

/// A frame with one byte of its header changed.
Bytes bent(std::size_t at, std::uint8_t value) {
    Bytes out = frame(peer);
    out.at(at) = value;
    return out;
}

void tell(Attempts& a, const Bytes& bytes, int flags = 0) {
    a.result(::send(a.fd, bytes.data(), bytes.size(), flags | MSG_DONTWAIT | MSG_NOSIGNAL));
}

/// Verdicts, in words, until as many are there; "end" at the end.
void hear(Attempts& a, std::size_t count) {
    while (count > 0) {
        std::array<std::uint8_t, 128> data{};
        const auto flags = ::fcntl(a.fd, F_GETFL);
        ::fcntl(a.fd, F_SETFL, flags & ~O_NONBLOCK);
        const auto size = ::recv(a.fd, data.data(), data.size(), 0);
        if (size <= 0) return a.note(size == 0 ? "end" : Attempts::name(errno));
        for (auto i = impnetd::relay::header_size; i < static_cast<std::size_t>(size); ++i, --count)
            a.note(std::to_string(data.at(i)));
    }
}

}  // namespace

TEST_CASE("Nothing forbidden leaves by what a relay's descriptor is told", "[hostile][relay]") {
    Scene scene("relay");
    std::vector<Attack> attacks = {
        {"honest datagrams",
         [](Attempts& a) {
             tell(a, frame(peer));
             tell(a, frame(broadcast));
             tell(a, frame(everybody));
             hear(a, 3);
         },
         "OK OK OK 0 0 0", 3},
        {"private addresses that are not of the subnet, and our own",
         [](Attempts& a) {
             for (const char* host : {other_peer, "10.99.0.1", "192.168.1.1", ours, other_ours})
                 tell(a, frame(host));
             hear(a, 5);
         },
         "OK OK OK OK OK 1 1 1 1 1"},
        {"the ports of DHCP, and none",
         [](Attempts& a) {
             tell(a, frame(everybody, 67));
             tell(a, frame(peer, 68));
             tell(a, frame(peer, 0));
             hear(a, 3);
         },
         "OK OK OK 17 17 17"},
        {"too large",
         [](Attempts& a) {
             tell(a, frame(peer, peer_port, 65'507));
             tell(a, frame(peer, peer_port, 65'508));
             tell(a, frame(peer, peer_port, 150'000));
             hear(a, 3);
         },
         "OK OK OK 0 18 18", 1},
        {"larger than the line",
         [](Attempts& a) {
             a.option(SOL_SOCKET, SO_SNDBUF, 0x7fffffff);
             tell(a, frame(peer, peer_port, 50'000'000));
             tell(a, frame(peer));
             hear(a, 1);
         },
         "OK EMSGSIZE OK 0", 1},
        {"control messages of a UDP socket",
         [](Attempts& a) {
             const Bytes bytes = frame(peer);
             iovec part{const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
             alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
             msghdr message{};
             message.msg_iov = &part;
             message.msg_iovlen = 1;
             message.msg_control = control.data();
             message.msg_controllen = control.size();
             cmsghdr* entry = CMSG_FIRSTHDR(&message);
             entry->cmsg_level = IPPROTO_IP;
             entry->cmsg_type = IP_TTL;
             entry->cmsg_len = CMSG_LEN(sizeof(int));
             const int ttl = 64;
             std::memcpy(CMSG_DATA(entry), &ttl, sizeof(ttl));
             a.result(::sendmsg(a.fd, &message, MSG_NOSIGNAL));
             hear(a, 1);
             a.option(IPPROTO_IP, IP_TTL, 64);
             a.option(SOL_SOCKET, SO_DONTROUTE, 0);
             a.disconnect();
             a.connect("8.8.8.8", peer_port);
             a.bind("0.0.0.0", 67);
             tell(a, frame(peer));
             hear(a, 1);
         },
         "OK 0 EOPNOTSUPP OK EINVAL EINVAL EINVAL OK 0", 2},
        {"an address with a message, out of band, and other flags",
         [](Attempts& a) {
             const Bytes bytes = frame(peer);
             const auto to = address("8.8.8.8", peer_port);
             a.result(::sendto(a.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL,
                               reinterpret_cast<const sockaddr*>(&to), sizeof(to)));
             tell(a, bytes, MSG_OOB);
             tell(a, bytes, MSG_MORE);
             hear(a, 2);
         },
         "OK EOPNOTSUPP OK 0 0", 2},
        {"going on after one's own end",
         [](Attempts& a) {
             tell(a, frame(peer));
             tell(a, frame("8.8.8.8"));
             hear(a, 3);
             tell(a, frame(peer));
         },
         "OK OK 0 16 end EPIPE", 1},
        {"by io_uring",
         [](Attempts& a) {
             Ring ring;
             const Bytes bytes = frame("10.99.0.1");
             io_uring_sqe request{};
             request.opcode = IORING_OP_SEND;
             request.fd = a.fd;
             request.addr = reinterpret_cast<std::uint64_t>(bytes.data());
             request.len = static_cast<std::uint32_t>(bytes.size());
             if (!ring || ring.ask(request) < 0) tell(a, bytes);
             hear(a, 1);
         },
         "1"},
    };
    for (const char* host : {"8.8.8.8", "224.0.0.1", "239.1.1.1", "127.0.0.1", "0.0.0.0",
                             "169.254.1.1", "10.77.1.0", "11.0.0.1", "172.32.0.1"}) {
        attacks.push_back({"a datagram to " + std::string(host),
                           [host](Attempts& a) {
                               tell(a, frame(host));
                               hear(a, 2);
                           },
                           "OK 16 end"});
    }
    const std::vector<Bytes> garbage = {
        {},           {1},         Bytes(15),   Bytes(16),   Bytes(66'000, 0xff),
        bent(0, 0),   bent(0, 2),  bent(1, 0),  bent(1, 2),  bent(1, 3),
        bent(1, 255), bent(8, 10), bent(11, 1), bent(12, 1), bent(13, 1)};
    for (const auto& bytes : garbage) {
        attacks.push_back({"garbage",
                           [bytes](Attempts& a) {
                               tell(a, bytes);
                               hear(a, 1);
                               tell(a, frame(peer));
                           },
                           "OK end EPIPE"});
    }
    check_attacks(scene, attacks);
}

TEST_CASE("Descriptors that are passed to a relay get nowhere", "[hostile][relay]") {
    Scene scene("relay");
    auto [socket, fd] = scene.victim();
    const auto open_here = [] {
        std::size_t count = 0;
        for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
            count += entry.path().empty() ? 0 : 1;
        return count;
    };
    scene.clear();
    lab::run_for(scene.loop, Milliseconds(5));
    const auto words = scene.attack(fd.get(), [](Attempts& a) {
        const Bytes bytes = frame(peer);
        std::string last;
        for (int i = 0; i < 20; ++i) {
            iovec part{const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
            constexpr std::size_t many = 250;
            std::vector<int> fds(many, a.fd);
            alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * many)> control{};
            msghdr message{};
            message.msg_iov = &part;
            message.msg_iovlen = 1;
            message.msg_control = control.data();
            message.msg_controllen = control.size();
            cmsghdr* entry = CMSG_FIRSTHDR(&message);
            entry->cmsg_level = SOL_SOCKET;
            entry->cmsg_type = SCM_RIGHTS;
            entry->cmsg_len = CMSG_LEN(sizeof(int) * many);
            std::memcpy(CMSG_DATA(entry), fds.data(), sizeof(int) * many);
            const auto sent = ::sendmsg(a.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
            last = sent < 0 ? Attempts::name(errno) : "OK";
        }
        // Refused where the kernel can; else they are closed unseen.
        a.note(last == "EPERM" || last == "OK" || last == "EAGAIN" ? "nowhere" : last);
        const auto flags = ::fcntl(a.fd, F_GETFL);
        ::fcntl(a.fd, F_SETFL, flags & ~O_NONBLOCK);
        tell(a, frame("10.99.0.1"));
    });
    CHECK(words.starts_with("nowhere"));
    lab::run_for(scene.loop, Milliseconds(50));
    const auto before = open_here();
    lab::run_for(scene.loop, Milliseconds(20));
    CHECK(open_here() == before);
    socket.reset();
    scene.check_honest();
    CHECK_THAT(scene.forbidden(), Catch::Equals(""));
}

TEST_CASE("A holder that never reads, never closes and never stops holds up nobody",
          "[hostile][relay]") {
    Scene scene("relay", {.burst = 100, .rate = 2'000});
    auto [socket, fd] = scene.victim();
    scene.clear();
    lab::Attacker attacker(scene.foreign, [](const lab::Attacker::Line& line) {
        const int taken = line.take();
        const int small = 1;
        ::setsockopt(taken, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
        ::setsockopt(taken, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
        line.say("begins");
        const Bytes bytes = frame(peer);
        for (;;) (void)!::send(taken, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    });
    attacker.give(fd.get());
    REQUIRE(scene.hear(attacker) == "begins");
    for (int i = 0; i < 20; ++i) {
        for (int j = 0; j < 50; ++j) scene.peers[0].send(ours, attackers_port, lab::pattern(1'000));
        scene.check_honest();
    }
    socket.reset();
    CHECK(scene.victim().first->local_port() == attackers_port);
    scene.check_honest();
    CHECK_THAT(scene.forbidden(), Catch::Equals(""));
}

TEST_CASE("A relay's descriptor tells of the host no more than a look", "[hostile][relay]") {
    Scene scene("relay");
    auto [socket, fd] = scene.victim();
    const pid_t daemon = ::getpid();
    scene.clear();
    CHECK(scene.attack(fd.get(), [daemon](Attempts& a) {
        ifreq request{};
        std::strcpy(request.ifr_name, "lan1");
        // Not closed: names, addresses of devices.
        a.control(SIOCGIFHWADDR, request);
        request.ifr_flags = 0;
        a.control(SIOCSIFFLAGS, request);
        int none = 0;
        a.control(SIOCGSKNS, none);
        const int handle = static_cast<int>(::syscall(SYS_pidfd_open, daemon, 0));
        for (const int number : {0, 3, 5}) a.result(::syscall(SYS_pidfd_getfd, handle, number, 0));
    }) == "OK EPERM EPERM EPERM EPERM EPERM");
    scene.check_after(0);
}
