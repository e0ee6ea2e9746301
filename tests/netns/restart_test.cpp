// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The daemon ends and another one takes its place, however it ended: interfaces stay as they are,
// sessions and sockets wait for their owners. And the bus goes and comes back.
#include <csignal>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <sys/socket.h>

#include "lab/device_settings.hpp"
#include "lab/lab.hpp"
#include "lab/owner.hpp"
#include "lab/program.hpp"
#include "lab/raw_client.hpp"

using namespace std::chrono_literals;

namespace {

constexpr auto soon = lab::Owner::soon;

using lab::Owner;
using lab::Running;
using lab::Steps;

/// The cable goes and comes back; the daemon's log, which `wait` waits for, says that it is done.
template <typename Wait>
void replug(lab::Lan& lan, Wait wait) {
    lan.cable.pull();
    wait(" state_name=ETHERNET_STOPPED_NO_LINK");
    lan.cable.plug();
    wait("state_name=CONNECTED previous_state=201");
}

/// Changes to the host's network by others than the kernel itself, as texts.
std::vector<std::string> requested(lab::NetlinkCapture& capture) {
    std::vector<std::string> out;
    for (const auto& change : capture.changes())
        if (change.type == 17 || change.type == 21)
            out.push_back(change.text());  // DELLINK, DELADDR
    return out;
}

}  // namespace

TEST_CASE("a daemon that is killed is succeeded without a gap", "[restart]") {
    Running running;
    auto& lan = running.lan;
    auto& dhcp = running.dhcp;
    auto& service = running.service;
    auto& owner = running.owner;
    const auto addresses = lan.addresses();
    lab::NetlinkCapture changes(lan.host);
    const int signal = GENERATE(SIGKILL, SIGSEGV, SIGTERM);
    service.crash(signal);
    owner.resume();
    REQUIRE(owner.reaches(1));
    CHECK(owner.steps == Steps{{1, 1}});  // told once more, and nothing in between
    CHECK(owner.state() == 1);
    CHECK(lan.addresses() == addresses);
    CHECK(requested(changes).empty());
    // The new one looks after the lease: the server is asked for this very address.
    dhcp.wait_log("DHCPACK(srv0) 10.77.1.1", lab::Deadline(soon));
}

TEST_CASE("a socket with delivery signal goes on under the next daemon", "[restart]") {
    Running running;
    auto& lan = running.lan;
    auto& service = running.service;
    auto& owner = running.owner;
    const auto socket =
        owner.raw.open_udp(owner.session, {{"port", sdbus::Variant(std::uint16_t{2001})}});
    lab::Peer peer(lan.server, 3000, "srv0");
    CHECK(owner.raw.send(socket, "10.77.1.1", 3000, {1, 2, 3}) == 0);
    REQUIRE(peer.receive(lab::Deadline(soon)));

    service.crash(SIGKILL);
    owner.resume();
    CHECK(owner.raw.send(socket, "10.77.1.1", 3000, {4}) == 0);
    const auto second = peer.receive(lab::Deadline(soon));
    REQUIRE(second);
    CHECK(second->data == lab::Bytes{4});
    CHECK(second->from_port == 2001);
    CHECK(owner.raw.property<std::uint16_t>(socket, "org.impnet1.UdpSocket", "LocalPort") == 2001);
    std::map<std::string, std::uint64_t> counters;
    owner.raw.object(socket)
        ->callMethod("GetStatistics")
        .onInterface("org.impnet1.UdpSocket")
        .storeResultsTo(counters);
    CHECK(counters.at("sent") == 2);
}

TEST_CASE("a socket that had not sent yet is still not in force under the next daemon",
          "[restart]") {
    Running running;
    auto& service = running.service;
    auto& owner = running.owner;
    const auto socket = owner.raw.open_udp(owner.session, {});
    service.crash(SIGKILL);
    owner.resume();
    const auto port = [&] {
        return owner.raw.property<std::uint16_t>(socket, "org.impnet1.UdpSocket", "LocalPort");
    };
    CHECK(port() == 0);
    CHECK(owner.raw.send(socket, "10.77.1.1", 3000, {1}) == 0);
    CHECK(port() >= 1024);
}

