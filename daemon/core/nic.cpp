// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/nic.hpp"

#include <algorithm>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "core/quote.hpp"

namespace impnetd {

namespace {

/// What goes wrong inside a NIC is known by its path, so that the message can name the key.
std::string path(std::string_view prefix, std::string_view key) {
    return prefix.empty() ? shortened(key) : std::string(prefix) + "." + shortened(key);
}

tl::unexpected<Error> invalid(std::string_view prefix, std::string_view key, std::string_view why) {
    return fail(ErrorCode::invalid_argument, path(prefix, key) + ": " + std::string(why));
}

/// One dictionary of the NIC: takes keys out one by one, remembers the first error, and at the end
/// refuses what nobody asked for.
class Table {
  public:
    Table(const Dict& dict, std::string_view prefix) : dict_(dict), prefix_(prefix) {}

    const Value* find(std::string_view key, bool required) {
        known_.emplace_back(key);
        const auto found = dict_.find(std::string(key));
        if (found != dict_.end()) return &found->second;
        if (required) reject(key, "missing");
        return nullptr;
    }

    std::string text(std::string_view key, std::size_t least, std::size_t most,
                     bool required = true) {
        const auto* value = find(key, required);
        if (value == nullptr) return {};
        const auto* text = std::get_if<std::string>(&value->content);
        if (text == nullptr) {
            reject(key, "not a string");
            return {};
        }
        check_length(key, text->size(), least, most);
        return *text;
    }

    Secret secret(std::string_view key, std::size_t most, bool required) {
        const auto* value = find(key, required);
        if (value == nullptr) return {};
        if (const auto* text = std::get_if<std::string>(&value->content)) {
            check_length(key, text->size(), 0, most);
            return *text;
        }
        if (const auto* blob = std::get_if<std::vector<std::uint8_t>>(&value->content)) {
            check_length(key, blob->size(), 1, 1024);
            return *blob;
        }
        reject(key, "neither a string nor a byte array");
        return {};
    }

    Ipv4 address(std::string_view key) {
        const auto* value = find(key, true);
        if (value == nullptr) return {};
        const auto* text = std::get_if<std::string>(&value->content);
        if (text == nullptr) {
            reject(key, "not a string");
            return {};
        }
        const auto parsed = Ipv4::parse(*text);
        if (!parsed) reject(key, "not a dotted quad");
        return parsed.value_or(Ipv4{});
    }

    std::vector<Ipv4> addresses(std::string_view key, std::size_t least, std::size_t most) {
        const auto* value = find(key, true);
        if (value == nullptr) return {};
        const auto* texts = std::get_if<std::vector<std::string>>(&value->content);
        if (texts == nullptr) {
            reject(key, "not an array of strings");
            return {};
        }
        std::vector<Ipv4> out;
        for (const auto& text : *texts) {
            const auto parsed = Ipv4::parse(text);
            if (!parsed || parsed->is_zero())
                reject(key, "has an entry that is no usable dotted quad");
            out.push_back(parsed.value_or(Ipv4{}));
        }
        if (out.size() < least || out.size() > most)
            reject(key,
                   "needs " + std::to_string(least) + " to " + std::to_string(most) + " entries");
        return out;
    }

    std::uint16_t port(std::string_view key) {
        const auto* value = find(key, true);
        if (value == nullptr) return 0;
        const auto* number = std::get_if<std::int64_t>(&value->content);
        if (number == nullptr) {
            reject(key, "not a number");
            return 0;
        }
        if (*number < 1 || *number > 65535) reject(key, "not a port from 1 to 65535");
        return static_cast<std::uint16_t>(*number);
    }

    /// A dictionary inside this one, if it is there.
    const Dict* table(std::string_view key) {
        const auto* value = find(key, false);
        if (value == nullptr) return nullptr;
        const auto* dict = std::get_if<Dict>(&value->content);
        if (dict == nullptr) reject(key, "not a dictionary");
        return dict;
    }

    void reject(std::string_view key, std::string_view why) {
        if (!error_) error_ = invalid(prefix_, key, why).value();
    }

    Result<> finish() {
        for (const auto& [key, value] : dict_)
            if (std::find(known_.begin(), known_.end(), key) == known_.end())
                reject(key, "unknown key");
        if (error_) return tl::unexpected<Error>(*error_);
        return {};
    }

  private:
    void check_length(std::string_view key, std::size_t size, std::size_t least, std::size_t most) {
        if (size >= least && size <= most) return;
        reject(key, least == 0 ? "longer than " + std::to_string(most) + " bytes"
                               : "not " + std::to_string(least) + " to " + std::to_string(most) +
                                     " bytes long");
    }

