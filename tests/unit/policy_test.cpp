// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Who may do what, by which rule: for each condition, before everything is known and after.
#include "core/policy.hpp"

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

namespace impnetd {

std::ostream& operator<<(std::ostream& out, const Decision& decision) {
    return out << (decision.allowed ? "allowed" : "denied") << " by " << decision.rule << ": "
               << decision.reason;
}

}  // namespace impnetd

using namespace impnetd;

namespace {

constexpr gid_t impnet = 990;
constexpr Nii eth0{InterfaceClass::ethernet, 0};
constexpr Nii eth1{InterfaceClass::ethernet, 1};
constexpr Nii wl0{InterfaceClass::wifi, 0};

Client root() {
    return {};
}

Client member(const std::string& unit = "") {
    return {.uid = 1000, .pid = 7, .groups = {1000, 27, impnet}, .unit = unit};
}

Client stranger() {
    return {.uid = 2000, .pid = 8, .groups = {2000}, .unit = ""};
}

PolicyRule named(const std::string& name, bool allow) {
    PolicyRule rule;
    rule.name = name;
    rule.place = "10.toml:" + std::to_string(name.size());
    rule.allow = allow;
    return rule;
}

PolicyRule deny(const std::string& name = "no") {
    return named(name, false);
}

PolicyRule allow(const std::string& name = "yes") {
    return named(name, true);
}

Policy with(std::vector<PolicyRule> rules) {
    Policy policy;
    policy.impnet_group = impnet;
    policy.rules = std::move(rules);
    return policy;
}

PolicyRule to_network(PolicyRule rule, Ipv4 address, std::uint8_t prefix) {
    rule.destinations.push_back({address, prefix});
    return rule;
}

PolicyRule to_port(PolicyRule rule, std::uint16_t first, std::uint16_t last) {
    rule.destination_ports.push_back({first, last});
    return rule;
}

/// "yes", or the rule that says no.
std::string opens(const Policy& policy, const Client& client, std::optional<Nii> interface = eth0) {
    const auto decision = policy.may_open(client, interface);
    return decision.allowed ? "yes" : decision.rule;
}

std::string has_socket(const Policy& policy, const Client& client, std::uint16_t port,
                       Nii interface = eth0) {
    const auto socket = policy.open_socket(client, interface, port);
    return socket ? "yes" : socket.error().rule;
}

std::vector<DestinationRule> destinations(const Policy& policy, const Client& client = member(),
                                          std::uint16_t port = 2001) {
    const auto socket = policy.open_socket(client, eth0, port);
    REQUIRE(socket);
    return socket->destinations;
}

PolicyQuery query_of(const Client& client) {
    PolicyQuery query;
    query.uid = client.uid;
    query.groups = client.groups;
    query.unit = client.unit;
    return query;
}

}  // namespace

// --- The base -----------------------------------------------------------------------------------

TEST_CASE("root and the group's members may open, others are told the rule", "[policy]") {
    const auto policy = with({});
    CHECK(policy.may_open(root(), eth0) == Decision{true, "root", "root may open interfaces"});
    CHECK(policy.may_open(member(), eth0) ==
          Decision{true, "group impnet", "members of the group impnet may open interfaces"});
    const auto denial = policy.may_open(stranger(), eth0);
    CHECK(denial == Decision{false, "default",
                             "only root, members of the group impnet and whom [widen] names may "
                             "open interfaces"});
    CHECK(explain(denial) ==
          "not allowed by the rule default: only root, members of the group impnet and whom "
          "[widen] names may open interfaces");
    CHECK(has_socket(policy, stranger(), 2001) == "default");
    CHECK(opens(Policy{}, member()) == "default");  // a host without that group
    CHECK(opens(Policy{}, root()) == "yes");
}

