// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/nii.hpp"

#include <array>
#include <charconv>

namespace impnetd {

namespace {

struct ClassNames {
    InterfaceClass interface_class;
    std::string_view name;
    std::string_view prefix;
};

constexpr std::array<ClassNames, 3> classes{{
    {InterfaceClass::ethernet, "ethernet", "eth"},
    {InterfaceClass::wifi, "wifi", "wl"},
    {InterfaceClass::cell, "cell", "cell"},
}};

const ClassNames& names_of(InterfaceClass interface_class) {
    return classes.at(static_cast<std::size_t>(interface_class));
}

}  // namespace

std::string_view name(InterfaceClass interface_class) {
    return names_of(interface_class).name;
}

std::optional<Nii> Nii::parse(std::string_view text) {
    for (const auto& entry : classes) {
        if (!text.starts_with(entry.prefix)) continue;
        const auto digits = text.substr(entry.prefix.size());
        if (digits.empty() || digits.size() > 3 || (digits.size() > 1 && digits.front() == '0'))
            continue;
        unsigned number = 0;
        const auto* end = digits.data() + digits.size();
        const auto [stop, error] = std::from_chars(digits.data(), end, number);
        if (error == std::errc{} && stop == end) return Nii{entry.interface_class, number};
    }
    return std::nullopt;
}

std::optional<Nii> Nii::resolve(std::string_view text) {
    for (const auto& entry : classes)
        if (text == entry.name) return Nii{entry.interface_class, 0};
    return parse(text);
}

std::string Nii::text() const {
    return std::string(names_of(interface_class).prefix) + std::to_string(number);
}

}  // namespace impnetd
