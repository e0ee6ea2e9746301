// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A DHCP lease, and the port through which the rules get one. The real port is `addressing/`, which
// supervises busybox udhcpc; the fake one lives with the tests, and the same test cases run against
// both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/ipv4.hpp"
#include "core/link.hpp"

namespace impnetd {

/// What a server would have us reach through whom (RFC 3442).
struct StaticRoute {
    Ipv4Network destination;
    Ipv4 gateway;  ///< 0.0.0.0: without one

    friend bool operator==(const StaticRoute&, const StaticRoute&) = default;
};

struct Lease {
    /// At the most: a message of DHCP has no room for more.
    static constexpr std::size_t most_routes = 128;

    Ipv4Network network;
    std::optional<Ipv4> broadcast;
    std::optional<Ipv4> gateway;
    std::optional<Ipv4> server;
    std::vector<Ipv4> dns;  ///< at most two, as the guide has it
    /// For as long as it lasts, the largest packet of the device; never less than any IPv4 host has
    /// to take (RFC 791).
    std::optional<std::uint16_t> mtu;
    std::vector<StaticRoute> routes;  ///< noted, and never taken
    std::uint32_t seconds = 0;
    /// When it was given or renewed (CLOCK_BOOTTIME: a lease goes on while the host sleeps).
    std::uint64_t obtained_usec = 0;

    friend bool operator==(const Lease&, const Lease&) = default;
};

/// What a DHCP client is started with.
struct LeaseRequest {
    std::string device;
    MacAddress mac;        ///< client id: type 1 and this (RFC 2132, 9.14), stable over restarts
    std::string hostname;  ///< option 12; empty: not sent
    std::optional<Ipv4> previous;  ///< asked for again (RFC 2131, 3.2)
    /// Another host had the address: whatever is offered is looked for on the LAN before it is
    /// taken, and declined if it is there (RFC 2131, 3.1 (5)). That takes a moment longer.
    bool verify = false;
    int ifindex = 0;  ///< finds the device after it was renamed; 0: it is known by its name alone
};

/// The DHCP client of one device.
class LeasePort {
  public:
    class Observer {
      public:
        /// A lease was obtained, renewed or changed.
        virtual void lease_obtained(const Lease& lease) = 0;
        /// The lease that was held is over: expired, or refused when it was to be renewed.
        virtual void lease_lost(const std::string& reason) = 0;
        /// No lease yet, and the server said no (NAK). The client goes on trying.
        virtual void lease_refused(const std::string& reason) = 0;

      protected:
        ~Observer() = default;
    };

    virtual ~LeasePort() = default;

    /// Starts looking for a lease; a running client is replaced.
    virtual void start(const LeaseRequest& request) = 0;
    /// Starts with a lease that a process before us obtained: it is held as if it had been obtained
    /// here, for as long as it still lasts, and the server is asked to confirm it.
    virtual void adopt(const LeaseRequest& request, const Lease& lease) = 0;
    /// The cable came back, or the host woke up: ask for the lease that is held to be confirmed,
    /// and look for a new one soon if the old server stays silent. Without a lease the search
    /// starts afresh.
    virtual void renew() = 0;
    /// Ends the client without giving the lease back. Nothing is reported after it.
    virtual void stop() = 0;
};

}  // namespace impnetd
