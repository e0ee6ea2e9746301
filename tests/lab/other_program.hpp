// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A program of its own, in another process, that has an interface open until it is killed.
#pragma once

#include <string>
#include <utility>

#include "bus.hpp"
#include "deadline.hpp"
#include "fork.hpp"
#include "program.hpp"

namespace lab {

class OtherProgram {
  public:
    OtherProgram(const Bus& bus, const impnet::Nic& nic)
        : fork_([&bus, nic](const Fork::Say& say) { run(bus, nic, say); }),
          outcome_(fork_.hear(Deadline(soon))) {}

    /// What its opening came to: "ok", or "InUse".
    const std::string& outcome() const { return outcome_; }
    /// Waits until it is told this state; returns the address that it has then. Throws if it is
    /// not told.
    std::string reaches(impnet::State state) {
        for (const Deadline deadline(soon);;) {
            const std::string line = fork_.hear(deadline);
            const auto blank = line.find(' ');
            if (line.substr(0, blank) == std::to_string(static_cast<int>(state)))
                return line.substr(blank + 1);
        }
    }
    void kill() { fork_.kill(SIGKILL); }

  private:
    static constexpr Milliseconds soon{10'000};

    static void run(const Bus& bus, const impnet::Nic& nic, const Fork::Say& say) {
        Program program(bus);
        impnet::Interface* opened = nullptr;
        auto interface = program.client().open(nic, [&](const impnet::StateChange& change) {
            const auto table = opened->ip_table();
            say(std::to_string(static_cast<int>(change.state)) + " " +
                (table && table->address ? table->address->text() : ""));
        });
        say(lab::outcome(interface));
        if (!interface) return;
        opened = &*interface;
        for (;;) program.until(Milliseconds(3'600'000), [] { return false; });
    }

    Fork fork_;
    std::string outcome_;
};

}  // namespace lab
