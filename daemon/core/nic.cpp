// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/nic.hpp"

#include <algorithm>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "core/quote.hpp"

namespace impnetd {

namespace {

constexpr std::size_t longest_wpa_key = 64;

/// IEEE 802.11, annex J.4: a passphrase of 8 to 63 bytes, or the key itself.
bool is_wpa_key(std::string_view key) {
    const auto is_hex_digit = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    };
    if (key.size() == longest_wpa_key) return std::all_of(key.begin(), key.end(), is_hex_digit);
    return key.size() >= 8 && key.size() < longest_wpa_key;
}

/// Reads the part under `key` into `slot`, if it is there.
template <typename Part>
Result<> parse_part(Table& nic, std::string_view key, Part (*read)(Table&),
                    std::optional<Part>& slot) {
    const auto* dict = nic.table(key);
    if (dict == nullptr) return {};
    Table table(*dict, key);
    auto part = read(table);
    if (auto done = table.finish(); !done) return done;
    slot = std::move(part);
    return {};
}

void check_class(const Nic& nic, Table& table) {
    const auto refuse = [&](std::string_view key) {
        table.reject(key, "does not fit an interface of class " +
                              std::string(name(nic.nii.interface_class)));
    };
    const bool wifi = nic.nii.interface_class == InterfaceClass::wifi;
    const bool cell = nic.nii.interface_class == InterfaceClass::cell;
    if (nic.wifi && !wifi) refuse("wificonfig");
    if (nic.static_network && cell) refuse("staticconfig");
    if (nic.proxy && cell) refuse("proxyconfig");
    if (nic.cell && !cell) refuse("cellconfig");
}

Value text_value(std::string text) {
    return Value{std::move(text)};
}

using WithSecret = void (*)(Dict& dict, const char* key, const Secret& secret);

void leave_out(Dict&, const char*, const Secret&) {}

void put_in(Dict& dict, const char* key, const Secret& secret) {
    if (const auto* blob = std::get_if<SealedBlob>(&secret)) {
        dict[key] = Value{*blob};
        return;
    }
    if (!is_none(secret)) throw std::logic_error("a secret that nobody has sealed");
    dict[key] = text_value("");
}

Dict describe_with(const Nic& nic, WithSecret with_secret) {
    Dict out;
    out["interface"] = text_value(nic.interface);
    if (nic.wifi) {
        Dict part{{"ssid", text_value(nic.wifi->ssid)}};
        with_secret(part, "key", nic.wifi->key);
        out["wificonfig"] = Value{std::move(part)};
    }
    if (nic.static_network) out["staticconfig"] = Value{describe(*nic.static_network)};
    if (nic.proxy) {
        Dict part{{"type", text_value(nic.proxy->type)},
                  {"address", text_value(nic.proxy->address)},
                  {"port", Value{std::int64_t{nic.proxy->port}}},
                  {"username", text_value(nic.proxy->username)}};
        with_secret(part, "password", nic.proxy->password);
        out["proxyconfig"] = Value{std::move(part)};
    }
    if (nic.cell) {
        Dict part{{"apn", text_value(nic.cell->apn)}, {"username", text_value(nic.cell->username)}};
        with_secret(part, "password", nic.cell->password);
        out["cellconfig"] = Value{std::move(part)};
    }
    return out;
}

}  // namespace

WifiConfig read_wifi(Table& table) {
    WifiConfig out{table.text("ssid", 1, 32), table.secret("key", longest_wpa_key, true)};
    const auto* key = std::get_if<SecretText>(&out.key);
    if (key != nullptr && !key->empty() && !is_wpa_key(key->reveal()))
        table.reject("key", "neither 8 to 63 bytes long nor 64 hex digits");
    return out;
}

StaticConfig read_static(Table& table) {
    const auto ip = table.address("ip");
    const auto netmask = table.address("netmask");
    StaticConfig out;
    out.gateway = table.address("gateway");
    out.dns = table.addresses("dns", 1, 2);
    if (!table.good()) return out;

    const auto network = Ipv4Network::from_netmask(ip, netmask);
    if (!network || network->prefix == 0 || network->prefix > 30) {
        table.reject("netmask", "not a contiguous netmask from 128.0.0.0 to 255.255.255.252");
        return out;
    }
    out.network = *network;
    if (!is_host_address(*network))
        table.reject("ip", "not an address that a host can have in this subnet");
    if (!network->contains(out.gateway) || out.gateway == network->network() ||
        out.gateway == network->broadcast() || out.gateway == ip)
        table.reject("gateway", "not another host's address inside the subnet");
    return out;
}

ProxyConfig read_proxy(Table& table) {
    ProxyConfig out;
    out.type = table.text("type", 1, 16);
    out.address = table.text("address", 1, 64);
    out.port = table.port("port");
    out.username = table.text("username", 0, 32, false);
    out.password = table.secret("password", 32, false);
    if (!out.type.empty() && out.type != "http") table.reject("type", "not \"http\"");
    return out;
}

CellConfig read_cell(Table& table) {
    return {table.text("apn", 1, 100), table.text("username", 0, 64, false),
            table.secret("password", 64, false)};
}

Result<Nic> parse_nic(const Dict& dict) {
    Table table(dict, "");
    Nic nic;
    nic.interface = table.text("interface", 1, 64);
    for (const auto& done : {parse_part(table, "wificonfig", read_wifi, nic.wifi),
                             parse_part(table, "staticconfig", read_static, nic.static_network),
                             parse_part(table, "proxyconfig", read_proxy, nic.proxy),
                             parse_part(table, "cellconfig", read_cell, nic.cell)})
        if (!done) return tl::unexpected<Error>(done.error());
    if (auto done = table.finish(); !done) return tl::unexpected<Error>(done.error());

    const auto nii = Nii::resolve(nic.interface);
    if (!nii)
        return fail(ErrorCode::no_such_interface,
                    "interface: no NII \"" + shortened(nic.interface) + "\"");
    nic.nii = *nii;
    check_class(nic, table);
    if (auto fits = table.finish(); !fits) return tl::unexpected<Error>(fits.error());
    return nic;
}

Dict describe(const StaticConfig& part) {
    std::vector<std::string> dns;
    for (const auto& address : part.dns) dns.push_back(address.text());
    return {{"ip", text_value(part.network.address.text())},
            {"netmask", text_value(part.network.netmask().text())},
            {"gateway", text_value(part.gateway.text())},
            {"dns", Value{std::move(dns)}}};
}

Dict describe(const Nic& nic) {
    return describe_with(nic, leave_out);
}

Dict describe_sealed(const Nic& nic) {
    return describe_with(nic, put_in);
}

}  // namespace impnetd
