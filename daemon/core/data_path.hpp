// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The port to a data path: what makes UDP sockets, hands them out and takes them back. Facts are
// kept by interface (a new lease or a lost link is one write for all its sockets), the rest by
// socket. The relay (`datapath/relay`) moves each datagram through the daemon; the kernel path will
// let eBPF decide. The same test cases run against both.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/client.hpp"
#include "core/error.hpp"
#include "core/ipv4.hpp"
#include "core/rate_limit.hpp"
#include "core/socket_policy.hpp"
#include "loop/unique_fd.hpp"

namespace impnetd {

/// The guide's results of `send`.
enum class SendResult : std::int32_t { sent = 0, not_connected = 1, would_block = 4 };

struct Datagram {
    Ipv4 from;
    std::uint16_t from_port = 0;
    Ipv4 to;
    std::uint16_t to_port = 0;
    std::vector<std::uint8_t> data;

    friend bool operator==(const Datagram&, const Datagram&) = default;
};

/// What a data path needs to know of an interface.
struct InterfaceFacts {
    int ifindex = 0;  ///< 0: the device is gone
    std::string device;
    std::optional<Ipv4Network> network;  ///< nothing: not connected

    friend bool operator==(const InterfaceFacts&, const InterfaceFacts&) = default;
};

struct SocketCounters {
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    std::uint64_t rate_limited = 0;
    std::uint64_t not_connected = 0;
    std::uint64_t denied = 0;   ///< forbidden address or port, too large
    std::uint64_t dropped = 0;  ///< arrived, but the client did not read fast enough
};

/// How received datagrams reach the client.
enum class Delivery : std::uint8_t {
    signal,      ///< as D-Bus signals: told to the observer
    descriptor,  ///< they wait in the socket for `acquire`
};

/// A UDP socket as its session holds it. Destroying it takes the socket back: it is dead for
/// whoever holds a copy of its descriptor, and its port is free.
class DataSocket {
  public:
    class Observer {
      public:
        /// Delivery::signal only.
        virtual void datagram_received(const Datagram& datagram) = 0;
        /// The path closed the socket (a forbidden address): no send succeeds any more. Destroy it
        /// soon, from a later turn of the loop.
        virtual void socket_closed(const std::string& reason) = 0;

      protected:
        ~Observer() = default;
    };

    virtual ~DataSocket() = default;

    /// The bound port; 0 as long as a socket opened without one has not sent.
    virtual std::uint16_t local_port() const = 0;
    /// The client's descriptor, once; then Busy. InvalidArgument with Delivery::signal.
    virtual Result<UniqueFd> acquire() = 0;
    /// One datagram. AddressNotAllowed closes the socket. Never blocks.
    virtual Result<SendResult> send(Ipv4 to, std::uint16_t port,
                                    const std::vector<std::uint8_t>& data) = 0;
    virtual SocketCounters counters() const = 0;
    /// The policy that it follows from now on.
    virtual void set_policy(const SocketPolicy& policy) = 0;
    /// What a process after us needs to go on with the socket (`DataPath::adopt`). Still ours.
    virtual std::vector<int> descriptors() const = 0;
};

class DataPath {
  public:
    using Slot = std::uint32_t;  ///< an interface; the same after a restart
    static constexpr std::size_t max_extra_networks = 8;

    /// A socket to be.
    struct Request {
        Slot slot = 0;
        std::uint64_t id = 0;    ///< the socket's number, which no other has
        std::uint16_t port = 0;  ///< 0: any
        Delivery delivery = Delivery::signal;
        Client client;
        SocketPolicy policy;
    };

    virtual ~DataPath() = default;

    /// "relay" or "kernel".
    virtual std::string_view name() const = 0;
    virtual void set_interface(Slot slot, const InterfaceFacts& facts) = 0;
    /// The limit that all share. What is spent stays spent.
    virtual void set_limit(RateLimit limit) = 0;
    /// Networks that count as local address space beside RFC 1918's; at most
    /// `max_extra_networks`.
    virtual void set_extra_networks(const std::vector<Ipv4Network>& networks) = 0;
    /// How many datagrams a second this client (`Client::key`) may send now, while it wants to and
    /// the others go on as they do; 0: unlimited.
    virtual double share(const std::string& client) const = 0;
    /// PortInUse if the port is taken on the interface, Unavailable without a device. The
    /// interface must outlive none of its sockets: destroy them when its device goes.
    virtual Result<std::unique_ptr<DataSocket>> open(const Request& request,
                                                     DataSocket::Observer& observer) = 0;
    /// Goes on with a socket of the process before us, of which these are the descriptors: its
    /// holder sees a pause. Failed if they are not all there.
    virtual Result<std::unique_ptr<DataSocket>> adopt(const Request& request,
                                                      std::vector<UniqueFd> descriptors,
                                                      DataSocket::Observer& observer) = 0;
};

}  // namespace impnetd
