// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Which NII a device gets. A rule of the configuration that names the device decides; then what the
// device was called before (by MAC or path), so that an identifier stays with its hardware; then,
// for devices with hardware behind them, the first number that is free. Virtual devices (a
// container's veth, a bridge) get a name only by a rule, and are not taken for a card whose address
// they have.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/interface_record.hpp"
#include "core/interface_rule.hpp"
#include "core/link.hpp"
#include "core/nii.hpp"

namespace impnetd {

class Naming {
  public:
    /// Is it an ethernet card, and not a Wi-Fi or cellular one that looks like it?
    using IsWired = std::function<bool(const Link&)>;

    Naming(std::vector<InterfaceRule> rules, IsWired is_wired)
        : rules_(std::move(rules)), is_wired_(std::move(is_wired)) {}

    /// The NII of a device that appeared, now taken; nothing if it is none of ours.
    std::optional<Nii> name(const Link& link);
    /// The NII that it would get, were that free. `has`: the one that it has now.
    std::optional<Nii> look(const Link& link, std::optional<Nii> has = std::nullopt) const;
    /// The NII of the rule that names it.
    std::optional<Nii> by_rule(const Link& link) const;
    bool taken(Nii nii) const { return taken_.contains(nii); }
    /// The device is gone; its NII stays with it.
    void release(Nii nii) { taken_.erase(nii); }
    /// Its device is to have another one, or none.
    void forget(Nii nii) { remembered_.erase(nii); }

    /// Who has had which NII: what `remember` takes.
    std::vector<NamedDevice> names() const;
    void remember(const std::vector<NamedDevice>& names);

    const std::vector<InterfaceRule>& rules() const { return rules_; }
    /// The same under other rules.
    Naming under(std::vector<InterfaceRule> rules) const;
    /// Do both have the same rules about who is which device?
    bool same_devices(const Naming& other) const;

    /// Has this NII a rule, or has a device had it?
    bool known(Nii nii) const;
    /// The rule of an NII, or the defaults.
    InterfaceRule rule(Nii nii) const;

  private:
    bool means(const InterfaceRule& rule, const Link& link) const;
    bool is_card(const Link& link) const;
    std::optional<Nii> by_memory(const Link& link, std::optional<Nii> has) const;
    std::optional<Nii> by_discovery() const;

    struct Hardware {
        MacAddress mac;
        std::string path;
    };

    std::vector<InterfaceRule> rules_;
    IsWired is_wired_;
    std::set<Nii> taken_;
    std::map<Nii, Hardware> remembered_;
};

}  // namespace impnetd
