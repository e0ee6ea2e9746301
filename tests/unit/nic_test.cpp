// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a NIC may hold, and how wrong ones are refused: by name of the key.
#include "core/nic.hpp"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "dicts.hpp"

using namespace impnetd;

namespace {

Value number(std::int64_t value) {
    return {value};
}
Value texts(std::vector<std::string> value) {
    return {std::move(value)};
}

Dict static_dict() {
    return {{"ip", text("192.168.5.9")},
            {"netmask", text("255.255.255.0")},
            {"gateway", text("192.168.5.1")},
            {"dns", texts({"192.168.5.1", "9.9.9.9"})}};
}

std::string refusal(const Dict& dict) {
    const auto nic = parse_nic(dict);
    if (nic) return "accepted";
    CHECK(nic.error().code == ErrorCode::invalid_argument);
    return nic.error().message;
}

std::string static_refusal(const Dict& part) {
    return refusal({{"interface", text("eth0")}, {"staticconfig", Value{part}}});
}

}  // namespace

TEST_CASE("a plain NIC names an interface") {
    const auto nic = parse_nic({{"interface", text("eth1")}});
    REQUIRE(nic);
    CHECK(nic->nii == Nii{InterfaceClass::ethernet, 1});
    CHECK_FALSE(nic->extended());
}

TEST_CASE("a class name stands for the primary interface") {
    const auto nic = parse_nic({{"interface", text("ethernet")}});
    REQUIRE(nic);
    CHECK(nic->nii == Nii{InterfaceClass::ethernet, 0});
    CHECK(nic->interface == "ethernet");
}

TEST_CASE("a static address is taken whole") {
    const auto nic =
        parse_nic({{"interface", text("eth0")}, {"staticconfig", Value{static_dict()}}});
    REQUIRE(nic);
    CHECK(nic->extended());
    CHECK(nic->static_network == StaticConfig{{Ipv4(192, 168, 5, 9), 24},
                                              Ipv4(192, 168, 5, 1),
                                              {Ipv4(192, 168, 5, 1), Ipv4(9, 9, 9, 9)}});
}

TEST_CASE("a NIC with something wrong is refused by the name of the key") {
    CHECK(refusal({}) == "interface: missing");
    CHECK(refusal({{"interface", number(0)}}) == "interface: not a string");
    CHECK(refusal({{"interface", text("")}}) == "interface: not 1 to 64 bytes long");
    CHECK(refusal({{"interface", text("eth0")}, {"speed", number(10)}}) == "speed: unknown key");
    CHECK(refusal({{"interface", text("eth0")}, {"staticconfig", text("x")}}) ==
          "staticconfig: not a dictionary");
    CHECK(refusal({{"interface", text("eth0")}, {std::string(5000, 'k'), number(1)}}) ==
          std::string(40, 'k') + "...: unknown key");
}

TEST_CASE("a client's control characters do not get into a message") {
    CHECK(refusal({{"interface", text("eth0")}, {"a\n\x1b[31m\x7f\u009b\u00e4", number(1)}}) ==
          "a??[31m??\u00e4: unknown key");
    const auto nic = parse_nic({{"interface", text("lan\r0")}});
    REQUIRE_FALSE(nic);
    CHECK(nic.error().message == "interface: no NII \"lan?0\"");
}

TEST_CASE("each value of a static address is checked") {
    const auto good = static_dict();
    CHECK(static_refusal(without(good, "ip")) == "staticconfig.ip: missing");
    CHECK(static_refusal(with(good, "ip", text("192.168.5"))) ==
          "staticconfig.ip: not a dotted quad");
    CHECK(static_refusal(with(good, "ip", text("192.168.5.0"))) ==
          "staticconfig.ip: not an address that a host can have in this subnet");
    CHECK(static_refusal(with(good, "ip", text("127.0.0.1"))) ==
          "staticconfig.ip: not an address that a host can have in this subnet");
    CHECK(static_refusal(with(good, "netmask", text("255.0.255.0")))
              .starts_with("staticconfig.netmask:"));
    CHECK(static_refusal(with(good, "netmask", text("0.0.0.0")))
              .starts_with("staticconfig.netmask:"));
    CHECK(static_refusal(with(good, "gateway", text("192.168.6.1")))
              .starts_with("staticconfig.gateway:"));
    CHECK(static_refusal(with(good, "gateway", text("192.168.5.9")))
              .starts_with("staticconfig.gateway:"));
    CHECK(static_refusal(with(good, "dns", texts({}))) == "staticconfig.dns: needs 1 to 2 entries");
    CHECK(static_refusal(with(good, "dns", texts({"1.1.1.1", "2.2.2.2", "3.3.3.3"}))) ==
          "staticconfig.dns: needs 1 to 2 entries");
    CHECK(
        static_refusal(with(good, "dns", texts({"dns.example"}))).starts_with("staticconfig.dns:"));
    CHECK(static_refusal(with(good, "mtu", number(9000))) == "staticconfig.mtu: unknown key");
}

