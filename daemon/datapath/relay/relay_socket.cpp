// SPDX-License-Identifier: LGPL-2.1-or-later
#include "datapath/relay/relay_socket.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <utility>

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "core/datagram_policy.hpp"
#include "log/log.hpp"

namespace impnetd::relay {

namespace {

// What we ask for at both ends of a pair. The kernel doubles it, to twice the usual receive buffer
// of a UDP socket: a batch, which has lain in one, then always fits into an end that has room
// (`client_has_room`), and several of the largest messages fit into any.
constexpr int pair_buffer = 208 * 1024;

/// Datagrams of a client that are seen to in one turn of the loop, about: others have their turn.
constexpr std::size_t most_datagrams = 512;
/// Requests that are read at once from one who puts many datagrams into each.
constexpr std::size_t full_requests = 8;

#ifdef SO_PASSRIGHTS
constexpr int so_passrights = SO_PASSRIGHTS;
#else
constexpr int so_passrights = 83;  // Linux 6.16; older kernels refuse it
#endif

impnet_relay_verdict verdict_of(EgressVerdict verdict) {
    switch (verdict) {
        case EgressVerdict::pass:
            return IMPNET_RELAY_SENT;
        case EgressVerdict::not_connected:
            return IMPNET_RELAY_NOT_CONNECTED;
        case EgressVerdict::forbidden_address:
        case EgressVerdict::denied_by_rule:
            return IMPNET_RELAY_ADDRESS_NOT_ALLOWED;
        case EgressVerdict::forbidden_port:
            return IMPNET_RELAY_INVALID_PORT;
        case EgressVerdict::too_large:
            return IMPNET_RELAY_TOO_LARGE;
    }
    return IMPNET_RELAY_NOT_CONNECTED;
}

/// The send buffer is full, or (ENOBUFS) too full for all fragments of a large datagram.
bool is_full(int error) {
    return error == EAGAIN || error == ENOBUFS || error == ENOMEM;
}

/// As it travels: no less than it is, and no more than fits.
std::uint32_t microseconds(std::uint64_t nanoseconds) {
    const std::uint64_t rounded_up = nanoseconds / 1000 + (nanoseconds % 1000 != 0 ? 1 : 0);
    return static_cast<std::uint32_t>(
        std::min<std::uint64_t>(rounded_up, std::numeric_limits<std::uint32_t>::max()));
}

/// The device cannot cut datagrams apart, or they are too large for it; or (EINVAL) something else.
bool is_about_segments(int error) {
    return error == EIO || error == EOPNOTSUPP || error == EINVAL || error == EMSGSIZE;
}

/// No reason to stop reading from a client. A client that closed its end with something unread
/// leaves a reset, and behind it what it had sent.
bool is_passing(int error) {
    return error == EAGAIN || error == EINTR || error == ECONNRESET;
}

bool is_hung_up(int fd) {
    pollfd state{.fd = fd, .events = POLLRDHUP, .revents = 0};
    return ::poll(&state, 1, 0) == 1;
}

constexpr const char* closed_by_holder = "closed by its holder";

/// Why the kernel did not take a datagram that the rules had passed. Mostly the address or the
/// device has just gone and the news of it is on its way to us; or a firewall of the host said no.
impnet_relay_verdict verdict_of_errno(int error) {
    return error == EMSGSIZE ? IMPNET_RELAY_TOO_LARGE : IMPNET_RELAY_NOT_CONNECTED;
}

}  // namespace

RelaySocket::RelaySocket(const Shared& shared, const InterfaceFacts& facts, UdpSocket udp,
                         Ledger::Account account, const DataPath::Request& request,
                         Observer& observer)
    : shared_(shared),
      facts_(facts),
      udp_(std::move(udp)),
      in_force_(!udp_.deaf()),
      delivery_(request.delivery),
      client_uid_(request.client.uid),
      client_unit_(request.client.unit),
      policy_(request.policy),
      rate_(shared.limiter, request.client.key(), request.policy.own_limit),
      observer_(observer),
      account_(std::move(account)),
      counters_(account_->counters) {
    network_poll_.emplace(shared_.loop, udp_.fd(), [this](int events) { network_ready(events); });
    watch();
}

RelaySocket::~RelaySocket() {
    close();
}

Result<UniqueFd> RelaySocket::acquire() {
    if (delivery_ == Delivery::signal) {
        return fail(ErrorCode::invalid_argument,
                    "the socket was opened with delivery \"signal\"; it has no descriptor");
    }
    if (!end_reason_.empty()) return fail(ErrorCode::socket_closed, end_reason_);
    if (acquired_) return fail(ErrorCode::busy, "the descriptor was acquired before");

    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
        return fail(ErrorCode::failed, "no socket pair: " + std::generic_category().message(errno));
    }
    UniqueFd ours(ends[0]);
    UniqueFd theirs(ends[1]);
    for (const int end : ends) {
        ::setsockopt(end, SOL_SOCKET, SO_SNDBUF, &pair_buffer, sizeof(pair_buffer));
    }
    // A client could pass us descriptors whose last closing takes as long as it likes.
    constexpr int off = 0;
    ::setsockopt(ends[0], SOL_SOCKET, so_passrights, &off, sizeof(off));
    use_client(std::move(ours));
    return theirs;
}

