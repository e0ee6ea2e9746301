// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A DHCP server that lies, breaks the rules or shouts: what comes of each lie, and that an honest
// answer is all it takes to recover.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "addressing/udhcpc.hpp"
#include "lab/footprint.hpp"
#include "lab/lab.hpp"
#include "lab/loop_wait.hpp"
#include "lab/program.hpp"
#include "lab/strange_dhcp_server.hpp"
#include "lab/text.hpp"
#include "loop/loop.hpp"
#include "netns/built_programs.hpp"
#include "ports/lease_cases.hpp"

using namespace std::chrono_literals;
using impnet::State;
using lab::Steps;
using Server = lab::StrangeDhcpServer;

namespace {

using impnetd::Ipv4;
using impnetd::Ipv4Network;
using impnetd::Lease;
using impnetd::Milliseconds;
using ports::LeaseReport;

constexpr auto soon = 5s;

/// The real lease port on a cable whose far end lies.
class Scene {
  public:
    Scene() : poll_(loop, server.fd(), [this](int) { server.serve(); }) {
        host.set_up("lan0");
        poll_.watch(impnetd::Poll::readable);
    }

    /// Starts over with a server that does as `lie` says.
    void begin(const std::function<void(Server&)>& lie) {
        port.stop();
        log.reports.clear();
        server.be_honest();
        server.seen.clear();
        lie(server);
        port.start({"lan0", *impnetd::MacAddress::parse(host.mac("lan0")), "lab-host", {}});
    }
    bool until(Milliseconds limit, const std::function<bool()>& predicate) {
        return lab::run_until(loop, limit, predicate);
    }
    bool obtained() const {
        return !log.reports.empty() && log.reports.back().kind == LeaseReport::Kind::obtained;
    }
    /// An honest answer is enough.
    bool recovers() {
        server.be_honest();
        log.reports.clear();
        return until(soon, [this] { return obtained(); }) &&
               log.reports.back().lease.network == Ipv4Network{Ipv4(10, 77, 1, 100), 24};
    }

    ports::LeaseLog log;
    lab::Namespace host{"host"};
    lab::Namespace far{"server"};
    lab::Cable cable{host, "lan0", far, "srv0"};
    Server server{far, "srv0"};
    lab::Namespace::Visit visit = host.enter();
    impnetd::Loop loop{[](std::string_view what) { FAIL_CHECK("fault in the loop: " << what); }};
    impnetd::Udhcpc port{loop, log, built_programs()};

  private:
    impnetd::Poll poll_;
};

/// What the honest server gives, seen as a lease.
Lease honest_lease() {
    Lease lease;
    lease.network = {Ipv4(10, 77, 1, 100), 24};
    lease.broadcast = Ipv4(10, 77, 1, 255);
    lease.server = Ipv4(10, 77, 1, 1);
    lease.seconds = 30;
    return lease;
}

/// No control character but the ends of lines, and nothing beyond ASCII.
bool is_plain(const std::string& text) {
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); });
}

/// The daemon on a host whose DHCP server lies, and a program that has eth0 open.
class Lied {
  public:
    bool until(Milliseconds limit, const std::function<bool()>& predicate) {
        return lab::eventually(lab::Deadline(limit), {program.client().fd(), server.fd()},
                               predicate, [this] {
                                   server.serve();
                                   program.turn();
                               });
    }
    bool connects() {
        return until(soon, [this] { return diary.is(State::connected); });
    }

    lab::Lan lan;
    Server server{lan.server, "srv0"};
    lab::Daemon daemon{lan.host, lan.bus, lab::Lan::managed("[timeouts]\nattempt = 2\n")};
    lab::Program program{lan.bus};
    lab::Diary diary;
};

const std::string shell = "$(reboot); `reboot` 'x' \"y\" | & > /etc/passwd";
const std::string terminal("\x1b[2J\r\n2026-01-01 error fake\0 \xff\xfe", 31);

}  // namespace

