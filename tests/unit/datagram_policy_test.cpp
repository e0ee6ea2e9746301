// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/datagram_policy.hpp"

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

using impnetd::admits_ingress;
using impnetd::DestinationRule;
using impnetd::EgressRules;
using impnetd::EgressVerdict;
using impnetd::Ipv4;
using impnetd::Ipv4Network;
using impnetd::judge_egress;
using impnetd::max_payload;

namespace impnetd {

std::ostream& operator<<(std::ostream& out, EgressVerdict verdict) {
    return out << "verdict " << static_cast<int>(verdict);
}

}  // namespace impnetd

namespace {

constexpr Ipv4Network home{Ipv4(192, 168, 1, 7), 24};
constexpr Ipv4 neighbour(192, 168, 1, 9);
constexpr Ipv4 everybody(255, 255, 255, 255);

EgressVerdict to(Ipv4 address, const std::optional<Ipv4Network>& network = home) {
    return judge_egress({network}, address, 2001, 32);
}

}  // namespace

TEST_CASE("Datagrams for the interface's own subnet may leave", "[policy]") {
    CHECK(to(neighbour) == EgressVerdict::pass);
    CHECK(to(Ipv4(192, 168, 1, 1)) == EgressVerdict::pass);
    CHECK(to(Ipv4(192, 168, 1, 255)) == EgressVerdict::pass);  // its broadcast address
    CHECK(to(everybody) == EgressVerdict::pass);
}

TEST_CASE("Private addresses that are not on the subnet are not connected", "[policy]") {
    for (const Ipv4 address :
         {Ipv4(192, 168, 0, 255), Ipv4(192, 168, 2, 0), Ipv4(192, 168, 2, 255), Ipv4(10, 0, 0, 0),
          Ipv4(10, 255, 255, 255), Ipv4(172, 16, 0, 0), Ipv4(172, 31, 255, 255)}) {
        INFO(address.text());
        CHECK(to(address) == EgressVerdict::not_connected);
    }
    CHECK(to(home.address) == EgressVerdict::not_connected);
}

TEST_CASE("Without an address nothing is connected", "[policy]") {
    CHECK(to(neighbour, std::nullopt) == EgressVerdict::not_connected);
    CHECK(to(everybody, std::nullopt) == EgressVerdict::not_connected);
    CHECK(to(Ipv4(192, 168, 1, 0), std::nullopt) == EgressVerdict::not_connected);
}

TEST_CASE("All other addresses are forbidden, connected or not", "[policy]") {
    for (const Ipv4 address :
         {Ipv4(0, 0, 0, 0), Ipv4(0, 0, 0, 1), Ipv4(8, 8, 8, 8), Ipv4(9, 255, 255, 255),
          Ipv4(11, 0, 0, 0), Ipv4(100, 64, 0, 1), Ipv4(127, 0, 0, 1), Ipv4(169, 254, 0, 1),
          Ipv4(172, 15, 255, 255), Ipv4(172, 32, 0, 0), Ipv4(192, 167, 255, 255),
          Ipv4(192, 169, 0, 0), Ipv4(224, 0, 0, 1), Ipv4(239, 255, 255, 255), Ipv4(240, 0, 0, 1),
          Ipv4(255, 255, 255, 254)}) {
        INFO(address.text());
        CHECK(to(address) == EgressVerdict::forbidden_address);
        CHECK(to(address, std::nullopt) == EgressVerdict::forbidden_address);
    }
    CHECK(to(Ipv4(192, 168, 1, 0)) == EgressVerdict::forbidden_address);  // the all-zero address
}

TEST_CASE("Ports 0, 67 and 68 are forbidden as destinations", "[policy]") {
    for (const std::uint16_t port : {0, 67, 68}) {
        CHECK(judge_egress({home}, neighbour, port, 1) == EgressVerdict::forbidden_port);
        CHECK(judge_egress({std::nullopt}, neighbour, port, 1) == EgressVerdict::forbidden_port);
    }
    for (const std::uint16_t port : {1, 53, 66, 69, 1023, 65535}) {
        CHECK(judge_egress({home}, neighbour, port, 1) == EgressVerdict::pass);
    }
}

TEST_CASE("A datagram carries 0 to 65507 bytes", "[policy]") {
    CHECK(judge_egress({home}, neighbour, 2001, 0) == EgressVerdict::pass);
    CHECK(judge_egress({home}, neighbour, 2001, max_payload) == EgressVerdict::pass);
    CHECK(judge_egress({home}, neighbour, 2001, max_payload + 1) == EgressVerdict::too_large);
    CHECK(judge_egress({std::nullopt}, neighbour, 2001, max_payload + 1) ==
          EgressVerdict::too_large);
}

