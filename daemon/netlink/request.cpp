// SPDX-License-Identifier: LGPL-2.1-or-later
#include "netlink/request.hpp"

#include <new>

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <sys/socket.h>

namespace impnetd::netlink {

namespace {

/// More than any of these needs; libnl would take a page for each.
constexpr std::size_t request_size = 256;
constexpr std::uint32_t forever = 0xffffffff;

template <typename Family>
RequestMessage make(int type, int flags, const Family& family) {
    RequestMessage message(nlmsg_alloc_size(request_size));
    if (!message ||
        nlmsg_put(message.get(), NL_AUTO_PORT, NL_AUTO_SEQ, type, 0, NLM_F_REQUEST | flags) ==
            nullptr ||
        nlmsg_append(message.get(), const_cast<Family*>(&family), sizeof(family), NLMSG_ALIGNTO) <
            0) {
        throw std::bad_alloc();
    }
    return message;
}

template <typename T>
void put(const RequestMessage& message, int type, const T& value) {
    if (nla_put(message.get(), type, sizeof(value), &value) < 0) throw std::bad_alloc();
}

/// Puts what `fill` puts into a nest.
template <typename Fill>
void put_nest(const RequestMessage& message, int type, Fill fill) {
    nlattr* nest = nla_nest_start(message.get(), type);
    if (nest == nullptr) throw std::bad_alloc();
    fill();
    nla_nest_end(message.get(), nest);
}

RequestMessage address_request(int type, int flags, int ifindex, const Ipv4Network& network) {
    ifaddrmsg info{};
    info.ifa_family = AF_INET;
    info.ifa_prefixlen = network.prefix;
    info.ifa_index = static_cast<std::uint32_t>(ifindex);
    auto message = make(type, NLM_F_ACK | flags, info);
    // The kernel looks at the prefix only if the second is there too.
    put(message, IFA_LOCAL, network.address.network_order());
    put(message, IFA_ADDRESS, network.address.network_order());
    return message;
}

}  // namespace

RequestMessage power_request(int ifindex, bool up) {
    ifinfomsg info{};
    info.ifi_index = ifindex;
    info.ifi_change = IFF_UP;
    info.ifi_flags = up ? IFF_UP : 0;
    return make(RTM_NEWLINK, NLM_F_ACK, info);
}

RequestMessage mtu_request(int ifindex, std::uint32_t mtu) {
    ifinfomsg info{};
    info.ifi_index = ifindex;
    auto message = make(RTM_NEWLINK, NLM_F_ACK, info);
    put(message, IFLA_MTU, mtu);
    return message;
}

RequestMessage assign_request(int ifindex, const AddressAssignment& address) {
    auto message =
        address_request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, ifindex, address.network);
    if (address.broadcast) put(message, IFA_BROADCAST, address.broadcast->network_order());
    ifa_cacheinfo lifetime{};
    lifetime.ifa_valid = lifetime.ifa_prefered = address.valid_seconds.value_or(forever);
    put(message, IFA_CACHEINFO, lifetime);
    return message;
}

RequestMessage withdraw_request(int ifindex, const Ipv4Network& network) {
    return address_request(RTM_DELADDR, 0, ifindex, network);
}

RequestMessage settings_request(int ifindex) {
    ifinfomsg info{};
    info.ifi_index = ifindex;
    auto message = make(RTM_GETLINK, 0, info);
    put(message, IFLA_EXT_MASK, std::uint32_t{RTEXT_FILTER_SKIP_STATS});
    return message;
}

RequestMessage configure_request(int ifindex, const LinkSettings& settings) {
    ifinfomsg info{};
    info.ifi_index = ifindex;
    auto message = make(RTM_NEWLINK, NLM_F_ACK, info);
    put_nest(message, IFLA_AF_SPEC, [&] {
        put_nest(message, AF_INET, [&] {
            put_nest(message, IFLA_INET_CONF, [&] {
                put(message, IPV4_DEVCONF_ARP_IGNORE, settings.arp_ignore);
                put(message, IPV4_DEVCONF_ARP_ANNOUNCE, settings.arp_announce);
                put(message, IPV4_DEVCONF_RP_FILTER, settings.rp_filter);
            });
        });
        if (!settings.ipv6) return;
        put_nest(message, AF_INET6,
                 [&] { put(message, IFLA_INET6_ADDR_GEN_MODE, settings.ipv6->generation); });
    });
    return message;
}

RequestMessage counters_request(int ifindex) {
    if_stats_msg info{};
    info.ifindex = static_cast<std::uint32_t>(ifindex);
    info.filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64);
    return make(RTM_GETSTATS, 0, info);
}

RequestMessage links_dump_request() {
    auto message = make(RTM_GETLINK, NLM_F_DUMP, ifinfomsg{});
    put(message, IFLA_EXT_MASK, std::uint32_t{RTEXT_FILTER_SKIP_STATS});
    return message;
}

RequestMessage addresses_dump_request() {
    ifaddrmsg info{};
    info.ifa_family = AF_INET;
    return make(RTM_GETADDR, NLM_F_DUMP, info);
}

RequestMessage routes_dump_request() {
    rtmsg info{};
    info.rtm_family = AF_INET;
    info.rtm_table = RT_TABLE_MAIN;
    return make(RTM_GETROUTE, NLM_F_DUMP, info);
}

}  // namespace impnetd::netlink