TEST_CASE("only [widen] lets others in: by user, by group, by unit", "[policy]") {
    auto policy = with({allow()});
    CHECK(opens(policy, stranger()) == "default");  // no rule does
    SECTION("by user") {
        policy.widen.users = {5, 2000};
    }
    SECTION("by group") {
        policy.widen.groups = {5, 2000};
    }
    SECTION("by unit") {
        policy.widen.units = {"hub.service", "sensor@*.service"};
    }
    auto client = stranger();
    client.unit = "sensor@7.service";
    CHECK(opens(policy, client) == "yes");
    CHECK(has_socket(policy, client, 2001) == "yes");
    auto other = stranger();
    other.uid = 2001;
    other.groups = {2001};
    other.unit = "other.service";
    CHECK(opens(policy, other) == "default");
    policy.rules = {};
    CHECK(policy.may_open(client, eth0).rule == "widen");
    policy.rules = {deny("none-at-all")};
    CHECK(opens(policy, client) == "none-at-all");
}

// --- Conditions ---------------------------------------------------------------------------------

TEST_CASE("a rule's conditions are who, where and which port", "[policy]") {
    auto rule = deny();
    auto client = member("hub.service");
    std::uint16_t port = 2001;
    Nii interface = eth0;
    const auto fits = [&] { return has_socket(with({rule}), client, port, interface) == "no"; };
    CHECK(fits());  // without conditions: always

    SECTION("user") {
        rule.users = {1, 1000};
        CHECK(fits());
        client.uid = 1001;
        CHECK_FALSE(fits());
        client.uid = 0;
        CHECK_FALSE(fits());
        rule.users = {0};
        CHECK(fits());  // root, too
    }
    SECTION("group") {
        rule.groups = {1, 27};
        CHECK(fits());
        client.groups = {impnet};
        CHECK_FALSE(fits());
    }
    SECTION("unit") {
        for (const auto* pattern : {"hub.service", "*", "hub.*", "*.service", "h*b*service", "**",
                                    "hub.service*", "*hub.service", "*u*"}) {
            INFO(pattern);
            rule.units = {"other.service", pattern};
            CHECK(fits());
        }
        for (const auto* pattern : {"hub", "hub.service.", "*.socket", "hub*b.service", "hu",
                                    "ub.service", "", "hub?service", "h*x*", "hub.service*x"}) {
            INFO(pattern);
            rule.units = {pattern};
            CHECK_FALSE(fits());
        }
        client.unit = "";
        rule.units = {"*"};
        CHECK_FALSE(fits());  // in no unit is not in any
    }
    SECTION("interface") {
        rule.interfaces = {wl0, eth0};
        CHECK(fits());
        interface = eth1;
        CHECK_FALSE(fits());
    }
    SECTION("port") {
        rule.ports = {{2001, 2001}, {3000, 3010}};
        for (const auto& [number, expected] : {std::pair{2000, false},
                                               {2001, true},
                                               {2002, false},
                                               {2999, false},
                                               {3000, true},
                                               {3010, true},
                                               {3011, false},
                                               {0, false}}) {
            INFO(number);
            port = static_cast<std::uint16_t>(number);
            CHECK(fits() == expected);
        }
        rule.ports = {{0, 0}};  // one that is left to us
        port = 0;
        CHECK(fits());
    }
    SECTION("all together: one that does not hold is enough") {
        rule.users = {1000};
        rule.units = {"hub.service"};
        rule.interfaces = {eth0};
        CHECK(fits());
        client.unit = "other.service";
        CHECK_FALSE(fits());
    }
}

TEST_CASE("the first rule that fits decides", "[policy]") {
    auto except = allow("except");
    except.interfaces = {eth0};
    CHECK(opens(with({except, deny()}), member(), eth0) == "yes");
    CHECK(opens(with({except, deny()}), member(), eth1) == "no");
    CHECK(opens(with({deny(), except}), member(), eth0) == "no");
    CHECK(with({except, deny()}).may_open(member(), eth0) ==
          Decision{true, "except", "allowed at 10.toml:6"});
    CHECK(with({deny()}).may_open(member(), eth0) == Decision{false, "no", "denied at 10.toml:2"});
    auto other = deny("other");
    other.users = {1};
    CHECK(with({other}).may_open(member(), eth0).rule == "group impnet");  // none fits
}

// --- What is not known yet ----------------------------------------------------------------------

