// SPDX-License-Identifier: LGPL-2.1-or-later
#include "network/observed_link.hpp"

#include <utility>

namespace impnetd {

void ObservedLink::link_changed(const Link& link) {
    const auto before = std::exchange(link_, link);
    if (before && link.up && interface_.enabled() && carrier_flapped(*before, link))
        interface_.set_state(State::ethernet_stopped_no_link, "carrier lost");
    look(link);
}

void ObservedLink::look(const Link& link) {
    if (!interface_.enabled()) return interface_.set_state(State::ethernet_stopped, "disabled");
    if (!link.carrier)
        return interface_.set_state(State::ethernet_stopped_no_link,
                                    link.up ? "no carrier" : "the device is down");
    const auto addresses = links_.addresses(link.ifindex);
    if (addresses.empty())
        return interface_.set_state(State::ethernet_link_up, "carrier, but no address");

    const auto& primary = addresses.front();
    IpTable table;
    table.network = primary.network;
    table.broadcast = primary.broadcast;
    table.gateway = links_.gateway(link.ifindex);
    // A step for each address, so that programs that keep it learn of the new one.
    const auto known = std::exchange(address_, AddressAssignment{table.network, {}, {}});
    if (interface_.state() == State::connected && known && known->network != table.network)
        interface_.set_state(State::ethernet_link_up, "the address changed");
    interface_.set_state(State::connected, "address " + table.network.text(), table);
}

void ObservedLink::link_removed() {
    link_.reset();
    interface_.set_state(State::ethernet_stopped, "device removed");
}

void ObservedLink::stored_changed() {
    if (link_) look(*link_);
}

void ObservedLink::addresses_changed() {
    if (link_) look(*link_);
}

}  // namespace impnetd
