// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Opening an interface, and everything that can happen to it from then on: each step told, in
// order, none merged or skipped.
#include <csignal>
#include <fstream>

#include <catch2/catch.hpp>
#include <dirent.h>

#include "lab/lab.hpp"
#include "lab/program.hpp"
#include "lab/raw_client.hpp"
#include "lab/static_nic.hpp"

using namespace std::chrono_literals;
using impnet::State;
using lab::Steps;

namespace {

constexpr auto soon = 5s;

lab::DhcpServer::Options only(const std::string& address) {
    return lab::DhcpServer::Options::only(address);
}

impnet::Ipv4 ip(const char* text) {
    return *impnet::Ipv4::parse(text);
}

/// The DHCP client that runs in this world; 0: none.
pid_t dhcp_client() {
    pid_t found = 0;
    DIR* directory = ::opendir("/proc");
    while (const dirent* entry = ::readdir(directory)) {
        const std::string pid = entry->d_name;
        std::string command;
        std::getline(std::ifstream("/proc/" + pid + "/comm"), command);
        if (command == "udhcpc") found = std::stoi(pid);
    }
    ::closedir(directory);
    return found;
}

std::uint64_t usec(std::chrono::steady_clock::time_point time) {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count());
}

}  // namespace

TEST_CASE("opening tells STARTING, LINK_UP, DHCPING and CONNECTED", "[opening]") {
    lab::Lan lan;
    auto options = only("10.77.1.100");
    options.dns = {"10.77.1.1", "10.77.1.2"};
    lab::DhcpServer dhcp(lan.server, "srv0", options);
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    lab::Program program(lan.bus);
    lab::Diary diary;

    const auto before = lab::monotonic_usec();
    auto eth0 = program.open("eth0", diary);
    CHECK(diary.entries().empty());  // callbacks run from dispatch() only
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    CHECK(diary.steps() == Steps{{-1, 0}, {0, 200}, {200, 201}, {201, 1}});

    auto last = before;
    for (const auto& entry : diary.entries()) {
        CHECK_FALSE(entry.change.reason.empty());
        CHECK(usec(entry.change.time) >= last);
        last = usec(entry.change.time);
        CHECK(last <= entry.told_usec);
    }

    const auto table = eth0.ip_table();
    REQUIRE(table);
    CHECK(*table == impnet::IpTable{.address = ip("10.77.1.100"),
                                    .netmask = ip("255.255.255.0"),
                                    .broadcast = ip("10.77.1.255"),
                                    .gateway = ip("10.77.1.1"),
                                    .dhcpserver = ip("10.77.1.1"),
                                    .dnsservers = {ip("10.77.1.1"), ip("10.77.1.2")}});
    CHECK(eth0.nii() == "eth0");
    CHECK(eth0.state() == State::connected);
    CHECK(lan.addresses() == "10.77.1.100/24 ");
    // No default route: that is the uplink's.
    CHECK(lan.host.run({"ip", "-4", "route", "show", "default"}).empty());

    lab::RawClient raw(lan.bus);
    CHECK(raw.interface_property<std::int32_t>("eth0", "State") == 1);
    CHECK(raw.interface_property<std::string>("eth0", "StateName") == "CONNECTED");
    CHECK(raw.interface_property<std::string>("eth0", "Device") == "lan0");
    CHECK(raw.interface_property<bool>("eth0", "Managed"));
    CHECK(raw.interface_property<std::string>("eth0", "Address") == "10.77.1.100");
    CHECK(raw.interface_property<std::string>("eth0", "Netmask") == "255.255.255.0");
    CHECK(raw.interface_property<std::string>("eth0", "Broadcast") == "10.77.1.255");
    CHECK(raw.interface_property<std::string>("eth0", "Gateway") == "10.77.1.1");
    CHECK(raw.interface_property<std::string>("eth0", "DhcpServer") == "10.77.1.1");
    CHECK(raw.interface_property<std::vector<std::string>>("eth0", "DnsServers") ==
          std::vector<std::string>{"10.77.1.1", "10.77.1.2"});
    CHECK(raw.interface_property<std::uint32_t>("eth0", "Sessions") == 1);
}

