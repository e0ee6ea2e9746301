// SPDX-License-Identifier: LGPL-2.1-or-later
#include "neighbour.hpp"

#include <cstring>

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <sys/socket.h>

namespace lab {

namespace {

std::string octets_of(const std::string& mac) {
    std::string out;
    for (std::size_t at = 0; at < mac.size(); at += 3)
        out += static_cast<char>(std::stoi(mac.substr(at, 2), nullptr, 16));
    return out;
}

}  // namespace

Neighbour::Neighbour(const Namespace& where, const std::string& device)
    : ifindex_(where.ifindex(device)), mac_(octets_of(where.mac(device))) {
    const Namespace::Visit visit = where.enter();
    socket_ = Fd(checked(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "AF_PACKET"));
}

void Neighbour::announce(const std::string& address) const {
    std::string own(4, '\0');
    ::inet_pton(AF_INET, address.c_str(), own.data());
    // Ethernet, IPv4, their lengths; a request (RFC 5227, 3).
    const std::string packet =
        std::string("\0\1\x08\0\6\4\0\1", 8) + mac_ + own + std::string(6, '\0') + own;
    sockaddr_ll everybody{};
    everybody.sll_family = AF_PACKET;
    everybody.sll_protocol = htons(ETH_P_ARP);
    everybody.sll_ifindex = ifindex_;
    everybody.sll_halen = ETH_ALEN;
    std::memset(everybody.sll_addr, 0xff, ETH_ALEN);
    checked(static_cast<int>(::sendto(socket_.get(), packet.data(), packet.size(), 0,
                                      reinterpret_cast<const sockaddr*>(&everybody),
                                      sizeof(everybody))),
            "announcement");
}

}  // namespace lab