void RelaySocket::resume(UniqueFd client) {
    resumed_untold_ = true;
    use_client(std::move(client));
}

void RelaySocket::use_client(UniqueFd client) {
    client_ = std::move(client);
    acquired_ = true;
    socklen_t size = sizeof(client_buffer_);
    ::getsockopt(client_.get(), SOL_SOCKET, SO_SNDBUF, &client_buffer_, &size);
    client_poll_.emplace(shared_.loop, client_.get(), [this](int) { client_ready(); });
    watch();
}

void RelaySocket::set_policy(const SocketPolicy& policy) {
    policy_ = policy;
    rate_.set_own_limit(policy.own_limit);
}

std::vector<int> RelaySocket::descriptors() const {
    std::vector<int> out;
    if (udp_.fd() >= 0) out.push_back(udp_.fd());
    if (client_) out.push_back(client_.get());
    return out;
}

SocketCounters RelaySocket::counters() const {
    SocketCounters result = counters_;
    if (udp_.fd() >= 0) result.dropped += udp_.overflows();
    return result;
}

// --- Readiness ---------------------------------------------------------------------------------

void RelaySocket::watch() {
    if (!end_reason_.empty()) return;
    const bool read_network =
        in_force_ && !client_full_ && (delivery_ == Delivery::signal || acquired_);
    network_poll_->watch((read_network ? Poll::readable : 0) |
                         (held_.empty() ? 0 : Poll::writable));
    if (!client_poll_) return;
    const bool read_client = verdicts_.empty() && held_.empty();
    const bool wait_for_room =
        !verdicts_.empty() || client_full_ || (resumed_untold_ && held_.empty());
    client_poll_->watch((read_client ? Poll::readable : 0) | (wait_for_room ? Poll::writable : 0));
}

void RelaySocket::network_ready(int events) {
    const std::weak_ptr<const bool> alive = alive_;
    if ((events & Poll::writable) != 0) send_held();
    if ((events & Poll::readable) != 0 && end_reason_.empty()) read_arrivals();
    if (!alive.expired()) watch();
}

void RelaySocket::client_ready() {
    if (client_full_) client_full_ = !client_has_room();
    if (tell_verdicts() && held_.empty()) read_requests();
    if (resumed_untold_) tell_resumed();
    watch();
}

// --- From the client to the network ------------------------------------------------------------

/// A batch of requests and what is to be told of each datagram.
struct RelaySocket::Judged {
    std::size_t count = 0;  // requests: fewer than there were, if the last of them ends the socket
    std::vector<Verdict> verdicts;
    std::array<std::size_t, Batch::capacity> first{};   // verdict of each request
    std::array<std::size_t, Batch::capacity> passed{};  // slots of those listed to be sent
    std::string end_reason;                             // not empty: it ends the socket
    bool hung_up = false;                               // the client's own doing

    /// The verdicts of datagrams [from, end) of a listed request.
    std::span<Verdict> of(std::size_t listed, std::size_t from, std::size_t end) {
        return std::span(verdicts).subspan(first[passed[listed]] + from, end - from);
    }
};

