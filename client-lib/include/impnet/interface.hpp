// SPDX-License-Identifier: LGPL-2.1-or-later
//
// An opened interface (the guide's `interface`): one session with the daemon. As long as it is open
// the interface is kept up, and retried when it fails.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <impnet/datagram.hpp>
#include <impnet/export.hpp>
#include <impnet/ipv4.hpp>
#include <impnet/result.hpp>
#include <impnet/state.hpp>
#include <impnet/udp_socket.hpp>

namespace impnet {

namespace detail {
class Session;
}

/// The HTTP proxy through which an interface reaches further networks. Its password is not told.
struct Proxy {
    std::string type;  ///< "http"
    std::string address;
    std::uint16_t port = 0;
    std::string user;  ///< empty: none

    friend bool operator==(const Proxy&, const Proxy&) = default;
};

/// What a connected interface has (the guide's `getiptable()`). What is not known is absent.
struct IpTable {
    std::optional<Ipv4> address;
    std::optional<Ipv4> netmask;
    std::optional<Ipv4> broadcast;
    std::optional<Ipv4> gateway;
    std::optional<Ipv4> dhcpserver;  ///< absent with a static address
    std::vector<Ipv4> dnsservers;    ///< at most two
    std::optional<Proxy> proxy{};    ///< of the NIC or stored, if there is one

    friend bool operator==(const IpTable&, const IpTable&) = default;
};

/// Owns the session: destroying it closes it, and its sockets with it. Movable. A
/// default-constructed or moved-from one is closed. As everything of a Client it belongs to one
/// thread.
class IMPNET_API Interface {
  public:
    Interface() noexcept;
    Interface(Interface&&) noexcept;
    Interface& operator=(Interface&&) noexcept;
    Interface(const Interface&) = delete;
    Interface& operator=(const Interface&) = delete;
    ~Interface();

    /// False once it was closed, or its session is over. A daemon that is away for a while (see
    /// `Client::open`) changes nothing.
    bool is_open() const noexcept;
    /// The instance that was opened: "eth0", also when it was asked for as "ethernet".
    std::string nii() const;
    /// The state last reported to the callback; UNKNOWN before the first report.
    State state() const noexcept;

    /// The addresses, now. Empty when not connected. Errors: `unavailable`: closed; `no_daemon`,
    /// also at once while the daemon is away.
    Result<IpTable> ip_table() const;

    /// Opens a UDP socket on this interface, connected or not. Its callback runs from
    /// `Client::dispatch()`, never from here.
    ///
    /// Errors: `invalid_argument`: a port under 1024; `port_in_use`; `not_supported`: cellular;
    /// `unavailable`: the interface is disabled or gone, or this is closed; `limit_exceeded`;
    /// `not_authorized`; `no_daemon`, also at once while the daemon is away.
    Result<UdpSocket> open_udp(const UdpOptions& options, OnDatagram on_datagram = {});

    /// Ends the session, its sockets and all their callbacks. Idempotent. Waits for the daemon, at
    /// most 5 s; one that is away is told when it returns, if the Client is still there then.
    void close() noexcept;

  private:
    friend class Client;
    explicit Interface(std::shared_ptr<detail::Session> session) noexcept;

    std::shared_ptr<detail::Session> session_;
};

}  // namespace impnet
