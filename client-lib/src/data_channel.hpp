// SPDX-License-Identifier: LGPL-2.1-or-later
//
// How datagrams get to the daemon's side and back: the descriptor that UdpSocket.Acquire gave, and
// what is spoken over it. `relay_channel` frames each datagram and hears the daemon's verdict;
// `kernel_channel` is a real UDP socket whose verdicts are errnos. Neither calls back into the
// program, so whoever uses one need not fear for its life meanwhile.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "backlog.hpp"
#include "descriptor.hpp"
#include "impnet/datagram.hpp"
#include "receive_batch.hpp"
#include "verdict.hpp"
#include "wait.hpp"

namespace impnet::detail {

/// The wait after `would_block` when nobody says how long: one datagram's at the default rate.
constexpr std::chrono::nanoseconds unknown_wait = std::chrono::milliseconds(40);

class DataChannel {
  public:
    virtual ~DataChannel() = default;
    DataChannel(const DataChannel&) = delete;
    DataChannel& operator=(const DataChannel&) = delete;

    /// "relay" or "kernel".
    virtual std::string_view path() const = 0;

    /// Sends each and stores what became of it; `verdicts` is as long as `datagrams`. What arrives
    /// while it waits goes to `backlog`, read by way of `scratch`.
    virtual void send(std::span<const OutgoingDatagram> datagrams, std::span<Verdict> verdicts,
                      Backlog& backlog, ReceiveBatch& scratch) = 0;

    /// After `Verdict::would_block`: how long from now until one more datagram may pass.
    virtual std::chrono::nanoseconds retry_after() const = 0;

    /// Takes in what has arrived, as much as fits in `batch`, where the data stays.
    virtual std::span<const Datagram> receive(ReceiveBatch& batch) = 0;

    int fd() const { return fd_.get(); }
    /// The port in force; 0 before the first send of a socket opened without one.
    std::uint16_t local_port() const { return local_port_; }
    /// Closed by the daemon: nothing can be sent or received any more.
    bool ended() const { return ended_; }
    /// Known from elsewhere.
    void end() { ended_ = true; }

  protected:
    DataChannel(Descriptor fd, std::uint16_t local_port)
        : fd_(std::move(fd)), local_port_(local_port) {}

    /// Reads messages into `batch`: how many; -1 with errno set. With `Wait::yes` it waits for the
    /// first, until a signal comes (EINTR) or for one or two ticks of the kernel's clock (EAGAIN).
    int fill(ReceiveBatch& batch, Wait wait);

    Descriptor fd_;
    std::uint16_t local_port_;
    bool ended_ = false;

  private:
    std::optional<bool> waits_;  ///< whether the descriptor could be told how to wait, if it was
};

}  // namespace impnet::detail
