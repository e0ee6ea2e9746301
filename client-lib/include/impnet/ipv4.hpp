// SPDX-License-Identifier: LGPL-2.1-or-later
//
// An IPv4 address as a value. Host byte order inside, so that comparing and masking is arithmetic.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <impnet/export.hpp>

namespace impnet {

class IMPNET_API Ipv4 {
  public:
    constexpr Ipv4() = default;
    constexpr explicit Ipv4(std::uint32_t host_order) : bits_(host_order) {}
    constexpr Ipv4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d)
        : bits_(std::uint32_t{a} << 24 | std::uint32_t{b} << 16 | std::uint32_t{c} << 8 | d) {}

    /// A dotted quad: exactly four decimal numbers 0-255 without leading zeros, signs or spaces.
    static std::optional<Ipv4> parse(std::string_view text);

    constexpr std::uint32_t bits() const { return bits_; }
    std::string text() const;

    friend constexpr auto operator<=>(const Ipv4&, const Ipv4&) = default;

  private:
    std::uint32_t bits_ = 0;
};

}  // namespace impnet
