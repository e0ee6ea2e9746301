// SPDX-License-Identifier: LGPL-2.1-or-later
#include "network/sessions.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <system_error>
#include <utility>

#include <sys/random.h>

#include "log/log.hpp"

namespace impnetd {

namespace {

/// 128 random bits in hex: who knows it is the session's owner.
std::string random_token() {
    std::array<std::uint8_t, 16> bytes{};
    if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
        throw std::system_error(errno, std::generic_category(), "getrandom");
    constexpr std::string_view hex = "0123456789abcdef";
    std::string out;
    for (const auto byte : bytes) {
        out += hex[byte >> 4];
        out += hex[byte & 0xf];
    }
    return out;
}

}  // namespace

Sessions::Sessions(Loop& loop, Interfaces& interfaces, DataPath& data_path, FdStore& store,
                   Limits limits, Policy policy, Milliseconds grace)
    : interfaces_(interfaces),
      store_(store),
      policy_(std::move(policy)),
      session_quota_(limits.sessions_per_uid),
      socket_quota_(limits.sockets_per_uid),
      setting_{.loop = loop,
               .data_path = data_path,
               .store = store,
               .sockets = socket_quota_,
               .policy = policy_,
               .grace = grace,
               .on_abandoned = [this](Session& session) { abandoned(session); }} {
    data_path.set_extra_networks(policy_.widen.networks);
}

void Sessions::restore() {
    for (const auto& name : store_.inherited("session-")) restore(name);
    apply_policy();  // it may be another than the process before us had
}

void Sessions::restore(const std::string& kept_name) {
    auto kept = std::make_unique<KeptValue>(store_, kept_name);
    auto record =
        kept->read().and_then([](const auto& bytes) { return read_session_record(bytes); });
    if (!record) {
        log::warning("session_lost", {{"kept", kept_name}, {"reason", record.error().message}});
        return;
    }
    auto share = session_quota_.take(record->client.uid);
    if (!share) {
        log::warning("session_lost", {{"kept", kept_name}, {"reason", "over the limit"}});
        return;
    }
    const auto id = record->id;
    last_session_ = std::max(last_session_, id);
    for (const auto& socket : record->sockets) last_socket_ = std::max(last_socket_, socket.id);
    auto& interface = interfaces_.ensure(record->nic.nii);
    auto session = std::make_unique<Session>(setting_, std::move(*record), std::move(kept),
                                             interface, std::move(*share));
    session->restore();
    log::info("session_restored", {{"session", std::to_string(id)},
                                   {"interface", interface.nii().text()},
                                   {"client_uid", std::to_string(session->client().uid)},
                                   {"sockets", std::to_string(session->sockets().size())}});
    sessions_[id] = std::move(session);
}

Result<Session*> Sessions::open(const Client& client, const Nic& nic) {
    if (auto admitted = admit(client, nic.nii); !admitted)
        return tl::unexpected<Error>(admitted.error());
    const auto interface = interfaces_.find(nic.interface);
    if (!interface) return tl::unexpected<Error>(interface.error());
    if (auto admitted = (*interface)->admits(nic); !admitted)
        return tl::unexpected<Error>(admitted.error());
    auto share = session_quota_.take(client.uid);
    if (!share)
        return fail(ErrorCode::limit_exceeded,
                    "a user may have " + std::to_string(session_quota_.limit()) + " sessions");
    SessionRecord record;
    record.id = ++last_session_;
    record.token = random_token();
    record.client = client;
    record.nic = nic;
    auto kept = std::make_unique<KeptValue>(store_, "session-" + std::to_string(record.id));
    const auto id = record.id;
    auto session = std::make_unique<Session>(setting_, std::move(record), std::move(kept),
                                             **interface, std::move(*share));
    return (sessions_[id] = std::move(session)).get();
}

Result<> Sessions::admit(const Client& client, std::optional<Nii> interface) const {
    const auto decision = policy_.may_open(client, interface);
    if (decision.allowed) return {};
    log::warning("open_denied", {{"interface", interface ? interface->text() : ""},
                                 {"client_uid", std::to_string(client.uid)},
                                 {"client_pid", std::to_string(client.pid)},
                                 {"client_unit", client.unit},
                                 {"rule", decision.rule},
                                 {"reason", decision.reason}});
    return fail(ErrorCode::not_authorized, explain(decision));
}

Result<Session*> Sessions::find_orphan(const std::string& token, const Client& client) const {
    if (auto admitted = admit(client, std::nullopt); !admitted)
        return tl::unexpected<Error>(admitted.error());
    for (const auto& [id, session] : sessions_) {
        // Which token somebody else's session has cannot be found out here.
        if (session->token() != token || session->client().uid != client.uid) continue;
        if (!session->owner().empty())
            return fail(ErrorCode::busy, "the session's owner is still on the bus");
        if (auto admitted = admit(client, session->interface().nii()); !admitted)
            return tl::unexpected<Error>(admitted.error());
        return session.get();
    }
    return fail(ErrorCode::unavailable, "token: no session waits for it");
}

std::vector<Session*> Sessions::all() const {
    std::vector<Session*> out;
    out.reserve(sessions_.size());
    for (const auto& [id, session] : sessions_) out.push_back(session.get());
    return out;
}

bool Sessions::have_sockets() const {
    return std::any_of(sessions_.begin(), sessions_.end(),
                       [](const auto& entry) { return entry.second->has_open_sockets(); });
}

void Sessions::close_sockets(const std::string& reason) const {
    for (auto* session : all()) session->close_sockets(reason);
}

void Sessions::set_limits(Limits limits) {
    session_quota_.set_limit(limits.sessions_per_uid);
    socket_quota_.set_limit(limits.sockets_per_uid);
}

void Sessions::set_policy(Policy policy) {
    policy_ = std::move(policy);
    setting_.data_path.set_extra_networks(policy_.widen.networks);
    apply_policy();
    if (observer_ != nullptr) observer_->policy_changed();
}

void Sessions::apply_policy() {
    for (auto* session : all()) {
        const auto decision = policy_.may_open(session->client(), session->interface().nii());
        if (decision.allowed) {
            session->follow_policy();
            continue;
        }
        session->revoke(decision);
        if (observer_ != nullptr) observer_->session_revoked(*session);
        sessions_.erase(session->id());
    }
}

std::map<std::string, Sessions::Usage> Sessions::usage() const {
    std::map<std::string, Usage> out;
    for (const auto& [session_id, session] : sessions_)
        for (const auto& [id, socket] : session->sockets()) {
            if (!socket->open()) continue;
            const auto key = session->client().key();
            auto& usage = out.try_emplace(key, Usage{.client = session->client()}).first->second;
            const auto counters = socket->counters();
            ++usage.sockets;
            usage.sent += counters.sent;
            usage.limited += counters.rate_limited;
            usage.share = setting_.data_path.share(key);
        }
    return out;
}

void Sessions::abandoned(Session& session) {
    log::info("session_abandoned", {{"session", std::to_string(session.id())},
                                    {"interface", session.interface().nii().text()},
                                    {"client_uid", std::to_string(session.client().uid)}});
    if (observer_ != nullptr) observer_->session_abandoned(session);
    sessions_.erase(session.id());
}

}  // namespace impnetd
