// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The real UDP socket behind a DataSocket, made so that the kernel itself already refuses most of
// what is forbidden: it is of one device, knows no router, and every datagram names the address it
// comes from. Its port number is reserved from the start; a socket that is not to receive yet is
// deaf, that is the kernel drops what arrives, so that nothing of it is ever seen later.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <netinet/in.h>
#include <sys/socket.h>

#include "core/error.hpp"
#include "core/ipv4.hpp"
#include "loop/unique_fd.hpp"

namespace impnetd {

/// The control message by which a datagram names its device and its source address.
class PacketOrigin {
  public:
    PacketOrigin() = default;
    PacketOrigin(int ifindex, Ipv4 source);

    void attach_to(msghdr& message) {
        message.msg_control = control_;
        message.msg_controllen = size();
    }
    static constexpr std::size_t size() { return sizeof(control_); }

  private:
    alignas(cmsghdr) char control_[CMSG_SPACE(sizeof(in_pktinfo))] = {};
};

sockaddr_in socket_address(Ipv4 address, std::uint16_t port);

class UdpSocket {
  public:
    struct Options {
        int ifindex = 0;
        std::string device;      ///< for messages
        std::uint16_t port = 0;  ///< 1024-65535; 0: the kernel chooses one now
        int ttl = 1;
    };

    /// Where a UDP socket comes from on which nothing is set yet.
    using MakeSocket = std::function<Result<UniqueFd>()>;
    static Result<UniqueFd> make_plain();

    /// PortInUse, Unavailable (no such device), InvalidArgument (port out of range).
    static Result<UdpSocket> open(const Options& options, const MakeSocket& make = make_plain);
    /// One that the process before us opened. `drops_while_deaf`: as it had counted.
    static Result<UdpSocket> adopt(UniqueFd fd, std::uint32_t drops_while_deaf);
    /// Ends a socket of the process before us that nobody goes on with, on whichever data path it
    /// was, for everybody who holds it.
    static void end(UniqueFd fd);

    int fd() const { return fd_.get(); }
    int ifindex() const { return ifindex_; }
    std::uint16_t port() const { return port_; }

    /// While deaf it receives nothing; what had been waiting when it turns deaf is gone.
    void set_deaf(bool deaf);
    bool deaf() const { return deaf_; }

    /// Hands one datagram to the network. 0, or the errno. Never blocks.
    int send(Ipv4 source, Ipv4 to, std::uint16_t port, const std::vector<std::uint8_t>& data) const;

    /// Datagrams that found no room in its receive buffer.
    std::uint64_t overflows() const;
    /// Datagrams that arrived before it was to receive any: no loss to anybody.
    std::uint32_t drops_while_deaf() const { return drops_while_deaf_; }
    /// Datagrams that its kernel side dropped since it was made, for whatever reason; modulo 2^32.
    std::uint32_t kernel_drops() const;

    /// Its port is free when this returns, also while somebody else holds a copy of the descriptor
    /// (the service manager does, for a while).
    void close();

  private:
    UdpSocket(UniqueFd fd, int ifindex, std::uint16_t port)
        : fd_(std::move(fd)), ifindex_(ifindex), port_(port) {}

    UniqueFd fd_;
    int ifindex_;
    std::uint16_t port_;
    bool deaf_ = false;
    std::uint32_t drops_while_deaf_ = 0;
};

}  // namespace impnetd
