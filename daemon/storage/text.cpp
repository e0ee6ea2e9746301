// SPDX-License-Identifier: LGPL-2.1-or-later
#include "storage/text.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <set>
#include <stdexcept>
#include <utility>
#include <vector>

#include <sodium.h>
#include <toml++/toml.h>

#include "config/entry.hpp"

namespace impnetd::storage {

namespace {

using config::Entry;
using config::Key;

/// Of the text. A reader knows it and those before it.
constexpr std::int64_t version = 1;
constexpr int base64 = sodium_base64_VARIANT_ORIGINAL;

// --- Writing ------------------------------------------------------------------------------------

std::string quoted(std::string_view text) {
    constexpr std::string_view hex = "0123456789abcdef";
    std::string out = "\"";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f) {
            out += "\\u00";
            out += hex[byte >> 4];
            out += hex[byte & 0xf];
            continue;
        }
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + '"';
}

std::string quoted(const Secret& secret) {
    const auto* blob = std::get_if<SealedBlob>(&secret);
    if (blob == nullptr) {
        if (!is_none(secret)) throw std::logic_error("a secret that nobody has sealed");
        return "\"\"";
    }
    std::string text(sodium_base64_ENCODED_LEN(blob->size(), base64), '\0');
    sodium_bin2base64(text.data(), text.size(), blob->data(), blob->size(), base64);
    text.pop_back();  // the terminator
    return quoted(text);
}

template <typename Values, typename AsText>
std::string list(const Values& values, AsText as_text) {
    std::string out;
    for (const auto& value : values) out += (out.empty() ? "" : ", ") + quoted(as_text(value));
    return "[" + out + "]";
}

class Writer {
  public:
    void header(const std::string& name) { text_ += "\n[" + name + "]\n"; }
    void line(std::string_view key, const std::string& value) {
        text_ += key;
        text_ += " = " + value + "\n";
    }
    std::string take() { return std::move(text_); }

