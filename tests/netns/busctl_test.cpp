// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The daemon by `busctl` alone: what a person at a terminal sees and can do.
#include <algorithm>
#include <csignal>
#include <fstream>
#include <regex>

#include <catch2/catch.hpp>

#include "lab/connected.hpp"
#include "lab/lab.hpp"
#include "lab/raw_client.hpp"

using namespace std::chrono_literals;
using Catch::Contains;

namespace {

constexpr auto soon = 5s;
const std::string service = "org.impnet1";

std::vector<std::string> busctl(const lab::Bus& bus, std::vector<std::string> words) {
    words.insert(words.begin(), {"busctl", "--address=" + bus.address()});
    return words;
}

std::string ask(lab::Connected& connected, std::vector<std::string> words) {
    return connected.lan.host.run(busctl(connected.lan.bus, std::move(words)));
}

}  // namespace

TEST_CASE("busctl tree shows all objects", "[busctl]") {
    lab::Connected connected;
    auto socket = connected.open_udp(2001);
    CHECK(ask(connected, {"tree", "--list", service}) ==
          "/\n"
          "/org\n"
          "/org/impnet1\n"
          "/org/impnet1/interface\n"
          "/org/impnet1/interface/eth0\n"
          "/org/impnet1/policy\n"
          "/org/impnet1/session\n"
          "/org/impnet1/session/1\n"
          "/org/impnet1/socket\n"
          "/org/impnet1/socket/1\n");
    connected.eth0.close();
    const auto after = ask(connected, {"tree", "--list", service});
    CHECK_THAT(after, !Contains("/session/1"));
    CHECK_THAT(after, !Contains("/socket/1"));
}

TEST_CASE("busctl introspect shows members with their signatures and values", "[busctl]") {
    lab::Connected connected;
    auto socket = connected.open_udp(2001);
    // Columns are as wide as their content: one space between words will do.
    const auto introspect = [&](const std::string& path) {
        const auto text = ask(connected, {"introspect", service, path});
        return std::regex_replace(text, std::regex(" +"), " ");
    };
    const auto manager = introspect("/org/impnet1");
    CHECK_THAT(manager, Contains("org.impnet1.Manager interface") &&
                            Contains(".Open method a{sv} o") &&
                            Contains("org.freedesktop.DBus.ObjectManager interface") &&
                            Contains(".GetManagedObjects method - a{oa{sa{sv}}}"));
    const auto eth0 = introspect("/org/impnet1/interface/eth0");
    CHECK_THAT(eth0, Contains(".State property i 1 ") && Contains(".StateChanged signal iits") &&
                         Contains(".Address property s \"10.77.1.100\""));
    const auto session = introspect("/org/impnet1/session/1");
    CHECK_THAT(session,
               Contains(".OpenUdp method a{sv} o") && Contains(".StateChanged signal iits"));
    const auto udp_socket = introspect("/org/impnet1/socket/1");
    CHECK_THAT(udp_socket,
               Contains(".Acquire method - ha{sv}") && Contains(".Send method sqay i") &&
                   Contains(".Received signal sqsqay") && Contains(".LocalPort property q 2001"));
}

TEST_CASE("busctl get-property reads states and addresses", "[busctl]") {
    lab::Connected connected;
    auto socket = connected.open_udp(2001);
    const auto get = [&](const std::string& path, const std::string& interface,
                         const std::string& name) {
        return ask(connected, {"get-property", service, path, service + "." + interface, name});
    };
    const std::string eth0 = "/org/impnet1/interface/eth0";
    CHECK(get(eth0, "Interface", "Nii") == "s \"eth0\"\n");
    CHECK(get(eth0, "Interface", "Class") == "s \"ethernet\"\n");
    CHECK(get(eth0, "Interface", "State") == "i 1\n");
    CHECK(get(eth0, "Interface", "StateName") == "s \"CONNECTED\"\n");
    CHECK(get(eth0, "Interface", "Address") == "s \"10.77.1.100\"\n");
    CHECK(get(eth0, "Interface", "DnsServers") == "as 1 \"10.77.1.1\"\n");
    CHECK(get(eth0, "Interface", "Enabled") == "b true\n");
    CHECK(get(eth0, "Interface", "Sessions") == "u 1\n");
    std::string mac = connected.lan.host.mac("lan0");
    mac.erase(std::remove(mac.begin(), mac.end(), ':'), mac.end());
    CHECK(get(eth0, "Interface", "MacAddress") == "s \"" + mac + "\"\n");
    CHECK_THAT(get("/org/impnet1", "Manager", "DataPath"),
               Contains("\"relay\"") || Contains("\"kernel\""));
    CHECK(get("/org/impnet1/session/1", "Session", "Interface") == "o \"" + eth0 + "\"\n");
    CHECK(get("/org/impnet1/session/1", "Session", "Nic") == "a{sv} 1 \"interface\" s \"eth0\"\n");
    CHECK(get("/org/impnet1/socket/1", "UdpSocket", "LocalPort") == "q 2001\n");
    CHECK(get("/org/impnet1/socket/1", "UdpSocket", "Session") == "o \"/org/impnet1/session/1\"\n");
}

