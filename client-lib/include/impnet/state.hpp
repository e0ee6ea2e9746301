// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The states of an interface. The integers are impOS's (`imp.net.*` in its `interface`
// documentation) and never change. A daemon newer than this library may report others: compare,
// don't index.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include <impnet/export.hpp>

namespace impnet {

enum class State : std::int32_t {
    unknown = -1,  ///< idle: nobody has opened the interface; also what an ended session reports
    starting = 0,
    connected = 1,
    wifi_scanning = 100,
    wifi_joining = 101,
    wifi_wpsing = 102,
    wifi_link_up = 103,
    wifi_dhcping = 104,
    wifi_stopped = 105,
    wifi_stopped_unhappy = 106,
    ethernet_link_up = 200,
    ethernet_dhcping = 201,
    ethernet_stopped = 202,
    ethernet_stopped_unhappy = 203,  ///< a fault of the device or its driver
    ethernet_stopped_no_link = 204,  ///< no cable
    cellular_pinging = 300,
    cellular_waiting_for_sim = 301,
    cellular_ppp_connecting = 302,
    cellular_registering = 303,
    cellular_registration_denied = 304,
    cellular_stopped = 305,
    cellular_stopped_unhappy = 306,
};

/// The guide's name without its prefix `imp.net.`: "ETHERNET_DHCPING". "UNKNOWN" for other numbers.
IMPNET_API std::string_view to_string(State state);

/// One step of an interface. The daemon reports every step, in order, none merged or skipped.
struct StateChange {
    State state = State::unknown;
    State previous = State::unknown;
    /// When the daemon saw it: CLOCK_MONOTONIC, which is this clock.
    std::chrono::steady_clock::time_point time;
    std::string reason;  ///< for people
};

using OnState = std::function<void(const StateChange&)>;

}  // namespace impnet
