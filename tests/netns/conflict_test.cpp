// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Another host has our address: when we come, or later, or it only says so. With real owners, a
// real DHCP server and what is on the wire.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <net/ethernet.h>

#include "addressing/conflict_watch.hpp"
#include "lab/lab.hpp"
#include "lab/loop_wait.hpp"
#include "lab/neighbour.hpp"
#include "lab/owner.hpp"
#include "lab/program.hpp"
#include "lab/static_nic.hpp"
#include "loop/loop.hpp"
#include "ports/conflict_cases.hpp"

using namespace std::chrono_literals;
using impnet::State;
using lab::Steps;

namespace {

constexpr auto soon = 5s;

/// The real port on a cable with another host at its end.
class RealScene final : public ports::ConflictScene {
  public:
    RealScene() {
        host_.set_up("lan0");
        host_.run({"ip", "address", "add", "10.77.1.5/24", "dev", "lan0"});
    }

    impnetd::ConflictPort& port() override { return port_; }
    impnetd::AddressClaim claim() const override {
        return {host_.ifindex("lan0"), *impnetd::MacAddress::parse(host_.mac("lan0")),
                impnetd::Ipv4(10, 77, 1, 5)};
    }
    impnetd::MacAddress other_host() const override {
        return *impnetd::MacAddress::parse(far_.mac("far0"));
    }
    void other_host_has(impnetd::Ipv4 address) override {
        far_.run({"ip", "address", "add", address.text() + "/24", "dev", "far0"});
    }
    void other_host_announces(impnetd::Ipv4 address) override {
        neighbour_.announce(address.text());
    }
    bool told(std::size_t count, std::chrono::milliseconds limit) override {
        return lab::run_until(loop_, limit, [&] { return log.lines.size() >= count; });
    }

  private:
    lab::Namespace host_{"host"};
    lab::Namespace far_{"far"};
    lab::Cable cable_{host_, "lan0", far_, "far0"};
    lab::Neighbour neighbour_{far_, "far0"};
    lab::Namespace::Visit visit_ = host_.enter();
    impnetd::Loop loop_{[](std::string_view what) { FAIL_CHECK("fault in the loop: " << what); }};
    impnetd::ConflictWatch port_{loop_, log};
};

/// ARP that says of this address whose it is, as it came in at the far end.
std::size_t announced(lab::Capture& wire, const std::string& address) {
    const auto& packets = wire.packets();
    return static_cast<std::size_t>(
        std::count_if(packets.begin(), packets.end(), [&](const auto& packet) {
            return packet.protocol == ETHERTYPE_ARP && !packet.outgoing && packet.from == address &&
                   packet.to == address;
        }));
}

std::size_t count_of(const std::string& what, const std::string& text) {
    std::size_t count = 0;
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
    return count;
}

std::string conflict_with(const std::string& mac) {
    return "address conflict with " + mac;
}

}  // namespace

TEST_CASE("real ARP does what conflict ports do", "[conflict]") {
    ports::conflict_cases([] { return std::make_unique<RealScene>(); });
}

TEST_CASE("a static address with an owner is given up, and the next attempt comes after a pause",
          "[conflict]") {
    lab::Lan lan;
    lan.server.run({"ip", "address", "add", "10.77.1.50/24", "dev", "srv0"});
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open(lab::static_nic(), diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_dhcping); }));
    CHECK(diary.steps() ==
          Steps{{-1, 0}, {0, 200}, {200, 1}, {1, 202}, {202, 0}, {0, 200}, {200, 201}});
    const auto& entries = diary.entries();
    CHECK(entries.at(3).change.reason == conflict_with(lan.server.mac("srv0")));
    CHECK(entries.at(4).change.time - entries.at(3).change.time >= 1s);
    CHECK(lan.addresses().empty());
    CHECK(count_of(" address_conflict interface=eth0 address=10.77.1.50 ", daemon.log()) == 1);
}

