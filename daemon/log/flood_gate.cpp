// SPDX-License-Identifier: LGPL-2.1-or-later
#include "log/flood_gate.hpp"

#include <utility>

namespace impnetd::log {

bool FloodGate::admit(Event event, const std::string& subject, std::uint64_t now) {
    if (event.most() == 0) return true;
    Source source{event.name(), subject};
    auto found = windows_.find(source);
    if (found == windows_.end()) {
        if (windows_.size() >= capacity) source.subject = others;
        const auto [place, fresh] =
            windows_.try_emplace(std::move(source), Window{now + window, 0, event.most()});
        if (fresh) order_.push_back(place);
        found = place;
    }
    return ++found->second.lines <= found->second.most;
}

std::vector<FloodGate::Held> FloodGate::close_windows(std::uint64_t now) {
    std::vector<Held> held;
    while (!order_.empty() && order_.front()->second.end <= now) close_first(held);
    return held;
}

std::vector<FloodGate::Held> FloodGate::close_all() {
    std::vector<Held> held;
    while (!order_.empty()) close_first(held);
    return held;
}

void FloodGate::close_first(std::vector<Held>& held) {
    const auto first = order_.front();
    order_.pop_front();
    const auto& [end, lines, most] = first->second;
    if (lines > most) held.push_back({first->first, lines - most});
    windows_.erase(first);
}

}  // namespace impnetd::log
