// SPDX-License-Identifier: LGPL-2.1-or-later
//
// NICs of several processes on one interface: whose configuration it has, who is refused, and what
// ends a configuration that a program brought along.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <catch2/catch.hpp>

#include "lab/lab.hpp"
#include "lab/other_program.hpp"
#include "lab/program.hpp"
#include "lab/raw_client.hpp"

using namespace std::chrono_literals;
using impnet::State;
using lab::Steps;

namespace {

constexpr auto soon = 10s;
constexpr const char* leased = "10.77.1.100";
constexpr const char* brought = "10.77.1.50";

impnet::Nic with_address() {
    impnet::Nic nic("eth0");
    nic.staticconfig = impnet::StaticConfig{
        .ip = brought, .netmask = "255.255.255.0", .gateway = "10.77.1.1", .dns = {"10.77.1.1"}};
    return nic;
}

impnet::Nic with_proxy() {
    impnet::Nic nic("eth0");
    nic.proxyconfig = impnet::ProxyConfig{.type = "http",
                                          .address = "proxy.brought",
                                          .port = 3128,
                                          .username = "me",
                                          .password = "a secret"};
    return nic;
}

struct Shared {
    lab::Lan lan;
    lab::DhcpServer dhcp{lan.server, "srv0", lab::DhcpServer::Options::only(leased)};
    lab::Daemon daemon;
    lab::Program program{lan.bus};
    lab::Diary diary;
    lab::RawClient raw{lan.bus};
    sdbus::Slot every_signal;  // what `until` looks at may have changed

    explicit Shared(const std::string& more = "")
        : daemon(lan.host, lan.bus, lan.managed(more)),
          every_signal(raw.connection().addMatch("type='signal',sender='org.impnet1'",
                                                 [](sdbus::Message&) {})) {}

    std::int32_t state() { return raw.interface_property<std::int32_t>("eth0", "State"); }
    unsigned sessions() { return raw.interface_property<std::uint32_t>("eth0", "Sessions"); }
    bool has_sessions(unsigned number) {
        return raw.until(soon, [&] { return sessions() == number; });
    }
    std::string try_open(const impnet::Nic& nic) {
        lab::Diary ignored;
        return lab::outcome(program.client().open(nic, ignored.callback()));
    }
    static std::string address(const impnet::Interface& interface) {
        const auto table = interface.ip_table();
        return table && table->address ? table->address->text() : "";
    }
    static std::string proxy(const impnet::Interface& interface) {
        const auto table = interface.ip_table();
        return table && table->proxy ? table->proxy->address : "";
    }
};

/// Is it in a file of this folder?
bool is_written(const std::filesystem::path& folder, const std::string& text) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        if (!entry.is_regular_file()) continue;
        std::ifstream in(entry.path(), std::ios::binary);
        const std::string content((std::istreambuf_iterator<char>(in)), {});
        if (content.find(text) != std::string::npos) return true;
    }
    return false;
}

}  // namespace

TEST_CASE("while one process has an interface open, another one cannot configure it", "[nic]") {
    Shared there("[timeouts]\nlinger = 3600\n");
    lab::OtherProgram other(there.lan.bus, with_address());
    REQUIRE(other.outcome() == "ok");
    CHECK(other.reaches(State::connected) == brought);
    CHECK(there.try_open(with_address()) == "InUse");  // also if identical
    CHECK(there.try_open(with_proxy()) == "InUse");
    CHECK(lab::OtherProgram(there.lan.bus, with_proxy()).outcome() == "InUse");
    CHECK(there.sessions() == 1);

    // Who joins with a plain NIC has it until the last one goes, whoever brought it along.
    auto eth0 = there.program.open("eth0", there.diary);
    REQUIRE(there.program.connects(there.diary));
    other.kill();
    REQUIRE(there.has_sessions(1));
    CHECK(Shared::address(eth0) == brought);
    CHECK(there.try_open(with_address()) == "InUse");  // by the same caller, too
    lab::OtherProgram third(there.lan.bus, "ethernet");
    CHECK(third.reaches(State::connected) == brought);
    eth0.close();
    CHECK(there.sessions() == 1);
    CHECK(there.lan.addresses() == std::string(brought) + "/24 ");
    CHECK(there.diary.steps() == Steps{{-1, 1}});

    // With the last one it is gone at once.
    third.kill();
    REQUIRE(there.raw.until(soon, [&] { return there.state() == -1; }));
    there.diary.clear();
    eth0 = there.program.open("eth0", there.diary);
    REQUIRE(there.program.connects(there.diary));
    CHECK(Shared::address(eth0) == leased);
}

TEST_CASE("an interface that lingers for a process that went is nobody's", "[nic]") {
    Shared there("[timeouts]\nlinger = 3600\n");
    lab::OtherProgram other(there.lan.bus, "eth0");
    CHECK(other.reaches(State::connected) == leased);
    CHECK(there.try_open(with_address()) == "InUse");
    other.kill();
    REQUIRE(there.has_sessions(0));
    CHECK(there.state() == 1);
    auto eth0 = there.program.open(with_address(), there.diary);
    REQUIRE(there.program.connects(there.diary));
    CHECK(there.diary.steps() == Steps{{-1, 0}, {0, 200}, {200, 1}});
    CHECK(Shared::address(eth0) == brought);

    // What brings no other address along goes on with the link that lingers.
    eth0.close();
    CHECK(there.state() == -1);
    there.diary.clear();
    eth0 = there.program.open("eth0", there.diary);
    REQUIRE(there.program.connects(there.diary));
    eth0.close();
    there.diary.clear();
    eth0 = there.program.open(with_proxy(), there.diary);
    REQUIRE(there.program.connects(there.diary));
    CHECK(there.diary.steps() == Steps{{-1, 1}});
    CHECK(Shared::proxy(eth0) == "proxy.brought");
    CHECK(there.try_open(with_proxy()) == "InUse");
}

