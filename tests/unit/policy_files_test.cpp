// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The policy as text and as files: what it means, and how it is refused.
#include "config/policy_files.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <stdexcept>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <stdlib.h>

using namespace impnetd;

namespace {

/// A host with the users root and sensor, and the groups impnet and sensors.
const Ids ids{.user = [](const std::string& name) -> std::optional<uid_t> {
                  if (name == "root") return 0;
                  if (name == "sensor") return 1001;
                  return std::nullopt;
              },
              .group = [](const std::string& name) -> std::optional<gid_t> {
                  if (name == "impnet") return 990;
                  if (name == "sensors") return 1002;
                  return std::nullopt;
              }};

Policy accept(const std::string& text) {
    auto policy = parse_policy(text, "p.toml", ids);
    INFO((policy ? "" : policy.error().message));
    REQUIRE(policy);
    return *policy;
}

std::string refusal(const std::string& text) {
    const auto policy = parse_policy(text, "p.toml", ids);
    if (policy) return "accepted";
    CHECK(policy.error().code == ErrorCode::invalid_argument);
    return policy.error().message;
}

/// A rule with these lines; the first of them is line 4.
std::string rule(const std::string& lines, const std::string& action = "deny") {
    return "[[rule]]\nname = \"r\"\naction = \"" + action + "\"\n" + lines;
}

/// How a rule with this line is refused.
std::string refused(const std::string& line, const std::string& action = "deny") {
    const auto message = refusal(rule(line, action));
    const std::string place = "p.toml:4: rule.";
    CHECK(message.starts_with(place));
    return message.starts_with(place) ? message.substr(place.size()) : message;
}

std::string refused_widening(const std::string& line) {
    const auto message = refusal("[widen]\n" + line);
    const std::string place = "p.toml:2: widen.";
    CHECK(message.starts_with(place));
    return message.starts_with(place) ? message.substr(place.size()) : message;
}

const std::string shipped_path = IMPNET_SOURCE_DIR "/config/policy.d/example.toml";

std::string text_of(const std::string& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

}  // namespace

TEST_CASE("a policy without any file has no rules") {
    const auto policy = accept("");
    CHECK(policy.rules.empty());
    CHECK(policy.widen.empty());
    CHECK(policy.impnet_group == 990);
}

TEST_CASE("a rule is read with all its conditions") {
    const auto policy = accept(
        "[[rule]]\n"
        "name = \"no-printers\"\n"
        "action = \"deny\"\n"
        "user = [\"sensor\", 7]\n"
        "group = [8, \"sensors\", 8]\n"
        "unit = [\"hub.service\", \"hub@*\"]\n"
        "interface = [\"eth0\", \"wifi\"]\n"
        "port = [2001, \"3000-3010\", 0]\n"
        "destination = [\"192.168.1.0/28\", \"10.0.0.1\", \"0.0.0.0/0\"]\n"
        "destination-port = [\"9100\", 53]\n"
        "[[rule]]\n"
        "name = \"slow\"\n"
        "action = \"allow\"\n"
        "burst = 10\n"
        "rate = 2.5\n");
    REQUIRE(policy.rules.size() == 2);
    PolicyRule printers;
    printers.name = "no-printers";
    printers.place = "p.toml:1";
    printers.users = {1001, 7};
    printers.groups = {8, 1002};
    printers.units = {"hub.service", "hub@*"};
    printers.interfaces = {{InterfaceClass::ethernet, 0}, {InterfaceClass::wifi, 0}};
    printers.ports = {{2001, 2001}, {3000, 3010}, {0, 0}};
    printers.destinations = {
        {Ipv4(192, 168, 1, 0), 28}, {Ipv4(10, 0, 0, 1), 32}, {Ipv4(0, 0, 0, 0), 0}};
    printers.destination_ports = {{9100, 9100}, {53, 53}};
    CHECK(policy.rules[0] == printers);
    PolicyRule slow;
    slow.name = "slow";
    slow.place = "p.toml:11";
    slow.allow = true;
    slow.limit = RateLimit{10, 2.5};
    CHECK(policy.rules[1] == slow);
}

TEST_CASE("what is widened is read") {
    const auto policy = accept(
        "[widen]\nnetworks = [\"100.64.0.0/10\", \"192.0.2.0/24\"]\nusers = [\"sensor\"]\n"
        "groups = [\"sensors\", 3]\nunits = [\"hub.service\"]\n");
    CHECK(policy.widen.networks ==
          std::vector<Ipv4Network>{{Ipv4(100, 64, 0, 0), 10}, {Ipv4(192, 0, 2, 0), 24}});
    CHECK(policy.widen.users == std::vector<uid_t>{1001});
    CHECK(policy.widen.groups == std::vector<gid_t>{1002, 3});
    CHECK(policy.widen.units == std::vector<std::string>{"hub.service"});
}

TEST_CASE("an unknown key is refused, wherever it is") {
    CHECK(refusal("\nrules = []\n") == "p.toml:2: rules: unknown key");
    CHECK(refusal("[widen]\nnetwork = []\n") == "p.toml:2: widen.network: unknown key");
    CHECK(refused("users = [1]\n") == "users: unknown key");
}

TEST_CASE("an unknown user or group is refused by its name") {
    CHECK(refused("user = [\"sensor\", \"nobody-here\"]\n") ==
          "user: there is no user \"nobody-here\"");
    CHECK(refused("group = [\"root\"]\n") == "group: there is no group \"root\"");
    CHECK(refused("user = [\"root\\u0000x\"]\n") == "user: there is no user \"root?x\"");
    CHECK(refused("user = [4294967295]\n") == "user: not between 0 and 4294967294");
    CHECK(refused("user = [1.5]\n") == "user: neither the name nor the number of a user");
    CHECK(refused_widening("groups = [\"nobody-here\"]\n") ==
          "groups: there is no group \"nobody-here\"");
}

TEST_CASE("a value that means nothing is refused") {
    CHECK(refused("user = \"sensor\"\n") == "user: not a list, like [1, 2]");
    CHECK(refused("user = []\n") == "user: empty; leave it out instead");
    CHECK(refused("interface = [\"enp3s0\"]\n") ==
          "interface: not an interface: these are called eth0, wl0 or cell0");
    for (const auto* unit : {"", "hub", "hub.socket", "my hub.service", "h\\u00fcb.service"}) {
        INFO(unit);
        CHECK(refused(std::string("unit = [\"") + unit + "\"]\n") ==
              "unit: not the name of a systemd service, like \"hub.service\" or \"hub@*\"");
    }
    for (const auto* port : {"\"\"", "\"x\"", "\"-1\"", "\"1-\"", "\"2-1\"", "\"1-2-3\"", "\" 1\"",
                             "\"1 \"", "\"65536\"", "\"1-65536\"", "1.5", "true"}) {
        INFO(port);
        CHECK(refused(std::string("port = [") + port + "]\n") ==
              "port: neither a port nor a range of ports, like 2001 or \"3000-3010\"");
    }
    CHECK(refused("port = [65536]\n") == "port: not between 0 and 65535");
    CHECK(refused("destination-port = [0]\n") == "destination-port: not between 1 and 65535");
    CHECK(refused("destination-port = [\"0-9\"]\n") ==
          "destination-port: neither a port nor a range of ports, like 2001 or \"3000-3010\"");
    for (const auto* network : {"", "printer", "10.0.0.0/", "10.0.0.0/33", "10.0.0/8",
                                "10.0.0.0/08", "10.0.0.0/8x", "/8", "10.0.0.0/-1"}) {
        INFO(network);
        CHECK(refused(std::string("destination = [\"") + network + "\"]\n") ==
              "destination: not a network, like \"192.168.1.0/28\" or \"192.168.1.7\"");
    }
    CHECK(refused("destination = [\"192.168.1.7/28\"]\n") ==
          "destination: not a network's own address; that one is 192.168.1.0/28");
    CHECK(refused("burst = 0\nrate = 1\n", "allow") == "burst: not between 1 and 1000000");
    CHECK(refused("rate = 0\nburst = 1\n", "allow") == "rate: not between 0.001 and 1000000");
}

TEST_CASE("the line of a value is told, not that of its list") {
    CHECK(refusal(rule("port = [\n  2001,\n  \"x\",\n]\n")) ==
          "p.toml:6: rule.port: neither a port nor a range of ports, like 2001 or \"3000-3010\"");
}

TEST_CASE("a rule has a name of its own and an action") {
    CHECK(refusal("\n[[rule]]\naction = \"deny\"\n") == "p.toml:2: rule.name: missing");
    CHECK(refusal("[[rule]]\nname = \"r\"\n") == "p.toml:1: rule.action: missing");
    CHECK(refusal("[[rule]]\nname = \"r\"\naction = \"drop\"\n") ==
          "p.toml:3: rule.action: neither \"allow\" nor \"deny\"");
    for (const auto& name : {std::string(), std::string("a b"), std::string("\\u00fc"),
                             std::string(65, 'a'), std::string("a\\n")})
        CHECK(refusal("[[rule]]\nname = \"" + name + "\"\n") ==
              "p.toml:2: rule.name: not 1 to 64 of A-Z, a-z, 0-9, '-', '_' and '.'");
    for (const auto* name : {"root", "default", "widen", "subnet"})
        CHECK(refusal("[[rule]]\nname = \"" + std::string(name) + "\"\n") ==
              "p.toml:2: rule.name: impnetd's own rules have this name");
    CHECK(refusal(rule("") + rule("")) ==
          "p.toml:4: rule: a rule \"r\" is there already, at p.toml:1");
    CHECK(refusal("[rule]\nname = \"r\"\n") ==
          "p.toml:1: rule: not a list of tables: its header is [[rule]]");
    CHECK(refusal("rule = [1]\n") == "p.toml:1: rule: not a table");
}

TEST_CASE("a limit has a burst and a rate, and is a socket's") {
    const auto of_rule = [](const std::string& lines, const std::string& action) {
        const auto message = refusal(rule(lines, action));
        return message.substr(message.find(' ') + 1);
    };
    CHECK(of_rule("burst = 1\n", "allow") == "rule.rate: missing: a limit has both");
    CHECK(of_rule("rate = 1\n", "allow") == "rule.burst: missing: a limit has both");
    CHECK(of_rule("rate = 1\nburst = 1\n", "deny") ==
          "rule.burst: a rule that denies has no limit");
    CHECK(of_rule("rate = 1\nburst = 1\ndestination-port = [1]\n", "allow") ==
          "rule.burst: a limit is a socket's; a rule about destinations has none");
}

TEST_CASE("more destinations than a socket can have are refused") {
    const std::string networks = "destination = [\"10.0.0.1\", \"10.0.0.2\"]\n";
    const std::string eight = "destination-port = [1, 3, 5, 7, 9, 11, 13, 15]\n";
    const std::string nine = "destination-port = [1, 3, 5, 7, 9, 11, 13, 15, 17]\n";
    CHECK(accept(rule(networks + eight)).rules.front().destination_count() == 16);
    CHECK(refusal(rule(networks + nine)) ==
          "p.toml:1: rule.destination: more than 16 pairs of networks and ports in one rule");
    const std::string another = "[[rule]]\nname = \"s\"\naction = \"deny\"\nport = [1]\n";
    CHECK(accept(rule(networks + eight) + another).rules.size() == 2);
    const std::string one_more =
        "[[rule]]\nname = \"s\"\naction = \"deny\"\ndestination-port = [1]\n";
    CHECK(refusal(rule(networks + eight) + one_more) ==
          "p.toml:6: rule.destination: with this one, the rules for everybody name more than 16 "
          "destinations");
}

TEST_CASE("nothing is widened by what is no local address space") {
    const std::map<std::string, std::string> nonsense{
        {"0.0.0.0/0", "all addresses there are"},
        {"0.0.0.0/8", "0.0.0.0/8, addresses of no host"},
        {"0.0.0.0/1", "0.0.0.0/8, addresses of no host"},
        {"127.0.0.0/8", "127.0.0.0/8, loopback"},
        {"127.0.0.1", "127.0.0.0/8, loopback"},
        {"126.0.0.0/7", "127.0.0.0/8, loopback"},
        {"169.254.0.0/16", "169.254.0.0/16, link-local"},
        {"128.0.0.0/1", "169.254.0.0/16, link-local"},
        {"224.0.0.0/4", "224.0.0.0/4, multicast"},
        {"239.1.2.3", "224.0.0.0/4, multicast"},
        {"240.0.0.0/4", "240.0.0.0/4, reserved"},
        {"255.255.255.255", "240.0.0.0/4, reserved"},
    };
    for (const auto& [network, what] : nonsense) {
        const auto shown = network.find('/') == std::string::npos ? network + "/32" : network;
        std::string expected = "networks: " + shown;
        expected += " is no local address space: it has " + what;
        CHECK(refused_widening("networks = [\"" + network + "\"]\n") == expected);
    }
    CHECK(refused_widening("networks = [\"100.64.0.1/10\"]\n") ==
          "networks: not a network's own address; that one is 100.64.0.0/10");
    CHECK(refused_widening("networks = [\"192.0.2.1\", \"192.0.2.2\", \"192.0.2.3\", "
                           "\"192.0.2.4\", \"192.0.2.5\", \"192.0.2.6\", \"192.0.2.7\", "
                           "\"192.0.2.8\", \"192.0.2.9\"]\n") ==
          "networks: more than 8 networks, those of other files included");
}

// --- Files --------------------------------------------------------------------------------------

namespace {

/// A configuration folder that goes with the test.
class Folder {
  public:
    Folder() {
        auto pattern = (std::filesystem::temp_directory_path() / "impnet-policy-XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
        path_ = pattern;
        std::filesystem::create_directory(path_ / "policy.d");
    }
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;

    std::string at(const std::string& name) const { return path_ / "policy.d" / name; }
    void write(const std::string& name, const std::string& text) const {
        std::ofstream(at(name)) << text;
    }
    Result<Policy> read() const { return read_policy(path_ / "impnetd.toml", {7, 1.5}, ids); }

  private:
    std::filesystem::path path_;
};

std::string named(const std::string& name) {
    return "[[rule]]\nname = \"" + name + "\"\naction = \"deny\"\n";
}

}  // namespace

TEST_CASE("rules are in the order of their files' names, and then of their places") {
    const Folder folder;
    folder.write("20.toml", named("c") + named("d") + "[widen]\nusers = [1]\n");
    folder.write("10.toml", named("b") + named("a") + "[widen]\nusers = [2]\n");
    folder.write("30.toml~", "nonsense");
    const auto policy = folder.read();
    REQUIRE(policy);
    std::string names;
    for (const auto& rule : policy->rules) names += rule.name;
    CHECK(names == "bacd");
    CHECK(policy->rules[3].place == folder.at("20.toml") + ":4");
    CHECK(policy->widen.users == std::vector<uid_t>{2, 1});
    CHECK(policy->limit == RateLimit{7, 1.5});
}

TEST_CASE("a policy.d that is not there is empty") {
    CHECK(read_policy("/no/such/folder/impnetd.toml", {}, ids)->rules.empty());
}

TEST_CASE("an error of a policy names the file it is in, and both of two") {
    const Folder folder;
    folder.write("10.toml", named("a"));
    folder.write("20.toml", "\n" + named("a"));
    auto policy = folder.read();
    REQUIRE_FALSE(policy);
    CHECK(policy.error().message == folder.at("20.toml") +
                                        ":2: rule: a rule \"a\" is there already, at " +
                                        folder.at("10.toml") + ":1");
    folder.write("20.toml", "[widen\n");
    policy = folder.read();
    REQUIRE_FALSE(policy);
    CHECK(policy.error().message.starts_with(folder.at("20.toml") + ":1: "));
    std::filesystem::create_directory(folder.at("05.toml"));
    policy = folder.read();
    REQUIRE_FALSE(policy);
    CHECK(policy.error().code == ErrorCode::failed);
    CHECK(policy.error().message == folder.at("05.toml") + ": not a regular file");
}

TEST_CASE("the names of this host's users and groups are known") {
    const auto host = host_ids();
    CHECK(host.user("root") == 0);
    CHECK(host.group("root") == 0);
    CHECK_FALSE(host.user("no-such-user-of-impnet"));
    CHECK_FALSE(host.group("no-such-group-of-impnet"));
}

// --- The example that is installed --------------------------------------------------------------

TEST_CASE("the shipped example of a policy changes nothing") {
    const auto text = text_of(shipped_path);
    REQUIRE_FALSE(text.empty());
    const auto policy = accept(text);
    CHECK(policy.rules.empty());
    CHECK(policy.widen.empty());
}

TEST_CASE("the shipped example of a policy is one, and has every key that is accepted") {
    // "#key = value" becomes "key = value"; "# prose" stays a comment.
    const auto text =
        std::regex_replace(text_of(shipped_path), std::regex("(^|\n)#([a-z[])"), "$1$2");
    const auto policy = accept(text);
    CHECK(policy.rules.size() >= 2);
    CHECK_FALSE(policy.widen.empty());
    for (const std::string key :
         {"name", "action", "user", "group", "unit", "interface", "port", "destination",
          "destination-port", "burst", "rate", "networks", "users", "groups", "units"}) {
        CAPTURE(key);
        CHECK(text.find("\n" + key + " = ") != std::string::npos);
    }
}