TEST_CASE("a lease of an address with an owner is declined, and another one is taken",
          "[conflict]") {
    lab::Namespace host("host");
    lab::Namespace server("server");
    lab::Namespace owner("owner");
    const lab::Cable cable(host, "lan0", server, "srv0");
    const lab::Cable owners(owner, "own0", server, "srv1");
    server.run({"sh", "-c",
                "ip link add br0 type bridge && ip link set srv0 master br0 && "
                "ip link set srv1 master br0 && ip link set br0 up"});
    lab::DhcpServer dhcp(server, "br0");
    lab::Bus bus;
    lab::Daemon daemon(host, bus, lab::Lan::managed("[timeouts]\nlinger = 0\n"));
    lab::Program program(bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.connects(diary));
    const auto address = eth0.ip_table()->address->text();
    eth0.close();

    owner.set_up("own0");
    owner.run({"ip", "address", "add", address + "/24", "dev", "own0"});
    diary.clear();
    eth0 = program.open("eth0", diary);
    const auto reconnects = [&] {
        const auto steps = diary.steps();
        return std::count(steps.begin(), steps.end(), lab::Step{201, 1}) == 2;
    };
    REQUIRE(program.until(10s, reconnects));
    CHECK(diary.steps() == Steps{{-1, 0}, {0, 200}, {200, 201}, {201, 1}, {1, 201}, {201, 1}});
    CHECK(diary.entries().at(4).change.reason == conflict_with(owner.mac("own0")));
    const auto another = eth0.ip_table()->address->text();
    CHECK(another != address);
    CHECK_THAT(host.run({"ip", "-4", "-o", "address", "show", "dev", "lan0"}),
               Catch::Contains("inet " + another + "/24") && !Catch::Contains(address));
    CHECK_THAT(dhcp.log(), Catch::Contains("DHCPDECLINE(br0) " + address));
    CHECK_THAT(dhcp.log(), Catch::Contains("DHCPACK(br0) " + another));
    CHECK(count_of(" interface_contended ", daemon.log()) == 0);
}

TEST_CASE("an address in use is defended once, and then given up", "[conflict][restart]") {
    // A process that takes over does not ask again: what it takes over is in use.
    lab::Running running;
    auto& lan = running.lan;
    running.service.crash(SIGKILL);
    running.owner.resume();
    REQUIRE(running.owner.reaches(1));
    running.owner.steps.clear();
    const std::string address = "10.77.1.100";
    lab::Capture wire(lan.server, "srv0");
    const lab::Neighbour neighbour(lan.server, "srv0");

    neighbour.announce(address);
    REQUIRE(lab::eventually(
        lab::Deadline(soon), {wire.fd()}, [&] { return announced(wire, address) == 1; }, [] {}));
    CHECK(running.owner.state() == 1);
    CHECK(running.owner.steps.empty());

    neighbour.announce(address);
    REQUIRE(running.owner.reaches(1));
    CHECK(running.owner.steps == Steps{{1, 201}, {201, 1}});
    CHECK(announced(wire, address) >= 1);
    CHECK(count_of(" address_conflict ", running.service.log()) == 2);
}

TEST_CASE("who claims every address of ours a thousand times a second slows us down, no more",
          "[conflict]") {
    lab::Lan lan;
    const lab::DhcpServer dhcp(lan.server, "srv0", lab::DhcpServer::Options::only("10.77.1.100"));
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    const lab::Neighbour neighbour(lan.server, "srv0");
    const lab::Fork spammer([&](const auto&) {
        for (;;) {
            neighbour.announce("10.77.1.100");
            lab::wait_readable({}, lab::Deadline(1ms));
        }
    });
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    const auto failures = [&] {
        std::vector<std::chrono::steady_clock::time_point> out;
        for (const auto& entry : diary.entries())
            if (entry.change.state == State::ethernet_stopped) out.push_back(entry.change.time);
        return out;
    };
    REQUIRE(program.until(20s, [&] { return failures().size() == 3; }));
    const auto at = failures();
    CHECK(at[1] - at[0] >= 1s);
    CHECK(at[2] - at[1] >= 2s);
    const auto steps = diary.steps();
    CHECK(std::count(steps.begin(), steps.end(), lab::Step{201, 1}) == 4);
    CHECK(count_of(" address_conflict ", daemon.log()) == 4);
}