TEST_CASE("a class name opens its primary interface", "[opening]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0");
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto ethernet = program.open("ethernet", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    CHECK(ethernet.nii() == "eth0");
}

TEST_CASE("no signal of a session comes before the reply to its Open", "[opening]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0");
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    lab::RawClient raw(lan.bus);

    // The first session's name is known beforehand; its signals are listened to before it exists.
    std::vector<std::string> order;
    const auto session = raw.object("/org/impnet1/session/1");
    session->uponSignal("StateChanged")
        .onInterface("org.impnet1.Session")
        .call([&](std::int32_t state, std::int32_t previous, std::uint64_t, const std::string&) {
            order.push_back(std::to_string(previous) + ">" + std::to_string(state));
        });
    session->finishRegistration();
    raw.manager()
        .callMethodAsync("Open")
        .onInterface("org.impnet1.Manager")
        .withArguments(lab::Dictionary{{"interface", sdbus::Variant("eth0")}})
        .uponReplyInvoke([&](const sdbus::Error* error, const sdbus::ObjectPath& path) {
            order.push_back(error == nullptr ? std::string(path) : error->getName());
        });
    REQUIRE(raw.until(soon, [&] { return !order.empty() && order.back() == "201>1"; }));
    CHECK(order ==
          std::vector<std::string>{"/org/impnet1/session/1", "-1>0", "0>200", "200>201", "201>1"});
}

TEST_CASE("an interface that is connected already reports CONNECTED alone", "[opening]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0");
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    lab::Program program(lan.bus);
    lab::Diary first_diary;
    auto first = program.open("eth0", first_diary);
    REQUIRE(program.until(soon, [&] { return first_diary.is(State::connected); }));

    lab::Diary diary;
    auto second = program.open("eth0", diary);
    CHECK(diary.entries().empty());
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    program.idle(100ms);
    CHECK(diary.steps() == Steps{{-1, 1}});
    CHECK(first_diary.entries().size() == 4);
}

TEST_CASE("a static address is connected without DHCPING and without a DHCP packet", "[opening]") {
    lab::Lan lan;
    lab::Capture wire(lan.server, "srv0");
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open(lab::static_nic(), diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    CHECK(diary.steps() == Steps{{-1, 0}, {0, 200}, {200, 1}});
    const auto table = eth0.ip_table();
    REQUIRE(table);
    CHECK(*table == impnet::IpTable{.address = ip("10.77.1.50"),
                                    .netmask = ip("255.255.255.0"),
                                    .broadcast = ip("10.77.1.255"),
                                    .gateway = ip("10.77.1.1"),
                                    .dhcpserver = {},
                                    .dnsservers = {ip("10.77.1.1")}});
    CHECK(lan.addresses() == "10.77.1.50/24 ");
    CHECK(wire.udp_to(67) == 0);
    CHECK(wire.lost() == 0);

    // It goes with its session, at once.
    lab::NetlinkCapture changes(lan.host);
    eth0.close();
    lab::RawClient raw(lan.bus);
    CHECK(raw.interface_property<std::int32_t>("eth0", "State") == -1);
    const auto none_left = [&] { return lan.addresses().empty(); };
    CHECK(
        lab::eventually(lab::Deadline(soon), {changes.fd()}, none_left, [&] { changes.clear(); }));
}

TEST_CASE("a pulled cable is told at once, and a cable put back leads to CONNECTED", "[opening]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0", only("10.77.1.100"));
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    lab::Mailbox mail;
    auto socket = eth0.open_udp(2001, mail.callback());
    REQUIRE(socket);
    lab::Peer peer(lan.server, 2001, "srv0");

    for (int round = 0; round < 3; ++round) {
        diary.clear();
        const auto pulled = lab::monotonic_usec();
        lan.cable.pull();
        REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_stopped_no_link); }));
        CHECK(diary.steps() == Steps{{1, 204}});
        CHECK(diary.last().told_usec - pulled < 100'000);
        // At once gone for programs; the kernel keeps it until the lease ends.
        const auto table = eth0.ip_table();
        REQUIRE(table);
        CHECK(*table == impnet::IpTable{});
        CHECK(lan.addresses() == "10.77.1.100/24 ");
        CHECK(lab::outcome(socket->send("10.77.1.1", 2001, "unplugged")) == "1");

        diary.clear();
        lan.cable.plug();
        REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
        CHECK(diary.steps() == Steps{{204, 0}, {0, 200}, {200, 201}, {201, 1}});

        // The same socket, in both directions.
        mail.clear();
        CHECK(lab::outcome(socket->send("10.77.1.1", 2001, "again")) == "0");
        const auto received = peer.receive(lab::Deadline(soon));
        REQUIRE(received);
        CHECK(received->from == "10.77.1.100");
        CHECK(received->from_port == 2001);
        peer.send("10.77.1.100", 2001, {'y', 'o'});
        REQUIRE(program.until(soon, [&] { return mail.size() == 1; }));
        CHECK(mail.arrived()[0] ==
              lab::Arrived{"10.77.1.1", 2001, "10.77.1.100", 2001, {'y', 'o'}});
    }
    CHECK(socket->is_open());
}

