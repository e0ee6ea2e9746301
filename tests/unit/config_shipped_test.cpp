// SPDX-License-Identifier: LGPL-2.1-or-later
//
// config/impnetd.toml documents every key with its default: as it is, it changes nothing, and with
// its comment signs taken away it still says what is in force anyhow.
#include <fstream>
#include <iterator>
#include <regex>
#include <string>

#include <catch2/catch.hpp>

#include "config/configuration.hpp"

using namespace impnetd;

namespace {

const std::string shipped_path = IMPNET_SOURCE_DIR "/config/impnetd.toml";

std::string shipped() {
    std::ifstream in(shipped_path);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// Its keys and tables in force: "#key = value" becomes "key = value"; "# prose" stays a comment.
std::string in_force(const std::string& text) {
    return std::regex_replace(text, std::regex("(^|\n)#([a-z[])"), "$1$2");
}

void check_defaults(const Configuration& config) {
    const Configuration defaults;
    CHECK(config.timeouts == defaults.timeouts);
    CHECK(config.limiter.burst == defaults.limiter.burst);
    CHECK(config.limiter.rate == defaults.limiter.rate);
    CHECK(config.datapath == defaults.datapath);
    CHECK(config.limits == defaults.limits);
}

}  // namespace

TEST_CASE("the shipped configuration file changes nothing") {
    const auto config = parse_configuration(shipped(), shipped_path);
    REQUIRE(config);
    check_defaults(*config);
    CHECK(config->interfaces.empty());
}

TEST_CASE("every key of the shipped configuration file shows its default") {
    // Of the three ways to name a device, one.
    auto text = in_force(shipped());
    for (const auto* other : {"\nmac = ", "\npath = \"pci"}) {
        const auto found = text.find(other);
        REQUIRE(found != std::string::npos);
        text.insert(found + 1, "#");
    }
    const auto config = parse_configuration(text, shipped_path);
    INFO((config ? "" : config.error().message));
    REQUIRE(config);
    check_defaults(*config);
    InterfaceRule eth0;
    eth0.device = "enp3s0";
    CHECK(config->interfaces == std::vector<InterfaceRule>{eth0});
}

TEST_CASE("the shipped configuration file has every key that is accepted") {
    const auto text = shipped();
    for (const std::string key :
         {"device", "mac", "path", "managed", "always-on", "on-stop", "ipv6", "attempt", "linger",
          "burst", "rate", "ttl", "sessions-per-uid", "sockets-per-uid", "calls-per-uid",
          "server"}) {
        CAPTURE(key);
        CHECK(text.find("\n#" + key + " = ") != std::string::npos);
    }
}
