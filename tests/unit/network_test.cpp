// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Interfaces and sessions, whole, over fake ports: devices that come and go, several users of one
// interface, what each of them is told, and what is left when they go.
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "loop/loop.hpp"
#include "network/interfaces.hpp"
#include "network/managed_ethernet.hpp"
#include "network/observed_link.hpp"
#include "network/sessions.hpp"
#include "ports/fake_conflict.hpp"
#include "ports/fake_data_path.hpp"
#include "ports/fake_lease.hpp"
#include "ports/fake_link.hpp"

using namespace impnetd;
using namespace std::chrono_literals;

namespace {

using Step = std::pair<int, int>;  // previous, state
using Steps = std::vector<Step>;

/// What a session's owner is told.
struct Told final : Session::Observer {
    Steps steps;
    std::vector<std::string> reasons;

    void state_reported(const StateReport& report) override {
        steps.emplace_back(number(report.previous), number(report.state));
        reasons.push_back(report.reason);
    }
    void socket_forgotten(std::uint64_t) override {}
};

/// The steps of all interfaces, as whoever shows them is told.
struct InterfacesTold final : Interfaces::Observer {
    Steps steps;

    void interface_added(Interface&) override {}
    void interface_removed(Interface&) override {}
    void order_changed() override {}
    void interface_reported(Interface&, const StateReport& report) override {
        steps.emplace_back(number(report.previous), number(report.state));
    }
    void interface_changed(Interface&) override {}
};

struct SocketTold final : SessionSocket::Observer {
    std::vector<std::string> closed;
    std::vector<Datagram> datagrams;

    void datagram_received(const Datagram& datagram) override { datagrams.push_back(datagram); }
    void socket_closed(const std::string& reason) override { closed.push_back(reason); }
};

Lease lease(std::uint8_t last = 100) {
    Lease out;
    out.network = {Ipv4(10, 77, 1, last), 24};
    out.gateway = Ipv4(10, 77, 1, 1);
    out.server = Ipv4(10, 77, 1, 1);
    out.dns = {Ipv4(10, 77, 1, 1)};
    out.seconds = 3600;
    return out;
}

Nic plain(const std::string& nii = "eth0") {
    Nic nic;
    nic.interface = nii;
    nic.nii = *Nii::resolve(nii);
    return nic;
}

Nic with_address() {
    auto nic = plain();
    nic.static_network =
        StaticConfig{{Ipv4(10, 77, 1, 50), 24}, Ipv4(10, 77, 1, 1), {Ipv4(10, 77, 1, 1)}};
    return nic;
}

/// Lets one user open.
Policy allowing(uid_t user) {
    Policy policy;
    policy.widen.users = {user};
    return policy;
}

/// A daemon without a bus: eth0 is the device lan0, managed unless said otherwise.
struct World {
    Loop loop{[](std::string_view what) { FAIL(what); }};
    ports::FakeLinks links;
    ports::FakeDataPath data_path{loop};
    Notify notify;
    FdStore store;
    StoredConfiguration stored;
    ports::FakeLease* dhcp = nullptr;
    ports::FakeConflict* lan = nullptr;
    std::unique_ptr<Interfaces> interfaces;
    std::unique_ptr<Sessions> sessions;
    int lan0 = 0;
    InterfaceRule rule;
    Client client;

    explicit World(bool managed = true, bool always_on = false, Sessions::Limits limits = {},
                   Milliseconds linger = 0ms, Policy policy = allowing(1000))
        : notify(loop, ""), store(notify) {
        rule.device = "lan0";
        rule.managed = managed;
        rule.always_on = always_on;
        links.answer_from(loop);
        interfaces = std::make_unique<Interfaces>(
            loop, links, data_path, store, stored, Naming({rule}, [](const Link&) { return true; }),
            Interface::Timeouts{.linger = linger},
            [this](Interface& interface, bool is_managed,
                   const InterfaceRecord* before) -> std::unique_ptr<Control> {
                if (!is_managed) return std::make_unique<ObservedLink>(interface, links, before);
                return std::make_unique<ManagedEthernet>(
                    loop, interface, links,
                    ManagedEthernet::Ports{
                        .lease =
                            [this](LeasePort::Observer& observer) {
                                auto port = std::make_unique<ports::FakeLease>(observer);
                                dhcp = port.get();
                                return port;
                            },
                        .conflict =
                            [this](ConflictPort::Observer& observer) {
                                auto port = std::make_unique<ports::FakeConflict>(observer);
                                lan = port.get();
                                return port;
                            }},
                    "", before);
            });
        sessions = std::make_unique<Sessions>(loop, *interfaces, data_path, store, limits,
                                              std::move(policy));
        lan0 = links.add("lan0", "");
        interfaces->start();
        client.uid = 1000;
    }

    /// Until nothing is left to be done at once.
    void settle() {
        for (int turn = 0; turn < 20; ++turn) uv_run(loop.raw(), UV_RUN_NOWAIT);
    }
    Session& open(Told& told, const Nic& nic = plain()) {
        auto session = sessions->open(client, nic);
        REQUIRE(session);
        (*session)->begin(":1.7", told);
        settle();
        return **session;
    }
    void connect(Told& told) {
        open(told);
        dhcp->grant(lease());
        settle();
    }
    /// As the administrator stores it.
    void set(const std::function<void(StoredConfiguration&)>& change) {
        change(stored);
        interfaces->stored_changed();
        settle();
    }
    void enable(bool enabled) {
        set([&](StoredConfiguration& configuration) {
            if (enabled)
                configuration.disabled.clear();
            else
                configuration.disabled.insert(plain().nii);
        });
    }
    Interface& eth0() const { return **interfaces->find("eth0"); }
};

}  // namespace

