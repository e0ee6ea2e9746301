// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Clients that come and go by the thousand, that never read, or that close what they are just
// using: the daemon serves the others as before, and is left with what it had.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <sys/socket.h>

#include "lab/connected.hpp"
#include "lab/footprint.hpp"
#include "lab/lab.hpp"
#include "lab/raw_client.hpp"
#include "lab/rude_client.hpp"

using namespace std::chrono_literals;
using lab::RudeClient;

namespace {

constexpr unsigned connections = 10'000;
constexpr unsigned warm_up_connections = 1'000;
constexpr unsigned races = 300;
constexpr unsigned warm_up_races = 50;
constexpr auto patience = 20s;
/// Less than 60 bytes for each connection that came and went.
constexpr std::size_t memory_tolerance = lab::sanitized ? std::size_t{512} << 20 : 512 << 10;

using Names = std::set<std::string>;

const std::string ours = "org.impnet1.Error.";
const std::string theirs = "org.freedesktop.DBus.Error.";

/// How many children a path of the daemon has.
std::size_t children(RudeClient& client, const std::string& path) {
    std::string xml;
    client.outcome({path, "org.freedesktop.DBus.Introspectable", "Introspect"}, {},
                   [&](const std::string&, sd_bus_message* reply) {
                       const char* text = nullptr;
                       if (sd_bus_message_read(reply, "s", &text) > 0) xml = text;
                   });
    std::size_t count = 0;
    for (auto at = xml.find("<node name="); at != std::string::npos;
         at = xml.find("<node name=", at + 1))
        ++count;
    return count;
}

/// Sessions and sockets of the daemon, once it knows who has gone.
std::size_t left_over(const lab::Bus& bus) {
    // The bus tells the daemon of an end before it passes on what we ask from here on, if it has
    // noticed the end itself; so ask until nothing changes.
    RudeClient client(bus);
    const lab::Deadline deadline(patience);
    std::size_t left = 0;
    do {
        left = children(client, "/org/impnet1/session") + children(client, "/org/impnet1/socket");
    } while (left > 0 && !deadline.passed());
    return left;
}

/// One of the ways in which clients come and go.
void come_and_go(const lab::Bus& bus, std::mt19937& random) {
    RudeClient client(bus);
    const auto open = RudeClient::nic("eth0");
    switch (random() % 6) {
        case 0:  // says hello and goes
            break;
        case 1:  // in the middle of a call
            client.call(RudeClient::manager("Open"), open, {});
            client.flush();
            break;
        case 2: {  // with a session, in the middle of further calls
            const auto session = client.open("eth0");
            client.call(RudeClient::session(session, "OpenUdp"), RudeClient::udp(0, "fd"), {});
            client.call(RudeClient::session(session, "Close"), {}, {});
            client.call(RudeClient::manager("Open"), open, {});
            client.flush();
            break;
        }
        case 3: {  // with a socket whose descriptor is on its way
            const auto socket = client.open_udp(client.open("eth0"), 0, "fd");
            client.call(RudeClient::socket(socket, "Acquire"), {}, {});
            client.flush();
            break;
        }
        case 4: {  // in the middle of a message
            client.flush();
            constexpr std::string_view beginning = "l\1\0\1\0\1\0\0\2\0\0\0";
            (void)!::send(sd_bus_get_fd(client.bus()), beginning.data(), beginning.size(),
                          MSG_NOSIGNAL);
            break;
        }
        default: {  // as it should be
            const auto session = client.open("eth0");
            client.open_udp(session, 0, "signal");
            client.outcome(RudeClient::session(session, "Close"));
        }
    }
    client.vanish();
}

/// A peer's sends in one go.
void flood(const lab::Peer& peer, const std::vector<std::uint16_t>& ports, unsigned each) {
    const auto data = lab::pattern(1'400);
    for (unsigned number = 0; number < each; ++number)
        for (const auto port : ports) peer.send(lab::Connected::address, port, data);
}

/// "received" of GetStatistics.
std::uint64_t counter(sd_bus_message* reply) {
    sd_bus_message_enter_container(reply, 'a', "{st}");
    const char* key = nullptr;
    std::uint64_t value = 0;
    while (sd_bus_message_read(reply, "{st}", &key, &value) > 0)
        if (key == std::string_view("received")) return value;
    return 0;
}

/// How long a call of somebody else takes, in microseconds, at worst.
std::uint64_t longest_call(RudeClient& client, unsigned calls) {
    std::uint64_t longest = 0;
    for (unsigned call = 0; call < calls; ++call) {
        const auto began = lab::monotonic_usec();
        if (client.outcome(RudeClient::manager("GetInfo")) != "ok") return UINT64_MAX;
        longest = std::max(longest, lab::monotonic_usec() - began);
    }
    return longest;
}

}  // namespace

TEST_CASE("ten thousand connections come and go, and leave nothing", "[abuse]") {
    lab::Connected connected;
    const auto& bus = connected.lan.bus;
    connected.eth0.close();
    std::mt19937 random(1);
    for (unsigned number = 0; number < warm_up_connections; ++number) come_and_go(bus, random);
    REQUIRE(left_over(bus) == 0);
    const auto before = lab::footprint_of(connected.daemon.pid());
    const auto began = lab::monotonic_usec();
    for (unsigned number = 0; number < connections; ++number) come_and_go(bus, random);
    const auto took = lab::monotonic_usec() - began;
    CHECK(left_over(bus) == 0);
    const auto after = lab::footprint_of(connected.daemon.pid());
    CAPTURE(before, after, took);
    CHECK(after.descriptors == before.descriptors);
    CHECK(after.memory <= before.memory + memory_tolerance);
    if (!lab::sanitized) CHECK(took < 60'000'000);
    std::printf("%u connections in %u ms\n", connections, static_cast<unsigned>(took / 1'000));

    lab::RawClient raw(bus);
    CHECK(raw.interface_property<std::uint32_t>("eth0", "Sessions") == 0);
    raw.open("eth0");
    CHECK(raw.interface_property<std::uint32_t>("eth0", "Sessions") == 1);
}

TEST_CASE("clients that read neither signals nor descriptors keep nobody waiting", "[abuse]") {
    constexpr unsigned sockets = 70;       // of each of two sleepers, more together than a bus
    constexpr std::uint64_t window = 256;  // lets one connection ask that is not answered
    constexpr unsigned datagrams = 400;
    constexpr std::size_t most = lab::sanitized ? std::size_t{512} << 20 : 8 << 20;

    lab::Connected connected;
    const auto& bus = connected.lan.bus;
    lab::Peer peer(connected.lan.server, 3000, "srv0");
    RudeClient other(bus);
    const auto before = lab::footprint_of(connected.daemon.pid());

    // Signals: two clients that never turn their loop again.
    std::vector<std::unique_ptr<RudeClient>> sleepers;
    std::vector<std::string> paths;
    std::vector<std::uint16_t> ports;
    for (unsigned sleeper = 0; sleeper < 2; ++sleeper) {
        auto& client = *sleepers.emplace_back(std::make_unique<RudeClient>(bus));
        const auto session = client.open("eth0");
        for (unsigned number = 0; number < sockets; ++number) {
            ports.push_back(static_cast<std::uint16_t>(5'000 + ports.size()));
            paths.push_back(client.open_udp(session, ports.back(), "signal"));
        }
    }
    // Descriptors: one that holds as many, and reads none.
    auto& holder = *sleepers.emplace_back(std::make_unique<RudeClient>(bus));
    const auto held_session = holder.open("eth0");
    std::vector<lab::Fd> held;
    for (unsigned number = 0; number < sockets; ++number) {
        ports.push_back(static_cast<std::uint16_t>(5'000 + ports.size()));
        held.push_back(holder.acquire(holder.open_udp(held_session, ports.back(), "fd")));
    }

    std::uint64_t longest = 0;
    for (unsigned round = 0; round < datagrams / 10; ++round) {
        flood(peer, ports, 10);
        longest = std::max(longest, longest_call(other, 3));
    }
    const auto flooded = lab::footprint_of(connected.daemon.pid());
    std::printf("longest wait of another client %u ms, %zu KiB more\n",
                static_cast<unsigned>(longest / 1'000), (flooded.memory - before.memory) / 1024);
    CHECK(longest < 1'000'000);
    CHECK(flooded.memory <= before.memory + most);

    // A client that reads is served as ever.
    lab::Mailbox mail;
    auto socket = connected.open_udp(2001, mail.callback());
    for (unsigned number = 0; number < 20; ++number)
        peer.send(lab::Connected::address, 2001, {'x'});
    CHECK(connected.program.until(5s, [&] { return mail.size() == 20; }));
    socket.close();

    // So is one who is sent signals, more of them than the window is wide.
    lab::RawClient reader(bus);
    const auto path =
        reader.open_udp(reader.open("eth0"), {{"port", sdbus::Variant(std::uint16_t{4'999})}});
    unsigned told = 0;
    const auto signals = reader.object(path);
    signals->uponSignal("Received")
        .onInterface("org.impnet1.UdpSocket")
        .call([&](const std::string&, std::uint16_t, const std::string&, std::uint16_t,
                  const std::vector<std::uint8_t>&) { ++told; });
    signals->finishRegistration();
    for (unsigned number = 1; number <= 3 * window; ++number) {
        peer.send(lab::Connected::address, 4'999, {'x'});
        REQUIRE(reader.until(5s, [&] { return told == number; }));
    }

    // No more was sent to those who do not read than the window is wide. (They ask without reading
    // first, so that nothing is confirmed before the daemon has counted.)
    std::map<std::uint64_t, unsigned> received;
    for (std::size_t number = 0; number < paths.size(); ++number) {
        sleepers[number / sockets]->call(
            RudeClient::socket(paths[number], "GetStatistics"), {},
            [&](const std::string&, sd_bus_message* reply) { ++received[counter(reply)]; });
    }
    for (const auto& sleeper : sleepers) sleeper->flush();
    for (const auto& sleeper : sleepers) REQUIRE(sleeper->settle(lab::Deadline(patience)));
    CHECK(received == std::map<std::uint64_t, unsigned>{{window, 2 * sockets}});

    for (auto& sleeper : sleepers) sleeper->vanish();
    held.clear();
    reader.call(reader.property<sdbus::ObjectPath>(path, "org.impnet1.UdpSocket", "Session"),
                "org.impnet1.Session", "Close");
    connected.eth0.close();
    REQUIRE(left_over(bus) == 0);
    CHECK(lab::footprint_of(connected.daemon.pid()).descriptors <= before.descriptors);
}

TEST_CASE("what is closed while it is used answers by name and leaves nothing", "[abuse]") {
    lab::Connected connected;
    const auto& bus = connected.lan.bus;
    connected.eth0.close();
    RudeClient client(bus);
    std::mt19937 random(2);
    const Names session_gone{"", ours + "Unavailable", theirs + "UnknownObject"};
    const Names socket_gone{"", ours + "SocketClosed", ours + "Busy", theirs + "UnknownObject"};
    std::map<std::string, unsigned> surprises;
    unsigned answers = 0;
    unsigned calls = 0;
    const auto call = [&](const RudeClient::Target& target, const RudeClient::Fill& fill,
                          const Names& allowed) {
        ++calls;
        client.call(target, fill, [&, target, allowed](const std::string& error, sd_bus_message*) {
            ++answers;
            if (!allowed.contains(error)) ++surprises[target.member + ": " + error];
        });
    };
    std::set<std::string> seen;
    const auto race = [&] {
        const auto session = client.open("eth0");
        const auto socket = client.open_udp(session, 0, "fd");
        CHECK(seen.insert(session).second);  // paths are never used again
        CHECK(seen.insert(socket).second);
        const auto send = [](sd_bus_message* message) {
            sd_bus_message_append(message, "sqay", "10.77.1.1", 3000, 1, 'x');
        };
        for (unsigned step = 0; step < 20; ++step) {
            switch (random() % 8) {
                case 0:
                    call(RudeClient::session(session, "Close"), {}, session_gone);
                    break;
                case 1:
                    call(RudeClient::socket(socket, "Close"), {}, socket_gone);
                    break;
                case 2:
                    call(RudeClient::session(session, "OpenUdp"), RudeClient::udp(0, "fd"),
                         session_gone);
                    break;
                case 3:
                    call(RudeClient::socket(socket, "Acquire"), {}, socket_gone);
                    break;
                case 4:
                    call(RudeClient::session(session, "GetSockets"), {}, session_gone);
                    break;
                case 5:
                    call(RudeClient::socket(socket, "GetStatistics"), {}, socket_gone);
                    break;
                default:
                    call(RudeClient::socket(socket, "Send"), send, socket_gone);
            }
        }
        // Twice is once.
        call(RudeClient::session(session, "Close"), {}, session_gone);
        call(RudeClient::session(session, "Close"), {},
             {ours + "Unavailable", theirs + "UnknownObject"});
        REQUIRE(client.settle(lab::Deadline(patience)));
        // The object goes a moment after the answer.
        CHECK(Names{ours + "Unavailable", theirs + "UnknownObject"}.contains(
            client.outcome(RudeClient::session(session, "GetState"))));
        CHECK(client.outcome(RudeClient::socket(socket, "GetStatistics")) ==
              theirs + "UnknownObject");
    };
    for (unsigned number = 0; number < warm_up_races; ++number) race();
    REQUIRE(left_over(bus) == 0);
    const auto before = lab::footprint_of(connected.daemon.pid());
    for (unsigned number = 0; number < races; ++number) race();
    REQUIRE(left_over(bus) == 0);
    const auto after = lab::footprint_of(connected.daemon.pid());
    for (const auto& [what, times] : surprises) UNSCOPED_INFO(what << " (" << times << " times)");
    CHECK(surprises.empty());
    CHECK(answers == calls);
    CAPTURE(before, after);
    CHECK(after.descriptors == before.descriptors);
    CHECK(after.memory <= before.memory + memory_tolerance);
}
