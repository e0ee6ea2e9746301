// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A UDP socket on one interface (the guide's `udpsocket`). It reaches that interface's local
// network and nothing else, works whenever the interface is connected, and survives losses of the
// link, and restarts of the daemon.
//
// The daemon makes the socket and decides what may pass; datagrams travel over a descriptor that it
// hands out once (`path()`), not over D-Bus.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <impnet/datagram.hpp>
#include <impnet/export.hpp>
#include <impnet/ipv4.hpp>
#include <impnet/result.hpp>

namespace impnet {

namespace detail {
class Socket;
}

struct UdpOptions {
    // Implicit: mostly there is but a port. NOLINTNEXTLINE(google-explicit-constructor)
    UdpOptions(std::uint16_t local_port = 0) : port(local_port) {}

    /// 1024-65535, or 0: any, in force from the first send.
    std::uint16_t port = 0;
    /// Leaves the data path to the caller: the library does not read `fd()`, and `send` is
    /// `not_supported`. For programs that speak `impnet/relay.h`, or plain UDP, themselves.
    bool raw = false;
};

/// Told why the daemon closed a socket.
using OnClosed = std::function<void(const std::string& reason)>;

/// Told that a send may succeed again.
using OnSendable = std::function<void()>;

/// Owns the socket: destroying it closes it. Movable. A default-constructed or moved-from one is
/// closed. As everything of a Client it belongs to one thread.
class IMPNET_API UdpSocket {
  public:
    UdpSocket() noexcept;
    UdpSocket(UdpSocket&&) noexcept;
    UdpSocket& operator=(UdpSocket&&) noexcept;
    UdpSocket(const UdpSocket&) = delete;
    UdpSocket& operator=(const UdpSocket&) = delete;
    ~UdpSocket();

    /// False once it was closed, by this program or by the daemon.
    bool is_open() const noexcept;

    /// Sends one datagram, of at most 65507 bytes (0 is fine), and says what became of it. Does not
    /// wait for the network; on the path "relay" it waits for the daemon's answer, or that of the
    /// next one if the daemon is restarted meanwhile.
    ///
    /// Errors: `address_not_allowed`, and the socket is closed: not a private address (10/8,
    /// 172.16/12, 192.168/16) nor 255.255.255.255, or not a dotted quad; `invalid_argument`: port
    /// 0, 67 or 68; `too_large`; `socket_closed`; `no_daemon`: no answer within 5 s, it may have
    /// been sent.
    Result<SendResult> send(Ipv4 to, std::uint16_t port, std::span<const std::byte> data);
    Result<SendResult> send(std::string_view to, std::uint16_t port,
                            std::span<const std::byte> data);
    Result<SendResult> send(Ipv4 to, std::uint16_t port, std::string_view data) {
        return send(to, port, std::as_bytes(std::span(data)));
    }
    Result<SendResult> send(std::string_view to, std::uint16_t port, std::string_view data) {
        return send(to, port, std::as_bytes(std::span(data)));
    }

    /// Sends many with few system calls: the same result for each as `send` would give, in order.
    /// Datagrams that follow each other to one address and of one size, of at most 1472 bytes, are
    /// several times as fast as others, where the kernel can cut them apart when they leave
    /// (UDP_SEGMENT, udp(7); before Linux 6.11 that takes a device with checksum offload).
    std::vector<Result<SendResult>> send_batch(std::span<const OutgoingDatagram> datagrams);

    /// After a `would_block`: how long from now until one more datagram may pass; 0: it may now, or
    /// nothing was refused. It is the daemon's word at the time of the refusal, and holds if nobody
    /// else sends: who shares the rate may be faster, and then the next send is refused and its
    /// wait is another.
    std::chrono::nanoseconds retry_after() const noexcept;

    /// Called when that time has passed, from `dispatch()`, and by a timer: `Client::fd()` is
    /// readable then and not before. Once after a refusal, however many datagrams were refused and
    /// whatever was sent meanwhile; not again before something else is refused, which a send in the
    /// callback may be. A program that sends until it is refused and goes on from here sends all
    /// that the rate grants it. Replaces the callback that was there; may be installed after the
    /// refusal. Not called once the socket is closed, by whomever.
    void on_sendable(OnSendable callback);

    /// The bound port; 0 as long as a socket opened without one has not sent.
    std::uint16_t local_port() const noexcept;

    /// Replaces the receive callback. What arrives meanwhile goes to the new one. Without a
    /// callback datagrams are dropped and counted.
    void on_datagram(OnDatagram callback);
    /// Called once if the daemon closes the socket: a forbidden address, the end of the session,
    /// its device removed; also if that was while the daemon was away. Not called for `close()`.
    void on_closed(OnClosed callback);

    /// Datagrams that arrived here and were dropped: no callback, or too many arrived while the
    /// program was sending and not dispatching.
    std::uint64_t dropped() const noexcept;

    /// Frees the port and ends the callbacks. Idempotent. Waits for the daemon, at most 5 s; one
    /// that is away is told when it returns.
    void close() noexcept;

    /// "kernel": `fd()` is a UDP socket; "relay": a SOCK_SEQPACKET end that speaks
    /// `impnet/relay.h`. Empty when closed.
    std::string_view path() const noexcept;
    /// The data path's descriptor, still owned by this socket; -1 when closed. Unless the socket
    /// was opened raw the library reads it, and sets its flags and options as it needs them.
    int fd() const noexcept;

  private:
    friend class Interface;
    explicit UdpSocket(std::shared_ptr<detail::Socket> socket) noexcept;

    std::shared_ptr<detail::Socket> socket_;
};

}  // namespace impnet