TEST_CASE("a session is told each step from its first to CONNECTED") {
    World world;
    Told told;
    world.connect(told);
    CHECK(told.steps == Steps{{-1, 0}, {0, 200}, {200, 201}, {201, 1}});
    CHECK(world.eth0().ip_table()->network == lease().network);
    CHECK(world.data_path.facts(world.eth0().slot()).network == lease().network);
}

TEST_CASE("nothing is told before the session begins") {
    World world;
    auto session = world.sessions->open(world.client, plain());
    REQUIRE(session);
    world.settle();
    CHECK((*session)->state() == State::unknown);
    CHECK(world.links.requests().empty());
}

TEST_CASE("who joins a connected interface is told CONNECTED once") {
    World world;
    Told first;
    Told second;
    world.connect(first);
    const auto before = first.steps.size();
    world.open(second);
    CHECK(second.steps == Steps{{-1, 1}});
    CHECK(first.steps.size() == before);
    CHECK(world.eth0().sessions() == 2);
}

TEST_CASE("all sessions of an interface see the same steps") {
    World world;
    Told first;
    Told second;
    world.connect(first);
    world.open(second);
    first.steps.clear();
    second.steps.clear();
    world.links.pull(world.lan0);
    world.links.plug(world.lan0);
    world.settle();
    world.dhcp->grant(lease());
    world.settle();
    const Steps expected{{1, 204}, {204, 0}, {0, 200}, {200, 201}, {201, 1}};
    CHECK(first.steps == expected);
    CHECK(second.steps == expected);
    CHECK(world.dhcp->renewals() == 1);
}

TEST_CASE("a cable that was out for too short a time to be told is reported all the same") {
    const Steps tail{{1, 204}, {204, 0}, {0, 200}, {200, 201}};
    World world;
    Told told;
    world.connect(told);
    told.steps.clear();
    world.links.flap(world.lan0);
    world.settle();
    CHECK(told.steps == tail);
    CHECK(world.dhcp->renewals() == 1);

    World other(false);
    Told observed;
    other.links.power(other.lan0, true);
    other.links.add_address(other.lan0, {Ipv4(10, 9, 9, 9), 24});
    other.open(observed);
    other.links.flap(other.lan0);
    CHECK(observed.steps == Steps{{-1, 1}, {1, 204}, {204, 1}});
}

TEST_CASE("the address leaves the table with the carrier, and stays in the kernel") {
    World world;
    Told told;
    world.connect(told);
    world.links.pull(world.lan0);
    world.settle();
    CHECK_FALSE(world.eth0().ip_table());
    CHECK_FALSE(world.data_path.facts(world.eth0().slot()).network);
    CHECK(world.links.addresses(world.lan0).size() == 1);
}

TEST_CASE("the interface is powered down when the linger after its last session is over") {
    World world;
    Told told;
    Told other;
    world.connect(told);
    auto& second = world.open(other);
    world.sessions->close(1);
    world.settle();
    CHECK(world.eth0().state() == State::connected);
    world.sessions->close(second.id());
    world.settle();
    CHECK(world.eth0().state() == State::unknown);
    CHECK(world.links.addresses(world.lan0).empty());
    CHECK_FALSE(world.links.link(world.lan0)->up);
    CHECK_FALSE(world.dhcp->running());
}

TEST_CASE("a device is set up while it is used, and then as it was found") {
    World world;
    auto found = *world.links.settings(world.lan0);
    found.arp_ignore = 8;
    world.links.set_settings(world.lan0, found);
    auto managed = found;
    managed.ipv6 = LinkSettings::Ipv6{true, 1};
    managed.arp_ignore = 2;
    managed.arp_announce = 2;
    managed.rp_filter = 2;
    Told told;
    world.connect(told);
    CHECK(world.links.settings(world.lan0) == managed);
    // Before the power: it never is up as it shall not be.
    using Kind = ports::FakeLinks::Request::Kind;
    CHECK(world.links.requests().at(0).kind == Kind::configure);
    CHECK(world.links.requests().at(1).kind == Kind::set_up);

    // Another program has its way with it: until the next attempt.
    world.links.set_settings(world.lan0, found);
    world.links.pull(world.lan0);
    world.links.plug(world.lan0);
    world.settle();
    CHECK(world.links.settings(world.lan0) == managed);

    world.sessions->close(1);
    world.settle();
    CHECK(world.links.settings(world.lan0) == found);
    CHECK(world.links.requests().back().kind == Kind::configure);
}

TEST_CASE("a lease whose address another host has is given up for another one") {
    World world;
    Told told;
    world.connect(told);
    REQUIRE(world.lan->watched());
    CHECK(world.lan->watched()->address == lease().network.address);
    CHECK(world.lan->watched()->mac == world.links.link(world.lan0)->mac);
    CHECK(world.lan->watched()->probe);
    told.steps.clear();

    // The kernel answers on another device of this host.
    const int observed = world.links.add("wlan0", "");
    world.lan->claim(world.links.link(observed)->mac);
    CHECK(told.steps.empty());

    world.lan->claim(*MacAddress::parse("525400123456"));
    world.settle();
    CHECK(told.steps == Steps{{1, 201}});
    CHECK(told.reasons.back() == "address conflict with 52:54:00:12:34:56");
    CHECK_FALSE(world.lan->watched());
    CHECK(world.links.addresses(world.lan0).empty());
    CHECK_FALSE(world.data_path.facts(world.eth0().slot()).network);
    CHECK(world.dhcp->starts().back().verify);
    CHECK(world.dhcp->starts().back().previous == lease().network.address);
    world.dhcp->grant(lease(101));
    world.settle();
    CHECK(told.steps == Steps{{1, 201}, {201, 1}});
    CHECK(world.lan->watched()->address == lease(101).network.address);
    world.lan->prove();
    world.lan->claim(*MacAddress::parse("525400123456"));
    CHECK(world.lan->announcements() == 1);
    CHECK(world.eth0().state() == State::connected);
}

