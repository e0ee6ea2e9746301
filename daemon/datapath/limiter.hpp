// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The one place in the daemon where a datagram asks whether it may leave now. There is one bucket
// for all clients (core/fair_bucket.h); a client is a `Client::key`, however many sockets it has.
// What the bucket and the clients had so far lies in memory that outlives this process, else a
// crash would fill the bucket and make everybody a newcomer.
//
// A client whose sockets are all closed is remembered, as long as that makes a difference to it, so
// that it gains nothing by opening them again. There is room for more clients than there can be
// sockets; of those without a socket the ones who left first are forgotten when it gets tight.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "core/fair_bucket.hpp"
#include "core/rate_limit.hpp"

namespace impnetd {

class Limiter {
  public:
    /// Monotonic nanoseconds.
    using Clock = std::function<std::uint64_t()>;

    static constexpr std::size_t most_sockets = 16'384;
    static constexpr std::size_t most_remembered = 1'024;  ///< clients without a socket

    /// All zeros: a limiter that nobody has asked yet.
    struct Memory {
        struct Client {
            /// "unit:" and the name of a unit, of which systemd allows 255 characters.
            std::array<char, 264> key;  ///< zero-terminated; empty: free
            impnet_share share;
        };

        impnet_limit limit;
        impnet_bucket bucket;
        std::uint64_t used;  ///< clients from here on were never used
        std::array<Client, most_sockets + most_remembered> clients;
    };

  private:
    struct Known {
        std::size_t place = 0;    // in the memory
        std::size_t sockets = 0;  // none: it is `gone_`
        std::uint64_t left = 0;   // the how manieth to leave it was
    };

  public:
    /// A socket of a client. While it lives, the client counts as one that may want to send.
    class Member {
      public:
        Member(Limiter& limiter, const std::string& key, const std::optional<RateLimit>& own)
            : limiter_(limiter), known_(limiter.enter(key)), own_(bucket_limit(own)) {}
        ~Member() { limiter_.leave(known_); }
        Member(const Member&) = delete;
        Member& operator=(const Member&) = delete;

        /// Takes so many tokens, all or none: before the datagrams are sent, so that a process that
        /// is killed meanwhile has not sent any for nothing. 0: taken; else the nanoseconds until
        /// they may be had if nobody else takes any; IMPNET_NEVER: they may not.
        std::uint64_t take(std::uint64_t tokens = 1);
        /// How long until one datagram may leave, as `take` would say.
        std::uint64_t wait();
        /// Of those taken just now, so many are not needed: what the network refuses costs nothing.
        void give_back(std::uint64_t tokens);
        /// The client's own limit for what this socket sends. What is spent stays spent.
        void set_own_limit(const std::optional<RateLimit>& own);

      private:
        Limiter& limiter_;
        Known& known_;
        impnet_limit own_;
    };

    /// Goes on with what is in the memory.
    Limiter(RateLimit limit, Clock clock, Memory& memory);
    Limiter(const Limiter&) = delete;
    Limiter& operator=(const Limiter&) = delete;

    /// Another limit from now on. What is spent stays spent.
    void set_limit(RateLimit limit);

    /// How many share the rate while this client wants to send (core/fair_bucket.hpp).
    std::uint64_t sharers(const std::string& key) const;
    std::size_t clients_with_a_socket() const { return known_.size() - gone_.size(); }
    std::size_t clients_remembered() const { return gone_.size(); }

  private:
    Known& enter(const std::string& key);
    void leave(Known& known);
    std::size_t free_place();
    void remember(Known& known);
    void forget_first();
    bool is_forgettable(const impnet_share& share, std::uint64_t now) const;

    impnet_share& share(const Known& known) { return memory_.clients.at(known.place).share; }

    Clock clock_;
    Memory& memory_;
    std::map<std::string, Known> known_;    // by key
    std::map<std::uint64_t, Known*> gone_;  // those without a socket, by `left`
    std::uint64_t departures_ = 0;
    std::set<std::size_t> free_;  // places below those that were never used
};

}  // namespace impnetd