TEST_CASE("a proxy has limits") {
    const Dict good{{"type", text("http")},
                    {"address", text("proxy.lan")},
                    {"port", number(3128)},
                    {"username", text("u")},
                    {"password", text("p")}};
    const auto refused = [&](const std::string& key, Value value) {
        return refusal({{"interface", text("eth0")},
                        {"proxyconfig", Value{with(good, key, std::move(value))}}});
    };
    CHECK(parse_nic({{"interface", text("eth0")}, {"proxyconfig", Value{good}}}));
    CHECK(refused("type", text("socks")) == "proxyconfig.type: not \"http\"");
    CHECK(refused("address", text(std::string(65, 'a'))) ==
          "proxyconfig.address: not 1 to 64 bytes long");
    CHECK(refused("port", number(0)) == "proxyconfig.port: not a port from 1 to 65535");
    CHECK(refused("port", number(65536)) == "proxyconfig.port: not a port from 1 to 65535");
    CHECK(refused("username", text(std::string(33, 'a'))) ==
          "proxyconfig.username: longer than 32 bytes");
    CHECK(refused("password", number(1)) ==
          "proxyconfig.password: neither a string nor a byte array");
}

TEST_CASE("a configuration must fit the interface's class") {
    const Dict wifi{{"ssid", text("home")}, {"key", text("a secret")}};
    CHECK(refusal({{"interface", text("eth0")}, {"wificonfig", Value{wifi}}}) ==
          "wificonfig: does not fit an interface of class ethernet");
    CHECK(refusal({{"interface", text("cell0")}, {"staticconfig", Value{static_dict()}}}) ==
          "staticconfig: does not fit an interface of class cell");
    CHECK(parse_nic({{"interface", text("wl0")}, {"wificonfig", Value{wifi}}}));
}

TEST_CASE("a Wi-Fi key is a passphrase, 64 hex digits, a blob or nothing") {
    const auto outcome = [](Value key) {
        const auto nic = parse_nic(
            {{"interface", text("wl0")},
             {"wificonfig", Value{Dict{{"ssid", text("home")}, {"key", std::move(key)}}}}});
        return nic ? "" : nic.error().message;
    };
    for (const auto size : {0U, 8U, 63U}) CHECK(outcome(text(std::string(size, 'k'))).empty());
    CHECK(outcome(text(std::string(32, 'a') + std::string(32, 'F'))).empty());
    CHECK(outcome({std::vector<std::uint8_t>{1}}).empty());
    const std::string neither = "wificonfig.key: neither 8 to 63 bytes long nor 64 hex digits";
    for (const auto size : {1U, 7U, 64U}) CHECK(outcome(text(std::string(size, 'k'))) == neither);
    CHECK(outcome(text(std::string(65, 'a'))).starts_with("wificonfig.key: longer than 64 bytes"));
}

TEST_CASE("an interface that is no NII is unknown, not invalid") {
    for (const auto* name :
         {"eth", "eth00", "eth1000", "lan0", "ETH0", "eth-1", "eth0 ", "wlan0"}) {
        INFO(name);
        const auto nic = parse_nic({{"interface", text(name)}});
        REQUIRE_FALSE(nic);
        CHECK(nic.error().code == ErrorCode::no_such_interface);
    }
}

TEST_CASE("what others see of a NIC has no secrets in it") {
    const Dict wifi{{"ssid", text("home")}, {"key", text("a secret")}};
    const auto nic = parse_nic({{"interface", text("wl0")},
                                {"wificonfig", Value{wifi}},
                                {"proxyconfig", Value{Dict{{"type", text("http")},
                                                           {"address", text("p")},
                                                           {"port", number(1)},
                                                           {"password", text("secret")}}}}});
    REQUIRE(nic);
    CHECK(describe(*nic) == Dict{{"interface", text("wl0")},
                                 {"wificonfig", Value{Dict{{"ssid", text("home")}}}},
                                 {"proxyconfig", Value{Dict{{"type", text("http")},
                                                            {"address", text("p")},
                                                            {"port", number(1)},
                                                            {"username", text("")}}}}});
}

TEST_CASE("a NIC whose secrets are sealed is described whole, and parses again") {
    const Dict whole{
        {"interface", text("wl0")},
        {"wificonfig", Value{Dict{{"ssid", text("home")}, {"key", Value{SealedBlob{1, 2, 3}}}}}},
        {"staticconfig", Value{static_dict()}},
        {"proxyconfig", Value{Dict{{"type", text("http")},
                                   {"address", text("p")},
                                   {"port", number(1)},
                                   {"username", text("")},
                                   {"password", text("")}}}}};
    const auto nic = parse_nic(whole);
    REQUIRE(nic);
    CHECK(describe_sealed(*nic) == whole);
    auto open_text = *nic;
    open_text.wifi->key = SecretText("a secret");
    CHECK_THROWS(describe_sealed(open_text));
}
