// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a device is like while impnetd manages it, besides its address: without IPv6, and with ARP
// that two devices on one LAN don't confuse. And that it is as it was found when nobody uses it.
#include <algorithm>
#include <array>
#include <csignal>
#include <functional>
#include <set>
#include <string>

#include <catch2/catch.hpp>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <sys/socket.h>

#include "lab/device_settings.hpp"
#include "lab/lab.hpp"
#include "lab/owner.hpp"
#include "lab/program.hpp"
#include "lab/router.hpp"

using namespace std::chrono_literals;
using impnet::State;

namespace {

constexpr auto soon = 5s;
constexpr auto while_nothing = 300ms;

std::string shell(const lab::Namespace& where, const std::string& command) {
    return where.run({"sh", "-c", command});
}

/// "fe80::…/64 2001:…/64 ", and " default" if there is such a route.
std::string ipv6_of(const lab::Namespace& host, const std::string& device = "lan0") {
    return shell(host, "ip -6 -o address show dev " + device +
                           " | while read n d f a rest; do printf '%s ' $a; done; "
                           "ip -6 route show default dev " +
                           device + " | cut -c1-8");
}

std::string settings_of(const lab::Namespace& host, const std::string& device = "lan0") {
    return lab::settings_of(host, device);
}

bool eventually(lab::NetlinkCapture& pace, const std::function<bool()>& predicate) {
    return lab::eventually(lab::Deadline(soon), {pace.fd()}, predicate, [&] { pace.clear(); });
}

std::size_t ipv6_addresses_made(lab::NetlinkCapture& capture, int ifindex) {
    const auto& changes = capture.changes();
    return static_cast<std::size_t>(
        std::count_if(changes.begin(), changes.end(), [&](const auto& change) {
            return change.type == RTM_NEWADDR && change.family == AF_INET6 &&
                   change.ifindex == ifindex;
        }));
}

/// A host with two cables to one LAN.
struct TwoOnOneLan {
    lab::Namespace host{"host"};
    lab::Namespace far{"far"};
    lab::Cable cable0{host, "lan0", far, "srv0"};
    lab::Cable cable1{host, "lan1", far, "srv1"};
    lab::Bus bus;

    TwoOnOneLan() {
        shell(far,
              "ip link add br0 type bridge && ip link set srv0 master br0 && "
              "ip link set srv1 master br0 && ip link set br0 up");
    }
};

/// Who said on this wire that it has an address, asking or answering.
std::set<std::string> arp_senders(lab::Capture& wire) {
    std::set<std::string> out;
    for (const auto& packet : wire.packets())
        if (packet.protocol == ETHERTYPE_ARP && !packet.outgoing) out.insert(packet.from);
    out.erase("0.0.0.0");
    return out;
}

/// A host whose device has been up for a while, by itself, beside a router.
struct WithRouter {
    lab::Lan lan;
    lab::DhcpServer dhcp{lan.server, "srv0", lab::DhcpServer::Options::only("10.77.1.100")};
    lab::Router router{lan.server, "srv0"};
    int lan0 = lan.host.ifindex("lan0");
    std::string found = settings_of(lan.host);

    void get_ipv6() const {
        lab::NetlinkCapture pace(lan.host);
        lan.host.set_up("lan0");
        REQUIRE(eventually(pace, [&] {
            router.advertise();  // not heard before the device is ready
            const auto now = ipv6_of(lan.host);
            return now.find("fe80:") != std::string::npos &&
                   now.find("2001:db8:5:") != std::string::npos &&
                   now.find("default") != std::string::npos;
        }));
    }
};

}  // namespace

TEST_CASE("a managed interface has no IPv6 while it is used, and then again what it had",
          "[managed]") {
    WithRouter there;
    auto& lan = there.lan;
    const auto& found = there.found;
    there.get_ipv6();
    lab::Daemon daemon(lan.host, lan.bus, lan.managed("[timeouts]\nlinger = 0\n"));
    CHECK_FALSE(ipv6_of(lan.host).empty());  // nobody has opened it

    lab::NetlinkCapture made(lan.host);
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.connects(diary));
    CHECK(ipv6_of(lan.host).empty());
    there.router.advertise();
    program.idle(while_nothing);

    diary.clear();
    lan.cable.pull();
    REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_stopped_no_link); }));
    lan.cable.plug();
    REQUIRE(program.connects(diary));
    diary.clear();
    lan.host.set_up("lan0", false);
    REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_stopped_no_link); }));
    lan.host.set_up("lan0");
    there.router.advertise();
    REQUIRE(program.connects(diary));
    there.router.advertise();
    program.idle(while_nothing);
    CHECK(ipv6_of(lan.host).empty());

    // A new device in its place is new to everybody.
    diary.clear();
    lan.cable.remove();
    REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_stopped); }));
    lan.cable.restore();
    there.dhcp.start();
    REQUIRE(program.connects(diary));
    CHECK(ipv6_of(lan.host).empty());
    CHECK(ipv6_addresses_made(made, there.lan0) == 0);
    CHECK(ipv6_addresses_made(made, lan.host.ifindex("lan0")) == 0);

    eth0.close();
    lab::NetlinkCapture pace(lan.host);
    REQUIRE(eventually(pace, [&] { return settings_of(lan.host) == found; }));
    CHECK_FALSE(lan.host.is_up("lan0"));
    CHECK(ipv6_addresses_made(made, lan.host.ifindex("lan0")) == 0);
    there.get_ipv6();
}

