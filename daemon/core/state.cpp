// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/state.hpp"

namespace impnetd {

std::string_view name(State state) {
    switch (state) {
        case State::unknown:
            return "UNKNOWN";
        case State::starting:
            return "STARTING";
        case State::connected:
            return "CONNECTED";
        case State::wifi_scanning:
            return "WIFI_SCANNING";
        case State::wifi_joining:
            return "WIFI_JOINING";
        case State::wifi_wpsing:
            return "WIFI_WPSING";
        case State::wifi_link_up:
            return "WIFI_LINK_UP";
        case State::wifi_dhcping:
            return "WIFI_DHCPING";
        case State::wifi_stopped:
            return "WIFI_STOPPED";
        case State::wifi_stopped_unhappy:
            return "WIFI_STOPPED_UNHAPPY";
        case State::ethernet_link_up:
            return "ETHERNET_LINK_UP";
        case State::ethernet_dhcping:
            return "ETHERNET_DHCPING";
        case State::ethernet_stopped:
            return "ETHERNET_STOPPED";
        case State::ethernet_stopped_unhappy:
            return "ETHERNET_STOPPED_UNHAPPY";
        case State::ethernet_stopped_no_link:
            return "ETHERNET_STOPPED_NO_LINK";
        case State::cellular_pinging:
            return "CELLULAR_PINGING";
        case State::cellular_waiting_for_sim:
            return "CELLULAR_WAITING_FOR_SIM";
        case State::cellular_ppp_connecting:
            return "CELLULAR_PPP_CONNECTING";
        case State::cellular_registering:
            return "CELLULAR_REGISTERING";
        case State::cellular_registration_denied:
            return "CELLULAR_REGISTRATION_DENIED";
        case State::cellular_stopped:
            return "CELLULAR_STOPPED";
        case State::cellular_stopped_unhappy:
            return "CELLULAR_STOPPED_UNHAPPY";
    }
    return "UNKNOWN";
}

bool is_known(State state) {
    return state == State::unknown || name(state) != name(State::unknown);
}

}  // namespace impnetd