TEST_CASE("a lease's MTU is the device's while it lasts") {
    World world;
    Told told;
    auto with_mtu = lease();
    with_mtu.mtu = 1400;
    world.open(told);
    world.dhcp->grant(with_mtu);
    world.settle();
    const auto mtu = [&] { return world.links.link(world.lan0)->mtu; };
    CHECK(world.eth0().state() == State::connected);
    CHECK(mtu() == 1400);

    SECTION("and no longer") {
        world.dhcp->take_away("expired");
    }
    SECTION("or than the server names it") {
        world.dhcp->grant(lease());
    }
    SECTION("or than anybody uses the interface") {
        world.sessions->close(1);
    }
    SECTION("also if its address went first") {
        world.links.remove_address(world.lan0, lease().network);
        world.settle();
        CHECK(world.eth0().state() == State::ethernet_dhcping);
        CHECK(mtu() == 1400);
        world.sessions->close(1);
    }
    SECTION("and never one that the device does not take") {
        auto link = *world.links.link(world.lan0);
        world.links.remove(world.lan0);
        ++link.ifindex;
        link.max_mtu = 1500;
        link.mtu = 1500;
        world.links.add(link);
        world.lan0 = link.ifindex;
        world.settle();
        with_mtu.mtu = 9000;
        world.dhcp->grant(with_mtu);
        world.settle();
        CHECK(world.eth0().state() == State::connected);
    }
    SECTION("and also without a cable") {
        world.links.pull(world.lan0);
        world.settle();
        CHECK(mtu() == 1400);
        return;  // the last one: those behind it would never be met
    }
    world.settle();
    CHECK(mtu() == 1500);
}

TEST_CASE("an interface that is opened again within the linger never went away") {
    World world(true, false, {}, 1h);
    Told told;
    world.connect(told);
    world.sessions->close(1);
    world.settle();
    Told again;
    world.open(again);
    CHECK(again.steps == Steps{{-1, 1}});
    CHECK(world.dhcp->starts().size() == 1);
}

TEST_CASE("an interface that is always on needs nobody") {
    World world(true, true);
    world.settle();
    world.dhcp->grant(lease());
    world.settle();
    CHECK(world.eth0().state() == State::connected);

    Told told;
    auto& session = world.open(told);
    CHECK(told.steps == Steps{{-1, 1}});
    world.sessions->close(session.id());
    world.settle();
    CHECK(world.eth0().state() == State::connected);

    SECTION("and returns to itself after somebody's own configuration") {
        Told extended;
        auto& static_session = world.open(extended, with_address());
        CHECK(extended.steps == Steps{{-1, 0}, {0, 200}, {200, 1}});
        CHECK(world.eth0().ip_table()->network.address == Ipv4(10, 77, 1, 50));
        world.sessions->close(static_session.id());
        world.settle();
        CHECK(world.eth0().state() == State::ethernet_dhcping);
    }
}

TEST_CASE(
    "an extended NIC is refused while another session is there, and a plain one may join it") {
    World world;
    Told told;
    world.connect(told);
    const auto refused = world.sessions->open(world.client, with_address());
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::in_use);
    world.sessions->close(1);
    world.settle();

    Told own;
    Told guest;
    auto& session = world.open(own, with_address());
    CHECK(own.steps == Steps{{-1, 0}, {0, 200}, {200, 1}});
    world.open(guest);
    CHECK(guest.steps == Steps{{-1, 1}});
    const auto identical = world.sessions->open(world.client, with_address());
    REQUIRE_FALSE(identical);
    CHECK(identical.error().code == ErrorCode::in_use);
    world.sessions->close(session.id());
    world.settle();
    CHECK(world.eth0().state() == State::connected);  // the guest keeps it
}

TEST_CASE("what a NIC brought along is gone with the cable") {
    World world;
    Told told;
    world.open(told, with_address());
    world.links.pull(world.lan0);
    world.settle();
    CHECK(world.links.addresses(world.lan0).empty());
    world.links.plug(world.lan0);
    world.settle();
    CHECK(world.eth0().state() == State::ethernet_dhcping);
}

TEST_CASE("a plain NIC connects with what is stored, from the next attempt on") {
    World world;
    ProxyConfig proxy{"http", "proxy.lan", 3128, "", {}};
    world.stored.static_networks[plain().nii] = *with_address().static_network;
    world.stored.proxy = proxy;
    world.interfaces->stored_changed();
    Told told;
    world.open(told);
    CHECK(told.steps == Steps{{-1, 0}, {0, 200}, {200, 1}});
    CHECK(world.eth0().ip_table()->network.address == Ipv4(10, 77, 1, 50));
    CHECK(world.eth0().ip_table()->proxy == proxy);

    world.set([](StoredConfiguration& stored) {
        stored.static_networks.clear();
        stored.proxy.reset();
    });
    CHECK(world.eth0().ip_table()->network.address == Ipv4(10, 77, 1, 50));
    CHECK(world.eth0().ip_table()->proxy == proxy);
    world.links.pull(world.lan0);
    world.links.plug(world.lan0);
    world.settle();
    CHECK(world.eth0().state() == State::ethernet_dhcping);
    world.dhcp->grant(lease());
    world.settle();
    CHECK(world.eth0().ip_table()->network == lease().network);
    CHECK_FALSE(world.eth0().ip_table()->proxy);
}

TEST_CASE("an extended NIC that is thrown away leaves what is stored, and the linger") {
    World world(true, false, {}, 1h);
    world.stored.static_networks[plain().nii] =
        StaticConfig{{Ipv4(10, 77, 1, 60), 24}, Ipv4(10, 77, 1, 1), {Ipv4(10, 77, 1, 1)}};
    world.interfaces->stored_changed();
    Told told;
    auto& session = world.open(told, with_address());
    CHECK(world.eth0().ip_table()->network.address == Ipv4(10, 77, 1, 50));
    world.links.pull(world.lan0);
    world.links.plug(world.lan0);
    world.settle();
    CHECK(world.eth0().ip_table()->network.address == Ipv4(10, 77, 1, 60));
    world.sessions->close(session.id());
    world.settle();
    CHECK(world.eth0().state() == State::connected);
}

