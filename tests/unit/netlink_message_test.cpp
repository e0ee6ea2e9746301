// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "netlink/message.hpp"
#include "netlink_messages.hpp"

namespace {

using namespace impnetd;
using namespace impnetd::netlink;
using namespace netlink_messages;

using Bytes = std::vector<std::byte>;

std::optional<Message> decoded(const Bytes& datagram) {
    MessageReader reader(datagram);
    const nlmsghdr* header = reader.next();
    return header == nullptr ? std::nullopt : decode(*header);
}
std::optional<Message> decoded(const Builder& message) {
    return decoded(message.bytes());
}

/// Everything that can be made of a datagram.
std::size_t read_all(const Bytes& datagram) {
    std::size_t count = 0;
    MessageReader reader(datagram);
    while (const nlmsghdr* header = reader.next()) {
        count += decode(*header).has_value() ? 1 : 0;
        count += decode_answer(*header).has_value() ? 1 : 0;
        count += decode_counters(*header).has_value() ? 1 : 0;
        count += decode_settings(*header).has_value() ? 1 : 0;
    }
    return count;
}

Link hardware() {
    return Link{.ifindex = 3,
                .name = "enp3s0",
                .mac = *MacAddress::parse("0c2a6908b1f3"),
                .ethernet = true,
                .up = true,
                .carrier = true,
                .kind = "",
                .path = "pci-0000:03:00.0"};
}

Builder route(int type = RTM_NEWROUTE, int flags = NLM_F_CREATE) {
    return {type, flags, default_route_header()};
}

Builder answer(int type, int flags, int error, const std::string& detail) {
    nlmsgerr body{};
    body.error = error;
    body.msg.nlmsg_len = sizeof(nlmsghdr);
    Builder out(type, flags, body);
    if (!detail.empty()) out.text(NLMSGERR_ATTR_MSG, detail);
    return out;
}

DefaultRoute by_gateway(int ifindex, Ipv4 gateway, std::uint32_t metric = 0) {
    DefaultRoute out;
    out.metric = metric;
    out.type = RTN_UNICAST;
    out.protocol = RTPROT_BOOT;
    out.hops = {{ifindex, gateway, false}};
    return out;
}

/// One of each that the kernel sends us.
std::vector<Bytes> samples() {
    Link veth = hardware();
    veth.kind = "veth";
    veth.path = "";
    const LinkAddress address{3, {Ipv4(10, 0, 0, 5), 24}, Ipv4(10, 0, 0, 255), false};
    nhmsg hop{};
    std::vector<std::uint8_t> hops = hop_bytes(3, Ipv4(10, 0, 0, 1));
    const auto second = hop_bytes(4, Ipv4(10, 0, 1, 1), true);
    hops.insert(hops.end(), second.begin(), second.end());
    if_stats_msg stats{};
    return {
        link_message(hardware()).bytes(),
        link_message(veth).bytes(),
        link_message(veth, RTM_DELLINK).bytes(),
        address_message(address).bytes(),
        address_message(address, RTM_DELADDR).bytes(),
        route().value(RTA_OIF, 3).ipv4(RTA_GATEWAY, Ipv4(10, 0, 0, 1)).bytes(),
        route(RTM_DELROUTE).value(RTA_PRIORITY, 5).raw(RTA_MULTIPATH, hops).bytes(),
        Builder(RTM_DELNEXTHOP, 0, hop).value(NHA_ID, std::uint32_t{5}).bytes(),
        answer(NLMSG_ERROR, NLM_F_ACK_TLVS | NLM_F_CAPPED, -EEXIST, "Address already there")
            .bytes(),
        Builder(NLMSG_DONE, 0, std::int32_t{0}).bytes(),
        Builder(RTM_NEWSTATS, 0, stats).value(IFLA_STATS_LINK_64, rtnl_link_stats64{}).bytes(),
    };
}

}  // namespace

TEST_CASE("a NEWLINK of hardware becomes a link with its path", "[netlink]") {
    CHECK(decoded(link_message(hardware())) == Message(LinkSeen{hardware()}));
}

