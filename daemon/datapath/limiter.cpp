// SPDX-License-Identifier: LGPL-2.1-or-later
#include "datapath/limiter.hpp"

#include <algorithm>
#include <tuple>
#include <type_traits>
#include <utility>

namespace impnetd {

namespace {

std::string key_of(const Limiter::Memory::Client& client) {
    return {client.key.begin(), std::find(client.key.begin(), client.key.end(), '\0')};
}

}  // namespace

Limiter::Limiter(RateLimit limit, Clock clock, Memory& memory)
    : clock_(std::move(clock)), memory_(memory) {
    static_assert(std::is_trivially_copyable_v<Memory>);
    memory_.used = std::min<std::uint64_t>(memory_.used, memory_.clients.size());
    for (std::size_t place = 0; place < memory_.used; ++place) {
        const auto key = key_of(memory_.clients.at(place));
        const auto [known, is_new] = known_.try_emplace(key, Known{.place = place});
        if (!key.empty() && is_new)
            remember(known->second);  // until one of its sockets is here
        else
            free_.insert(place);
    }
    known_.erase("");
    set_limit(limit);
}

void Limiter::set_limit(RateLimit limit) {
    const impnet_limit next = bucket_limit(limit);
    auto& full_at = memory_.bucket.full_at;
    full_at = full_at_after_change(full_at, memory_.limit, next, clock_());
    memory_.limit = next;
}

Limiter::Known& Limiter::enter(const std::string& whole_key) {
    constexpr std::size_t longest = std::tuple_size_v<decltype(Memory::Client::key)> - 1;
    const auto [found, is_new] = known_.try_emplace(whole_key.substr(0, longest));
    Known& known = found->second;
    if (is_new) {
        known.place = free_place();
        auto& client = memory_.clients.at(known.place);
        client = {};
        std::copy(found->first.begin(), found->first.end(), client.key.begin());
    } else if (known.sockets == 0) {
        gone_.erase(known.left);
    }
    ++known.sockets;
    return known;
}

/// There is one: with no more sockets than there may be, somebody can be forgotten.
std::size_t Limiter::free_place() {
    if (free_.empty() && memory_.used == memory_.clients.size()) forget_first();
    if (!free_.empty()) return free_.extract(free_.begin()).value();
    return memory_.used++;
}

void Limiter::leave(Known& known) {
    if (--known.sockets > 0) return;
    const std::uint64_t now = clock_();
    impnet_leave(&memory_.bucket, &share(known), now);
    remember(known);
    // More go than come.
    for (int i = 0; i < 2 && !gone_.empty(); ++i) {
        if (is_forgettable(share(*gone_.begin()->second), now)) forget_first();
    }
    if (gone_.size() > most_remembered) forget_first();
}

void Limiter::remember(Known& known) {
    known.left = ++departures_;
    gone_.emplace(known.left, &known);
}

void Limiter::forget_first() {
    auto& client = memory_.clients.at(gone_.begin()->second->place);
    free_.insert(gone_.begin()->second->place);
    gone_.erase(gone_.begin());
    known_.erase(key_of(client));
    client = {};
}

/// Whether a newcomer would stand as it does.
bool Limiter::is_forgettable(const impnet_share& share, std::uint64_t now) const {
    return share.own_full_at <= now && share.active_until < impnet_epoch_of(now) &&
           impnet_stand(&memory_.limit, &memory_.bucket, &share, now).lead <= 0;
}

std::uint64_t Limiter::Member::take(std::uint64_t tokens) {
    auto& [limit, bucket, used, clients] = limiter_.memory_;
    return impnet_take(&limit, limiter_.clients_with_a_socket(), &own_, &bucket,
                       &limiter_.share(known_), limiter_.clock_(), tokens);
}

std::uint64_t Limiter::sharers(const std::string& key) const {
    const auto known = known_.find(key);
    const impnet_share newcomer{};
    return impnetd::sharers(
        memory_.bucket,
        known != known_.end() ? memory_.clients.at(known->second.place).share : newcomer, clock_());
}

std::uint64_t Limiter::Member::wait() {
    auto& [limit, bucket, used, clients] = limiter_.memory_;
    return impnet_ask(&limit, limiter_.clients_with_a_socket(), &own_, &bucket,
                      &limiter_.share(known_), limiter_.clock_(), 1);
}

void Limiter::Member::give_back(std::uint64_t tokens) {
    auto& [limit, bucket, used, clients] = limiter_.memory_;
    impnet_give_back(&limit, &own_, &bucket, &limiter_.share(known_), limiter_.clock_(), tokens);
}

void Limiter::Member::set_own_limit(const std::optional<RateLimit>& own) {
    const impnet_limit next = bucket_limit(own);
    auto& full_at = limiter_.share(known_).own_full_at;
    full_at = full_at_after_change(full_at, own_, next, limiter_.clock_());
    own_ = next;
}

}  // namespace impnetd
