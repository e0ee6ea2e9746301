// SPDX-License-Identifier: LGPL-2.1-or-later
#include "datapath/kernel/kernel_socket.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/socket.h>

#include "core/datagram_policy.hpp"
#include "core/fair_bucket.hpp"
#include "log/log.hpp"

namespace impnetd::kernel {

namespace {

/// As many datagrams are read before others get their turn.
constexpr int arrivals_at_once = 64;

/// The send buffer is full, or (ENOBUFS) too full for all fragments of a large datagram; or the
/// rate limit.
bool is_full(int error) {
    return error == EAGAIN || error == ENOBUFS || error == ENOMEM;
}

/// Where a datagram was sent to (IP_PKTINFO).
std::optional<Ipv4> destination(msghdr& message) {
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
         part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != IPPROTO_IP || part->cmsg_type != IP_PKTINFO) continue;
        in_pktinfo info{};
        std::memcpy(&info, CMSG_DATA(part), sizeof(info));
        return Ipv4::from_network_order(info.ipi_addr.s_addr);
    }
    return std::nullopt;
}

}  // namespace

void write_policy(const SocketPolicy& policy, impnet_orders& orders) {
    orders.own_limit = policy.own_limit ? bucket_limit(*policy.own_limit) : impnet_limit{};
    orders.destinations_count = 0;
    for (const auto& rule : policy.destinations) {
        if (orders.destinations_count == IMPNET_DESTINATIONS) break;
        orders.destinations[orders.destinations_count++] = {
            .network = rule.network.network().network_order(),
            .netmask = rule.network.netmask().network_order(),
            .first_port = rule.first_port,
            .last_port = rule.last_port,
            .allow = rule.allow ? 1U : 0U};
    }
}

KernelSocket::KernelSocket(const Shared& shared, const InterfaceFacts& facts, UdpSocket udp,
                           Clients::Membership membership, const impnet_orders& orders,
                           const DataPath::Request& request, Observer& observer)
    : shared_(shared),
      facts_(facts),
      udp_(std::make_shared<UdpSocket>(std::move(udp))),
      membership_(std::move(membership)),
      orders_(orders),
      delivery_(request.delivery),
      client_uid_(request.client.uid),
      client_unit_(request.client.unit),
      policy_(request.policy),
      observer_(observer) {
    shared_.owner.opened(*this);
    if (delivery_ == Delivery::descriptor) return;
    poll_.emplace(shared_.loop, fd(), [this](int) { read_arrivals(); });
    poll_->watch(Poll::readable);
}

KernelSocket::~KernelSocket() {
    close();
}

std::uint16_t KernelSocket::local_port() const {
    if (fd() < 0) return 0;
    const auto account = shared_.programs.account(fd());
    return account && (account->flags & IMPNET_UNSENT) == 0 ? udp_->port() : 0;
}

// To ask for an option takes the lock, too, since a program is asked about it.

bool KernelSocket::is_disconnected() const {
    const auto ifindex = std::make_shared<int>(-1);
    const auto ask = [ifindex, udp = udp_] {
        socklen_t size = sizeof(*ifindex);
        ::getsockopt(udp->fd(), SOL_SOCKET, SO_BINDTOIFINDEX, ifindex.get(), &size);
    };
    return shared_.aside.run(membership_.slot(), ask) && *ifindex == 0;
}

std::uint32_t KernelSocket::kernel_drops() const {
    if (!was_acquired()) return udp_->kernel_drops();
    const auto drops = std::make_shared<std::uint32_t>(0);
    const auto ask = [drops, udp = udp_] { *drops = udp->kernel_drops(); };
    if (shared_.aside.run(membership_.slot(), ask)) last_drops_ = *drops;
    return last_drops_;
}

void KernelSocket::end_disconnected() {
    if (end_reason_.empty()) revoke("disconnected by its holder");
}

