// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The data path through the daemon, `relay.h`: a frame for each datagram, and a verdict for each
// frame. A send is over when its verdict is here, so that programs get the exact result. A batch
// goes out without waiting in between; reading never stops while it is written, because with both
// directions full a daemon that waits to be read and a client that waits to write would wait for
// ever.
//
// A daemon that ends takes with it what it had read and not answered; what it had not read is still
// in the pair, and its successor answers that. Which is which shows by the number of the next
// verdict. If nothing is left to be sent that would get one, a probe is: a datagram to port 0.
#pragma once

#include <chrono>

#include "data_channel.hpp"

namespace impnet::detail {

class RelayChannel final : public DataChannel {
  public:
    static constexpr std::chrono::milliseconds default_limit{5000};

    /// `limit`: how long the daemon may keep silent while verdicts are due.
    RelayChannel(Descriptor fd, std::uint16_t local_port,
                 std::chrono::milliseconds limit = default_limit);

    std::string_view path() const override { return "relay"; }
    void send(std::span<const OutgoingDatagram> datagrams, std::span<Verdict> verdicts,
              Backlog& backlog, ReceiveBatch& scratch) override;
    std::chrono::nanoseconds retry_after() const override;
    std::span<const Datagram> receive(ReceiveBatch& batch) override;

  private:
    using Clock = std::chrono::steady_clock;
    struct Exchange;

    void write_some(Exchange& exchange);
    void read_some(ReceiveBatch& batch, Wait wait, Exchange* exchange);
    void take_verdicts(std::uint16_t sequence, std::span<const std::byte> verdicts,
                       std::chrono::nanoseconds wait, Exchange& exchange);
    void refused(std::chrono::nanoseconds wait) { wait_over_ = Clock::now() + wait; }
    void wait_for_room(const Exchange& exchange) const;

    std::chrono::milliseconds limit_;
    std::uint16_t next_sequence_ = 0;
    Clock::time_point wait_over_{};  ///< as the last verdict `would_block` had it
};

}  // namespace impnet::detail