TEST_CASE("busctl monitor shows every step, and sessions' signals to their owner alone",
          "[busctl]") {
    lab::Connected connected;
    auto& lan = connected.lan;
    const auto words = busctl(lan.bus, {"monitor", service});
    lab::Process monitor(lan.host, words);
    monitor.wait_output("Monitoring bus message stream", lab::Deadline(soon));
    lab::RawClient stranger(lan.bus);
    int overheard = 0;
    const auto session = stranger.object("/org/impnet1/session/1");
    session->uponSignal("StateChanged")
        .onInterface("org.impnet1.Session")
        .call([&](std::int32_t, std::int32_t, std::uint64_t, const std::string&) { ++overheard; });
    session->finishRegistration();

    lan.cable.pull();
    REQUIRE(connected.program.until(soon, [&] { return !connected.connected(); }));
    monitor.wait_output("INT32 204;", lab::Deadline(soon));
    const auto text = monitor.output();
    CHECK_THAT(text, Contains("Path=/org/impnet1/interface/eth0  Interface=org.impnet1.Interface  "
                              "Member=StateChanged"));
    CHECK_THAT(text, Contains("carrier lost"));
    monitor.wait_output("Member=PropertiesChanged", lab::Deadline(soon));
    // An eavesdropping monitor is root's privilege; an ordinary connection is not told.
    stranger.until(200ms, [] { return false; });
    CHECK(overheard == 0);
}

TEST_CASE("busctl call opens an interface for as long as busctl runs", "[busctl]") {
    lab::Connected connected;
    CHECK(ask(connected, {"call", service, "/org/impnet1", "org.impnet1.Manager", "Open", "a{sv}",
                          "1", "interface", "s", "eth0"}) == "o \"/org/impnet1/session/2\"\n");
    CHECK(ask(connected, {"get-property", service, "/org/impnet1/interface/eth0",
                          "org.impnet1.Interface", "Sessions"}) == "u 1\n");
    CHECK(ask(connected, {"call", service, "/org/impnet1", "org.impnet1.Manager", "GetInterface",
                          "s", "ethernet"}) == "o \"/org/impnet1/interface/eth0\"\n");
    CHECK_THROWS_WITH(ask(connected, {"call", service, "/org/impnet1", "org.impnet1.Manager",
                                      "Open", "a{sv}", "1", "interface", "s", "eth9"}),
                      Contains("eth9"));
    const auto info =
        ask(connected, {"call", service, "/org/impnet1", "org.impnet1.Manager", "GetInfo"});
    CHECK_THAT(info, Contains("\"type\" s \"ethernet\"") && Contains("\"macaddress\" s"));
}

TEST_CASE("the object manager lists interfaces and tells when they come and go", "[busctl]") {
    lab::Connected connected;
    auto& lan = connected.lan;
    const std::vector<std::string> list = {
        "call", service, "/org/impnet1", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"};
    CHECK_THAT(ask(connected, list), Contains("\"/org/impnet1/interface/eth0\""));

    lab::Process monitor(lan.host, busctl(lan.bus, {"monitor", service}));
    monitor.wait_output("Monitoring bus message stream", lab::Deadline(soon));
    lab::RawClient raw(lan.bus);
    const auto session = raw.open("eth0");
    raw.open_udp(session, {});
    raw.call(session, "org.impnet1.Session", "Close");
    connected.eth0.close();  // nobody holds the interface now: it goes with its device
    lan.cable.remove();
    const auto removed = monitor.wait_output("Member=InterfacesRemoved", lab::Deadline(soon));
    CHECK_THAT(ask(connected, list), !Contains("/org/impnet1/interface/eth0"));
    lan.cable.restore();
    monitor.wait_output("Member=InterfacesAdded", lab::Deadline(soon), removed);
    CHECK_THAT(ask(connected, list), Contains("\"/org/impnet1/interface/eth0\""));
    // Sessions and sockets come and go unannounced.
    CHECK(monitor.output().find("InterfacesAdded") > removed);
}

TEST_CASE("the daemon says its version and checks a configuration", "[busctl]") {
    lab::Connected connected;
    const auto version = connected.lan.host.run({connected.daemon.program(), "--version"});
    auto property =
        ask(connected, {"get-property", service, "/org/impnet1", "org.impnet1.Manager", "Version"});
    property = property.substr(3, property.rfind('"') - 3);
    CHECK_THAT(version, Contains(property));

    connected.lan.host.run({connected.daemon.program(),
                            "--config=" + connected.daemon.config_path(), "--check-config"});
    const auto wrong = lab::fresh_path(".toml");
    std::ofstream(wrong) << "[interfaces.eth0]\nmanaged = true\ncolour = \"blue\"\n";
    CHECK_THROWS_WITH(
        connected.lan.host.run({connected.daemon.program(), "--config=" + wrong, "--check-config"}),
        Contains(wrong) && Contains("colour") && Contains("3"));
}
