// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the relay counts, in shared memory that outlives this process: the state of the rate limit
// and the counters of each socket. A memory file, mapped: what
// is written is there for the next process, whatever becomes of this one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <utility>

#include "core/data_path.hpp"
#include "core/error.hpp"
#include "datapath/limiter.hpp"
#include "loop/unique_fd.hpp"

namespace impnetd::relay {

class Ledger {
  public:
    /// Sockets at a time.
    static constexpr std::size_t capacity = Limiter::most_sockets;

    struct Entry {
        std::uint64_t socket = 0;  ///< its number; 0: free
        SocketCounters counters;
        std::uint32_t drops_while_deaf = 0;
    };

    /// A socket's entry, free again when this goes.
    class Account {
      public:
        Account(Ledger& ledger, Entry& entry) : ledger_(ledger), entry_(&entry) {}
        Account(Account&& other) noexcept
            : ledger_(other.ledger_), entry_(std::exchange(other.entry_, nullptr)) {}
        Account& operator=(Account&&) = delete;
        ~Account() {
            if (entry_ != nullptr) ledger_.close(*entry_);
        }
        Entry& operator*() const { return *entry_; }
        Entry* operator->() const { return entry_; }

      private:
        Ledger& ledger_;
        Entry* entry_;
    };

    /// The memory of the process before us, or without one (or if it is of another version) a new
    /// one. Throws std::system_error without memory.
    explicit Ledger(UniqueFd inherited = UniqueFd());
    ~Ledger();
    Ledger(const Ledger&) = delete;
    Ledger& operator=(const Ledger&) = delete;

    int fd() const { return file_.get(); }
    /// Whether it is that of the process before us.
    bool inherited() const { return inherited_; }
    Limiter::Memory& limiter();

    /// An empty entry for this socket; LimitExceeded if there is none left. Entries of the process
    /// before us that were not reopened by now are forgotten.
    Result<Account> open(std::uint64_t socket);
    /// The entry that this socket had in the process before us, or an empty one.
    Result<Account> reopen(std::uint64_t socket);

  private:
    struct Memory;

    Result<Account> allocate(std::uint64_t socket);
    void close(Entry& entry);

    bool inherited_ = false;
    std::map<std::uint64_t, std::size_t> left_;  // by socket: entries of the process before us
    UniqueFd file_;
    Memory* memory_ = nullptr;
    std::set<std::size_t> free_;  // entries below those that were never used
};

}  // namespace impnetd::relay
