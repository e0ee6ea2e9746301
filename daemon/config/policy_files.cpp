// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/policy_files.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <utility>
#include <vector>

#include <grp.h>
#include <pwd.h>
#include <toml++/toml.h>

#include "config/entry.hpp"
#include "config/files.hpp"
#include "core/data_path.hpp"
#include "core/nii.hpp"
#include "core/quote.hpp"

namespace impnetd {

namespace {

using config::Entry;
using config::Key;

struct Draft {
    const Ids& ids;
    Policy policy;
};

struct DraftRule {
    const Ids& ids;
    PolicyRule rule;
    bool has_action = false;
    std::optional<std::uint32_t> burst;
    std::optional<double> rate;
};

template <typename From, typename To>
Result<> store(Result<From> value, To& place) {
    if (!value) return tl::unexpected(std::move(value.error()));
    place = static_cast<To>(*std::move(value));
    return {};
}

/// Adds what `read` makes of each element of a list.
template <typename T, typename Read>
Result<> add_list(const Entry& entry, std::vector<T>& place, Read read) {
    const auto list = entry.list();
    if (!list) return tl::unexpected(list.error());
    if ((*list)->empty()) return entry.refuse("empty; leave it out instead");
    for (const auto& node : **list) {
        Result<T> value = read(entry.element(node));
        if (!value) return tl::unexpected(std::move(value.error()));
        if (std::find(place.begin(), place.end(), *value) == place.end())
            place.push_back(*std::move(value));
    }
    return {};
}

// --- Values -------------------------------------------------------------------------------------

/// A number, or a name that `find` knows.
template <typename Id>
Result<Id> read_id(const Entry& entry, const char* what,
                   const std::function<std::optional<Id>(const std::string&)>& find) {
    constexpr std::int64_t most = std::int64_t{UINT32_MAX} - 1;  // the last one is nobody's
    if (entry.is_whole()) {
        const auto number = entry.whole(0, most);
        if (!number) return tl::unexpected(number.error());
        return static_cast<Id>(*number);
    }
    const auto name = entry.text();
    if (!name) return entry.refuse(std::string("neither the name nor the number of a ") + what);
    // The host's look-up would see a shorter name in one with a NUL.
    const auto id = name->find('\0') == std::string::npos ? find(*name) : std::nullopt;
    if (!id)
        return entry.refuse(std::string("there is no ") + what + " \"" + shortened(*name) + '"');
    return *id;
}

/// Only services count as units (bus/callers.cpp).
Result<std::string> read_unit(const Entry& entry) {
    auto text = entry.text();
    if (!text) return text;
    const bool is_plain =
        std::all_of(text->begin(), text->end(), [](char c) { return c > ' ' && c <= '~'; });
    if (!is_plain || !(text->ends_with(".service") || text->ends_with('*')))
        return entry.refuse("not the name of a systemd service, like \"hub.service\" or \"hub@*\"");
    return text;
}

Result<Nii> read_interface(const Entry& entry) {
    const auto text = entry.text();
    if (!text) return tl::unexpected(text.error());
    const auto nii = Nii::resolve(*text);
    if (!nii) return entry.refuse("not an interface: these are called eth0, wl0 or cell0");
    return *nii;
}

/// The number that a text begins with, which is cut off.
std::optional<std::uint16_t> take_port(std::string_view& text) {
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return port;
}

std::optional<PortRange> parse_range(std::string_view text) {
    const auto first = take_port(text);
    if (!first) return std::nullopt;
    if (text.empty()) return PortRange{*first, *first};
    if (text.front() != '-') return std::nullopt;
    text.remove_prefix(1);
    const auto last = take_port(text);
    if (!last || !text.empty() || *last < *first) return std::nullopt;
    return PortRange{*first, *last};
}

Result<PortRange> read_ports(const Entry& entry, std::uint16_t least) {
    std::optional<PortRange> range;
    if (entry.is_whole()) {
        const auto number = entry.whole(least, 65535);
        if (!number) return tl::unexpected(number.error());
        range = PortRange{static_cast<std::uint16_t>(*number), static_cast<std::uint16_t>(*number)};
    } else if (const auto text = entry.text()) {
        range = parse_range(*text);
    }
    if (!range || range->first < least)
        return entry.refuse("neither a port nor a range of ports, like 2001 or \"3000-3010\"");
    return *range;
}

/// "192.168.1.0/28", or an address alone.
Result<Ipv4Network> read_network(const Entry& entry) {
    const auto text = entry.text();
    if (!text) return tl::unexpected(text.error());
    const auto slash = text->find('/');
    const auto address = Ipv4::parse(std::string_view(*text).substr(0, slash));
    std::uint16_t prefix = 32;
    if (slash != std::string::npos) {
        auto rest = std::string_view(*text).substr(slash + 1);
        const bool plain = rest == "0" || (!rest.empty() && rest.front() != '0');
        prefix = plain ? take_port(rest).value_or(33) : 33;
        if (!rest.empty()) prefix = 33;
    }
    if (!address || prefix > 32)
        return entry.refuse("not a network, like \"192.168.1.0/28\" or \"192.168.1.7\"");
    const Ipv4Network network{*address, static_cast<std::uint8_t>(prefix)};
    if (network.network() != network.address)
        return entry.refuse("not a network's own address; that one is " +
                            Ipv4Network{network.network(), network.prefix}.text());
    return network;
}

bool overlap(const Ipv4Network& a, const Ipv4Network& b) {
    return a.contains(b.address) || b.contains(a.address);
}

/// One that hosts of a LAN can have addresses of.
Result<Ipv4Network> read_local_network(const Entry& entry) {
    struct Special {
        Ipv4Network network;
        const char* what;
    };
    static constexpr std::array<Special, 5> special{{
        {{Ipv4(0, 0, 0, 0), 8}, "0.0.0.0/8, addresses of no host"},
        {{Ipv4(127, 0, 0, 0), 8}, "127.0.0.0/8, loopback"},
        {{Ipv4(169, 254, 0, 0), 16}, "169.254.0.0/16, link-local"},
        {{Ipv4(224, 0, 0, 0), 4}, "224.0.0.0/4, multicast"},
        {{Ipv4(240, 0, 0, 0), 4}, "240.0.0.0/4, reserved"},
    }};
    auto network = read_network(entry);
    if (!network) return network;
    const auto* const found = std::find_if(special.begin(), special.end(), [&](const auto& other) {
        return overlap(other.network, *network);
    });
    if (found != special.end())
        return entry.refuse(network->text() + " is no local address space: it has " +
                            std::string(found == special.begin() && network->prefix == 0
                                            ? "all addresses there are"
                                            : found->what));
    return network;
}

// --- [[rule]] -----------------------------------------------------------------------------------

Result<> read_name(DraftRule& draft, const Entry& entry) {
    const auto name = entry.text();
    if (!name) return tl::unexpected(name.error());
    constexpr std::size_t longest = 64;
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_' || c == '.';
    };
    if (name->empty() || name->size() > longest ||
        !std::all_of(name->begin(), name->end(), allowed))
        return entry.refuse("not 1 to 64 of A-Z, a-z, 0-9, '-', '_' and '.'");
    if (is_reserved_rule_name(*name)) return entry.refuse("impnetd's own rules have this name");
    draft.rule.name = *name;
    return {};
}

Result<> read_action(DraftRule& draft, const Entry& entry) {
    const auto action = entry.text();
    if (!action) return tl::unexpected(action.error());
    if (*action != "allow" && *action != "deny")
        return entry.refuse("neither \"allow\" nor \"deny\"");
    draft.has_action = true;
    draft.rule.allow = *action == "allow";
    return {};
}

template <typename Target>
Result<> add_users(Target& target, std::vector<uid_t>& place, const Entry& entry) {
    return add_list(entry, place,
                    [&](const Entry& e) { return read_id<uid_t>(e, "user", target.ids.user); });
}

template <typename Target>
Result<> add_groups(Target& target, std::vector<gid_t>& place, const Entry& entry) {
    return add_list(entry, place,
                    [&](const Entry& e) { return read_id<gid_t>(e, "group", target.ids.group); });
}

constexpr std::array<Key<DraftRule>, 11> rule_keys{{
    {"name", read_name},
    {"action", read_action},
    {"user", [](DraftRule& d, const Entry& e) { return add_users(d, d.rule.users, e); }},
    {"group", [](DraftRule& d, const Entry& e) { return add_groups(d, d.rule.groups, e); }},
    {"unit", [](DraftRule& d, const Entry& e) { return add_list(e, d.rule.units, read_unit); }},
    {"interface",
     [](DraftRule& d, const Entry& e) { return add_list(e, d.rule.interfaces, read_interface); }},
    {"port",
     [](DraftRule& d, const Entry& e) {
         return add_list(e, d.rule.ports, [](const Entry& one) { return read_ports(one, 0); });
     }},
    {"destination",
     [](DraftRule& d, const Entry& e) { return add_list(e, d.rule.destinations, read_network); }},
    {"destination-port",
     [](DraftRule& d, const Entry& e) {
         return add_list(e, d.rule.destination_ports,
                         [](const Entry& one) { return read_ports(one, 1); });
     }},
    {"burst",
     [](DraftRule& d, const Entry& e) { return store(e.whole(1, 1'000'000), d.burst.emplace()); }},
    {"rate", [](DraftRule& d,
                const Entry& e) { return store(e.number(0.001, 1'000'000), d.rate.emplace()); }},
}};

/// What single keys cannot tell.
Result<> check_whole(const DraftRule& draft, const Entry& entry) {
    const auto refuse = [&](const char* key, const std::string& why) -> Result<> {
        return entry.refuse_key(key, why);
    };
    const auto& rule = draft.rule;
    if (rule.name.empty()) return refuse("name", "missing");
    if (!draft.has_action) return refuse("action", "missing");
    if (draft.burst.has_value() != draft.rate.has_value())
        return refuse(draft.burst ? "rate" : "burst", "missing: a limit has both");
    if (draft.burst && !rule.allow) return refuse("burst", "a rule that denies has no limit");
    if (draft.burst && rule.is_about_destinations())
        return refuse("burst", "a limit is a socket's; a rule about destinations has none");
    if (rule.destination_count() > SocketPolicy::max_destinations)
        return refuse("destination", "more than " + std::to_string(SocketPolicy::max_destinations) +
                                         " pairs of networks and ports in one rule");
    return {};
}

Result<> read_rule(Draft& draft, const Entry& entry) {
    DraftRule rule{.ids = draft.ids, .rule = {}, .has_action = false, .burst = {}, .rate = {}};
    rule.rule.place = on_one_line(entry.place());
    if (auto done = read_table(rule, entry, rule_keys); !done) return done;
    if (auto done = check_whole(rule, entry); !done) return done;
    if (rule.burst) rule.rule.limit = RateLimit{*rule.burst, *rule.rate};
    auto& rules = draft.policy.rules;
    const auto same = std::find_if(rules.begin(), rules.end(), [&](const PolicyRule& other) {
        return other.name == rule.rule.name;
    });
    if (same != rules.end())
        return entry.refuse("a rule \"" + rule.rule.name + "\" is there already, at " +
                            same->place);
    rules.push_back(std::move(rule.rule));
    return {};
}

Result<> read_rules(Draft& draft, const Entry& entry) {
    const auto list = entry.list();
    if (!list) return entry.refuse("not a list of tables: its header is [[rule]]");
    for (const auto& node : **list)
        if (auto done = read_rule(draft, entry.element(node)); !done) return done;
    return {};
}

// --- [widen] ------------------------------------------------------------------------------------

Result<> read_networks(Draft& draft, const Entry& entry) {
    auto& networks = draft.policy.widen.networks;
    if (auto done = add_list(entry, networks, read_local_network); !done) return done;
    if (networks.size() > DataPath::max_extra_networks)
        return entry.refuse("more than " + std::to_string(DataPath::max_extra_networks) +
                            " networks, those of other files included");
    return {};
}

constexpr std::array<Key<Draft>, 4> widen_keys{{
    {"networks", read_networks},
    {"users", [](Draft& d, const Entry& e) { return add_users(d, d.policy.widen.users, e); }},
    {"groups", [](Draft& d, const Entry& e) { return add_groups(d, d.policy.widen.groups, e); }},
    {"units",
     [](Draft& d, const Entry& e) { return add_list(e, d.policy.widen.units, read_unit); }},
}};

constexpr std::array<Key<Draft>, 2> tables{{
    {"rule", read_rules},
    {"widen", [](Draft& d, const Entry& e) { return read_table(d, e, widen_keys); }},
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

Result<Policy> settle(Draft draft) {
    if (const auto* rule = draft.policy.one_too_many())
        return fail(ErrorCode::invalid_argument,
                    rule->place +
                        ": rule.destination: with this one, the rules for everybody name "
                        "more than " +
                        std::to_string(SocketPolicy::max_destinations) + " destinations");
    draft.policy.impnet_group = draft.ids.group("impnet");
    return std::move(draft.policy);
}

}  // namespace

Ids host_ids() {
    return {.user = [](const std::string& name) -> std::optional<uid_t> {
                const auto* user = ::getpwnam(name.c_str());
                if (user == nullptr) return std::nullopt;
                return user->pw_uid;
            },
            .group = [](const std::string& name) -> std::optional<gid_t> {
                const auto* group = ::getgrnam(name.c_str());
                if (group == nullptr) return std::nullopt;
                return group->gr_gid;
            }};
}

Result<Policy> parse_policy(std::string_view text, const std::string& file, const Ids& ids) {
    Draft draft{.ids = ids, .policy = {}};
    if (auto done = read_text(draft, text, file); !done)
        return tl::unexpected(std::move(done.error()));
    return settle(std::move(draft));
}

Result<Policy> read_policy(const std::filesystem::path& configuration, RateLimit limit,
                           const Ids& ids) {
    const auto files = config::drop_ins(configuration.parent_path() / "policy.d");
    if (!files) return tl::unexpected(files.error());
    Draft draft{.ids = ids, .policy = {}};
    draft.policy.limit = limit;
    for (const auto& file : *files) {
        const auto text = config::slurp(file);
        if (!text) return tl::unexpected(text.error());
        if (auto done = read_text(draft, *text, file.string()); !done)
            return tl::unexpected(std::move(done.error()));
    }
    return settle(std::move(draft));
}

}  // namespace impnetd