TEST_CASE("an interface may be opened if some socket there could be allowed", "[policy]") {
    SECTION("a rule that denies a port does not deny the interface") {
        auto port = deny();
        port.ports = {{2001, 2001}};
        const auto policy = with({port});
        CHECK(opens(policy, member()) == "yes");
        CHECK(has_socket(policy, member(), 2001) == "no");
        CHECK(has_socket(policy, member(), 2002) == "yes");
    }
    SECTION("a rule that allows a port allows the interface") {
        auto port = allow();
        port.ports = {{2001, 2001}};
        const auto policy = with({port, deny()});
        CHECK(opens(policy, member()) == "yes");
        CHECK(has_socket(policy, member(), 2001) == "yes");
        CHECK(has_socket(policy, member(), 2002) == "no");
        CHECK(has_socket(policy, member(), 0) == "no");
    }
    SECTION("a rule that allows a destination allows the socket") {
        const auto policy = with({to_network(allow(), Ipv4(10, 0, 0, 9), 32), deny()});
        CHECK(opens(policy, member()) == "yes");
        CHECK(destinations(policy) ==
              std::vector<DestinationRule>{{{Ipv4(10, 0, 0, 9), 32}, 0, 65535, true, "yes"},
                                           {{Ipv4(), 0}, 0, 65535, false, "no"}});
    }
    SECTION("a rule that might allow is named where it makes a difference") {
        const auto maybe = to_port(allow("maybe"), 53, 53);
        CHECK(with({maybe}).may_open(member(), eth0).rule == "group impnet");
        CHECK(with({maybe, allow()}).may_open(member(), eth0).rule == "yes");
        CHECK(with({maybe, deny()}).may_open(member(), eth0) ==
              Decision{true, "maybe", "allowed at 10.toml:5"});
    }
    SECTION("a rule that denies a destination denies no socket") {
        const auto policy = with({to_port(deny(), 9100, 9100)});
        CHECK(has_socket(policy, member(), 2001) == "yes");
    }
    SECTION("which interface, a client that comes back does not say") {
        auto rule = deny();
        rule.interfaces = {eth0};
        CHECK(opens(with({rule}), member(), std::nullopt) == "yes");
        CHECK(opens(with({deny()}), member(), std::nullopt) == "no");
        CHECK(opens(with({}), stranger(), std::nullopt) == "default");
    }
}

// --- What a socket follows ----------------------------------------------------------------------

TEST_CASE("a socket follows those rules about destinations that fit it, in order", "[policy]") {
    auto others = to_network(deny("others"), Ipv4(10, 0, 0, 0), 8);
    others.users = {1};
    auto elsewhere = to_network(deny("elsewhere"), Ipv4(10, 0, 0, 0), 8);
    elsewhere.interfaces = {eth1};
    auto other_port = to_network(deny("other-port"), Ipv4(10, 0, 0, 0), 8);
    other_port.ports = {{2002, 2002}};
    auto first = to_port(to_network(deny("first"), Ipv4(192, 168, 1, 0), 28), 9100, 9102);
    auto second = to_port(deny("second"), 53, 53);
    second.groups = {impnet};
    const auto policy = with({others, elsewhere, other_port, first, second});
    CHECK(destinations(policy) == std::vector<DestinationRule>{
                                      {{Ipv4(192, 168, 1, 0), 28}, 9100, 9102, false, "first"},
                                      {{Ipv4(), 0}, 53, 53, false, "second"},
                                  });
}

TEST_CASE("a rule about networks and ports is about each pair of them", "[policy]") {
    auto rule = to_network(to_network(deny(), Ipv4(10, 0, 0, 0), 8), Ipv4(172, 16, 0, 1), 32);
    rule.destination_ports = {{1, 9}, {80, 80}};
    CHECK(rule.destination_count() == 4);
    CHECK(destinations(with({rule})) == std::vector<DestinationRule>{
                                            {{Ipv4(10, 0, 0, 0), 8}, 1, 9, false, "no"},
                                            {{Ipv4(10, 0, 0, 0), 8}, 80, 80, false, "no"},
                                            {{Ipv4(172, 16, 0, 1), 32}, 1, 9, false, "no"},
                                            {{Ipv4(172, 16, 0, 1), 32}, 80, 80, false, "no"},
                                        });
}

