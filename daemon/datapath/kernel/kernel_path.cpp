// SPDX-License-Identifier: LGPL-2.1-or-later
#include "datapath/kernel/kernel_path.hpp"

#include <cerrno>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <sys/socket.h>

#include "core/fair_bucket.hpp"
#include "datapath/clock.hpp"

namespace impnetd {

using kernel::ControlGroup;
using kernel::KernelSocket;
using kernel::Programs;

Result<std::unique_ptr<KernelPath>> KernelPath::make(Loop& loop, const Options& options) {
    auto group = ControlGroup::make();
    if (!group) return tl::unexpected<Error>(group.error());
    auto programs = Programs::load(options.maps);
    // Maps that look like ours, and that the programs cannot work on.
    if (!programs && !options.maps.empty()) programs = Programs::load({});
    if (!programs) return tl::unexpected<Error>(programs.error());
    // Before there is a socket in the group.
    if (auto attached = (*programs)->attach(group->fd()); !attached)
        return tl::unexpected<Error>(attached.error());
    std::unique_ptr<KernelPath> path(
        new KernelPath(loop, std::move(*group), std::move(*programs), options));
    if (auto proved = path->prove(); !proved) return tl::unexpected<Error>(proved.error());
    return path;
}

KernelPath::KernelPath(Loop& loop, ControlGroup group, std::unique_ptr<Programs> programs,
                       const Options& options)
    : loop_(loop),
      ttl_(options.ttl),
      alive_every_(options.alive_every),
      group_(std::move(group)),
      programs_(std::move(programs)),
      source_(loop, options.socket_source, group_),
      clients_(*programs_),
      lost_events_(programs_->tally(IMPNET_LOST_EVENTS)),
      alive_(loop, [this] { say_alive(); }),
      events_(loop, programs_->events_fd(), [this](int) { read_events(); }) {
    programs_->set_ttl(options.ttl);
    set_limit(options.limit);
    programs_->say_alive(monotonic_nanoseconds());
    events_.watch(Poll::readable);
}

KernelPath::~KernelPath() = default;

/// A socket without orders must be refused by the first program that sees its datagram, and one
/// that only the last is asked about by that; and both must have been counted. The second goes as
/// far as a route, so it proves nothing on a host without a loopback device.
Result<> KernelPath::prove() {
    // Nobody waits for us yet, and a host that is busy starting is to get its kernel path.
    auto socket = source_.take(Milliseconds(10'000));
    if (!socket) return tl::unexpected<Error>(socket.error());
    const sockaddr_in to = socket_address(Ipv4(127, 0, 0, 1), 9);
    const auto send = [&] {
        const auto sent = ::sendto(socket->get(), "", 1, MSG_DONTWAIT | MSG_NOSIGNAL,
                                   reinterpret_cast<const sockaddr*>(&to), sizeof(to));
        return sent < 0 ? errno : 0;
    };
    const auto before = programs_->tally(IMPNET_REFUSALS);
    if (send() != EPERM || programs_->tally(IMPNET_REFUSALS) != before + 1)
        return fail(ErrorCode::failed, "a send that must be refused was not");
    impnet_orders probe{};
    probe.flags = IMPNET_PROBE;
    if (auto told = programs_->set_orders(socket->get(), probe); !told) return told;
    if (auto told = programs_->set_account(socket->get(), {}); !told) return told;
    const int error = send();
    if (error == 0 || (error == EPERM && programs_->tally(IMPNET_REFUSALS) != before + 2))
        return fail(ErrorCode::failed, "a packet that must be refused was not");
    return {};
}

void KernelPath::set_interface(Slot slot, const InterfaceFacts& facts) {
    interfaces_[slot] = facts;
    programs_->set_interface(slot, facts);
}

void KernelPath::set_limit(RateLimit limit) {
    rate_ = limit.rate;
    programs_->set_limit(bucket_limit(limit));
}

void KernelPath::set_extra_networks(const std::vector<Ipv4Network>& networks) {
    extra_networks_ = networks;
    programs_->set_extra_networks(networks);
}

double KernelPath::share(const std::string& client) const {
    const auto* slot = clients_.find(client);
    const impnet_share share = slot != nullptr ? programs_->share(*slot) : impnet_share{};
    return rate_ /
           static_cast<double>(sharers(programs_->bucket(), share, monotonic_nanoseconds()));
}

KernelSocket::Shared KernelPath::shared() {
    return {.loop = loop_,
            .programs = *programs_,
            .owner = *this,
            .aside = aside_,
            .extra_networks = extra_networks_};
}

Result<std::unique_ptr<DataSocket>> KernelPath::open(const Request& request,
                                                     DataSocket::Observer& observer) {
    const auto& facts = interfaces_[request.slot];
    if (facts.ifindex == 0) return fail(ErrorCode::unavailable, "the interface has no device");
    if (request.slot >= IMPNET_INTERFACES)
        return fail(ErrorCode::unavailable,
                    "the kernel data path has a hundred interfaces a class");
    auto membership = clients_.join(request.client.key());
    if (!membership) return tl::unexpected<Error>(membership.error());
    auto udp = make_socket(facts, request.port);
    if (!udp) return tl::unexpected<Error>(udp.error());

    impnet_account account{};
    account.flags = request.port == 0 ? IMPNET_UNSENT : 0;
    impnet_orders orders{};
    orders.id = request.id;
    orders.interface = request.slot;
    orders.client = membership->slot();
    kernel::write_policy(request.policy, orders);
    // The orders last: with them it is in force. Without, it may do nothing.
    if (auto told = programs_->set_account(udp->fd(), account); !told)
        return tl::unexpected<Error>(told.error());
    if (auto told = programs_->set_orders(udp->fd(), orders); !told)
        return tl::unexpected<Error>(told.error());
    return std::make_unique<KernelSocket>(shared(), facts, std::move(*udp), std::move(*membership),
                                          orders, request, observer);
}

/// A port that the kernel chose at binding would be lost when the holder disconnects the socket,
/// and a port that nobody knows of would take its place with the next send. So it is found first
/// and then asked for by its number.
Result<UdpSocket> KernelPath::make_socket(const InterfaceFacts& facts, std::uint16_t port) {
    UdpSocket::Options options{
        .ifindex = facts.ifindex, .device = facts.device, .port = port, .ttl = ttl_};
    const auto take = [this] { return source_.take(); };
    for (int attempt = 0; port == 0 && attempt < 32; ++attempt) {
        options.port = 0;
        auto found = UdpSocket::open(options);
        if (!found) return found;
        options.port = found->port();
        found->close();
        auto udp = UdpSocket::open(options, take);
        // Else somebody was faster.
        if (udp || udp.error().code != ErrorCode::port_in_use) return udp;
    }
    auto udp = UdpSocket::open(options, take);
    if (udp || udp.error().code != ErrorCode::port_in_use || !reclaim(port)) return udp;
    // Only with those who let others have it, too: dead sockets of ours do.
    int reuse = 1;
    udp = UdpSocket::open(options, [&]() -> Result<UniqueFd> {
        auto made = take();
        if (made) ::setsockopt(made->get(), SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse));
        return made;
    });
    reuse = 0;
    if (udp) ::setsockopt(udp->fd(), SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse));
    return udp;
}

bool KernelPath::reclaim(std::uint16_t port) {
    std::vector<KernelSocket*> disconnected;
    for (const auto& [id, socket] : sockets_) {
        if (socket->was_acquired() && socket->bound_port() == port && socket->is_disconnected())
            disconnected.push_back(socket);
    }
    for (KernelSocket* socket : disconnected) socket->end_disconnected();
    return abandoned_.test(port);
}

Result<std::unique_ptr<DataSocket>> KernelPath::adopt(const Request& request,
                                                      std::vector<UniqueFd> descriptors,
                                                      DataSocket::Observer& observer) {
    UniqueFd fd = descriptors.empty() ? UniqueFd() : std::move(descriptors.front());
    auto orders = fd ? programs_->orders(fd.get()) : std::nullopt;
    const auto account = fd ? programs_->account(fd.get()) : std::nullopt;
    // Whatever is in the way: nobody must go on with a socket that the daemon has lost.
    const auto end = [&](std::string why) {
        if (orders) {
            orders->flags |= IMPNET_REVOKED;
            static_cast<void>(programs_->set_orders(fd.get(), *orders));
        }
        if (fd) UdpSocket::end(std::move(fd));
        for (auto& other : descriptors)
            if (other) UdpSocket::end(std::move(other));
        return fail(ErrorCode::failed, std::move(why));
    };
    // Of the relay's, or of maps that are lost.
    if (!orders || !account || orders->id != request.id || descriptors.size() != 1)
        return end("not a socket of the kernel data path");
    if ((orders->flags & IMPNET_REVOKED) != 0) return end("it was being taken back");
    auto membership = clients_.rejoin(request.client.key(), orders->client);
    if (!membership) return end(membership.error().message);
    orders->interface = request.slot;
    orders->client = membership->slot();
    kernel::write_policy(request.policy, *orders);
    if (auto told = programs_->set_orders(fd.get(), *orders); !told)
        return end(told.error().message);
    auto udp = UdpSocket::adopt(UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)), 0);
    if (!udp) return end(udp.error().message);
    fd.reset();
    auto adopted =
        std::make_unique<KernelSocket>(shared(), interfaces_[request.slot], std::move(*udp),
                                       std::move(*membership), *orders, request, observer);
    // While nobody was there to hear of it.
    if ((account->flags & IMPNET_DEAD) != 0) {
        adopted->killed(Ipv4::from_network_order(account->forbidden_address),
                        static_cast<std::uint16_t>(account->forbidden_port));
    }
    return adopted;
}