void RelaySocket::read_requests() {
    const Batch::Outcome outcome = shared_.batch.receive_frames(client_.get(), at_once_);
    if (outcome.count > 0)
        relay_requests(outcome.count, Attempt::first);
    else if (!is_passing(outcome.error))
        end(closed_by_holder);
}

void RelaySocket::send_held() {
    const auto held = std::exchange(held_, {});
    for (std::size_t slot = 0; slot < held.size(); ++slot) shared_.batch.restore(slot, held[slot]);
    if (!held.empty()) relay_requests(held.size(), held_attempt_);
}

void RelaySocket::relay_requests(std::size_t count, Attempt attempt) {
    Batch& batch = shared_.batch;
    Judged judged = judge_requests(count);
    at_once_ = judged.verdicts.size() > Batch::capacity ? full_requests : Batch::capacity;
    const std::size_t allowed = take_for_listed(judged);
    const std::size_t through = allowed == 0 ? 0 : send_listed(allowed, attempt, judged);
    // Verdicts come in order, so whatever is behind a datagram that has to wait waits with it, and
    // is judged again then.
    const bool all = through == allowed;
    const std::size_t done = all ? judged.count : judged.passed[through];
    // Without an end, what is not judged yet waits, too.
    const bool rest = !all || judged.end_reason.empty();
    held_attempt_ = all ? Attempt::first : Attempt::again;
    for (std::size_t slot = done; rest && slot < count; ++slot) {
        const auto frame = batch.frame(slot);
        held_.emplace_back(frame.begin(), frame.end());
    }
    if (!all) judged.verdicts.resize(judged.first[done]);
    for (const auto& verdict : judged.verdicts) this->count(verdict.value);
    verdicts_.insert(verdicts_.end(), judged.verdicts.begin(), judged.verdicts.end());
    tell_verdicts();
    if (!all || judged.end_reason.empty()) return;
    if (judged.hung_up)
        end(judged.end_reason);
    else
        revoke(judged.end_reason);
}

/// How many of the listed requests may leave now, the last of them perhaps in part: for these it
/// takes tokens, the other datagrams it refuses.
std::size_t RelaySocket::take_for_listed(Judged& judged) {
    Batch& batch = shared_.batch;
    const std::size_t listed = batch.listed();
    std::size_t allowed = 0;
    std::uint64_t wait = 0;
    for (std::size_t i = 0; i < listed; ++i) {
        const std::size_t datagrams = batch.request(i).count;
        std::size_t taken = 0;
        while (wait == 0 && taken < datagrams && (wait = rate_.take()) == 0) ++taken;
        if (taken > 0) {
            batch.cut(i, taken);
            ++allowed;
        }
        for (auto& verdict : judged.of(i, taken, datagrams)) {
            verdict.value = IMPNET_RELAY_WOULD_BLOCK;
            verdict.wait_usec = microseconds(wait);
        }
    }
    return allowed;
}

RelaySocket::Judged RelaySocket::judge_requests(std::size_t count) {
    Batch& batch = shared_.batch;
    const EgressRules rules = egress_rules();
    const auto& network = rules.network;
    batch.begin_list(network ? PacketOrigin(udp_.ifindex(), network->address) : PacketOrigin());
    Judged judged;
    judged.verdicts.reserve(count);
    while (judged.count < count && judged.end_reason.empty() &&
           judged.verdicts.size() < most_datagrams) {
        const std::size_t slot = judged.count;
        const auto frame = batch.frame(slot);
        const auto request = decode_request(frame);
        if (!request) {
            // An empty message and the end of the stream look alike.
            judged.hung_up = frame.empty() && is_hung_up(client_.get());
            judged.end_reason = judged.hung_up ? closed_by_holder : "protocol error";
            break;
        }
        const EgressVerdict egress =
            judge_egress(rules, request->peer, request->peer_port, request->size);
        const auto verdict = verdict_of(egress);
        const bool forbidden = verdict == IMPNET_RELAY_ADDRESS_NOT_ALLOWED;
        judged.first[judged.count++] = judged.verdicts.size();
        // The first one that aims there is the last of all.
        for (std::size_t i = 0; i < (forbidden ? 1 : request->count); ++i)
            judged.verdicts.push_back({static_cast<std::uint16_t>(request->sequence + i), verdict});
        if (egress == EgressVerdict::pass) {
            judged.passed[batch.listed()] = slot;
            batch.list_request(slot, *request, largest_segment_);
        }
        if (forbidden)
            judged.end_reason = reason_of_denial(rules, request->peer, request->peer_port);
    }
    return judged;
}