TEST_CASE("a disabled interface is down, its sockets are closed, and its sessions wait") {
    World world;
    Told told;
    auto& session = world.open(told);
    world.dhcp->grant(lease());
    world.settle();
    SocketTold socket_told;
    auto socket = session.open_udp(1, 2001, Delivery::signal);
    REQUIRE(socket);
    (*socket)->observe(&socket_told);
    told.steps.clear();
    told.reasons.clear();

    world.enable(false);
    CHECK(told.steps == Steps{{1, 202}});
    CHECK(told.reasons == std::vector<std::string>{"disabled"});
    CHECK(socket_told.closed == std::vector<std::string>{"disabled"});
    CHECK(world.links.addresses(world.lan0).empty());
    CHECK_FALSE(world.links.link(world.lan0)->up);
    CHECK_FALSE(world.dhcp->running());
    const auto other = session.open_udp(2, 2001, Delivery::signal);
    REQUIRE_FALSE(other);
    CHECK(other.error() == Error{ErrorCode::unavailable, "eth0 is disabled"});
    const auto opened = world.sessions->open(world.client, plain());
    REQUIRE_FALSE(opened);
    CHECK(opened.error() == Error{ErrorCode::unavailable, "eth0 is disabled"});

    told.steps.clear();
    world.enable(true);
    world.dhcp->grant(lease());
    world.settle();
    CHECK(told.steps == Steps{{202, 0}, {0, 200}, {200, 201}, {201, 1}});
    CHECK(session.open_udp(3, 2001, Delivery::signal));
}

TEST_CASE("an interface that is always on is not while it is disabled") {
    World world(true, true);
    world.enable(false);
    CHECK(world.eth0().state() == State::ethernet_stopped);
    CHECK_FALSE(world.links.link(world.lan0)->up);
    world.enable(true);
    CHECK(world.eth0().state() == State::ethernet_dhcping);
}

TEST_CASE("an observed interface that is disabled is not offered, and not touched") {
    World world(false);
    Told told;
    world.links.power(world.lan0, true);
    world.links.add_address(world.lan0, {Ipv4(10, 9, 9, 9), 24});
    world.open(told);
    world.enable(false);
    world.links.pull(world.lan0);
    world.links.plug(world.lan0);
    world.links.flap(world.lan0);
    CHECK(told.steps == Steps{{-1, 1}, {1, 202}});
    CHECK_FALSE(world.data_path.facts(world.eth0().slot()).network);
    CHECK_FALSE(world.sessions->open(world.client, plain()));
    world.enable(true);
    CHECK(told.steps == Steps{{-1, 1}, {1, 202}, {202, 1}});
    CHECK(world.links.requests().empty());
}

TEST_CASE("the interface that serves is the first one that is there and enabled") {
    World world;
    world.links.add("lan1", "pci-1");
    world.settle();
    const Nii eth0{InterfaceClass::ethernet, 0};
    const Nii eth1{InterfaceClass::ethernet, 1};
    const Nii wl0{InterfaceClass::wifi, 0};
    CHECK(world.interfaces->serving() == eth0);
    world.set([&](StoredConfiguration& stored) { stored.first_choice = eth1; });
    CHECK(world.interfaces->serving() == eth1);
    world.set([&](StoredConfiguration& stored) { stored.server_order = {wl0, eth0}; });
    CHECK(world.interfaces->order() == std::vector<Nii>{wl0, eth0, eth1});
    CHECK(world.interfaces->serving() == eth0);
    world.enable(false);
    CHECK(world.interfaces->serving() == eth1);
}

TEST_CASE("an observed interface follows the kernel and asks it for nothing") {
    World world(false);
    Told told;
    world.open(told);
    CHECK(told.steps == Steps{{-1, 204}});
    world.links.power(world.lan0, true);
    world.links.add_address(world.lan0, {Ipv4(10, 9, 9, 9), 24}, Ipv4(10, 9, 9, 255));
    world.links.set_gateway(world.lan0, Ipv4(10, 9, 9, 1));
    CHECK(world.eth0().ip_table()->gateway == Ipv4(10, 9, 9, 1));
    world.links.pull(world.lan0);
    world.links.plug(world.lan0);
    world.links.remove_address(world.lan0, {Ipv4(10, 9, 9, 9), 24});
    CHECK(told.steps == Steps{{-1, 204}, {204, 200}, {200, 1}, {1, 204}, {204, 1}, {1, 200}});
    CHECK(world.links.requests().empty());

    const auto refused = world.sessions->open(world.client, with_address());
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::not_supported);
}

TEST_CASE("a removed device closes its sockets, and sessions resume when it returns") {
    World world;
    Told told;
    auto& session = world.open(told);
    world.dhcp->grant(lease());
    world.settle();
    auto socket = session.open_udp(1, 2001, Delivery::signal);
    REQUIRE(socket);
    SocketTold socket_told;
    (*socket)->observe(&socket_told);
    told.steps.clear();

    world.links.remove(world.lan0);
    world.settle();
    CHECK(told.steps == Steps{{1, 204}, {204, 202}});  // the kernel sets it down first
    CHECK(told.reasons.back() == "device removed");
    CHECK(socket_told.closed == std::vector<std::string>{"device removed"});
    CHECK_FALSE((*socket)->open());
    CHECK(session.open_udp(2, 2001, Delivery::signal).error().code == ErrorCode::unavailable);
    CHECK(world.sessions->open(world.client, plain()).error().code == ErrorCode::unavailable);

    world.links.add("lan0", "");
    world.settle();
    CHECK(told.steps == Steps{{1, 204}, {204, 202}, {202, 0}, {0, 200}, {200, 201}});
    CHECK(session.open_udp(3, 2001, Delivery::signal));
}

