// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The configuration is read again while the daemon runs: key by key, what another value changes at
// once, and what has to wait.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include <catch2/catch.hpp>

#include "lab/lab.hpp"
#include "lab/other_program.hpp"
#include "lab/owner.hpp"
#include "lab/program.hpp"
#include "lab/raw_client.hpp"

using namespace std::chrono_literals;
using impnet::State;
using lab::Steps;

namespace {

constexpr auto soon = 10s;

/// A daemon, and somebody who changes its configuration.
struct Changing {
    lab::Lan lan;
    lab::DhcpServer dhcp{lan.server, "srv0", lab::DhcpServer::Options::only("10.77.1.100")};
    lab::Daemon daemon;
    lab::RawClient root{lan.bus};
    sdbus::Slot every_signal;  // what `until` looks at may have changed

    explicit Changing(const std::string& configuration)
        : daemon(lan.host, lan.bus, configuration),
          every_signal(root.connection().addMatch("type='signal',sender='org.impnet1'",
                                                  [](sdbus::Message&) {})) {}

    /// Puts another configuration in force; the keys that have to wait, as the log tells them.
    std::string reload(const std::string& configuration) {
        const auto from = daemon.log().size();
        std::ofstream(daemon.config_path()) << configuration;
        root.call("/org/impnet1", "org.impnet1.Manager", "Reload");
        const auto log = daemon.log().substr(from);
        CHECK(log.find(" reloaded") != std::string::npos);
        const std::string waiting = " reload_needs_restart keys=";
        const auto at = log.find(waiting);
        if (at == std::string::npos) return "";
        const auto begin = at + waiting.size();
        auto keys = log.substr(begin, log.find('\n', begin) - begin);
        std::erase(keys, '"');  // around several
        return keys;
    }
    bool until(const std::function<bool()>& predicate) { return root.until(soon, predicate); }
    std::int32_t state() { return root.interface_property<std::int32_t>("eth0", "State"); }
    bool managed() { return root.interface_property<bool>("eth0", "Managed"); }
    /// Between the one and the other it is away.
    bool observed() {
        bool managed = true;
        return lab::outcome_of([&] { managed = this->managed(); }) == "ok" && !managed;
    }
    unsigned sessions() { return root.interface_property<std::uint32_t>("eth0", "Sessions"); }
    std::string device(const std::string& nii) {
        return root.interface_property<std::string>(nii, "Device");
    }
    /// The kernel's answer to a power-down may be a moment away.
    bool becomes_idle() const {
        lab::NetlinkCapture pace(lan.host);
        return lab::eventually(
            lab::Deadline(soon), {pace.fd()},
            [&] { return lan.addresses().empty() && !lan.host.is_up("lan0"); },
            [&] { pace.clear(); });
    }
};

std::string limits(const std::string& more) {
    return lab::Lan::managed("[limits]\n" + more);
}

}  // namespace

TEST_CASE("what nobody has open becomes managed by a reload, and what somebody has waits",
          "[reload]") {
    Changing there(lab::Lan::observed());
    lab::OtherProgram other(there.lan.bus, "eth0");
    REQUIRE(other.outcome() == "ok");
    CHECK(there.reload(lab::Lan::managed()) == "interfaces.eth0.managed");
    CHECK_FALSE(there.managed());
    other.kill();
    REQUIRE(there.until([&] { return there.sessions() == 0; }));
    CHECK(there.reload(lab::Lan::managed()).empty());
    CHECK(there.managed());
    CHECK_FALSE(there.lan.host.is_up("lan0"));

    lab::Program program(there.lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.connects(diary));
    CHECK(diary.steps() == Steps{{-1, 0}, {0, 200}, {200, 201}, {201, 1}});
    diary.clear();
    CHECK(there.reload(lab::Lan::observed()) == "interfaces.eth0.managed");
    CHECK(there.managed());
    CHECK(lab::outcome(eth0.open_udp(2001)) == "ok");

    // The linger is not a use: the device is powered down, and then left alone.
    eth0.close();
    CHECK(there.reload(lab::Lan::observed()).empty());
    REQUIRE(there.until([&] { return there.observed(); }));
    CHECK(there.becomes_idle());
    there.lan.host.set_up("lan0");
    CHECK(there.until([&] { return there.state() == 200; }));
    CHECK(diary.steps().empty());
}

TEST_CASE("what waits counts from the next start on", "[reload]") {
    Changing there(lab::Lan::observed("[datapath]\npath = \"auto\"\n"));
    lab::Program program(there.lan.bus);
    lab::Diary diary;
    const auto eth0 = program.open("eth0", diary);
    const std::string next = lab::Lan::managed("[datapath]\nttl = 2\npath = \"relay\"\n");
    REQUIRE(there.reload(next) == "interfaces.eth0.managed, datapath.path, datapath.ttl");
    REQUIRE(there.reload(next) == "interfaces.eth0.managed, datapath.path, datapath.ttl");
    there.daemon.restart(SIGTERM);
    CHECK(there.managed());
    CHECK(there.root.property<std::string>("/org/impnet1", "org.impnet1.Manager", "DataPath") ==
          "relay");
    CHECK(there.reload(next).empty());
}

