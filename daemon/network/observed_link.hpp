// SPDX-License-Identifier: LGPL-2.1-or-later
//
// An interface that somebody else manages (NetworkManager, systemd-networkd, a person): its state
// is read off the kernel's link and addresses, and nothing is ever changed.
#pragma once

#include <optional>

#include "network/interface.hpp"

namespace impnetd {

class ObservedLink final : public Control {
  public:
    /// `before`: as the process before us saw it.
    ObservedLink(Interface& interface, const LinkPort& links, const InterfaceRecord* before)
        : interface_(interface), links_(links) {
        if (before != nullptr) address_ = before->address;
    }

    void describe(InterfaceRecord& record) const override { record.address = address_; }
    void opened(const Nic&) override {}
    void closed() override {}
    void link_changed(const Link& link) override;
    void link_removed() override;
    void give_back() override {}
    bool powering_down() const override { return false; }
    void addresses_changed() override;
    void woken_up() override {}
    void stored_changed() override;
    void kernel_ipv6_changed() override {}

  private:
    void look(const Link& link);

    Interface& interface_;
    const LinkPort& links_;
    std::optional<Link> link_;
    std::optional<AddressAssignment> address_;  // what it last had
};

}  // namespace impnetd
