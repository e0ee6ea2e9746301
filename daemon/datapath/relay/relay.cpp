// SPDX-License-Identifier: LGPL-2.1-or-later
#include "datapath/relay/relay.hpp"

#include <string>
#include <utility>

#include <sys/socket.h>

#include "datapath/clock.hpp"
#include "datapath/udp_socket.hpp"

namespace impnetd {

namespace {

int domain(int fd) {
    int value = -1;
    socklen_t size = sizeof(value);
    ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &size);
    return value;
}

}  // namespace

Relay::Relay(Loop& loop, Options options)
    : loop_(loop),
      ttl_(options.ttl),
      ledger_(std::move(options.ledger)),
      rate_(options.limits.rate),
      limiter_(options.limits, options.clock ? std::move(options.clock) : monotonic_nanoseconds,
               ledger_.limiter()) {}

void Relay::set_interface(Slot slot, const InterfaceFacts& facts) {
    interfaces_[slot] = facts;
}

Result<std::unique_ptr<DataSocket>> Relay::open(const Request& request,
                                                DataSocket::Observer& observer) {
    const auto& facts = interfaces_[request.slot];
    if (facts.ifindex == 0) return fail(ErrorCode::unavailable, "the interface has no device");
    auto udp = UdpSocket::open(
        {.ifindex = facts.ifindex, .device = facts.device, .port = request.port, .ttl = ttl_});
    if (!udp) return tl::unexpected(std::move(udp.error()));
    auto account = ledger_.open(request.id);
    if (!account) return tl::unexpected(std::move(account.error()));
    udp->set_deaf(request.port == 0);
    return std::make_unique<relay::RelaySocket>(shared(), facts, std::move(*udp),
                                                std::move(*account), request, observer);
}

Result<std::unique_ptr<DataSocket>> Relay::adopt(const Request& request,
                                                 std::vector<UniqueFd> descriptors,
                                                 DataSocket::Observer& observer) {
    UniqueFd udp_end;
    UniqueFd client_end;
    for (auto& descriptor : descriptors) {
        const bool of_client = domain(descriptor.get()) == AF_UNIX;
        (of_client ? client_end : udp_end) = std::move(descriptor);
    }
    // Of the kernel path's: a client may hold it, and would send past us. Its programs keep
    // everybody from setting this.
    if (::setsockopt(udp_end.get(), IPPROTO_IP, IP_TTL, &ttl_, sizeof(ttl_)) != 0) {
        if (udp_end) UdpSocket::end(std::move(udp_end));
        return fail(ErrorCode::failed, "not a socket of the relay");
    }
    auto account = ledger_.reopen(request.id);
    if (!account) return tl::unexpected(std::move(account.error()));
    auto udp = UdpSocket::adopt(std::move(udp_end), (*account)->drops_while_deaf);
    if (!udp) return tl::unexpected(std::move(udp.error()));
    auto socket =
        std::make_unique<relay::RelaySocket>(shared(), interfaces_[request.slot], std::move(*udp),
                                             std::move(*account), request, observer);
    if (client_end) socket->resume(std::move(client_end));
    return socket;
}

}  // namespace impnetd
