// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A LinkPort whose kernel is the test: it makes and takes devices, cables and addresses, and
// answers the requests that came in, in their order, well or badly. A request has no effect before
// that, and nothing happens by itself; with `answer_from` each is carried out in the loop's next
// turn.
//
//     ports::FakeLinks links;
//     const int eth0 = links.add("eth0");
//     links.set_up(eth0, true, done);
//     links.complete();      // on, and its carrier with it
//     links.pull(eth0);
//
// Naming a device that there isn't, or answering nobody, is an error of the test and throws.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/link.hpp"
#include "loop/loop.hpp"

namespace ports {

class FakeLinks final : public impnetd::LinkPort {
  public:
    // --- The port

    void observe(Observer* observer) override { observer_ = observer; }
    std::vector<impnetd::Link> links() const override;
    std::optional<impnetd::Link> link(int ifindex) const override;
    std::vector<impnetd::LinkAddress> addresses(int ifindex) const override;
    std::optional<impnetd::Ipv4> gateway(int ifindex) const override;
    impnetd::LinkCounters counters(int ifindex) const override;
    std::uint32_t speed(int ifindex) const override;
    std::optional<impnetd::LinkSettings> settings(int ifindex) const override;

    void set_up(int ifindex, bool up, Done done) override;
    void set_mtu(int ifindex, std::uint32_t mtu, Done done) override;
    void configure(int ifindex, const impnetd::LinkSettings& settings, Done done) override;
    void assign(int ifindex, const impnetd::AddressAssignment& address, Done done) override;
    void withdraw(int ifindex, const impnetd::Ipv4Network& network, Done done) override;

    // --- Its world

    /// A new ethernet device, off, with a cable in; returns its ifindex. A `path` makes it
    /// hardware.
    int add(const std::string& name, const std::string& path = "pci-0000:00:03.0");
    /// Exactly this device; its carrier says whether its cable is in. The ifindex must be free.
    void add(const impnetd::Link& link);
    void remove(int ifindex);
    void rename(int ifindex, const std::string& name);
    void pull(int ifindex);
    void plug(int ifindex);
    /// Pulls the cable and puts it back before the kernel gets to tell.
    void flap(int ifindex);
    /// Somebody else turns it on or off.
    void power(int ifindex, bool up);
    /// Somebody else gives it an address, or the same again.
    void add_address(int ifindex, const impnetd::Ipv4Network& network,
                     std::optional<impnetd::Ipv4> broadcast = std::nullopt);
    /// Somebody takes it away, or its lifetime is over.
    void remove_address(int ifindex, const impnetd::Ipv4Network& network);
    /// Somebody else changes how the kernel treats it.
    void set_settings(int ifindex, const impnetd::LinkSettings& settings);
    /// The default route through it; nothing: none. It goes with the power and the last address.
    void set_gateway(int ifindex, std::optional<impnetd::Ipv4> gateway);
    void set_counters(int ifindex, const impnetd::LinkCounters& counters);
    void set_speed(int ifindex, std::uint32_t speed);

    // --- The requests

    struct Request {
        enum class Kind : std::uint8_t { set_up, set_mtu, configure, assign, withdraw };

        Kind kind = Kind::set_up;
        int ifindex = 0;
        bool up = false;                       ///< set_up
        impnetd::AddressAssignment address{};  ///< assign; withdraw: its network
        impnetd::LinkSettings settings{};      ///< configure
        std::uint32_t mtu = 0;                 ///< set_mtu

        friend bool operator==(const Request&, const Request&) = default;
    };
    /// Those not answered yet, oldest first.
    std::vector<Request> pending() const;
    /// All there were, answered or not.
    const std::vector<Request>& requests() const { return requests_; }

    /// Carries out the oldest one and answers it: a failure if its device is gone.
    void complete();
    void complete_all();
    /// Answers the oldest one with a failure; it has no effect.
    void fail(const std::string& message, impnetd::ErrorCode code = impnetd::ErrorCode::failed);

    /// From now on, each is completed in the next turn of the loop. What is pending stays so.
    void answer_from(impnetd::Loop& loop) { loop_ = &loop; }

  private:
    struct Device {
        impnetd::Link link;
        bool cable = true;
        std::vector<impnetd::LinkAddress> addresses;  // primary ones first
        std::optional<impnetd::Ipv4> gateway;
        impnetd::LinkCounters counters;
        std::uint32_t speed = 0;
        impnetd::LinkSettings settings{.ipv6 = impnetd::LinkSettings::Ipv6{}};
    };
    struct Pending {
        Request request;
        Done done;
    };

    Device& device(int ifindex);
    void follow(Device& device);
    void notify_link(const Device& device);
    void notify_addresses(int ifindex);
    bool take_address(Device& device, const impnetd::Ipv4Network& network);
    void ask(const Request& request, Done done);
    impnetd::Result<> carry_out(const Request& request);

    Observer* observer_ = nullptr;
    impnetd::Loop* loop_ = nullptr;
    int next_ifindex_ = 2;
    std::map<int, Device> devices_;
    std::deque<Pending> pending_;
    std::vector<Request> requests_;
    std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // for tasks in the loop
};

}  // namespace ports
