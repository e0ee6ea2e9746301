// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Which slot of the maps a client has: its share of the rate limit. A client is known by its key
// (core/client.hpp) and has the slot as long as it has a socket. What it was given is remembered
// after that until the slot is needed for another, the longest unused first, so that closing all
// sockets and opening them again gains nothing.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <string>
#include <utility>

#include "core/error.hpp"
#include "datapath/kernel/programs.hpp"

namespace impnetd::kernel {

class Clients {
  public:
    using Slot = std::uint32_t;

    /// One socket's part in a client. Given back by its destructor.
    class Membership {
      public:
        Membership(Clients& clients, Slot slot) : clients_(&clients), slot_(slot) {}
        Membership(Membership&& other) noexcept
            : clients_(std::exchange(other.clients_, nullptr)), slot_(other.slot_) {}
        Membership& operator=(Membership&&) = delete;
        ~Membership() {
            if (clients_ != nullptr) clients_->leave(slot_);
        }
        Slot slot() const { return slot_; }

      private:
        Clients* clients_;
        Slot slot_;
    };

    explicit Clients(Programs& programs) : programs_(programs) {}

    /// LimitExceeded: there are as many clients as there can be.
    Result<Membership> join(const std::string& key);
    /// The same, of a daemon's before us, with the slot that the client had there.
    Result<Membership> rejoin(const std::string& key, Slot slot);

    /// With at least one socket.
    std::uint32_t count() const { return count_; }
    /// Nothing: the client has no socket.
    const Slot* find(const std::string& key) const;

  private:
    struct Client {
        std::string key;
        unsigned sockets = 0;
    };

    Membership enter(Slot slot);
    void leave(Slot slot);

    Programs& programs_;
    std::map<std::string, Slot> slots_;  // by key; those that are remembered, too
    std::map<Slot, Client> clients_;     // those in `slots_`
    std::list<Slot> idle_;               // without a socket, the longest first
    Slot unused_ = 0;                    // from here on no slot was ever used
    std::uint32_t count_ = 0;
};

}  // namespace impnetd::kernel
