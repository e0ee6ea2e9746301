// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the DHCP client reports, from bytes to values, by one pure function. All of it comes from
// whoever answers on the network, so nothing is believed: without a sound address, mask and lease
// time there is no lease, and the error says what was wrong with it. Facts that one can do without
// (gateway, DNS, server) are left out when they name no host or this one itself, as the guide
// leaves out a field that would be 0.0.0.0; a misconfigured server should not cost the connection.
// A public address is as good as a private one: it is the network's to give. What sockets may send
// to is decided elsewhere, and does not change with it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/error.hpp"
#include "core/lease.hpp"

namespace impnetd {

struct LeaseEvent {
    enum class Kind : std::uint8_t {
        deconfigured,  ///< no address: at the client's start, and when it gives one up
        obtained,
        renewed,
        refused,     ///< the server said no (DHCPNAK)
        unanswered,  ///< it offered an address and then stayed silent
    };

    Kind kind = Kind::deconfigured;
    Lease lease;          ///< obtained, renewed
    std::string message;  ///< refused: what the server gave as its reason, printable ASCII

    friend bool operator==(const LeaseEvent&, const LeaseEvent&) = default;
};

/// Text from outside as part of a message: printable ASCII, the rest as '?', at most 80 characters.
std::string printable(std::string_view text);

/// Reads one record of `report_format.hpp`.
Result<LeaseEvent> parse_lease_report(std::string_view record);

}  // namespace impnetd
