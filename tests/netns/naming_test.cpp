// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Which device is which interface: named by device or hardware address, taken out and put back in
// any order, beside others that are in use. (Where there is hardware: tests/unit/naming_test.cpp.)
#include <csignal>
#include <fstream>
#include <string>

#include <catch2/catch.hpp>

#include "lab/device_settings.hpp"
#include "lab/lab.hpp"
#include "lab/other_program.hpp"
#include "lab/owner.hpp"
#include "lab/program.hpp"
#include "lab/raw_client.hpp"
#include "lab/static_nic.hpp"

using namespace std::chrono_literals;
using impnet::State;
using lab::Steps;

namespace {

constexpr auto soon = 10s;

/// A host with two cables to two servers, which give out 10.77.1.100 and 10.77.2.100.
struct TwoCables {
    lab::Namespace host{"host"};
    lab::Namespace server0{"server 0"};
    lab::Namespace server1{"server 1"};
    lab::Cable cable0{host, "lan0", server0, "srv0"};
    lab::Cable cable1{host, "lan1", server1, "srv1"};
    lab::DhcpServer dhcp0{server0, "srv0", options("10.77.1.")};
    lab::DhcpServer dhcp1{server1, "srv1", options("10.77.2.")};
    lab::Bus bus;

    static lab::DhcpServer::Options options(const std::string& network) {
        auto out = lab::DhcpServer::Options::only(network + "100");
        out.address = out.router = network + "1";
        return out;
    }
    /// lan1 is eth0, and lan0 eth1.
    std::string by_mac() const {
        return "[interfaces.eth0]\nmanaged = true\nmac = \"" + host.mac("lan1") +
               "\"\n[interfaces.eth1]\nmanaged = true\nmac = \"" + host.mac("lan0") + "\"\n";
    }
    void take_out() {
        cable0.remove();
        cable1.remove();
    }
    /// In another order than at first.
    void put_in() {
        cable1.restore();
        dhcp1.start();
        cable0.restore();
        dhcp0.start();
    }
};

}  // namespace

TEST_CASE("an interface named by its hardware address stays with its device", "[naming]") {
    TwoCables lab;
    lab::Daemon daemon(lab.host, lab.bus, lab.by_mac());
    lab::RawClient raw(lab.bus);
    const auto device = [&](const char* nii) {
        return raw.interface_property<std::string>(nii, "Device");
    };
    CHECK(device("eth0") == "lan1");
    CHECK(device("eth1") == "lan0");
    lab::OtherProgram other(lab.bus, "eth1");
    CHECK(other.reaches(State::connected) == "10.77.1.100");
    lab::Program program(lab.bus);
    lab::Diary diary;
    const auto ethernet = program.open("ethernet", diary);
    CHECK(ethernet.nii() == "eth0");
    REQUIRE(program.connects(diary));
    CHECK(ethernet.ip_table()->address == impnet::Ipv4::parse("10.77.2.100"));

    // Both out, and in again in the other order: the sessions go on with their own.
    diary.clear();
    lab.take_out();
    REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_stopped); }));
    other.reaches(State::ethernet_stopped);
    lab.put_in();
    CHECK(other.reaches(State::connected) == "10.77.1.100");
    REQUIRE(program.connects(diary));
    CHECK(ethernet.ip_table()->address == impnet::Ipv4::parse("10.77.2.100"));
    CHECK(device("eth0") == "lan1");
    CHECK(device("eth1") == "lan0");
    CHECK(lab.host.ifindex("lan1") > 0);

    // One alone out and in: the other one does not notice.
    diary.clear();
    lab.cable0.remove();
    other.reaches(State::ethernet_stopped);
    lab.cable0.restore();
    lab.dhcp0.start();
    CHECK(other.reaches(State::connected) == "10.77.1.100");
    program.idle(100ms);
    CHECK(diary.steps().empty());
}

TEST_CASE("a device that comes in another order while there is no daemon is what it was",
          "[naming][restart]") {
    TwoCables lab;
    lab::Service service(lab.host, lab.bus, lab.by_mac());
    lab::RawClient raw(lab.bus);
    lab::Program program(lab.bus);
    lab::Diary diary0;
    lab::Diary diary1;
    const auto eth0 = program.open("eth0", diary0);
    const auto eth1 = program.open("eth1", diary1);
    const auto both_connected = [&] {
        return diary0.is(State::connected) && diary1.is(State::connected);
    };
    REQUIRE(program.until(soon, both_connected));
    diary0.clear();
    diary1.clear();
    ::kill(service.pid(), SIGSTOP);  // it sees nothing of it
    lab.take_out();
    lab.put_in();
    service.crash(SIGKILL);
    REQUIRE(program.until(soon, both_connected));
    CHECK(eth0.ip_table()->address == impnet::Ipv4::parse("10.77.2.100"));
    CHECK(eth1.ip_table()->address == impnet::Ipv4::parse("10.77.1.100"));
    CHECK(raw.interface_property<std::string>("eth0", "Device") == "lan1");
}

