// SPDX-License-Identifier: LGPL-2.1-or-later
#include "peer.hpp"

#include <cstring>
#include <stdexcept>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace lab {

namespace {

in_addr parse(const std::string& text) {
    in_addr address{};
    if (::inet_pton(AF_INET, text.c_str(), &address) != 1) {
        throw std::invalid_argument("not an IPv4 address: " + text);
    }
    return address;
}

std::string text(const in_addr& address) {
    char buffer[INET_ADDRSTRLEN];
    return ::inet_ntop(AF_INET, &address, buffer, sizeof(buffer));
}

void turn_on(int socket, int level, int option, int value = 1) {
    checked(::setsockopt(socket, level, option, &value, sizeof(value)), "setsockopt");
}

}  // namespace

Bytes pattern(std::size_t size, unsigned seed) {
    Bytes bytes(size);
    std::uint32_t state = seed * 2'654'435'761U + 1;
    for (std::uint8_t& byte : bytes) {
        state = state * 1'664'525U + 1'013'904'223U;
        byte = static_cast<std::uint8_t>(state >> 24);
    }
    return bytes;
}

Peer::Peer(const Namespace& where, std::uint16_t port, const std::string& device) {
    {
        const Namespace::Visit visit = where.enter();
        socket_ =
            Fd(checked(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
    }
    turn_on(socket_.get(), SOL_SOCKET, SO_REUSEADDR);
    turn_on(socket_.get(), SOL_SOCKET, SO_BROADCAST);
    turn_on(socket_.get(), SOL_SOCKET, SO_RXQ_OVFL);
    turn_on(socket_.get(), SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20);
    turn_on(socket_.get(), SOL_SOCKET, SO_SNDBUFFORCE, 16 << 20);
    turn_on(socket_.get(), IPPROTO_IP, IP_PKTINFO);
    turn_on(socket_.get(), IPPROTO_IP, IP_RECVTTL);
    if (!device.empty()) {
        checked(::setsockopt(socket_.get(), SOL_SOCKET, SO_BINDTODEVICE, device.c_str(),
                             static_cast<socklen_t>(device.size())),
                "SO_BINDTODEVICE");
    }
    sockaddr_in local{};
    local.sin_family = AF_INET;
    local.sin_port = htons(port);
    checked(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&local), sizeof(local)), "bind");
}

std::uint16_t Peer::port() const {
    sockaddr_in local{};
    socklen_t size = sizeof(local);
    checked(::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&local), &size),
            "getsockname");
    return ntohs(local.sin_port);
}

void Peer::send(const std::string& to, std::uint16_t port, const Bytes& data) const {
    sockaddr_in remote{};
    remote.sin_family = AF_INET;
    remote.sin_addr = parse(to);
    remote.sin_port = htons(port);
    const std::string what = "send to " + to;
    checked(::sendto(socket_.get(), data.data(), data.size(), 0,
                     reinterpret_cast<sockaddr*>(&remote), sizeof(remote)),
            what.c_str());
}

std::optional<Peer::Received> Peer::receive(const Deadline& deadline) const {
    for (;;) {
        Received received;
        received.data.resize(65'536);
        sockaddr_in remote{};
        alignas(cmsghdr) char control[256];
        iovec part{received.data.data(), received.data.size()};
        msghdr message{};
        message.msg_name = &remote;
        message.msg_namelen = sizeof(remote);
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        const ssize_t size = ::recvmsg(socket_.get(), &message, 0);
        if (size < 0) {
            if (errno != EAGAIN) throw std::system_error(errno, std::generic_category(), "recvmsg");
            if (wait_readable({socket_.get()}, deadline).empty()) return std::nullopt;
            continue;
        }
        received.data.resize(static_cast<std::size_t>(size));
        received.from = text(remote.sin_addr);
        received.from_port = ntohs(remote.sin_port);
        for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
             part = CMSG_NXTHDR(&message, part)) {
            if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO) {
                in_pktinfo info{};
                std::memcpy(&info, CMSG_DATA(part), sizeof(info));
                received.to = text(info.ipi_addr);
            } else if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_TTL) {
                std::memcpy(&received.ttl, CMSG_DATA(part), sizeof(received.ttl));
            } else if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SO_RXQ_OVFL) {
                std::memcpy(&overflows_, CMSG_DATA(part), sizeof(overflows_));
            }
        }
        return received;
    }
}

std::size_t Peer::count(std::size_t expected, const Deadline& deadline, Milliseconds quiet) const {
    std::size_t number = 0;
    while (number < expected && receive(deadline)) ++number;
    while (receive(Deadline(quiet))) ++number;
    return number;
}

void Peer::drain() const {
    while (receive(Deadline(Milliseconds(0)))) continue;
}

void Peer::join(const std::string& group, const std::string& device) const {
    ifreq found{};
    device.copy(found.ifr_name, sizeof(found.ifr_name) - 1);
    checked(::ioctl(socket_.get(), SIOCGIFINDEX, &found),
            device.c_str());  // in the socket's network
    ip_mreqn request{};
    request.imr_multiaddr = parse(group);
    request.imr_ifindex = found.ifr_ifindex;
    checked(::setsockopt(socket_.get(), IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request)),
            "join");
}

}  // namespace lab
