// SPDX-License-Identifier: LGPL-2.1-or-later
#include "datapath/udp_socket.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <sys/ioctl.h>

namespace impnetd {

namespace {

constexpr std::uint16_t first_port = 1024;

bool set(int fd, int level, int option, int value) {
    return ::setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

/// The kernel binds to an index without looking whether there is a device of it.
bool has_device(int fd, int ifindex) {
    ifreq request{};
    request.ifr_ifindex = ifindex;
    return ::ioctl(fd, SIOCGIFNAME, &request) == 0;
}

/// 0, or the errno of the option that failed.
int set_options(int fd, const UdpSocket::Options& options) {
    const bool done =
        // By index: a device that is renamed meanwhile cannot be mistaken for another.
        has_device(fd, options.ifindex) && set(fd, SOL_SOCKET, SO_BINDTOIFINDEX, options.ifindex) &&
        // On-link destinations only, whatever routes the host has.
        set(fd, SOL_SOCKET, SO_DONTROUTE, 1) &&  //
        set(fd, SOL_SOCKET, SO_BROADCAST, 1) &&  //
        set(fd, IPPROTO_IP, IP_TTL, options.ttl) &&
        // Tells the destination of what arrives: broadcast or our own address.
        set(fd, IPPROTO_IP, IP_PKTINFO, 1) &&
        // Groups that other programs joined are not ours.
        set(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0) &&
        // Large datagrams are fragmented here, by the device's own MTU, and may be fragmented: the
        // kernel then neither sets DF nor takes ICMP's word for a smaller path, which anybody on
        // the network could forge (IP_PMTUDISC_DONT would). Without a router there is no path.
        set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT);
    // The receive buffer stays what the host gives to every socket (net.core.rmem_default): what
    // waits unread is bounded as it would be for the client's own socket.
    return done ? 0 : errno;
}

std::uint16_t bound_port(int fd) {
    sockaddr_in local{};
    socklen_t size = sizeof(local);
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&local), &size);
    return ntohs(local.sin_port);
}

int domain(int fd) {
    int value = -1;
    socklen_t size = sizeof(value);
    ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &size);
    return value;
}

/// Nothing more can arrive, so this ends.
void drain(int fd) {
    while (::recv(fd, nullptr, 0, MSG_DONTWAIT | MSG_TRUNC) >= 0) continue;
}

/// A copy of the socket goes on holding the port, of another device. The loopback device is none
/// that has a name in the configuration. Needs CAP_NET_RAW, since the socket has a device already.
void leave_port(int fd) {
    constexpr std::string_view elsewhere = "lo";
    ::setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, elsewhere.data(), elsewhere.size());
}

}  // namespace

PacketOrigin::PacketOrigin(int ifindex, Ipv4 source) {
    msghdr message{};
    attach_to(message);
    cmsghdr* entry = CMSG_FIRSTHDR(&message);
    entry->cmsg_level = IPPROTO_IP;
    entry->cmsg_type = IP_PKTINFO;
    entry->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
    in_pktinfo info{};
    info.ipi_ifindex = ifindex;
    info.ipi_spec_dst.s_addr = source.network_order();
    std::memcpy(CMSG_DATA(entry), &info, sizeof(info));
}

sockaddr_in socket_address(Ipv4 address, std::uint16_t port) {
    sockaddr_in result{};
    result.sin_family = AF_INET;
    result.sin_addr.s_addr = address.network_order();
    result.sin_port = htons(port);
    return result;
}

Result<UniqueFd> UdpSocket::make_plain() {
    UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return fail(ErrorCode::failed, "no socket: " + std::generic_category().message(errno));
    return fd;
}