TEST_CASE("A lease that cannot be true is refused with its reason, and an honest one is taken",
          "[lying]") {
    struct Lie {
        std::string address;
        std::string mask;
        std::string reason;
    };
    Scene scene;
    for (const Lie& lie : {
             Lie{"10.77.1.100", "0.0.0.0", "netmask \"0.0.0.0\" is too short"},
             Lie{"10.77.1.100", "128.0.0.0", "netmask \"128.0.0.0\" is too short"},
             Lie{"10.77.1.100", "0.255.255.0", "netmask \"0.255.255.0\" has gaps"},
             Lie{"10.77.1.0", "255.255.255.0",
                 "address \"10.77.1.0/24\" is its subnet's own or broadcast address"},
             Lie{"10.77.1.255", "255.255.255.0",
                 "address \"10.77.1.255/24\" is its subnet's own or broadcast address"},
             Lie{"0.0.0.0", "255.255.255.0", "address \"0.0.0.0\" is no host's"},
             Lie{"127.0.0.1", "255.0.0.0", "address \"127.0.0.1\" is no host's"},
             Lie{"224.0.0.251", "255.255.255.0", "address \"224.0.0.251\" is no host's"},
             Lie{"255.255.255.255", "255.255.255.0", "address \"255.255.255.255\" is no host's"},
         }) {
        INFO(lie.address << " " << lie.mask);
        scene.begin([&](Server& server) {
            server.offers = lie.address;
            server.options[Server::subnet_mask] = Server::octets(lie.mask);
        });
        REQUIRE(scene.until(soon, [&] { return !scene.log.reports.empty(); }));
        CHECK(scene.log.reports[0].kind == LeaseReport::Kind::refused);
        CHECK(scene.log.reports[0].reason == "unusable lease: " + lie.reason);
        CHECK(scene.recovers());
    }
}

