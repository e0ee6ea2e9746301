// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/ip_table.hpp"

#include <string>

namespace impnetd {

Dict describe(const std::optional<IpTable>& table) {
    if (!table) return {{"ipv4", Value{Dict{}}}};
    Dict out;
    const auto put = [&](const char* key, const std::optional<Ipv4>& address) {
        if (address && !address->is_zero()) out[key] = Value{address->text()};
    };
    put("address", table->network.address);
    put("netmask", table->network.netmask());
    put("broadcast", table->broadcast);
    put("gateway", table->gateway);
    put("dhcpserver", table->dhcp_server);
    if (!table->dns.empty()) {
        std::vector<std::string> servers;
        for (const auto& address : table->dns) servers.push_back(address.text());
        out["dnsserver"] = Value{std::move(servers)};
    }
    if (table->proxy)
        out["proxy"] = Value{Dict{{"address", Value{table->proxy->address}},
                                  {"port", Value{std::int64_t{table->proxy->port}}},
                                  {"type", Value{table->proxy->type}},
                                  {"user", Value{table->proxy->username}}}};
    return {{"ipv4", Value{std::move(out)}}};
}

}  // namespace impnetd
