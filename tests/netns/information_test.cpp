// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What GetInfo and GetIpTable tell: these keys with these types, and no others.
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <sdbus-c++/sdbus-c++.h>

#include "lab/lab.hpp"
#include "lab/program.hpp"
#include "lab/raw_client.hpp"

using namespace std::chrono_literals;
using lab::Dictionary;
using sdbus::Variant;

namespace {

constexpr auto soon = 5s;
using Texts = std::vector<std::string>;

/// A table as text, "key: value" by key, so that all of it can be compared.
std::map<std::string, std::string> told(const Dictionary& table) {
    std::map<std::string, std::string> out;
    for (const auto& [key, value] : table) {
        std::string text;
        if (value.containsValueOfType<std::string>()) {
            text = value.get<std::string>();
        } else if (value.containsValueOfType<std::int64_t>()) {
            text = std::to_string(value.get<std::int64_t>());
        } else if (value.containsValueOfType<Texts>()) {
            for (const auto& entry : value.get<Texts>()) text += (text.empty() ? "" : " ") + entry;
        } else if (value.containsValueOfType<Dictionary>()) {
            for (const auto& [name, entry] : told(value.get<Dictionary>()))
                text.append(text.empty() ? "" : ", ").append(name).append("=").append(entry);
        } else {
            text = "of type " + value.peekValueType();
        }
        out[key] = text;
    }
    return out;
}

using Told = std::map<std::string, std::string>;

/// A client that opened an interface by itself.
struct Asking {
    explicit Asking(lab::Lan& lan) : raw(lan.bus) {}

    void open(const Dictionary& nic) { session = raw.open(nic); }
    bool reaches(std::int32_t state) {
        const sdbus::Slot every_signal =
            raw.connection().addMatch("type='signal',sender='org.impnet1'", [](sdbus::Message&) {});
        return raw.until(
            soon, [&] { return raw.interface_property<std::int32_t>("eth0", "State") == state; });
    }
    Told ip_table() {
        Dictionary out;
        raw.object(session)
            ->callMethod("GetIpTable")
            .onInterface("org.impnet1.Session")
            .storeResultsTo(out);
        CHECK(out.size() == 1);
        return told(out.at("ipv4").get<Dictionary>());
    }
    Dictionary info() {
        Dictionary out;
        raw.manager().callMethod("GetInfo").onInterface("org.impnet1.Manager").storeResultsTo(out);
        return out;
    }
    std::vector<Told> interfaces() {
        std::vector<Told> out;
        for (const auto& table : info().at("interface").get<std::vector<Dictionary>>())
            out.push_back(told(table));
        return out;
    }

    lab::RawClient raw;
    std::string session;
};

/// "aa:bb:cc:dd:ee:ff" as the guide writes it.
std::string digits(std::string mac) {
    std::erase(mac, ':');
    return mac;
}

Dictionary plain() {
    return {{"interface", Variant("eth0")}};
}

}  // namespace

TEST_CASE("GetIpTable tells what a lease gave, and nothing while there is none", "[information]") {
    lab::Lan lan;
    auto options = lab::DhcpServer::Options::only("10.77.1.100");
    options.dns = {"10.77.1.1", "10.77.1.2", "10.77.1.3"};
    lab::DhcpServer dhcp(lan.server, "srv0", options);
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    Asking client(lan);
    lan.cable.pull();
    client.open(plain());
    CHECK(client.ip_table().empty());
    lan.cable.plug();
    REQUIRE(client.reaches(1));
    CHECK(client.ip_table() == Told{{"address", "10.77.1.100"},
                                    {"netmask", "255.255.255.0"},
                                    {"broadcast", "10.77.1.255"},
                                    {"gateway", "10.77.1.1"},
                                    {"dhcpserver", "10.77.1.1"},
                                    {"dnsserver", "10.77.1.1 10.77.1.2"}});  // at most two
    lan.cable.pull();
    REQUIRE(client.reaches(204));
    CHECK(client.ip_table().empty());
}

