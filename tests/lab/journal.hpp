// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The world's journal: a real systemd-journald, at the place where programs look for it. It keeps
// everything in the world's memory, reads neither the kernel's log nor its audit, and drops
// nothing. With it the project's message catalogue, as it would be installed.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "namespace.hpp"
#include "process.hpp"

namespace lab {

class Journal {
  public:
    struct Entry {
        std::map<std::string, std::string> fields;  ///< also journald's own, such as "_PID"
        std::string explanation;                    ///< the catalogue's; empty if it has none
    };

    /// Ready when this returns. `catalogue`: the path of a catalogue file.
    explicit Journal(const std::string& catalogue);
    ~Journal();
    Journal(const Journal&) = delete;
    Journal& operator=(const Journal&) = delete;

    /// What a command is to be preceded by, so that its output is a stream of the journal and it is
    /// told so, as systemd does it with services.
    static std::vector<std::string> runner();

    /// The entries that have all of these ("STATE=204"), in their order: everything that was
    /// sent before this call.
    std::vector<Entry> entries(const std::vector<std::string>& matches) const;

    Process& process() { return process_; }

  private:
    Namespace home_{"journal"};
    Fd notices_;
    Process process_;
};

}  // namespace lab