TEST_CASE("a reload turns always-on on and off", "[reload]") {
    Changing there(lab::Lan::managed("[timeouts]\nlinger = 0\n"));
    CHECK(there.state() == -1);
    CHECK(there.reload(lab::Lan::managed("always-on = true\n[timeouts]\nlinger = 0\n")).empty());
    REQUIRE(there.until([&] { return there.state() == 1; }));
    CHECK(there.lan.addresses() == "10.77.1.100/24 ");

    // Whoever has it open keeps it.
    lab::Program program(there.lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.connects(diary));
    CHECK(there.reload(lab::Lan::managed("[timeouts]\nlinger = 0\n")).empty());
    CHECK(lab::outcome(eth0.open_udp(2001)) == "ok");
    CHECK(diary.steps() == Steps{{-1, 1}});
    eth0.close();
    CHECK(there.until([&] { return there.state() == -1; }));
    CHECK(there.becomes_idle());
}

TEST_CASE("a reload changes the limit of an attempt", "[reload]") {
    Changing there(lab::Lan::managed());
    there.dhcp.stop();
    lab::Program program(there.lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_dhcping); }));
    CHECK(there.reload(lab::Lan::managed("[timeouts]\nattempt = 1.5\n")).empty());
    there.lan.cable.pull();
    REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_stopped_no_link); }));
    there.lan.cable.plug();
    REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_stopped); }));
    const auto& entries = diary.entries();
    CHECK(diary.last().change.time - entries.at(entries.size() - 3).change.time >= 1'490ms);
}

TEST_CASE("a reload changes the linger", "[reload]") {
    Changing there(lab::Lan::managed("[timeouts]\nlinger = 3600\n"));
    lab::Program program(there.lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.connects(diary));
    CHECK(there.reload(lab::Lan::managed("[timeouts]\nlinger = 0\n")).empty());
    eth0.close();
    CHECK(there.until([&] { return there.state() == -1; }));
}

TEST_CASE("a session that a reload ends has the linger of that reload", "[reload]") {
    Changing there(lab::Lan::managed("[timeouts]\nlinger = 3600\n"));
    lab::Program program(there.lan.bus);
    lab::Diary diary;
    const auto eth0 = program.open("eth0", diary);
    REQUIRE(program.connects(diary));
    const auto folder =
        std::filesystem::path(there.daemon.config_path()).parent_path() / "policy.d";
    std::filesystem::create_directory(folder);
    std::ofstream(folder / "10.toml") << "[[rule]]\nname = \"nobody\"\naction = \"deny\"\n";
    const auto waiting = there.reload(lab::Lan::managed("[timeouts]\nlinger = 0\n"));
    std::filesystem::remove_all(folder);
    CHECK(waiting.empty());
    CHECK(there.until([&] { return there.state() == -1; }));
    CHECK(there.becomes_idle());
}

TEST_CASE("a reload gives a device its IPv6, and takes it", "[reload]") {
    Changing there(lab::Lan::managed());
    const auto disabled = [&] {
        return there.lan.host.run({"cat", "/proc/sys/net/ipv6/conf/lan0/disable_ipv6"});
    };
    lab::Program program(there.lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.connects(diary));
    REQUIRE(disabled() == "1\n");
    CHECK(there.reload(lab::Lan::managed("ipv6 = \"kernel\"\n")).empty());
    CHECK(disabled() == "0\n");
    CHECK(there.reload(lab::Lan::managed()).empty());
    CHECK(disabled() == "1\n");

    program.idle(100ms);
    CHECK(diary.steps().size() == 4);
}

TEST_CASE("a daemon that takes over gives a device its IPv6, and takes it", "[reload][restart]") {
    lab::Running running;
    const auto disabled = [&] {
        return running.lan.host.run({"cat", "/proc/sys/net/ipv6/conf/lan0/disable_ipv6"});
    };
    REQUIRE(disabled() == "1\n");
    std::ofstream(running.service.config_path()) << lab::Lan::managed("ipv6 = \"kernel\"\n");
    running.service.crash(SIGKILL);
    running.owner.resume();
    CHECK(disabled() == "0\n");
    std::ofstream(running.service.config_path()) << lab::Lan::managed();
    running.service.crash(SIGKILL);
    running.owner.resume();
    CHECK(disabled() == "1\n");
    CHECK(running.owner.state() == 1);
}

