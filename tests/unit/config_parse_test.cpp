// SPDX-License-Identifier: LGPL-2.1-or-later
//
// One configuration file: what its keys mean, and how a bad one is refused by file, line and key.
#include <chrono>
#include <string>
#include <utility>

#include <catch2/catch.hpp>

#include "config/configuration.hpp"

using namespace impnetd;
using namespace std::chrono_literals;

namespace {

Configuration accept(const std::string& text) {
    auto config = parse_configuration(text, "f");
    INFO((config ? "" : config.error().message));
    REQUIRE(config);
    return *std::move(config);
}

std::string refusal(const std::string& text, ErrorCode code = ErrorCode::invalid_argument) {
    const auto config = parse_configuration(text, "f");
    if (config) return "accepted";
    CHECK(config.error().code == code);
    return config.error().message;
}

std::string not_yet(const std::string& text) {
    return refusal(text, ErrorCode::not_supported);
}

}  // namespace

TEST_CASE("an empty configuration is all defaults") {
    const auto config = accept("");
    CHECK(config.interfaces.empty());
    CHECK(config.timeouts.attempt == 60s);
    CHECK(config.timeouts.linger == 5s);
    CHECK(config.limiter.burst == 100);
    CHECK(config.limiter.rate == 25.0);
    CHECK(config.datapath.ttl == 1);
    CHECK(config.limits.sessions_per_uid == 64);
    CHECK(config.limits.sockets_per_uid == 256);
    CHECK(config.limits.calls_per_uid == 128);
}

TEST_CASE("every key of a configuration is taken over") {
    const auto config = accept(R"(
        [interfaces.eth1]
        mac = "52:54:00:aB:cd:ef"
        [interfaces.eth0]
        device = "enp3s0"
        managed = true
        always-on = true
        on-stop = "down"
        ipv6 = "kernel"
        [interfaces.eth10]
        path = "pci-0000:03:00.0"
        [timeouts]
        attempt = 30
        linger = 0.25
        [limiter]
        burst = 7
        rate = 0.5
        [datapath]
        path = "relay"
        ttl = 3
        [limits]
        sessions-per-uid = 5
        sockets-per-uid = 6
        calls-per-uid = 7
        [uplink]
        server = ""
    )");
    InterfaceRule eth0;
    eth0.device = "enp3s0";
    eth0.managed = true;
    eth0.always_on = true;
    eth0.down_on_stop = true;
    eth0.kernel_ipv6 = true;
    InterfaceRule eth1;
    eth1.nii.number = 1;
    eth1.mac = MacAddress{{0x52, 0x54, 0x00, 0xab, 0xcd, 0xef}};
    InterfaceRule eth10;
    eth10.nii.number = 10;
    eth10.path = "pci-0000:03:00.0";
    CHECK(config.interfaces == std::vector<InterfaceRule>{eth0, eth1, eth10});
    CHECK(config.timeouts.attempt == 30s);
    CHECK(config.timeouts.linger == 250ms);
    CHECK(config.limiter.burst == 7);
    CHECK(config.limiter.rate == 0.5);
    CHECK(config.datapath.ttl == 3);
    CHECK(config.limits.sessions_per_uid == 5);
    CHECK(config.limits.sockets_per_uid == 6);
    CHECK(config.limits.calls_per_uid == 7);
}

TEST_CASE("a rate may be a whole number, and 0 is no limit") {
    CHECK(accept("limiter.rate = 50").limiter.rate == 50.0);
    CHECK(accept("limiter.rate = 0").limiter.rate == 0.0);
}

TEST_CASE("the ends of each range are in it") {
    CHECK(accept("timeouts = {attempt = 1, linger = 0}").timeouts.linger == 0s);
    CHECK(accept("timeouts = {attempt = 3600, linger = 3600}").timeouts.attempt == 1h);
    CHECK(accept("limiter.burst = 1").limiter.burst == 1);
    CHECK(accept("limiter.burst = 1000000").limiter.burst == 1'000'000);
    CHECK(accept("datapath.ttl = 255").datapath.ttl == 255);
    CHECK(accept("limits.sockets-per-uid = 65536").limits.sockets_per_uid == 65536);
    CHECK(accept("limits.calls-per-uid = 65536").limits.calls_per_uid == 65536);
}

TEST_CASE("an unknown key is refused with its file, line and whole name") {
    CHECK(refusal("\n\ncolour = 1") == "f:3: colour: unknown key");
    CHECK(refusal("[limiter]\nburst = 1\n\nBurst = 2") == "f:4: limiter.Burst: unknown key");
    CHECK(refusal("[interfaces.eth0]\nmanged = true") ==
          "f:2: interfaces.eth0.manged: unknown key");
    CHECK(refusal("[timeout]\nattempt = 5") == "f:1: timeout: unknown key");
}

