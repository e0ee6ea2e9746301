// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The header of a message on the relay's descriptor (dbus/relay.h) as a value, and as the bytes
// that travel. Pure functions: what a client sends is judged here before anything is done with it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "core/datagram_policy.hpp"
#include "core/ipv4.hpp"
#include "relay.h"

namespace impnetd::relay {

inline constexpr std::size_t header_size = sizeof(impnet_relay_header);
inline constexpr std::size_t max_frame = header_size + max_payload;
static_assert(header_size == 16, "the header travels as it lies in memory");

struct Header {
    impnet_relay_kind kind = IMPNET_RELAY_DATAGRAM;
    Ipv4 peer;
    std::uint16_t peer_port = 0;
    Ipv4 local;
    std::uint16_t local_port = 0;
    std::uint16_t sequence = 0;

    friend bool operator==(const Header&, const Header&) = default;
};

/// Writes the header of a message.
void encode(const Header& header, std::span<std::uint8_t, header_size> bytes);
std::array<std::uint8_t, header_size> encode(const Header& header);

/// The header that a message begins with. Nothing: too short, another version, an unknown kind.
std::optional<Header> decode(std::span<const std::uint8_t> message);

/// What a client asks for: datagrams, one or several alike.
struct Request {
    Ipv4 peer;
    std::uint16_t peer_port = 0;
    std::uint16_t sequence = 0;  ///< of the first
    std::size_t count = 1;
    std::size_t size = 0;  ///< of each; the last of several may be shorter

    friend bool operator==(const Request&, const Request&) = default;
};

/// Nothing: a client that does not keep to the protocol.
std::optional<Request> decode_request(std::span<const std::uint8_t> message);

}  // namespace impnetd::relay
