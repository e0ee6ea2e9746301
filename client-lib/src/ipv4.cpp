// SPDX-License-Identifier: LGPL-2.1-or-later
#include "impnet/ipv4.hpp"

#include <charconv>

namespace impnet {

std::optional<Ipv4> Ipv4::parse(std::string_view text) {
    std::uint32_t bits = 0;
    const char* at = text.data();
    const char* const end = at + text.size();
    for (int field = 0; field < 4; ++field) {
        if (field > 0 && (at == end || *at++ != '.')) return std::nullopt;
        std::uint8_t octet = 0;
        const auto [stop, error] = std::from_chars(at, end, octet);
        // A leading zero means octal to some programs and decimal to others: refuse it.
        if (error != std::errc{} || (stop - at > 1 && *at == '0')) return std::nullopt;
        at = stop;
        bits = bits << 8 | octet;
    }
    if (at != end) return std::nullopt;
    return Ipv4(bits);
}

std::string Ipv4::text() const {
    return std::to_string(bits_ >> 24) + '.' + std::to_string(bits_ >> 16 & 0xff) + '.' +
           std::to_string(bits_ >> 8 & 0xff) + '.' + std::to_string(bits_ & 0xff);
}

}  // namespace impnet
