// SPDX-License-Identifier: LGPL-2.1-or-later
//
// An interface that somebody else manages: states and addresses follow, and we change nothing.
#include <catch2/catch.hpp>
#include <linux/if.h>
#include <linux/rtnetlink.h>

#include "lab/lab.hpp"
#include "lab/program.hpp"
#include "lab/raw_client.hpp"

using namespace std::chrono_literals;
using impnet::State;
using lab::Steps;

namespace {

constexpr auto soon = 5s;

impnet::Ipv4 ip(const char* text) {
    return *impnet::Ipv4::parse(text);
}

void configure(const lab::Namespace& host, const std::string& verb, const std::string& address) {
    host.run({"ip", "address", verb, address, "broadcast", "+", "dev", "lan0"});
}

/// What a person does to the device, step by step; `then` waits for what is to come of it.
void manage(lab::Lan& lan, const std::function<void(State)>& then) {
    lan.host.set_up("lan0");
    then(State::ethernet_link_up);
    configure(lan.host, "add", "10.77.1.30/24");
    then(State::connected);
    lan.cable.pull();
    then(State::ethernet_stopped_no_link);
    lan.cable.plug();
    then(State::connected);
    configure(lan.host, "del", "10.77.1.30/24");
    then(State::ethernet_link_up);
    lan.host.set_up("lan0", false);
    then(State::ethernet_stopped_no_link);
}

/// The changes of one device that the kernel told, as text to be compared. A device counts as
/// running a moment after its carrier is there, so that the same change may be told twice.
std::vector<std::string> texts(lab::NetlinkCapture& capture, int ifindex) {
    std::vector<std::string> texts;
    for (const auto& change : capture.changes()) {
        if (change.ifindex != 0 && change.ifindex != ifindex) continue;
        const auto flags = change.flags & ~static_cast<unsigned>(IFF_RUNNING);
        const auto text = "type " + std::to_string(change.type) + " flags " + std::to_string(flags);
        if (change.type != RTM_NEWLINK || texts.empty() || texts.back() != text) {
            texts.push_back(text);
        }
    }
    return texts;
}

}  // namespace

TEST_CASE("states and addresses of an observed interface follow", "[observed]") {
    lab::Lan lan;
    lab::Daemon daemon(lan.host, lan.bus, lan.observed());
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_stopped_no_link); }));
    CHECK(diary.steps() == Steps{{-1, 204}});
    CHECK_FALSE(lan.host.is_up("lan0"));  // opening does not power it

    manage(lan, [&](State state) {
        CAPTURE(static_cast<int>(state));
        REQUIRE(program.until(soon, [&] { return diary.is(state); }));
        const auto table = eth0.ip_table();
        REQUIRE(table);
        if (state == State::connected) {
            CHECK(table->address == ip("10.77.1.30"));
            CHECK(table->netmask == ip("255.255.255.0"));
            CHECK(table->broadcast == ip("10.77.1.255"));
        } else {
            CHECK(*table == impnet::IpTable{});
        }
    });
    CHECK(diary.steps() ==
          Steps{{-1, 204}, {204, 200}, {200, 1}, {1, 204}, {204, 1}, {1, 200}, {200, 204}});
    CHECK(lan.addresses().empty());
}

TEST_CASE("sockets work on an observed interface", "[observed]") {
    lab::Lan lan;
    lan.host.set_up("lan0");
    configure(lan.host, "add", "10.77.1.30/24");
    lab::Daemon daemon(lan.host, lan.bus, lan.observed());
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    CHECK(diary.steps() == Steps{{-1, 1}});
    lab::Mailbox mail;
    auto socket = eth0.open_udp(2001, mail.callback());
    REQUIRE(socket);
    lab::Peer peer(lan.server, 3000, "srv0");
    CHECK(lab::outcome(socket->send("255.255.255.255", 3000, "hello")) == "0");
    const auto received = peer.receive(lab::Deadline(soon));
    REQUIRE(received);
    CHECK(received->from == "10.77.1.30");
    CHECK(received->ttl == 1);
    peer.send("10.77.1.255", 2001, {1});
    REQUIRE(program.until(soon, [&] { return mail.size() == 1; }));

    // The address changes under it: the socket goes on with the new one.
    diary.clear();
    configure(lan.host, "del", "10.77.1.30/24");
    REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_link_up); }));
    CHECK(lab::outcome(socket->send("10.77.1.1", 3000, "hello")) == "1");
    configure(lan.host, "add", "10.77.1.31/24");
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    CHECK(diary.steps() == Steps{{1, 200}, {200, 1}});
    CHECK(lab::outcome(socket->send("10.77.1.1", 3000, "hello")) == "0");
    const auto again = peer.receive(lab::Deadline(soon));
    REQUIRE(again);
    CHECK(again->from == "10.77.1.31");
}

