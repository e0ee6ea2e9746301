// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/configuration.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include <net/if.h>
#include <toml++/toml.h>

#include "config/entry.hpp"
#include "config/files.hpp"
#include "core/link.hpp"
#include "core/nii.hpp"

namespace impnetd {

namespace {

using config::Entry;
using config::Key;

/// Where a rule says which device it is for.
struct Claim {
    std::string_view key;
    std::string place;
};

struct DraftRule {
    InterfaceRule rule;
    std::optional<Claim> claim;
};

/// What the files read so far add up to.
struct Draft {
    Configuration settled;
    std::map<Nii, DraftRule> interfaces;
};

template <typename From, typename To>
Result<> store(Result<From> value, To& place) {
    if (!value) return tl::unexpected(std::move(value.error()));
    place = static_cast<To>(*std::move(value));
    return {};
}

/// Whole or not, kept to the millisecond.
Result<std::chrono::milliseconds> seconds(const Entry& entry, double least) {
    constexpr double an_hour = 3600;
    return entry.number(least, an_hour).map([](double value) {
        return std::chrono::milliseconds(std::llround(value * 1000));
    });
}

// --- [interfaces.<nii>] -------------------------------------------------------------------------

/// Whether the kernel would take it as the name of a device.
bool is_device_name(std::string_view name) {
    const auto allowed = [](unsigned char c) {
        return c != '/' && c != ':' && std::isspace(c) == 0;
    };
    return !name.empty() && name.size() < IFNAMSIZ && name != "." && name != ".." &&
           std::all_of(name.begin(), name.end(), allowed);
}

/// A card's own address: neither a group's nor nobody's.
bool is_card_address(const MacAddress& mac) {
    return (mac.octets[0] & 1) == 0 && mac != MacAddress{};
}

/// One of the three ways to say which device it is; a rule has at most one.
Result<> claim(DraftRule& draft, const Entry& entry, std::string_view key) {
    if (draft.claim && draft.claim->key != key)
        return entry.refuse("the device is given already, by " + std::string(draft.claim->key) +
                            " at " + draft.claim->place);
    draft.claim = Claim{key, entry.place()};
    return {};
}

Result<> read_device(DraftRule& draft, const Entry& entry) {
    const auto name = entry.text();
    if (!name) return tl::unexpected(name.error());
    if (!is_device_name(*name)) return entry.refuse("not the name of a network device");
    draft.rule.device = *name;
    return claim(draft, entry, "device");
}

Result<> read_mac(DraftRule& draft, const Entry& entry) {
    const auto text = entry.text();
    if (!text) return tl::unexpected(text.error());
    const auto mac = MacAddress::parse(*text);
    if (!mac || !is_card_address(*mac))
        return entry.refuse("not the MAC address of a device, like \"52:54:00:12:34:56\"");
    draft.rule.mac = mac;
    return claim(draft, entry, "mac");
}

Result<> read_path(DraftRule& draft, const Entry& entry) {
    const auto path = entry.text();
    if (!path) return tl::unexpected(path.error());
    if (path->empty()) return entry.refuse("empty");
    draft.rule.path = *path;
    return claim(draft, entry, "path");
}

Result<> read_ipv6(DraftRule& draft, const Entry& entry) {
    const auto who = entry.text();
    if (!who) return tl::unexpected(who.error());
    if (*who != "off" && *who != "kernel") return entry.refuse("neither \"off\" nor \"kernel\"");
    draft.rule.kernel_ipv6 = *who == "kernel";
    return {};
}

Result<> read_on_stop(DraftRule& draft, const Entry& entry) {
    const auto what = entry.text();
    if (!what) return tl::unexpected(what.error());
    if (*what != "keep" && *what != "down") return entry.refuse("neither \"keep\" nor \"down\"");
    draft.rule.down_on_stop = *what == "down";
    return {};
}

constexpr std::array<Key<DraftRule>, 7> interface_keys{{
    {"device", read_device},
    {"mac", read_mac},
    {"path", read_path},
    {"managed", [](DraftRule& d, const Entry& e) { return store(e.boolean(), d.rule.managed); }},
    {"always-on",
     [](DraftRule& d, const Entry& e) { return store(e.boolean(), d.rule.always_on); }},
    {"on-stop", read_on_stop},
    {"ipv6", read_ipv6},
}};

Result<> read_interfaces(Draft& draft, const Entry& entry) {
    const auto table = entry.table();
    if (!table) return tl::unexpected(table.error());
    for (const auto& [name, value] : **table) {
        const auto child = entry.at(name, value);
        const auto nii = Nii::parse(name.str());
        if (!nii) return child.refuse("not an interface: these are called eth0, wl0 or cell0");
        if (nii->interface_class != InterfaceClass::ethernet) return child.not_supported();
        auto& interface = draft.interfaces[*nii];
        interface.rule.nii = *nii;
        if (auto done = read_table(interface, child, interface_keys); !done) return done;
    }
    return {};
}

// --- The other tables ---------------------------------------------------------------------------

Result<> read_path_choice(Configuration& config, const Entry& entry) {
    using Choice = Configuration::PathChoice;
    const auto choice = entry.text();
    if (!choice) return tl::unexpected(choice.error());
    if (*choice == "auto")
        config.datapath.path = Choice::automatic;
    else if (*choice == "kernel")
        config.datapath.path = Choice::kernel;
    else if (*choice == "relay")
        config.datapath.path = Choice::relay;
    else
        return entry.refuse("not \"auto\", \"kernel\" or \"relay\"");
    return {};
}

Result<> read_server(Configuration& /*config*/, const Entry& entry) {
    const auto url = entry.text();
    if (!url) return tl::unexpected(url.error());
    if (!url->empty()) return entry.not_supported();
    return {};
}

/// A key of the documentation that waits for its feature.
template <typename Target>
Result<> wait_for_feature(Target& /*target*/, const Entry& entry) {
    return entry.not_supported();
}

constexpr std::array<Key<Configuration>, 3> timeout_keys{{
    {"attempt",
     [](Configuration& c, const Entry& e) { return store(seconds(e, 1), c.timeouts.attempt); }},
    {"attempt-cellular", wait_for_feature},
    {"linger",
     [](Configuration& c, const Entry& e) { return store(seconds(e, 0), c.timeouts.linger); }},
}};

constexpr std::array<Key<Configuration>, 2> limiter_keys{{
    {"burst", [](Configuration& c,
                 const Entry& e) { return store(e.whole(1, 1'000'000), c.limiter.burst); }},
    {"rate", [](Configuration& c,
                const Entry& e) { return store(e.number(0, 1'000'000), c.limiter.rate); }},
}};

constexpr std::array<Key<Configuration>, 2> datapath_keys{{
    {"path", read_path_choice},
    {"ttl",
     [](Configuration& c, const Entry& e) { return store(e.whole(1, 255), c.datapath.ttl); }},
}};

constexpr std::array<Key<Configuration>, 3> limit_keys{{
    {"sessions-per-uid",
     [](Configuration& c, const Entry& e) {
         return store(e.whole(1, 65536), c.limits.sessions_per_uid);
     }},
    {"sockets-per-uid",
     [](Configuration& c, const Entry& e) {
         return store(e.whole(1, 65536), c.limits.sockets_per_uid);
     }},
    {"calls-per-uid",
     [](Configuration& c, const Entry& e) {
         return store(e.whole(1, 65536), c.limits.calls_per_uid);
     }},
}};

constexpr std::array<Key<Configuration>, 1> uplink_keys{{{"server", read_server}}};

template <const auto& keys>
Result<> read_section(Draft& draft, const Entry& entry) {
    return read_table(draft.settled, entry, keys);
}

constexpr std::array<Key<Draft>, 6> tables{{
    {"interfaces", read_interfaces},
    {"timeouts", read_section<timeout_keys>},
    {"limiter", read_section<limiter_keys>},
    {"datapath", read_section<datapath_keys>},
    {"limits", read_section<limit_keys>},
    {"uplink", read_section<uplink_keys>},
}};

// --- Files --------------------------------------------------------------------------------------

Result<> read_text(Draft& draft, std::string_view text, const std::string& file) {
    try {
        const auto parsed = toml::parse(text);
        return read_table(draft, Entry(file, {}, 1, parsed), tables);
    } catch (const toml::parse_error& error) {
        return tl::unexpected(
            config::complaint(file, error.source().begin.line, error.description()));
    }
}

/// Two rules for one device: which of them would be meant?
Result<> check_claims(const std::map<Nii, DraftRule>& interfaces) {
    std::map<std::pair<std::string_view, std::string>, const DraftRule*> owners;
    for (const auto& [nii, draft] : interfaces) {
        if (!draft.claim) continue;
        const auto& rule = draft.rule;
        const auto& value = rule.device ? *rule.device : rule.mac ? rule.mac->text() : *rule.path;
        const auto [owner, first] = owners.try_emplace({draft.claim->key, value}, &draft);
        if (first) continue;
        const auto& other = *owner->second;
        std::string message = draft.claim->place + ": interfaces." + nii.text() + ".";
        message += draft.claim->key;
        message += ": this device is " + other.rule.nii.text() + " already, at ";
        message += other.claim->place;
        return fail(ErrorCode::invalid_argument, std::move(message));
    }
    return {};
}

Result<Configuration> settle(Draft draft) {
    if (auto done = check_claims(draft.interfaces); !done)
        return tl::unexpected(std::move(done.error()));
    for (auto& [nii, interface] : draft.interfaces)
        draft.settled.interfaces.push_back(std::move(interface.rule));
    return std::move(draft.settled);
}

}  // namespace

Result<Configuration> parse_configuration(std::string_view text, const std::string& file) {
    Draft draft;
    if (auto done = read_text(draft, text, file); !done)
        return tl::unexpected(std::move(done.error()));
    return settle(std::move(draft));
}

Result<Configuration> read_configuration(const std::filesystem::path& path) {
    auto files = config::drop_ins(path.parent_path() / "conf.d");
    if (!files) return tl::unexpected(std::move(files.error()));
    std::error_code error;
    if (std::filesystem::symlink_status(path, error).type() !=
        std::filesystem::file_type::not_found)
        files->insert(files->begin(), path);
    Draft draft;
    for (const auto& file : *files) {
        const auto text = config::slurp(file);
        if (!text) return tl::unexpected(text.error());
        if (auto done = read_text(draft, *text, file.string()); !done)
            return tl::unexpected(std::move(done.error()));
    }
    return settle(std::move(draft));
}

}  // namespace impnetd