    const Dict& dict_;
    std::string_view prefix_;
    std::vector<std::string> known_;
    std::optional<Error> error_;
};

Result<WifiConfig> parse_wifi(const Dict& dict) {
    Table table(dict, "wificonfig");
    WifiConfig out{table.text("ssid", 1, 32), table.secret("key", 64, true)};
    if (auto done = table.finish(); !done) return tl::unexpected<Error>(done.error());
    return out;
}

Result<StaticConfig> parse_static(const Dict& dict) {
    constexpr std::string_view prefix = "staticconfig";
    Table table(dict, prefix);
    const auto ip = table.address("ip");
    const auto netmask = table.address("netmask");
    StaticConfig out;
    out.gateway = table.address("gateway");
    out.dns = table.addresses("dns", 1, 2);
    if (auto done = table.finish(); !done) return tl::unexpected<Error>(done.error());

    const auto network = Ipv4Network::from_netmask(ip, netmask);
    if (!network || network->prefix == 0 || network->prefix > 30)
        return invalid(prefix, "netmask",
                       "not a contiguous netmask from 128.0.0.0 to 255.255.255.252");
    if (!is_host_address(*network))
        return invalid(prefix, "ip", "not an address that a host can have in this subnet");
    if (!network->contains(out.gateway) || out.gateway == network->network() ||
        out.gateway == network->broadcast() || out.gateway == ip)
        return invalid(prefix, "gateway", "not another host's address inside the subnet");
    out.network = *network;
    return out;
}

Result<ProxyConfig> parse_proxy(const Dict& dict) {
    Table table(dict, "proxyconfig");
    ProxyConfig out;
    out.type = table.text("type", 1, 16);
    out.address = table.text("address", 1, 64);
    out.port = table.port("port");
    out.username = table.text("username", 0, 32, false);
    out.password = table.secret("password", 32, false);
    if (!out.type.empty() && out.type != "http") table.reject("type", "not \"http\"");
    if (auto done = table.finish(); !done) return tl::unexpected<Error>(done.error());
    return out;
}

Result<CellConfig> parse_cell(const Dict& dict) {
    Table table(dict, "cellconfig");
    CellConfig out{table.text("apn", 1, 100), table.text("username", 0, 64, false),
                   table.secret("password", 64, false)};
    if (auto done = table.finish(); !done) return tl::unexpected<Error>(done.error());
    return out;
}

/// Parses the part under `key` into `slot`, if it is there.
template <typename Part>
Result<> parse_part(Table& nic, std::string_view key, Result<Part> (*parse)(const Dict&),
                    std::optional<Part>& slot) {
    const auto* dict = nic.table(key);
    if (dict == nullptr) return {};
    auto part = parse(*dict);
    if (!part) return tl::unexpected<Error>(part.error());
    slot = std::move(*part);
    return {};
}

Result<> check_class(const Nic& nic) {
    const auto refuse = [&](std::string_view key) {
        return invalid(
            "", key,
            "does not fit an interface of class " + std::string(name(nic.nii.interface_class)));
    };
    const bool wifi = nic.nii.interface_class == InterfaceClass::wifi;
    const bool cell = nic.nii.interface_class == InterfaceClass::cell;
    if (nic.wifi && !wifi) return refuse("wificonfig");
    if (nic.static_network && cell) return refuse("staticconfig");
    if (nic.proxy && cell) return refuse("proxyconfig");
    if (nic.cell && !cell) return refuse("cellconfig");
    return {};
}

Value text_value(std::string text) {
    return Value{std::move(text)};
}

}  // namespace

Result<Nic> parse_nic(const Dict& dict) {
    Table table(dict, "");
    Nic nic;
    nic.interface = table.text("interface", 1, 64);
    for (const auto& done : {parse_part(table, "wificonfig", parse_wifi, nic.wifi),
                             parse_part(table, "staticconfig", parse_static, nic.static_network),
                             parse_part(table, "proxyconfig", parse_proxy, nic.proxy),
                             parse_part(table, "cellconfig", parse_cell, nic.cell)})
        if (!done) return tl::unexpected<Error>(done.error());
    if (auto done = table.finish(); !done) return tl::unexpected<Error>(done.error());

    const auto nii = Nii::resolve(nic.interface);
    if (!nii)
        return fail(ErrorCode::no_such_interface,
                    "interface: no NII \"" + shortened(nic.interface) + "\"");
    nic.nii = *nii;
    if (auto fits = check_class(nic); !fits) return tl::unexpected<Error>(fits.error());
    return nic;
}

Dict describe(const Nic& nic) {
    Dict out;
    out["interface"] = text_value(nic.interface);
    if (nic.wifi) out["wificonfig"] = Value{Dict{{"ssid", text_value(nic.wifi->ssid)}}};
    if (nic.static_network) {
        const auto& part = *nic.static_network;
        std::vector<std::string> dns;
        for (const auto& address : part.dns) dns.push_back(address.text());
        out["staticconfig"] = Value{Dict{{"ip", text_value(part.network.address.text())},
                                         {"netmask", text_value(part.network.netmask().text())},
                                         {"gateway", text_value(part.gateway.text())},
                                         {"dns", Value{std::move(dns)}}}};
    }
    if (nic.proxy)
        out["proxyconfig"] = Value{Dict{{"type", text_value(nic.proxy->type)},
                                        {"address", text_value(nic.proxy->address)},
                                        {"port", Value{std::int64_t{nic.proxy->port}}},
                                        {"username", text_value(nic.proxy->username)}}};
    if (nic.cell)
        out["cellconfig"] = Value{
            Dict{{"apn", text_value(nic.cell->apn)}, {"username", text_value(nic.cell->username)}}};
    return out;
}

}  // namespace impnetd
