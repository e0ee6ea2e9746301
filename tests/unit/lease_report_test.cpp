// SPDX-License-Identifier: LGPL-2.1-or-later
#include "addressing/lease_report.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "addressing/report_format.hpp"

namespace {

using namespace impnetd;
using Kind = LeaseEvent::Kind;

using Variables = std::vector<std::string>;

std::string record(const std::string& event, const Variables& variables = {}) {
    auto out = event + '\0';
    for (const auto& variable : variables) out += variable + '\0';
    return out + '\0';
}

LeaseEvent parsed(const std::string& bytes) {
    const auto event = parse_lease_report(bytes);
    INFO((event ? "" : event.error().message));
    REQUIRE(event);
    return *event;
}

std::string refusal(const std::string& bytes) {
    const auto event = parse_lease_report(bytes);
    REQUIRE_FALSE(event);
    return event.error().message;
}

const Variables ordinary = {"ip=192.168.7.23",      "subnet=255.255.255.0",
                            "router=192.168.7.1",   "dns=192.168.7.1 192.168.7.2",
                            "serverid=192.168.7.1", "lease=7200"};

/// The ordinary lease with one variable set to something else, or added.
Variables with(const std::string& name, const std::string& value) {
    const auto prefix = name + '=';
    auto out = ordinary;
    const auto found = std::find_if(out.begin(), out.end(), [&](const std::string& variable) {
        return variable.starts_with(prefix);
    });
    if (found != out.end())
        *found = prefix + value;
    else
        out.push_back(prefix + value);
    return out;
}

Variables without(const std::string& name) {
    auto out = ordinary;
    std::erase_if(out, [&](const auto& variable) { return variable.starts_with(name + '='); });
    return out;
}

Lease ordinary_lease() {
    return Lease{.network = {Ipv4(192, 168, 7, 23), 24},
                 .broadcast = Ipv4(192, 168, 7, 255),
                 .gateway = Ipv4(192, 168, 7, 1),
                 .server = Ipv4(192, 168, 7, 1),
                 .dns = {Ipv4(192, 168, 7, 1), Ipv4(192, 168, 7, 2)},
                 .mtu = {},
                 .routes = {},
                 .seconds = 7200};
}

Lease lease_of(const Variables& variables) {
    return parsed(record("bound", variables)).lease;
}
std::string refusal_of(const Variables& variables) {
    return refusal(record("bound", variables));
}

}  // namespace

TEST_CASE("A report is read as the event it tells", "[lease]") {
    CHECK(parsed(record("bound", ordinary)) == LeaseEvent{Kind::obtained, ordinary_lease(), ""});
    CHECK(parsed(record("renew", ordinary)) == LeaseEvent{Kind::renewed, ordinary_lease(), ""});
    CHECK(parsed(record("deconfig")) == LeaseEvent{Kind::deconfigured, {}, ""});
    CHECK(parsed(record("leasefail")) == LeaseEvent{Kind::unanswered, {}, ""});
    CHECK(parsed(record("nak")) == LeaseEvent{Kind::refused, {}, ""});
    CHECK(parsed(record("nak", {"message=address not available"})) ==
          LeaseEvent{Kind::refused, {}, "address not available"});
    // An event without a lease has none, whatever else it brings.
    CHECK(parsed(record("deconfig", ordinary)) == LeaseEvent{Kind::deconfigured, {}, ""});
}

TEST_CASE("A report that is not whole is refused, wherever it was cut off", "[lease]") {
    const auto whole = record("bound", ordinary);
    REQUIRE(parse_lease_report(whole));
    for (std::size_t size = 0; size < whole.size(); ++size) {
        INFO(size);
        CHECK_FALSE(parse_lease_report(whole.substr(0, size)));
    }
}

TEST_CASE("A report that is no report is refused", "[lease]") {
    CHECK(refusal("") == "the DHCP client's report is cut off");
    CHECK(refusal(record("leased", ordinary)) == "event \"leased\" is unknown");
    CHECK(refusal(record("")) == "event \"\" is unknown");
    CHECK(refusal(record("bound", {"ip"})) == "report \"ip\" is no NAME=value");
    CHECK(refusal(record("bound", ordinary) + "more") ==
          "the DHCP client's report goes on after its end");
    const auto huge = record("bound", with("dns", std::string(report::max_size, '1')));
    CHECK(parse_lease_report(huge).error() ==
          Error{ErrorCode::too_large, "the DHCP client's report is larger than 4096 bytes"});
    CHECK_FALSE(parse_lease_report(std::string(1'000'000, '\0')));
    // Each single byte changed: whatever comes out, nothing breaks.
    const auto whole = record("bound", ordinary);
    for (std::size_t at = 0; at < whole.size(); ++at) {
        for (int byte = 0; byte < 256; ++byte) {
            auto changed = whole;
            changed[at] = static_cast<char>(byte);
            const auto event = parse_lease_report(changed);
            if (event && event->kind == Kind::obtained) CHECK(event->lease.network.prefix >= 8);
        }
    }
}

