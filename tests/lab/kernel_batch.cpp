// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel_batch.hpp"

#include <array>
#include <cstring>
#include <stdexcept>

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>

namespace lab {

namespace {

constexpr std::uint32_t group = 7;
constexpr std::size_t most_at_once = std::size_t{64} * 1024;

ifinfomsg device(int ifindex) {
    ifinfomsg out{};
    out.ifi_index = ifindex;
    return out;
}

}  // namespace

KernelBatch::KernelBatch(const Namespace& where) {
    const auto visit = where.enter();
    socket_ = Fd(checked(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), "netlink"));
    const int room = 4 * 1024 * 1024;
    checked(::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room), "room");
}

void KernelBatch::add_pair(const std::string& name, const std::string& peer) {
    begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, device(0));
    text(IFLA_IFNAME, name);
    attribute(IFLA_GROUP, &group, sizeof group);
    const auto info = open(IFLA_LINKINFO);
    text(IFLA_INFO_KIND, "veth");
    const auto data = open(IFLA_INFO_DATA);
    const auto other = open(VETH_INFO_PEER);
    const auto header = device(0);
    append(&header, sizeof header);
    text(IFLA_IFNAME, peer);
    close(other);
    close(data);
    close(info);
}

void KernelBatch::remove(int ifindex) {
    begin(RTM_DELLINK, 0, device(ifindex));
}

void KernelBatch::remove_group() {
    begin(RTM_DELLINK, 0, device(0));
    attribute(IFLA_GROUP, &group, sizeof group);
}

void KernelBatch::set_up(int ifindex, bool up) {
    auto header = device(ifindex);
    header.ifi_change = IFF_UP;
    header.ifi_flags = up ? IFF_UP : 0;
    begin(RTM_NEWLINK, 0, header);
}

void KernelBatch::rename(int ifindex, const std::string& name) {
    begin(RTM_NEWLINK, 0, device(ifindex));
    text(IFLA_IFNAME, name);
}

void KernelBatch::move(int ifindex, const Namespace& to) {
    begin(RTM_NEWLINK, 0, device(ifindex));
    const auto fd = static_cast<std::uint32_t>(to.network_fd());
    attribute(IFLA_NET_NS_FD, &fd, sizeof fd);
}

void KernelBatch::add_address(int ifindex, const std::string& address, unsigned prefix) {
    this->address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, ifindex, address, prefix);
}

void KernelBatch::remove_address(int ifindex, const std::string& address, unsigned prefix) {
    this->address(RTM_DELADDR, 0, ifindex, address, prefix);
}

void KernelBatch::address(std::uint16_t type, std::uint16_t flags, int ifindex,
                          const std::string& address, unsigned prefix) {
    in_addr bits{};
    if (::inet_pton(AF_INET, address.c_str(), &bits) != 1) throw std::runtime_error(address);
    ifaddrmsg header{};
    header.ifa_family = AF_INET;
    header.ifa_prefixlen = static_cast<std::uint8_t>(prefix);
    header.ifa_index = static_cast<std::uint32_t>(ifindex);
    begin(type, flags, header);
    attribute(IFA_LOCAL, &bits, sizeof bits);
    attribute(IFA_ADDRESS, &bits, sizeof bits);
}

void KernelBatch::add_default_route(int ifindex, const std::string& gateway, std::uint32_t metric,
                                    std::uint16_t flags) {
    in_addr hop{};
    if (::inet_pton(AF_INET, gateway.c_str(), &hop) != 1) throw std::runtime_error(gateway);
    rtmsg header{};
    header.rtm_family = AF_INET;
    header.rtm_table = RT_TABLE_MAIN;
    header.rtm_protocol = RTPROT_BOOT;
    header.rtm_type = RTN_UNICAST;
    header.rtm_flags = RTNH_F_ONLINK;
    begin(RTM_NEWROUTE, static_cast<std::uint16_t>(NLM_F_CREATE | flags), header);
    attribute(RTA_GATEWAY, &hop, sizeof hop);
    attribute(RTA_OIF, &ifindex, sizeof ifindex);
    attribute(RTA_PRIORITY, &metric, sizeof metric);
}

void KernelBatch::remove_default_route(std::uint32_t metric) {
    rtmsg header{};
    header.rtm_family = AF_INET;
    header.rtm_table = RT_TABLE_MAIN;
    header.rtm_scope = RT_SCOPE_NOWHERE;
    begin(RTM_DELROUTE, 0, header);
    attribute(RTA_PRIORITY, &metric, sizeof metric);
}

std::size_t KernelBatch::run() {
    std::size_t refused = 0;
    for (std::size_t from = 0; from < requests_.size();) {
        std::size_t to = from;
        while (to < requests_.size() && to - from < most_at_once) {
            nlmsghdr header{};
            std::memcpy(&header, requests_.data() + to, sizeof header);
            to += NLMSG_ALIGN(header.nlmsg_len);
        }
        sockaddr_nl kernel{};
        kernel.nl_family = AF_NETLINK;
        checked(::sendto(socket_.get(), requests_.data() + from, to - from, 0,
                         reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel),
                "netlink");
        from = to;
        // It has done them all when `sendto` returns, and says nothing of those that it did.
        std::array<char, 8192> answer{};
        while (::recv(socket_.get(), answer.data(), answer.size(), MSG_DONTWAIT) > 0) ++refused;
    }
    requests_.clear();
    return refused;
}

template <typename Family>
void KernelBatch::begin(std::uint16_t type, std::uint16_t flags, const Family& family) {
    message_ = requests_.size();
    nlmsghdr header{};
    header.nlmsg_type = type;
    header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    append(&header, sizeof header);
    append(&family, sizeof family);
}

void KernelBatch::append(const void* data, std::size_t size) {
    requests_.append(static_cast<const char*>(data), size);
    requests_.resize(NLMSG_ALIGN(requests_.size()));
    const auto length = static_cast<std::uint32_t>(requests_.size() - message_);
    std::memcpy(requests_.data() + message_, &length, sizeof length);
}

std::size_t KernelBatch::open(std::uint16_t type) {
    const auto at = requests_.size();
    attribute(type, nullptr, 0);
    return at;
}

void KernelBatch::close(std::size_t at) {
    const auto length = static_cast<std::uint16_t>(requests_.size() - at);
    std::memcpy(requests_.data() + at, &length, sizeof length);
}

void KernelBatch::attribute(std::uint16_t type, const void* data, std::size_t size) {
    rtattr header{};
    header.rta_len = static_cast<std::uint16_t>(RTA_LENGTH(size));
    header.rta_type = type;
    append(&header, sizeof header);
    if (size > 0) append(data, size);
}

void KernelBatch::text(std::uint16_t type, const std::string& value) {
    attribute(type, value.c_str(), value.size() + 1);
}

}  // namespace lab