TEST_CASE("an interface without a device and without users disappears") {
    World world;
    world.links.remove(world.lan0);
    world.settle();
    CHECK(world.interfaces->all().empty());
    CHECK(world.interfaces->find("eth0").error().code == ErrorCode::unavailable);
    CHECK(world.interfaces->find("eth7").error().code == ErrorCode::no_such_interface);
    CHECK(world.interfaces->find("wl0").error().code == ErrorCode::not_supported);
    CHECK(world.interfaces->find("lan0").error().code == ErrorCode::no_such_interface);
}

TEST_CASE("a device that waited for an identifier gets it when it is free") {
    World world;
    world.links.rename(world.lan0, "house");
    const int second = world.links.add("lan0", "");
    world.settle();
    auto* eth0 = *world.interfaces->find("eth0");
    CHECK(eth0->link()->ifindex == world.lan0);  // it keeps what it has, by whatever name
    world.links.remove(world.lan0);
    world.settle();
    REQUIRE(world.interfaces->find("eth0"));
    CHECK((*world.interfaces->find("eth0"))->link()->ifindex == second);
    CHECK(world.interfaces->all().size() == 1);
}

TEST_CASE("a device that gets its name from udev is the one that a rule means by it") {
    World world;
    world.links.remove(world.lan0);
    world.settle();
    const int card = world.links.add("eth0", "usb-1-1:1.0");
    world.settle();
    REQUIRE((*world.interfaces->find("eth1"))->link()->ifindex == card);
    CHECK_FALSE((*world.interfaces->find("eth1"))->managed());
    world.links.rename(card, "lan0");
    world.settle();
    CHECK(world.eth0().link()->ifindex == card);
    CHECK(world.eth0().managed());
    // The name that it had for a moment is free.
    CHECK(world.interfaces->find("eth1").error().code == ErrorCode::no_such_interface);
    world.links.add("enp7s0", "usb-1-2:1.0");
    world.settle();
    CHECK(world.interfaces->find("eth1"));
}

TEST_CASE("an interface in use keeps its device, whatever that is called") {
    World world;
    world.links.remove(world.lan0);
    world.settle();
    const int card = world.links.add("eth0", "usb-1-1:1.0");
    world.settle();
    Told told;
    world.open(told, plain("eth1"));
    world.links.rename(card, "lan0");
    world.settle();
    CHECK((*world.interfaces->find("eth1"))->link()->ifindex == card);
    CHECK(told.steps.size() == 1);
}

TEST_CASE("what nobody has open becomes managed or observed at once, and else stays") {
    const Nii eth0{InterfaceClass::ethernet, 0};
    World world(false);
    auto rule = world.interfaces->set_rules({world.rule});
    REQUIRE(rule == std::vector{world.rule});
    auto managed = world.rule;
    managed.managed = true;
    CHECK(world.interfaces->set_rules({managed}) == std::vector{managed});
    world.settle();
    CHECK(world.eth0().managed());
    CHECK(world.links.requests().empty());  // nobody has opened it

    Told told;
    world.connect(told);
    CHECK(world.interfaces->set_rules({world.rule}) == std::vector{managed});
    CHECK(world.interfaces->set_rules({}) == std::vector{managed});
    world.settle();
    CHECK(world.eth0().state() == State::connected);
    CHECK(told.steps.back() == Step{201, 1});

    // It lingers for nobody: it is powered down, and then it is as we find it.
    world.interfaces->set_timeouts({.linger = 1h});
    world.sessions->close(1);
    CHECK(world.eth0().state() == State::connected);
    CHECK(world.interfaces->set_rules({world.rule}) == std::vector{world.rule});
    world.settle();
    CHECK_FALSE(world.eth0().managed());
    CHECK(world.eth0().state() == State::ethernet_stopped_no_link);
    CHECK(world.links.addresses(world.lan0).empty());
    CHECK_FALSE(world.links.link(world.lan0)->up);
    CHECK(world.interfaces->may_be_configured(eth0).error().code == ErrorCode::not_supported);
}

TEST_CASE("other rules give devices other identifiers while nobody uses one of them") {
    World world;
    const int lan1 = world.links.add("lan1", "");
    world.settle();
    InterfaceRule second = world.rule;
    second.nii.number = 1;
    second.device = "lan1";
    const auto device_of = [&](const char* nii) {
        return (*world.interfaces->find(nii))->link()->ifindex;
    };
    CHECK(world.interfaces->set_rules({world.rule, second}) == std::vector{world.rule, second});
    CHECK(device_of("eth1") == lan1);

    auto first_swapped = world.rule;
    auto second_swapped = second;
    std::swap(first_swapped.device, second_swapped.device);
    Told told;
    auto& session = world.open(told, plain("eth1"));
    // All or none: eth0 is free, but it would get eth1's.
    second_swapped.always_on = true;
    auto kept = second;
    kept.always_on = true;
    CHECK(world.interfaces->set_rules({first_swapped, second_swapped}) ==
          std::vector{world.rule, kept});
    CHECK(device_of("eth0") == world.lan0);
    CHECK(device_of("eth1") == lan1);

    world.sessions->close(session.id());
    CHECK(world.interfaces->set_rules({first_swapped, second_swapped}) ==
          std::vector{first_swapped, second_swapped});
    world.settle();
    CHECK(device_of("eth0") == lan1);
    CHECK(device_of("eth1") == world.lan0);
    // The echo of the power-down is not taken for another program's: it is on, and stays so.
    CHECK((*world.interfaces->find("eth1"))->state() == State::ethernet_dhcping);

    // Without a rule there is no virtual device.
    CHECK(world.interfaces->set_rules({first_swapped}) == std::vector{first_swapped});
    world.settle();
    CHECK(world.interfaces->find("eth1").error().code == ErrorCode::no_such_interface);
    CHECK_FALSE(world.links.link(world.lan0)->up);
}