TEST_CASE("a crash does not fill the bucket", "[restart]") {
    Running running("[limiter]\nburst = 10\nrate = 0.001\n");
    auto& owner = running.owner;
    const auto socket = owner.raw.open_udp(owner.session, {});
    for (int i = 0; i < 10; ++i) REQUIRE(owner.raw.send(socket, "10.77.1.1", 3000, {1}) == 0);
    CHECK(owner.raw.send(socket, "10.77.1.1", 3000, {1}) == 4);
    running.service.crash(SIGKILL);
    owner.resume();
    CHECK(owner.raw.send(socket, "10.77.1.1", 3000, {1}) == 4);
}

TEST_CASE("a cable pulled while there is no daemon is told by the next one", "[restart]") {
    Running running;
    auto& lan = running.lan;
    auto& service = running.service;
    auto& owner = running.owner;
    // It is stopped first, so that it cannot see the cable before it dies.
    ::kill(service.pid(), SIGSTOP);
    lan.cable.pull();
    service.crash(SIGKILL);
    owner.resume();
    REQUIRE(owner.reaches(204));
    CHECK(owner.steps == Steps{{1, 204}});
    owner.steps.clear();
    lan.cable.plug();
    REQUIRE(owner.reaches(1));
    CHECK(owner.steps == Steps{{204, 0}, {0, 200}, {200, 201}, {201, 1}});
}

TEST_CASE("a carrier that went and came back while there was no daemon is told", "[restart]") {
    Running running;
    auto& lan = running.lan;
    auto& service = running.service;
    auto& owner = running.owner;
    ::kill(service.pid(), SIGSTOP);
    lan.cable.pull();
    lan.cable.plug();
    service.crash(SIGKILL);
    owner.resume();
    REQUIRE(owner.reaches(1));
    CHECK(owner.steps == Steps{{1, 204}, {204, 0}, {0, 200}, {200, 201}, {201, 1}});
}

TEST_CASE("an address taken away while there was no daemon is noticed", "[restart]") {
    Running running;
    auto& lan = running.lan;
    auto& service = running.service;
    auto& owner = running.owner;
    ::kill(service.pid(), SIGSTOP);
    lan.host.run({"ip", "address", "flush", "dev", "lan0"});
    service.crash(SIGKILL);
    owner.resume();
    REQUIRE(owner.reaches(1));
    CHECK(owner.steps == Steps{{1, 201}, {201, 1}});
    CHECK(lan.addresses() == "10.77.1.100/24 ");
}

TEST_CASE("a device removed while there was no daemon is told, and its return", "[restart]") {
    Running running;
    auto& lan = running.lan;
    auto& service = running.service;
    auto& owner = running.owner;
    const auto socket = owner.raw.open_udp(owner.session, {});
    ::kill(service.pid(), SIGSTOP);
    lan.cable.remove();
    service.crash(SIGKILL);
    owner.resume();
    REQUIRE(owner.reaches(202));
    CHECK(owner.steps == Steps{{1, 202}});
    CHECK(lab::outcome_of([&] { owner.raw.send(socket, "10.77.1.1", 3000, {1}); }) != "ok");
    owner.steps.clear();
    lan.cable.restore();
    lan.server.run({"ip", "address", "add", "10.77.1.1/24", "broadcast", "+", "dev", "srv0"});
    REQUIRE(owner.reaches(1));
    CHECK(owner.steps == Steps{{202, 0}, {0, 200}, {200, 201}, {201, 1}});
}

