// SPDX-License-Identifier: LGPL-2.1-or-later
#include "netlink/message.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <sys/socket.h>

namespace impnetd::netlink {

namespace {

/// libnl reads only, but its signatures predate const.
nlmsghdr* mutable_header(const nlmsghdr& header) {
    return const_cast<nlmsghdr*>(&header);
}

/// The attributes of one message or nest, found by number. Lengths are checked where they are read.
template <int Max>
class Attributes {
  public:
    static std::optional<Attributes> of_message(const nlmsghdr& header, std::size_t family_header) {
        Attributes out;
        if (nlmsg_parse(mutable_header(header), static_cast<int>(family_header), out.found_.data(),
                        Max, nullptr) < 0) {
            return std::nullopt;
        }
        return out;
    }
    static std::optional<Attributes> of_stream(nlattr* first, int length) {
        Attributes out;
        if (nla_parse(out.found_.data(), Max, first, length, nullptr) < 0) return std::nullopt;
        return out;
    }

    nlattr* operator[](int type) const { return found_.at(static_cast<std::size_t>(type)); }

    /// A value of exactly this size; nothing if there is none.
    template <typename T>
    std::optional<T> value(int type) const {
        nlattr* attribute = (*this)[type];
        if (attribute == nullptr || nla_len(attribute) != static_cast<int>(sizeof(T))) {
            return std::nullopt;
        }
        T out{};
        std::memcpy(&out, nla_data(attribute), sizeof(T));
        return out;
    }
    std::optional<Ipv4> ipv4(int type) const {
        const auto bits = value<std::uint32_t>(type);
        if (!bits) return std::nullopt;
        return Ipv4::from_network_order(*bits);
    }
    /// Of an array of numbers, the one at this place; nothing if it is shorter.
    std::optional<std::uint32_t> number_at(int type, std::size_t place) const {
        nlattr* attribute = (*this)[type];
        std::uint32_t out = 0;
        if (attribute == nullptr ||
            static_cast<std::size_t>(nla_len(attribute)) < (place + 1) * sizeof(out)) {
            return std::nullopt;
        }
        std::memcpy(&out, static_cast<std::byte*>(nla_data(attribute)) + place * sizeof(out),
                    sizeof(out));
        return out;
    }
    /// Those inside one; nothing if there is none.
    template <int InnerMax>
    std::optional<Attributes<InnerMax>> nest(int type) const {
        nlattr* attribute = (*this)[type];
        if (attribute == nullptr) return std::nullopt;
        return Attributes<InnerMax>::of_stream(static_cast<nlattr*>(nla_data(attribute)),
                                               nla_len(attribute));
    }
    /// Up to its NUL, or all of it.
    std::string text(int type) const {
        nlattr* attribute = (*this)[type];
        if (attribute == nullptr) return "";
        const auto* start = static_cast<const char*>(nla_data(attribute));
        return {start, ::strnlen(start, static_cast<std::size_t>(nla_len(attribute)))};
    }