TEST_CASE("IPv6 is the kernel's affair where the configuration says so", "[managed]") {
    WithRouter there;
    auto& lan = there.lan;
    lab::Daemon daemon(lan.host, lan.bus,
                       "[interfaces.eth0]\ndevice = \"lan0\"\nmanaged = true\nipv6 = \"kernel\"\n");
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    there.get_ipv6();
}

TEST_CASE("an observed interface keeps its IPv6 and its ARP", "[managed]") {
    WithRouter there;
    auto& lan = there.lan;
    there.get_ipv6();
    lan.host.run({"ip", "address", "add", "10.77.1.30/24", "dev", "lan0"});
    const auto before = ipv6_of(lan.host);
    lab::Daemon daemon(lan.host, lan.bus, lan.observed());
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    CHECK(ipv6_of(lan.host) == before);
    CHECK(settings_of(lan.host) == there.found);
}

TEST_CASE("a daemon that takes over knows how its device was found", "[managed][restart]") {
    lab::Running running("[timeouts]\nlinger = 0\n");
    auto& host = running.lan.host;
    const auto managed = settings_of(host);
    CHECK(managed == "1\n1\n2\n2\n1500\naddrgenmode none\n");
    running.service.crash(SIGKILL);
    running.owner.resume();
    REQUIRE(running.owner.reaches(1));
    CHECK(settings_of(host) == managed);
    running.owner.raw.object(running.owner.session)
        ->callMethod("Close")
        .onInterface("org.impnet1.Session");
    lab::NetlinkCapture pace(host);
    CHECK(eventually(pace,
                     [&] { return settings_of(host) == "0\n0\n0\n0\n1500\naddrgenmode eui64\n"; }));
}

TEST_CASE("a service that stops for good puts back what it changed, if it shall", "[managed]") {
    WithRouter there;
    auto& lan = there.lan;
    lab::Daemon daemon(
        lan.host, lan.bus,
        "[interfaces.eth0]\ndevice = \"lan0\"\nmanaged = true\non-stop = \"down\"\n");
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    CHECK(settings_of(lan.host) != there.found);
    CHECK(daemon.stop() == 0);
    CHECK(settings_of(lan.host) == there.found);
}

TEST_CASE("two managed interfaces on one LAN are not taken for each other", "[managed]") {
    TwoOnOneLan there;
    auto& host = there.host;
    // As many hosts have it, and it would keep what arrives at one of the two from it.
    shell(host, "echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter");
    lab::DhcpServer dhcp(there.far, "br0");
    lab::Daemon daemon(host, there.bus,
                       "[interfaces.eth0]\ndevice = \"lan0\"\nmanaged = true\n"
                       "[interfaces.eth1]\ndevice = \"lan1\"\nmanaged = true\n");
    lab::Program program(there.bus);
    struct One {
        std::string device;
        lab::Capture wire;
        lab::Diary diary{};
        impnet::Interface interface {};
        lab::Mailbox mailbox{};
        impnet::UdpSocket socket{};
        std::string address{};
    };
    std::array<One, 2> both{One{"lan0", {there.far, "srv0"}}, One{"lan1", {there.far, "srv1"}}};
    for (auto& one : both) {
        one.interface = program.open("eth" + one.device.substr(3), one.diary);
        REQUIRE(program.until(soon, [&] { return one.diary.is(State::connected); }));
        one.address = one.interface.ip_table()->address->text();
        one.socket = *one.interface.open_udp(2001, one.mailbox.callback());
    }
    REQUIRE(both[0].address != both[1].address);
    lab::Peer peer(there.far, 3000, "br0");
    // The first sends put the sockets in force.
    for (auto& one : both)
        REQUIRE(one.socket.send(impnet::Ipv4(10, 77, 1, 1), 3000, lab::view({1})));
    for (int i = 0; i < 2; ++i) REQUIRE(peer.receive(lab::Deadline(soon)));

    // Both sides have to ask again who is where.
    shell(there.far, "ip neighbour flush dev br0");
    shell(host, "ip neighbour flush dev lan0; ip neighbour flush dev lan1");
    for (auto& one : both) one.wire.clear();
    for (auto& one : both) {
        INFO(one.device);
        peer.send(one.address, 2001, {2});
        REQUIRE(program.until(soon, [&] { return one.mailbox.size() == 1; }));
        CHECK(one.mailbox.arrived()[0].to == one.address);
        REQUIRE(one.socket.send(impnet::Ipv4(10, 77, 1, 1), 3000, lab::view({3})));
        const auto back = peer.receive(lab::Deadline(soon));
        REQUIRE(back);
        CHECK(back->from == one.address);
        CHECK_THAT(there.far.run({"ip", "neighbour", "show", one.address}),
                   Catch::Contains(host.mac(one.device)));
    }
    for (auto& one : both) {
        INFO(one.device);
        CHECK(one.mailbox.size() == 1);
        CHECK(arp_senders(one.wire) == std::set<std::string>{one.address});
    }
}