TEST_CASE("what a server does not name is left out of the table", "[information]") {
    lab::Lan lan;
    auto options = lab::DhcpServer::Options::only("10.77.1.100");
    options.router.clear();
    options.dns = {};
    lab::DhcpServer dhcp(lan.server, "srv0", options);
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    Asking client(lan);
    client.open(plain());
    REQUIRE(client.reaches(1));
    CHECK(client.ip_table() == Told{{"address", "10.77.1.100"},
                                    {"netmask", "255.255.255.0"},
                                    {"broadcast", "10.77.1.255"},
                                    {"dhcpserver", "10.77.1.1"}});
}

TEST_CASE("GetIpTable has no DHCP server beside a static address, and the proxy without its secret",
          "[information]") {
    lab::Lan lan;
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    Asking client(lan);
    auto nic = plain();
    nic["staticconfig"] = Variant(Dictionary{{"ip", Variant("10.77.1.50")},
                                             {"netmask", Variant("255.255.255.128")},
                                             {"gateway", Variant("10.77.1.1")},
                                             {"dns", Variant(Texts{"10.77.1.2"})}});
    nic["proxyconfig"] = Variant(Dictionary{{"type", Variant("http")},
                                            {"address", Variant("proxy.lan")},
                                            {"port", Variant(std::uint16_t{3128})},
                                            {"username", Variant("me")},
                                            {"password", Variant("a secret")}});
    client.open(nic);
    REQUIRE(client.reaches(1));
    CHECK(client.ip_table() == Told{{"address", "10.77.1.50"},
                                    {"netmask", "255.255.255.128"},
                                    {"broadcast", "10.77.1.127"},
                                    {"gateway", "10.77.1.1"},
                                    {"dnsserver", "10.77.1.2"},
                                    {"proxy", "address=proxy.lan, port=3128, type=http, user=me"}});

    // As the library has it.
    lab::Program program(lan.bus);
    lab::Diary diary;
    const auto eth0 = program.open("eth0", diary);
    REQUIRE(program.connects(diary));
    const auto table = eth0.ip_table();
    REQUIRE(table);
    CHECK(table->proxy == impnet::Proxy{"http", "proxy.lan", 3128, "me"});
    CHECK(table->dnsservers == std::vector{*impnet::Ipv4::parse("10.77.1.2")});
    CHECK_FALSE(table->dhcpserver);
}

TEST_CASE("GetInfo tells of the hardware that is there, and no more", "[information]") {
    lab::Lan lan;
    lab::Namespace far("far");
    lab::Cable cable(lan.host, "lan1", far, "srv0");
    lab::DhcpServer dhcp(lan.server, "srv0", lab::DhcpServer::Options::only("10.77.1.100"));
    lab::Daemon daemon(lan.host, lan.bus,
                       lan.managed("[interfaces.eth1]\ndevice = \"lan1\"\n"
                                   "[interfaces.eth2]\ndevice = \"lan2\"\n"));
    Asking client(lan);
    client.open(plain());
    REQUIRE(client.reaches(1));
    const Told eth0{
        {"type", "ethernet"}, {"macaddress", digits(lan.host.mac("lan0"))}, {"speed", "10000"}};
    const Told eth1{
        {"type", "ethernet"}, {"macaddress", digits(lan.host.mac("lan1"))}, {"speed", "10000"}};
    // There is no uplink: none is the active one, and so there is no table of it.
    CHECK(client.info().size() == 1);
    CHECK(client.interfaces() == std::vector{eth0, eth1});

    cable.remove();
    const sdbus::Slot every_signal = client.raw.connection().addMatch(
        "type='signal',sender='org.impnet1'", [](sdbus::Message&) {});
    REQUIRE(client.raw.until(soon, [&] { return client.interfaces().size() == 1; }));
    CHECK(client.interfaces() == std::vector{eth0});
    // Also where a session waits for the device.
    lan.cable.remove();
    CHECK(client.raw.until(soon, [&] { return client.interfaces().empty(); }));
    CHECK(client.info().size() == 1);
    CHECK(client.ip_table().empty());
}