TEST_CASE("a value of the wrong type is refused") {
    CHECK(refusal("interfaces = 1") == "f:1: interfaces: not a table");
    CHECK(refusal("interfaces.eth0 = true") == "f:1: interfaces.eth0: not a table");
    CHECK(refusal("[[interfaces.eth0]]") == "f:1: interfaces.eth0: not a table");
    CHECK(refusal("limiter = 3") == "f:1: limiter: not a table");
    CHECK(refusal("interfaces.eth0.device = 1") == "f:1: interfaces.eth0.device: not a string");
    CHECK(refusal("interfaces.eth0.mac = 1") == "f:1: interfaces.eth0.mac: not a string");
    CHECK(refusal("interfaces.eth0.path = []") == "f:1: interfaces.eth0.path: not a string");
    CHECK(refusal("interfaces.eth0.ipv6 = false") == "f:1: interfaces.eth0.ipv6: not a string");
    CHECK(refusal("interfaces.eth0.managed = \"yes\"") ==
          "f:1: interfaces.eth0.managed: neither true nor false");
    CHECK(refusal("interfaces.eth0.on-stop = 'off'") ==
          "f:1: interfaces.eth0.on-stop: neither \"keep\" nor \"down\"");
    CHECK(refusal("interfaces.eth0.always-on = 1") ==
          "f:1: interfaces.eth0.always-on: neither true nor false");
    CHECK(refusal("timeouts.attempt = \"60\"") == "f:1: timeouts.attempt: not a number");
    CHECK(refusal("limiter.burst = 1.0") == "f:1: limiter.burst: not a whole number");
    CHECK(refusal("limiter.rate = 1979-05-27") == "f:1: limiter.rate: not a number");
    CHECK(refusal("datapath.path = 1") == "f:1: datapath.path: not a string");
    CHECK(refusal("uplink.server = 1") == "f:1: uplink.server: not a string");
}

TEST_CASE("a number outside its range is refused") {
    CHECK(refusal("timeouts.attempt = 0.9") == "f:1: timeouts.attempt: not between 1 and 3600");
    CHECK(refusal("timeouts.attempt = 3601") == "f:1: timeouts.attempt: not between 1 and 3600");
    CHECK(refusal("timeouts.linger = -1") == "f:1: timeouts.linger: not between 0 and 3600");
    CHECK(refusal("timeouts.linger = nan") == "f:1: timeouts.linger: not between 0 and 3600");
    CHECK(refusal("limiter.burst = 0") == "f:1: limiter.burst: not between 1 and 1000000");
    CHECK(refusal("limiter.rate = inf") == "f:1: limiter.rate: not between 0 and 1000000");
    CHECK(refusal("limiter.rate = -0.1") == "f:1: limiter.rate: not between 0 and 1000000");
    CHECK(refusal("limiter.rate = 9223372036854775807") ==
          "f:1: limiter.rate: not between 0 and 1000000");
    CHECK(refusal("datapath.ttl = 0") == "f:1: datapath.ttl: not between 1 and 255");
    CHECK(refusal("datapath.ttl = 256") == "f:1: datapath.ttl: not between 1 and 255");
    CHECK(refusal("limits.sessions-per-uid = 0") ==
          "f:1: limits.sessions-per-uid: not between 1 and 65536");
    CHECK(refusal("limits.sockets-per-uid = 65537") ==
          "f:1: limits.sockets-per-uid: not between 1 and 65536");
    CHECK(refusal("limits.calls-per-uid = 0") ==
          "f:1: limits.calls-per-uid: not between 1 and 65536");
}

TEST_CASE("a table that is no interface's is refused") {
    for (const std::string name :
         {"eth", "eth00", "eth1000", "ethernet", "enp3s0", "Eth0", "\"\""}) {
        CAPTURE(name);
        CHECK(refusal("[interfaces." + name + "]")
                  .find(": not an interface: these are called eth0, wl0 or cell0") !=
              std::string::npos);
    }
}

TEST_CASE("a device that cannot be is refused") {
    for (const std::string name : {"", ".", "..", "a/b", "lan 0", "eth0:1", "sixteen-letters-"}) {
        CAPTURE(name);
        CHECK(refusal("interfaces.eth0.device = \"" + name + "\"") ==
              "f:1: interfaces.eth0.device: not the name of a network device");
    }
    CHECK(accept("interfaces.eth0.device = \"fifteen-letters\"").interfaces.size() == 1);
    CHECK(refusal("interfaces.eth0.path = \"\"") == "f:1: interfaces.eth0.path: empty");
}

