// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Clients that lie, look where they should not, or do not read.
#include <cstdint>
#include <map>
#include <string>

#include <catch2/catch.hpp>

#include "lab/connected.hpp"
#include "lab/lab.hpp"
#include "lab/raw_client.hpp"

using namespace std::chrono_literals;

namespace {

using Managed =
    std::map<sdbus::ObjectPath, std::map<std::string, std::map<std::string, sdbus::Variant>>>;

std::map<std::string, std::uint64_t> statistics(lab::RawClient& client, const std::string& socket) {
    std::map<std::string, std::uint64_t> out;
    client.object(socket)
        ->callMethod("GetStatistics")
        .onInterface("org.impnet1.UdpSocket")
        .storeResultsTo(out);
    return out;
}

}  // namespace

TEST_CASE("nobody but the bus can say that a client has gone", "[hostile]") {
    lab::Connected connected;
    lab::RawClient victim(connected.lan.bus);
    const auto session = victim.open("eth0");

    lab::RawClient liar(connected.lan.bus);
    const auto stage = sdbus::createObject(liar.connection(), "/org/freedesktop/DBus");
    auto lie = stage->createSignal("org.freedesktop.DBus", "NameOwnerChanged");
    lie.setDestination("org.impnet1");
    lie << victim.unique_name() << victim.unique_name() << std::string();
    stage->emitSignal(lie);

    // The liar's next call is answered after its lie was heard.
    CHECK(liar.interface_property<std::string>("eth0", "Nii") == "eth0");
    std::int32_t state = -1;
    victim.object(session)
        ->callMethod("GetState")
        .onInterface("org.impnet1.Session")
        .storeResultsTo(state);
    CHECK(state == 1);
}

TEST_CASE("sessions and sockets are not in the list of managed objects", "[hostile]") {
    lab::Connected connected;
    lab::RawClient client(connected.lan.bus);
    const auto socket = client.open_udp(client.open("eth0"), {});
    Managed managed;
    client.manager()
        .callMethod("GetManagedObjects")
        .onInterface("org.freedesktop.DBus.ObjectManager")
        .storeResultsTo(managed);
    CHECK(managed.contains("/org/impnet1/interface/eth0"));
    for (const auto& [path, interfaces] : managed) {
        INFO(path);
        CHECK_FALSE(path.find("/session/") != std::string::npos);
        CHECK_FALSE(path.find("/socket/") != std::string::npos);
    }
    CHECK(client.property<std::uint16_t>(socket, "org.impnet1.UdpSocket", "LocalPort") == 0);
}

TEST_CASE("a client that does not read its signals is sent no more, and loses what comes",
          "[hostile]") {
    constexpr std::uint64_t window = 256;
    constexpr std::uint64_t all = 400;
    lab::Connected connected;
    lab::RawClient sleeper(connected.lan.bus);
    const auto socket =
        sleeper.open_udp(sleeper.open("eth0"), {{"port", sdbus::Variant(std::uint16_t{2001})}});
    lab::Peer peer(connected.lan.server, 3000, "srv0");

    // It calls, but never turns its loop: signals wait, and so does the ping between them.
    std::map<std::string, std::uint64_t> counted;
    const lab::Deadline deadline(20s);
    for (std::uint64_t sent = 0; sent < all;) {
        for (int i = 0; i < 40; ++i, ++sent) peer.send("10.77.1.100", 2001, {1, 2, 3});
        do {
            counted = statistics(sleeper, socket);
        } while (counted["received"] + counted["dropped"] < sent && !deadline.passed());
    }
    CHECK(counted["received"] == window);
    CHECK(counted["dropped"] == all - window);
}

TEST_CASE("a text that is cut for an error message is cut between characters", "[hostile]") {
    lab::Connected connected;
    lab::RawClient client(connected.lan.bus);
    for (std::size_t before = 30; before < 70; ++before) {
        std::string name;
        try {
            client.manager()
                .callMethod("GetInterface")
                .onInterface("org.impnet1.Manager")
                .withArguments(std::string(before, 'a') + "\u00e9\u20ac\U0001f600");
        } catch (const sdbus::Error& e) {
            name = e.getName();
        }
        REQUIRE(name == "org.impnet1.Error.NoSuchInterface");
    }
}