Result<UniqueFd> KernelSocket::acquire() {
    if (delivery_ == Delivery::signal) {
        return fail(ErrorCode::invalid_argument,
                    "the socket was opened with delivery \"signal\"; it has no descriptor");
    }
    if (!end_reason_.empty()) return fail(ErrorCode::socket_closed, end_reason_);
    if ((orders_.flags & IMPNET_ACQUIRED) != 0)
        return fail(ErrorCode::busy, "the descriptor was acquired before");
    UniqueFd copy(::fcntl(fd(), F_DUPFD_CLOEXEC, 0));
    if (!copy)
        return fail(ErrorCode::failed, "no descriptor: " + std::generic_category().message(errno));
    orders_.flags |= IMPNET_ACQUIRED;
    if (auto told = shared_.programs.set_orders(fd(), orders_); !told) {
        orders_.flags &= ~IMPNET_ACQUIRED;
        return tl::unexpected<Error>(told.error());
    }
    return copy;
}

std::vector<int> KernelSocket::descriptors() const {
    return fd() >= 0 ? std::vector<int>{fd()} : std::vector<int>{};
}

SocketCounters KernelSocket::counters() const {
    if (fd() < 0) return last_counters_;
    // In this order, so that what arrives meanwhile does not count as dropped.
    const std::uint32_t drops = kernel_drops();
    const auto account = shared_.programs.account(fd());
    if (!account) return last_counters_;
    // The kernel counts what the ingress program refused among its drops.
    const auto overflows =
        static_cast<std::int32_t>(drops - static_cast<std::uint32_t>(account->unheard));
    const auto dropped = static_cast<std::uint64_t>(std::max(overflows, 0));
    return {.sent = account->sent,
            .received = account->received - std::min<std::uint64_t>(account->received, dropped),
            .rate_limited = account->rate_limited,
            .not_connected = account->not_connected,
            .denied = account->denied + unseen_denials_,
            .dropped = dropped};
}

void KernelSocket::set_policy(const SocketPolicy& policy) {
    policy_ = policy;
    if (!end_reason_.empty()) return;
    write_policy(policy, orders_);
    if (auto told = shared_.programs.set_orders(fd(), orders_); !told)
        revoke("its policy cannot be put in force: " + told.error().message);
}

// --- What the daemon sends ---------------------------------------------------------------------

Result<SendResult> KernelSocket::send(Ipv4 to, std::uint16_t port,
                                      const std::vector<std::uint8_t>& data) {
    if (!end_reason_.empty()) return fail(ErrorCode::socket_closed, end_reason_);
    const auto too_large = [&]() -> Result<SendResult> {
        ++unseen_denials_;
        return fail(ErrorCode::too_large,
                    std::to_string(data.size()) + " bytes are more than a datagram carries");
    };
    const auto network = this->network();
    if (data.size() > max_payload) {
        // The kernel would look at the size first. What is refused anyway needs no payload.
        if (judge_egress(egress_rules(), to, port, data.size()) == EgressVerdict::too_large)
            return too_large();
    }
    const auto& sent = data.size() > max_payload ? std::vector<std::uint8_t>() : data;
    const Ipv4 source = network ? network->address : Ipv4();
    int error = send_out(source, to, port, sent);
    // The bucket ran empty between the look at it and the taking, or a firewall of the host said
    // no: a second try tells which.
    if (error == EPERM) error = send_out(source, to, port, sent);
    if (error == 0) return SendResult::sent;
    if (is_full(error)) return SendResult::would_block;
    const auto forbidden = [&]() -> Result<SendResult> {
        revoke(reason_of_denial(egress_rules(), to, port));
        return fail(ErrorCode::address_not_allowed, end_reason_);
    };
    switch (error) {
        case EACCES:
            return forbidden();
        case EINVAL:
            // Port 0 the kernel refuses before it asks a program about the address. What is neither
            // is an address of ours that is on its way out: the kernel does not know it any more.
            if (port == 0) {
                ++unseen_denials_;
                const auto verdict = judge_egress(egress_rules(), to, port, 0);
                if (verdict != EgressVerdict::forbidden_port) return forbidden();
            } else if (is_allowed_destination(port)) {
                break;
            }
            return fail(ErrorCode::invalid_argument,
                        "port " + std::to_string(port) + " is not allowed as a destination");
        case EMSGSIZE:
            return too_large();
        case EPIPE:  // a program ended it, and the news is on its way
            return fail(ErrorCode::socket_closed, "the socket is closed");
        default:
            break;
    }
    return SendResult::not_connected;
}

