// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the administrator may store: what the methods take, and what is refused by name of the key.
#include "core/stored_configuration.hpp"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "dicts.hpp"

using namespace impnetd;

namespace {

constexpr Nii eth0{InterfaceClass::ethernet, 0};
constexpr Nii eth1{InterfaceClass::ethernet, 1};
constexpr Nii wl0{InterfaceClass::wifi, 0};
constexpr Nii wl1{InterfaceClass::wifi, 1};
constexpr Nii cell0{InterfaceClass::cell, 0};

/// "InvalidArgument: ssid: missing", or "ok".
template <typename T>
std::string outcome(const Result<T>& result) {
    if (result) return "ok";
    const std::string name(bus_name(result.error().code));
    return name.substr(name.rfind('.') + 1) + ": " + result.error().message;
}

const Dict static_dict{{"ip", text("192.168.5.9")},
                       {"netmask", text("255.255.255.0")},
                       {"gateway", text("192.168.5.1")},
                       {"dns", Value{std::vector<std::string>{"9.9.9.9"}}}};
const Dict wifi_dict{{"ssid", text("home")}, {"key", text("a secret")}};
const Dict cell_dict{{"apn", text("internet")}};

StaticConfig static_config() {
    return {{Ipv4(192, 168, 5, 9), 24}, Ipv4(192, 168, 5, 1), {Ipv4(9, 9, 9, 9)}};
}

/// With something in every place.
StoredConfiguration everything() {
    StoredConfiguration stored;
    stored.disabled = {eth1};
    stored.static_networks[eth0] = static_config();
    stored.proxy = ProxyConfig{"http", "proxy.lan", 3128, "me", SealedBlob{1}};
    stored.wifi[wl0] = {"home", SealedBlob{2}};
    stored.wifi_hints[wl0] = {MacAddress::parse("0c2a6908b1f3"), 6};
    stored.cellular = CellularConfiguration{{"internet", "", {}}, SealedBlob{3}};
    stored.server_order = {wl0, eth0};
    stored.first_choice = eth1;
    return stored;
}

}  // namespace

TEST_CASE("a static address is for the primary ethernet interface, or for the one named") {
    const auto primary = parse_static_configuration(static_dict);
    REQUIRE(primary);
    CHECK(primary->nii == eth0);
    CHECK(primary->part == static_config());
    const auto other = parse_static_configuration(with(static_dict, "interface", text("wl1")));
    REQUIRE(other);
    CHECK(other->nii == wl1);
}

TEST_CASE("a Wi-Fi network is for the primary Wi-Fi interface, or for the one named") {
    const auto primary = parse_wifi_configuration(wifi_dict);
    REQUIRE(primary);
    CHECK(primary->nii == wl0);
    CHECK(primary->part == WifiConfig{"home", SecretText("a secret")});
    const auto other = parse_wifi_configuration(with(wifi_dict, "interface", text("wl1")));
    REQUIRE(other);
    CHECK(other->nii == wl1);
}

TEST_CASE("what is to be stored and is wrong is refused by the name of the key") {
    const auto wifi = [](const Dict& dict) { return outcome(parse_wifi_configuration(dict)); };
    CHECK(wifi(with(wifi_dict, "interface", text("eth0"))) ==
          "InvalidArgument: interface: not a Wi-Fi interface");
    CHECK(wifi(with(wifi_dict, "interface", text("lan0"))) ==
          "NoSuchInterface: interface: no NII \"lan0\"");
    CHECK(wifi(with(wifi_dict, "interface", Value{true})) ==
          "InvalidArgument: interface: not a string");
    CHECK(wifi(with(wifi_dict, "channel", Value{std::int64_t{1}})) ==
          "InvalidArgument: channel: unknown key");
    CHECK(wifi(without(wifi_dict, "key")) == "InvalidArgument: key: missing");
    CHECK(wifi(with(wifi_dict, "ssid", text(std::string(33, 's')))) ==
          "InvalidArgument: ssid: not 1 to 32 bytes long");
    CHECK(wifi(with(wifi_dict, "key", text("1234567"))) ==
          "InvalidArgument: key: neither 8 to 63 bytes long nor 64 hex digits");

    const auto address = [](const Dict& dict) { return outcome(parse_static_configuration(dict)); };
    CHECK(address(with(static_dict, "interface", text("cell0"))) ==
          "InvalidArgument: interface: a cellular interface has no static address");
    CHECK(address(with(static_dict, "gateway", text("192.168.6.1"))) ==
          "InvalidArgument: gateway: not another host's address inside the subnet");
    CHECK(address(with(static_dict, "ip", text("192.168.5.255"))) ==
          "InvalidArgument: ip: not an address that a host can have in this subnet");
    CHECK(address(with(static_dict, "netmask", text("255.0.255.0"))) ==
          "InvalidArgument: netmask: not a contiguous netmask from 128.0.0.0 to 255.255.255.252");
    CHECK(address(with(static_dict, "dns", Value{std::vector<std::string>{}})) ==
          "InvalidArgument: dns: needs 1 to 2 entries");

    const Dict proxy{
        {"type", text("http")}, {"address", text("p")}, {"port", Value{std::int64_t{80}}}};
    CHECK(outcome(parse_proxy_configuration(proxy)) == "ok");
    CHECK(outcome(parse_proxy_configuration(with(proxy, "type", text("socks")))) ==
          "InvalidArgument: type: not \"http\"");
    CHECK(outcome(parse_proxy_configuration(with(proxy, "interface", text("eth0")))) ==
          "InvalidArgument: interface: unknown key");
}

