// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The states an interface reports. The integers are impOS's (`imp.net.*`); they travel over the
// bus and into client programs, and never change.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace impnetd {

enum class State : std::int32_t {
    unknown = -1,  ///< idle: nobody has opened the interface
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
    ethernet_stopped_unhappy = 203,
    ethernet_stopped_no_link = 204,
    cellular_pinging = 300,
    cellular_waiting_for_sim = 301,
    cellular_ppp_connecting = 302,
    cellular_registering = 303,
    cellular_registration_denied = 304,
    cellular_stopped = 305,
    cellular_stopped_unhappy = 306,
};

/// The guide's name of a state without its class prefix `imp.net.`, for example "ETHERNET_DHCPING".
std::string_view name(State state);

/// Whether a number that came from elsewhere is one of these.
bool is_known(State state);

constexpr std::int32_t number(State state) {
    return static_cast<std::int32_t>(state);
}

/// One step of an interface, as clients are told of it.
struct StateReport {
    State state = State::unknown;
    State previous = State::unknown;
    std::uint64_t monotonic_usec = 0;
    std::string reason;

    friend bool operator==(const StateReport&, const StateReport&) = default;
};

}  // namespace impnetd
