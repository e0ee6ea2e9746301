// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/ipv4.hpp"

#include <bit>

namespace impnetd {

namespace {

constexpr std::uint32_t swap_if_little(std::uint32_t v) {
    if constexpr (std::endian::native == std::endian::big) return v;
    return v >> 24 | (v >> 8 & 0xff00) | (v << 8 & 0xff0000) | v << 24;
}

}  // namespace

std::optional<Ipv4> Ipv4::parse(std::string_view text) {
    std::uint32_t bits = 0;
    for (int field = 0; field < 4; ++field) {
        if (field > 0) {
            if (text.empty() || text.front() != '.') return std::nullopt;
            text.remove_prefix(1);
        }
        std::size_t digits = 0;
        std::uint32_t number = 0;
        while (digits < text.size() && digits < 3 && text[digits] >= '0' && text[digits] <= '9') {
            number = number * 10 + static_cast<std::uint32_t>(text[digits] - '0');
            ++digits;
        }
        // A leading zero means octal to some programs and decimal to others: refuse it.
        if (digits == 0 || number > 255 || (digits > 1 && text.front() == '0')) return std::nullopt;
        text.remove_prefix(digits);
        bits = bits << 8 | number;
    }
    if (!text.empty()) return std::nullopt;
    return Ipv4(bits);
}

Ipv4 Ipv4::from_network_order(std::uint32_t bits) {
    return Ipv4(swap_if_little(bits));
}

std::uint32_t Ipv4::network_order() const {
    return swap_if_little(bits_);
}

std::string Ipv4::text() const {
    return std::to_string(bits_ >> 24) + '.' + std::to_string(bits_ >> 16 & 0xff) + '.' +
           std::to_string(bits_ >> 8 & 0xff) + '.' + std::to_string(bits_ & 0xff);
}

std::optional<Ipv4Network> Ipv4Network::from_netmask(Ipv4 address, Ipv4 netmask) {
    const int ones = std::countl_one(netmask.bits());
    if (ones != std::popcount(netmask.bits())) return std::nullopt;
    return Ipv4Network{address, static_cast<std::uint8_t>(ones)};
}

bool is_host_address(const Ipv4Network& network) {
    const auto first = network.address.bits() >> 24;
    if (first == 0 || first == 127 || first >= 224) return false;
    if (network.prefix > 30) return true;
    return network.address != network.network() && network.address != network.broadcast();
}

std::string Ipv4Network::text() const {
    return address.text() + '/' + std::to_string(prefix);
}

}  // namespace impnetd