TEST_CASE("a device that is only observed from a restart on is as it was found", "[restart]") {
    lab::Lan lan;
    auto options = lab::DhcpServer::Options::only("10.77.1.100");
    options.more = {"--dhcp-option=option:mtu,1400"};
    const lab::DhcpServer dhcp(lan.server, "srv0", options);
    const auto found = lab::settings_of(lan.host, "lan0");
    SECTION("while somebody has it open") {
        lab::Service service(lan.host, lan.bus, lan.managed());
        Owner owner(lan);
        owner.open();
        REQUIRE(owner.reaches(1));
        REQUIRE(lab::settings_of(lan.host, "lan0") != found);
        owner.steps.clear();
        std::ofstream(service.config_path()) << lan.observed();
        service.crash(GENERATE(SIGKILL, SIGTERM));
        owner.resume();
        REQUIRE(owner.reaches(204));
        CHECK(owner.steps == Steps{{1, 202}, {202, 204}});
        CHECK(lan.addresses().empty());
        CHECK_FALSE(lan.host.is_up("lan0"));
        CHECK(lab::settings_of(lan.host, "lan0") == found);

        // Whatever another program does with it is followed, and not touched.
        lan.host.set_up("lan0");
        REQUIRE(owner.reaches(200));
        owner.steps.clear();
        std::ofstream(service.config_path()) << lan.managed();
        service.crash(SIGKILL);
        owner.resume();
        REQUIRE(owner.reaches(1));
        CHECK(owner.steps == Steps{{200, 202}, {202, 0}, {0, 200}, {200, 201}, {201, 1}});
        CHECK(lan.addresses() == "10.77.1.100/24 ");
        owner.raw.call(owner.session, "org.impnet1.Session", "Close");
    }
    SECTION("while nobody has") {
        lab::Service service(lan.host, lan.bus, lan.managed("always-on = true\n"));
        service.wait_log("state_name=CONNECTED", lab::Deadline(soon), 0);
        REQUIRE(lan.addresses() == "10.77.1.100/24 ");
        std::ofstream(service.config_path()) << lan.observed();
        service.crash(SIGKILL);
        Owner after(lan);
        CHECK(after.raw.until(soon, [&] {
            std::int32_t state = 0;
            return lab::outcome_of([&] { state = after.state(); }) == "ok" && state == 204;
        }));
        CHECK(lan.addresses().empty());
        CHECK(lab::settings_of(lan.host, "lan0") == found);
    }
}

TEST_CASE("a session in the middle of connecting goes on to CONNECTED", "[restart]") {
    lab::Lan lan;
    lab::Service service(lan.host, lan.bus, lan.managed());
    Owner owner(lan);
    owner.open();
    REQUIRE(owner.reaches(201));
    owner.steps.clear();
    service.crash(SIGKILL);
    lab::DhcpServer dhcp(lan.server, "srv0");
    owner.resume();
    REQUIRE(owner.reaches(1));
    CHECK(owner.steps == Steps{{201, 0}, {0, 200}, {200, 201}, {201, 1}});
}

TEST_CASE("a static address of a client outlives the daemon, and ends with its session",
          "[restart]") {
    lab::Lan lan;
    lab::Service service(lan.host, lan.bus, lan.managed());
    Owner owner(lan);
    const lab::Dictionary address{{"ip", sdbus::Variant("10.77.1.50")},
                                  {"netmask", sdbus::Variant("255.255.255.0")},
                                  {"gateway", sdbus::Variant("10.77.1.1")},
                                  {"dns", sdbus::Variant(std::vector<std::string>{"10.77.1.1"})}};
    owner.open({{"interface", sdbus::Variant("eth0")}, {"staticconfig", sdbus::Variant(address)}});
    REQUIRE(owner.reaches(1));
    owner.steps.clear();
    service.crash(SIGKILL);
    owner.resume();
    REQUIRE(owner.reaches(1));
    CHECK(owner.steps == Steps{{1, 1}});
    CHECK(lan.addresses() == "10.77.1.50/24 ");
    lab::NetlinkCapture changes(lan.host);
    owner.raw.call(owner.session, "org.impnet1.Session", "Close");
    CHECK(lab::eventually(
        lab::Deadline(soon), {changes.fd()}, [&] { return lan.addresses().empty(); },
        [&] { changes.clear(); }));
}

