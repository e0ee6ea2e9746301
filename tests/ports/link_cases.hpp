// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What every LinkPort does, as test cases that run against the fake and against the kernel: so the
// fake that other tests rely on stays honest. A scene is a port with a world of devices that the
// case commands, and a log of what the port told, in words:
//
//     lan0: on, carrier
//     lan0: 10.0.0.5/24 via 10.0.0.1
//     lan0: removed
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "core/link.hpp"

namespace ports {

using impnetd::AddressAssignment;
using impnetd::ErrorCode;
using impnetd::Ipv4;
using impnetd::Ipv4Network;
using impnetd::Link;
using impnetd::LinkAddress;
using impnetd::LinkPort;
using impnetd::LinkSettings;
using impnetd::Result;

/// What a port told, in order, each with what its view said at that moment.
class LinkLog final : public LinkPort::Observer {
  public:
    void watch(LinkPort& port) {
        port_ = &port;
        for (const auto& link : port.links()) names_[link.ifindex] = link.name;
        port.observe(this);
    }

    void link_changed(const Link& link) override {
        CHECK(port_->link(link.ifindex) == link);
        names_[link.ifindex] = link.name;
        add(link.name + (link.up ? ": on" : ": off") + (link.carrier ? ", carrier" : ""));
    }
    void link_removed(int ifindex) override {
        CHECK_FALSE(port_->link(ifindex));
        add(names_[ifindex] + ": removed");
    }
    void addresses_changed(int ifindex) override {
        std::string line = names_[ifindex] + ":";
        for (const auto& address : port_->addresses(ifindex)) {
            line.append(" ").append(address.network.text());
            if (address.secondary) line += " secondary";
        }
        if (port_->addresses(ifindex).empty()) line += " no address";
        if (const auto gateway = port_->gateway(ifindex))
            line.append(" via ").append(gateway->text());
        add(line);
    }

    std::vector<std::string> lines;
    /// Called with each line, as the owner of a port would act on it.
    std::function<void(const std::string&)> on_line;

  private:
    void add(const std::string& line) {
        lines.push_back(line);
        if (on_line) on_line(line);
    }

    LinkPort* port_ = nullptr;
    std::map<int, std::string> names_;
};

class LinkScene {
  public:
    virtual ~LinkScene() = default;

    virtual LinkPort& port() = 0;

    /// A new ethernet device, off, with a cable in.
    virtual int add(const std::string& name) = 0;
    virtual void remove(int ifindex) = 0;
    /// To another network, and out of sight.
    virtual void move_away(int ifindex) = 0;
    virtual void rename(int ifindex, const std::string& name) = 0;
    virtual void pull(int ifindex) = 0;
    virtual void plug(int ifindex) = 0;
    /// Another program does these.
    virtual void power(int ifindex, bool up) = 0;
    virtual void add_address(int ifindex, const Ipv4Network& network) = 0;
    virtual void remove_address(int ifindex, const Ipv4Network& network) = 0;
    virtual void set_gateway(int ifindex, std::optional<Ipv4> gateway) = 0;

    /// Lets time pass until `predicate` holds. False: the limit passed first.
    virtual bool until(const std::function<bool()>& predicate) = 0;