TEST_CASE("a static address of an extended NIC is thrown away with the link", "[opening]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0", only("10.77.1.100"));
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open(lab::static_nic(), diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    diary.clear();
    lan.cable.pull();
    REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_stopped_no_link); }));
    lan.cable.plug();
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    // What is stored is used instead: DHCP.
    CHECK(diary.steps() == Steps{{1, 204}, {204, 0}, {0, 200}, {200, 201}, {201, 1}});
    CHECK(eth0.ip_table()->address == ip("10.77.1.100"));
    CHECK(lan.addresses() == "10.77.1.100/24 ");
}

TEST_CASE("without a cable NO_LINK is told after the grace of 5 s", "[opening]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0");
    lan.cable.pull();
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(8s, [&] { return diary.is(State::ethernet_stopped_no_link); }));
    CHECK(diary.steps() == Steps{{-1, 0}, {0, 204}});
    const auto grace = usec(diary.entries()[1].change.time) - usec(diary.entries()[0].change.time);
    CHECK(grace >= 4'990'000);
    CHECK(grace < 5'500'000);

    diary.clear();
    lan.cable.plug();
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    CHECK(diary.steps() == Steps{{204, 0}, {0, 200}, {200, 201}, {201, 1}});
}

TEST_CASE("a cable that comes within the grace leads on without NO_LINK", "[opening]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0");
    lan.cable.pull();
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::starting); }));
    program.idle(300ms);
    lan.cable.plug();
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    CHECK(diary.steps() == Steps{{-1, 0}, {0, 200}, {200, 201}, {201, 1}});
}

TEST_CASE("a dead server is STOPPED with a reason, and CONNECTED soon after it is back",
          "[opening]") {
    lab::Lan lan;
    lab::Daemon daemon(lan.host, lan.bus, lan.managed("[timeouts]\nattempt = 2\n"));
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_stopped); }));
    CHECK(diary.steps() == Steps{{-1, 0}, {0, 200}, {200, 201}, {201, 202}});
    CHECK_THAT(diary.last().change.reason, Catch::Contains("DHCP"));
    const auto limit = usec(diary.last().change.time) - usec(diary.entries()[2].change.time);
    CHECK(limit >= 1'990'000);
    CHECK(limit < 2'500'000);

    // A further attempt tells its steps again, and fails again.
    diary.clear();
    REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_stopped); }));
    CHECK(diary.steps() == Steps{{202, 0}, {0, 200}, {200, 201}, {201, 202}});

    diary.clear();
    lab::DhcpServer dhcp(lan.server, "srv0");
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    CHECK(diary.steps() == Steps{{202, 0}, {0, 200}, {200, 201}, {201, 1}});
}