TEST_CASE("who does not come back loses the session, and others go on", "[restart]") {
    Running running;
    auto& lan = running.lan;
    auto& service = running.service;
    auto& owner = running.owner;
    {
        Owner other(lan);
        other.open();
        REQUIRE(other.reaches(1));
        CHECK(owner.raw.interface_property<std::uint32_t>("eth0", "Sessions") == 2);
        service.crash(SIGKILL);
        // Both wait, also the one whose owner never comes.
        CHECK(owner.raw.interface_property<std::uint32_t>("eth0", "Sessions") == 2);
    }
    owner.resume();
    CHECK(lab::outcome_of([&] { owner.resume("00112233445566778899aabbccddeeff"); }) ==
          "Unavailable");
    CHECK(lab::outcome_of([&] { owner.resume(owner.token); }) == "Busy");
}

TEST_CASE("a token is worth nothing to another user", "[restart]") {
    Running running;
    auto& lan = running.lan;
    auto& service = running.service;
    auto& owner = running.owner;
    service.crash(SIGKILL);
    lab::Process::Setting setting;
    setting.user = 65534;
    lab::Process thief(lan.host,
                       {"busctl", "--address=" + lan.bus.address(), "call", "org.impnet1",
                        "/org/impnet1", "org.impnet1.Manager", "Resume", "s", owner.token},
                       setting);
    CHECK(thief.wait(lab::Deadline(soon)) != 0);
    owner.resume();
}

TEST_CASE("20 crashes in a row are survived", "[restart]") {
    Running running;
    auto& lan = running.lan;
    auto& service = running.service;
    auto& owner = running.owner;
    const auto socket =
        owner.raw.open_udp(owner.session, {{"port", sdbus::Variant(std::uint16_t{2001})}});
    lab::Peer peer(lan.server, 3000, "srv0");
    for (int i = 0; i < 20; ++i) {
        service.crash(i % 2 == 0 ? SIGKILL : SIGABRT);
        owner.resume();
        CHECK(owner.raw.send(socket, "10.77.1.1", 3000, {1}) == 0);
        REQUIRE(peer.receive(lab::Deadline(soon)));
    }
    CHECK(lan.addresses() == "10.77.1.100/24 ");
}

TEST_CASE("a daemon killed at any moment of its start is succeeded by one that works",
          "[restart]") {
    Running running;
    auto& lan = running.lan;
    auto& service = running.service;
    auto& owner = running.owner;
    for (int i = 0; i < 30; ++i) {
        // It has been started, and is somewhere on its way to READY.
        ::kill(service.pid(), SIGKILL);
        lab::wait_readable({}, lab::Deadline(std::chrono::milliseconds(i)));
    }
    service.crash(SIGKILL);
    owner.resume();
    REQUIRE(owner.reaches(1));
    CHECK(lan.addresses() == "10.77.1.100/24 ");
}

TEST_CASE("a stop ends what was handed out and leaves the interface", "[restart]") {
    // The relay's descriptors end with the daemon. On the kernel path it asks systemd whether this
    // is a stop or a restart (tests/vm/kernel_path_test.py).
    Running running("[datapath]\npath = \"relay\"\n");
    auto& lan = running.lan;
    auto& service = running.service;
    auto& owner = running.owner;
    const auto socket = owner.raw.open_udp(owner.session, {{"delivery", sdbus::Variant("fd")}});
    sdbus::UnixFd fd;
    lab::Dictionary info;
    owner.raw.object(socket)
        ->callMethod("Acquire")
        .onInterface("org.impnet1.UdpSocket")
        .storeResultsTo(fd, info);
    CHECK(service.stop() == 0);
    // The end of the stream.
    REQUIRE(!lab::wait_readable({fd.get()}, lab::Deadline(soon)).empty());
    char byte = 0;
    CHECK(::recv(fd.get(), &byte, 1, MSG_DONTWAIT) <= 0);
    CHECK(lan.addresses() == "10.77.1.100/24 ");
    CHECK(lan.host.is_up("lan0"));
}

TEST_CASE("an interface that goes down on a stop does so without a service manager", "[restart]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0");
    lab::Daemon daemon(lan.host, lan.bus, lan.managed("on-stop = \"down\"\n"));
    Owner owner(lan);
    owner.open();
    REQUIRE(owner.reaches(1));
    CHECK(daemon.stop() == 0);
    CHECK(lan.addresses().empty());
    CHECK_FALSE(lan.host.is_up("lan0"));
}

