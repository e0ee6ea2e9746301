// SPDX-License-Identifier: LGPL-2.1-or-later
//
// UDP datagrams, as they arrive and as they are sent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include <impnet/ipv4.hpp>

namespace impnet {

/// One that arrived. `data` is valid until the callback returns.
struct Datagram {
    Ipv4 from;
    std::uint16_t from_port = 0;
    /// The interface's own address, its subnet's broadcast address, or 255.255.255.255.
    Ipv4 to;
    std::uint16_t to_port = 0;
    std::span<const std::byte> data;

    std::string_view text() const {
        return {reinterpret_cast<const char*>(data.data()), data.size()};
    }
};

using OnDatagram = std::function<void(const Datagram&)>;

/// One to be sent. `data` is only looked at during the call it is given to.
struct OutgoingDatagram {
    Ipv4 to;
    std::uint16_t port = 0;
    std::span<const std::byte> data;
};

/// The guide's results of `send`. What went wrong for good is an `Error` instead.
enum class SendResult : std::int32_t {
    sent = 0,           ///< handed to the network
    not_connected = 1,  ///< the interface is not connected, or the address is not on its subnet
    /// Rate limit; nothing was queued, try again later: `UdpSocket::on_sendable`. Also if the
    /// daemon ended while it had the datagram: then nobody knows, and it may have been sent.
    would_block = 4,
};

}  // namespace impnet
