// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The journal's native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL): each entry is a
// datagram of named fields. Spoken here and not by `sd_journal_sendv`, because that one waits: its
// socket blocks, so with a stopped or overburdened journald, whose queue is full (10 datagrams in a
// fresh network namespace, 512 on most hosts), it does not return, and with it the loop would stand
// still. (Without journald it drops the entry and reports success; seen with systemd 252.) Here
// what cannot be sent at once is lost, and counted.
#pragma once

#include <string>
#include <string_view>

#include "loop/unique_fd.hpp"

namespace impnetd::log {

/// An entry on its way.
class JournalEntry {
  public:
    /// `name`: capital letters, digits, underscores. `value`: any bytes.
    void add(std::string_view name, std::string_view value);

    const std::string& bytes() const { return bytes_; }

  private:
    std::string bytes_;
};

class Journal {
  public:
    /// Is our standard error a stream of the journal? As systemd.exec(5) has it: it is the file
    /// that $JOURNAL_STREAM names.
    static bool has_stderr();

    Journal();

    /// False: lost, because journald does not keep up or is not there. Never waits. An entry
    /// has to fit into a datagram: 200 KiB with the kernel's defaults.
    bool send(const JournalEntry& entry) const;

  private:
    UniqueFd socket_;
};

}  // namespace impnetd::log
