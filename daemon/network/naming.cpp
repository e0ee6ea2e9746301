// SPDX-License-Identifier: LGPL-2.1-or-later
#include "network/naming.hpp"

#include <algorithm>
#include <utility>

namespace impnetd {

std::optional<Nii> Naming::name(const Link& link) {
    const auto nii = look(link);
    if (!nii || !taken_.insert(*nii).second) return std::nullopt;
    // A rule may have given it another one.
    std::erase_if(remembered_, [&](const auto& entry) {
        const auto& [other, hardware] = entry;
        return !taken_.contains(other) && hardware.mac == link.mac && hardware.path == link.path;
    });
    remembered_[*nii] = {link.mac, link.path};
    return nii;
}

std::optional<Nii> Naming::look(const Link& link, std::optional<Nii> has) const {
    if (const auto nii = by_rule(link)) return nii;
    if (!is_card(link)) return std::nullopt;
    if (const auto nii = by_memory(link, has)) return nii;
    return by_discovery();
}

Naming Naming::under(std::vector<InterfaceRule> rules) const {
    Naming out = *this;
    out.rules_ = std::move(rules);
    return out;
}

bool Naming::same_devices(const Naming& other) const {
    const auto are_in = [](const Naming& there) {
        return
            [&there](const InterfaceRule& here) { return here.same_device(there.rule(here.nii)); };
    };
    return std::all_of(rules_.begin(), rules_.end(), are_in(other)) &&
           std::all_of(other.rules_.begin(), other.rules_.end(), are_in(*this));
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
    for (const auto& rule : rules_)
        if (means(rule, link)) return rule.nii;
    return std::nullopt;
}

bool Naming::means(const InterfaceRule& rule, const Link& link) const {
    if (rule.device) return rule.device == link.name;
    if (rule.path) return rule.path == link.path;
    if (rule.mac != link.mac) return false;
    // A bridge or VLAN on a card has its address, too, and is not the card while that is away.
    const auto before = remembered_.find(rule.nii);
    return !link.path.empty() || before == remembered_.end() || before->second.path.empty() ||
           before->second.mac != link.mac;
}

/// With hardware behind it: discovery offers it.
bool Naming::is_card(const Link& link) const {
    return link.ethernet && link.kind.empty() && !link.path.empty() && is_wired_(link);
}

std::optional<Nii> Naming::by_memory(const Link& link, std::optional<Nii> has) const {
    const auto find = [&](const auto& same) -> std::optional<Nii> {
        for (const auto& [nii, hardware] : remembered_)
            if (same(hardware) && (!taken_.contains(nii) || nii == has) &&
                !rule(nii).names_device())
                return nii;
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

std::optional<Nii> Naming::by_discovery() const {
    Nii nii{InterfaceClass::ethernet, 0};
    while (rule(nii).names_device() || remembered_.contains(nii)) ++nii.number;
    if (nii.index() >= Nii::max_index) return std::nullopt;
    return nii;
}

}  // namespace impnetd