    LinkLog log;
};

namespace link_cases_detail {

/// The answer to a request.
class Reply {
  public:
    LinkPort::Done done() {
        return [this](Result<> result) {
            ++count;
            outcome = std::move(result);
        };
    }
    int count = 0;
    std::optional<Result<>> outcome;
};

/// Waits for the answer and returns it.
inline Result<> answered(LinkScene& scene, Reply& reply) {
    CHECK(reply.count == 0);  // never from inside the request
    REQUIRE(scene.until([&] { return reply.count > 0; }));
    CHECK(reply.count == 1);
    return *reply.outcome;
}
inline Result<> set_up(LinkScene& scene, int ifindex, bool up = true) {
    Reply reply;
    scene.port().set_up(ifindex, up, reply.done());
    return answered(scene, reply);
}
inline Result<> set_mtu(LinkScene& scene, int ifindex, std::uint32_t mtu) {
    Reply reply;
    scene.port().set_mtu(ifindex, mtu, reply.done());
    return answered(scene, reply);
}
inline Result<> configure(LinkScene& scene, int ifindex, const LinkSettings& settings) {
    Reply reply;
    scene.port().configure(ifindex, settings, reply.done());
    return answered(scene, reply);
}
inline Result<> assign(LinkScene& scene, int ifindex, const AddressAssignment& address) {
    Reply reply;
    scene.port().assign(ifindex, address, reply.done());
    return answered(scene, reply);
}
inline Result<> withdraw(LinkScene& scene, int ifindex, const Ipv4Network& network) {
    Reply reply;
    scene.port().withdraw(ifindex, network, reply.done());
    return answered(scene, reply);
}

/// Waits until as many lines are there as expected, and shows that nothing else was told before the
/// answer to one more request, which always comes last.
inline void expect(LinkScene& scene, const std::vector<std::string>& expected) {
    scene.until([&] { return scene.log.lines.size() >= expected.size(); });
    Reply last;
    scene.port().withdraw(0x7fffffff, {Ipv4(10, 99, 99, 99), 32}, last.done());
    REQUIRE(scene.until([&] { return last.count > 0; }));
    CHECK(scene.log.lines == expected);
    scene.log.lines.clear();
}

/// A scene with one device, lan0, that was told to be off.
struct OneDevice {
    explicit OneDevice(std::unique_ptr<LinkScene> made) : owner(std::move(made)) {
        scene.log.watch(port);
        lan0 = scene.add("lan0");
        expect(scene, {"lan0: off"});
    }

