// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A way for a program to send and receive: with plain system calls on a UDP socket, or through
// libimpnet-client. Each does what a program would do that wants to be fast: a batch is prepared by
// the caller of the library for each call, and once for all calls by the one who can reuse it.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <impnet/client.hpp>
#include <netinet/in.h>
#include <sys/socket.h>

#include "lab/fd.hpp"

namespace bench {

inline constexpr std::size_t batch = 64;
inline constexpr std::size_t largest = 2048;

using Time = std::chrono::milliseconds;

class Way {
  public:
    Way() = default;
    Way(const Way&) = delete;
    Way& operator=(const Way&) = delete;
    virtual ~Way() = default;

    /// To the sink, one datagram or `batch`; how many of them were accepted.
    virtual std::size_t send_one(std::size_t size) = 0;
    virtual std::size_t send_batch(std::size_t size) = 0;

    /// Receives for so long; how many there were.
    virtual std::size_t receive(Time time) = 0;
    /// Sends to the echo and waits for the answer, again and again: how long each took, in
    /// microseconds.
    virtual std::vector<double> round_trips(std::size_t size, Time time) = 0;

    virtual std::uint16_t port() const = 0;
};

/// How a plain program waits for datagrams: in recvmmsg itself, or by epoll, as one does that waits
/// for other things as well.
enum class Waiting : std::uint8_t { in_receive, by_epoll };

class PlainWay : public Way {
  public:
    /// The descriptor is not closed with it.
    PlainWay(int fd, Waiting waiting);
    ~PlainWay() override;

    std::size_t send_one(std::size_t size) override;
    std::size_t send_batch(std::size_t size) override;
    std::size_t receive(Time time) override;
    std::vector<double> round_trips(std::size_t size, Time time) override;
    std::uint16_t port() const override;

  private:
    struct Messages;
    std::size_t read_some();

    int fd_;
    lab::Fd epoll_;  // none: it waits in recvmmsg
    std::vector<std::byte> data_;
    sockaddr_in sink_;
    sockaddr_in echo_;
    std::unique_ptr<Messages> outgoing_;
    std::unique_ptr<Messages> incoming_;
    in_addr to_{};  // where the last datagram was sent to
};

class LibraryWay final : public Way {
  public:
    LibraryWay(impnet::Client& client, impnet::Interface& interface);

    std::size_t send_one(std::size_t size) override;
    std::size_t send_batch(std::size_t size) override;
    std::size_t receive(Time time) override;
    std::vector<double> round_trips(std::size_t size, Time time) override;
    std::uint16_t port() const override { return port_; }

  private:
    void drain();

    impnet::Client& client_;
    std::vector<std::byte> data_;
    impnet::UdpSocket socket_;
    std::uint16_t port_ = 0;
};

/// A UDP socket as impnetd makes it, without impnetd: bound to the device and a port, with
/// IP_PKTINFO. In the network of the calling thread.
lab::Fd plain_socket(const char* device);

}  // namespace bench
