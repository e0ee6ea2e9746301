// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A program on the other side of the cable: a plain UDP socket that can be asked to send and that
// tells exactly what arrived, from whom and for which address.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "deadline.hpp"
#include "fd.hpp"
#include "namespace.hpp"

namespace lab {

using Bytes = std::vector<std::uint8_t>;

/// `size` bytes that differ from those of other seeds and from each other.
Bytes pattern(std::size_t size, unsigned seed = 1);

class Peer {
  public:
    struct Received {
        std::string from;
        std::uint16_t from_port = 0;
        std::string to;
        Bytes data;
        int ttl = 0;
    };

    /// Bound to a port (0: any), and to a device unless that is empty. 255.255.255.255 needs one.
    Peer(const Namespace& where, std::uint16_t port, const std::string& device = "");

    std::uint16_t port() const;
    /// Throws if the kernel refuses.
    void send(const std::string& to, std::uint16_t port, const Bytes& data) const;
    /// The next datagram; nothing: the deadline passed.
    std::optional<Received> receive(const Deadline& deadline) const;
    /// Counts what arrives until `expected` are there, and then what else comes within `quiet`.
    std::size_t count(std::size_t expected, const Deadline& deadline, Milliseconds quiet) const;
    /// Throws away what has arrived so far.
    void drain() const;
    /// Datagrams that arrived but found no room in the buffer: must be 0 where counts are exact.
    std::uint32_t overflows() const { return overflows_; }
    /// Joins a multicast group on a device of its host.
    void join(const std::string& group, const std::string& device) const;

    int fd() const { return socket_.get(); }

  private:
    Fd socket_;
    mutable std::uint32_t overflows_ = 0;
};

}  // namespace lab