TEST_CASE("a MAC address that no card has is refused") {
    for (const std::string mac : {"", "52:54:00:12:34", "52:54:00:12:34:5g", "52:54:00:12:34:56:78",
                                  "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"}) {
        CAPTURE(mac);
        CHECK(refusal("[interfaces.eth0]\nmac = \"" + mac + "\"") ==
              "f:2: interfaces.eth0.mac: not the MAC address of a device, like "
              "\"52:54:00:12:34:56\"");
    }
}

TEST_CASE("a device is named in one way only") {
    CHECK(refusal("[interfaces.eth0]\ndevice = \"lan0\"\nmac = \"02:00:00:00:00:01\"") ==
          "f:3: interfaces.eth0.mac: the device is given already, by device at f:2");
    CHECK(refusal("[interfaces.eth0]\npath = \"pci-1\"\nmac = \"02:00:00:00:00:01\"") ==
          "f:2: interfaces.eth0.path: the device is given already, by mac at f:3");
}

TEST_CASE("two interfaces cannot have one device") {
    CHECK(refusal("[interfaces.eth0]\ndevice = \"lan0\"\n[interfaces.eth1]\ndevice = \"lan0\"") ==
          "f:4: interfaces.eth1.device: this device is eth0 already, at f:2");
    CHECK(refusal("[interfaces.eth7]\nmac = \"02-00-00-00-00-0A\"\n"
                  "[interfaces.eth2]\nmac = \"02000000000a\"") ==
          "f:2: interfaces.eth7.mac: this device is eth2 already, at f:4");
    CHECK(refusal("interfaces.eth0.path = \"p\"\ninterfaces.eth1.path = \"p\"") ==
          "f:2: interfaces.eth1.path: this device is eth0 already, at f:1");
    // A path that reads like a name is another thing.
    CHECK(
        accept("interfaces.eth0.path = \"p\"\ninterfaces.eth1.device = \"p\"").interfaces.size() ==
        2);
}

TEST_CASE("what this version does not have is refused as such") {
    const std::string later = ": not supported yet by this version";
    CHECK(not_yet("\n[interfaces.wl0]") == "f:2: interfaces.wl0" + later);
    CHECK(not_yet("[interfaces.cell1]\nmanaged = true") == "f:1: interfaces.cell1" + later);
    CHECK(not_yet("timeouts.attempt-cellular = 120") == "f:1: timeouts.attempt-cellular" + later);
    CHECK(not_yet("uplink.server = \"https://example.com\"") == "f:1: uplink.server" + later);
}

TEST_CASE("a choice outside its list is refused") {
    CHECK(refusal("datapath.path = \"fast\"") ==
          "f:1: datapath.path: not \"auto\", \"kernel\" or \"relay\"");
    CHECK(refusal("interfaces.eth0.ipv6 = \"\"") ==
          "f:1: interfaces.eth0.ipv6: neither \"off\" nor \"kernel\"");
    CHECK_FALSE(accept("interfaces.eth0.ipv6 = \"off\"").interfaces.at(0).kernel_ipv6);
    using Choice = impnetd::Configuration::PathChoice;
    CHECK(accept("").datapath.path == Choice::automatic);
    CHECK(accept("datapath.path = \"auto\"").datapath.path == Choice::automatic);
    CHECK(accept("datapath.path = \"kernel\"").datapath.path == Choice::kernel);
    CHECK(accept("datapath.path = \"relay\"").datapath.path == Choice::relay);
}

TEST_CASE("what is not TOML is refused with its line") {
    using Catch::StartsWith;
    CHECK_THAT(refusal("[limiter]\nburst = 5\nrate ="), StartsWith("f:3: "));
    CHECK_THAT(refusal("[limiter]\n[limiter]"), StartsWith("f:2: "));
    CHECK_THAT(refusal("limiter.burst = 5\nlimiter.burst = 6"), StartsWith("f:2: "));
    CHECK_THAT(refusal("# \xff\xfe"), StartsWith("f:1: "));
    CHECK_THAT(refusal(std::string("burst\0= 1", 9)), StartsWith("f:1: "));
    CHECK_THAT(refusal("a = " + std::string(100'000, '[')), StartsWith("f:1: "));
    CHECK_THAT(refusal("limiter.burst = 99999999999999999999"), StartsWith("f:1: "));
}

TEST_CASE("an error is one line of text") {
    for (const std::string text : {"\"two\\nlines\" = 1", "\"bell\\u0007\" = 1",
                                   "[interfaces.\"a\\u001b[1mb\"]", "a = \"\\q\n"}) {
        CAPTURE(text);
        const auto message = refusal(text);
        CHECK(message.find_first_of("\n\a\x1b") == std::string::npos);
    }
    CHECK(refusal("\"a\\u009b1m\\u00e4\" = 1") == "f:1: a?1m\u00e4: unknown key");
}
