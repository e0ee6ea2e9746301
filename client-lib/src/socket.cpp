// SPDX-License-Identifier: LGPL-2.1-or-later
#include "socket.hpp"

#include <algorithm>
#include <utility>

namespace impnet::detail {

namespace {

/// So many datagrams without a turn are worth what it costs not to be watched until the next.
constexpr std::size_t busy = 256;

}  // namespace

Socket::Socket(std::weak_ptr<Core> core, Remote remote, std::unique_ptr<DataChannel> channel,
               bool raw, OnDatagram on_datagram)
    : core_(std::move(core)),
      remote_(std::move(remote)),
      channel_(std::move(channel)),
      kernel_(dynamic_cast<KernelChannel*>(channel_.get())),
      raw_(raw) {
    this->on_datagram(std::move(on_datagram));
}

bool Socket::is_open() const {
    return channel_ && !channel_->ended();
}

std::optional<Error> Socket::refusal() const {
    if (!is_open()) return Error(ErrorCode::socket_closed, "the socket is closed");
    if (raw_) return Error(ErrorCode::not_supported, "the socket was opened raw: use its fd()");
    return std::nullopt;
}

Result<SendResult> Socket::send(const OutgoingDatagram& datagram) {
    if (!is_open() || raw_) return *refusal();
    Verdict verdict = Verdict::closed;
    if (kernel_ != nullptr) {
        verdict = kernel_->send(datagram);
        if (verdict == Verdict::sent) {
            note_sent(1);
            return SendResult::sent;
        }
        heed({&verdict, 1});
    } else {
        send({&datagram, 1}, {&verdict, 1});
    }
    return describe(verdict);
}

Result<SendResult> Socket::send_malformed(std::string_view address, std::uint16_t port,
                                          std::span<const std::byte> data) {
    if (auto refused = refusal()) return *std::move(refused);
    if (remote_.owner.empty()) return Error(ErrorCode::no_daemon, "the daemon is away");
    const auto core = core_.lock();
    auto result = core->bus().send(remote_, address, port, data);
    core->bus_used();
    if (!result && result.error().code() == ErrorCode::address_not_allowed) {
        channel_->end();
        core->note_work();
    }
    return result;
}

std::vector<Result<SendResult>> Socket::send_batch(std::span<const OutgoingDatagram> datagrams) {
    std::vector<Result<SendResult>> results;
    if (const auto refused = refusal()) {
        results.assign(datagrams.size(), *refused);
        return results;
    }
    std::vector<Verdict> verdicts(datagrams.size(), Verdict::closed);
    send(datagrams, verdicts);
    results.reserve(verdicts.size());
    for (const auto verdict : verdicts) {
        if (verdict == Verdict::sent)
            results.emplace_back(SendResult::sent);
        else
            results.push_back(describe(verdict));
    }
    return results;
}

void Socket::send(std::span<const OutgoingDatagram> datagrams, std::span<Verdict> verdicts) {
    channel_->send(datagrams, verdicts, backlog_, core_.lock()->scratch());
    heed(verdicts);
    if (kernel_ != nullptr) note_sent(datagrams.size());
}

inline void Socket::note_sent(std::size_t count) {
    if (busy_ >= busy || !is_open()) return;
    busy_ += count;
    if (busy_ >= busy) core_.lock()->rest(shared_from_this());
}

void Socket::rest() {
    note_sent(busy);
}

void Socket::heed(std::span<const Verdict> verdicts) {
    if (has_work()) core_.lock()->note_work();
    if (std::find(verdicts.begin(), verdicts.end(), Verdict::would_block) != verdicts.end())
        note_refusal();
}

void Socket::note_refusal() {
    refused_ = true;
    wait_over_.reset();
    await_sendable();
}

void Socket::learn_wait() {
    if (!wait_over_) wait_over_ = Clock::now() + channel_->retry_after();
}

/// Has the program told when it may send again, if it is to be told.
void Socket::await_sendable() {
    if (!is_open() || !refused_ || !on_sendable_) return;
    learn_wait();
    if (const auto core = core_.lock()) core->await_sendable(shared_from_this());
}

std::chrono::nanoseconds Socket::retry_after() {
    if (!is_open() || !refused_) return {};
    learn_wait();
    return std::max(*wait_over_ - Clock::now(), std::chrono::nanoseconds::zero());
}

void Socket::on_sendable(OnSendable callback) {
    on_sendable_ = callback ? std::make_shared<const OnSendable>(std::move(callback)) : nullptr;
    if (on_sendable_)
        await_sendable();
    else if (const auto core = core_.lock())
        core->expect_no_sendable(*this);
}

Socket::Clock::time_point Socket::sendable_at() const {
    if (!is_open() || !refused_ || !on_sendable_) return Clock::time_point::max();
    return *wait_over_;
}

void Socket::tell_sendable(Clock::time_point now) {
    if (sendable_at() > now) return;
    refused_ = false;
    const auto callback = on_sendable_;
    (*callback)();
}

void Socket::on_datagram(OnDatagram callback) {
    on_datagram_ = callback ? std::make_shared<const OnDatagram>(std::move(callback)) : nullptr;
}

void Socket::close(Wait wait) noexcept {
    if (!channel_) return;
    close_here();
    const auto core = core_.lock();
    if (!core || core->is_shut() || remote_.owner.empty()) return;
    if (wait == Wait::yes)
        core->bus().close_socket(remote_);
    else
        core->bus().drop_socket(remote_);
    core->bus_used();
}

void Socket::close_here() noexcept {
    if (!channel_) return;
    if (const auto core = core_.lock()) core->forget_socket(*this);
    channel_.reset();
    kernel_ = nullptr;
    backlog_.clear();
}

bool Socket::deliver(ReceiveBatch& batch, Wait wait) {
    bool any = false;
    for (auto left = backlog_.size(); left > 0 && channel_; --left) {
        const auto oldest = backlog_.take();
        hand_over(oldest.view());
        any = true;
    }
    // What a callback's send has put there meanwhile is older than what the channel has.
    if (!channel_ || !backlog_.empty() || raw_) return any;

    const auto datagrams = kernel_ != nullptr ? kernel_->receive(batch, any ? Wait::no : wait)
                                              : channel_->receive(batch);
    std::size_t given = 0;
    try {
        while (given < datagrams.size() && channel_) hand_over(datagrams[given++]);
    } catch (...) {
        if (channel_) backlog_.put_back(datagrams.subspan(given));
        throw;
    }
    if (has_work() && backlog_.empty()) {
        awaiting_reason_ = true;
        core_.lock()->await_reason(shared_from_this());
    }
    return any || given > 0;
}

void Socket::hand_over(const Datagram& datagram) {
    const auto callback = on_datagram_;
    if (callback)
        (*callback)(datagram);
    else
        ++unheard_;
}

void Socket::tell_closed(const std::string& reason) {
    if (!channel_) return;
    close_here();
    if (on_closed_) {
        const auto callback = std::move(on_closed_);
        callback(reason);
    }
}

}  // namespace impnet::detail
