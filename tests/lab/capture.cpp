// SPDX-License-Identifier: LGPL-2.1-or-later
#include "capture.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <sys/time.h>

namespace lab {

namespace {

std::string text(std::uint32_t address) {
    char buffer[INET_ADDRSTRLEN];
    return ::inet_ntop(AF_INET, &address, buffer, sizeof(buffer));
}

void read_ip(Capture::Packet& packet, const char* data, std::size_t size) {
    iphdr header{};
    if (size < sizeof(header)) return;
    std::memcpy(&header, data, sizeof(header));
    packet.from = text(header.saddr);
    packet.to = text(header.daddr);
    packet.ip_protocol = header.protocol;
    packet.ttl = header.ttl;
    packet.first_fragment = (ntohs(header.frag_off) & 0x1fff) == 0;
    const std::size_t length = std::size_t{header.ihl} * 4;
    packet.header = length;
    udphdr udp{};
    if (header.protocol != IPPROTO_UDP || !packet.first_fragment || size < length + sizeof(udp)) {
        return;
    }
    std::memcpy(&udp, data + length, sizeof(udp));
    packet.from_port = ntohs(udp.source);
    packet.to_port = ntohs(udp.dest);
}

// Ethernet and IPv4: hardware type, protocol, lengths and operation take 8 octets, then come sender
// and target, each with its hardware address first.
void read_arp(Capture::Packet& packet, const char* data, std::size_t size) {
    if (size < 28) return;
    std::uint32_t sender = 0;
    std::uint32_t target = 0;
    std::memcpy(&sender, data + 14, sizeof(sender));
    std::memcpy(&target, data + 24, sizeof(target));
    packet.from = text(sender);
    packet.to = text(target);
}

}  // namespace

Capture::Capture(const Namespace& where, const std::string& device) {
    const Namespace::Visit visit = where.enter();
    // Not bound to a protocol until the device is known: nothing from elsewhere gets in.
    socket_ =
        Fd(checked(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "AF_PACKET"));
    const int buffer = 64 << 20;
    checked(::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)),
            "SO_RCVBUFFORCE");
    const int on = 1;
    checked(::setsockopt(socket_.get(), SOL_SOCKET, SO_TIMESTAMP, &on, sizeof(on)), "SO_TIMESTAMP");
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = where.ifindex(device);
    checked(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)),
            device.c_str());
}

const std::vector<Capture::Packet>& Capture::packets() {
    char data[128];  // headers are enough
    alignas(cmsghdr) char control[128];
    for (;;) {
        sockaddr_ll address{};
        iovec part{data, sizeof(data)};
        msghdr message{};
        message.msg_name = &address;
        message.msg_namelen = sizeof(address);
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        const ssize_t size = ::recvmsg(socket_.get(), &message, MSG_TRUNC);
        if (size < 0) {
            if (errno == EAGAIN) return packets_;
            if (errno == ENETDOWN) continue;  // told once when the device goes down
            throw std::system_error(errno, std::generic_category(), "capture");
        }
        Packet packet;
        packet.outgoing = address.sll_pkttype == PACKET_OUTGOING;
        packet.protocol = ntohs(address.sll_protocol);
        packet.size = static_cast<std::size_t>(size);
        for (cmsghdr* entry = CMSG_FIRSTHDR(&message); entry != nullptr;
             entry = CMSG_NXTHDR(&message, entry)) {
            if (entry->cmsg_level != SOL_SOCKET || entry->cmsg_type != SCM_TIMESTAMP) continue;
            timeval stamp{};
            std::memcpy(&stamp, CMSG_DATA(entry), sizeof(stamp));
            packet.usec = static_cast<std::uint64_t>(stamp.tv_sec) * 1'000'000 +
                          static_cast<std::uint64_t>(stamp.tv_usec);
        }
        if (packet.protocol == ETHERTYPE_IP) {
            read_ip(packet, data, std::min(packet.size, sizeof(data)));
        } else if (packet.protocol == ETHERTYPE_ARP) {
            read_arp(packet, data, std::min(packet.size, sizeof(data)));
        }
        packets_.push_back(packet);
    }
}

std::size_t Capture::udp_to(std::uint16_t port) {
    const std::vector<Packet>& seen = packets();
    return static_cast<std::size_t>(
        std::count_if(seen.begin(), seen.end(), [port](const Packet& packet) {
            return packet.ip_protocol == IPPROTO_UDP && packet.to_port == port;
        }));
}

std::size_t Capture::sent_to(const std::string& address) {
    const std::vector<Packet>& seen = packets();
    return static_cast<std::size_t>(std::count_if(
        seen.begin(), seen.end(),
        [&address](const Packet& packet) { return packet.outgoing && packet.to == address; }));
}

std::size_t Capture::lost() {
    tpacket_stats stats{};
    socklen_t size = sizeof(stats);
    checked(::getsockopt(socket_.get(), SOL_PACKET, PACKET_STATISTICS, &stats, &size),
            "PACKET_STATISTICS");
    lost_ += stats.tp_drops;  // reading sets it back to 0
    return lost_;
}

void Capture::clear() {
    packets();
    packets_.clear();
}

NetlinkCapture::NetlinkCapture(const Namespace& where) {
    const Namespace::Visit visit = where.enter();
    socket_ = Fd(checked(
        ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE), "netlink"));
    const int buffer = 4 << 20;
    checked(::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)),
            "SO_RCVBUFFORCE");
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    checked(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), "bind");
    for (const int group :
         {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV4_RULE,
          RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV6_IFINFO,
          RTNLGRP_IPV6_NETCONF, RTNLGRP_TC}) {
        checked(
            ::setsockopt(socket_.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)),
            "NETLINK_ADD_MEMBERSHIP");
    }
}

const std::vector<NetlinkCapture::Change>& NetlinkCapture::changes() {
    alignas(nlmsghdr) char buffer[65'536];
    for (;;) {
        const ssize_t size = ::recv(socket_.get(), buffer, sizeof(buffer), 0);
        if (size < 0) {
            if (errno == EAGAIN) return changes_;
            throw std::system_error(errno, std::generic_category(), "netlink capture");
        }
        auto left = static_cast<unsigned>(size);
        for (auto* header = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(header, left);
             header = NLMSG_NEXT(header, left)) {
            Change change;
            change.type = header->nlmsg_type;
            change.requester = header->nlmsg_pid;
            if (header->nlmsg_type == RTM_NEWLINK || header->nlmsg_type == RTM_DELLINK) {
                const auto* link = static_cast<const ifinfomsg*>(NLMSG_DATA(header));
                change.ifindex = link->ifi_index;
                change.flags = link->ifi_flags;
            } else if (header->nlmsg_type == RTM_NEWADDR || header->nlmsg_type == RTM_DELADDR) {
                const auto* address = static_cast<const ifaddrmsg*>(NLMSG_DATA(header));
                change.ifindex = static_cast<std::int32_t>(address->ifa_index);
                change.family = address->ifa_family;
            }
            changes_.push_back(change);
        }
    }
}

void NetlinkCapture::clear() {
    changes();
    changes_.clear();
}

std::string NetlinkCapture::Change::text() const {
    return "type " + std::to_string(type) + " device " + std::to_string(ifindex) + " flags " +
           std::to_string(flags) + " requested by " + std::to_string(requester);
}

}  // namespace lab
