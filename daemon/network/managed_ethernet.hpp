// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Runs the ethernet machine (core/ethernet.hpp) for one interface: turns what the kernel, the DHCP
// client and the clock say into events, and carries its actions out. No decisions of its own.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/conflict.hpp"
#include "core/ethernet.hpp"
#include "core/lease.hpp"
#include "core/link.hpp"
#include "loop/loop.hpp"
#include "network/interface.hpp"

namespace impnetd {

class ManagedEthernet final : public Control,
                              private LeasePort::Observer,
                              private ConflictPort::Observer {
  public:
    /// What makes its ports.
    struct Ports {
        std::function<std::unique_ptr<LeasePort>(LeasePort::Observer&)> lease;
        std::function<std::unique_ptr<ConflictPort>(ConflictPort::Observer&)> conflict;
    };

    /// `hostname`: for the DHCP server; empty: not told. `before`: how the process before us left
    /// it; nothing if it was not in use.
    ManagedEthernet(Loop& loop, Interface& interface, LinkPort& links, const Ports& ports,
                    std::string hostname, const InterfaceRecord* before);

    void describe(InterfaceRecord& record) const override;
    void opened(const Nic& nic) override;
    void closed() override;
    void link_changed(const Link& link) override;
    void link_removed() override;
    void give_back() override;
    bool powering_down() const override { return power_downs_ > 0; }
    void addresses_changed() override;
    void woken_up() override;
    void stored_changed() override;
    void kernel_ipv6_changed() override;

  private:
    void lease_obtained(const Lease& lease) override;
    void lease_lost(const std::string& reason) override;
    void lease_refused(const std::string& reason) override;
    void address_claimed(const MacAddress& by, bool probing) override;
    void address_proven() override;

    void feed(ethernet::Event event);
    void perform(const ethernet::Enter& action);
    void perform(const ethernet::Power& action);
    void perform(const ethernet::SetDeadline& action);
    void perform(const ethernet::ClearDeadline& action);
    void perform(const ethernet::StartLease& action);
    void perform(const ethernet::RenewLease& action);
    void perform(const ethernet::StopLease& action);
    void perform(const ethernet::Assign& action);
    void perform(const ethernet::WatchAddress& action);
    void perform(const ethernet::DefendAddress& action);
    void perform(const ethernet::UnwatchAddress& action);
    void perform(const ethernet::Withdraw& action);
    void perform(const ethernet::ForgetNic& action);

    void notice_others();
    bool is_placed(const Ipv4Network& network) const;
    void claim_device();
    void release_device();
    void configure(const LinkSettings& settings);
    LinkPort::Done configured() const;
    void settle_mtu(std::optional<std::uint16_t> offered);
    void note_routes(const std::vector<StaticRoute>& routes) const;
    LeaseRequest lease_request() const;
    int ifindex() const;
    std::optional<IpTable> table() const;

    Interface& interface_;
    LinkPort& links_;
    std::string hostname_;
    ethernet::Machine machine_;
    std::deque<ethernet::Event> events_;  // an action may bring the next event before it returns
    bool stepping_ = false;
    Timer deadline_;
    std::unique_ptr<LeasePort> lease_port_;
    std::unique_ptr<ConflictPort> conflict_port_;
    std::optional<Link> link_;
    std::optional<Lease> lease_;
    std::optional<ProxyConfig> proxy_;        // of this attempt
    std::optional<LinkSettings> found_;       // how the device was before we changed it
    std::optional<std::uint32_t> found_mtu_;  // the same of its MTU, if a lease has another
    int power_downs_ = 0;                     // that the kernel has not answered yet
    bool taking_over_ = false;                // until the kernel has said how the device is now
    std::vector<Ipv4Network> placed_;         // by us, and perhaps still in the kernel's list
    bool contended_ = false;                  // something that is not ours is on the device
    std::set<std::string> told_;              // of what is not ours, not long ago
    bool address_seen_ = false;               // the kernel's list has shown the address we assigned
    // Answers of the kernel to requests that something newer has overtaken are not ours any more.
    std::shared_ptr<int> epoch_ = std::make_shared<int>(0);
};

}  // namespace impnetd
