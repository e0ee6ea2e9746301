// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Who holds the UDP socket of the kernel path, and what it tries with it.
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "hostile/ring.hpp"
#include "hostile/scene.hpp"
#include "kernel.h"

namespace {

using namespace hostile;

/// A sendmsg of several datagrams at once; how many went, or the errno.
void send_many(Attempts& to, const std::vector<sockaddr_in>& addresses) {
    std::vector<mmsghdr> messages(addresses.size());
    std::vector<sockaddr_in> names = addresses;
    char byte = 0;
    iovec part{&byte, 1};
    for (std::size_t i = 0; i < names.size(); ++i) {
        messages[i].msg_hdr.msg_name = &names[i];
        messages[i].msg_hdr.msg_namelen = sizeof(names[i]);
        messages[i].msg_hdr.msg_iov = &part;
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    std::size_t done = 0;
    while (done < messages.size()) {
        const int sent = ::sendmmsg(to.fd, &messages[done],
                                    static_cast<unsigned>(messages.size() - done), MSG_NOSIGNAL);
        to.note(sent < 0 ? Attempts::name(errno) : std::to_string(sent));
        done += sent < 0 ? 1 : static_cast<std::size_t>(sent);
    }
}

in_pktinfo origin(int ifindex, const char* source) {
    in_pktinfo info{};
    info.ipi_ifindex = ifindex;
    ::inet_pton(AF_INET, source, &info.ipi_spec_dst);
    return info;
}

int bpf(int command, bpf_attr& attributes) {
    return static_cast<int>(::syscall(SYS_bpf, command, &attributes, sizeof(attributes)));
}

io_uring_sqe ring_request(std::uint8_t operation, int fd) {
    io_uring_sqe request{};
    request.opcode = operation;
    request.fd = fd;
    return request;
}

template <typename T>
std::uint64_t pointer(T* to) {
    return reinterpret_cast<std::uint64_t>(to);
}

void note_ring(Attempts& to, int result) {
    to.note(result < 0 ? Attempts::name(-result) : "OK");
}

void ring_send(Attempts& to, Ring& ring, std::uint8_t operation, const char* host) {
    char data[32] = {};
    sockaddr_in name = address(host, peer_port);
    auto request = ring_request(operation, to.fd);
    msghdr message{};
    iovec part{data, sizeof(data)};
    if (operation == IORING_OP_SEND_ZC || operation == IORING_OP_SEND) {
        request.addr = pointer(data);
        request.len = sizeof(data);
        request.addr2 = pointer(&name);
        request.addr_len = sizeof(name);
    } else {
        message.msg_name = &name;
        message.msg_namelen = sizeof(name);
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        request.addr = pointer(&message);
        request.len = 1;
    }
    request.msg_flags = MSG_NOSIGNAL;
    note_ring(to, ring.ask(request));
}

/// SOCKET_URING_OP_SETSOCKOPT.
void ring_option(Attempts& to, Ring& ring, int level, int option, int value) {
    auto request = ring_request(IORING_OP_URING_CMD, to.fd);
    request.off = 3;
    request.addr = static_cast<std::uint32_t>(level) | static_cast<std::uint64_t>(option) << 32;
    request.splice_fd_in = sizeof(value);
    request.addr3 = pointer(&value);
    note_ring(to, ring.ask(request));
}

/// Becomes root where an ordinary user may.
bool become_small_root() {
    const auto uid = ::getuid();
    ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return false;
    const int map = ::open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
    const std::string line = "0 " + std::to_string(uid) + " 1";
    const bool done =
        map >= 0 && ::write(map, line.data(), line.size()) == static_cast<ssize_t>(line.size());
    if (map >= 0) ::close(map);
    return done && ::setuid(0) == 0;
}

ifreq device_request(const char* name) {
    ifreq request{};
    std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    return request;
}

/// The control group of our sockets.
std::string group_of_sockets() {
    for (const auto& entry : std::filesystem::directory_iterator(lab::control_group()))
        if (entry.path().filename().string().starts_with("impnet-")) return entry.path();
    FAIL("there is no control group of sockets");
    return {};
}

/// The process that makes sockets: the only one in that group.
pid_t socket_source() {
    return static_cast<pid_t>(std::stoi(Scene::read(group_of_sockets() + "/cgroup.procs")));
}

}  // namespace

TEST_CASE("Nothing forbidden leaves by the sends of who holds a socket", "[hostile][kernel]") {
    Scene scene("kernel");
    const int lan1 = scene.host.ifindex("lan1");
    const int lan0 = scene.host.ifindex("lan0");
    std::vector<Attack> attacks = {
        {"an honest datagram", [](Attempts& a) { a.send(peer, peer_port); }, "OK", 1},
        {"both broadcasts are allowed",
         [](Attempts& a) {
             a.send(broadcast, peer_port);
             a.send(everybody, peer_port);
         },
         "OK OK", 2},
        {"a time to live of its own, by option",
         [](Attempts& a) {
             a.option(IPPROTO_IP, IP_TTL, 64);
             a.send(peer, peer_port);
         },
         "EPERM OK", 1},
        {"a time to live of its own, by control message",
         [](Attempts& a) {
             a.send_with(IPPROTO_IP, IP_TTL, 64, peer, peer_port);
             a.send_with(IPPROTO_IP, IP_TTL, 2, broadcast, peer_port);
         },
         "EPERM EPERM"},
        {"routers are allowed again",
         [](Attempts& a) {
             a.option(SOL_SOCKET, SO_DONTROUTE, 0);
             a.send("10.99.0.1", peer_port);
             a.send(other_peer, peer_port);
             a.send("8.8.8.8", peer_port);
             a.send(peer, peer_port);
         },
         "EPERM ENETUNREACH ENETUNREACH EACCES EPIPE"},
        {"disconnecting takes the device away, and all sending with it",
         [=](Attempts& a) {
             a.disconnect();
             a.send(peer, peer_port);
             a.send(other_peer, peer_port);
             a.send("10.99.0.1", peer_port);
             a.send(everybody, peer_port);
             a.send_with(IPPROTO_IP, IP_PKTINFO, origin(lan0, ours), peer, peer_port);
             a.send_with(IPPROTO_IP, IP_PKTINFO, origin(lan1, other_ours), other_peer, peer_port);
             a.connect(peer, peer_port);
             a.result(::send(a.fd, "", 1, 0));
             a.bind("0.0.0.0", 2003);
             a.option(SOL_SOCKET, SO_BINDTOIFINDEX, lan1);
             a.result(::setsockopt(a.fd, SOL_SOCKET, SO_BINDTODEVICE, "lan1", 4));
         },
         "OK ENETUNREACH ENETUNREACH ENETUNREACH ENETUNREACH ENETUNREACH ENETUNREACH EPERM "
         "EDESTADDRREQ EPERM EPERM EPERM"},
        {"another device by IP_PKTINFO",
         [=](Attempts& a) {
             a.send_with(IPPROTO_IP, IP_PKTINFO, origin(lan1, "0.0.0.0"), peer, peer_port);
             a.send_with(IPPROTO_IP, IP_PKTINFO, origin(lan1, other_ours), everybody, peer_port);
             a.send_with(IPPROTO_IP, IP_PKTINFO, origin(1, "127.0.0.1"), peer, peer_port);
         },
         "EPERM EPERM EPERM"},
        {"another sender's address by IP_PKTINFO is put right",
         [=](Attempts& a) {
             for (const char* source : {other_ours, peer, "127.0.0.1", "10.77.1.99"})
                 a.send_with(IPPROTO_IP, IP_PKTINFO, origin(lan0, source), peer, peer_port);
         },
         "OK OK OK OK", 4},
        {"IP options: record route, source route, router alert",
         [](Attempts& a) {
             const std::array<std::uint8_t, 8> record = {7, 7, 4, 0, 0, 0, 0, 1};
             const std::array<std::uint8_t, 8> route = {131, 7, 4, 10, 77, 2, 1, 1};
             const std::array<std::uint8_t, 4> alert = {148, 4, 0, 0};
             const std::array<std::uint8_t, 4> nothing = {1, 1, 1, 1};
             a.option_of(IPPROTO_IP, IP_OPTIONS, record);
             a.send_with(IPPROTO_IP, IP_RETOPTS, record, peer, peer_port);
             a.send_with(IPPROTO_IP, IP_RETOPTS, route, peer, peer_port);
             a.send_with(IPPROTO_IP, IP_RETOPTS, alert, peer, peer_port);
             a.send_with(IPPROTO_IP, IP_RETOPTS, nothing, peer, peer_port);
         },
         "EPERM EPERM EPERM EPERM EPERM"},
        {"connecting, and sending without an address",
         [](Attempts& a) {
             a.connect(peer, peer_port);
             a.connect("8.8.8.8", peer_port);
             a.result(::send(a.fd, "", 1, 0));
             a.result(::write(a.fd, "", 1));
         },
         "EPERM EPERM EDESTADDRREQ EDESTADDRREQ"},
        {"an address of no family",
         [](Attempts& a) {
             auto to = address(peer, peer_port);
             to.sin_family = AF_UNSPEC;
             a.send_to(&to, sizeof(to));
             to = address("8.8.8.8", peer_port);
             to.sin_family = AF_UNSPEC;
             a.send_to(&to, sizeof(to));
         },
         "OK EACCES", 1},
        {"an address of another family, or cut short",
         [](Attempts& a) {
             sockaddr_in6 mapped{};
             mapped.sin6_family = AF_INET6;
             mapped.sin6_port = htons(peer_port);
             ::inet_pton(AF_INET6, "::ffff:8.8.8.8", &mapped.sin6_addr);
             a.send_to(&mapped, sizeof(mapped));
             const auto to = address("8.8.8.8", peer_port);
             a.send_to(&to, 8);
         },
         "EAFNOSUPPORT EINVAL"},
        {"a corked datagram goes where its first piece was allowed to go",
         [](Attempts& a) {
             a.send(peer, peer_port, 30, MSG_MORE);
             a.send("8.8.8.8", peer_port, 30, MSG_MORE);
             a.send(other_peer, peer_port, 30);
             a.option(IPPROTO_UDP, UDP_CORK, 1);
         },
         "OK OK OK EPERM", 1},
        {"corked, then disconnected, then sent",
         [](Attempts& a) {
             a.send(peer, peer_port, 30, MSG_MORE);
             a.disconnect();
             a.send(other_peer, peer_port, 30);
             a.send(other_peer, peer_port, 30);
         },
         "OK OK OK ENETUNREACH", 1},
        {"corked as a broadcast, with another time to live",
         [](Attempts& a) {
             a.send_with(IPPROTO_IP, IP_TTL, 9, everybody, peer_port, 30, MSG_MORE);
             a.send(everybody, peer_port, 30);
         },
         "OK EPERM"},
        {"data from files and pipes",
         [](Attempts& a) {
             std::array<int, 2> pipe{-1, -1};
             a.result(::pipe(pipe.data()));
             a.result(::write(pipe[1], "splice", 6));
             a.result(::splice(pipe[0], nullptr, a.fd, nullptr, 6, 0));
             const int file = ::memfd_create("data", 0);
             a.result(::write(file, "sendfile", 8));
             off_t from = 0;
             a.result(::sendfile(a.fd, file, &from, 8));
         },
         "OK OK EDESTADDRREQ OK EDESTADDRREQ"},
        {"a segmented send by option",
         [](Attempts& a) {
             a.option(IPPROTO_UDP, UDP_SEGMENT, 10);
             a.option(IPPROTO_UDP, 104 /* UDP_GRO */, 1);
         },
         "EPERM EPERM"},
        {"without copying",
         [](Attempts& a) {
             a.option(SOL_SOCKET, SO_ZEROCOPY, 1);
             a.send(peer, peer_port, 1'000, MSG_ZEROCOPY);
             a.send("8.8.8.8", peer_port, 1'000, MSG_ZEROCOPY);
         },
         "EPERM OK EACCES", 1},
        {"flags of all kinds",
         [](Attempts& a) {
             // A probe is never sent.
             for (const int flag : {MSG_OOB, MSG_DONTROUTE, MSG_CONFIRM, MSG_PROXY /* MSG_PROBE */,
                                    MSG_FASTOPEN, MSG_EOR, MSG_SYN, MSG_RST, MSG_BATCH})
                 a.send(peer, peer_port, 8, flag);
             a.send("10.99.0.1", peer_port, 8, MSG_CONFIRM);
             a.send("10.99.0.1", peer_port, 0, MSG_PROXY);
         },
         "EOPNOTSUPP OK OK OK OK OK OK OK OK ENETUNREACH ENETUNREACH", 7},
        {"the mark, the priority, the time of a packet, by control message",
         [](Attempts& a) {
             a.send_with(SOL_SOCKET, SO_MARK, 7, peer, peer_port);
             a.send_with(SOL_SOCKET, SO_TXTIME, std::uint64_t{1}, peer, peer_port);
             a.send_with(IPPROTO_IP, IP_PKTINFO, 1, peer, peer_port);
             a.send_with(IPPROTO_IPV6, IPV6_PKTINFO, in6_pktinfo{}, peer, peer_port);
         },
         "EPERM EINVAL EINVAL OK", 1},
        {"the ports of DHCP, and none",
         [](Attempts& a) {
             a.send(peer, 67);
             a.send(everybody, 68);
             a.send(peer, 0);
             a.send(peer, peer_port);
         },
         "EINVAL EINVAL EINVAL OK", 1},
        {"too large",
         [](Attempts& a) {
             a.send(peer, peer_port, 65'507);
             a.send(peer, peer_port, 65'508);
             a.send(peer, peer_port, 100'000);
         },
         "OK EMSGSIZE EMSGSIZE", 1},
        {"of many at once the allowed ones leave",
         [](Attempts& a) {
             send_many(a, {address(peer, peer_port), address(other_peer, peer_port),
                           address(peer, peer_port), address(peer, 67), address(ours, peer_port),
                           address(broadcast, peer_port), address("8.8.8.8", peer_port),
                           address(peer, peer_port)});
         },
         "1 ENETUNREACH 1 EINVAL ENETUNREACH 1 EACCES EPIPE", 3},
        {"choosing another device or sender for groups, and sending to one",
         [=](Attempts& a) {
             const ip_mreqn by{.imr_multiaddr = {}, .imr_address = {}, .imr_ifindex = lan1};
             a.option_of(IPPROTO_IP, IP_MULTICAST_IF, by);
             a.option(IPPROTO_IP, IP_MULTICAST_TTL, 9);
             a.option(IPPROTO_IP, 50 /* IP_UNICAST_IF */, static_cast<int>(htonl(2)));
             a.send("239.1.1.1", peer_port);
         },
         "EPERM EPERM EPERM EACCES"},
    };
    for (const char* host :
         {"224.0.0.1", "127.0.0.1", "0.0.0.0", "169.254.1.1", "10.77.1.0", "192.0.2.1", "240.0.0.1",
          "11.0.0.1", "172.32.0.1", "255.255.255.254", "100.64.0.1"}) {
        attacks.push_back({"a datagram to " + std::string(host),
                           [host](Attempts& a) {
                               a.send(host, peer_port);
                               a.send(peer, peer_port);
                           },
                           "EACCES EPIPE"});
    }
    for (const char* host : {ours, other_ours, other_peer, "10.99.0.1", "192.168.1.1"}) {
        attacks.push_back({"a datagram to " + std::string(host),
                           [host](Attempts& a) {
                               a.send(host, peer_port);
                               a.send(peer, peer_port);
                           },
                           "ENETUNREACH OK", 1});
    }
    check_attacks(scene, attacks);
}

TEST_CASE("io_uring is no way round", "[hostile][kernel]") {
    Scene scene("kernel");
    const std::vector<Attack> attacks = {
        {"sends of all kinds",
         [](Attempts& a) {
             Ring ring;
             if (!ring) return a.note("no io_uring");
             for (const auto operation :
                  {IORING_OP_SENDMSG, IORING_OP_SENDMSG_ZC, IORING_OP_SEND_ZC}) {
                 ring_send(a, ring, operation, peer);
                 ring_send(a, ring, operation, other_peer);
             }
             ring_send(a, ring, IORING_OP_SEND_ZC, "8.8.8.8");
             ring_send(a, ring, IORING_OP_SENDMSG, peer);
         },
         "OK ENETUNREACH OK ENETUNREACH OK ENETUNREACH EACCES EPIPE", 3},
        {"connecting and disconnecting",
         [](Attempts& a) {
             Ring ring;
             if (!ring) return a.note("no io_uring");
             auto to = address(peer, peer_port);
             auto request = ring_request(IORING_OP_CONNECT, a.fd);
             request.addr = pointer(&to);
             request.off = sizeof(to);
             note_ring(a, ring.ask(request));
             sockaddr nobody{.sa_family = AF_UNSPEC, .sa_data = {}};
             request.addr = pointer(&nobody);
             request.off = sizeof(nobody);
             note_ring(a, ring.ask(request));
             ring_send(a, ring, IORING_OP_SENDMSG, other_peer);
         },
         "EPERM OK ENETUNREACH"},
        {"options and binding",
         [](Attempts& a) {
             Ring ring;
             if (!ring) return a.note("no io_uring");
             ring_option(a, ring, IPPROTO_IP, IP_TTL, 64);
             ring_option(a, ring, SOL_SOCKET, SO_DONTROUTE, 0);
             ring_option(a, ring, IPPROTO_UDP, UDP_ENCAP, UDP_ENCAP_ESPINUDP);
             auto local = address("0.0.0.0", 2009);
             auto request = ring_request(56 /* IORING_OP_BIND */, a.fd);
             request.addr = pointer(&local);
             request.addr2 = sizeof(local);
             note_ring(a, ring.ask(request));
             a.send(peer, peer_port);
         },
         "EPERM EPERM EPERM EPERM OK", 1},
        {"a splice in the ring",
         [](Attempts& a) {
             Ring ring;
             if (!ring) return a.note("no io_uring");
             std::array<int, 2> pipe{-1, -1};
             a.result(::pipe(pipe.data()));
             a.result(::write(pipe[1], "splice", 6));
             auto request = ring_request(IORING_OP_SPLICE, a.fd);
             request.off = ~0ULL;
             request.splice_off_in = ~0ULL;
             request.splice_fd_in = pipe[0];
             request.len = 6;
             note_ring(a, ring.ask(request));
         },
         "OK OK EDESTADDRREQ"},
    };
    auto [socket, fd] = scene.victim(2009);
    if (scene.attack(fd.get(), [](Attempts& a) { a.note(Ring() ? "there" : "none"); }) == "none") {
        WARN("not tested: the kernel has no io_uring for ordinary users");
        return;
    }
    check_attacks(scene, attacks);
}

TEST_CASE("Each segment of a segmented send costs a token", "[hostile][kernel]") {
    // A token in 40 s: none comes by itself. One of the ten is the honest client's.
    Scene scene("kernel", {.burst = 10, .rate = 0.025});
    auto [socket, fd] = scene.victim();
    scene.clear();
    CHECK(scene.attack(fd.get(), [](Attempts& a) {
        for (const std::size_t segments : {12, 10, 5, 5, 3})
            a.send_with(IPPROTO_UDP, UDP_SEGMENT, std::uint16_t{100}, peer, peer_port,
                        segments * 100);
        a.send_with(IPPROTO_UDP, UDP_SEGMENT, std::uint16_t{1}, peer, peer_port, 5);
        a.send(peer, peer_port);
        a.send_with(IPPROTO_UDP, UDP_SEGMENT, std::uint16_t{100}, peer, peer_port, 100);
        a.send(peer, peer_port);
    }) == "EPERM EPERM OK EPERM OK EPERM OK EAGAIN EAGAIN");
    std::size_t arrived = 0;
    while (scene.peers[0].receive(lab::Deadline(Milliseconds(100)))) ++arrived;
    CHECK(arrived == 9);
    CHECK(socket->counters().sent == 9);
    scene.check_honest();
    CHECK_THAT(scene.forbidden(), Catch::Equals(""));
}

TEST_CASE("Of all options only those can be set that harm nobody", "[hostile][kernel]") {
    Scene scene("kernel");
    auto [socket, fd] = scene.victim();
    scene.clear();
    const std::string able = scene.attack(fd.get(), [](Attempts& a) {
        const ip_mreqn group{
            .imr_multiaddr = {htonl(0xef010101)}, .imr_address = {}, .imr_ifindex = 0};
        std::vector<char> large(512);
        std::memcpy(large.data(), &group, sizeof(group));
        large[sizeof(group)] = 1;
        const std::vector<char> zeros(large.size());
        const std::vector<int> levels = {SOL_SOCKET,   IPPROTO_IP, IPPROTO_TCP, IPPROTO_UDP,
                                         IPPROTO_IPV6, SOL_PACKET, SOL_NETLINK, SOL_RAW,
                                         IMPNET_SOL,   -1};
        for (const int level : levels) {
            for (int option = 0; option < 256; ++option) {
                bool done = false;
                for (const int value : {1, 0, -1})
                    done |= ::setsockopt(a.fd, level, option, &value, sizeof(value)) == 0;
                for (const std::size_t size : {0, 1, 2, 8, 12, 16, 136, 264, 512}) {
                    for (const auto& value : {large, zeros})
                        done |= ::setsockopt(a.fd, level, option, value.data(),
                                             static_cast<socklen_t>(size)) == 0;
                }
                if (done) a.note(std::to_string(level) + "/" + std::to_string(option));
            }
        }
    });
    CHECK(able == "1/7 1/8 1/20 1/21 1/29 1/35 1/40 1/63 1/64 1/66 1/67");
    CHECK(scene.attack(fd.get(), [](Attempts& a) { a.send(peer, peer_port); }) == "OK");
    scene.check_after(1);
    // Joining would have told the cables of it a little later; the host would know at once.
    CHECK(Scene::read("/proc/thread-self/net/igmp").find("010101EF") == std::string::npos);
}

TEST_CASE("Joining a group by any of the ways is refused, and no cable hears of it",
          "[hostile][kernel]") {
    Scene scene("kernel");
    const int lan0 = scene.host.ifindex("lan0");
    auto [socket, fd] = scene.victim();
    scene.clear();
    CHECK(scene.attack(fd.get(), [lan0](Attempts& a) {
        const in_addr group{htonl(0xef010101)};
        const in_addr source{htonl(0x0a4d0101)};
        a.option_of(IPPROTO_IP, IP_ADD_MEMBERSHIP,
                    ip_mreqn{.imr_multiaddr = group, .imr_address = {}, .imr_ifindex = lan0});
        a.option_of(IPPROTO_IP, IP_ADD_MEMBERSHIP,
                    ip_mreq{.imr_multiaddr = group, .imr_interface = {htonl(0x0a4d0102)}});
        a.option_of(IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP,
                    ip_mreq_source{.imr_multiaddr = group,
                                   .imr_interface = {htonl(0x0a4d0102)},
                                   .imr_sourceaddr = source});
        group_req by_index{};
        by_index.gr_interface = static_cast<std::uint32_t>(lan0);
        reinterpret_cast<sockaddr_in&>(by_index.gr_group) = address("239.1.1.1", 0);
        a.option_of(IPPROTO_IP, MCAST_JOIN_GROUP, by_index);
        group_source_req of_source{};
        of_source.gsr_interface = static_cast<std::uint32_t>(lan0);
        reinterpret_cast<sockaddr_in&>(of_source.gsr_group) = address("239.1.1.1", 0);
        reinterpret_cast<sockaddr_in&>(of_source.gsr_source) = address(peer, 0);
        a.option_of(IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, of_source);
        a.option(IPPROTO_IP, IP_MULTICAST_ALL, 1);
        a.disconnect();
        a.option_of(IPPROTO_IP, IP_ADD_MEMBERSHIP,
                    ip_mreqn{.imr_multiaddr = group, .imr_address = {}, .imr_ifindex = lan0});
    }) == "EPERM EPERM EPERM EPERM EPERM EPERM OK EPERM");
    CHECK(Scene::read("/proc/thread-self/net/igmp").find("010101EF") == std::string::npos);
    scene.check_after(0);
}

TEST_CASE("What a holder may set of buffers, times and flags blocks nobody", "[hostile][kernel]") {
    Scene scene("kernel");
    auto [socket, fd] = scene.victim();
    scene.clear();
    CHECK(scene.attack(fd.get(), [](Attempts& a) {
        a.option(SOL_SOCKET, SO_RCVBUF, 0);
        a.option(SOL_SOCKET, SO_RCVBUF, -1);
        a.option(SOL_SOCKET, SO_SNDBUF, 0x7fffffff);
        a.option(SOL_SOCKET, SO_RCVBUFFORCE, 0x7fffffff);
        a.option_of(SOL_SOCKET, SO_RCVTIMEO, timeval{.tv_sec = 1'000'000, .tv_usec = 0});
        a.option_of(SOL_SOCKET, SO_SNDTIMEO, timeval{.tv_sec = 1'000'000, .tv_usec = 0});
        a.result(::fcntl(a.fd, F_SETFL, 0));
        // Whoever waits in a read now waits long.
        a.result(::fcntl(a.fd, F_GETFL) & O_NONBLOCK);
    }) == "OK OK OK EPERM OK OK OK OK");
    REQUIRE((::fcntl(fd.get(), F_GETFL) & O_NONBLOCK) == 0);
    // The daemon's own use of the same open file.
    CHECK(socket->send(Ipv4::parse(peer).value(), peer_port, {1}) == impnetd::SendResult::sent);
    CHECK(socket->counters().sent == 1);
    socket.reset();
    scene.check_after(1);
}

TEST_CASE("The daemon does not wait for a datagram of a socket that may block",
          "[hostile][kernel]") {
    Scene scene("kernel");
    // As one that the client has made to block and that the daemon reads: none has both, but the
    // open file is shared however it came about.
    auto socket = scene.open(2005, Delivery::signal, lab::Attacker::user, scene.heard);
    const int fd = socket->descriptors().front();
    CHECK(scene.attack(fd, [](Attempts& a) { a.result(::fcntl(a.fd, F_SETFL, 0)); }) == "OK");
    scene.peers[0].send(ours, 2005, {1});
    CHECK(lab::run_until(scene.loop, Milliseconds(5'000),
                         [&] { return scene.heard.datagrams.size() == 1; }));
    CHECK(socket->send(Ipv4::parse(peer).value(), peer_port, {1}) == impnetd::SendResult::sent);
    scene.check_honest();
}

TEST_CASE("The wait for the rate limit can be asked for with any buffer", "[hostile][kernel]") {
    Scene scene("kernel");
    auto [socket, fd] = scene.victim();
    scene.clear();
    CHECK(scene.attack(
              fd.get(),
              [](Attempts& a) {
                  std::vector<std::uint8_t> buffer(1 << 20, 0xaa);
                  for (const socklen_t asked :
                       {0U, 1U, 4U, 7U, 8U, 9U, 4096U, 4097U, 1U << 20, ~0U}) {
                      std::fill(buffer.begin(), buffer.end(), 0xaa);
                      socklen_t size = asked;
                      const bool done =
                          ::getsockopt(a.fd, IMPNET_SOL, IMPNET_SO_WAIT, buffer.data(), &size) == 0;
                      // Nothing is written but the answer.
                      const bool clean = buffer[done ? 8 : 0] == 0xaa && (!done || size == 8);
                      a.note((done ? "OK" : Attempts::name(errno)) + (clean ? "" : "!"));
                  }
                  socklen_t size = 8;
                  a.result(::getsockopt(a.fd, IMPNET_SOL, IMPNET_SO_WAIT, nullptr, &size));
                  a.result(::getsockopt(a.fd, IMPNET_SOL, IMPNET_SO_WAIT, buffer.data(), nullptr));
                  void* last = ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                  a.result(::mprotect(static_cast<char*>(last) + 4096, 4096, PROT_NONE));
                  a.result(::getsockopt(a.fd, IMPNET_SOL, IMPNET_SO_WAIT,
                                        static_cast<char*>(last) + 4092, &size));
                  a.result(
                      ::getsockopt(a.fd, IMPNET_SOL, IMPNET_SO_WAIT + 1, buffer.data(), &size));
                  a.option(IMPNET_SOL, IMPNET_SO_WAIT, 0);
                  a.send(peer, peer_port);
              }) ==
          "EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP OK OK OK OK OK EINVAL OK EOPNOTSUPP OK "
          "EFAULT EOPNOTSUPP EPERM OK");
    scene.check_after(1);
}

TEST_CASE("The programs, their maps and their group are out of reach", "[hostile][kernel]") {
    Scene scene("kernel");
    auto [socket, fd] = scene.victim();
    const std::string group = group_of_sockets();
    const pid_t source = socket_source();
    const pid_t daemon = ::getpid();
    scene.clear();
    CHECK(
        scene.attack(fd.get(),
                     [&](Attempts& a) {
                         const int directory = ::open(group.c_str(), O_RDONLY | O_DIRECTORY);
                         a.result(directory);
                         for (const auto type : {BPF_CGROUP_INET_EGRESS, BPF_CGROUP_INET_INGRESS,
                                                 BPF_CGROUP_UDP4_SENDMSG, BPF_CGROUP_SETSOCKOPT}) {
                             bpf_attr attributes{};
                             attributes.target_fd = static_cast<std::uint32_t>(directory);
                             attributes.attach_type = type;
                             a.note(bpf(BPF_PROG_DETACH, attributes) < 0 ? "refused" : "detached");
                         }
                         bpf_attr attributes{};
                         const std::array<bpf_insn, 2> pass = {
                             bpf_insn{.code = BPF_ALU64 | BPF_MOV | BPF_K,
                                      .dst_reg = 0,
                                      .src_reg = 0,
                                      .off = 0,
                                      .imm = 1},
                             bpf_insn{.code = BPF_JMP | BPF_EXIT,
                                      .dst_reg = 0,
                                      .src_reg = 0,
                                      .off = 0,
                                      .imm = 0}};
                         attributes.prog_type = BPF_PROG_TYPE_CGROUP_SKB;
                         attributes.insns = pointer(pass.data());
                         attributes.insn_cnt = pass.size();
                         attributes.license = pointer("GPL");
                         attributes.expected_attach_type = BPF_CGROUP_INET_EGRESS;
                         const int program = bpf(BPF_PROG_LOAD, attributes);
                         // A kernel may let anybody load it, but not attach it.
                         attributes = {};
                         attributes.target_fd = static_cast<std::uint32_t>(directory);
                         attributes.attach_bpf_fd = static_cast<std::uint32_t>(program);
                         attributes.attach_type = BPF_CGROUP_INET_EGRESS;
                         a.note(bpf(BPF_PROG_ATTACH, attributes) < 0 ? "refused" : "attached");
                         for (const int command : {BPF_PROG_GET_NEXT_ID, BPF_MAP_GET_NEXT_ID}) {
                             attributes = {};
                             a.result(bpf(command, attributes));
                         }
                         for (const int command : {BPF_PROG_GET_FD_BY_ID, BPF_MAP_GET_FD_BY_ID}) {
                             attributes = {};
                             attributes.map_id = 1;
                             a.result(bpf(command, attributes));
                         }
                         a.result(::open((group + "/cgroup.procs").c_str(), O_WRONLY));
                         a.result(::mkdir((group + "/mine").c_str(), 0755));
                         a.result(::rmdir(group.c_str()));
                     }) ==
        "OK refused refused refused refused refused EPERM EPERM EPERM EPERM EACCES EACCES EACCES");
    CHECK(scene.attack(fd.get(), [&](Attempts& a) {
        for (const pid_t whose : {daemon, source}) {
            const int handle = static_cast<int>(::syscall(SYS_pidfd_open, whose, 0));
            for (const int number : {0, 3, 5})
                a.result(::syscall(SYS_pidfd_getfd, handle, number, 0));
            a.result(::ptrace(PTRACE_ATTACH, whose, nullptr, nullptr));
            a.result(::kill(whose, SIGSTOP));
            a.result(::open(("/proc/" + std::to_string(whose) + "/mem").c_str(), O_RDWR));
        }
    }) == "EPERM EPERM EPERM EPERM EPERM EACCES EPERM EPERM EPERM EPERM EPERM EACCES");
    CHECK(scene.attack(fd.get(), [](Attempts& a) {
        a.send("10.99.0.1", peer_port);
        a.send(peer, peer_port);
    }) == "ENETUNREACH OK");
    scene.check_after(1);
}

TEST_CASE("The network of the host is not changed by the socket's ioctls", "[hostile][kernel]") {
    Scene scene("kernel");
    auto [socket, fd] = scene.victim();
    scene.clear();
    const auto before = scene.host.run({"ip", "-d", "address"}) + scene.host.run({"ip", "route"});
    const auto changes = [](Attempts& a) {
        auto request = device_request("lan1");
        reinterpret_cast<sockaddr_in&>(request.ifr_addr) = address("10.77.2.66", 0);
        a.control(SIOCSIFADDR, request);
        request = device_request("lan1");
        request.ifr_flags = 0;
        a.control(SIOCSIFFLAGS, request);
        request = device_request("lan1");
        request.ifr_mtu = 600;
        a.control(SIOCSIFMTU, request);
        rtentry route{};
        reinterpret_cast<sockaddr_in&>(route.rt_dst) = address("10.98.0.0", 0);
        reinterpret_cast<sockaddr_in&>(route.rt_gateway) = address(peer, 0);
        reinterpret_cast<sockaddr_in&>(route.rt_genmask) = address("255.255.0.0", 0);
        route.rt_flags = RTF_UP | RTF_GATEWAY;
        a.control(SIOCADDRT, route);
        arpreq neighbour{};
        reinterpret_cast<sockaddr_in&>(neighbour.arp_pa) = address(peer, 0);
        neighbour.arp_ha.sa_family = ARPHRD_ETHER;
        neighbour.arp_flags = ATF_COM | ATF_PERM;
        std::strcpy(neighbour.arp_dev, "lan0");
        a.control(SIOCSARP, neighbour);
        a.control(SIOCDARP, neighbour);
        int none = 0;
        a.control(SIOCGSKNS, none);
        a.control(SIOCBRADDBR, none);
    };
    CHECK(scene.attack(fd.get(), changes) == "EPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM");
    CHECK(scene.attack(fd.get(), [&](Attempts& a) {
        if (!become_small_root()) return a.note("EPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM");
        changes(a);
    }) == "EPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM");
    CHECK(scene.host.run({"ip", "-d", "address"}) + scene.host.run({"ip", "route"}) == before);
    // Not closed: whoever holds the socket may look.
    CHECK(scene.attack(fd.get(), [](Attempts& a) {
        auto request = device_request("lan1");
        a.control(SIOCGIFADDR, request);
        const auto& local = reinterpret_cast<const sockaddr_in&>(request.ifr_addr);
        std::array<char, INET_ADDRSTRLEN> text{};
        a.note(::inet_ntop(AF_INET, &local.sin_addr, text.data(), text.size()));
    }) == std::string("OK ") + other_ours);
    scene.check_after(0);
}

TEST_CASE("Root of a user namespace of its own has no power over the socket", "[hostile][kernel]") {
    Scene scene("kernel");
    auto [socket, fd] = scene.victim();
    scene.clear();
    CHECK(scene.attack(fd.get(), [](Attempts& a) {
        // Where an ordinary user cannot be that, it is an ordinary user.
        become_small_root();
        a.result(::setsockopt(a.fd, SOL_SOCKET, SO_BINDTODEVICE, "lan1", 4));
        a.option(IPPROTO_IP, IP_TRANSPARENT, 1);
        a.option(SOL_SOCKET, SO_MARK, 1);
        a.send_with(SOL_SOCKET, SO_MARK, 7, peer, peer_port);
        a.send("10.99.0.1", peer_port);
        bpf_attr attributes{};
        a.result(bpf(BPF_PROG_GET_NEXT_ID, attributes));
        a.disconnect();
        a.result(::setsockopt(a.fd, SOL_SOCKET, SO_BINDTODEVICE, "lan1", 4));
        a.send(other_peer, peer_port);
    }) == "EPERM EPERM EPERM EPERM ENETUNREACH EPERM OK EPERM ENETUNREACH");
    scene.check_after(0);
}

TEST_CASE("Signals about the socket reach nobody whom its holder could not signal",
          "[hostile][kernel]") {
    Scene scene("kernel");
    auto [socket, fd] = scene.victim();
    const pid_t daemon = ::getpid();
    scene.clear();
    CHECK(scene.attack(fd.get(), [daemon](Attempts& a) {
        a.result(::fcntl(a.fd, F_SETSIG, SIGKILL));
        a.result(::fcntl(a.fd, F_SETOWN, daemon));
        a.result(::fcntl(a.fd, F_SETFL, O_ASYNC | O_NONBLOCK));
    }) == "OK OK OK");
    scene.peers[0].send(ours, attackers_port, {1});
    scene.check_after(0);
    CHECK(scene.attack(fd.get(), [](Attempts& a) { a.receive(); }) == "\1");
}
