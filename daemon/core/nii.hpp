// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Network interface identifiers: impnetd's own names for interfaces, apart from the kernel's device
// names. `eth0`, `wl1`, `cell0` are instances; the class names `ethernet`, `wifi`, `cell` stand for
// the first instance of their class.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace impnetd {

enum class InterfaceClass : std::uint8_t { ethernet, wifi, cell };

/// "ethernet", "wifi" or "cell".
std::string_view name(InterfaceClass interface_class);

struct Nii {
    InterfaceClass interface_class = InterfaceClass::ethernet;
    unsigned number = 0;

    /// An instance name: "eth0". At most three digits, no leading zeros.
    static std::optional<Nii> parse(std::string_view text);
    /// An instance name, or a class name for its primary instance.
    static std::optional<Nii> resolve(std::string_view text);

    std::string text() const;
    /// Below `max_index`, and no other's.
    constexpr unsigned index() const { return number * 3 + static_cast<unsigned>(interface_class); }
    static constexpr unsigned max_index = 3'000;

    friend auto operator<=>(const Nii&, const Nii&) = default;
};

}  // namespace impnetd