TEST_CASE("A lease with odd facts is taken without them", "[lying]") {
    struct Lie {
        std::string name;
        std::function<void(Server&)> lie;
        std::function<void(Lease&)> makes;
    };
    const auto set = [](std::uint8_t code, const std::string& value) {
        return [code, value](Server& server) { server.options[code] = value; };
    };
    const auto mask = [](std::uint8_t prefix) {
        return [prefix](Lease& lease) {
            lease.network.prefix = prefix;
            lease.broadcast = lease.network.broadcast();
        };
    };
    const auto seconds = [](std::uint32_t number) {
        return [number](Lease& lease) { lease.seconds = number; };
    };
    const auto nothing = [](Lease&) {};
    constexpr std::uint8_t mtu_option = 26;
    constexpr std::uint8_t routes_option = 121;
    std::string many;
    for (std::uint32_t i = 1; i <= 63; ++i) many += Server::octets(0x0a4d0300 + i);
    Scene scene;
    for (const Lie& lie : {
             Lie{"/31", set(Server::subnet_mask, Server::octets("255.255.255.254")), mask(31)},
             Lie{"/32", set(Server::subnet_mask, Server::octets("255.255.255.255")), mask(32)},
             Lie{"no mask", [](Server& server) { server.options.erase(Server::subnet_mask); },
                 mask(8)},
             Lie{"an MTU that no host takes", set(mtu_option, std::string("\0\x44", 2)), nothing},
             Lie{"an MTU of nothing", set(mtu_option, std::string("\0\0", 2)), nothing},
             Lie{"half an MTU", set(mtu_option, "\5"), nothing},
             Lie{"the largest MTU", set(mtu_option, "\xff\xff"),
                 [](Lease& lease) { lease.mtu = 65535; }},
             Lie{"a route without an end", set(routes_option, std::string("\x20\x0a\0\0", 4)),
                 nothing},
             Lie{"a route to more than one host",
                 set(routes_option, std::string("\x21\x0a\0\0\1\x0a\x4d\1\1", 9)), nothing},
             Lie{"a public address", [](Server& server) { server.offers = "8.8.8.8"; },
                 [](Lease& lease) {
                     lease.network.address = Ipv4(8, 8, 8, 8);
                     lease.broadcast = Ipv4(8, 8, 8, 255);
                 }},
             Lie{"another address than was offered",
                 [](Server& server) { server.acknowledges = "10.77.1.66"; },
                 [](Lease& lease) { lease.network.address = Ipv4(10, 77, 1, 66); }},
             Lie{"the server's own address", [](Server& server) { server.offers = "10.77.1.1"; },
                 [](Lease& lease) {
                     lease.network.address = Ipv4(10, 77, 1, 1);
                     lease.server.reset();
                 }},
             Lie{"for no time", set(Server::lease_time, Server::octets(0U)), seconds(30)},
             Lie{"for a second", set(Server::lease_time, Server::octets(1U)), seconds(30)},
             Lie{"for ever", set(Server::lease_time, Server::octets(~0U)), seconds(~0U)},
             Lie{"our address as gateway", set(Server::router, Server::octets("10.77.1.100")),
                 nothing},
             Lie{"our address as resolver", set(Server::dns, Server::octets("10.77.1.100")),
                 nothing},
             Lie{"our address as the server's",
                 [](Server& server) { server.identifier = "10.77.1.100"; },
                 [](Lease& lease) { lease.server.reset(); }},
             Lie{"everybody as gateway", set(Server::router, Server::octets("10.77.1.255")),
                 nothing},
             Lie{"hundreds of routers", set(Server::router, many),
                 [](Lease& lease) { lease.gateway = Ipv4(10, 77, 3, 1); }},
             Lie{"hundreds of resolvers", set(Server::dns, many),
                 [](Lease& lease) {
                     lease.dns = {Ipv4(10, 77, 3, 1), Ipv4(10, 77, 3, 2)};
                 }},
             Lie{"half an address as gateway", set(Server::router, "xy"), nothing},
             Lie{"a shell's words as domain", set(Server::domain_name, shell), nothing},
             Lie{"a terminal's as host name", set(Server::host_name, terminal), nothing},
             Lie{"options that go on in fields that do not",
                 set(Server::overload, std::string(1, 3)), nothing},
         }) {
        INFO(lie.name);
        auto expected = honest_lease();
        lie.makes(expected);
        scene.begin(lie.lie);
        CHECK(scene.until(soon, [&] { return scene.obtained(); }));
        REQUIRE(scene.log.reports.size() == 1);
        CHECK(scene.log.reports[0].lease == expected);
    }
}

TEST_CASE("What is not an answer to our question, or is too large, is not heard", "[lying]") {
    const std::vector<std::function<void(std::string&)>> lies = {
        [](std::string& reply) { reply[Server::at_transaction] ^= 1; },
        [](std::string& reply) { reply[Server::at_hardware + 5] ^= 1; },
        [](std::string& reply) { reply[Server::at_cookie] ^= 1; },
        [](std::string& reply) { reply.erase(Server::at_options, 3); },  // no message type
        [](std::string& reply) { reply[Server::at_options + 2] = Server::discover; },
        [](std::string& reply) { reply.replace(Server::at_options, 2, "\x01\xff"); },
        [](std::string& reply) { reply.resize(Server::at_cookie); },
        [](std::string&
               reply) {  // more than the 576 octets that a client has to take (RFC 2131, 2)
            reply.pop_back();
            for (int i = 0; i < 4; ++i) reply += Server::option(Server::dns, std::string(252, 'x'));
            reply += '\xff';
        },
    };
    Scene scene;
    std::size_t next = 0;
    scene.begin([&](Server& server) {
        server.copies = lies.size();
        server.bend = [&](std::string& reply) { lies[next++ % lies.size()](reply); };
    });
    // It asks again: the first answers were not for it.
    CHECK(scene.until(soon, [&] { return scene.server.seen.size() >= 3; }));
    CHECK(std::all_of(scene.server.seen.begin(), scene.server.seen.end(),
                      [](const auto& asked) { return asked.type == Server::discover; }));
    CHECK(scene.log.reports.empty());
    CHECK(scene.recovers());
}

