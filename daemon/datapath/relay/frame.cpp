// SPDX-License-Identifier: LGPL-2.1-or-later
#include "datapath/relay/frame.hpp"

#include <cstring>

#include <arpa/inet.h>

namespace impnetd::relay {

void encode(const Header& header, std::span<std::uint8_t, header_size> bytes) {
    impnet_relay_header wire{};
    wire.version = IMPNET_RELAY_VERSION;
    wire.kind = static_cast<std::uint8_t>(header.kind);
    wire.peer_port = htons(header.peer_port);
    wire.peer_address = header.peer.network_order();
    wire.local_address = header.local.network_order();
    wire.local_port = htons(header.local_port);
    wire.sequence = htons(header.sequence);
    std::memcpy(bytes.data(), &wire, sizeof(wire));
}

std::array<std::uint8_t, header_size> encode(const Header& header) {
    std::array<std::uint8_t, header_size> bytes{};
    encode(header, bytes);
    return bytes;
}

std::optional<Header> decode(std::span<const std::uint8_t> message) {
    if (message.size() < header_size) return std::nullopt;
    impnet_relay_header wire{};
    std::memcpy(&wire, message.data(), sizeof(wire));
    if (wire.version != IMPNET_RELAY_VERSION) return std::nullopt;
    if (wire.kind < IMPNET_RELAY_DATAGRAM || wire.kind > IMPNET_RELAY_DATAGRAMS) {
        return std::nullopt;
    }
    return Header{.kind = static_cast<impnet_relay_kind>(wire.kind),
                  .peer = Ipv4::from_network_order(wire.peer_address),
                  .peer_port = ntohs(wire.peer_port),
                  .local = Ipv4::from_network_order(wire.local_address),
                  .local_port = ntohs(wire.local_port),
                  .sequence = ntohs(wire.sequence)};
}

std::optional<Request> decode_request(std::span<const std::uint8_t> message) {
    const std::optional<Header> header = decode(message);
    if (!header || !header->local.is_zero()) return std::nullopt;
    const std::size_t payload = message.size() - header_size;
    Request request{.peer = header->peer,
                    .peer_port = header->peer_port,
                    .sequence = header->sequence,
                    .count = 1,
                    .size = payload};
    const std::size_t size = header->local_port;
    if (header->kind == IMPNET_RELAY_DATAGRAM && size == 0) return request;
    if (header->kind != IMPNET_RELAY_DATAGRAMS || size == 0 || payload <= size ||
        payload > max_payload)
        return std::nullopt;
    request.size = size;
    request.count = (payload + size - 1) / size;
    if (request.count > IMPNET_RELAY_MOST_DATAGRAMS) return std::nullopt;
    return request;
}

}  // namespace impnetd::relay
