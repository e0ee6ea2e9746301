// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Another program configures a managed interface, too: that is told once, and nobody fights.
#include <csignal>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "lab/lab.hpp"
#include "lab/owner.hpp"
#include "lab/program.hpp"

using namespace std::chrono_literals;
using impnet::State;
using lab::Steps;

namespace {

constexpr auto soon = 5s;

std::size_t reports_in(const std::string& log) {
    std::size_t count = 0;
    const std::string what = " interface_contended ";
    for (auto at = log.find(what); at != std::string::npos; at = log.find(what, at + 1)) ++count;
    return count;
}

/// A host of which a program has eth0 open; others configure it by `ip`.
struct Contended {
    lab::Lan lan;
    lab::DhcpServer dhcp{lan.server, "srv0", lab::DhcpServer::Options::only("10.77.1.100")};
    lab::Daemon daemon{lan.host, lan.bus, lab::Lan::managed("[timeouts]\nlinger = 0\n")};
    lab::Program program{lan.bus};
    lab::Diary diary;
    impnet::Interface eth0;
    std::size_t read = 0;  // how far the log is known

    void ip(std::vector<std::string> words) const {
        words.insert(words.begin(), "ip");
        lan.host.run(words);
    }
    void open() {
        diary.clear();
        eth0 = program.open("eth0", diary);
        REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
        diary.clear();
    }
    void expect_report(const std::string& of) {
        read = daemon.process().wait_output(
            " warning interface_contended interface=eth0 device=lan0 reason=\"" + of + "\"",
            lab::Deadline(soon), read);
    }
    /// The daemon has seen what the kernel told so far: its answer to a call comes after that.
    void settle() {
        lab::NetlinkCapture pace(lan.host);
        ip({"link", "set", "lan0", "alias", "seen"});
        program.idle(200ms);
    }
};

}  // namespace

TEST_CASE("a foreign address on a managed interface is told once", "[contended]") {
    Contended there;
    there.open();
    there.ip({"address", "add", "192.168.9.9/24", "dev", "lan0"});
    there.expect_report("another program gave it the address 192.168.9.9/24");
    there.ip({"address", "add", "192.168.10.9/24", "dev", "lan0"});
    there.settle();
    CHECK(reports_in(there.daemon.log()) == 1);
    CHECK(there.diary.entries().empty());
    CHECK(there.lan.addresses() == "10.77.1.100/24 192.168.9.9/24 192.168.10.9/24 ");

    // When all of it is gone it is news again.
    there.ip({"address", "delete", "192.168.9.9/24", "dev", "lan0"});
    there.ip({"address", "delete", "192.168.10.9/24", "dev", "lan0"});
    there.ip({"address", "add", "10.77.1.9/24", "dev", "lan0"});
    there.expect_report("another program gave it the address 10.77.1.9/24");
    CHECK(reports_in(there.daemon.log()) == 2);
    CHECK(there.diary.entries().empty());
}

TEST_CASE("what goes and comes back with the cable is told once", "[contended]") {
    Contended there;
    there.open();
    there.ip({"address", "add", "192.168.9.9/24", "dev", "lan0"});
    there.expect_report("another program gave it the address 192.168.9.9/24");
    for (int times = 0; times < 2; ++times) {  // systemd-networkd does so with its lease
        there.lan.cable.pull();
        REQUIRE(there.program.until(soon, [&] { return !there.diary.entries().empty(); }));
        there.ip({"address", "delete", "192.168.9.9/24", "dev", "lan0"});
        there.lan.cable.plug();
        REQUIRE(there.program.until(soon, [&] { return there.diary.is(State::connected); }));
        there.diary.clear();
        there.ip({"address", "add", "192.168.9.9/24", "dev", "lan0"});
        there.settle();
        CHECK(reports_in(there.daemon.log()) == 1);
    }
    there.eth0.close();
    there.daemon.process().wait_output("no session left", lab::Deadline(soon), there.read);
    there.open();
    there.expect_report("another program gave it the address 192.168.9.9/24");
    CHECK(reports_in(there.daemon.log()) == 2);
}