TEST_CASE("A lease needs an address that can be a host's", "[lease]") {
    for (const char* value :
         {"", "192.168.7", "192.168.7.256", "192.168.7.23.1", "192.168.7.023", " 192.168.7.23",
          "192.168.7.23 192.168.7.24", "0xc0a80717", "host", "-1.0.0.0"}) {
        INFO(value);
        CHECK(refusal_of(with("ip", value)) ==
              "address \"" + std::string(value) + "\" is not a dotted quad");
    }
    CHECK(refusal_of(without("ip")) == "address \"\" is not a dotted quad");
    for (const char* value : {"0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "239.255.255.255",
                              "240.0.0.1", "255.255.255.255"}) {
        INFO(value);
        CHECK(refusal_of(with("ip", value)) ==
              "address \"" + std::string(value) + "\" is no host's");
    }
    CHECK(refusal_of(with("ip", "192.168.7.0")) ==
          "address \"192.168.7.0/24\" is its subnet's own or broadcast address");
    CHECK(refusal_of(with("ip", "192.168.7.255")) ==
          "address \"192.168.7.255/24\" is its subnet's own or broadcast address");
}

TEST_CASE("A lease's netmask must make sense", "[lease]") {
    CHECK(refusal_of(with("subnet", "255.0.255.0")) == "netmask \"255.0.255.0\" has gaps");
    CHECK(refusal_of(with("subnet", "0.0.0.255")) == "netmask \"0.0.0.255\" has gaps");
    CHECK(refusal_of(with("subnet", "0.0.0.0")) == "netmask \"0.0.0.0\" is too short");
    CHECK(refusal_of(with("subnet", "254.0.0.0")) == "netmask \"254.0.0.0\" is too short");
    CHECK(refusal_of(with("subnet", "24")) == "netmask \"24\" is not a dotted quad");
    CHECK(refusal_of(with("subnet", "255.255.255.0 255.255.255.0")) ==
          "netmask \"255.255.255.0 255.255.255.0\" is not a dotted quad");

    CHECK(lease_of(with("subnet", "255.0.0.0")).network.prefix == 8);
    SECTION("a subnet of two or one has no broadcast address") {
        auto expected = ordinary_lease();
        expected.broadcast.reset();
        expected.network.prefix = 31;
        CHECK(lease_of(with("subnet", "255.255.255.254")) == expected);
        expected.network.prefix = 32;
        CHECK(lease_of(with("subnet", "255.255.255.255")) == expected);
    }
    SECTION("without one it is that of the address's class (RFC 950)") {
        auto variables = without("subnet");
        CHECK(lease_of(variables).network.prefix == 24);
        variables[0] = "ip=172.16.3.4";
        CHECK(lease_of(variables).network.prefix == 16);
        variables[0] = "ip=10.1.2.3";
        CHECK(lease_of(variables).network.prefix == 8);
    }
}

TEST_CASE("A lease's time is a number of seconds", "[lease]") {
    for (const char* value : {"-1", "3600s", "1e3", " 60", "4294967296", "99999999999999999999"}) {
        INFO(value);
        CHECK(refusal_of(with("lease", value)) ==
              "lease time \"" + std::string(value) + "\" is no number of seconds");
    }
    CHECK(lease_of(with("lease", "4294967295")).seconds == 4294967295);
    SECTION("as udhcpc has it: at least half a minute, and an hour if none is told") {
        CHECK(lease_of(with("lease", "0")).seconds == 30);
        CHECK(lease_of(with("lease", "29")).seconds == 30);
        CHECK(lease_of(with("lease", "31")).seconds == 31);
        CHECK(lease_of(without("lease")).seconds == 3600);
    }
}