TEST_CASE("a NEWLINK of a virtual device becomes a link with its kind", "[netlink]") {
    Link link = hardware();
    link.name = "v0";
    link.kind = "veth";
    link.path = "";
    link.carrier = false;
    CHECK(decoded(link_message(link)) == Message(LinkSeen{link}));
}

TEST_CASE("a device without a 6-octet address is no ethernet", "[netlink]") {
    ifinfomsg info{};
    info.ifi_index = 4;
    info.ifi_type = ARPHRD_ETHER;
    const auto message = decoded(
        Builder(RTM_NEWLINK, 0, info).text(IFLA_IFNAME, "ib0").raw(IFLA_ADDRESS, {1, 2, 3, 4}));
    Link link;
    link.ifindex = 4;
    link.name = "ib0";
    CHECK(message == Message(LinkSeen{link}));
}

TEST_CASE("a DELLINK says which device is gone", "[netlink]") {
    CHECK(decoded(link_message(hardware(), RTM_DELLINK)) == Message(LinkGone{3}));
}

TEST_CASE("a bridge's word about its ports is not taken for the devices themselves", "[netlink]") {
    ifinfomsg info{};
    info.ifi_family = AF_BRIDGE;
    info.ifi_index = 3;
    CHECK(decoded(Builder(RTM_NEWLINK, 0, info).text(IFLA_IFNAME, "p0")) == std::nullopt);
    CHECK(decoded(Builder(RTM_DELLINK, 0, info).text(IFLA_IFNAME, "p0")) == std::nullopt);
}

TEST_CASE("a Wi-Fi event wrapped in a NEWLINK is not taken for a description", "[netlink]") {
    auto message = link_message(hardware());
    message.raw(IFLA_WIRELESS, {1, 2, 3, 4});
    CHECK(decoded(message) == std::nullopt);
}

TEST_CASE("an address is told with its broadcast address and rank", "[netlink]") {
    const LinkAddress address{3, {Ipv4(10, 0, 0, 5), 24}, Ipv4(10, 0, 0, 255), true};
    const Address expected{address, Ipv4(10, 0, 0, 5), RT_SCOPE_UNIVERSE};
    CHECK(decoded(address_message(address)) == Message(AddressSeen{expected}));
    CHECK(decoded(address_message(address, RTM_DELADDR)) == Message(AddressGone{expected}));
}

TEST_CASE("on a point-to-point link our own end is the address", "[netlink]") {
    ifaddrmsg info{};
    info.ifa_family = AF_INET;
    info.ifa_prefixlen = 32;
    info.ifa_index = 8;
    const auto message = decoded(Builder(RTM_NEWADDR, 0, info)
                                     .ipv4(IFA_LOCAL, Ipv4(10, 64, 64, 64))
                                     .ipv4(IFA_ADDRESS, Ipv4(10, 64, 64, 65)));
    const LinkAddress address{8, {Ipv4(10, 64, 64, 64), 32}, std::nullopt, false};
    CHECK(message == Message(AddressSeen{{address, Ipv4(10, 64, 64, 65), RT_SCOPE_UNIVERSE}}));
}

TEST_CASE("an IPv6 address or an impossible prefix is nothing to us", "[netlink]") {
    ifaddrmsg info{};
    info.ifa_family = AF_INET6;
    info.ifa_prefixlen = 32;
    info.ifa_index = 3;
    CHECK(decoded(Builder(RTM_NEWADDR, 0, info).ipv4(IFA_LOCAL, Ipv4(10, 0, 0, 5))) ==
          std::nullopt);
    info.ifa_family = AF_INET;
    info.ifa_prefixlen = 33;
    CHECK(decoded(Builder(RTM_NEWADDR, 0, info).ipv4(IFA_LOCAL, Ipv4(10, 0, 0, 5))) ==
          std::nullopt);
}

TEST_CASE("a default route is told with its hop, metric and source", "[netlink]") {
    DefaultRoute expected = by_gateway(3, Ipv4(10, 0, 0, 1), 50);
    expected.source = Ipv4(10, 0, 0, 5);
    auto message = route();
    message.value(RTA_OIF, 3)
        .ipv4(RTA_GATEWAY, Ipv4(10, 0, 0, 1))
        .value(RTA_PRIORITY, 50)
        .ipv4(RTA_PREFSRC, Ipv4(10, 0, 0, 5));
    CHECK(decoded(message) == Message(RouteSeen{expected, RouteSeen::Place::front}));
}