TEST_CASE("what was told is not remembered for ever", "[contended]") {
    Contended there;
    there.open();
    std::string batch;
    const auto comes_and_goes = [&](int last) {
        const auto address = " 192.168.9." + std::to_string(last) + "/24 dev lan0\n";
        batch += "address add" + address + "address delete" + address;
    };
    for (int last = 1; last <= 17; ++last) comes_and_goes(last);
    comes_and_goes(17);
    comes_and_goes(1);
    there.lan.host.run({"sh", "-c", "printf '" + batch + "' | ip -batch -"});
    there.lan.cable.pull();  // it is told of this when it has seen all of that
    REQUIRE(
        there.program.until(soon, [&] { return there.diary.is(State::ethernet_stopped_no_link); }));
    CHECK(there.daemon.stop() == 0);
    // 18, of which 10 are in the log.
    CHECK(reports_in(there.daemon.log()) == 10);
    CHECK(there.daemon.log().find(" suppressed event=interface_contended count=8 ") !=
          std::string::npos);
}

TEST_CASE("a default route on a managed interface is told once", "[contended]") {
    Contended there;
    there.open();
    there.ip({"route", "add", "default", "via", "10.77.1.1", "dev", "lan0"});
    there.expect_report("another program gave it a default route via 10.77.1.1");
    there.ip({"route", "replace", "default", "via", "10.77.1.2", "dev", "lan0"});
    there.settle();
    CHECK(reports_in(there.daemon.log()) == 1);
    CHECK(there.diary.entries().empty());
}

TEST_CASE("what was on the device before is told when it is used, and stays", "[contended]") {
    Contended there;
    there.ip({"address", "add", "192.168.9.9/24", "dev", "lan0"});
    there.settle();
    CHECK(reports_in(there.daemon.log()) == 0);
    there.open();
    there.expect_report("another program gave it the address 192.168.9.9/24");
    there.eth0.close();
    there.settle();
    CHECK(there.lan.addresses() == "192.168.9.9/24 ");
    there.open();
    there.expect_report("another program gave it the address 192.168.9.9/24");
    CHECK(reports_in(there.daemon.log()) == 2);
}

TEST_CASE("what impnetd does itself is not told as another program's", "[contended]") {
    Contended there;
    there.open();
    // Another lease, an address that somebody took away, a device that somebody set down.
    there.dhcp.start(lab::DhcpServer::Options::only("10.77.1.101"),
                     lab::DhcpServer::Leases::forget);
    const auto reconnects = [&] {
        const bool connected =
            there.program.until(10s, [&] { return there.diary.is(State::connected); });
        there.diary.clear();
        return connected;
    };
    there.lan.cable.pull();
    REQUIRE(there.program.until(soon, [&] { return !there.diary.entries().empty(); }));
    there.lan.cable.plug();
    REQUIRE(reconnects());
    CHECK(there.lan.addresses() == "10.77.1.101/24 ");
    there.ip({"address", "delete", "10.77.1.101/24", "dev", "lan0"});
    REQUIRE(reconnects());
    there.lan.host.set_up("lan0", false);
    REQUIRE(there.program.until(soon, [&] { return !there.diary.entries().empty(); }));
    REQUIRE(reconnects());
    there.eth0.close();
    there.open();
    there.settle();
    CHECK(reports_in(there.daemon.log()) == 0);
}

TEST_CASE("a daemon that takes over does not take its address for another program's",
          "[contended][restart]") {
    lab::Running running;
    running.service.crash(SIGKILL);
    running.owner.resume();
    REQUIRE(running.owner.reaches(1));
    CHECK(reports_in(running.service.log()) == 0);
    running.lan.host.run({"ip", "address", "add", "192.168.9.9/24", "dev", "lan0"});
    running.service.wait_log(" interface_contended ", lab::Deadline(soon));
}
