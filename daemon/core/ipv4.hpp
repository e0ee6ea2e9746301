// SPDX-License-Identifier: LGPL-2.1-or-later
//
// IPv4 values: an address, and an address with its prefix (what a device holds). Addresses are kept
// in host byte order so that masks and comparisons read as arithmetic; only the edges (netlink,
// sockets) convert.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace impnetd {

class Ipv4 {
  public:
    constexpr Ipv4() = default;
    constexpr explicit Ipv4(std::uint32_t host_order) : bits_(host_order) {}
    constexpr Ipv4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d)
        : bits_(std::uint32_t{a} << 24 | std::uint32_t{b} << 16 | std::uint32_t{c} << 8 | d) {}

    /// A dotted quad: exactly four decimal numbers 0-255 without leading zeros, signs or spaces.
    static std::optional<Ipv4> parse(std::string_view text);
    static Ipv4 from_network_order(std::uint32_t bits);

    constexpr std::uint32_t bits() const { return bits_; }
    std::uint32_t network_order() const;
    std::string text() const;

    constexpr bool is_zero() const { return bits_ == 0; }
    constexpr bool is_limited_broadcast() const { return bits_ == 0xffffffff; }
    /// RFC 1918: 10/8, 172.16/12, 192.168/16.
    constexpr bool is_private() const {
        return (bits_ >> 24) == 10 || (bits_ >> 20) == 0xac1 || (bits_ >> 16) == 0xc0a8;
    }

    friend constexpr auto operator<=>(const Ipv4&, const Ipv4&) = default;

  private:
    std::uint32_t bits_ = 0;
};

/// A device's own address and the subnet it is on: 192.168.1.7/24.
struct Ipv4Network {
    Ipv4 address;
    std::uint8_t prefix = 32;

    /// From a netmask; nothing if its ones are not contiguous.
    static std::optional<Ipv4Network> from_netmask(Ipv4 address, Ipv4 netmask);

    constexpr Ipv4 netmask() const {
        return Ipv4(prefix == 0 ? 0 : ~std::uint32_t{0} << (32 - prefix));
    }
    constexpr Ipv4 network() const { return Ipv4(address.bits() & netmask().bits()); }
    /// The directed broadcast address. A /31 (RFC 3021) or /32 has none: its last address is a
    /// host.
    constexpr std::optional<Ipv4> broadcast() const {
        if (prefix > 30) return std::nullopt;
        return Ipv4(address.bits() | ~netmask().bits());
    }
    constexpr bool contains(Ipv4 other) const {
        return (other.bits() & netmask().bits()) == network().bits();
    }
    std::string text() const;

    friend constexpr bool operator==(const Ipv4Network&, const Ipv4Network&) = default;
};

/// Can a host on this subnet have this address? Not "this network" (0/8), loopback, multicast or
/// above, and not the subnet's own all-zeros or all-ones address (RFC 1122, 3.2.1.3).
bool is_host_address(const Ipv4Network& network);

}  // namespace impnetd