TEST_CASE("a rule that fits a socket whatever its destination is the last one", "[policy]") {
    const auto before = to_port(deny("before"), 1, 1);
    const auto after = to_port(deny("after"), 2, 2);
    auto limited = allow("limited");
    limited.limit = RateLimit{10, 2.5};
    const auto policy = with({before, limited, after, deny()});
    const auto socket = policy.open_socket(member(), eth0, 2001);
    REQUIRE(socket);
    CHECK(socket->destinations ==
          std::vector<DestinationRule>{{{Ipv4(), 0}, 1, 1, false, "before"}});
    CHECK(socket->own_limit == RateLimit{10, 2.5});
}

TEST_CASE("a limit is for those whom its rule fits", "[policy]") {
    auto slow = allow("slow");
    slow.users = {1000};
    slow.limit = RateLimit{10, 2.5};
    auto slower = allow("slower");
    slower.limit = RateLimit{1, 1};
    const auto policy = with({slow, slower});
    CHECK(policy.open_socket(member(), eth0, 0)->own_limit == RateLimit{10, 2.5});
    CHECK(policy.open_socket(root(), eth0, 0)->own_limit == RateLimit{1, 1});
    CHECK_FALSE(with({}).open_socket(root(), eth0, 0)->own_limit);
}

TEST_CASE("exceptions to nothing take no room", "[policy]") {
    CHECK(destinations(with({to_port(allow(), 1, 1), to_port(allow("more"), 2, 2)})).empty());
    CHECK(destinations(with({to_port(deny(), 1, 1), to_port(allow(), 2, 2)})).size() == 1);
}

TEST_CASE("a socket with more destination rules than a data path takes is denied", "[policy]") {
    std::vector<PolicyRule> rules;
    for (std::uint16_t i = 0; i < SocketPolicy::max_destinations; ++i)
        rules.push_back(to_port(deny("r" + std::to_string(i)), i + 1, i + 1));
    CHECK(destinations(with(rules)).size() == SocketPolicy::max_destinations);
    CHECK(with(rules).one_too_many() == nullptr);

    auto last = to_port(deny("r16"), 100, 100);
    last.users = {1000};
    rules.push_back(last);
    const auto policy = with(rules);
    CHECK(policy.one_too_many() == nullptr);  // not for everybody
    CHECK(has_socket(policy, root(), 2001) == "yes");
    const auto socket = policy.open_socket(member(), eth0, 2001);
    REQUIRE_FALSE(socket);
    CHECK(socket.error() ==
          Decision{false, "r16", "the rules for this socket name more than 16 destinations"});

    rules.back().users = {};
    const auto too_many = with(rules);
    REQUIRE(too_many.one_too_many() != nullptr);
    CHECK(too_many.one_too_many()->name == "r16");
}

// --- Policy.Check -------------------------------------------------------------------------------

TEST_CASE("a query is answered with all that it says", "[policy]") {
    auto printers = to_port(to_network(deny("no-printers"), Ipv4(192, 168, 1, 0), 28), 9100, 9100);
    printers.users = {1000};
    const auto policy = with({printers});
    auto query = query_of(member());
    const auto answer = [&] { return policy.check(query); };
    CHECK(answer().rule == "group impnet");
    query.interface = eth0;
    query.port = 2001;
    query.network = Ipv4Network{Ipv4(192, 168, 1, 77), 24};
    query.address = Ipv4(192, 168, 1, 9);
    CHECK(answer().rule == "group impnet");  // the port is not known: it may be another
    query.destination_port = 9100;
    CHECK(answer() == Decision{false, "no-printers", "denied at 10.toml:11"});
    query.destination_port = 9101;
    CHECK(answer().allowed);
    query.destination_port = 9100;
    query.address = Ipv4(192, 168, 1, 16);
    CHECK(answer().allowed);
    query.address = std::nullopt;
    CHECK(answer().allowed);
    query.address = Ipv4(192, 168, 1, 9);
    query.uid = std::nullopt;
    CHECK(answer().allowed);
}