Result<UdpSocket> UdpSocket::open(const Options& options, const MakeSocket& make) {
    if (options.port != 0 && options.port < first_port) {
        return fail(ErrorCode::invalid_argument,
                    "port " + std::to_string(options.port) + " is not in 1024-65535");
    }
    // The kernel's own choice lies below 1024 only on a host that widened its range of ephemeral
    // ports and of unprivileged ones; a bound socket cannot be bound again, so each try is a new
    // one.
    for (int attempt = 0; attempt < 32; ++attempt) {
        auto made = make();
        if (!made) return tl::unexpected<Error>(made.error());
        UniqueFd fd = std::move(*made);
        int error = set_options(fd.get(), options);
        const sockaddr_in local = socket_address(Ipv4(), options.port);
        if (error == 0 &&
            ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&local), sizeof(local)) != 0) {
            error = errno;
        }
        if (error == EADDRINUSE && options.port != 0) {
            return fail(ErrorCode::port_in_use,
                        "port " + std::to_string(options.port) + " is taken on " + options.device);
        }
        if (error == EADDRINUSE) break;
        if (error == ENODEV) return fail(ErrorCode::unavailable, options.device + " is gone");
        if (error != 0) {
            return fail(ErrorCode::failed, "no UDP socket on " + options.device + ": " +
                                               std::generic_category().message(error));
        }
        const std::uint16_t port = bound_port(fd.get());
        if (port >= first_port) return UdpSocket(std::move(fd), options.ifindex, port);
    }
    return fail(ErrorCode::port_in_use, "no port is free on " + options.device);
}

Result<UdpSocket> UdpSocket::adopt(UniqueFd fd, std::uint32_t drops_while_deaf) {
    int ifindex = 0;
    socklen_t size = sizeof(ifindex);
    const std::uint16_t port = bound_port(fd.get());
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_BINDTOIFINDEX, &ifindex, &size) != 0 ||
        ifindex == 0 || port < first_port)
        return fail(ErrorCode::failed, "not a UDP socket of ours");
    UdpSocket out(std::move(fd), ifindex, port);
    socklen_t instructions = 0;  // how long the filter is
    out.deaf_ = ::getsockopt(out.fd(), SOL_SOCKET, SO_GET_FILTER, nullptr, &instructions) == 0 &&
                instructions > 0;
    out.drops_while_deaf_ = drops_while_deaf;
    return out;
}

void UdpSocket::end(UniqueFd fd) {
    ::shutdown(fd.get(), SHUT_RDWR);
    if (domain(fd.get()) != AF_INET) return;
    // One of the kernel path whose maps are out of reach goes on receiving, and its programs keep
    // the port for it, until it has aimed at a forbidden address. Any other refuses to send by now.
    const sockaddr_in forbidden = socket_address(Ipv4(127, 0, 0, 1), 9);
    ::sendto(fd.get(), nullptr, 0, MSG_DONTWAIT | MSG_NOSIGNAL,
             reinterpret_cast<const sockaddr*>(&forbidden), sizeof(forbidden));
    drain(fd.get());
    leave_port(fd.get());
}

void UdpSocket::close() {
    if (!fd_) return;
    set_deaf(true);
    leave_port(fd());
    fd_.reset();
}

void UdpSocket::set_deaf(bool deaf) {
    if (deaf == deaf_) return;
    deaf_ = deaf;
    if (!deaf) {
        int unused = 0;
        drops_while_deaf_ = kernel_drops();
        ::setsockopt(fd(), SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused));
        return;
    }
    sock_filter drop_all = BPF_STMT(BPF_RET | BPF_K, 0);
    const sock_fprog program{.len = 1, .filter = &drop_all};
    ::setsockopt(fd(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
    drain(fd());
}

int UdpSocket::send(Ipv4 source, Ipv4 to, std::uint16_t port,
                    const std::vector<std::uint8_t>& data) const {
    sockaddr_in remote = socket_address(to, port);
    iovec part{const_cast<std::uint8_t*>(data.data()), data.size()};
    msghdr message{};
    message.msg_name = &remote;
    message.msg_namelen = sizeof(remote);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    PacketOrigin origin(ifindex_, source);
    origin.attach_to(message);
    return ::sendmsg(fd(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? errno : 0;
}

std::uint32_t UdpSocket::kernel_drops() const {
    std::array<std::uint32_t, SK_MEMINFO_VARS> memory{};
    socklen_t size = sizeof(memory);
    ::getsockopt(fd(), SOL_SOCKET, SO_MEMINFO, memory.data(), &size);
    return memory[SK_MEMINFO_DROPS];
}

std::uint64_t UdpSocket::overflows() const {
    if (deaf_) return 0;
    return std::uint32_t{kernel_drops() - drops_while_deaf_};
}

}  // namespace impnetd
