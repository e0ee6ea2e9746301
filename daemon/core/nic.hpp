// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A NIC: what a program opens an interface with (the guide's network interface configuration). A
// plain NIC names the interface alone; an extended one brings its own configuration, which is never
// written to disk.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/dict.hpp"
#include "core/error.hpp"
#include "core/ipv4.hpp"
#include "core/nii.hpp"
#include "core/secret.hpp"
#include "core/table.hpp"

namespace impnetd {

struct WifiConfig {
    std::string ssid;  ///< 1-32 bytes
    Secret key;        ///< none: an open network; else 8-63 bytes, or 64 hex digits

    friend bool operator==(const WifiConfig&, const WifiConfig&) = default;
};

struct StaticConfig {
    Ipv4Network network;
    Ipv4 gateway;
    std::vector<Ipv4> dns;  ///< 1-2

    friend bool operator==(const StaticConfig&, const StaticConfig&) = default;
};

struct ProxyConfig {
    std::string type;     ///< "http"
    std::string address;  ///< 1-64 bytes
    std::uint16_t port = 0;
    std::string username;  ///< at most 32 bytes
    Secret password;       ///< at most 32 bytes as text

    friend bool operator==(const ProxyConfig&, const ProxyConfig&) = default;
};

struct CellConfig {
    std::string apn;
    std::string username;
    Secret password;

    friend bool operator==(const CellConfig&, const CellConfig&) = default;
};

struct Nic {
    std::string interface;  ///< an NII or a class name, as given
    Nii nii;                ///< what it resolves to
    std::optional<WifiConfig> wifi;
    std::optional<StaticConfig> static_network;
    std::optional<ProxyConfig> proxy;
    std::optional<CellConfig> cell;

    bool extended() const { return wifi || static_network || proxy || cell; }

    friend bool operator==(const Nic&, const Nic&) = default;
};

/// Unknown keys, wrong types, malformed values and parts that do not fit the interface's class are
/// InvalidArgument naming the key ("staticconfig.netmask"); an `interface` that is no NII is
/// NoSuchInterface.
Result<Nic> parse_nic(const Dict& dict);

/// The parts by themselves: what is wrong is rejected in the table.
WifiConfig read_wifi(Table& table);
StaticConfig read_static(Table& table);
ProxyConfig read_proxy(Table& table);
CellConfig read_cell(Table& table);

/// The NIC as a dictionary again, without its secrets: what other callers may see.
Dict describe(const Nic& nic);
/// With its secrets, all of them sealed: what `Open` takes.
Dict describe_sealed(const Nic& nic);
/// A static address by itself.
Dict describe(const StaticConfig& part);

}  // namespace impnetd
