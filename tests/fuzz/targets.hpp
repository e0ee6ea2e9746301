// SPDX-License-Identifier: LGPL-2.1-or-later
//
// One function for each parser that sees foreign bytes: gives it the input and demands of the
// outcome what must hold whatever the input was. libFuzzer looks for inputs that break it
// (entry.cpp); the unit tests run the kept ones (`corpus/<target>`).
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>

namespace fuzz {

using Bytes = std::span<const std::uint8_t>;

/// What `Open` takes from any program. The input is a dictionary, as dictionary.hpp reads it.
void nic(Bytes input);
/// A configuration file.
void configuration(Bytes input);
/// A file of a policy.
void policy(Bytes input);
/// A record of impnet-lease-report, full of what some DHCP server said.
void lease_report(Bytes input);
/// An ARP message of whoever is on the LAN.
void arp(Bytes input);
/// A datagram of rtnetlink messages.
void netlink_message(Bytes input);
/// Any sequence of decoded rtnetlink messages, as netlink_model.cpp reads it.
void netlink_model(Bytes input);
/// Messages of the relay, to the daemon and to the client library; relay.cpp cuts them out.
void relay(Bytes input);
/// An interface, or the names of all, that a daemon left behind.
void interface_record(Bytes input);
/// A session that a daemon left behind.
void session_record(Bytes input);
/// The file of the stored configuration.
void stored_configuration(Bytes input);

/// Ends the run unless `holds`; libFuzzer keeps the input, a unit test fails.
inline void demand(bool holds, const char* property) {
    if (!holds) throw std::logic_error(std::string("does not hold: ") + property);
}

}  // namespace fuzz