TEST_CASE("the flags of a route say where it went among its equals", "[netlink]") {
    const auto place = [](int flags) {
        auto message = route(RTM_NEWROUTE, flags);
        message.value(RTA_OIF, 3);
        return std::get<RouteSeen>(decoded(message).value()).place;
    };
    CHECK(place(NLM_F_CREATE) == RouteSeen::Place::front);
    CHECK(place(NLM_F_CREATE | NLM_F_APPEND) == RouteSeen::Place::back);
    CHECK(place(NLM_F_REPLACE) == RouteSeen::Place::instead_of_front);
    CHECK(place(NLM_F_MULTI) == RouteSeen::Place::back);
}

TEST_CASE("a route over several hops is told with each and its health", "[netlink]") {
    auto hops = hop_bytes(3, Ipv4(10, 0, 0, 1));
    const auto dead = hop_bytes(4, Ipv4(10, 0, 1, 1), true);
    hops.insert(hops.end(), dead.begin(), dead.end());
    auto message = route();
    message.raw(RTA_MULTIPATH, hops);
    const auto seen = std::get<RouteSeen>(decoded(message).value());
    CHECK(seen.route.hops ==
          std::vector<NextHop>{{3, Ipv4(10, 0, 0, 1), false}, {4, Ipv4(10, 0, 1, 1), true}});
    CHECK_FALSE(seen.route.hops[0].dead);
    CHECK(seen.route.hops[1].dead);
}

TEST_CASE("routes of other tables, destinations or services are nothing to us", "[netlink]") {
    auto header = default_route_header(100);
    CHECK(decoded(Builder(RTM_NEWROUTE, 0, header).value(RTA_OIF, 3)) == std::nullopt);
    header = default_route_header();
    header.rtm_dst_len = 8;
    CHECK(decoded(Builder(RTM_NEWROUTE, 0, header).value(RTA_OIF, 3)) == std::nullopt);
    header = default_route_header();
    header.rtm_tos = 16;
    CHECK(decoded(Builder(RTM_NEWROUTE, 0, header).value(RTA_OIF, 3)) == std::nullopt);
    header = default_route_header(RT_TABLE_COMPAT);
    CHECK(decoded(Builder(RTM_NEWROUTE, 0, header).value(RTA_TABLE, std::uint32_t{1000})) ==
          std::nullopt);
}

TEST_CASE("an answer is told with the kernel's own words", "[netlink]") {
    const auto read = [](const Builder& message) {
        const auto bytes = message.bytes();
        MessageReader reader(bytes);
        return decode_answer(*reader.next());
    };
    CHECK(read(answer(NLMSG_ERROR, NLM_F_CAPPED, 0, "")) == Answer{7, 0, ""});
    CHECK(read(answer(NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS, -EEXIST, "Already there")) ==
          Answer{7, EEXIST, "Already there"});
    CHECK(read(Builder(NLMSG_DONE, 0, std::int32_t{-ENOENT})) == Answer{7, ENOENT, ""});
    CHECK(read(link_message(hardware())) == std::nullopt);
}

TEST_CASE("the words are also found behind a repeated request", "[netlink]") {
    struct {
        nlmsgerr error{};
        std::uint32_t request[4]{};
    } body;
    body.error.error = -EINVAL;
    body.error.msg.nlmsg_len = sizeof(nlmsghdr) + sizeof(body.request);
    const auto bytes =
        Builder(NLMSG_ERROR, NLM_F_ACK_TLVS, body).text(NLMSGERR_ATTR_MSG, "No").bytes();
    MessageReader reader(bytes);
    CHECK(decode_answer(*reader.next()) == Answer{7, EINVAL, "No"});
}