TEST_CASE("of several addresses the first primary one counts", "[observed]") {
    lab::Lan lan;
    lan.host.set_up("lan0");
    configure(lan.host, "add", "10.77.1.30/24");
    configure(lan.host, "add", "10.77.1.31/24");  // secondary
    configure(lan.host, "add", "10.88.1.30/24");  // primary, too
    lab::Daemon daemon(lan.host, lan.bus, lan.observed());
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    CHECK(eth0.ip_table()->address == ip("10.77.1.30"));
    lab::RawClient raw(lan.bus);
    CHECK(raw.interface_property<std::string>("eth0", "Address") == "10.77.1.30");
    CHECK_FALSE(raw.interface_property<bool>("eth0", "Managed"));
}

TEST_CASE("an observed interface takes no configuration", "[observed]") {
    lab::Lan lan;
    lab::Daemon daemon(lan.host, lan.bus, lan.observed());
    lab::Program program(lan.bus);
    impnet::Nic nic("eth0");
    nic.staticconfig = impnet::StaticConfig{.ip = "10.77.1.50",
                                            .netmask = "255.255.255.0",
                                            .gateway = "10.77.1.1",
                                            .dns = {"10.77.1.1"}};
    lab::Diary diary;
    CHECK(lab::outcome(program.client().open(nic, diary.callback())) == "NotSupported");
}

TEST_CASE("an interface is observed unless the configuration says otherwise", "[observed]") {
    lab::Lan lan;
    lan.host.set_up("lan0");
    configure(lan.host, "add", "10.77.1.30/24");
    lab::NetlinkCapture changes(lan.host);
    lab::Capture wire(lan.server, "srv0");
    {
        // A veth is nobody's network card: without a configuration it is not even offered.
        lab::Daemon daemon(lan.host, lan.bus, "");
        lab::RawClient raw(lan.bus);
        CHECK(lab::outcome_of([&] { raw.open("eth0"); }) == "NoSuchInterface");
    }
    CHECK(changes.changes().empty());
    CHECK(wire.udp_to(67) == 0);
    CHECK(lan.addresses() == "10.77.1.30/24 ");
}

TEST_CASE("observing changes nothing: the kernel tells the same with and without us",
          "[observed]") {
    // IPv6 takes its own time, and that is not what this is about.
    const auto quiet = [](lab::Lan& lan) {
        lan.host.run({"sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/lan0/disable_ipv6"});
    };
    std::vector<std::string> without;
    {
        lab::Lan lan;
        quiet(lan);
        lab::NetlinkCapture changes(lan.host);
        lab::NetlinkCapture pace(lan.host);
        // The same pace as with the daemon: on with the next step when the kernel told of this one.
        manage(lan, [&](State) {
            while (!lab::wait_readable({pace.fd()}, lab::Deadline(100ms)).empty()) pace.clear();
        });
        without = texts(changes, lan.host.ifindex("lan0"));
    }
    REQUIRE(without.size() > 10);

    lab::Lan lan;
    quiet(lan);
    lab::NetlinkCapture changes(lan.host);
    lab::NetlinkCapture pace(lan.host);
    lab::Capture wire(lan.server, "srv0");
    lab::Daemon daemon(lan.host, lan.bus, lan.observed());
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    auto socket = eth0.open_udp(2001);
    CHECK(changes.changes().empty());
    manage(lan, [&](State state) {
        REQUIRE(program.until(soon, [&] { return diary.is(state); }));
        while (!lab::wait_readable({pace.fd()}, lab::Deadline(100ms)).empty()) pace.clear();
    });
    eth0.close();
    CHECK(daemon.stop() == 0);
    CHECK(texts(changes, lan.host.ifindex("lan0")) == without);
    for (const auto& change : changes.changes()) {
        CHECK(change.requester != static_cast<std::uint32_t>(daemon.pid()));
    }
    CHECK(wire.udp_to(67) == 0);
    CHECK(wire.lost() == 0);
}
