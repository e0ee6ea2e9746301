// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The real ConflictPort: a packet socket for ARP.
//
// RFC 5227 has a host probe for some seconds before it uses an address. We don't wait: a program is
// to have its connection in milliseconds, after each cable that was put back, and a second owner is
// rare. So the address is used at once, and the same probes run beside it; a host that answers one
// (in a millisecond, mostly) has us give the address up again. What that costs: until then it may
// miss a packet. It keeps its neighbours, as the address is announced only when the first probe has
// stayed without an answer for a while.
//
// The kernel filters: on a LAN that talks about others nobody wakes us, and when all is said the
// timer is silent, too. The socket is made once and stays, deaf while nothing is watched: closing
// one takes the kernel 14 to 20 ms (a grace period of RCU; seen with Linux 6.18).
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>

#include "core/conflict.hpp"
#include "core/error.hpp"
#include "loop/loop.hpp"
#include "loop/unique_fd.hpp"

namespace impnetd {

struct ArpMessage;

class ConflictWatch final : public ConflictPort {
  public:
    ConflictWatch(Loop& loop, ConflictPort::Observer& observer);

    /// Does nothing before the loop's next turn: whoever is told that the address works is told
    /// first.
    void watch(const AddressClaim& claim) override;
    void announce() override;
    void stop() override;

  private:
    void next_step();
    Result<> listen();
    Result<> filter(bool deaf) const;
    void drain() const;
    void readable();
    void send(const ArpMessage& message) const;

    Loop& loop_;
    ConflictPort::Observer& observer_;
    AddressClaim claim_;
    bool watching_ = false;
    std::size_t step_ = 0;
    Timer timer_;
    UniqueFd socket_;
    int bound_to_ = 0;
    std::unique_ptr<Poll> poll_;
};

}  // namespace impnetd
