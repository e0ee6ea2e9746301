// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What is behind a UdpSocket: the data channel, the backlog, and the callbacks.
//
// A send that the rate limit refused is remembered until the program was told that it may send
// again. How long that takes is asked of the channel only if somebody wants to know, since the
// asking may be a system call: when there is a callback, at once, else by `retry_after`.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backlog.hpp"
#include "bus.hpp"
#include "core.hpp"
#include "data_channel.hpp"
#include "impnet/udp_socket.hpp"
#include "kernel_channel.hpp"

namespace impnet::detail {

class Socket : public std::enable_shared_from_this<Socket> {
  public:
    using Clock = std::chrono::steady_clock;

    Socket(std::weak_ptr<Core> core, Remote remote, std::unique_ptr<DataChannel> channel, bool raw,
           OnDatagram on_datagram);

    bool is_open() const;
    const Remote& remote() const { return remote_; }
    bool raw() const { return raw_; }

    Result<SendResult> send(const OutgoingDatagram& datagram);
    /// To an address that is no dotted quad: the daemon says what that means.
    Result<SendResult> send_malformed(std::string_view address, std::uint16_t port,
                                      std::span<const std::byte> data);
    std::vector<Result<SendResult>> send_batch(std::span<const OutgoingDatagram> datagrams);

    std::uint16_t local_port() const { return channel_ ? channel_->local_port() : 0; }
    std::string_view path() const { return channel_ ? channel_->path() : std::string_view(); }
    int fd() const { return channel_ ? channel_->fd() : -1; }
    std::uint64_t dropped() const { return unheard_ + backlog_.dropped(); }
    void on_datagram(OnDatagram callback);
    std::chrono::nanoseconds retry_after();
    void on_sendable(OnSendable callback);
    void on_closed(OnClosed callback) { on_closed_ = std::move(callback); }

    void close(Wait wait) noexcept;
    /// With its session, which the daemon is told of.
    void close_here() noexcept;

    // From the core and the session.

    /// Its daemon has gone: only the data path is left.
    void part() { remote_.owner.clear(); }
    /// Another one has it, if it still does.
    void come_back(const std::string& owner) {
        remote_.owner = owner;
        unconfirmed = true;
    }
    bool unconfirmed = false;  ///< the daemon has not said yet whether it still has it

    Poller::Token token() const { return token_; }
    void set_token(Poller::Token token) { token_ = token; }
    /// Its descriptor is not watched until the next turn.
    void rest();
    /// It is watched again.
    void rested() { busy_ = 0; }
    /// There is something to `deliver()` that the descriptor does not show.
    bool has_work() const {
        return !backlog_.empty() || (channel_ && channel_->ended() && !awaiting_reason_);
    }
    /// Whether `deliver()` knows how to wait. Over the relay it would not pay: who waits in the
    /// call that reads is woken by the first of the datagrams that the daemon passes on together.
    bool can_wait() const { return kernel_ != nullptr; }
    /// Gives the program what has arrived: what waited here, then one batch from the channel, for
    /// which it may wait. Whether there was anything.
    bool deliver(ReceiveBatch& batch, Wait wait);
    /// When the program is to be told that it may send; `Clock::time_point::max()`: not at all.
    Clock::time_point sendable_at() const;
    /// Tells it, if the time has come.
    void tell_sendable(Clock::time_point now);
    /// Closed by the daemon: the last thing that is told.
    void tell_closed(const std::string& reason);

  private:
    /// Nothing if the socket can be used; else the error of every send.
    std::optional<Error> refusal() const;
    void send(std::span<const OutgoingDatagram> datagrams, std::span<Verdict> verdicts);
    void note_sent(std::size_t count);
    /// What verdicts mean beyond the datagrams that they are about.
    void heed(std::span<const Verdict> verdicts);
    /// The rate limit has refused a datagram.
    void note_refusal();
    void learn_wait();
    void await_sendable();
    void hand_over(const Datagram& datagram);

    std::weak_ptr<Core> core_;
    Remote remote_;
    Poller::Token token_ = 0;
    std::unique_ptr<DataChannel> channel_;  ///< none: closed
    KernelChannel* kernel_;                 ///< the channel, if it is of this kind
    std::size_t busy_ = 0;                  ///< how much it has sent since it was watched
    bool raw_;
    Backlog backlog_;
    bool awaiting_reason_ = false;
    std::uint64_t unheard_ = 0;  ///< arrived while there was no callback
    // Shared: a callback that replaces itself goes on running.
    std::shared_ptr<const OnDatagram> on_datagram_;
    OnClosed on_closed_;
    bool refused_ = false;  ///< and the program was not told since that it may send again
    std::optional<Clock::time_point> wait_over_;  ///< of the last refusal; not asked yet: nothing
    std::shared_ptr<const OnSendable> on_sendable_;
};

}  // namespace impnet::detail
