// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a connected interface has: the guide's `ipv4` table.
#pragma once

#include <optional>
#include <vector>

#include "core/ipv4.hpp"
#include "core/nic.hpp"

namespace impnetd {

struct IpTable {
    Ipv4Network network;
    std::optional<Ipv4> broadcast;
    std::optional<Ipv4> gateway;
    std::optional<Ipv4> dhcp_server;  ///< nothing with a static address
    std::vector<Ipv4> dns;
    std::optional<ProxyConfig> proxy;

    friend bool operator==(const IpTable&, const IpTable&) = default;
};

/// `{ipv4: {address, netmask, broadcast, gateway, dhcpserver, dnsserver, proxy}}`; what is not
/// known is left out; without a table, everything.
Dict describe(const std::optional<IpTable>& table);

}  // namespace impnetd
