// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Witnesses. `Capture` sees every packet on a device, whoever sent it and whether anybody wanted
// it; `NetlinkCapture` sees every change of a host's network configuration. Both begin with their
// construction and record what the kernel keeps for them when they are asked.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "deadline.hpp"
#include "fd.hpp"
#include "namespace.hpp"

namespace lab {

class Capture {
  public:
    struct Packet {
        bool outgoing = false;       ///< sent by the host that the device belongs to
        std::uint64_t usec = 0;      ///< CLOCK_REALTIME, by the kernel
        std::uint16_t protocol = 0;  ///< EtherType: 0x0800, 0x0806, ...
        std::string from;            ///< the addresses, of IPv4 and ARP
        std::string to;
        int ip_protocol = 0;  ///< 17: UDP, 2: IGMP
        int ttl = 0;
        std::size_t header = 0;  ///< octets of the IPv4 header: 20 without options
        bool first_fragment = true;
        std::uint16_t from_port = 0;  ///< UDP, first fragment
        std::uint16_t to_port = 0;
        std::size_t size = 0;  ///< of the network-layer packet
    };

    Capture(const Namespace& where, const std::string& device);

    /// All packets seen so far.
    const std::vector<Packet>& packets();
    /// Datagrams to this UDP port so far, fragments counted once.
    std::size_t udp_to(std::uint16_t port);
    /// Packets of any kind for an address that the device's own host sent so far, ARP questions for
    /// it included.
    std::size_t sent_to(const std::string& address);
    /// Packets that the kernel had no room for; counts are exact only while this is 0.
    std::size_t lost();
    void clear();

    int fd() const { return socket_.get(); }

  private:
    Fd socket_;
    std::vector<Packet> packets_;
    std::size_t lost_ = 0;
};

class NetlinkCapture {
  public:
    struct Change {
        std::uint16_t type = 0;       ///< RTM_NEWLINK, RTM_DELADDR, ...
        std::uint32_t requester = 0;  ///< netlink port of who asked for it; 0: the kernel by itself
        std::int32_t ifindex = 0;     ///< of link, address and neighbour messages
        std::uint32_t flags = 0;      ///< interface flags of link messages
        std::uint8_t family = 0;      ///< of address messages
        std::string text() const;
    };

    explicit NetlinkCapture(const Namespace& where);

    /// All changes so far.
    const std::vector<Change>& changes();
    void clear();
    int fd() const { return socket_.get(); }

  private:
    Fd socket_;
    std::vector<Change> changes_;
};

}  // namespace lab
