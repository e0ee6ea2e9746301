// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Keeps one client, or one broken interface, from filling the log. Lines are counted by event and
// subject. The first line of a pair begins a window of 30 s, in which so many lines pass as the
// event may have; the rest is held back and counted. What was held back is told in one line when
// the window is over. Nothing here waits for that: windows are closed when the next line of
// whatever kind is written, so that an idle daemon sleeps on.
//
// Subjects are the clients' choice, therefore at most `capacity` pairs are kept. While that many
// windows are open, the subjects of an event that come on top share one.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "log/event.hpp"

namespace impnetd::log {

class FloodGate {
  public:
    static constexpr std::uint64_t window = 30'000'000'000;  ///< nanoseconds
    static constexpr std::size_t capacity = 256;
    /// The subject of those on top.
    static constexpr std::string_view others = "others";

    struct Source {
        std::string_view event;
        std::string subject;  ///< empty: the event has none

        friend auto operator<=>(const Source&, const Source&) = default;
    };

    struct Held {
        Source source;
        std::uint64_t lines = 0;

        friend bool operator==(const Held&, const Held&) = default;
    };

    /// May this line pass? Counts it. `now`: monotonic nanoseconds, never going back.
    bool admit(Event event, const std::string& subject, std::uint64_t now);

    /// Closes the windows that are over. What they held back, in their order; each is told once.
    std::vector<Held> close_windows(std::uint64_t now);
    /// The same with all windows, however young.
    std::vector<Held> close_all();

    std::size_t size() const { return windows_.size(); }

  private:
    struct Window {
        std::uint64_t end = 0;
        std::uint64_t lines = 0;
        unsigned most = 0;
    };
    using Windows = std::map<Source, Window>;

    void close_first(std::vector<Held>& held);

    Windows windows_;
    std::deque<Windows::iterator> order_;  // of their beginning, and so of their end
};

}  // namespace impnetd::log