TEST_CASE("a reload says what a stop does to an interface", "[reload]") {
    Changing there(lab::Lan::managed());
    lab::Program program(there.lan.bus);
    lab::Diary diary;
    const auto eth0 = program.open("eth0", diary);
    REQUIRE(program.connects(diary));
    CHECK(there.reload(lab::Lan::managed("on-stop = \"down\"\n")).empty());
    CHECK(there.daemon.stop() == 0);
    CHECK(there.becomes_idle());
}

TEST_CASE("a reload changes what a user may have, and what all may send", "[reload]") {
    Changing there(limits("sessions-per-uid = 2\nsockets-per-uid = 1\n") +
                   "[limiter]\nburst = 2\nrate = 0.001\n");
    lab::Program program(there.lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    auto second = program.open("eth0", diary);
    REQUIRE(program.connects(diary));
    auto socket = eth0.open_udp(2001);
    REQUIRE(socket);
    CHECK(lab::outcome(eth0.open_udp(2002)) == "LimitExceeded");
    CHECK(lab::outcome(program.client().open("eth0", diary.callback())) == "LimitExceeded");
    const auto send = [&] { return lab::outcome(socket->send("10.77.1.1", 2001, "x")); };
    CHECK(send() == "0");
    CHECK(send() == "0");
    CHECK(send() == "4");

    // Less takes nothing away, and more is there at once.
    CHECK(there
              .reload(limits("sessions-per-uid = 1\nsockets-per-uid = 2\n") +
                      "[limiter]\nburst = 5\nrate = 0\n")
              .empty());
    CHECK(second.is_open());
    CHECK(lab::outcome(program.client().open("eth0", diary.callback())) == "LimitExceeded");
    CHECK(lab::outcome(eth0.open_udp(2002)) == "ok");
    for (int time = 0; time < 20; ++time) CHECK(send() == "0");

    CHECK(there.reload(limits("sessions-per-uid = 3\n") + "[limiter]\nburst = 1\nrate = 0.001\n")
              .empty());
    CHECK(lab::outcome(program.client().open("eth0", diary.callback())) == "ok");
    std::string last = send();
    if (last == "0") last = send();
    CHECK(last == "4");
}

TEST_CASE("a reload gives devices other identifiers, all that it concerns or none", "[reload]") {
    const auto rules = [](const std::string& eth0, const std::string& eth1) {
        return "[interfaces.eth0]\nmanaged = true\n" + eth0 + "[interfaces.eth1]\n" + eth1;
    };
    const std::string lan0 = "device = \"lan0\"\n";
    const std::string lan1 = "device = \"lan1\"\n";
    Changing there(rules(lan0, ""));
    const lab::Cable cable(there.lan.host, "lan1", there.lan.server, "srv1");
    CHECK(lab::outcome_of([&] { there.root.open("eth1"); }) == "Unavailable");

    // A device that was nobody's is there at once.
    const auto mac1 = "mac = \"" + there.lan.host.mac("lan1") + "\"\n";
    CHECK(there.reload(rules(lan0, mac1)).empty());
    CHECK(there.device("eth1") == "lan1");

    {
        lab::OtherProgram other(there.lan.bus, "eth1");
        REQUIRE(other.outcome() == "ok");
        CHECK(there.reload(rules(lan1, lan0 + "always-on = true\n")) ==
              "interfaces.eth0.device, interfaces.eth1.device, interfaces.eth1.mac");
        CHECK(there.device("eth0") == "lan0");
        CHECK(there.device("eth1") == "lan1");
    }
    REQUIRE(there.until(
        [&] { return there.root.interface_property<std::uint32_t>("eth1", "Sessions") == 0; }));
    CHECK(there.reload(rules(lan1, lan0)).empty());
    CHECK(there.device("eth0") == "lan1");
    CHECK(there.device("eth1") == "lan0");
    CHECK(there.managed());
}

TEST_CASE("a file with an error changes nothing of what is before it", "[reload]") {
    Changing there(lab::Lan::managed());
    const auto refused = [&](const std::string& text) {
        const auto from = there.daemon.log().size();
        std::ofstream(there.daemon.config_path()) << text;
        CHECK(lab::outcome_of([&] {
                  there.root.call("/org/impnet1", "org.impnet1.Manager", "Reload");
              }) == "InvalidArgument");
        there.daemon.process().wait_output(" reload_refused ", lab::Deadline(soon), from);
    };
    refused("[interfaces.eth0]\ndevice = \"lan0\"\n[timeouts]\nattempt = \"long\"\n");
    CHECK(there.managed());
    refused(lab::Lan::managed("always-on = true\n[colours]\n"));
    CHECK(there.state() == -1);
    refused("[limits]\nsessions-per-uid = 1\n[interfaces.eth0\n");
    there.root.open("eth0");
    CHECK(lab::outcome_of([&] { there.root.open("eth0"); }) == "ok");
}
