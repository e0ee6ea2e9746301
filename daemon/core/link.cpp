// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/link.hpp"

namespace impnetd {

namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

std::optional<std::uint8_t> hex_value(char c) {
    if (c >= '0' && c <= '9') return static_cast<std::uint8_t>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<std::uint8_t>(c - 'a' + 10);
    if (c >= 'A' && c <= 'F') return static_cast<std::uint8_t>(c - 'A' + 10);
    return std::nullopt;
}

}  // namespace

std::string MacAddress::text() const {
    std::string out;
    for (const auto octet : octets) {
        out += hex_digits[octet >> 4];
        out += hex_digits[octet & 0xf];
    }
    return out;
}

std::string MacAddress::with_colons() const {
    auto out = text();
    for (std::size_t at = out.size() - 2; at > 0; at -= 2) out.insert(at, 1, ':');
    return out;
}

std::optional<MacAddress> MacAddress::parse(std::string_view text) {
    const bool separated = text.size() == 17 && (text[2] == ':' || text[2] == '-');
    if (!separated && text.size() != 12) return std::nullopt;
    const std::size_t stride = separated ? 3 : 2;
    MacAddress mac;
    for (std::size_t i = 0; i < mac.octets.size(); ++i) {
        const auto at = i * stride;
        if (separated && i > 0 && text[at - 1] != text[2]) return std::nullopt;
        const auto high = hex_value(text[at]);
        const auto low = hex_value(text[at + 1]);
        if (!high || !low) return std::nullopt;
        mac.octets.at(i) = static_cast<std::uint8_t>(*high << 4 | *low);
    }
    return mac;
}

}  // namespace impnetd