TEST_CASE("What a lease can do without is left out if it names no host", "[lease]") {
    auto expected = ordinary_lease();
    SECTION("no gateway") {
        expected.gateway.reset();
        CHECK(lease_of(without("router")) == expected);
        CHECK(lease_of(with("router", "")) == expected);
        CHECK(lease_of(with("router", "0.0.0.0")) == expected);
    }
    SECTION("the first gateway that is one") {
        expected.gateway = Ipv4(192, 168, 7, 9);
        CHECK(lease_of(with("router", "127.0.0.1 192.168.7.9 192.168.7.10")) == expected);
    }
    SECTION("no server") {
        expected.server.reset();
        CHECK(lease_of(without("serverid")) == expected);
        CHECK(lease_of(with("serverid", "0.0.0.0")) == expected);
    }
    SECTION("no DNS server") {
        expected.dns.clear();
        CHECK(lease_of(without("dns")) == expected);
        CHECK(lease_of(with("dns", "0.0.0.0 255.255.255.255 224.0.0.251")) == expected);
    }
    SECTION("nor this host itself, its subnet or everybody on it") {
        expected.gateway.reset();
        expected.server.reset();
        expected.dns.clear();
        for (const char* value : {"192.168.7.23", "192.168.7.0", "192.168.7.255"}) {
            INFO(value);
            auto variables = with("router", value);
            variables[3] = "dns=" + std::string(value);
            variables[4] = "serverid=" + std::string(value);
            CHECK(lease_of(variables) == expected);
        }
    }
    SECTION("no more than two DNS servers") {
        expected.dns = {Ipv4(1, 1, 1, 1), Ipv4(2, 2, 2, 2)};
        CHECK(lease_of(with("dns", "0.0.0.0 1.1.1.1 2.2.2.2 3.3.3.3")) == expected);
        std::string long_list = "1.1.1.1 2.2.2.2";
        for (int i = 0; i < 140; ++i) long_list += " 103.103.103.103";
        CHECK(lease_of(with("dns", long_list)) == expected);
    }
    SECTION("but what is no address at all spoils the report") {
        CHECK(refusal_of(with("router", "gateway")) == "router \"gateway\" is not a dotted quad");
        CHECK(refusal_of(with("serverid", "1.2.3")) == "serverid \"1.2.3\" is not a dotted quad");
        CHECK(refusal_of(with("dns", "1.1.1.1 2.2.2.2 x")) == "dns \"x\" is not a dotted quad");
        CHECK(refusal_of(with("dns", "1.1.1.1  2.2.2.2")) == "dns \"\" is not a dotted quad");
    }
}

TEST_CASE("Text of a server gets into messages as printable ASCII of bounded length", "[lease]") {
    CHECK(parsed(record("nak", {"message=no\n\x1b[2Jway \xff"})).message == "no??[2Jway ?");
    CHECK(parsed(record("nak", {"message=" + std::string(255, 'x')})).message ==
          std::string(80, 'x'));
    CHECK(refusal_of(with("ip", std::string(1000, '\n'))).size() < 150);
}

TEST_CASE("An MTU is taken within limits, and one that makes no sense is left out", "[lease]") {
    const auto mtu = [](const std::string& text) { return lease_of(with("mtu", text)).mtu; };
    CHECK(mtu("1400") == 1400);
    CHECK(mtu("576") == 576);
    CHECK(mtu("65535") == 65535);
    for (const auto* absurd : {"", "0", "1", "68", "575", "65536", "4294967295"}) {
        INFO(absurd);
        CHECK(lease_of(with("mtu", absurd)) == ordinary_lease());
    }
    for (const auto* strange : {"-1", "1400 ", "1400x", "4294967296"}) {
        INFO(strange);
        CHECK(refusal_of(with("mtu", strange)) ==
              "MTU \"" + std::string(strange) + "\" is no number");
    }
}

TEST_CASE("Static routes are read as they are", "[lease]") {
    const auto routes = [](const std::string& text) {
        return lease_of(with("staticroutes", text)).routes;
    };
    CHECK(routes("").empty());
    CHECK(routes("10.0.0.0/8 192.168.7.254 0.0.0.0/0 192.168.7.1 8.8.8.8/32 0.0.0.0") ==
          std::vector<StaticRoute>{{{Ipv4(10, 0, 0, 0), 8}, Ipv4(192, 168, 7, 254)},
                                   {{Ipv4(), 0}, Ipv4(192, 168, 7, 1)},
                                   {{Ipv4(8, 8, 8, 8), 32}, Ipv4()}});
    for (const auto* strange : {"10.0.0.0/8", "10.0.0.0 10.0.0.1", "10.0.0.0/33 10.0.0.1",
                                "10.0.0.0/ 10.0.0.1", "10.0.0/8 10.0.0.1", " ", "/8 10.0.0.1"}) {
        INFO(strange);
        CHECK(refusal_of(with("staticroutes", strange)).starts_with("static route \""));
    }
    std::string many;
    for (std::size_t i = 0; i <= Lease::most_routes; ++i) many += "0.0.0.0/0 1.1.1.1 ";
    CHECK(routes(many).size() == Lease::most_routes);
}
