// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a program was told last of its interface's state, and so what is news to it. A daemon that
// gives a session back repeats the present state, and may repeat steps that its predecessor told
// but had not noted down as told.
#pragma once

#include <optional>
#include <utility>

#include "impnet/state.hpp"

namespace impnet::detail {

class LastReport {
  public:
    State state() const { return state_; }

    /// The report as the program is to be told it, if it is news.
    std::optional<StateChange> take(StateChange report) {
        if (report.state == state_) return std::nullopt;
        // The present state, which is repeated with both the same, may have begun at any time.
        const bool is_step = report.state != report.previous;
        if (is_step && report.time < time_) return std::nullopt;
        return note(std::move(report));
    }
    /// The same of one that is told in any case: the last.
    StateChange note(StateChange report) {
        report.previous = std::exchange(state_, report.state);
        time_ = report.time;
        return report;
    }

  private:
    State state_ = State::unknown;
    std::chrono::steady_clock::time_point time_{};
};

}  // namespace impnet::detail