TEST_CASE("a lease refused when it is renewed is DHCPING, then CONNECTED with another",
          "[opening]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0", only("10.77.1.100"));
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));

    dhcp.start(only("10.77.1.120"), lab::DhcpServer::Leases::forget);
    diary.clear();
    const pid_t client = dhcp_client();
    REQUIRE(client > 0);
    ::kill(client, SIGUSR1);  // renew now, not in half an hour
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    CHECK_THAT(dhcp.log(), Catch::Contains("DHCPNAK"));
    CHECK(diary.steps() == Steps{{1, 201}, {201, 1}});
    CHECK(eth0.ip_table()->address == ip("10.77.1.120"));
    CHECK(lan.addresses() == "10.77.1.120/24 ");
}

TEST_CASE("a lease refused after a replug is replaced by another", "[opening]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0", only("10.77.1.100"));
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));

    lan.cable.pull();
    REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_stopped_no_link); }));
    dhcp.start(only("10.77.1.120"), lab::DhcpServer::Leases::forget);
    diary.clear();
    lan.cable.plug();
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    CHECK_THAT(dhcp.log(), Catch::Contains("DHCPNAK"));
    CHECK(diary.steps() == Steps{{204, 0}, {0, 200}, {200, 201}, {201, 1}});
    CHECK(eth0.ip_table()->address == ip("10.77.1.120"));
    CHECK(lan.addresses() == "10.77.1.120/24 ");
}

TEST_CASE("a lease that expires is DHCPING, STOPPED, and CONNECTED when the server is back",
          "[opening]") {
    lab::Lan lan;
    lab::BriefDhcpServer dhcp(lan.server, "srv0", 30);  // udhcpc holds none for less
    lab::Daemon daemon(lan.host, lan.bus, lan.managed("[timeouts]\nattempt = 3\n"));
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    const auto leased = usec(diary.last().change.time);
    dhcp.stop();
    diary.clear();

    REQUIRE(program.until(33s, [&] { return diary.is(State::ethernet_dhcping); }));
    CHECK(diary.steps() == Steps{{1, 201}});
    const auto held = usec(diary.last().change.time) - leased;
    CHECK(held >= 29'900'000);
    CHECK(held < 31'000'000);
    const auto table = eth0.ip_table();
    REQUIRE(table);
    CHECK(*table == impnet::IpTable{});
    CHECK(lan.addresses().empty());

    REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_stopped); }));
    CHECK(diary.steps() == Steps{{1, 201}, {201, 202}});
    dhcp.start();
    diary.clear();
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    CHECK(diary.steps() == Steps{{202, 0}, {0, 200}, {200, 201}, {201, 1}});
}

TEST_CASE("a DHCP client that dies is replaced, and nobody notices", "[opening]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0");
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    diary.clear();
    const auto before = lan.addresses();
    const pid_t first = dhcp_client();
    REQUIRE(first > 0);
    const auto so_far = daemon.log().size();
    ::kill(first, SIGKILL);
    daemon.process().wait_output("udhcpc_started", lab::Deadline(soon), so_far);
    program.idle(1s);
    CHECK(dhcp_client() > 0);
    CHECK(dhcp_client() != first);
    CHECK(diary.steps().empty());
    CHECK(lan.addresses() == before);
}