/// A socket that a client holds may be corked, and its lock kept. It then is as if it were full.
int KernelSocket::send_out(Ipv4 source, Ipv4 to, std::uint16_t port,
                           const std::vector<std::uint8_t>& data) {
    if (!was_acquired()) return udp_->send(source, to, port, data);
    const auto error = std::make_shared<int>(0);
    const auto send = [error, udp = udp_, source, to, port, data] {
        *error = udp->send(source, to, port, data);
    };
    return shared_.aside.run(membership_.slot(), send) ? *error : EAGAIN;
}

/// Nothing while the device is not the one that the socket is bound to.
std::optional<Ipv4Network> KernelSocket::network() const {
    return facts_.ifindex == udp_->ifindex() ? facts_.network : std::nullopt;
}

EgressRules KernelSocket::egress_rules() const {
    return {.network = network(),
            .extra_networks = shared_.extra_networks,
            .destinations = policy_.destinations};
}

// --- What arrives for the daemon to tell -------------------------------------------------------

void KernelSocket::read_arrivals() {
    static std::array<std::uint8_t, max_payload> buffer;  // one thread, and not kept
    const std::weak_ptr<const bool> alive = alive_;
    for (int i = 0; i < arrivals_at_once; ++i) {
        sockaddr_in from{};
        iovec part{buffer.data(), buffer.size()};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(in_pktinfo))> control{};
        msghdr message{};
        message.msg_name = &from;
        message.msg_namelen = sizeof(from);
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        const ssize_t size = ::recvmsg(fd(), &message, MSG_DONTWAIT);
        if (size < 0) return;
        const auto to = destination(message);
        const auto sender = Ipv4::from_network_order(from.sin_addr.s_addr);
        // The ingress program has passed it. Since then the interface may have got another address,
        // or the socket another policy.
        if (!to || !admits_ingress(egress_rules(), sender, ntohs(from.sin_port), *to)) continue;
        observer_.datagram_received(
            {.from = sender,
             .from_port = ntohs(from.sin_port),
             .to = *to,
             .to_port = udp_->port(),
             .data = {buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(size)}});
        if (alive.expired() || !end_reason_.empty()) return;
    }
}

// --- The end -----------------------------------------------------------------------------------

void KernelSocket::killed(Ipv4 address, std::uint16_t port) {
    if (end_reason_.empty()) revoke(reason_of_denial(egress_rules(), address, port));
}

void KernelSocket::revoke(const std::string& reason) {
    log::warning("socket_revoked", {{"device", facts_.device},
                                    {"client_uid", std::to_string(client_uid_)},
                                    {"client_unit", client_unit_},
                                    {"reason", reason}});
    end_reason_ = reason;
    close();
    shared_.loop.defer([this, alive = std::weak_ptr<const bool>(alive_)] {
        if (!alive.expired()) observer_.socket_closed(end_reason_);
    });
}

void KernelSocket::close() {
    if (fd() < 0) return;
    poll_.reset();
    last_counters_ = counters();
    shared_.owner.closed(*this);
    // First the order, so that nothing arrives any more; then what is unread goes; then the end,
    // which wakes whoever waits and finds nothing.
    orders_.flags |= IMPNET_REVOKED;
    static_cast<void>(shared_.programs.set_orders(fd(), orders_));
    while (::recv(fd(), nullptr, 0, MSG_DONTWAIT | MSG_TRUNC) >= 0) continue;
    const auto end = [udp = std::move(udp_)] {
        // Who still holds it can disconnect it, so that it has its port on all devices, whatever
        // device it is bound to when we leave it. Those that may have the port as well are our own
        // next ones.
        constexpr int on = 1;
        ::setsockopt(udp->fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        ::shutdown(udp->fd(), SHUT_RDWR);
        udp->close();
    };
    udp_ = nullptr;
    if (was_acquired())
        shared_.aside.run(membership_.slot(), end);
    else
        end();
}

}  // namespace impnetd::kernel
