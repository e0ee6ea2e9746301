// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The stored configuration as a text, and what is refused with its place.
#include <string>

#include <catch2/catch.hpp>

#include "storage/text.hpp"

using namespace impnetd;

namespace {

constexpr Nii eth0{InterfaceClass::ethernet, 0};
constexpr Nii eth12{InterfaceClass::ethernet, 12};
constexpr Nii wl0{InterfaceClass::wifi, 0};
constexpr Nii wl1{InterfaceClass::wifi, 1};

StoredConfiguration everything() {
    StoredConfiguration stored;
    stored.disabled = {eth0, eth12};
    stored.static_networks[eth0] = {
        {Ipv4(10, 0, 0, 9), 24}, Ipv4(10, 0, 0, 1), {Ipv4(10, 0, 0, 1), Ipv4(9, 9, 9, 9)}};
    stored.proxy = ProxyConfig{"http", "proxy.lan", 3128, "me", SealedBlob{0, 1, 254, 255}};
    stored.wifi[wl0] = {"a \"home\"\\\n\t\x7f \u00e9\u20ac\U0001f600\u0085 # ]", SealedBlob{7}};
    stored.wifi[wl1] = {"open", {}};
    stored.wifi_hints[wl0] = {MacAddress::parse("0c2a6908b1f3"), 13};
    stored.wifi_hints[wl1] = {std::nullopt, 36};
    stored.cellular = CellularConfiguration{{"internet", "", {}}, SealedBlob{1, 2}};
    stored.server_order = {wl1, eth0};
    stored.first_choice = wl0;
    return stored;
}

/// The message, without the name of the file.
std::string refusal(const std::string& text, ErrorCode code = ErrorCode::invalid_argument) {
    const auto parsed = storage::parse_text(text, "file");
    if (parsed) return "accepted";
    CHECK(parsed.error().code == code);
    REQUIRE(parsed.error().message.starts_with("file:"));
    return parsed.error().message.substr(5);
}

}  // namespace

TEST_CASE("a stored configuration reads back as it was written") {
    CHECK(storage::parse_text(storage::write_text({}), "file") == StoredConfiguration{});
    CHECK(storage::parse_text(storage::write_text(everything()), "file") == everything());
}

TEST_CASE("the text is this, and stays readable") {
    const std::string text = R"(version = 1
first-choice = "wl0"
server-order = ["wl0", "eth0"]

[proxy]
type = "http"
address = "proxy.lan"
port = 3128
username = "me"
password = "AQID"

[cellular]
apn = "internet"
username = ""
password = ""
pin = "BAUG"

[interfaces.eth0]
enabled = false

[interfaces.eth0.static-network]
ip = "10.0.0.9"
netmask = "255.255.255.0"
gateway = "10.0.0.1"
dns = ["10.0.0.1", "9.9.9.9"]

[interfaces.wl0.wifi]
ssid = "home"
key = "BwgJ"

[interfaces.wl0.wifi-hints]
bssid = "0c2a6908b1f3"
channel = 13
)";
    StoredConfiguration stored;
    stored.first_choice = wl0;
    stored.server_order = {wl0, eth0};
    stored.proxy = ProxyConfig{"http", "proxy.lan", 3128, "me", SealedBlob{1, 2, 3}};
    stored.cellular = CellularConfiguration{{"internet", "", {}}, SealedBlob{4, 5, 6}};
    stored.disabled = {eth0};
    stored.static_networks[eth0] = {
        {Ipv4(10, 0, 0, 9), 24}, Ipv4(10, 0, 0, 1), {Ipv4(10, 0, 0, 1), Ipv4(9, 9, 9, 9)}};
    stored.wifi[wl0] = {"home", SealedBlob{7, 8, 9}};
    stored.wifi_hints[wl0] = {MacAddress::parse("0c2a6908b1f3"), 13};
    CHECK(storage::parse_text(text, "file") == stored);
    const auto written = storage::write_text(stored);
    CHECK(written.substr(written.find("version")) == text);
}

TEST_CASE("a secret that nobody has sealed is never written") {
    StoredConfiguration stored;
    stored.wifi[wl0] = {"home", SecretText("a secret")};
    CHECK_THROWS(storage::write_text(stored));
}

TEST_CASE("what nobody of ours wrote is refused with its place") {
    CHECK(refusal("") == "1: version: missing");
    CHECK(refusal("version = \"1\"") == "1: version: not a whole number");
    CHECK(refusal("version = 0").starts_with("1: version: not between 1 and"));
    const std::string version = "version = 1\n";
    CHECK(refusal(version + "colour = 1") == "2: colour: unknown key");
    CHECK(refusal(version + "first-choice = \"ethernet\"") == "2: first-choice: not an interface");
    CHECK(refusal(version + "server-order = [\"eth0\",\n\"eth0\"]") ==
          "2: server-order: niis: eth0 comes twice");
    CHECK(refusal(version + "server-order = [\n1]") == "3: server-order: not a string");
    CHECK(refusal(version + "[interfaces.lan0]") == "2: interfaces.lan0: not an interface");
    CHECK(refusal(version + "[interfaces.eth0]\nenabled = 1") ==
          "3: interfaces.eth0.enabled: neither true nor false");
    CHECK(refusal(version + "[interfaces.eth0.wifi]\nssid = \"home\"\nkey = \"\"") ==
          "2: interfaces.eth0.wifi: interface: not a Wi-Fi interface");
    CHECK(refusal(version + "[interfaces.wl0.wifi]\nssid = \"home\"") ==
          "2: interfaces.wl0.wifi: key: missing");
    CHECK(refusal(version + "[interfaces.wl0.wifi]\nssid = \"ho\\u0000me\"\nkey = \"\"") ==
          "3: interfaces.wl0.wifi.ssid: has a NUL in it");
    CHECK(refusal(version + "[interfaces.wl0.wifi]\ninterface = \"wl1\"") ==
          "2: interfaces.wl0.wifi: interface: unknown key");
    CHECK(refusal(version + "[interfaces.wl0.wifi-hints]\nchannel = 234") ==
          "2: interfaces.wl0.wifi-hints: channel: not -1 or 1 to 233");
    // A key in the clear is none of ours.
    CHECK(refusal(version + "[interfaces.wl0.wifi]\nssid = \"home\"\nkey = \"a secret\"") ==
          "4: interfaces.wl0.wifi.key: not base64");
    CHECK(refusal(version + "[proxy]\ntype = 1.5") == "3: proxy.type: not a string");
    CHECK(refusal(version + "= 2").starts_with("2: "));
    CHECK(refusal(version + "proxy = 1") == "2: proxy: not a table");
}

TEST_CASE("a later version's text is not ours to judge") {
    CHECK(refusal("colour = 1\nversion = 2\n", ErrorCode::not_supported) ==
          "2: version: written by a later version of impnetd");
}

TEST_CASE("a text that was cut anywhere is refused, or says less, and never more") {
    const auto text = storage::write_text(everything());
    const auto whole = everything();
    for (std::size_t size = 0; size < text.size(); ++size) {
        const auto parsed = storage::parse_text(text.substr(0, size), "file");
        if (!parsed) continue;
        for (const auto& [nii, part] : parsed->static_networks)
            REQUIRE(whole.static_networks.at(nii).network == part.network);
        for (const auto nii : parsed->disabled) REQUIRE(whole.disabled.contains(nii));
    }
}