TEST_CASE("a device that is removed closes its sockets, and its return resumes the session",
          "[opening]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0");
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    auto socket = eth0.open_udp(2001);
    REQUIRE(socket);
    std::vector<std::string> closed;
    socket->on_closed([&](const std::string& reason) { closed.push_back(reason); });

    diary.clear();
    lan.cable.remove();
    REQUIRE(
        program.until(soon, [&] { return diary.is(State::ethernet_stopped) && !closed.empty(); }));
    CHECK(diary.steps() == Steps{{1, 204}, {204, 202}});  // the kernel sets it down first
    CHECK(diary.last().change.reason == "device removed");
    CHECK(closed == std::vector<std::string>{"device removed"});
    CHECK_FALSE(socket->is_open());
    CHECK(lab::outcome(socket->send("10.77.1.1", 2001, "gone")) == "SocketClosed");
    CHECK(eth0.is_open());
    CHECK(lab::outcome(eth0.open_udp(2002)) == "Unavailable");
    lab::Diary late;
    CHECK(lab::outcome(program.client().open("eth0", late.callback())) == "Unavailable");

    diary.clear();
    lan.cable.restore();
    dhcp.start();
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    CHECK(diary.steps() == Steps{{202, 0}, {0, 200}, {200, 201}, {201, 1}});
    lab::Peer peer(lan.server, 2001, "srv0");
    auto again = eth0.open_udp(2001);
    REQUIRE(again);
    CHECK(lab::outcome(again->send("10.77.1.1", 2001, "back")) == "0");
    CHECK(peer.receive(lab::Deadline(soon)));
}

TEST_CASE("the last session's end powers the interface down after the linger", "[opening]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0");
    lab::Daemon daemon(lan.host, lan.bus, lan.managed("[timeouts]\nlinger = 1\n"));
    lab::Program program(lan.bus);
    lab::RawClient raw(lan.bus);
    Steps steps;
    const auto interface = raw.object("/org/impnet1/interface/eth0");
    interface->uponSignal("StateChanged")
        .onInterface("org.impnet1.Interface")
        .call([&](std::int32_t state, std::int32_t previous, std::uint64_t, const std::string&) {
            steps.push_back({previous, state});
        });
    interface->finishRegistration();

    lab::Diary diary;
    auto first = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    lab::Diary second_diary;
    auto second = program.open("eth0", second_diary);
    first.close();
    raw.until(1500ms, [] { return false; });
    CHECK(raw.interface_property<std::int32_t>("eth0", "State") == 1);  // the second still has it

    // Opened again within the linger: nothing happens to the link.
    second.close();
    auto third = program.open("eth0", diary);
    raw.until(1500ms, [] { return false; });
    CHECK(steps == Steps{{-1, 0}, {0, 200}, {200, 201}, {201, 1}});
    CHECK(lan.host.is_up("lan0"));

    steps.clear();
    third.close();
    REQUIRE(raw.until(soon, [&] { return !steps.empty(); }));
    CHECK(steps == Steps{{1, -1}});
    CHECK(lan.addresses().empty());
    CHECK_FALSE(lan.host.is_up("lan0"));
    CHECK(dhcp_client() == 0);
}

TEST_CASE("an interface that is always on is connected without a client", "[opening]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0", only("10.77.1.100"));
    lab::Daemon daemon(lan.host, lan.bus, lan.managed("always-on = true\n"));
    lab::RawClient raw(lan.bus);
    const auto interface = raw.object("/org/impnet1/interface/eth0");
    std::int32_t state = -1;
    interface->uponSignal("StateChanged")
        .onInterface("org.impnet1.Interface")
        .call([&](std::int32_t now, std::int32_t, std::uint64_t, const std::string&) {
            state = now;
        });
    interface->finishRegistration();
    state = raw.interface_property<std::int32_t>("eth0", "State");
    CHECK(raw.until(soon, [&] { return state == 1; }));
    CHECK(lan.addresses() == "10.77.1.100/24 ");
    CHECK(raw.interface_property<std::uint32_t>("eth0", "Sessions") == 0);
}