TEST_CASE("the bus goes and comes back: sessions and sockets stay", "[restart]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0");
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    lab::Peer peer(lan.server, 3000, "srv0");
    Owner::Claim claim;
    std::string socket;
    {
        Owner before(lan);
        before.open();
        REQUIRE(before.reaches(1));
        socket =
            before.raw.open_udp(before.session, {{"port", sdbus::Variant(std::uint16_t{2001})}});
        claim = before.claim();
        lan.bus.stop();
    }
    // What happens before the daemon has noticed, it tells a bus that is not there.
    replug(lan, [&, at = daemon.process().wait_output(" bus_lost ", lab::Deadline(soon))](
                    const char* text) mutable {
        at = daemon.process().wait_output(text, lab::Deadline(soon), at);
    });
    lan.bus.start();
    REQUIRE(lan.bus.wait_owned("org.impnet1", lab::Deadline(soon)));

    Owner after(lan);
    after.resume(claim);
    // What it was not told meanwhile is told now, step by step.
    REQUIRE(after.reaches(1));
    CHECK(after.steps == Steps{{1, 204}, {204, 0}, {0, 200}, {200, 201}, {201, 1}});
    CHECK(after.raw.send(socket, "10.77.1.1", 3000, {1}) == 0);
    CHECK(peer.receive(lab::Deadline(soon))->from_port == 2001);
}

TEST_CASE("a bus that ends at any moment of the daemon's coming is followed by the next",
          "[restart]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0");
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    for (int i = 0; i < 40; ++i) {
        lan.bus.stop();
        lan.bus.start();
        // The daemon is somewhere between its next try and its name.
        lab::wait_readable({}, lab::Deadline(std::chrono::milliseconds(i * 3)));
    }
    REQUIRE(lan.bus.wait_owned("org.impnet1", lab::Deadline(soon)));
    Owner owner(lan);
    owner.open();
    CHECK(owner.reaches(1));
}

TEST_CASE("steps that nobody could be told outlive a crash, too", "[restart]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0");
    lab::Service service(lan.host, lan.bus, lan.managed());
    Owner::Claim claim;
    {
        Owner before(lan);
        before.open();
        REQUIRE(before.reaches(1));
        claim = before.claim();
        lan.bus.stop();
    }
    replug(lan,
           [&, at = service.wait_log(" bus_lost ", lab::Deadline(soon), 0)](
               const char* text) mutable { at = service.wait_log(text, lab::Deadline(soon), at); });
    service.crash(SIGKILL);
    lan.bus.start();
    REQUIRE(lan.bus.wait_owned("org.impnet1", lab::Deadline(soon)));
    Owner after(lan);
    after.resume(claim);
    REQUIRE(after.reaches(1));
    CHECK(after.steps == Steps{{1, 204}, {204, 0}, {0, 200}, {200, 201}, {201, 1}});
}

TEST_CASE("an observed address that changed while there was no daemon makes steps", "[restart]") {
    lab::Lan lan;
    lan.host.set_up("lan0");
    lan.host.run({"ip", "address", "add", "10.77.1.50/24", "dev", "lan0"});
    lab::Service service(lan.host, lan.bus, lan.observed());
    Owner owner(lan);
    owner.open();
    REQUIRE(owner.reaches(1));
    owner.steps.clear();
    SECTION("another address") {
        ::kill(service.pid(), SIGSTOP);
        lan.host.run({"ip", "address", "add", "10.77.1.60/24", "dev", "lan0"});
        lan.host.run({"ip", "address", "del", "10.77.1.50/24", "dev", "lan0"});
        lan.host.run({"ip", "address", "replace", "10.77.1.60/24", "dev", "lan0"});
        service.crash(SIGKILL);
        owner.resume();
        REQUIRE(owner.reaches(1));
        CHECK(owner.steps == Steps{{1, 200}, {200, 1}});
    }
    SECTION("the same address") {
        service.crash(SIGKILL);
        owner.resume();
        REQUIRE(owner.reaches(1));
        CHECK(owner.steps == Steps{{1, 1}});
    }
}