  private:
    std::array<nlattr*, static_cast<std::size_t>(Max) + 1> found_{};
};

/// The fixed part that follows the netlink header; nullptr if the message is too short for it.
template <typename T>
const T* family_header(const nlmsghdr& header) {
    if (nlmsg_datalen(&header) < static_cast<int>(sizeof(T))) return nullptr;
    return static_cast<const T*>(nlmsg_data(&header));
}

std::optional<Message> decode_link(const nlmsghdr& header) {
    const auto* info = family_header<ifinfomsg>(header);
    // A bridge tells of its ports in the same group, by another family: there a DELLINK is a port
    // that leaves the bridge, not a device that goes.
    if (info == nullptr || info->ifi_family != AF_UNSPEC || info->ifi_index <= 0) {
        return std::nullopt;
    }
    if (header.nlmsg_type == RTM_DELLINK) return LinkGone{info->ifi_index};

    const auto attributes = Attributes<IFLA_MAX>::of_message(header, sizeof(ifinfomsg));
    // Old Wi-Fi drivers wrap their events in a NEWLINK that leaves the rest out.
    if (!attributes || (*attributes)[IFLA_IFNAME] == nullptr ||
        (*attributes)[IFLA_WIRELESS] != nullptr) {
        return std::nullopt;
    }
    LinkSeen seen;
    Link& link = seen.link;
    link.ifindex = info->ifi_index;
    link.name = attributes->text(IFLA_IFNAME);
    if (const auto mac = attributes->value<decltype(MacAddress::octets)>(IFLA_ADDRESS)) {
        link.mac.octets = *mac;
        link.ethernet = info->ifi_type == ARPHRD_ETHER;
    }
    link.up = (info->ifi_flags & IFF_UP) != 0;
    link.carrier = (info->ifi_flags & IFF_LOWER_UP) != 0;
    link.carrier_losses = attributes->value<std::uint32_t>(IFLA_CARRIER_DOWN_COUNT).value_or(0);
    link.mtu = attributes->value<std::uint32_t>(IFLA_MTU).value_or(0);
    link.max_mtu = attributes->value<std::uint32_t>(IFLA_MAX_MTU).value_or(0);
    if (const auto details = attributes->nest<IFLA_INFO_MAX>(IFLA_LINKINFO))
        link.kind = details->text(IFLA_INFO_KIND);
    const auto bus = attributes->text(IFLA_PARENT_DEV_BUS_NAME);
    const auto device = attributes->text(IFLA_PARENT_DEV_NAME);
    if (!bus.empty() && !device.empty()) link.path = bus + "-" + device;
    return seen;
}

std::optional<Message> decode_address(const nlmsghdr& header) {
    const auto* info = family_header<ifaddrmsg>(header);
    if (info == nullptr || info->ifa_family != AF_INET || info->ifa_prefixlen > 32 ||
        info->ifa_index == 0 || info->ifa_index > std::numeric_limits<int>::max()) {
        return std::nullopt;
    }
    const auto attributes = Attributes<IFA_MAX>::of_message(header, sizeof(ifaddrmsg));
    if (!attributes) return std::nullopt;
    const auto peer = attributes->ipv4(IFA_ADDRESS);
    const auto local = attributes->ipv4(IFA_LOCAL);
    if (!peer && !local) return std::nullopt;

    Address address;
    address.address.ifindex = static_cast<int>(info->ifa_index);
    address.address.network = Ipv4Network{local ? *local : *peer, info->ifa_prefixlen};
    address.address.broadcast = attributes->ipv4(IFA_BROADCAST);
    const auto flags = attributes->value<std::uint32_t>(IFA_FLAGS).value_or(info->ifa_flags);
    address.address.secondary = (flags & IFA_F_SECONDARY) != 0;
    address.peer = peer ? *peer : *local;
    address.scope = info->ifa_scope;
    if (header.nlmsg_type == RTM_DELADDR) return AddressGone{address};
    return AddressSeen{address};
}

std::optional<std::vector<NextHop>> decode_hops(nlattr* attribute) {
    std::vector<NextHop> hops;
    auto* at = static_cast<rtnexthop*>(nla_data(attribute));
    for (int left = nla_len(attribute); left > 0;) {
        if (left < static_cast<int>(sizeof(rtnexthop)) || at->rtnh_len < sizeof(rtnexthop) ||
            at->rtnh_len > left) {
            return std::nullopt;
        }
        const auto attributes =
            Attributes<RTA_MAX>::of_stream(reinterpret_cast<nlattr*>(RTNH_DATA(at)),
                                           at->rtnh_len - static_cast<int>(sizeof(rtnexthop)));
        if (!attributes) return std::nullopt;
        hops.push_back(
            {at->rtnh_ifindex, attributes->ipv4(RTA_GATEWAY), (at->rtnh_flags & RTNH_F_DEAD) != 0});
        const int step = static_cast<int>(RTNH_ALIGN(at->rtnh_len));
        left -= step;
        if (left > 0) at = reinterpret_cast<rtnexthop*>(reinterpret_cast<std::byte*>(at) + step);
    }
    return hops;
}

std::optional<Message> decode_route(const nlmsghdr& header) {
    const auto* info = family_header<rtmsg>(header);
    // Routes by type of service are for other packets than ours.
    if (info == nullptr || info->rtm_family != AF_INET || info->rtm_dst_len != 0 ||
        info->rtm_tos != 0 || (info->rtm_flags & RTM_F_CLONED) != 0) {
        return std::nullopt;
    }
    const auto attributes = Attributes<RTA_MAX>::of_message(header, sizeof(rtmsg));
    if (!attributes) return std::nullopt;
    if (attributes->value<std::uint32_t>(RTA_TABLE).value_or(info->rtm_table) != RT_TABLE_MAIN) {
        return std::nullopt;
    }
    DefaultRoute route;
    route.metric = attributes->value<std::uint32_t>(RTA_PRIORITY).value_or(0);
    route.type = info->rtm_type;
    route.protocol = info->rtm_protocol;
    route.source = attributes->ipv4(RTA_PREFSRC);
    route.nexthop_id = attributes->value<std::uint32_t>(RTA_NH_ID).value_or(0);
    if (nlattr* multipath = (*attributes)[RTA_MULTIPATH]) {
        auto hops = decode_hops(multipath);
        if (!hops) return std::nullopt;
        route.hops = std::move(*hops);
    } else if (const auto device = attributes->value<std::int32_t>(RTA_OIF)) {
        route.hops.push_back(
            {*device, attributes->ipv4(RTA_GATEWAY), (info->rtm_flags & RTNH_F_DEAD) != 0});
    }
    if (header.nlmsg_type == RTM_DELROUTE) return RouteGone{std::move(route)};

    auto place = RouteSeen::Place::back;  // also in a dump, which lists them in order
    if ((header.nlmsg_flags & NLM_F_REPLACE) != 0)
        place = RouteSeen::Place::instead_of_front;
    else if ((header.nlmsg_flags & NLM_F_CREATE) != 0 && (header.nlmsg_flags & NLM_F_APPEND) == 0)
        place = RouteSeen::Place::front;
    return RouteSeen{std::move(route), place};
}

std::optional<Message> decode_nexthop(const nlmsghdr& header) {
    if (family_header<nhmsg>(header) == nullptr) return std::nullopt;
    const auto attributes = Attributes<NHA_MAX>::of_message(header, sizeof(nhmsg));
    if (!attributes) return std::nullopt;
    const auto id = attributes->value<std::uint32_t>(NHA_ID);
    if (!id) return std::nullopt;
    return NextHopGone{*id};
}

/// What the kernel says beside the number (NETLINK_EXT_ACK).
std::string answer_detail(const nlmsghdr& header, int fixed) {
    if ((header.nlmsg_flags & NLM_F_ACK_TLVS) == 0) return "";
    const int offset = static_cast<int>(NLMSG_ALIGN(static_cast<unsigned>(fixed)));
    const int rest = nlmsg_datalen(&header) - offset;
    if (rest <= 0) return "";
    auto* first = reinterpret_cast<nlattr*>(static_cast<std::byte*>(nlmsg_data(&header)) + offset);
    const auto attributes = Attributes<NLMSGERR_ATTR_MAX>::of_stream(first, rest);
    return attributes ? attributes->text(NLMSGERR_ATTR_MSG) : "";
}

}  // namespace

MessageReader::MessageReader(std::span<const std::byte> datagram)
    : at_(reinterpret_cast<const nlmsghdr*>(datagram.data())),
      left_(static_cast<int>(datagram.size())) {}

const nlmsghdr* MessageReader::next() {
    if (left_ < static_cast<int>(sizeof(nlmsghdr)) || nlmsg_ok(at_, left_) == 0) {
        left_ = 0;
        return nullptr;
    }
    const nlmsghdr* current = at_;
    at_ = nlmsg_next(const_cast<nlmsghdr*>(current), &left_);
    return current;
}

std::optional<Message> decode(const nlmsghdr& header) {
    switch (header.nlmsg_type) {
        case RTM_NEWLINK:
        case RTM_DELLINK:
            return decode_link(header);
        case RTM_NEWADDR:
        case RTM_DELADDR:
            return decode_address(header);
        case RTM_NEWROUTE:
        case RTM_DELROUTE:
            return decode_route(header);
        case RTM_DELNEXTHOP:
            return decode_nexthop(header);
        default:
            return std::nullopt;
    }
}

std::optional<Answer> decode_answer(const nlmsghdr& header) {
    if (header.nlmsg_type != NLMSG_ERROR && header.nlmsg_type != NLMSG_DONE) return std::nullopt;
    const auto* error = family_header<std::int32_t>(header);
    if (error == nullptr || *error > 0 || *error == std::numeric_limits<std::int32_t>::min()) {
        return std::nullopt;
    }
    int fixed = static_cast<int>(sizeof(*error));
    if (header.nlmsg_type == NLMSG_ERROR) {
        const auto* whole = family_header<nlmsgerr>(header);
        if (whole == nullptr) return std::nullopt;
        fixed = static_cast<int>(sizeof(*whole));
        // Unless told not to, the kernel repeats the request that failed.
        if ((header.nlmsg_flags & NLM_F_CAPPED) == 0) {
            const auto repeated = std::max<std::uint32_t>(whole->msg.nlmsg_len, sizeof(nlmsghdr));
            if (repeated > header.nlmsg_len) return std::nullopt;
            fixed += static_cast<int>(repeated - sizeof(nlmsghdr));
        }
    }
    return Answer{header.nlmsg_seq, -*error, answer_detail(header, fixed)};
}

std::optional<LinkSettings> decode_settings(const nlmsghdr& header) {
    if (header.nlmsg_type != RTM_NEWLINK || family_header<ifinfomsg>(header) == nullptr) {
        return std::nullopt;
    }
    const auto attributes = Attributes<IFLA_MAX>::of_message(header, sizeof(ifinfomsg));
    const auto families = attributes ? attributes->nest<AF_MAX>(IFLA_AF_SPEC) : std::nullopt;
    const auto inet = families ? families->nest<IFLA_INET_MAX>(AF_INET) : std::nullopt;
    if (!inet) return std::nullopt;
    const auto value = [&](std::size_t number) {
        return inet->number_at(IFLA_INET_CONF, number - 1);
    };
    const auto arp_ignore = value(IPV4_DEVCONF_ARP_IGNORE);
    const auto arp_announce = value(IPV4_DEVCONF_ARP_ANNOUNCE);
    const auto rp_filter = value(IPV4_DEVCONF_RP_FILTER);
    if (!arp_ignore || !arp_announce || !rp_filter) return std::nullopt;
    LinkSettings settings;
    settings.arp_ignore = *arp_ignore;
    settings.arp_announce = *arp_announce;
    settings.rp_filter = *rp_filter;
    if (const auto inet6 = families->nest<IFLA_INET6_MAX>(AF_INET6)) {
        const auto generation = inet6->value<std::uint8_t>(IFLA_INET6_ADDR_GEN_MODE);
        const auto disabled = inet6->number_at(IFLA_INET6_CONF, DEVCONF_DISABLE_IPV6);
        if (generation && disabled) settings.ipv6 = LinkSettings::Ipv6{*disabled != 0, *generation};
    }
    return settings;
}

std::optional<LinkCounters> decode_counters(const nlmsghdr& header) {
    if (header.nlmsg_type != RTM_NEWSTATS || family_header<if_stats_msg>(header) == nullptr) {
        return std::nullopt;
    }
    const auto attributes = Attributes<IFLA_STATS_MAX>::of_message(header, sizeof(if_stats_msg));
    if (!attributes) return std::nullopt;
    nlattr* attribute = (*attributes)[IFLA_STATS_LINK_64];
    // The kernel's structure grows at its end; what we read has always been its beginning.
    std::array<std::uint64_t, 4> front{};
    if (attribute == nullptr || nla_len(attribute) < static_cast<int>(sizeof(front))) {
        return std::nullopt;
    }
    std::memcpy(front.data(), nla_data(attribute), sizeof(front));
    return LinkCounters{
        .rx_bytes = front[2], .rx_packets = front[0], .tx_bytes = front[3], .tx_packets = front[1]};
}

}  // namespace impnetd::netlink