TEST_CASE("a device that is still being powered down is nobody's until it is") {
    World world;
    Told told;
    world.open(told, with_address());
    world.sessions->close(1);
    REQUIRE(world.eth0().state() == State::unknown);
    REQUIRE(world.links.link(world.lan0)->up);  // the echo is still to come
    InterfacesTold interfaces_told;
    world.interfaces->observe(&interfaces_told);
    auto second = world.rule;
    second.nii.number = 1;
    second.always_on = true;
    world.interfaces->set_rules({second});
    world.settle();
    CHECK(interfaces_told.steps == Steps{{-1, 0}, {0, 200}, {200, 201}});
    CHECK(world.links.link(world.lan0)->up);
    world.interfaces->observe(nullptr);
}

TEST_CASE("an idle device that somebody else has powered is left on when it changes hands") {
    World world;
    world.links.power(world.lan0, true);
    auto observed = world.rule;
    observed.managed = false;
    world.interfaces->set_rules({observed});
    world.settle();
    CHECK(world.eth0().state() == State::ethernet_link_up);
    CHECK(world.links.requests().empty());
}

TEST_CASE("a rule that means the device that an interface in use has is no reason to wait") {
    World world;
    const int card = world.links.add("enp3s0", "pci-1");
    const int lan1 = world.links.add("lan1", "");
    world.settle();
    Told told;
    world.open(told, plain("eth1"));
    auto named = world.rule;
    named.nii.number = 1;
    named.device = "enp3s0";
    named.managed = false;
    auto other = world.rule;
    other.nii.number = 2;
    other.device = "lan1";
    const std::vector rules{world.rule, named, other};
    CHECK(world.interfaces->set_rules(rules) == rules);
    CHECK((*world.interfaces->find("eth1"))->link()->ifindex == card);
    CHECK((*world.interfaces->find("eth1"))->sessions() == 1);
    REQUIRE(world.interfaces->find("eth2"));
    CHECK((*world.interfaces->find("eth2"))->link()->ifindex == lan1);

    // While it is away nobody knows which device would be meant.
    world.links.remove(card);
    world.settle();
    auto by_path = named;
    by_path.device.reset();
    by_path.path = "pci-1";
    CHECK(world.interfaces->set_rules({world.rule, by_path, other}) == rules);
}

TEST_CASE("an interface that was renamed stays what it is under other rules for others") {
    World world;
    world.links.rename(world.lan0, "house");
    const int lan1 = world.links.add("lan1", "");
    world.settle();
    auto always_on = world.rule;
    always_on.always_on = true;
    world.interfaces->set_rules({always_on});
    world.settle();
    CHECK(world.eth0().link()->ifindex == world.lan0);
    CHECK(world.eth0().state() == State::ethernet_dhcping);
    CHECK(world.links.link(lan1));
}

TEST_CASE("an interface is always on from one moment to the next, and not any more") {
    World world;
    auto always_on = world.rule;
    always_on.always_on = true;
    world.interfaces->set_rules({always_on});
    world.settle();
    world.dhcp->grant(lease());
    world.settle();
    CHECK(world.eth0().state() == State::connected);
    CHECK(world.eth0().sessions() == 0);

    // Who has it open holds it then; after that the linger does, which is none here.
    Told told;
    auto& session = world.open(told);
    world.interfaces->set_rules({world.rule});
    world.settle();
    CHECK(world.eth0().state() == State::connected);
    world.interfaces->set_rules({always_on});
    world.sessions->close(session.id());
    world.settle();
    CHECK(world.eth0().state() == State::connected);
    world.interfaces->set_rules({world.rule});
    while (world.eth0().state() != State::unknown) uv_run(world.loop.raw(), UV_RUN_ONCE);
    CHECK_FALSE(world.links.link(world.lan0)->up);
}

TEST_CASE("IPv6 is given back, or taken, when the configuration says so") {
    World world;
    auto kernel_ipv6 = world.rule;
    kernel_ipv6.kernel_ipv6 = true;
    Told told;
    world.connect(told);
    const auto disabled = [&] { return world.links.settings(world.lan0)->ipv6->disabled; };
    CHECK(disabled());
    world.interfaces->set_rules({kernel_ipv6});
    world.settle();
    CHECK_FALSE(disabled());
    CHECK(world.links.settings(world.lan0)->arp_ignore == 1);  // that is no matter of IPv6
    world.interfaces->set_rules({world.rule});
    world.settle();
    CHECK(disabled());
    CHECK(world.eth0().state() == State::connected);

    // What another program did is left until the next attempt, whatever else is read again.
    auto changed = *world.links.settings(world.lan0);
    changed.ipv6->disabled = false;
    world.links.set_settings(world.lan0, changed);
    auto always_on = world.rule;
    always_on.always_on = true;
    world.interfaces->set_timeouts({.linger = 1h});
    world.interfaces->set_rules({always_on});
    world.settle();
    CHECK(world.links.settings(world.lan0) == changed);
}

TEST_CASE("a session's end closes its sockets and nobody else's") {
    World world;
    Told told;
    Told other;
    world.connect(told);
    auto& second = world.open(other);
    REQUIRE(second.open_udp(1, 2001, Delivery::signal));
    auto& third = world.open(told);
    REQUIRE(third.open_udp(2, 2002, Delivery::signal));
    const auto slot = world.eth0().slot();
    CHECK(world.data_path.open_ports(slot) == std::vector<std::uint16_t>{2001, 2002});
    world.sessions->close(second.id());
    CHECK(world.data_path.open_ports(slot) == std::vector<std::uint16_t>{2002});
}