TEST_CASE("Of two servers that answer at once one gives the lease", "[lying]") {
    Scene scene;
    Server other(scene.far, "srv0", "10.77.1.2");
    other.offers = "10.77.1.200";
    impnetd::Poll poll(scene.loop, other.fd(), [&](int) { other.serve(); });
    poll.watch(impnetd::Poll::readable);
    // Both acknowledge, too, whomever it asked.
    scene.begin([](Server&) {});
    REQUIRE(scene.until(soon, [&] { return scene.obtained(); }));
    lab::run_for(scene.loop, 300ms);
    REQUIRE(scene.log.reports.size() == 1);
    auto expected = honest_lease();
    const auto& lease = scene.log.reports[0].lease;
    if (lease.server == Ipv4(10, 77, 1, 2)) {
        expected.network.address = Ipv4(10, 77, 1, 200);
        expected.server = Ipv4(10, 77, 1, 2);
    }
    CHECK(lease == expected);
}

TEST_CASE("Answers of random bytes bring no lease that makes no sense, and harm nobody",
          "[lying]") {
    Scene scene;
    std::mt19937 random(20'260'101);
    const auto below = [&](std::size_t bound) { return random() % bound; };
    scene.begin([&](Server& server) {
        server.copies = 50;
        server.bend = [&](std::string& reply) {
            if (below(4) == 0) reply.resize(Server::at_options + 1 + below(1'200), '\xff');
            for (auto bytes = below(40); bytes > 0; --bytes) {
                const auto from = below(8) == 0 ? 0 : Server::at_options;
                reply[from + below(reply.size() - from)] = static_cast<char>(below(256));
            }
        };
    });
    // Whatever was taken for a lease is given up, and it all begins again.
    const lab::Deadline deadline(4s);
    std::size_t rounds = 0;
    while (!deadline.passed()) {
        scene.until(500ms, [&] { return scene.obtained(); });
        for (const auto& report : scene.log.reports) {
            INFO(report.reason);
            CHECK(is_plain(report.reason));
            CHECK(report.reason.size() < 200);
            if (report.kind != LeaseReport::Kind::obtained) continue;
            CHECK(impnetd::is_host_address(report.lease.network));
            CHECK(report.lease.network.prefix >= 8);
            CHECK(report.lease.dns.size() <= 2);
        }
        if (scene.obtained()) {
            scene.log.reports.clear();
            scene.port.renew();
        }
        ++rounds;
    }
    CHECK(rounds > 5);
    CHECK(scene.server.sent > 100);
    CHECK(scene.recovers());
}

TEST_CASE("An attempt that only met lies is STOPPED and says so, and the next honest one connects",
          "[lying]") {
    Lied lied;
    lied.server.options[Server::subnet_mask] = Server::octets("0.0.0.0");
    auto eth0 = lied.program.open("eth0", lied.diary);
    REQUIRE(lied.until(soon, [&] { return lied.diary.is(State::ethernet_stopped); }));
    CHECK(lied.diary.steps() == Steps{{-1, 0}, {0, 200}, {200, 201}, {201, 202}});
    CHECK(lied.diary.last().change.reason ==
          "no lease within 2 s: unusable lease: netmask \"0.0.0.0\" is too short");
    CHECK(lied.lan.addresses().empty());
    // The pauses between its clients grow: 0.2, 0.4, 0.8 s.
    CHECK(lab::occurrences(lied.daemon.log(), "lease_unusable") <= 5);

    lied.server.be_honest();
    CHECK(lied.connects());
    CHECK(lied.lan.addresses() == "10.77.1.100/24 ");
}

TEST_CASE("A public address connects, and opens no way to public addresses", "[lying]") {
    Lied lied;
    lied.server.offers = "8.8.8.8";
    auto eth0 = lied.program.open("eth0", lied.diary);
    REQUIRE(lied.connects());
    CHECK(eth0.ip_table()->address == *impnet::Ipv4::parse("8.8.8.8"));
    auto socket = eth0.open_udp(2001);
    REQUIRE(socket);
    CHECK(lab::outcome(socket->send("255.255.255.255", 3000, "all")) == "0");
    CHECK(lab::outcome(socket->send("10.77.1.1", 3000, "private")) == "1");
    CHECK(lab::outcome(socket->send("8.8.8.1", 3000, "public")) == "AddressNotAllowed");
    CHECK_FALSE(socket->is_open());
}

TEST_CASE("Ten thousand refusals cost little, say little, and are got over", "[lying]") {
    Lied lied;
    lied.server.to_request = Server::Answer::refuse;
    lied.server.copies = 10'000;
    lied.server.refusal = terminal + shell;
    auto eth0 = lied.program.open("eth0", lied.diary);
    const auto& told = lied.diary.entries();
    const auto end = [&] {
        return std::find_if(told.begin(), told.end(), [](const auto& entry) {
            return entry.change.state == State::ethernet_stopped;
        });
    };
    REQUIRE(lied.until(soon, [&] { return end() != told.end(); }));
    // A refusal is no end of the attempt: that is its limit.
    CHECK(end()->change.previous == State::ethernet_dhcping);
    const auto& reason = end()->change.reason;
    CHECK_THAT(reason, Catch::StartsWith("no lease within 2 s: the DHCP server refused: "
                                         "?[2J??2026-01-01"));
    CHECK(is_plain(reason));
    CHECK(lied.server.sent >= 10'000);

    const auto log = lied.daemon.log();
    CHECK(is_plain(log));
    CHECK(lab::occurrences(log, "lease_refused") >= 1);
    CHECK(lab::occurrences(log, "lease_refused") <= 2);
    CHECK(lab::occurrences(log, "\n") < 60);
    CHECK(lab::processor_time_of(lied.daemon.pid()) < 2'000);

    lied.server.be_honest();
    CHECK(lied.connects());
}

TEST_CASE("A server that refuses every renewal costs a lease each time, and nothing else",
          "[lying]") {
    Lied lied;
    auto eth0 = lied.program.open("eth0", lied.diary);
    REQUIRE(lied.connects());
    lab::await_conflict_watch(lied.daemon.pid());
    const auto descriptors = lab::descriptors_of(lied.daemon.pid());
    for (int round = 0; round < 5; ++round) {
        lied.diary.clear();
        lied.lan.cable.pull();
        REQUIRE(lied.until(soon, [&] { return lied.diary.is(State::ethernet_stopped_no_link); }));
        // A renewal is a request without a discovery before it.
        lied.server.seen.clear();
        lied.server.bend = [&](std::string& reply) {
            const auto discovered = [](const auto& asked) {
                return asked.type == Server::discover;
            };
            const auto& seen = lied.server.seen;
            if (std::any_of(seen.begin(), seen.end(), discovered)) return;
            reply[Server::at_options + 2] = Server::nak;
        };
        lied.lan.cable.plug();
        REQUIRE(lied.connects());
        CHECK(lied.diary.steps() == Steps{{1, 204}, {204, 0}, {0, 200}, {200, 201}, {201, 1}});
        CHECK(lied.lan.addresses() == "10.77.1.100/24 ");
    }
    // The clients that were refused are gone at once, and what they held.
    CHECK(lab::children_of(lied.daemon.pid(), "udhcpc").size() == 1);
    CHECK(lab::has_at_most(descriptors, lied.daemon.pid()));
}