TEST_CASE("a NIC that cannot be opened says why and changes nothing", "[opening]") {
    lab::Lan lan;
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    lab::NetlinkCapture changes(lan.host);
    lab::RawClient raw(lan.bus);
    using lab::Dictionary;
    using sdbus::Variant;
    const auto nic = [](Dictionary rest) {
        rest.emplace("interface", Variant("eth0"));
        return rest;
    };
    const auto address = [](const char* ip, const char* netmask, const char* gateway) {
        return Variant(Dictionary{{"ip", Variant(ip)},
                                  {"netmask", Variant(netmask)},
                                  {"gateway", Variant(gateway)},
                                  {"dns", Variant(std::vector<std::string>{"10.77.1.1"})}});
    };
    const auto refuse = [&](const Dictionary& dictionary, const std::string& error,
                            const std::string& names) {
        try {
            raw.open(dictionary);
            FAIL_CHECK("opened, instead of " << error << " naming " << names);
        } catch (const sdbus::Error& refusal) {
            CHECK(refusal.getName() == "org.impnet1.Error." + error);
            CHECK_THAT(refusal.getMessage(), Catch::Contains(names));
        }
    };
    refuse({}, "InvalidArgument", "interface");
    refuse({{"interface", Variant(std::int32_t{0})}}, "InvalidArgument", "interface");
    refuse({{"interface", Variant("lan0")}}, "NoSuchInterface", "lan0");
    refuse({{"interface", Variant("eth1")}}, "NoSuchInterface", "eth1");
    refuse({{"interface", Variant("wl0")}}, "NotSupported", "wifi");
    refuse({{"interface", Variant("cell0")}}, "NotSupported", "cell");
    refuse(nic({{"colour", Variant("blue")}}), "InvalidArgument", "colour");
    refuse(nic({{"staticconfig", Variant("10.77.1.50")}}), "InvalidArgument", "staticconfig");
    refuse(nic({{"staticconfig", Variant(Dictionary{})}}), "InvalidArgument", "staticconfig.");
    refuse(nic({{"staticconfig", address("10.77.1.500", "255.255.255.0", "10.77.1.1")}}),
           "InvalidArgument", "staticconfig.ip");
    refuse(nic({{"staticconfig", address("10.77.1.50", "255.0.255.0", "10.77.1.1")}}),
           "InvalidArgument", "staticconfig.netmask");
    refuse(nic({{"staticconfig", address("10.77.1.50", "255.255.255.0", "gateway")}}),
           "InvalidArgument", "staticconfig.gateway");
    refuse(
        nic({{"wificonfig", Variant(Dictionary{{"ssid", Variant("home")}, {"key", Variant("")}})}}),
        "InvalidArgument", "wificonfig");
    refuse(nic({{"cellconfig", Variant(Dictionary{{"apn", Variant("net")}})}}), "InvalidArgument",
           "cellconfig");

    CHECK(raw.interface_property<std::int32_t>("eth0", "State") == -1);
    CHECK(raw.interface_property<std::uint32_t>("eth0", "Sessions") == 0);
    CHECK_FALSE(lan.host.is_up("lan0"));
    CHECK(changes.changes().empty());
}

TEST_CASE("a NIC with a configuration is refused while the interface is in use", "[opening]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0");
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto plain = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    lab::Diary extended_diary;
    CHECK(lab::outcome(program.client().open(lab::static_nic(), extended_diary.callback())) ==
          "InUse");

    // The linger is not a use. The link is made anew with the other address.
    plain.close();
    auto extended = program.open(lab::static_nic(), extended_diary);
    REQUIRE(program.until(soon, [&] { return extended_diary.is(State::connected); }));
    CHECK(extended.ip_table()->address == ip("10.77.1.50"));
    CHECK(lan.addresses() == "10.77.1.50/24 ");

    // Also if identical; a plain one may join, and holds the configuration until it ends.
    lab::Diary other;
    CHECK(lab::outcome(program.client().open(lab::static_nic(), other.callback())) == "InUse");
    auto joined = program.open("eth0", other);
    REQUIRE(program.until(soon, [&] { return other.is(State::connected); }));
    extended.close();
    CHECK(joined.ip_table()->address == ip("10.77.1.50"));
}