TEST_CASE("What closes the socket is found first, then what is wrong with the call", "[policy]") {
    CHECK(judge_egress({home}, Ipv4(8, 8, 8, 8), 67, max_payload + 1) ==
          EgressVerdict::forbidden_address);
    CHECK(judge_egress({home}, home.address, 67, max_payload + 1) == EgressVerdict::forbidden_port);
    CHECK(judge_egress({home}, home.address, 2001, max_payload + 1) == EgressVerdict::too_large);
}

TEST_CASE("Subnets of every size keep their edges", "[policy]") {
    const Ipv4Network half{Ipv4(10, 0, 0, 5), 25};
    CHECK(to(Ipv4(10, 0, 0, 127), half) == EgressVerdict::pass);
    CHECK(to(Ipv4(10, 0, 0, 128), half) == EgressVerdict::not_connected);
    const Ipv4Network pair{Ipv4(10, 0, 0, 4), 31};  // RFC 3021: both addresses are hosts
    CHECK(to(Ipv4(10, 0, 0, 5), pair) == EgressVerdict::pass);
    CHECK(to(Ipv4(10, 0, 0, 4), pair) == EgressVerdict::not_connected);
    CHECK(to(everybody, pair) == EgressVerdict::pass);
    const Ipv4Network alone{Ipv4(10, 0, 0, 4), 32};
    CHECK(to(Ipv4(10, 0, 0, 4), alone) == EgressVerdict::not_connected);
    CHECK(to(Ipv4(10, 0, 0, 5), alone) == EgressVerdict::not_connected);
    const Ipv4Network wide{Ipv4(10, 1, 2, 3), 8};
    CHECK(to(Ipv4(10, 255, 255, 255), wide) == EgressVerdict::pass);
    CHECK(to(Ipv4(10, 0, 0, 0), wide) == EgressVerdict::forbidden_address);
}

TEST_CASE("Only datagrams from the subnet to us or to all arrive", "[policy]") {
    CHECK(admits_ingress(home, neighbour, home.address));
    CHECK(admits_ingress(home, neighbour, Ipv4(192, 168, 1, 255)));
    CHECK(admits_ingress(home, neighbour, everybody));

    CHECK_FALSE(admits_ingress(home, neighbour, Ipv4(192, 168, 1, 8)));
    CHECK_FALSE(admits_ingress(home, neighbour, Ipv4(192, 168, 2, 255)));
    CHECK_FALSE(admits_ingress(home, neighbour, Ipv4(239, 1, 2, 3)));
    CHECK_FALSE(admits_ingress(home, neighbour, Ipv4(192, 168, 1, 0)));
    CHECK_FALSE(admits_ingress(home, Ipv4(192, 168, 2, 9), home.address));
    CHECK_FALSE(admits_ingress(home, Ipv4(8, 8, 8, 8), everybody));
    CHECK_FALSE(admits_ingress(home, Ipv4(0, 0, 0, 0), everybody));
    CHECK_FALSE(admits_ingress(std::nullopt, neighbour, home.address));
    CHECK_FALSE(admits_ingress(std::nullopt, neighbour, everybody));
}

TEST_CASE("Our own broadcasts do not arrive", "[policy]") {
    CHECK_FALSE(admits_ingress(home, home.address, everybody));
    CHECK_FALSE(admits_ingress(home, home.address, Ipv4(192, 168, 1, 255)));
}

TEST_CASE("Nobody can make a program lose its socket by what it answers to", "[policy]") {
    // On every subnet of private addresses: whoever is let in may be answered.
    for (const Ipv4Network& network :
         {home, Ipv4Network{Ipv4(10, 1, 2, 3), 8}, Ipv4Network{Ipv4(172, 16, 0, 9), 30},
          Ipv4Network{Ipv4(10, 0, 0, 4), 31}}) {
        const std::uint32_t last = network.network().bits() | ~network.netmask().bits();
        for (const std::uint32_t bits :
             {network.network().bits(), network.network().bits() + 1, last - 1, last}) {
            const Ipv4 from(bits);
            INFO(network.text() << " from " << from.text());
            if (!admits_ingress(network, from, network.address)) continue;
            CHECK(to(from, network) == EgressVerdict::pass);
            CHECK(from != network.broadcast());
        }
        CHECK_FALSE((network.broadcast() &&
                     admits_ingress(network, *network.broadcast(), network.address)));
    }
}

