// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The kernel's devices as a LinkPort: the network namespace in which it is made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/link.hpp"
#include "loop/loop.hpp"
#include "netlink/counters.hpp"
#include "netlink/monitor.hpp"
#include "netlink/requests.hpp"
#include "netlink/settings.hpp"
#include "netlink/speed.hpp"

namespace impnetd::netlink {

/// Not to be destroyed from inside a notice or an answer: defer that. Answers that are still due
/// are then not told.
class Links final : public LinkPort {
  public:
    /// Several thousand notifications may wait. It is the kernel's memory, and used only when they
    /// do.
    static constexpr std::size_t default_receive_buffer = std::size_t{8} * 1024 * 1024;

    /// The view is complete from the start. Throws std::runtime_error if the kernel refuses.
    explicit Links(Loop& loop, std::size_t receive_buffer = default_receive_buffer);

    void observe(Observer* observer) override { observer_ = observer; }
    std::vector<Link> links() const override;
    std::optional<Link> link(int ifindex) const override;
    std::vector<LinkAddress> addresses(int ifindex) const override;
    std::optional<Ipv4> gateway(int ifindex) const override;
    /// As of now: asks the kernel.
    LinkCounters counters(int ifindex) const override;
    std::uint32_t speed(int ifindex) const override;
    std::optional<LinkSettings> settings(int ifindex) const override;

    /// The answers come when the view contains what was done, and its notices are out (except while
    /// lost notifications are being made good).
    void set_up(int ifindex, bool up, Done done) override;
    void set_mtu(int ifindex, std::uint32_t mtu, Done done) override;
    void configure(int ifindex, const LinkSettings& settings, Done done) override;
    void assign(int ifindex, const AddressAssignment& address, Done done) override;
    void withdraw(int ifindex, const Ipv4Network& network, Done done) override;

  private:
    void tell(const Change& change);
    std::string name_of(int ifindex) const;

    Observer* observer_ = nullptr;
    Monitor monitor_;
    Requests requests_;
    Speed speed_;
    mutable Counters counters_;  // a question changes nothing that anybody sees
    mutable Settings settings_;
};

}  // namespace impnetd::netlink