/// How far the sending of listed requests has come.
struct RelaySocket::Progress {
    std::size_t through = 0;          // requests that are sent or refused,
    std::size_t next = 0;             // and datagrams of the one after, if that is taken apart
    std::size_t unsent = 0;           // datagrams, of all
    std::optional<std::size_t> fits;  // it was taken apart to see whether this is the largest
};

/// Sends the first `allowed` listed requests, whose datagrams have their tokens. Returns how many
/// are through, sent or refused; the next one, or what is left of it, has to wait until the network
/// has room. If it has waited `again`, in vain, it is refused: the kernel is short of memory, and
/// asking on and on would not help it.
std::size_t RelaySocket::send_listed(std::size_t allowed, Attempt attempt, Judged& judged) {
    Batch& batch = shared_.batch;
    udp_.set_deaf(false);  // an answer may be here before we are back
    Progress at;
    for (std::size_t i = 0; i < allowed; ++i) at.unsent += batch.request(i).count;
    const std::size_t before = at.unsent;
    while (at.through < allowed) {
        const int error = send_next(at, allowed);
        if (error == 0 || error == EINTR) continue;
        const auto& request = batch.request(at.through);
        const bool together = batch.together(at.through);
        if (together && request.count > 1 && is_about_segments(error)) {
            at.fits = error == EIO || error == EOPNOTSUPP ? 0 : request.size - 1;
            batch.take_apart(at.through);
            continue;
        }
        if (is_full(error) && (attempt == Attempt::first || at.unsent < before)) break;
        const std::size_t refused = together ? request.count : 1;
        for (auto& verdict : judged.of(at.through, at.next, at.next + refused))
            verdict.value = is_full(error) ? IMPNET_RELAY_WOULD_BLOCK : verdict_of_errno(error);
        pass(at, refused);
        attempt = Attempt::first;
    }
    if (at.next > 0) {
        const std::size_t slot = judged.passed[at.through];
        batch.drop(slot, at.next);
        judged.first[slot] += at.next;
    }
    rate_.give_back(at.unsent);
    come_into_force(at.unsent < before);
    return at.through;
}

/// 0, or why what is next was not taken.
int RelaySocket::send_next(Progress& at, std::size_t allowed) {
    Batch& batch = shared_.batch;
    if (batch.together(at.through)) {
        const auto outcome = batch.send(udp_.fd(), at.through, allowed);
        for (std::size_t i = 0; i < outcome.count; ++i)
            at.unsent -= batch.request(at.through++).count;
        return outcome.error;
    }
    const auto outcome = batch.send_apart(udp_.fd(), at.through, at.next);
    at.unsent -= outcome.count;
    // Each by itself it goes: together it did not.
    if (outcome.count > 0 && at.fits) largest_segment_ = *std::exchange(at.fits, std::nullopt);
    pass(at, outcome.count);
    return outcome.error;
}

/// So many datagrams more of the next request are sent or refused.
void RelaySocket::pass(Progress& at, std::size_t count) const {
    at.next += count;
    if (at.next < shared_.batch.request(at.through).count) return;
    ++at.through;
    at.next = 0;
    at.fits.reset();
}

void RelaySocket::come_into_force(bool sent) {
    in_force_ = in_force_ || sent;
    udp_.set_deaf(!in_force_);
    account_->drops_while_deaf = udp_.drops_while_deaf();
}