TEST_CASE("a query is told what no rule says and happens all the same", "[policy]") {
    auto policy = with({});
    policy.widen.networks = {{Ipv4(100, 64, 0, 0), 10}};
    auto query = query_of(root());
    query.network = Ipv4Network{Ipv4(192, 168, 1, 77), 24};
    const auto at = [&](Ipv4 address) {
        query.address = address;
        const auto decision = policy.check(query);
        return decision.allowed ? "yes" : decision.rule + ": " + decision.reason;
    };
    CHECK(at(Ipv4(8, 8, 8, 8)) ==
          "address space: 8.8.8.8 is neither private nor in a network of [widen]");
    CHECK(at(Ipv4(192, 168, 1, 0)) == "address space: 192.168.1.0 is the network's own address");
    CHECK(at(Ipv4(192, 168, 1, 77)) == "subnet: 192.168.1.77 is the interface's own address");
    CHECK(at(Ipv4(192, 168, 2, 1)) ==
          "subnet: 192.168.2.1 is not on the interface's subnet, 192.168.1.77/24");
    CHECK(at(Ipv4(100, 64, 0, 1)) ==
          "subnet: 100.64.0.1 is not on the interface's subnet, 192.168.1.77/24");
    CHECK(at(Ipv4(192, 168, 1, 1)) == "yes");
    CHECK(at(Ipv4(192, 168, 1, 255)) == "yes");
    CHECK(at(Ipv4(255, 255, 255, 255)) == "yes");
    query.destination_port = 67;
    CHECK(at(Ipv4(192, 168, 1, 1)) == "destination port: nothing is sent to port 67");
    query.destination_port = 69;
    query.network = std::nullopt;
    CHECK(at(Ipv4(192, 168, 2, 1)) == "yes");
    CHECK(at(Ipv4(100, 64, 0, 1)) == "yes");
    CHECK(at(Ipv4(100, 128, 0, 1)) ==
          "address space: 100.128.0.1 is neither private nor in a network of [widen]");
}

TEST_CASE("of whom nothing is known, the answer says what it depends on", "[policy]") {
    auto policy = with({});
    CHECK(policy.check({}) ==
          Decision{true, "default", "if it is one who may open interfaces: root, for example"});
    PolicyQuery query;
    query.uid = 2000;
    CHECK(policy.check(query) ==
          Decision{true, "default", "if the user is in a group that may open interfaces"});
    query.groups = {2000};
    CHECK_FALSE(policy.check(query).allowed);
    policy.widen.units = {"hub.service"};
    CHECK(policy.check(query) == Decision{true, "widen", "if the unit is one that [widen] names"});
    query.unit = "";
    CHECK_FALSE(policy.check(query).allowed);
}

TEST_CASE("a query is read, and refused by its key", "[policy]") {
    const auto read = [](const Dict& dict) { return parse_policy_query(dict); };
    const auto full = read({{"uid", {std::int64_t{1000}}},
                            {"unit", {std::string("hub.service")}},
                            {"interface", {std::string("ethernet")}},
                            {"port", {std::int64_t{0}}},
                            {"address", {std::string("192.168.1.1")}},
                            {"destination_port", {std::int64_t{65535}}}});
    REQUIRE(full);
    CHECK(full->uid == 1000);
    CHECK(full->unit == "hub.service");
    CHECK(full->interface == eth0);
    CHECK(full->port == 0);
    CHECK(full->address == Ipv4(192, 168, 1, 1));
    CHECK(full->destination_port == 65535);
    CHECK(read({}) == PolicyQuery{});

    const auto refusal = [&](const std::string& key, const Value& value) {
        const auto query = read({{key, value}});
        REQUIRE_FALSE(query);
        CHECK(query.error().code == ErrorCode::invalid_argument);
        return query.error().message;
    };
    CHECK(refusal("uid", {std::int64_t{-1}}) == "uid: not the number of a user");
    CHECK(refusal("uid", {std::int64_t{UINT32_MAX}}) == "uid: not the number of a user");
    CHECK(refusal("uid", {std::string("root")}) == "uid: not the number of a user");
    CHECK(refusal("port", {std::int64_t{65536}}) == "port: not 0 to 65535");
    CHECK(refusal("destination_port", {true}) == "destination_port: not 0 to 65535");
    CHECK(refusal("unit", {std::int64_t{1}}) == "unit: not a string");
    CHECK(refusal("interface", {std::string("enp3s0")}) ==
          "interface: not an interface, like \"eth0\"");
    CHECK(refusal("address", {std::string("printer")}) == "address: not a dotted quad");
    CHECK(refusal("user", {std::int64_t{1}}) == "user: unknown key");
}
