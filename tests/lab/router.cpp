// SPDX-License-Identifier: LGPL-2.1-or-later
#include "router.hpp"

#include <array>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <sys/socket.h>

namespace lab {

namespace {

using Octets = std::vector<std::uint8_t>;

void append(Octets& to, const Octets& more) {
    to.insert(to.end(), more.begin(), more.end());
}

Octets address(const char* text) {
    Octets out(16);
    ::inet_pton(AF_INET6, text, out.data());
    return out;
}

std::uint16_t checksum(const Octets& octets) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i + 1 < octets.size(); i += 2)
        sum += static_cast<std::uint32_t>(octets[i] << 8 | octets[i + 1]);
    while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

/// By hand and not by the host's own IPv6, whose link-local address takes a second to be usable.
Octets advertisement() {
    const auto from = address("fe80::77");
    const auto to = address("ff02::1");
    // RFC 4861, 4.2: for half an hour; 4.6.2: a prefix for autoconfiguration.
    Octets body{134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0};
    append(body, {3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x07, 0x08, 0, 0, 0, 0});
    append(body, address("2001:db8:5::"));
    Octets covered = from;
    append(covered, to);
    append(covered, {0, 0, 0, static_cast<std::uint8_t>(body.size()), 0, 0, 0, 58});
    append(covered, body);
    const auto sum = checksum(covered);
    body[2] = static_cast<std::uint8_t>(sum >> 8);
    body[3] = static_cast<std::uint8_t>(sum & 0xff);

    Octets packet{0x60, 0, 0, 0, 0, static_cast<std::uint8_t>(body.size()), 58, 255};
    append(packet, from);
    append(packet, to);
    append(packet, body);
    return packet;
}

}  // namespace

Router::Router(const Namespace& where, std::string device)
    : where_(where), device_(std::move(device)) {
    const Namespace::Visit visit = where.enter();
    socket_ = Fd(checked(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "AF_PACKET"));
}

void Router::advertise() const {
    constexpr std::array<std::uint8_t, 6> all_nodes{0x33, 0x33, 0, 0, 0, 1};
    sockaddr_ll target{};
    target.sll_family = AF_PACKET;
    target.sll_protocol = htons(ETH_P_IPV6);
    target.sll_ifindex = where_.ifindex(device_);
    target.sll_halen = all_nodes.size();
    std::memcpy(target.sll_addr, all_nodes.data(), all_nodes.size());
    const auto packet = advertisement();
    checked(static_cast<int>(::sendto(socket_.get(), packet.data(), packet.size(), 0,
                                      reinterpret_cast<const sockaddr*>(&target), sizeof(target))),
            "advertisement");
}

}  // namespace lab
