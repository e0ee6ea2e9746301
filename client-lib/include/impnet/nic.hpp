// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A NIC: what a program opens an interface with (the guide's network interface configuration). A
// plain NIC names the interface alone, and a string will do for it:
//
//     client.open("eth0", on_state);
//
// An extended NIC brings its own configuration, which the daemon uses for this session and never
// stores. The daemon checks it all; `invalid_argument` names the key at fault.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace impnet {

/// A secret in plain text, or as the encrypted blob that `GetCurrentConfiguration` gave.
using Secret = std::variant<std::string, std::vector<std::byte>>;

/// A static address instead of DHCP (ethernet, Wi-Fi). Dotted quads.
struct StaticConfig {
    std::string ip;
    std::string netmask;
    std::string gateway;
    std::vector<std::string> dns;  ///< one or two
};

/// An HTTP proxy (ethernet, Wi-Fi).
struct ProxyConfig {
    std::string type = "http";
    std::string address;  ///< at most 64 bytes
    std::uint16_t port = 0;
    std::string username;  ///< at most 32 bytes; empty: none
    Secret password;       ///< at most 32 bytes as text; empty: none
};

/// The wireless network to join.
struct WifiConfig {
    std::string ssid;  ///< 1-32 bytes
    Secret key;        ///< empty text: an open network
};

/// The access point of a cellular network.
struct CellConfig {
    std::string apn;
    std::string username;  ///< empty: none
    Secret password;       ///< empty: none
};

struct Nic {
    Nic() = default;
    // Implicit: an NII is a plain NIC.
    // NOLINTBEGIN(google-explicit-constructor)
    Nic(std::string nii) : interface(std::move(nii)) {}
    Nic(std::string_view nii) : interface(nii) {}
    Nic(const char* nii) : interface(nii) {}
    // NOLINTEND(google-explicit-constructor)

    std::string interface;  ///< an instance ("eth0", "wl0", "cell0") or a class ("ethernet", ...)
    std::optional<StaticConfig> staticconfig;
    std::optional<ProxyConfig> proxyconfig;
    std::optional<WifiConfig> wificonfig;
    std::optional<CellConfig> cellconfig;
};

}  // namespace impnet
