// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/attention.hpp"

#include <cstdint>
#include <utility>

namespace impnetd::bus {

namespace {

constexpr const char* too_many_calls = "org.freedesktop.DBus.Error.LimitsExceeded";

}  // namespace

void Attention::ask(const std::string& owner, std::weak_ptr<const bool> alive, OnAnswer on_answer) {
    if (owner != owner_) {
        owner_ = owner;
        peer_.reset();  // and with it what was under way
        asked_.clear();
        waiting_.clear();
    }
    waiting_.push_back({std::move(alive), std::move(on_answer)});
    if (asked_.empty()) ping();
}

void Attention::ping() {
    if (!peer_) peer_ = sdbus::createProxy(connection_, owner_, "/");
    asked_ = std::exchange(waiting_, {});
    // However long it takes: an owner that does not answer does not read. If it leaves, this goes.
    constexpr std::uint64_t patience = UINT64_MAX;
    peer_->callMethodAsync("Ping")
        .onInterface("org.freedesktop.DBus.Peer")
        .withTimeout(patience)
        .uponReplyInvoke([this](const sdbus::Error* error) {
            const bool refused = error != nullptr && error->getName() == too_many_calls;
            answered(refused ? Answer::refused : Answer::confirmed);
        });
}

void Attention::answered(Answer answer) {
    for (const auto& question : std::exchange(asked_, {}))
        if (!question.alive.expired()) question.on_answer(answer);
    if (asked_.empty() && !waiting_.empty()) ping();
}

}  // namespace impnetd::bus