  private:
    std::string text_ =
        "# Written by impnetd, with each change that is asked for over the bus. Edit it only "
        "while\n"
        "# impnetd does not run.\n";
};

void write_interface(Writer& out, const StoredConfiguration& stored, Nii nii) {
    const auto name = "interfaces." + nii.text();
    if (!stored.enabled(nii)) {
        out.header(name);
        out.line("enabled", "false");
    }
    if (const auto part = stored.static_network(nii)) {
        out.header(name + ".static-network");
        out.line("ip", quoted(part->network.address.text()));
        out.line("netmask", quoted(part->network.netmask().text()));
        out.line("gateway", quoted(part->gateway.text()));
        out.line("dns", list(part->dns, [](Ipv4 address) { return address.text(); }));
    }
    if (const auto part = stored.wifi.find(nii); part != stored.wifi.end()) {
        out.header(name + ".wifi");
        out.line("ssid", quoted(part->second.ssid));
        out.line("key", quoted(part->second.key));
    }
    if (const auto part = stored.wifi_hints.find(nii); part != stored.wifi_hints.end()) {
        out.header(name + ".wifi-hints");
        const auto& hints = part->second;
        if (hints.bssid) out.line("bssid", quoted(hints.bssid->text()));
        if (hints.channel) out.line("channel", std::to_string(*hints.channel));
    }
}

std::set<Nii> interfaces_of(const StoredConfiguration& stored) {
    std::set<Nii> out = stored.disabled;
    for (const auto& [nii, part] : stored.static_networks) out.insert(nii);
    for (const auto& [nii, part] : stored.wifi) out.insert(nii);
    for (const auto& [nii, part] : stored.wifi_hints) out.insert(nii);
    return out;
}

// --- Reading ------------------------------------------------------------------------------------

/// A dictionary as the bus would hand it over, for the rules to read. Of `secrets` the blobs.
Result<Dict> dict_of(const Entry& entry, std::initializer_list<std::string_view> secrets) {
    const auto table = entry.table();
    if (!table) return tl::unexpected(table.error());
    const auto text_of = [](const Entry& child) -> Result<std::string> {
        auto text = child.text();
        if (text && text->find('\0') != std::string::npos) return child.refuse("has a NUL in it");
        return text;
    };
    const auto blob_of = [&](const Entry& child) -> Result<Value> {
        const auto text = text_of(child);
        if (!text) return tl::unexpected(text.error());
        if (text->empty()) return Value{*text};
        SealedBlob blob(text->size());
        std::size_t size = 0;
        if (sodium_base642bin(blob.data(), blob.size(), text->data(), text->size(), nullptr, &size,
                              nullptr, base64) != 0 ||
            size == 0)
            return child.refuse("not base64");
        blob.resize(size);
        return Value{std::move(blob)};
    };
    const auto texts_of = [&](const Entry& child, const toml::array& array) -> Result<Value> {
        std::vector<std::string> texts;
        for (const auto& element : array) {
            const auto text = text_of(child.element(element));
            if (!text) return tl::unexpected(text.error());
            texts.push_back(*text);
        }
        return Value{std::move(texts)};
    };
    const auto value_of = [&](std::string_view key, const Entry& child,
                              const toml::node& value) -> Result<Value> {
        if (std::find(secrets.begin(), secrets.end(), key) != secrets.end()) return blob_of(child);
        if (const auto* array = value.as_array()) return texts_of(child, *array);
        if (const auto* number = value.as_integer()) return Value{number->get()};
        return text_of(child).map([](std::string text) { return Value{std::move(text)}; });
    };
    Dict out;
    for (const auto& [key, value] : **table) {
        auto read = value_of(key.str(), entry.at(key, value), value);
        if (!read) return tl::unexpected(read.error());
        out.emplace(key.str(), std::move(*read));
    }
    return out;
}

/// What the rules say is wrong, with its place.
template <typename Parsed>
Result<> store(const Entry& entry, const Result<Parsed>& parsed, const auto& take) {
    if (!parsed) return entry.refuse(parsed.error().message);
    take(*parsed);
    return {};
}

struct OfInterface {
    StoredConfiguration& stored;
    Nii nii;
};

Result<Dict> dict_for(const OfInterface& target, const Entry& entry,
                      std::initializer_list<std::string_view> secrets) {
    auto dict = dict_of(entry, secrets);
    if (!dict) return dict;
    if (dict->contains("interface")) return entry.refuse("interface: unknown key");
    (*dict)["interface"] = Value{target.nii.text()};
    return dict;
}

Result<> read_enabled(OfInterface& target, const Entry& entry) {
    return entry.boolean().map([&](bool enabled) {
        if (!enabled) target.stored.disabled.insert(target.nii);
    });
}

Result<> read_static_network(OfInterface& target, const Entry& entry) {
    const auto dict = dict_for(target, entry, {});
    if (!dict) return tl::unexpected(dict.error());
    return store(entry, parse_static_configuration(*dict), [&](const auto& parsed) {
        target.stored.static_networks[target.nii] = parsed.part;
    });
}

Result<> read_wifi(OfInterface& target, const Entry& entry) {
    const auto dict = dict_for(target, entry, {"key"});
    if (!dict) return tl::unexpected(dict.error());
    return store(entry, parse_wifi_configuration(*dict),
                 [&](const auto& parsed) { target.stored.wifi[target.nii] = parsed.part; });
}

struct HintTexts {
    std::string bssid;
    std::int32_t channel = -1;
};

constexpr std::array<Key<HintTexts>, 2> hint_keys{{
    {"bssid",
     [](HintTexts& hints, const Entry& entry) {
         return entry.text().map([&](std::string text) { hints.bssid = std::move(text); });
     }},
    {"channel",
     [](HintTexts& hints, const Entry& entry) {
         constexpr auto most = std::numeric_limits<std::int32_t>::max();
         return entry.whole(1, most).map(
             [&](std::int64_t channel) { hints.channel = static_cast<std::int32_t>(channel); });
     }},
}};

Result<> read_wifi_hints(OfInterface& target, const Entry& entry) {
    HintTexts texts;
    if (auto done = read_table(texts, entry, hint_keys); !done) return done;
    return store(entry, parse_wifi_hints(target.nii.text(), texts.bssid, texts.channel),
                 [&](const auto& parsed) { target.stored.wifi_hints[target.nii] = parsed.part; });
}

constexpr std::array<Key<OfInterface>, 4> interface_keys{{
    {"enabled", read_enabled},
    {"static-network", read_static_network},
    {"wifi", read_wifi},
    {"wifi-hints", read_wifi_hints},
}};

Result<> read_interfaces(StoredConfiguration& stored, const Entry& entry) {
    const auto table = entry.table();
    if (!table) return tl::unexpected(table.error());
    for (const auto& [name, value] : **table) {
        const auto child = entry.at(name, value);
        const auto nii = Nii::parse(name.str());
        if (!nii) return child.refuse("not an interface");
        OfInterface target{stored, *nii};
        if (auto done = read_table(target, child, interface_keys); !done) return done;
    }
    return {};
}

Result<> read_proxy(StoredConfiguration& stored, const Entry& entry) {
    const auto dict = dict_of(entry, {"password"});
    if (!dict) return tl::unexpected(dict.error());
    return store(entry, parse_proxy_configuration(*dict),
                 [&](const auto& parsed) { stored.proxy = parsed; });
}

Result<> read_cellular(StoredConfiguration& stored, const Entry& entry) {
    const auto dict = dict_of(entry, {"password", "pin"});
    if (!dict) return tl::unexpected(dict.error());
    return store(entry, parse_cellular_configuration(*dict),
                 [&](const auto& parsed) { stored.cellular = parsed; });
}

Result<> read_first_choice(StoredConfiguration& stored, const Entry& entry) {
    const auto text = entry.text();
    if (!text) return tl::unexpected(text.error());
    stored.first_choice = Nii::parse(*text);
    if (!stored.first_choice) return entry.refuse("not an interface");
    return {};
}

Result<> read_server_order(StoredConfiguration& stored, const Entry& entry) {
    const auto list = entry.list();
    if (!list) return tl::unexpected(list.error());
    std::vector<std::string> niis;
    for (const auto& element : **list) {
        const auto text = entry.element(element).text();
        if (!text) return tl::unexpected(text.error());
        niis.push_back(*text);
    }
    return store(entry, parse_server_order(niis),
                 [&](const auto& order) { stored.server_order = order; });
}

/// There is one version so far. A text of an earlier one would be brought up to date after this,
/// before its keys are read.
Result<> read_version(StoredConfiguration& /*stored*/, const Entry& entry) {
    const auto number = entry.whole(1, std::numeric_limits<std::int64_t>::max());
    if (!number) return tl::unexpected(number.error());
    if (*number > version)
        return entry.refuse("written by a later version of impnetd", ErrorCode::not_supported);
    return {};
}

constexpr std::array<Key<StoredConfiguration>, 6> keys{{
    {"version", read_version},
    {"first-choice", read_first_choice},
    {"server-order", read_server_order},
    {"proxy", read_proxy},
    {"cellular", read_cellular},
    {"interfaces", read_interfaces},
}};

}  // namespace