TEST_CASE("Further networks count as local address space, on the subnet only", "[policy]") {
    const std::vector<Ipv4Network> extra{{Ipv4(100, 64, 0, 0), 10}};
    const Ipv4Network here{Ipv4(100, 64, 1, 7), 24};
    const auto judge = [&](const std::optional<Ipv4Network>& network, Ipv4 address) {
        return judge_egress({.network = network, .extra_networks = extra}, address, 2001, 32);
    };
    CHECK(judge(here, Ipv4(100, 64, 1, 9)) == EgressVerdict::pass);
    CHECK(judge(here, Ipv4(100, 64, 1, 255)) == EgressVerdict::pass);
    CHECK(judge(here, Ipv4(100, 64, 2, 9)) == EgressVerdict::not_connected);
    CHECK(judge(home, Ipv4(100, 64, 1, 9)) == EgressVerdict::not_connected);
    CHECK(judge(std::nullopt, Ipv4(100, 64, 1, 9)) == EgressVerdict::not_connected);
    CHECK(judge(here, here.address) == EgressVerdict::not_connected);
    CHECK(judge(here, Ipv4(100, 64, 1, 0)) == EgressVerdict::forbidden_address);
    CHECK(judge(here, Ipv4(100, 63, 255, 255)) == EgressVerdict::forbidden_address);
    CHECK(judge(here, Ipv4(100, 128, 0, 0)) == EgressVerdict::forbidden_address);
    CHECK(to(Ipv4(100, 64, 1, 9), here) == EgressVerdict::forbidden_address);
}

namespace {

const std::vector<DestinationRule> few_printers{
    {{neighbour, 32}, 0, 65535, true, "the-good-one"},
    {{Ipv4(192, 168, 1, 0), 28}, 9100, 9102, false, "no-printers"},
};

}  // namespace

TEST_CASE("The first rule that fits address and port decides", "[policy]") {
    const EgressRules rules{.network = home, .destinations = few_printers};
    const auto judge = [&](Ipv4 address, std::uint16_t port) {
        return judge_egress(rules, address, port, 32);
    };
    const Ipv4 printer(192, 168, 1, 15);
    CHECK(judge(printer, 9099) == EgressVerdict::pass);
    CHECK(judge(printer, 9100) == EgressVerdict::denied_by_rule);
    CHECK(judge(printer, 9102) == EgressVerdict::denied_by_rule);
    CHECK(judge(printer, 9103) == EgressVerdict::pass);
    CHECK(judge(Ipv4(192, 168, 1, 16), 9100) == EgressVerdict::pass);
    CHECK(judge(neighbour, 9100) == EgressVerdict::pass);
    CHECK(judge(everybody, 9100) == EgressVerdict::pass);
    CHECK(reason_of_denial(rules, printer, 9100) ==
          "address 192.168.1.15 with port 9100 is not allowed by the rule no-printers");
    CHECK(reason_of_denial(rules, Ipv4(8, 8, 8, 8), 9100) == "address 8.8.8.8 is not allowed");
}

TEST_CASE("A rule that denies closes the socket, whatever else is wrong", "[policy]") {
    const std::vector<DestinationRule> none{{{Ipv4(), 0}, 0, 65535, false, "none"}};
    for (const auto& network : {std::optional(home), std::optional<Ipv4Network>()}) {
        const EgressRules rules{.network = network, .destinations = none};
        CHECK(judge_egress(rules, neighbour, 67, max_payload + 1) == EgressVerdict::denied_by_rule);
        CHECK(judge_egress(rules, everybody, 0, 1) == EgressVerdict::denied_by_rule);
        CHECK(judge_egress(rules, Ipv4(10, 0, 0, 1), 1, 1) == EgressVerdict::denied_by_rule);
        // The base comes before all rules.
        CHECK(judge_egress(rules, Ipv4(8, 8, 8, 8), 1, 1) == EgressVerdict::forbidden_address);
    }
}

TEST_CASE("Nothing arrives from where a rule lets nothing go", "[policy]") {
    const EgressRules rules{.network = home, .destinations = few_printers};
    const Ipv4 printer(192, 168, 1, 15);
    CHECK_FALSE(admits_ingress(rules, printer, 9100, home.address));
    CHECK(admits_ingress(rules, printer, 9099, home.address));
    CHECK(admits_ingress(rules, neighbour, 9100, home.address));
    CHECK_FALSE(admits_ingress(rules, Ipv4(192, 168, 2, 9), 9099, home.address));
}
