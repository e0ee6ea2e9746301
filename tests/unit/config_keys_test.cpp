// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What another configuration changes, key by key. The keys are those that config/impnetd.toml
// documents, so that none is forgotten.
#include <algorithm>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "config/configuration.hpp"
#include "config/keys.hpp"

using namespace impnetd;

namespace {

struct Documented {
    std::string name;   // "timeouts.linger"
    std::string value;  // the default, as it is written
    std::string prose;
};

/// Every key with the comment above it: a paragraph of prose, and then its keys.
std::vector<Documented> documented() {
    std::ifstream in(IMPNET_SOURCE_DIR "/config/impnetd.toml");
    std::vector<Documented> out;
    std::string table;
    std::string prose;
    for (std::string line; std::getline(in, line);) {
        if (line.starts_with("#[")) {
            table = line.substr(2, line.find(']') - 2);
        } else if (line.starts_with("# ")) {
            prose += line.substr(1);
        } else if (line.empty()) {
            prose.clear();
        } else if (const auto equals = line.find(" = "); equals != std::string::npos) {
            out.push_back(
                {table + "." + line.substr(1, equals - 1), line.substr(equals + 3), prose});
        }
    }
    return out;
}

/// A value that this key could have as well.
std::string another(const Documented& key) {
    static const std::map<std::string, std::string> words{
        {"interfaces.eth0.device", "\"enp4s0\""},    {"interfaces.eth0.mac", "\"525400123457\""},
        {"interfaces.eth0.path", "\"usb-1-1:1.0\""}, {"interfaces.eth0.on-stop", "\"down\""},
        {"interfaces.eth0.ipv6", "\"kernel\""},      {"datapath.path", "\"relay\""}};
    if (const auto word = words.find(key.name); word != words.end()) return word->second;
    if (key.value == "false") return "true";
    return "1" + key.value;  // a number
}

Configuration with(const std::string& key, const std::string& value) {
    const auto dot = key.rfind('.');
    const auto text = "[" + key.substr(0, dot) + "]\n" + key.substr(dot + 1) + " = " + value + "\n";
    const auto config = parse_configuration(text, "file");
    INFO(text << (config ? "" : config.error().message));
    REQUIRE(config);
    return *config;
}

}  // namespace

TEST_CASE("another value of any key is noticed, by its name") {
    std::size_t found = 0;
    for (const auto& key : documented()) {
        if (key.name == "uplink.server") continue;  // has but one value yet
        ++found;
        CAPTURE(key.name);
        const auto changed = with(key.name, another(key));
        CHECK(differing_keys({}, changed) == std::vector{key.name});
        CHECK(differing_keys(changed, {}) == std::vector{key.name});
        CHECK(differing_keys(changed, changed).empty());
    }
    CHECK(found == 16);
}

TEST_CASE("what waits for a restart is documented, and nothing else is") {
    for (const auto& key : documented()) {
        if (key.name.starts_with("interfaces.") || key.name == "uplink.server") continue;
        CAPTURE(key.name);
        const auto next = with(key.name, another(key));
        const auto in_force = without_restart(next, {});
        const bool waits = key.prose.find("waits for a restart") != std::string::npos;
        CHECK(differing_keys(in_force, next).empty() != waits);
        CHECK(differing_keys(in_force, {}).empty() == waits);
    }
}

TEST_CASE("a rule that is not there is one of defaults") {
    CHECK(differing_keys({}, with("interfaces.eth3.managed", "false")).empty());
    CHECK(differing_keys(with("interfaces.eth3.managed", "true"),
                         with("interfaces.eth4.always-on", "true")) ==
          std::vector<std::string>{"interfaces.eth3.managed", "interfaces.eth4.always-on"});
}
