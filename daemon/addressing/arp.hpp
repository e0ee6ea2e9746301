// SPDX-License-Identifier: LGPL-2.1-or-later
//
// ARP (RFC 826) for IPv4 on ethernet, between bytes and values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "core/ipv4.hpp"
#include "core/link.hpp"

namespace impnetd {

struct ArpMessage {
    static constexpr std::size_t size = 28;
    static constexpr std::uint16_t request = 1;

    std::uint16_t operation = request;
    MacAddress sender_mac;
    Ipv4 sender;
    MacAddress target_mac;
    Ipv4 target;

    /// "Has anybody this address?" The sender is left out, so that nobody takes it for ours yet.
    static ArpMessage probe(const MacAddress& mac, Ipv4 address);
    /// "This address is mine."
    static ArpMessage announcement(const MacAddress& mac, Ipv4 address);

    friend bool operator==(const ArpMessage&, const ArpMessage&) = default;
};

std::array<std::uint8_t, ArpMessage::size> write_arp(const ArpMessage& message);
/// Nothing: it is about other protocols, or cut short. What follows the message is padding.
std::optional<ArpMessage> read_arp(std::span<const std::uint8_t> bytes);

}  // namespace impnetd
