// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Messages as the kernel would send them, made with libnl, as the bytes of a datagram.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <sys/socket.h>

#include "core/ipv4.hpp"
#include "core/link.hpp"

namespace netlink_messages {

class Builder {
  public:
    template <typename Family>
    Builder(int type, int flags, const Family& family) : message_(nlmsg_alloc(), &nlmsg_free) {
        nlmsg_put(message_.get(), 0, 7, type, 0, flags);
        nlmsg_append(message_.get(), const_cast<Family*>(&family), sizeof(family), NLMSG_ALIGNTO);
    }

    template <typename T>
    Builder& value(int type, const T& value) {
        nla_put(message_.get(), type, sizeof(value), &value);
        return *this;
    }
    Builder& ipv4(int type, impnetd::Ipv4 address) { return value(type, address.network_order()); }
    Builder& text(int type, const std::string& text) {
        nla_put_string(message_.get(), type, text.c_str());
        return *this;
    }
    Builder& raw(int type, const std::vector<std::uint8_t>& bytes) {
        nla_put(message_.get(), type, static_cast<int>(bytes.size()), bytes.data());
        return *this;
    }
    Builder& open(int type) {
        nests_.push_back(nla_nest_start(message_.get(), type));
        return *this;
    }
    Builder& close() {
        nla_nest_end(message_.get(), nests_.back());
        nests_.pop_back();
        return *this;
    }

    /// In a buffer of exactly the message's size, so that reading past it is caught.
    std::vector<std::byte> bytes() const {
        const nlmsghdr* header = nlmsg_hdr(message_.get());
        const auto* start = reinterpret_cast<const std::byte*>(header);
        return {start, start + header->nlmsg_len};
    }

  private:
    std::unique_ptr<nl_msg, decltype(&nlmsg_free)> message_;
    std::vector<nlattr*> nests_;
};

inline Builder link_message(const impnetd::Link& link, int type = RTM_NEWLINK) {
    ifinfomsg info{};
    info.ifi_type = link.ethernet ? ARPHRD_ETHER : ARPHRD_NONE;
    info.ifi_index = link.ifindex;
    if (link.up) info.ifi_flags |= IFF_UP;
    if (link.carrier) info.ifi_flags |= IFF_LOWER_UP;
    Builder out(type, 0, info);
    out.text(IFLA_IFNAME, link.name);
    if (link.ethernet) out.value(IFLA_ADDRESS, link.mac.octets);
    if (!link.kind.empty()) out.open(IFLA_LINKINFO).text(IFLA_INFO_KIND, link.kind).close();
    if (const auto dash = link.path.find('-'); dash != std::string::npos) {
        out.text(IFLA_PARENT_DEV_BUS_NAME, link.path.substr(0, dash));
        out.text(IFLA_PARENT_DEV_NAME, link.path.substr(dash + 1));
    }
    return out;
}

inline Builder address_message(const impnetd::LinkAddress& address, int type = RTM_NEWADDR) {
    ifaddrmsg info{};
    info.ifa_family = AF_INET;
    info.ifa_prefixlen = address.network.prefix;
    info.ifa_index = static_cast<std::uint32_t>(address.ifindex);
    info.ifa_flags = address.secondary ? IFA_F_SECONDARY : 0;
    Builder out(type, 0, info);
    out.ipv4(IFA_ADDRESS, address.network.address).ipv4(IFA_LOCAL, address.network.address);
    if (address.broadcast) out.ipv4(IFA_BROADCAST, *address.broadcast);
    out.value(IFA_FLAGS, static_cast<std::uint32_t>(info.ifa_flags | IFA_F_PERMANENT));
    return out;
}

inline rtmsg default_route_header(int table = RT_TABLE_MAIN) {
    rtmsg info{};
    info.rtm_family = AF_INET;
    info.rtm_table = static_cast<unsigned char>(table);
    info.rtm_protocol = RTPROT_BOOT;
    info.rtm_type = RTN_UNICAST;
    return info;
}

/// A hop of RTA_MULTIPATH.
inline std::vector<std::uint8_t> hop_bytes(int ifindex, impnetd::Ipv4 gateway, bool dead = false) {
    std::vector<std::uint8_t> out(RTNH_LENGTH(RTA_LENGTH(4)));
    auto* hop = reinterpret_cast<rtnexthop*>(out.data());
    hop->rtnh_len = static_cast<unsigned short>(out.size());
    hop->rtnh_ifindex = ifindex;
    hop->rtnh_flags = dead ? RTNH_F_DEAD : 0;
    auto* attribute = reinterpret_cast<rtattr*>(RTNH_DATA(hop));
    attribute->rta_len = RTA_LENGTH(4);
    attribute->rta_type = RTA_GATEWAY;
    const auto bits = gateway.network_order();
    std::memcpy(RTA_DATA(attribute), &bits, sizeof(bits));
    return out;
}

}  // namespace netlink_messages