TEST_CASE("sessions and sockets are limited for each user, exactly") {
    World world(true, false, {3, 5});
    std::vector<Told> told(3);
    for (auto& one : told) world.open(one);
    CHECK(world.sessions->open(world.client, plain()).error().code == ErrorCode::limit_exceeded);
    Client other;
    other.uid = 0;
    const auto foreign = world.sessions->open(other, plain());
    REQUIRE(foreign);

    auto first = world.sessions->open(other, plain());
    std::vector<SessionSocket*> sockets;
    for (std::uint64_t id = 1; id <= 5; ++id) {
        auto socket = (*first)->open_udp(id, 0, Delivery::signal);
        REQUIRE(socket);
        sockets.push_back(*socket);
    }
    CHECK((*foreign)->open_udp(6, 0, Delivery::signal).error().code == ErrorCode::limit_exceeded);
    sockets.front()->close("");
    CHECK((*foreign)->open_udp(7, 0, Delivery::signal));

    world.sessions->close(1);
    CHECK(world.sessions->open(world.client, plain()));
}

TEST_CASE("a socket that is closed stays closed, and says so") {
    World world;
    Told told;
    auto& session = world.open(told);
    world.dhcp->grant(lease());
    world.settle();
    auto* socket = *session.open_udp(1, 2001, Delivery::signal);
    SocketTold socket_told;
    socket->observe(&socket_told);
    CHECK(socket->send("10.77.1.1", 2001, {1}) == SendResult::sent);

    SECTION("closed by its owner, nobody is told") {
        socket->close("");
        socket->close("");
        world.settle();
        CHECK(socket_told.closed.empty());
        CHECK(socket->counters().sent == 1);
    }
    SECTION("closed for an address that is none") {
        CHECK(socket->send("10.77.1", 2001, {1}).error().code == ErrorCode::address_not_allowed);
        CHECK(socket_told.closed.empty());  // the answer comes first
        world.settle();
        CHECK(socket_told.closed.size() == 1);
    }
    SECTION("closed for an address that is not allowed") {
        CHECK(socket->send("8.8.8.8", 2001, {1}).error().code == ErrorCode::address_not_allowed);
        world.settle();
        CHECK(socket_told.closed.size() == 1);
    }
    CHECK(socket->send("10.77.1.1", 2001, {1}).error().code == ErrorCode::socket_closed);
    std::optional<ErrorCode> refused;
    socket->acquire([&](const Result<UniqueFd>& fd) { refused = fd.error().code; });
    CHECK(refused == ErrorCode::socket_closed);
    CHECK(world.data_path.open_ports(world.eth0().slot()).empty());
}

TEST_CASE("a session that opens and closes sockets for ever holds on to a few of them only") {
    World world;
    Told told;
    auto& session = world.open(told);
    for (std::uint64_t id = 1; id <= 1000; ++id) {
        auto socket = session.open_udp(id, 2001, Delivery::signal);
        REQUIRE(socket);
        (*socket)->close("");
        world.settle();
    }
    CHECK(session.sockets().size() == Session::closed_sockets_kept);
}

TEST_CASE("a session and its open sockets can be written down") {
    World world;
    Told told;
    auto& session = world.open(told);
    REQUIRE(session.open_udp(1, 2001, Delivery::descriptor));
    (*session.open_udp(2, 2002, Delivery::signal))->close("");
    const auto& record = session.record();
    CHECK(record.client.uid == 1000);
    CHECK(record.sockets == std::vector<SocketRecord>{{1, 2001, Delivery::descriptor}});
    CHECK(read_session_record(write_record(record)) == record);
}

TEST_CASE("an answer of the kernel that a newer question has overtaken does not count") {
    World world;
    Told told;
    world.connect(told);
    told.steps.clear();
    // Renewed, pulled, plugged: the answer to the renewal's address comes after all of it.
    world.dhcp->grant(lease());
    world.links.pull(world.lan0);
    world.links.plug(world.lan0);
    world.settle();
    CHECK(told.steps == Steps{{1, 204}, {204, 0}, {0, 200}, {200, 201}});
    world.dhcp->grant(lease());
    world.settle();
    CHECK(told.steps.back() == Step{201, 1});
}

// --- The policy ---------------------------------------------------------------------------------

namespace {

PolicyRule denying(const std::string& name) {
    PolicyRule rule;
    rule.name = name;
    rule.place = "10.toml:1";
    return rule;
}

/// Who is allowed by `allowing(1000)`, and these rules.
Policy with_rules(std::vector<PolicyRule> rules) {
    auto policy = allowing(1000);
    policy.rules = std::move(rules);
    return policy;
}

struct SessionsTold final : Sessions::Observer {
    std::vector<std::uint64_t> revoked;
    unsigned policies = 0;

    void session_abandoned(Session&) override { FAIL("abandoned"); }
    void session_revoked(Session& session) override { revoked.push_back(session.id()); }
    void policy_changed() override { ++policies; }
};

}  // namespace

TEST_CASE("the policy is asked before a session and before a socket is opened", "[policy]") {
    auto elsewhere = denying("no-eth0");
    elsewhere.users = {0};
    auto port = denying("no-port");
    port.ports = {{2001, 2001}};
    World world(true, false, {}, 0ms, with_rules({elsewhere, port}));
    Told told;
    auto& session = world.open(told);
    const auto denied = session.open_udp(1, 2001, Delivery::signal);
    REQUIRE_FALSE(denied);
    CHECK(denied.error() ==
          Error{ErrorCode::not_authorized, "not allowed by the rule no-port: denied at 10.toml:1"});
    CHECK(session.open_udp(2, 2002, Delivery::signal));
    CHECK(world.data_path.open_ports(world.eth0().slot()) == std::vector<std::uint16_t>{2002});

    const auto root = world.sessions->open(Client{}, plain());
    REQUIRE_FALSE(root);
    CHECK(root.error() ==
          Error{ErrorCode::not_authorized, "not allowed by the rule no-eth0: denied at 10.toml:1"});
    Client stranger;
    stranger.uid = 1001;
    CHECK(world.sessions->open(stranger, plain()).error().code == ErrorCode::not_authorized);
    // Whom no policy lets in learns nothing of what there is.
    CHECK(world.sessions->open(stranger, plain("eth7")).error().code == ErrorCode::not_authorized);
    CHECK(world.sessions->find_orphan("token", stranger).error().code == ErrorCode::not_authorized);
}

