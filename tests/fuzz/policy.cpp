// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/policy.hpp"

#include <algorithm>
#include <charconv>
#include <iomanip>
#include <limits>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "config/policy_files.hpp"
#include "core/data_path.hpp"
#include "fuzz/targets.hpp"
#include "fuzz/text.hpp"

namespace fuzz {

namespace {

using namespace impnetd;

const std::string file = "p.toml";

/// Beside the names of keys, which may be as long as the file.
constexpr std::size_t longest_reason = 400;

/// Names of one letter are known, and their number is the letter's.
const Ids ids{.user = [](const std::string& name) -> std::optional<uid_t> {
                  if (name.size() != 1) return std::nullopt;
                  return static_cast<unsigned char>(name.front());
              },
              .group = [](const std::string& name) -> std::optional<gid_t> {
                  if (name.size() != 1) return std::nullopt;
                  return static_cast<unsigned char>(name.front());
              }};

/// The number of the line that "p.toml:7: ..." tells of; 0: it is not of this form.
std::size_t line_of(std::string_view message) {
    if (!message.starts_with(file + ":")) return 0;
    message.remove_prefix(file.size() + 1);
    std::size_t line = 0;
    const auto [stop, error] =
        std::from_chars(message.data(), message.data() + message.size(), line);
    message.remove_prefix(static_cast<std::size_t>(stop - message.data()));
    return error == std::errc{} && message.starts_with(": ") ? line : 0;
}

void check_refusal(const Error& error, std::string_view text) {
    demand(error.code == ErrorCode::invalid_argument, "a file is refused by InvalidArgument");
    const auto lines = 1 + static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
    const auto line = line_of(error.message);
    demand(line >= 1 && line <= lines, "the message tells a line of the file");
    demand(is_showable(error.message), "the message can be shown");
    demand(error.message.size() <= longest_reason + 2 * text.size(), "the message is short");
}

bool is_network(const Ipv4Network& network) {
    return network.prefix <= 32 && network.network() == network.address;
}

void check_rule(const PolicyRule& rule) {
    demand(!rule.name.empty() && rule.name.size() <= 64 && is_printable_ascii(rule.name) &&
               !is_reserved_rule_name(rule.name),
           "a rule has a name");
    demand(rule.place.starts_with(file + ":"), "a rule has a place");
    demand(std::all_of(rule.destinations.begin(), rule.destinations.end(), is_network),
           "a destination is a network");
    demand(rule.destination_count() <= SocketPolicy::max_destinations,
           "a rule alone does not name too many destinations");
    const auto in_order = [](const PortRange& range) { return range.first <= range.last; };
    demand(std::all_of(rule.ports.begin(), rule.ports.end(), in_order) &&
               std::all_of(rule.destination_ports.begin(), rule.destination_ports.end(), in_order),
           "ports are in order");
    if (rule.limit)
        demand(rule.allow && !rule.is_about_destinations() && rule.limit->burst >= 1 &&
                   rule.limit->burst <= 1'000'000 && rule.limit->rate >= 0.001 &&
                   rule.limit->rate <= 1'000'000,
               "a limit is that of sockets that are allowed");
}

void check_widening(const Widening& widen) {
    demand(widen.networks.size() <= DataPath::max_extra_networks, "networks' number");
    for (const auto& network : widen.networks) {
        demand(is_network(network), "a network's own address");
        for (const Ipv4 address :
             {Ipv4(0, 0, 0, 1), Ipv4(127, 0, 0, 1), Ipv4(169, 254, 1, 1), Ipv4(224, 0, 0, 1),
              Ipv4(240, 0, 0, 1), Ipv4(255, 255, 255, 255)})
            demand(!network.contains(address), "nothing is widened by nonsense");
    }
}

/// What holds of every answer, whoever asks.
void check_answers(const Policy& policy) {
    std::vector<Client> clients{{}, {.uid = 1, .pid = 1, .groups = {}, .unit = "a.service"}};
    for (const auto& rule : policy.rules)
        clients.push_back({.uid = rule.users.empty() ? 7 : rule.users.front(),
                           .pid = 1,
                           .groups = rule.groups,
                           .unit = rule.units.empty() ? "" : rule.units.front()});
    const Nii eth0{};
    for (const auto& client : clients) {
        const auto opening = policy.may_open(client, eth0);
        demand(!opening.rule.empty() && !opening.reason.empty(), "an answer explains itself");
        for (const std::uint16_t port : {0, 2001, 65535}) {
            const auto socket = policy.open_socket(client, eth0, port);
            if (!socket) {
                demand(!socket.error().allowed && !socket.error().rule.empty(),
                       "a denial names its rule");
                continue;
            }
            demand(opening.allowed, "where a socket is allowed, so is the interface");
            demand(socket->destinations.size() <= SocketPolicy::max_destinations,
                   "a socket has as many rules as a data path takes");
            demand(socket->destinations.empty() || !socket->destinations.back().allow,
                   "an exception is one to something");
        }
    }
}

template <typename Values, typename Write>
void write_list(std::ostream& out, const char* key, const Values& values, Write write) {
    if (values.empty()) return;
    out << key << " = [";
    for (const auto& value : values) {
        write(value);
        out << ", ";
    }
    out << "]\n";
}

/// As a person could have written it.
std::string written(const Policy& policy) {
    std::ostringstream out;
    out << std::setprecision(std::numeric_limits<double>::max_digits10);
    const auto number = [&](auto value) { out << value; };
    const auto text = [&](const auto& value) { out << '"' << value.text() << '"'; };
    const auto unit = [&](const std::string& value) {
        out << '"';
        for (const char c : value) out << (c == '"' || c == '\\' ? "\\" : "") << c;
        out << '"';
    };
    const auto& widen = policy.widen;
    out << "[widen]\n";
    write_list(out, "networks", widen.networks, text);
    write_list(out, "users", widen.users, number);
    write_list(out, "groups", widen.groups, number);
    write_list(out, "units", widen.units, unit);
    for (const auto& rule : policy.rules) {
        out << "[[rule]]\nname = \"" << rule.name << "\"\naction = \""
            << (rule.allow ? "allow" : "deny") << "\"\n";
        write_list(out, "user", rule.users, number);
        write_list(out, "group", rule.groups, number);
        write_list(out, "unit", rule.units, unit);
        write_list(out, "interface", rule.interfaces, text);
        write_list(out, "port", rule.ports, text);
        write_list(out, "destination", rule.destinations, text);
        write_list(out, "destination-port", rule.destination_ports, text);
        if (rule.limit)
            out << "burst = " << rule.limit->burst << "\nrate = " << rule.limit->rate << '\n';
    }
    return out.str();
}

void check_written(const Policy& policy) {
    auto again = parse_policy(written(policy), file, ids);
    demand(again.has_value(), "a policy can be written");
    for (std::size_t i = 0; i < std::min(again->rules.size(), policy.rules.size()); ++i)
        again->rules[i].place = policy.rules[i].place;
    demand(*again == policy, "a policy reads back as it was written");
}

}  // namespace

void policy(Bytes input) {
    const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
    const auto policy = parse_policy(text, file, ids);
    if (!policy) return check_refusal(policy.error(), text);
    std::set<std::string> names;
    for (const auto& rule : policy->rules) {
        check_rule(rule);
        demand(names.insert(rule.name).second, "each name is there once");
    }
    check_widening(policy->widen);
    check_answers(*policy);
    check_written(*policy);
}

}  // namespace fuzz
