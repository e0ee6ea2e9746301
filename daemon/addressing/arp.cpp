// SPDX-License-Identifier: LGPL-2.1-or-later
#include "addressing/arp.hpp"

#include <algorithm>

namespace impnetd {

namespace {

/// Ethernet, IPv4, and the lengths of their addresses.
constexpr std::array<std::uint8_t, 6> preamble{0, 1, 0x08, 0x00, 6, 4};

class Cursor {
  public:
    explicit Cursor(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

    std::uint32_t number(std::size_t octets) {
        std::uint32_t out = 0;
        for (const auto octet : take(octets)) out = out << 8 | octet;
        return out;
    }
    MacAddress mac() {
        MacAddress out;
        const auto octets = take(out.octets.size());
        std::copy(octets.begin(), octets.end(), out.octets.begin());
        return out;
    }
    Ipv4 ipv4() { return Ipv4(number(4)); }

  private:
    std::span<const std::uint8_t> take(std::size_t size) {
        const auto out = bytes_.first(size);
        bytes_ = bytes_.subspan(size);
        return out;
    }

    std::span<const std::uint8_t> bytes_;
};

}  // namespace

ArpMessage ArpMessage::probe(const MacAddress& mac, Ipv4 address) {
    return {.sender_mac = mac, .sender = {}, .target_mac = {}, .target = address};
}

ArpMessage ArpMessage::announcement(const MacAddress& mac, Ipv4 address) {
    return {.sender_mac = mac, .sender = address, .target_mac = {}, .target = address};
}

std::array<std::uint8_t, ArpMessage::size> write_arp(const ArpMessage& message) {
    std::array<std::uint8_t, ArpMessage::size> out{};
    auto* at = std::copy(preamble.begin(), preamble.end(), out.begin());
    const auto put = [&at](std::uint32_t value, int octets) {
        while (octets-- > 0) *at++ = static_cast<std::uint8_t>(value >> (8 * octets));
    };
    const auto put_mac = [&at](const MacAddress& mac) {
        at = std::copy(mac.octets.begin(), mac.octets.end(), at);
    };
    put(message.operation, 2);
    put_mac(message.sender_mac);
    put(message.sender.bits(), 4);
    put_mac(message.target_mac);
    put(message.target.bits(), 4);
    return out;
}

std::optional<ArpMessage> read_arp(std::span<const std::uint8_t> bytes) {
    if (bytes.size() < ArpMessage::size) return std::nullopt;
    if (!std::equal(preamble.begin(), preamble.end(), bytes.begin())) return std::nullopt;
    Cursor cursor(bytes.subspan(preamble.size()));
    ArpMessage out;
    out.operation = static_cast<std::uint16_t>(cursor.number(2));
    out.sender_mac = cursor.mac();
    out.sender = cursor.ipv4();
    out.target_mac = cursor.mac();
    out.target = cursor.ipv4();
    return out;
}

}  // namespace impnetd