TEST_CASE("a PIN is 4 to 8 digits, a blob or nothing") {
    const auto with_pin = [](Value pin) {
        return outcome(parse_cellular_configuration(with(cell_dict, "pin", std::move(pin))));
    };
    CHECK(outcome(parse_cellular_configuration(cell_dict)) == "ok");
    for (const auto* pin : {"", "0000", "12345678"}) CHECK(with_pin(text(pin)) == "ok");
    CHECK(with_pin(Value{SealedBlob{1}}) == "ok");
    for (const auto* pin : {"123", "12a4", " 1234"})
        CHECK(with_pin(text(pin)) == "InvalidArgument: pin: not 4 to 8 digits");
    CHECK(with_pin(text("123456789")) == "InvalidArgument: pin: longer than 8 bytes");
}

TEST_CASE("Wi-Fi hints are a BSSID, a channel, both or none") {
    const auto hints = parse_wifi_hints("wifi", "0C2A6908B1F3", 36);
    REQUIRE(hints);
    CHECK(hints->nii == wl0);
    CHECK(hints->part == WifiHints{MacAddress::parse("0c2a6908b1f3"), 36});
    CHECK(parse_wifi_hints("wl1", "", -1)->part == WifiHints{});
    for (const auto* bssid : {"0c2a6908b1f", "0c:2a:69:08:b1:f3", "0c2a6908b1fg"})
        CHECK(outcome(parse_wifi_hints("wl0", bssid, -1)) ==
              "InvalidArgument: bssid: not 12 hex digits");
    for (const int channel : {-2, 0, 234})
        CHECK(outcome(parse_wifi_hints("wl0", "", channel)) ==
              "InvalidArgument: channel: not -1 or 1 to 233");
    CHECK(outcome(parse_wifi_hints("eth0", "", 1)) ==
          "InvalidArgument: nii: not a Wi-Fi interface");
    CHECK(outcome(parse_wifi_hints("wlan0", "", 1)) == "NoSuchInterface: nii: no NII \"wlan0\"");
}

TEST_CASE("an order of interfaces names each once") {
    CHECK(parse_server_order({"wifi", "eth0", "cell0"}) == std::vector<Nii>{wl0, eth0, cell0});
    CHECK(parse_server_order({}) == std::vector<Nii>{});
    CHECK(outcome(parse_server_order({"eth0", "ethernet"})) ==
          "InvalidArgument: niis: eth0 comes twice");
    CHECK(outcome(parse_server_order({"eth0", "lan"})) == "NoSuchInterface: niis: no NII \"lan\"");
    CHECK(outcome(parse_server_order(std::vector<std::string>(65, "eth0"))) ==
          "InvalidArgument: niis: more than 64 entries");
}

TEST_CASE("each word clears its part, and all clears these parts and no other") {
    const auto cleared = [](const std::vector<std::string>& what) {
        auto stored = everything();
        REQUIRE(clear(stored, what));
        return stored;
    };
    auto expected = everything();
    expected.wifi.clear();
    expected.wifi_hints.clear();
    CHECK(cleared({"wifi"}) == expected);
    expected = everything();
    expected.static_networks.clear();
    CHECK(cleared({"static-network"}) == expected);
    expected = everything();
    expected.proxy.reset();
    CHECK(cleared({"proxy"}) == expected);
    expected = everything();
    expected.cellular.reset();
    CHECK(cleared({"cellular"}) == expected);
    StoredConfiguration rest;
    rest.disabled = everything().disabled;
    rest.server_order = everything().server_order;
    rest.first_choice = everything().first_choice;
    CHECK(cleared({"all"}) == rest);
    CHECK(cleared({"cellular", "wifi", "proxy", "static-network"}) == rest);
}

TEST_CASE("an unknown word clears nothing") {
    auto stored = everything();
    CHECK(outcome(clear(stored, {"wifi", "everything"})) ==
          "InvalidArgument: what: \"everything\" is not wifi, static-network, proxy, cellular or "
          "all");
    CHECK(outcome(clear(stored, {})) == "InvalidArgument: what: empty");
    CHECK(stored == everything());
}

TEST_CASE("an order that was set wins, then the first choice, then the default order") {
    const std::vector<Nii> present{eth0, eth1, wl0};
    StoredConfiguration stored;
    CHECK(serving_order(stored, present) == present);
    stored.first_choice = wl0;
    CHECK(serving_order(stored, present) == std::vector<Nii>{wl0, eth0, eth1});
    stored.server_order = {eth1, cell0};
    CHECK(serving_order(stored, present) == std::vector<Nii>{eth1, cell0, eth0, wl0});
}

TEST_CASE("the NIC of an interface is what is stored for it") {
    const auto stored = everything();
    const auto eth = nic_of(stored, eth0);
    CHECK(eth.interface == "eth0");
    CHECK(eth.nii == eth0);
    CHECK(eth.static_network == static_config());
    CHECK(eth.proxy == stored.proxy);
    CHECK_FALSE(eth.wifi);
    const auto wifi = nic_of(stored, wl0);
    CHECK(wifi.wifi == stored.wifi.at(wl0));
    CHECK_FALSE(wifi.static_network);
    const auto cell = nic_of(stored, cell0);
    CHECK(cell.cell == stored.cellular->cell);
    CHECK_FALSE(cell.proxy);
    CHECK_FALSE(nic_of({}, eth0).extended());
    for (const auto& nic : {eth, wifi, cell}) CHECK(parse_nic(describe_sealed(nic)) == nic);
}
