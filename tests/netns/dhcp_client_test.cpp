// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The DHCP client as a child that is killed, stopped, or cannot be started at all: programs see
// nothing of it as long as there is a lease, and are told why there is none.
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <unistd.h>

#include "addressing/udhcpc.hpp"
#include "lab/connected.hpp"
#include "lab/footprint.hpp"
#include "lab/lab.hpp"
#include "lab/loop_wait.hpp"
#include "lab/text.hpp"
#include "loop/loop.hpp"
#include "netns/built_programs.hpp"
#include "ports/lease_cases.hpp"

using namespace std::chrono_literals;
using impnet::State;
using impnetd::Milliseconds;
using lab::Steps;
using ports::LeaseReport;

namespace {

constexpr auto soon = 5s;

/// The client that runs for this process, by whatever name it has so far; 0: none.
pid_t client_of(pid_t parent) {
    for (const auto& child : lab::children_of(parent))
        if (!child.zombie && (child.name == "udhcpc" || child.name == "impnet-udhcpc-e"))
            return child.pid;
    return 0;
}

}  // namespace

TEST_CASE("A client that is killed a hundred times, as soon as it is there, costs no lease",
          "[dhcp-client]") {
    constexpr Milliseconds longest{80};
    lab::Namespace host("host");
    lab::Namespace server("server");
    lab::Cable cable(host, "lan0", server, "srv0");
    lab::DhcpServer dhcp(server, "srv0");
    host.set_up("lan0");
    const auto visit = host.enter();
    impnetd::Loop loop([](std::string_view what) { FAIL_CHECK("fault in the loop: " << what); });
    ports::LeaseLog log;
    impnetd::UdhcpcTiming timing;
    timing.first_pause = Milliseconds(10);
    timing.longest_pause = longest;
    impnetd::Udhcpc port(loop, log, built_programs(), timing);
    port.start({"lan0", *impnetd::MacAddress::parse(host.mac("lan0")), "lab-host", {}});
    REQUIRE(lab::run_until(loop, soon, [&] { return log.reports.size() == 1; }));
    const auto lease = log.reports[0].lease.network;
    const auto descriptors = lab::descriptors_of(::getpid());

    std::uint64_t longest_absence = 0;
    for (int kills = 0; kills < 100; ++kills) {
        const auto client = client_of(::getpid());
        REQUIRE(client != 0);
        ::kill(client, SIGKILL);
        const auto killed = lab::monotonic_usec();
        REQUIRE(lab::run_until(loop, soon, [&] {
            const auto now = client_of(::getpid());
            return now != 0 && now != client;
        }));
        longest_absence = std::max(longest_absence, lab::monotonic_usec() - killed);
    }
    INFO("longest absence: " << longest_absence << " us");
    CHECK(longest_absence >= 80'000);
    CHECK(longest_absence < 1'000'000);
    // Left alone, the last one renews the lease.
    const auto so_far = log.reports.size();
    CHECK(lab::run_until(loop, soon, [&] { return log.reports.size() > so_far; }));
    for (const auto& report : log.reports) {
        CHECK(report.kind == LeaseReport::Kind::obtained);
        CHECK(report.lease.network == lease);
    }
    CHECK(lab::descriptors_of(::getpid()) <= descriptors);
    // dnsmasq and this one: no zombie, no second client.
    const auto children = lab::children_of(::getpid());
    CHECK(std::none_of(children.begin(), children.end(),
                       [](const auto& child) { return child.zombie; }));
    CHECK(std::count_if(children.begin(), children.end(),
                        [](const auto& child) { return child.name == "udhcpc"; }) == 1);
}

TEST_CASE("Programs see nothing of a client that is killed again and again", "[dhcp-client]") {
    lab::Connected connected;
    const auto pid = connected.daemon.pid();
    auto socket = connected.open_udp(2001);
    connected.diary.clear();
    const auto answered = [&] { return connected.eth0.ip_table().has_value(); };
    std::size_t descriptors = 0;  // with a client that has its lease: after the first kill
    for (int kills = 0; kills < 10; ++kills) {
        const auto client = client_of(pid);
        REQUIRE(client != 0);
        const auto so_far = connected.daemon.log().size();
        const auto killed = lab::monotonic_usec();
        ::kill(client, SIGKILL);
        connected.daemon.process().wait_output(" lease interface=eth0", lab::Deadline(soon),
                                               so_far);
        // With a lease the pause does not grow: 0.2 s.
        CHECK(lab::monotonic_usec() - killed >= 200'000);
        CHECK(lab::monotonic_usec() - killed < 2'000'000);
        CHECK(answered());
        if (kills == 0) descriptors = lab::descriptors_of(pid);
    }
    connected.program.idle(100ms);
    CHECK(connected.diary.steps().empty());
    CHECK(connected.lan.addresses() == "10.77.1.100/24 ");
    CHECK(lab::outcome(socket.send("10.77.1.1", 3000, "on")) == "0");
    CHECK(lab::children_of(pid, "udhcpc").size() == 1);
    CHECK(lab::has_at_most(descriptors, pid));
}

TEST_CASE("A client that somebody has stopped is replaced when it is needed", "[dhcp-client]") {
    lab::Connected connected;
    const auto pid = connected.daemon.pid();
    const auto stopped = client_of(pid);
    REQUIRE(stopped != 0);
    ::kill(stopped, SIGSTOP);
    connected.diary.clear();
    connected.program.idle(300ms);
    CHECK(connected.diary.steps().empty());

    connected.lan.cable.pull();
    REQUIRE(connected.program.until(
        soon, [&] { return connected.diary.is(State::ethernet_stopped_no_link); }));
    connected.lan.cable.plug();
    REQUIRE(connected.program.until(soon, [&] { return connected.connected(); }));
    CHECK(connected.diary.steps() == Steps{{1, 204}, {204, 0}, {0, 200}, {200, 201}, {201, 1}});
    const auto children = lab::children_of(pid, "udhcpc");
    REQUIRE(children.size() == 1);
    CHECK(children[0].pid != stopped);
}

TEST_CASE("A client that cannot be started ends the attempt with its reason, and is tried again",
          "[dhcp-client]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0");
    const auto program = std::filesystem::canonical(built_programs().udhcpc).string();
    lan.host.run({"mount", "--bind", "/dev/null", program});
    lab::Daemon daemon(lan.host, lan.bus, lab::Lan::managed("[timeouts]\nattempt = 2\n"));
    lab::Program client(lan.bus);
    lab::Diary diary;
    auto eth0 = client.open("eth0", diary);
    REQUIRE(client.until(soon, [&] { return diary.is(State::ethernet_stopped); }));
    CHECK(diary.last().change.reason ==
          "no lease within 2 s: udhcpc ended with status 127: impnet-udhcpc-exec: cannot run " +
              built_programs().udhcpc + ": Permission denied");
    diary.clear();
    REQUIRE(client.until(soon, [&] { return diary.is(State::ethernet_stopped); }));
    CHECK(diary.steps() == Steps{{202, 0}, {0, 200}, {200, 201}, {201, 202}});
    // At 0, 0.2, 0.6 and 1.4 s of each attempt.
    CHECK(lab::occurrences(daemon.log(), "udhcpc_failed") <= 8);
    CHECK(lab::children_of(daemon.pid(), "udhcpc").empty());

    lan.host.run({"umount", program});
    CHECK(client.until(soon, [&] { return diary.is(State::connected); }));
}