TEST_CASE("counters are read from the statistics message", "[netlink]") {
    rtnl_link_stats64 stats{};
    stats.rx_packets = 1;
    stats.tx_packets = 2;
    stats.rx_bytes = 3;
    stats.tx_bytes = 4;
    const auto bytes =
        Builder(RTM_NEWSTATS, 0, if_stats_msg{}).value(IFLA_STATS_LINK_64, stats).bytes();
    MessageReader reader(bytes);
    const auto counters = decode_counters(*reader.next());
    REQUIRE(counters);
    CHECK(counters->rx_packets == 1);
    CHECK(counters->tx_packets == 2);
    CHECK(counters->rx_bytes == 3);
    CHECK(counters->tx_bytes == 4);
}

TEST_CASE("settings are read from what a device is described with", "[netlink]") {
    std::array<std::uint32_t, 33> inet{};
    inet[IPV4_DEVCONF_ARP_IGNORE - 1] = 1;
    inet[IPV4_DEVCONF_ARP_ANNOUNCE - 1] = 2;
    inet[IPV4_DEVCONF_RP_FILTER - 1] = 3;
    std::array<std::uint32_t, 50> inet6{};
    inet6[DEVCONF_DISABLE_IPV6] = 1;
    const auto described = [](const auto& ipv4, const auto* ipv6) {
        auto message = link_message(hardware());
        message.open(IFLA_AF_SPEC);
        message.open(AF_INET).value(IFLA_INET_CONF, ipv4).close();
        if (ipv6 != nullptr) {
            message.open(AF_INET6).value(IFLA_INET6_CONF, *ipv6);
            message.value(IFLA_INET6_ADDR_GEN_MODE, std::uint8_t{3}).close();
        }
        return message.close().bytes();
    };
    const auto settings = [](const Bytes& bytes) {
        MessageReader reader(bytes);
        return decode_settings(*reader.next());
    };
    const LinkSettings without{.ipv6 = {}, .arp_ignore = 1, .arp_announce = 2, .rp_filter = 3};
    auto with = without;
    with.ipv6 = LinkSettings::Ipv6{true, 3};
    CHECK(settings(described(inet, &inet6)) == with);
    CHECK(settings(described(inet, static_cast<decltype(&inet6)>(nullptr))) == without);
    // An array that ends before the number in question: of an older kernel, or cut.
    CHECK_FALSE(settings(described(std::array<std::uint32_t, 18>{}, &inet6)));
    const std::array<std::uint32_t, 26> older{};
    CHECK(settings(described(inet, &older)) == without);
    CHECK_FALSE(settings(link_message(hardware()).bytes()));
}

TEST_CASE("several messages of a datagram are read in order", "[netlink]") {
    Bytes datagram;
    for (const auto& sample : samples()) {
        datagram.insert(datagram.end(), sample.begin(), sample.end());
        datagram.resize(NLMSG_ALIGN(datagram.size()));
    }
    CHECK(read_all(datagram) == samples().size());
}

TEST_CASE("a datagram cut short at any byte decodes to nothing", "[netlink]") {
    for (const auto& sample : samples()) {
        REQUIRE(read_all(sample) == 1);
        for (std::size_t size = 0; size < sample.size(); ++size) {
            Bytes cut(sample.begin(), sample.begin() + static_cast<std::ptrdiff_t>(size));
            cut.shrink_to_fit();
            CHECK(read_all(cut) == 0);
        }
    }
}

TEST_CASE("a message whose length claims less than it has is never read past it", "[netlink]") {
    for (const auto& sample : samples()) {
        for (std::size_t size = sizeof(nlmsghdr); size < sample.size(); ++size) {
            Bytes cut(sample.begin(), sample.begin() + static_cast<std::ptrdiff_t>(size));
            cut.shrink_to_fit();
            const auto length = static_cast<std::uint32_t>(size);
            std::memcpy(cut.data(), &length, sizeof(length));
            CHECK(read_all(cut) <= 1);
        }
    }
}

TEST_CASE("damaged bytes are survived", "[netlink]") {
    std::mt19937 random(20220517);  // the same damage in every run
    std::size_t readable = 0;
    for (int round = 0; round < 2'000; ++round) {
        for (auto sample : samples()) {
            for (int flips = 0; flips < 4; ++flips) {
                sample.at(random() % sample.size()) = static_cast<std::byte>(random());
            }
            readable += read_all(sample);
        }
    }
    CHECK(readable > 0);
}
