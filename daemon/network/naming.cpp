// SPDX-License-Identifier: LGPL-2.1-or-later
#include "network/naming.hpp"

#include <algorithm>

namespace impnetd {

std::optional<Nii> Naming::name(const Link& link) {
    auto nii = by_rule(link);
    if (!nii) nii = by_memory(link);
    if (!nii) nii = by_discovery(link);
    if (!nii || !taken_.insert(*nii).second) return std::nullopt;
    remembered_[*nii] = {link.mac, link.path};
    return nii;
}

std::vector<NamedDevice> Naming::names() const {
    std::vector<NamedDevice> out;
    out.reserve(remembered_.size());
    for (const auto& [nii, hardware] : remembered_)
        out.push_back({nii, hardware.mac, hardware.path});
    return out;
}

void Naming::remember(const std::vector<NamedDevice>& names) {
    for (const auto& device : names) remembered_[device.nii] = {device.mac, device.path};
}

bool Naming::known(Nii nii) const {
    return remembered_.contains(nii) ||
           std::any_of(rules_.begin(), rules_.end(), [&](const auto& r) { return r.nii == nii; });
}

InterfaceRule Naming::rule(Nii nii) const {
    for (const auto& rule : rules_)
        if (rule.nii == nii) return rule;
    InterfaceRule none;
    none.nii = nii;
    return none;
}

std::optional<Nii> Naming::by_rule(const Link& link) const {
    for (const auto& rule : rules_) {
        if (rule.device == link.name || rule.mac == link.mac ||
            (rule.path && rule.path == link.path))
            return rule.nii;
    }
    return std::nullopt;
}

std::optional<Nii> Naming::by_memory(const Link& link) const {
    const auto find = [&](const auto& same) -> std::optional<Nii> {
        for (const auto& [nii, hardware] : remembered_)
            if (same(hardware) && !taken_.contains(nii) && !rule(nii).names_device()) return nii;
        return std::nullopt;
    };
    // The card itself before the place it is in: cards get swapped.
    const auto by_mac = find([&](const Hardware& hardware) {
        return hardware.mac == link.mac && hardware.mac != MacAddress{};
    });
    if (by_mac) return by_mac;
    return find([&](const Hardware& hardware) {
        return hardware.path == link.path && !hardware.path.empty();
    });
}

std::optional<Nii> Naming::by_discovery(const Link& link) const {
    const bool hardware = link.kind.empty() && !link.path.empty();
    if (!link.ethernet || !hardware || !is_wired_(link)) return std::nullopt;
    Nii nii{InterfaceClass::ethernet, 0};
    while (rule(nii).names_device() || remembered_.contains(nii)) ++nii.number;
    return nii;
}

}  // namespace impnetd