std::string write_text(const StoredConfiguration& stored) {
    const auto name = [](Nii nii) { return nii.text(); };
    Writer out;
    out.line("version", std::to_string(version));
    if (stored.first_choice) out.line("first-choice", quoted(stored.first_choice->text()));
    if (!stored.server_order.empty()) out.line("server-order", list(stored.server_order, name));
    if (stored.proxy) {
        out.header("proxy");
        out.line("type", quoted(stored.proxy->type));
        out.line("address", quoted(stored.proxy->address));
        out.line("port", std::to_string(stored.proxy->port));
        out.line("username", quoted(stored.proxy->username));
        out.line("password", quoted(stored.proxy->password));
    }
    if (stored.cellular) {
        out.header("cellular");
        out.line("apn", quoted(stored.cellular->cell.apn));
        out.line("username", quoted(stored.cellular->cell.username));
        out.line("password", quoted(stored.cellular->cell.password));
        out.line("pin", quoted(stored.cellular->pin));
    }
    for (const auto nii : interfaces_of(stored)) write_interface(out, stored, nii);
    return out.take();
}

Result<StoredConfiguration> parse_text(std::string_view text, const std::string& file) {
    try {
        const auto parsed = toml::parse(text);
        const Entry whole(file, {}, 1, parsed);
        StoredConfiguration stored;
        // Before anything else: what a later version writes is not for us to judge.
        const auto found = parsed.find("version");
        if (found == parsed.end())
            return tl::unexpected(config::complaint(file, 1, "version: missing"));
        if (auto done = read_version(stored, whole.at(found->first, found->second)); !done)
            return tl::unexpected(done.error());
        if (auto done = read_table(stored, whole, keys); !done) return tl::unexpected(done.error());
        return stored;
    } catch (const toml::parse_error& error) {
        return tl::unexpected(
            config::complaint(file, error.source().begin.line, error.description()));
    }
}

}  // namespace impnetd::storage
