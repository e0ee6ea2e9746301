// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The messages that we send the kernel, one function for each.
#pragma once

#include <cstdint>

#include "core/ipv4.hpp"
#include "core/link.hpp"
#include "netlink/socket.hpp"

namespace impnetd::netlink {

RequestMessage power_request(int ifindex, bool up);
RequestMessage mtu_request(int ifindex, std::uint32_t mtu);
/// Adds the address, or renews its lifetime.
RequestMessage assign_request(int ifindex, const AddressAssignment& address);
RequestMessage withdraw_request(int ifindex, const Ipv4Network& network);

RequestMessage settings_request(int ifindex);
/// All but the switch that turns IPv6 off: there is no message for that.
RequestMessage configure_request(int ifindex, const LinkSettings& settings);

RequestMessage counters_request(int ifindex);

RequestMessage links_dump_request();
RequestMessage addresses_dump_request();
/// The main table, where the kernel can choose; else all IPv4 routes.
RequestMessage routes_dump_request();

}  // namespace impnetd::netlink