/// True: all are told. One message tells those of consecutive requests.
bool RelaySocket::tell_verdicts() {
    auto next = verdicts_.begin();
    while (next != verdicts_.end()) {
        std::array<std::uint8_t, header_size + Batch::capacity> message{};
        std::uint32_t wait_usec = 0;
        auto last = next;
        std::size_t size = header_size;
        do {
            if (last->wait_usec != 0) wait_usec = last->wait_usec;
            message[size++] = static_cast<std::uint8_t>(last++->value);
        } while (last != verdicts_.end() && size < message.size() &&
                 last->sequence == static_cast<std::uint16_t>(last[-1].sequence + 1));
        encode({.kind = IMPNET_RELAY_VERDICT,
                .peer = Ipv4(wait_usec),
                .peer_port = 0,
                .local = {},
                .local_port = local_port(),
                .sequence = next->sequence},
               std::span(message).first<header_size>());
        if (::send(client_.get(), message.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
            if (errno == EINTR) continue;
            if (is_full(errno)) break;
            // The client reads no more. What it still has to say is heard all the same.
        }
        next = last;
    }
    verdicts_.erase(verdicts_.begin(), next);
    if (verdicts_.empty() && verdicts_.capacity() > Batch::capacity) verdicts_.shrink_to_fit();
    return verdicts_.empty();
}

/// Once all is answered that waited in the pair. Whatever else the client had asked of the process
/// before us went with it.
void RelaySocket::tell_resumed() {
    int unread = 0;
    if (!end_reason_.empty() || !verdicts_.empty() || !held_.empty() ||
        ::ioctl(client_.get(), SIOCINQ, &unread) != 0 || unread > 0)
        return;
    const auto message = encode({.kind = IMPNET_RELAY_RESUMED,
                                 .peer = {},
                                 .peer_port = 0,
                                 .local = {},
                                 .local_port = local_port(),
                                 .sequence = 0});
    const auto sent =
        ::send(client_.get(), message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    resumed_untold_ = sent < 0 && (errno == EINTR || is_full(errno));
}

Result<SendResult> RelaySocket::send(Ipv4 to, std::uint16_t port,
                                     const std::vector<std::uint8_t>& data) {
    if (!end_reason_.empty()) return fail(ErrorCode::socket_closed, end_reason_);
    const EgressRules rules = egress_rules();
    impnet_relay_verdict verdict = verdict_of(judge_egress(rules, to, port, data.size()));
    if (verdict == IMPNET_RELAY_SENT) {
        if (rate_.take() != 0) {
            verdict = IMPNET_RELAY_WOULD_BLOCK;
        } else {
            udp_.set_deaf(false);
            const int error = udp_.send(rules.network->address, to, port, data);
            if (error != 0) {
                verdict = is_full(error) ? IMPNET_RELAY_WOULD_BLOCK : verdict_of_errno(error);
                rate_.give_back(1);
            }
            come_into_force(error == 0);
            watch();
        }
    }
    count(verdict);
    switch (verdict) {
        case IMPNET_RELAY_SENT:
            return SendResult::sent;
        case IMPNET_RELAY_NOT_CONNECTED:
            return SendResult::not_connected;
        case IMPNET_RELAY_WOULD_BLOCK:
            return SendResult::would_block;
        case IMPNET_RELAY_INVALID_PORT:
            return fail(ErrorCode::invalid_argument,
                        "port " + std::to_string(port) + " is not allowed as a destination");
        case IMPNET_RELAY_TOO_LARGE:
            return fail(ErrorCode::too_large,
                        std::to_string(data.size()) + " bytes are more than a datagram carries");
        case IMPNET_RELAY_ADDRESS_NOT_ALLOWED:
            break;
    }
    const std::string reason = reason_of_denial(rules, to, port);
    revoke(reason);
    return fail(ErrorCode::address_not_allowed, reason);
}

void RelaySocket::count(impnet_relay_verdict verdict) {
    switch (verdict) {
        case IMPNET_RELAY_SENT:
            ++counters_.sent;
            break;
        case IMPNET_RELAY_NOT_CONNECTED:
            ++counters_.not_connected;
            break;
        case IMPNET_RELAY_WOULD_BLOCK:
            ++counters_.rate_limited;
            break;
        case IMPNET_RELAY_ADDRESS_NOT_ALLOWED:
        case IMPNET_RELAY_INVALID_PORT:
        case IMPNET_RELAY_TOO_LARGE:
            ++counters_.denied;
            break;
    }
}

// --- From the network to the client ------------------------------------------------------------

void RelaySocket::read_arrivals() {
    if (delivery_ == Delivery::descriptor && !client_has_room()) {
        client_full_ = true;
        return;
    }
    Batch& batch = shared_.batch;
    const std::size_t count = batch.receive_datagrams(udp_.fd()).count;
    batch.begin_list();
    const EgressRules rules = egress_rules();
    const std::weak_ptr<const bool> alive = alive_;
    for (std::size_t slot = 0; slot < count; ++slot) {
        const Batch::Arrival arrival = batch.arrival(slot);
        if (arrival.ifindex != udp_.ifindex() ||
            !admits_ingress(rules, arrival.from, arrival.from_port, arrival.to)) {
            continue;
        }
        if (delivery_ == Delivery::signal) {
            tell_observer(slot, arrival);
            if (alive.expired() || !end_reason_.empty()) return;
        } else {
            batch.list_frame(slot, {.kind = IMPNET_RELAY_DATAGRAM,
                                    .peer = arrival.from,
                                    .peer_port = arrival.from_port,
                                    .local = arrival.to,
                                    .local_port = udp_.port(),
                                    .sequence = 0});
        }
    }
    send_arrivals();
}

void RelaySocket::tell_observer(std::size_t slot, const Batch::Arrival& arrival) {
    const auto payload = shared_.batch.payload(slot);
    ++counters_.received;
    observer_.datagram_received({.from = arrival.from,
                                 .from_port = arrival.from_port,
                                 .to = arrival.to,
                                 .to_port = udp_.port(),
                                 .data = {payload.begin(), payload.end()}});
}

void RelaySocket::send_arrivals() {
    Batch& batch = shared_.batch;
    std::size_t through = 0;
    while (through < batch.listed()) {
        const Batch::Outcome outcome = batch.send(client_.get(), through, batch.listed());
        counters_.received += outcome.count;
        through += outcome.count;
        if (outcome.count > 0 || outcome.error == EINTR) continue;
        // It reads no more, or has no room after all.
        ++counters_.dropped;
        ++through;
    }
}

/// The kernel's own condition for calling the descriptor writable: three quarters are free.
bool RelaySocket::client_has_room() const {
    int unread = 0;
    return ::ioctl(client_.get(), SIOCOUTQ, &unread) == 0 && unread <= client_buffer_ / 4;
}

// --- The end -----------------------------------------------------------------------------------

/// Nothing while the device is not the one that the socket is bound to: a device of the same name
/// that came later is another.
std::optional<Ipv4Network> RelaySocket::network() const {
    return facts_.ifindex == udp_.ifindex() ? facts_.network : std::nullopt;
}

EgressRules RelaySocket::egress_rules() const {
    return {.network = network(),
            .extra_networks = shared_.extra_networks,
            .destinations = policy_.destinations};
}

void RelaySocket::revoke(const std::string& reason) {
    log::warning("socket_revoked", {{"device", facts_.device},
                                    {"client_uid", std::to_string(client_uid_)},
                                    {"client_unit", client_unit_},
                                    {"reason", reason}});
    end(reason);
}

void RelaySocket::end(std::string reason) {
    if (!end_reason_.empty()) return;
    end_reason_ = std::move(reason);
    close();
    shared_.loop.defer([this, alive = std::weak_ptr<const bool>(alive_)] {
        if (!alive.expired()) observer_.socket_closed(end_reason_);
    });
}

void RelaySocket::close() {
    counters_ = counters();
    network_poll_.reset();
    client_poll_.reset();
    udp_.close();
    held_.clear();
    verdicts_.clear();
    if (!client_) return;
    // The holder wakes with the end of the stream, however many copies of its end there are.
    // Requests left unread would turn that into a connection reset; no more can come.
    ::shutdown(client_.get(), SHUT_RDWR);
    while (::recv(client_.get(), nullptr, 0, MSG_DONTWAIT | MSG_TRUNC) > 0) continue;
    client_.reset();
}

}  // namespace impnetd::relay