TEST_CASE("a device that is another interface after a restart is given back before",
          "[naming][restart]") {
    TwoCables lab;
    const std::string lan1_is_eth0 = "[interfaces.eth0]\nmanaged = true\ndevice = \"lan1\"\n";
    const auto found = lab::settings_of(lab.host, "lan0");
    lab::Service service(lab.host, lab.bus,
                         "[interfaces.eth0]\nmanaged = true\ndevice = \"lan0\"\n");
    lab::Program program(lab.bus);
    lab::Diary diary;
    auto eth0 = program.open(lab::static_nic(), diary);
    REQUIRE(program.connects(diary));
    REQUIRE(lab::addresses_of(lab.host, "lan0") == "10.77.1.50/24 ");
    diary.clear();
    const auto goes_on = [&] {
        const Steps expected{{1, 202}, {202, 0}, {0, 200}, {200, 201}, {201, 1}};
        return program.until(soon, [&] { return diary.is(State::connected); }) &&
               diary.steps() == expected &&
               eth0.ip_table()->address == impnet::Ipv4::parse("10.77.2.100");
    };
    SECTION("nobody's") {
        std::ofstream(service.config_path()) << lan1_is_eth0;
        service.crash(SIGKILL);
        CHECK(goes_on());
        CHECK(lab::addresses_of(lab.host, "lan0").empty());
        CHECK_FALSE(lab.host.is_up("lan0"));
        CHECK(lab::settings_of(lab.host, "lan0") == found);
    }
    SECTION("managed") {
        std::ofstream(service.config_path())
            << lan1_is_eth0
            << "[interfaces.eth1]\nmanaged = true\nalways-on = true\ndevice = \"lan0\"\n";
        service.crash(SIGKILL);
        CHECK(goes_on());
        service.wait_log("state interface=eth1 state=1 ", lab::Deadline(soon), 0);
        CHECK(lab::addresses_of(lab.host, "lan0") == "10.77.1.100/24 ");
        CHECK(service.log().find("interface_contended") == std::string::npos);
        CHECK(service.log().find("another program") == std::string::npos);
    }
}

TEST_CASE("a class name is its first interface, also while that is gone", "[naming]") {
    TwoCables lab;
    lab::Daemon daemon(lab.host, lab.bus, lab.by_mac());
    lab::RawClient raw(lab.bus);
    const auto resolved = [&] {
        sdbus::ObjectPath path;
        raw.manager()
            .callMethod("GetInterface")
            .onInterface("org.impnet1.Manager")
            .withArguments(std::string("ethernet"))
            .storeResultsTo(path);
        return path;
    };
    CHECK(resolved() == "/org/impnet1/interface/eth0");
    lab::OtherProgram other(lab.bus, "ethernet");
    CHECK(other.reaches(State::connected) == "10.77.2.100");
    // By whatever name, it is one interface.
    CHECK(lab::outcome_of([&] {
              raw.open({{"interface", sdbus::Variant("eth0")},
                        {"staticconfig",
                         sdbus::Variant(lab::Dictionary{
                             {"ip", sdbus::Variant("10.77.2.9")},
                             {"netmask", sdbus::Variant("255.255.255.0")},
                             {"gateway", sdbus::Variant("10.77.2.1")},
                             {"dns", sdbus::Variant(std::vector<std::string>{"10.77.2.1"})}})}});
          }) == "InUse");
    lab.cable1.remove();
    other.reaches(State::ethernet_stopped);
    // Not the second one, which is another network.
    CHECK(lab::outcome_of([&] { raw.open("ethernet"); }) == "Unavailable");
    CHECK(lab::outcome_of([&] { raw.open("eth1"); }) == "ok");
    other.kill();
    REQUIRE(raw.until(soon, [&] { return lab::outcome_of(resolved) == "Unavailable"; }));
    lab.cable1.restore();
    lab.dhcp1.start();
    lab::Program program(lab.bus);
    lab::Diary diary;
    REQUIRE(raw.until(soon, [&] { return lab::outcome_of(resolved) == "ok"; }));
    const auto ethernet = program.open("ethernet", diary);
    REQUIRE(program.connects(diary));
    CHECK(ethernet.ip_table()->address == impnet::Ipv4::parse("10.77.2.100"));
}

TEST_CASE("a device that is named while we look is the one that a rule means", "[naming]") {
    lab::Namespace host("host");
    lab::Namespace server("server");
    lab::Bus bus;
    lab::Daemon daemon(host, bus, lab::Lan::managed("[interfaces.eth1]\ndevice = \"lan1\"\n"));
    lab::RawClient raw(bus);
    CHECK(lab::outcome_of([&] { raw.open("eth0"); }) == "Unavailable");
    lab::Cable cable(host, "lan1", server, "srv0");
    lab::NetlinkCapture pace(host);
    const auto device = [&](const std::string& nii) {
        std::string out;
        lab::outcome_of([&] { out = raw.interface_property<std::string>(nii, "Device"); });
        return out;
    };
    const sdbus::Slot every_signal =
        raw.connection().addMatch("type='signal',sender='org.impnet1'", [](sdbus::Message&) {});
    REQUIRE(raw.until(soon, [&] { return device("eth1") == "lan1"; }));
    host.run({"ip", "link", "set", "lan1", "name", "lan0"});
    REQUIRE(raw.until(soon, [&] { return device("eth0") == "lan0"; }));
    CHECK(device("eth1").empty());
    host.run({"ip", "link", "set", "lan0", "name", "lan1"});
    CHECK(raw.until(soon, [&] { return device("eth1") == "lan1"; }));
    // Whoever has it open keeps it.
    raw.open("eth1");
    host.run({"ip", "link", "set", "lan1", "name", "lan0"});
    REQUIRE(raw.until(soon, [&] { return device("eth1") == "lan0"; }));
    CHECK(lab::outcome_of([&] { raw.open("eth0"); }) == "Unavailable");
    host.run({"ip", "link", "del", "lan0"});
}