TEST_CASE("what a NIC brought along is gone when the attempt fails, for all who joined", "[nic]") {
    Shared there("[timeouts]\nattempt = 1\n");
    there.dhcp.stop();
    lab::OtherProgram other(there.lan.bus, with_proxy());
    REQUIRE(other.outcome() == "ok");
    auto eth0 = there.program.open("eth0", there.diary);
    other.reaches(State::ethernet_stopped);
    there.dhcp.start();
    CHECK(other.reaches(State::connected) == leased);
    REQUIRE(there.program.connects(there.diary));
    CHECK(Shared::proxy(eth0).empty());
    // It is still not to be configured: two have it open.
    CHECK(there.try_open(with_proxy()) == "InUse");
}

TEST_CASE("what a NIC brought along is gone with the cable, for all who joined", "[nic]") {
    Shared there;
    lab::OtherProgram other(there.lan.bus, with_proxy());
    CHECK(other.reaches(State::connected) == leased);
    auto eth0 = there.program.open("eth0", there.diary);
    REQUIRE(there.program.connects(there.diary));
    CHECK(Shared::proxy(eth0) == "proxy.brought");
    there.lan.cable.pull();
    other.reaches(State::ethernet_stopped_no_link);
    there.lan.cable.plug();
    CHECK(other.reaches(State::connected) == leased);
    REQUIRE(there.program.connects(there.diary));
    CHECK(Shared::proxy(eth0).empty());
}

TEST_CASE("what a NIC brought along is gone when somebody sets the device down", "[nic]") {
    Shared there;
    auto eth0 = there.program.open(with_address(), there.diary);
    REQUIRE(there.program.connects(there.diary));
    there.diary.clear();
    there.lan.host.set_up("lan0", false);
    REQUIRE(
        there.program.until(soon, [&] { return there.diary.is(State::ethernet_stopped_no_link); }));
    REQUIRE(there.program.connects(there.diary));
    CHECK(Shared::address(eth0) == leased);
}

TEST_CASE("what a NIC brought along is gone with the device", "[nic]") {
    Shared there;
    lab::OtherProgram other(there.lan.bus, with_address());
    CHECK(other.reaches(State::connected) == brought);
    there.lan.cable.remove();
    other.reaches(State::ethernet_stopped);
    CHECK(there.try_open(with_address()) == "Unavailable");
    there.lan.cable.restore();
    there.dhcp.start();
    CHECK(other.reaches(State::connected) == leased);
    CHECK(there.try_open(with_address()) == "InUse");
    CHECK(there.lan.addresses() == std::string(leased) + "/24 ");
}

TEST_CASE("an interface that is always on takes a configuration for as long as it is open",
          "[nic]") {
    Shared there("always-on = true\n");
    REQUIRE(there.raw.until(soon, [&] { return there.state() == 1; }));
    lab::OtherProgram other(there.lan.bus, with_address());
    REQUIRE(other.outcome() == "ok");  // that it is always on is nobody's use of it
    CHECK(other.reaches(State::connected) == brought);
    CHECK(there.lan.addresses() == std::string(brought) + "/24 ");
    CHECK(there.try_open(with_address()) == "InUse");
    other.kill();
    REQUIRE(there.has_sessions(0));
    const auto is_leased = [&] {
        return there.raw.interface_property<std::string>("eth0", "Address") == leased;
    };
    REQUIRE(there.raw.until(soon, is_leased));
    CHECK(there.lan.addresses() == std::string(leased) + "/24 ");
    auto eth0 = there.program.open("eth0", there.diary);
    REQUIRE(there.program.connects(there.diary));
    CHECK(there.diary.steps() == Steps{{-1, 1}});
}

TEST_CASE("a NIC with a configuration is never on disk, and is no first choice", "[nic]") {
    const std::filesystem::path folder = lab::fresh_path(".state");
    std::filesystem::create_directory(folder);
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0", lab::DhcpServer::Options::only(leased));
    lab::Daemon daemon(lan.host, lan.bus, lan.managed(), {"--state-dir=" + folder.string()});
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto nic = with_address();
    nic.proxyconfig = with_proxy().proxyconfig;
    auto eth0 = program.open(nic, diary);
    REQUIRE(program.connects(diary));
    const auto table = eth0.ip_table();
    REQUIRE(table);
    CHECK(table->proxy == impnet::Proxy{"http", "proxy.brought", 3128, "me"});
    lan.cable.pull();
    REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_stopped_no_link); }));
    lan.cable.plug();
    REQUIRE(program.connects(diary));
    eth0.close();

    // Whatever was to be written is, when something that is stored later is.
    const auto plain = program.open("eth0", diary);
    lab::RawClient root(lan.bus);
    root.manager()
        .callMethod("SetInterfaceEnabled")
        .onInterface("org.impnet1.Manager")
        .withArguments(std::string("eth0"), true);
    CHECK(is_written(folder, "first-choice"));
    for (const std::string text : {brought, "proxy.brought", "a secret", "staticconfig"})
        CHECK_FALSE(is_written(folder, text));
}