TEST_CASE("another policy closes sockets that it does not allow, and the rest follow it",
          "[policy]") {
    World world;
    SessionsTold sessions_told;
    world.sessions->observe(&sessions_told);
    Told told;
    world.connect(told);
    auto& session = **world.sessions->open(world.client, plain());
    auto* revoked = *session.open_udp(1, 2001, Delivery::signal);
    auto* narrowed = *session.open_udp(2, 2002, Delivery::signal);
    SocketTold revoked_told;
    SocketTold narrowed_told;
    revoked->observe(&revoked_told);
    narrowed->observe(&narrowed_told);
    auto port = denying("no-port");
    port.ports = {{2001, 2001}};
    auto printers = denying("no-printers");
    printers.destination_ports = {{9100, 9100}};
    world.sessions->set_policy(with_rules({port, printers}));
    CHECK(sessions_told.policies == 1);
    CHECK(sessions_told.revoked.empty());
    CHECK(revoked_told.closed ==
          std::vector<std::string>{"not allowed by the rule no-port: denied at 10.toml:1"});
    CHECK(world.data_path.open_ports(world.eth0().slot()) == std::vector<std::uint16_t>{2002});
    CHECK(revoked->send("10.77.1.1", 9101, {}).error().code == ErrorCode::socket_closed);
    CHECK(narrowed->send("10.77.1.1", 9101, {}) == SendResult::sent);
    CHECK(narrowed->send("10.77.1.1", 9100, {}).error().code == ErrorCode::address_not_allowed);
    world.settle();
    REQUIRE(narrowed_told.closed.size() == 1);
    CHECK(narrowed_told.closed.front().find("no-printers") != std::string::npos);
}

TEST_CASE("another policy ends sessions that it does not allow, and says so", "[policy]") {
    World world;
    SessionsTold sessions_told;
    world.sessions->observe(&sessions_told);
    Told told;
    Told other;
    world.connect(told);
    auto& session = **world.sessions->open(Client{}, plain());  // root's
    session.begin(":1.8", other);
    world.settle();
    other.steps.clear();
    auto* socket = *session.open_udp(1, 2001, Delivery::signal);
    SocketTold socket_told;
    socket->observe(&socket_told);
    const auto id = session.id();
    auto rule = denying("no-root");
    rule.users = {0};
    world.sessions->set_policy(with_rules({rule}));
    const std::string reason = "not allowed by the rule no-root: denied at 10.toml:1";
    CHECK(sessions_told.revoked == std::vector{id});
    CHECK(socket_told.closed == std::vector{reason});
    CHECK(other.steps == Steps{{1, -1}});
    CHECK(other.reasons.back() == reason);
    CHECK(world.sessions->all().size() == 1);
    CHECK(world.eth0().sessions() == 1);
    CHECK(world.data_path.open_ports(world.eth0().slot()).empty());
}

TEST_CASE("further networks are in force with their policy", "[policy]") {
    World world(false);
    world.links.power(world.lan0, true);
    world.links.add_address(world.lan0, {Ipv4(100, 64, 1, 7), 24});
    Told told;
    auto& session = world.open(told);
    auto* first = *session.open_udp(1, 2001, Delivery::signal);
    CHECK(first->send("100.64.1.9", 3000, {}).error().code == ErrorCode::address_not_allowed);
    auto policy = allowing(1000);
    policy.widen.networks = {{Ipv4(100, 64, 0, 0), 10}};
    world.sessions->set_policy(policy);
    world.settle();
    auto* second = *session.open_udp(2, 2001, Delivery::signal);
    CHECK(second->send("100.64.1.9", 3000, {}) == SendResult::sent);
    world.sessions->set_policy(allowing(1000));
    CHECK(second->send("100.64.1.9", 3000, {}).error().code == ErrorCode::address_not_allowed);
}

TEST_CASE("what clients' open sockets did is summed up by client", "[policy]") {
    World world;
    Told told;
    world.connect(told);
    auto& one = **world.sessions->open(world.client, plain());
    auto& another = **world.sessions->open(world.client, plain());
    auto& of_root = **world.sessions->open(Client{}, plain());
    CHECK(world.sessions->usage().empty());
    for (std::uint64_t id = 1; id <= 2; ++id) {
        auto* socket = *one.open_udp(id, 0, Delivery::signal);
        for (std::uint64_t i = 0; i < id; ++i)
            CHECK(socket->send("10.77.1.1", 3000, {}) == SendResult::sent);
    }
    auto* last = *another.open_udp(3, 0, Delivery::signal);
    CHECK(world.sessions->usage().at("uid:1000").share == 25.0);
    CHECK(of_root.open_udp(4, 0, Delivery::signal));
    while (last->send("10.77.1.1", 3000, {}) == SendResult::sent) continue;
    const auto usage = world.sessions->usage();
    REQUIRE(usage.size() == 2);
    CHECK(usage.at("uid:1000").sockets == 3);
    CHECK(usage.at("uid:1000").sent == 99);  // one is held back for root, who is quiet
    CHECK(usage.at("uid:1000").limited == 1);
    CHECK(usage.at("uid:1000").share == 12.5);
    CHECK(usage.at("uid:0").sockets == 1);
    CHECK(usage.at("uid:0").sent == 0);
}
