// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/stored_configuration.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "core/quote.hpp"
#include "core/table.hpp"

namespace impnetd {

namespace {

constexpr std::size_t most_interfaces = 64;
/// 2.4, 5 and 6 GHz count their channels from 1; the highest is of 6 GHz.
constexpr std::int32_t highest_channel = 233;

/// The interface a dictionary is for, if it says so.
Nii read_interface(Table& table, InterfaceClass primary_of) {
    const Nii otherwise{primary_of, 0};
    if (!table.has("interface")) return otherwise;
    const auto text = table.text("interface", 1, 64);
    if (!table.good()) return otherwise;
    const auto nii = Nii::resolve(text);
    if (!nii)
        table.reject("interface", "no NII \"" + shortened(text) + "\"",
                     ErrorCode::no_such_interface);
    return nii.value_or(otherwise);
}

bool is_pin(std::string_view text) {
    return text.size() >= 4 && text.size() <= 8 &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

template <typename Part>
Result<Part> finish(Table& table, Part part) {
    if (auto done = table.finish(); !done) return tl::unexpected<Error>(done.error());
    return part;
}

struct Clearing {
    std::string_view word;
    void (*clear)(StoredConfiguration& stored);
};

constexpr std::array<Clearing, 4> clearings{{
    {"wifi",
     [](StoredConfiguration& stored) {
         stored.wifi.clear();
         stored.wifi_hints.clear();
     }},
    {"static-network", [](StoredConfiguration& stored) { stored.static_networks.clear(); }},
    {"proxy", [](StoredConfiguration& stored) { stored.proxy.reset(); }},
    {"cellular", [](StoredConfiguration& stored) { stored.cellular.reset(); }},
}};

}  // namespace

std::optional<StaticConfig> StoredConfiguration::static_network(Nii nii) const {
    const auto found = static_networks.find(nii);
    if (found == static_networks.end()) return std::nullopt;
    return found->second;
}

Result<ForInterface<WifiConfig>> parse_wifi_configuration(const Dict& dict) {
    Table table(dict, "");
    ForInterface<WifiConfig> out{read_interface(table, InterfaceClass::wifi), read_wifi(table)};
    if (out.nii.interface_class != InterfaceClass::wifi)
        table.reject("interface", "not a Wi-Fi interface");
    return finish(table, std::move(out));
}

Result<ForInterface<StaticConfig>> parse_static_configuration(const Dict& dict) {
    Table table(dict, "");
    ForInterface<StaticConfig> out{read_interface(table, InterfaceClass::ethernet),
                                   read_static(table)};
    if (out.nii.interface_class == InterfaceClass::cell)
        table.reject("interface", "a cellular interface has no static address");
    return finish(table, std::move(out));
}

Result<ProxyConfig> parse_proxy_configuration(const Dict& dict) {
    Table table(dict, "");
    return finish(table, read_proxy(table));
}

Result<CellularConfiguration> parse_cellular_configuration(const Dict& dict) {
    Table table(dict, "");
    CellularConfiguration out{read_cell(table), table.secret("pin", 8, false)};
    const auto* pin = std::get_if<SecretText>(&out.pin);
    if (pin != nullptr && !pin->empty() && !is_pin(pin->reveal()))
        table.reject("pin", "not 4 to 8 digits");
    return finish(table, std::move(out));
}

Result<ForInterface<WifiHints>> parse_wifi_hints(const std::string& nii, const std::string& bssid,
                                                 std::int32_t channel) {
    const auto resolved = Nii::resolve(nii);
    if (!resolved)
        return fail(ErrorCode::no_such_interface, "nii: no NII \"" + shortened(nii) + "\"");
    if (resolved->interface_class != InterfaceClass::wifi)
        return fail(ErrorCode::invalid_argument, "nii: not a Wi-Fi interface");
    WifiHints hints;
    if (!bssid.empty()) {
        constexpr std::size_t digits = 12;
        if (bssid.size() == digits) hints.bssid = MacAddress::parse(bssid);
        if (!hints.bssid) return fail(ErrorCode::invalid_argument, "bssid: not 12 hex digits");
    }
    if (channel != -1) {
        if (channel < 1 || channel > highest_channel)
            return fail(ErrorCode::invalid_argument,
                        "channel: not -1 or 1 to " + std::to_string(highest_channel));
        hints.channel = channel;
    }
    return ForInterface<WifiHints>{*resolved, hints};
}

Result<std::vector<Nii>> parse_server_order(const std::vector<std::string>& niis) {
    if (niis.size() > most_interfaces)
        return fail(ErrorCode::invalid_argument,
                    "niis: more than " + std::to_string(most_interfaces) + " entries");
    std::vector<Nii> out;
    for (const auto& text : niis) {
        const auto nii = Nii::resolve(text);
        if (!nii)
            return fail(ErrorCode::no_such_interface, "niis: no NII \"" + shortened(text) + "\"");
        if (std::find(out.begin(), out.end(), *nii) != out.end())
            return fail(ErrorCode::invalid_argument, "niis: " + nii->text() + " comes twice");
        out.push_back(*nii);
    }
    return out;
}

Result<> clear(StoredConfiguration& stored, const std::vector<std::string>& what) {
    if (what.empty()) return fail(ErrorCode::invalid_argument, "what: empty");
    StoredConfiguration cleared = stored;
    for (const auto& word : what) {
        bool known = false;
        for (const auto& clearing : clearings) {
            if (word != "all" && word != clearing.word) continue;
            known = true;
            clearing.clear(cleared);
        }
        if (!known)
            return fail(ErrorCode::invalid_argument,
                        "what: \"" + shortened(word) +
                            "\" is not wifi, static-network, proxy, cellular or all");
    }
    stored = std::move(cleared);
    return {};
}

std::vector<Nii> serving_order(const StoredConfiguration& stored, const std::vector<Nii>& present) {
    auto order = stored.server_order;
    if (order.empty() && stored.first_choice) order.push_back(*stored.first_choice);
    for (const auto nii : present)
        if (std::find(order.begin(), order.end(), nii) == order.end()) order.push_back(nii);
    return order;
}

Nic nic_of(const StoredConfiguration& stored, Nii nii) {
    Nic nic;
    nic.interface = nii.text();
    nic.nii = nii;
    if (nii.interface_class == InterfaceClass::cell) {
        if (stored.cellular) nic.cell = stored.cellular->cell;
        return nic;
    }
    if (const auto found = stored.wifi.find(nii); found != stored.wifi.end())
        nic.wifi = found->second;
    nic.static_network = stored.static_network(nii);
    nic.proxy = stored.proxy;
    return nic;
}

}  // namespace impnetd