namespace {

/// What the device may carry, and what goes where.
std::string mtu_of(const lab::Namespace& host) {
    return shell(host, "cat /sys/class/net/lan0/mtu");
}

lab::DhcpServer::Options with_mtu(const std::string& mtu) {
    auto options = lab::DhcpServer::Options::only("10.77.1.100");
    options.more = {"--dhcp-option=option:mtu," + mtu};
    return options;
}

}  // namespace

TEST_CASE("a lease's MTU is the device's while it lasts, and IPv6 stays off", "[managed]") {
    lab::Lan lan;
    const auto found = settings_of(lan.host);
    lab::DhcpServer dhcp(lan.server, "srv0", with_mtu("600"));
    lab::Daemon daemon(lan.host, lan.bus, lan.managed("[timeouts]\nlinger = 0\n"));
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.connects(diary));
    CHECK(mtu_of(lan.host) == "600\n");

    // The server names another one, and then none.
    const auto renewed = [&](const lab::DhcpServer::Options& options, const std::string& mtu) {
        dhcp.start(options, lab::DhcpServer::Leases::keep);
        diary.clear();
        lan.cable.pull();
        REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_stopped_no_link); }));
        CHECK(mtu_of(lan.host) != mtu);
        lan.cable.plug();
        REQUIRE(program.connects(diary));
        CHECK(mtu_of(lan.host) == mtu);
    };
    renewed(with_mtu("1400"), "1400\n");
    CHECK(ipv6_of(lan.host).empty());
    renewed(lab::DhcpServer::Options::only("10.77.1.100"), "1500\n");
    renewed(with_mtu("600"), "600\n");

    lab::NetlinkCapture pace(lan.host);
    eth0.close();
    REQUIRE(eventually(
        pace, [&] { return mtu_of(lan.host) == "1500\n" && settings_of(lan.host) == found; }));
}

TEST_CASE("a daemon that takes over knows which MTU its device had", "[managed][restart]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0", with_mtu("1400"));
    lab::Service service(lan.host, lan.bus, lan.managed("[timeouts]\nlinger = 0\n"));
    lab::Owner owner(lan);
    owner.open();
    REQUIRE(owner.reaches(1));
    owner.steps.clear();
    service.crash(SIGKILL);
    owner.resume();
    REQUIRE(owner.reaches(1));
    CHECK(mtu_of(lan.host) == "1400\n");
    lab::NetlinkCapture pace(lan.host);
    owner.raw.object(owner.session)->callMethod("Close").onInterface("org.impnet1.Session");
    CHECK(eventually(pace, [&] { return mtu_of(lan.host) == "1500\n"; }));
}

TEST_CASE("a server's routes are noted once, and not taken", "[managed]") {
    lab::Lan lan;
    auto options = lab::DhcpServer::Options::only("10.77.1.100");
    options.more = {"--dhcp-option=121,10.0.0.0/8,10.77.1.254,0.0.0.0/0,10.77.1.1"};
    lab::DhcpServer dhcp(lan.server, "srv0", options);
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    const auto renew = [&] {
        diary.clear();
        lan.cable.pull();
        REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_stopped_no_link); }));
        lan.cable.plug();
        REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    };
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    renew();
    const std::string noted =
        " lease_routes interface=eth0 routes=\"10.0.0.0/8 via 10.77.1.254, 0.0.0.0/0 via "
        "10.77.1.1\"";
    const auto log = daemon.log();
    CHECK(log.find(noted) != std::string::npos);
    CHECK(log.find(" lease_routes ") == log.rfind(" lease_routes "));
    CHECK(lan.host.run({"ip", "route", "show"}).substr(0, 26) == "10.77.1.0/24 dev lan0 prot");
    CHECK(lan.host.run({"ip", "route", "show", "default"}).empty());
    CHECK(lan.host.run({"ip", "route", "show", "10.0.0.0/8"}).empty());

    options.more = {"--dhcp-option=121,10.0.0.0/8,10.77.1.253"};
    dhcp.start(options, lab::DhcpServer::Leases::keep);
    renew();
    CHECK_THAT(
        daemon.log(),
        Catch::Contains(" lease_routes interface=eth0 routes=\"10.0.0.0/8 via 10.77.1.253\""));
}