TEST_CASE("a daemon starts without a bus and appears when there is one", "[restart]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0");
    lan.bus.stop();
    lab::Service service(lan.host, lan.bus, lan.managed("always-on = true\n"));
    service.wait_log("state_name=CONNECTED", lab::Deadline(soon), 0);
    lan.bus.start();
    REQUIRE(lan.bus.wait_owned("org.impnet1", lab::Deadline(soon)));
    Owner owner(lan);
    CHECK(owner.state() == 1);
}

TEST_CASE("root may reload by the bus, and is told what is wrong with a file", "[restart]") {
    Running running;
    auto& lan = running.lan;
    auto& service = running.service;
    auto& owner = running.owner;
    const auto reload = [&] { owner.raw.call("/org/impnet1", "org.impnet1.Manager", "Reload"); };
    CHECK(lab::outcome_of(reload) == "ok");
    std::ofstream(service.config_path()) << "[limits]\nsessions-per-uid = many\n";
    CHECK(lab::outcome_of(reload) == "InvalidArgument");
    // Others need polkit, which this bus does not have.
    lab::Process::Setting setting;
    setting.user = 65534;
    lab::Process other(lan.host,
                       {"busctl", "--address=" + lan.bus.address(), "call", "org.impnet1",
                        "/org/impnet1", "org.impnet1.Manager", "Reload"},
                       setting);
    CHECK(other.wait(lab::Deadline(soon)) != 0);
    CHECK(other.output().find("org.impnet1.configure") != std::string::npos);
}

TEST_CASE("when the host wakes up the lease is confirmed, and only logind may say so",
          "[restart]") {
    Running running;
    auto& lan = running.lan;
    auto& dhcp = running.dhcp;
    auto& service = running.service;
    auto& owner = running.owner;
    // As systemd-logind tells it.
    lab::RawClient logind(lan.bus);
    logind.connection().requestName("org.freedesktop.login1");
    lab::RawClient stranger(lan.bus);
    const auto tell = [](lab::RawClient& who, bool about_to_sleep) {
        const auto object = sdbus::createObject(who.connection(), "/org/freedesktop/login1");
        auto signal = object->createSignal("org.freedesktop.login1.Manager", "PrepareForSleep");
        signal << about_to_sleep;
        object->emitSignal(signal);
    };
    const auto renewals = [&] {
        std::size_t count = 0;
        const auto log = dhcp.log();
        for (auto at = log.find("DHCPACK"); at != std::string::npos;
             at = log.find("DHCPACK", at + 1))
            ++count;
        return count;
    };
    const auto before = renewals();
    tell(stranger, false);
    tell(logind, true);
    CHECK(owner.state() == 1);
    CHECK(renewals() == before);
    const auto known = dhcp.log().size();
    tell(logind, false);
    service.wait_log("host_woke_up", lab::Deadline(soon));
    dhcp.wait_log("DHCPACK", lab::Deadline(soon), known);
    CHECK(owner.state() == 1);
    CHECK(owner.steps.empty());
}

TEST_CASE("a reload changes limits at once, and a bad file changes nothing", "[restart]") {
    Running running;
    auto& lan = running.lan;
    auto& service = running.service;
    auto& owner = running.owner;
    const auto reload = [&](const std::string& more) {
        std::ofstream(service.config_path()) << lan.managed(more);
        ::kill(service.pid(), SIGHUP);
    };
    reload("[limits]\nsessions-per-uid = 1\n");
    service.wait_log("reloaded", lab::Deadline(soon));
    CHECK(lab::outcome_of([&] { owner.raw.open("eth0"); }) == "LimitExceeded");
    reload("[limits]\nsessions-per-uid = many\n");
    service.wait_log("reload_refused", lab::Deadline(soon));
    CHECK(lab::outcome_of([&] { owner.raw.open("eth0"); }) == "LimitExceeded");
    const auto known = service.log().size();
    reload("");
    service.wait_log("reloaded", lab::Deadline(soon), known);
    CHECK(lab::outcome_of([&] { owner.raw.open("eth0"); }) == "ok");
}