void KernelPath::opened(KernelSocket& socket) {
    const bool first = sockets_.empty();
    sockets_[socket.id()] = &socket;
    if (first) say_alive();
}

void KernelPath::closed(KernelSocket& socket) {
    if (socket.was_acquired()) abandoned_.set(socket.bound_port());
    sockets_.erase(socket.id());
    if (sockets_.empty()) alive_.stop();
}

void KernelPath::say_alive() {
    programs_->say_alive(monotonic_nanoseconds());
    alive_.start(alive_every_);
}

void KernelPath::read_events() {
    // Ended later: a socket's observer may destroy others.
    std::vector<impnet_event> events;
    programs_->read_events([&](const impnet_event& event) { events.push_back(event); });
    if (const auto lost = programs_->tally(IMPNET_LOST_EVENTS); lost != lost_events_) {
        lost_events_ = lost;
        for (const auto& [id, socket] : sockets_) {
            const auto account = programs_->account(socket->descriptors().front());
            if (account && (account->flags & IMPNET_DEAD) != 0)
                events.push_back({id, account->forbidden_address, account->forbidden_port});
        }
    }
    for (const auto& event : events) {
        const auto found = sockets_.find(event.id);
        if (found == sockets_.end()) continue;  // told of it twice, or closed meanwhile
        found->second->killed(Ipv4::from_network_order(event.address),
                              static_cast<std::uint16_t>(event.port));
    }
}

}  // namespace impnetd