    std::unique_ptr<LinkScene> owner;
    LinkScene& scene = *owner;
    LinkPort& port = scene.port();
    int lan0 = 0;
    Ipv4Network home{Ipv4(10, 0, 0, 5), 24};
    Ipv4Network neighbour{Ipv4(10, 0, 0, 6), 24};
    Ipv4Network abroad{Ipv4(10, 1, 0, 5), 16};
    Ipv4 router{10, 0, 0, 1};
};

/// Devices, their power and their cables.
inline void device_cases(OneDevice& device) {
    LinkScene& scene = device.scene;
    LinkPort& port = device.port;
    const int lan0 = device.lan0;
    const Ipv4Network& home = device.home;

    SECTION("a new device is told and in the view") {
        const auto link = port.link(lan0);
        REQUIRE(link);
        CHECK(link->ifindex == lan0);
        CHECK(link->name == "lan0");
        CHECK(link->ethernet);
        CHECK_FALSE(link->up);
        CHECK_FALSE(link->carrier);
        CHECK(link->mac != impnetd::MacAddress{});
        CHECK(port.addresses(lan0).empty());
        CHECK_FALSE(port.gateway(lan0));
        CHECK_FALSE(port.link(lan0 + 1'000'000));
    }

    SECTION("links are listed by rising ifindex") {
        scene.add("lan1");
        scene.add("lan2");
        expect(scene, {"lan1: off", "lan2: off"});
        int before = 0;
        std::vector<std::string> names;
        for (const auto& link : port.links()) {
            CHECK(link.ifindex > before);
            before = link.ifindex;
            if (link.ethernet) names.push_back(link.name);
        }
        CHECK(names == std::vector<std::string>{"lan0", "lan1", "lan2"});
    }

    SECTION("the carrier follows the cable, step by step") {
        scene.pull(lan0);
        CHECK(set_up(scene, lan0));
        expect(scene, {"lan0: on"});
        scene.plug(lan0);
        expect(scene, {"lan0: on, carrier"});
        scene.pull(lan0);
        expect(scene, {"lan0: on"});
        scene.plug(lan0);
        expect(scene, {"lan0: on, carrier"});
    }

    SECTION("a cable that is out for a moment only shows at least in the losses") {
        CHECK(set_up(scene, lan0));
        const auto before = port.link(lan0)->carrier_losses;
        scene.pull(lan0);
        scene.plug(lan0);
        CHECK(scene.until([&] {
            const auto now = port.link(lan0);
            return now->carrier && now->carrier_losses > before;
        }));
        CHECK(scene.log.lines.size() > 1);
    }

    SECTION("a device that is off has no carrier, and keeps its addresses") {
        CHECK(set_up(scene, lan0));
        CHECK(assign(scene, lan0, {home, home.broadcast(), std::nullopt}));
        CHECK(set_up(scene, lan0, false));
        expect(scene, {"lan0: on, carrier", "lan0: 10.0.0.5/24", "lan0: off"});
        CHECK(port.addresses(lan0) ==
              std::vector<LinkAddress>{{lan0, home, home.broadcast(), false}});
    }

    SECTION("another program's power switch is told") {
        scene.power(lan0, true);
        scene.power(lan0, false);
        expect(scene, {"lan0: on, carrier", "lan0: off"});
    }

    SECTION("a renamed device keeps its ifindex and addresses") {
        CHECK(assign(scene, lan0, {home, std::nullopt, std::nullopt}));
        scene.rename(lan0, "house");
        expect(scene, {"lan0: 10.0.0.5/24", "house: off"});
        CHECK(port.link(lan0)->name == "house");
        CHECK(port.addresses(lan0).size() == 1);
    }

    SECTION("a device that goes is told off, bare and removed, and returns under a new ifindex") {
        CHECK(set_up(scene, lan0));
        CHECK(assign(scene, lan0, {home, std::nullopt, std::nullopt}));
        scene.remove(lan0);
        expect(scene, {"lan0: on, carrier", "lan0: 10.0.0.5/24", "lan0: off", "lan0: no address",
                       "lan0: removed"});
        CHECK(port.addresses(lan0).empty());
        const int again = scene.add("lan0");
        expect(scene, {"lan0: off"});
        CHECK(again != lan0);
        CHECK(port.link(again)->name == "lan0");
    }

    SECTION("a device that moves to another network is removed") {
        CHECK(set_up(scene, lan0));
        scene.move_away(lan0);
        expect(scene, {"lan0: on, carrier", "lan0: off", "lan0: removed"});
    }
}

/// Addresses and gateways.
inline void address_cases(OneDevice& device) {
    LinkScene& scene = device.scene;
    LinkPort& port = device.port;
    const int lan0 = device.lan0;
    const Ipv4Network& home = device.home;
    const Ipv4Network& neighbour = device.neighbour;
    const Ipv4Network& abroad = device.abroad;
    const Ipv4& router = device.router;

    SECTION("an address is held as it was assigned") {
        CHECK(assign(scene, lan0, {home, home.broadcast(), 3600}));
        CHECK(port.addresses(lan0) ==
              std::vector<LinkAddress>{{lan0, home, home.broadcast(), false}});
        CHECK(assign(scene, lan0, {abroad, std::nullopt, std::nullopt}));
        expect(scene, {"lan0: 10.0.0.5/24", "lan0: 10.0.0.5/24 10.1.0.5/16"});
        CHECK(port.addresses(lan0).at(1).broadcast == std::nullopt);
    }

    SECTION("assigning an address again succeeds and is nothing to tell") {
        CHECK(assign(scene, lan0, {home, home.broadcast(), 3600}));
        CHECK(assign(scene, lan0, {home, home.broadcast(), 7200}));
        CHECK(assign(scene, lan0, {home, home.broadcast(), std::nullopt}));
        expect(scene, {"lan0: 10.0.0.5/24"});
    }

    SECTION("a second address of a subnet is secondary, and inherits its place") {
        CHECK(assign(scene, lan0, {home, std::nullopt, std::nullopt}));
        CHECK(assign(scene, lan0, {neighbour, std::nullopt, std::nullopt}));
        CHECK(assign(scene, lan0, {abroad, std::nullopt, std::nullopt}));
        CHECK(withdraw(scene, lan0, home));
        expect(scene, {"lan0: 10.0.0.5/24", "lan0: 10.0.0.5/24 10.0.0.6/24 secondary",
                       "lan0: 10.0.0.5/24 10.1.0.5/16 10.0.0.6/24 secondary",
                       "lan0: 10.1.0.5/16 10.0.0.6/24 secondary", "lan0: 10.1.0.5/16 10.0.0.6/24"});
    }

    SECTION("withdrawing takes exactly this address, and succeeds where there is none") {
        CHECK(assign(scene, lan0, {home, std::nullopt, std::nullopt}));
        CHECK(withdraw(scene, lan0, {home.address, 16}));
        expect(scene, {"lan0: 10.0.0.5/24"});
        CHECK(withdraw(scene, lan0, home));
        CHECK(withdraw(scene, lan0, home));
        expect(scene, {"lan0: no address"});
    }

    SECTION("another program's addresses are told") {
        scene.add_address(lan0, home);
        scene.add_address(lan0, abroad);
        scene.remove_address(lan0, home);
        expect(scene, {"lan0: 10.0.0.5/24", "lan0: 10.0.0.5/24 10.1.0.5/16", "lan0: 10.1.0.5/16"});
    }

    SECTION("the gateway comes and goes with its route") {
        CHECK(set_up(scene, lan0));
        CHECK(assign(scene, lan0, {home, std::nullopt, std::nullopt}));
        scene.set_gateway(lan0, router);
        scene.set_gateway(lan0, std::nullopt);
        expect(scene, {"lan0: on, carrier", "lan0: 10.0.0.5/24", "lan0: 10.0.0.5/24 via 10.0.0.1",
                       "lan0: 10.0.0.5/24"});
    }

    SECTION("the gateway survives a pulled cable, but not the power switch") {
        CHECK(set_up(scene, lan0));
        CHECK(assign(scene, lan0, {home, std::nullopt, std::nullopt}));
        scene.set_gateway(lan0, router);
        expect(scene, {"lan0: on, carrier", "lan0: 10.0.0.5/24", "lan0: 10.0.0.5/24 via 10.0.0.1"});
        scene.pull(lan0);
        expect(scene, {"lan0: on"});
        CHECK(port.gateway(lan0) == router);
        CHECK(set_up(scene, lan0, false));
        expect(scene, {"lan0: off", "lan0: 10.0.0.5/24"});
        scene.plug(lan0);
        CHECK(set_up(scene, lan0));
        expect(scene, {"lan0: on, carrier"});
        CHECK_FALSE(port.gateway(lan0));
    }

    SECTION("the gateway goes with the last address") {
        CHECK(set_up(scene, lan0));
        CHECK(assign(scene, lan0, {home, std::nullopt, std::nullopt}));
        scene.set_gateway(lan0, router);
        CHECK(withdraw(scene, lan0, home));
        expect(scene, {"lan0: on, carrier", "lan0: 10.0.0.5/24", "lan0: 10.0.0.5/24 via 10.0.0.1",
                       "lan0: no address"});
    }
}

/// What is asked of the port, and how it answers.
inline void request_cases(OneDevice& device) {
    LinkScene& scene = device.scene;
    LinkPort& port = device.port;
    const int lan0 = device.lan0;
    const Ipv4Network& home = device.home;

    SECTION("turning a device on is answered when it is on and told") {
        Reply reply;
        port.set_up(lan0, true, reply.done());
        CHECK(answered(scene, reply));
        CHECK(port.link(lan0)->up);
        CHECK(scene.log.lines == std::vector<std::string>{"lan0: on, carrier"});
        CHECK(set_up(scene, lan0, false));
        expect(scene, {"lan0: on, carrier", "lan0: off"});
    }

    SECTION("turning on what is on succeeds and is nothing to tell") {
        CHECK(set_up(scene, lan0));
        CHECK(set_up(scene, lan0));
        expect(scene, {"lan0: on, carrier"});
    }

    SECTION("settings are as they were configured, and of one device alone") {
        const int lan1 = scene.add("lan1");
        expect(scene, {"lan1: off"});
        const auto found = port.settings(lan0);
        REQUIRE(found);
        REQUIRE(found->ipv6);
        const auto others = port.settings(lan1);
        for (const auto& settings : {LinkSettings{.ipv6 = LinkSettings::Ipv6{true, 1},
                                    .arp_ignore = 1,
                                    .arp_announce = 2,
                                    .rp_filter = 2},
                                     LinkSettings{.ipv6 = LinkSettings::Ipv6{false, 0},
                                     .arp_ignore = 2,
                                     .arp_announce = 1,
                                     .rp_filter = 1},
                                     *found}) {
            CHECK(configure(scene, lan0, settings));
            CHECK(port.settings(lan0) == settings);
        }
        CHECK(port.settings(lan1) == others);
        expect(scene, {});
    }

    SECTION("the MTU is as it was set, within what the device takes") {
        const auto before = *port.link(lan0);
        CHECK(before.mtu == 1500);
        REQUIRE(before.max_mtu > 1500);
        CHECK(set_mtu(scene, lan0, 576));
        CHECK(port.link(lan0)->mtu == 576);
        CHECK(set_mtu(scene, lan0, 576));
        CHECK_FALSE(set_mtu(scene, lan0, before.max_mtu + 1));
        CHECK(port.link(lan0)->mtu == 576);
        CHECK(set_mtu(scene, lan0, 1500));
        CHECK(port.link(lan0) == before);
    }

    SECTION("settings without IPv6 leave it as it is") {
        auto settings = *port.settings(lan0);
        const auto ipv6 = std::exchange(settings.ipv6, std::nullopt);
        settings.arp_ignore = 1;
        CHECK(configure(scene, lan0, settings));
        settings.ipv6 = ipv6;
        CHECK(port.settings(lan0) == settings);
    }

    SECTION("what is asked of a device that is gone fails, taking an address from it does not") {
        scene.remove(lan0);
        expect(scene, {"lan0: removed"});
        const auto powered = set_up(scene, lan0);
        REQUIRE_FALSE(powered);
        CHECK(powered.error().code == ErrorCode::unavailable);
        CHECK_FALSE(powered.error().message.empty());
        const auto assigned = assign(scene, lan0, {home, std::nullopt, std::nullopt});
        REQUIRE_FALSE(assigned);
        CHECK(assigned.error().code == ErrorCode::unavailable);
        CHECK(withdraw(scene, lan0, home));
        CHECK_FALSE(port.settings(lan0));
        const auto configured = configure(scene, lan0, {});
        REQUIRE_FALSE(configured);
        CHECK(configured.error().code == ErrorCode::unavailable);
        CHECK(port.counters(lan0).tx_packets == 0);
        CHECK(port.speed(lan0) == 0);
    }

    SECTION("answers come in the order of their requests") {
        std::vector<int> order;
        const auto note = [&](int number) {
            return [&, number](const Result<>&) { order.push_back(number); };
        };
        port.set_up(lan0, true, note(1));
        port.assign(lan0, {home, std::nullopt, std::nullopt}, note(2));
        port.withdraw(lan0, home, note(3));
        port.set_up(lan0, false, note(4));
        REQUIRE(scene.until([&] { return order.size() == 4; }));
        CHECK(order == std::vector<int>{1, 2, 3, 4});
        expect(scene, {"lan0: on, carrier", "lan0: 10.0.0.5/24", "lan0: no address", "lan0: off"});
    }

    SECTION("requests may be made from inside notices and answers") {
        Reply assigned;
        Reply withdrawn;
        scene.log.on_line = [&](const std::string& line) {
            if (line == "lan0: on, carrier") {
                port.assign(lan0, {home, std::nullopt, std::nullopt}, [&](Result<> result) {
                    assigned.done()(std::move(result));
                    port.withdraw(lan0, home, withdrawn.done());
                    CHECK(withdrawn.count == 0);
                });
                CHECK(assigned.count == 0);
            }
        };
        scene.power(lan0, true);
        REQUIRE(scene.until([&] { return withdrawn.count == 1; }));
        CHECK(*assigned.outcome);
        CHECK(*withdrawn.outcome);
        expect(scene, {"lan0: on, carrier", "lan0: 10.0.0.5/24", "lan0: no address"});
    }

    SECTION("nobody needs to watch") {
        port.observe(nullptr);
        CHECK(set_up(scene, lan0));
        port.assign(lan0, {home, std::nullopt, std::nullopt}, nullptr);
        CHECK(set_up(scene, lan0));
        CHECK(port.link(lan0)->carrier);
        CHECK(port.addresses(lan0).size() == 1);
        CHECK(scene.log.lines.empty());
    }
}

}  // namespace link_cases_detail

inline void link_cases(const std::function<std::unique_ptr<LinkScene>()>& make) {
    link_cases_detail::OneDevice device(make());
    link_cases_detail::device_cases(device);
    link_cases_detail::address_cases(device);
    link_cases_detail::request_cases(device);
}

}  // namespace ports
