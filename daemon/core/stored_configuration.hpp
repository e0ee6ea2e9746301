// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the administrator has set over the bus and what survives everything: the guide's stored
// configuration. A plain NIC connects with it. It is a value; `storage/` keeps it on disk.
//
// Of each of its secrets it holds the sealed blob only.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/dict.hpp"
#include "core/error.hpp"
#include "core/link.hpp"
#include "core/nic.hpp"
#include "core/nii.hpp"

namespace impnetd {

/// Where to look first for the network, so that joining is quicker.
struct WifiHints {
    std::optional<MacAddress> bssid;
    std::optional<int> channel;

    friend bool operator==(const WifiHints&, const WifiHints&) = default;
};

/// For every cellular interface: there is one SIM.
struct CellularConfiguration {
    CellConfig cell;
    Secret pin;  ///< none: the SIM asks for none

    friend bool operator==(const CellularConfiguration&, const CellularConfiguration&) = default;
};

struct StoredConfiguration {
    std::set<Nii> disabled;
    std::map<Nii, StaticConfig> static_networks;
    std::optional<ProxyConfig> proxy;
    std::map<Nii, WifiConfig> wifi;
    std::map<Nii, WifiHints> wifi_hints;
    std::optional<CellularConfiguration> cellular;
    std::vector<Nii> server_order;  ///< as it was set: each once; empty: the default order
    std::optional<Nii> first_choice;

    bool enabled(Nii nii) const { return !disabled.contains(nii); }
    /// Nothing: by DHCP.
    std::optional<StaticConfig> static_network(Nii nii) const;

    friend bool operator==(const StoredConfiguration&, const StoredConfiguration&) = default;
};

// What the methods of org.impnet1.Manager take. Errors are InvalidArgument naming the key, or
// NoSuchInterface.

/// What is stored for one interface: with the key `interface`, or for its class's primary one.
template <typename Part>
struct ForInterface {
    Nii nii;
    Part part;
};
Result<ForInterface<WifiConfig>> parse_wifi_configuration(const Dict& dict);
Result<ForInterface<StaticConfig>> parse_static_configuration(const Dict& dict);
Result<ProxyConfig> parse_proxy_configuration(const Dict& dict);
Result<CellularConfiguration> parse_cellular_configuration(const Dict& dict);
/// "" and -1: no hint. `nii`: of a Wi-Fi interface.
Result<ForInterface<WifiHints>> parse_wifi_hints(const std::string& nii, const std::string& bssid,
                                                 std::int32_t channel);
/// Each once.
Result<std::vector<Nii>> parse_server_order(const std::vector<std::string>& niis);

/// `wifi` (with its hints), `static-network`, `proxy`, `cellular`, or `all` of these. Which
/// interfaces are enabled and which serve is no network configuration, and stays. Nothing has
/// changed when it fails.
Result<> clear(StoredConfiguration& stored, const std::vector<std::string>& what);

/// In which order interfaces serve: as it was set, or else the first choice first; then those left
/// of `present`, which is in the default order.
std::vector<Nii> serving_order(const StoredConfiguration& stored, const std::vector<Nii>& present);

/// What the interface connects with when it is opened by its name alone, as an extended NIC.
Nic nic_of(const StoredConfiguration& stored, Nii nii);

}  // namespace impnetd
