// SPDX-License-Identifier: LGPL-2.1-or-later
#include "addressing/lease_report.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "addressing/report_format.hpp"

namespace impnetd {

namespace {

/// udhcpc holds a lease for at least this long, whatever it was given. We go along: a lease that we
/// let go before the client renews it would come and go forever.
constexpr std::uint32_t shortest_lease = 30;

/// What udhcpc takes for the lease time if the server names none.
constexpr std::uint32_t default_lease = 3600;

/// What every host has to take (RFC 791, 3.1). Less would be an attack on whoever is here.
constexpr std::uint32_t smallest_mtu = 576;
constexpr std::uint32_t largest_mtu = 0xffff;

constexpr std::size_t quoted_length = 80;

tl::unexpected<Error> refuse(std::string_view what, std::string_view value, std::string_view why) {
    return fail(ErrorCode::invalid_argument,
                std::string(what) + " \"" + printable(value) + "\" " + std::string(why));
}

struct Variables {
    std::vector<std::pair<std::string_view, std::string_view>> entries;

    std::optional<std::string_view> find(std::string_view name) const {
        for (const auto& [key, value] : entries)
            if (key == name) return value;
        return std::nullopt;
    }
};

/// Takes the text up to the next NUL off the front of `record`.
std::optional<std::string_view> take_string(std::string_view& record) {
    const auto end = record.find('\0');
    if (end == std::string_view::npos) return std::nullopt;
    const auto text = record.substr(0, end);
    record.remove_prefix(end + 1);
    return text;
}

Result<Variables> parse_variables(std::string_view record) {
    Variables variables;
    while (true) {
        const auto text = take_string(record);
        if (!text) return fail(ErrorCode::invalid_argument, "the DHCP client's report is cut off");
        if (text->empty()) break;
        const auto equals = text->find('=');
        if (equals == std::string_view::npos) return refuse("report", *text, "is no NAME=value");
        variables.entries.emplace_back(text->substr(0, equals), text->substr(equals + 1));
    }
    if (!record.empty())
        return fail(ErrorCode::invalid_argument, "the DHCP client's report goes on after its end");
    return variables;
}

std::optional<LeaseEvent::Kind> parse_kind(std::string_view event) {
    using Kind = LeaseEvent::Kind;
    if (event == "deconfig") return Kind::deconfigured;
    if (event == "bound") return Kind::obtained;
    if (event == "renew") return Kind::renewed;
    if (event == "nak") return Kind::refused;
    if (event == "leasefail") return Kind::unanswered;
    return std::nullopt;
}

/// An address that can be a host's. (Whether it is its subnet's own or broadcast address is another
/// question, and only the subnet can tell.)
bool names_host(Ipv4 address) {
    return is_host_address(Ipv4Network{address, 32});
}

/// An address that can be that of a host besides the leased one: not its subnet's own or broadcast
/// address either.
bool names_other_host(Ipv4 address, const Ipv4Network& leased) {
    if (address == leased.address || !names_host(address)) return false;
    return !leased.contains(address) || is_host_address(Ipv4Network{address, leased.prefix});
}

/// The hosts of a list of addresses, the others left out: what names nobody, and the leased address
/// itself (a server, router or resolver that is to be reached at our own is not there). An absent
/// or empty variable is an empty list: udhcpc writes that for an option too short for an address.
Result<std::vector<Ipv4>> parse_hosts(const Variables& variables, std::string_view name,
                                      const Ipv4Network& leased) {
    std::vector<Ipv4> hosts;
    auto rest = variables.find(name).value_or("");
    while (!rest.empty()) {
        const auto text = rest.substr(0, rest.find(' '));
        rest.remove_prefix(std::min(text.size() + 1, rest.size()));
        const auto address = Ipv4::parse(text);
        if (!address) return refuse(name, text, "is not a dotted quad");
        if (names_other_host(*address, leased)) hosts.push_back(*address);
    }
    return hosts;
}

/// The mask that an address had before there were masks (RFC 950, RFC 1122 3.2.2.9): for a server
/// that sends none.
Ipv4 class_mask(Ipv4 address) {
    const auto first = address.bits() >> 24;
    if (first < 128) return Ipv4(255, 0, 0, 0);
    if (first < 192) return Ipv4(255, 255, 0, 0);
    return Ipv4(255, 255, 255, 0);
}

Result<Ipv4Network> parse_network(const Variables& variables) {
    const auto ip = variables.find("ip").value_or("");
    const auto address = Ipv4::parse(ip);
    if (!address) return refuse("address", ip, "is not a dotted quad");
    if (!names_host(*address)) return refuse("address", ip, "is no host's");

    Ipv4 mask = class_mask(*address);
    if (const auto subnet = variables.find("subnet").value_or(""); !subnet.empty()) {
        const auto given = Ipv4::parse(subnet);
        if (!given) return refuse("netmask", subnet, "is not a dotted quad");
        mask = *given;
    }
    const auto network = Ipv4Network::from_netmask(*address, mask);
    if (!network) return refuse("netmask", mask.text(), "has gaps");
    // No block that anybody was ever given is larger than this.
    if (network->prefix < 8) return refuse("netmask", mask.text(), "is too short");
    if (!is_host_address(*network))
        return refuse("address", network->text(), "is its subnet's own or broadcast address");
    return *network;
}

std::optional<std::uint32_t> parse_number(std::string_view text) {
    std::uint32_t out = 0;
    const auto* end = text.data() + text.size();
    const auto [stopped, error] = std::from_chars(text.data(), end, out);
    if (error != std::errc{} || stopped != end) return std::nullopt;
    return out;
}

Result<std::uint32_t> parse_seconds(const Variables& variables) {
    const auto text = variables.find("lease").value_or("");
    if (text.empty()) return default_lease;
    const auto seconds = parse_number(text);
    if (!seconds) return refuse("lease time", text, "is no number of seconds");
    return std::max(*seconds, shortest_lease);
}

/// One that makes no sense is left out.
Result<std::optional<std::uint16_t>> parse_mtu(const Variables& variables) {
    const auto text = variables.find("mtu").value_or("");
    if (text.empty()) return std::nullopt;
    const auto mtu = parse_number(text);
    if (!mtu) return refuse("MTU", text, "is no number");
    if (*mtu < smallest_mtu || *mtu > largest_mtu) return std::nullopt;
    return static_cast<std::uint16_t>(*mtu);
}

/// "10.0.0.0/8 10.77.1.254 0.0.0.0/0 10.77.1.1"
Result<std::vector<StaticRoute>> parse_routes(const Variables& variables) {
    std::vector<StaticRoute> routes;
    auto rest = variables.find("staticroutes").value_or("");
    const auto take_word = [&rest] {
        const auto word = rest.substr(0, rest.find(' '));
        rest.remove_prefix(std::min(word.size() + 1, rest.size()));
        return word;
    };
    while (!rest.empty() && routes.size() < Lease::most_routes) {
        const auto to = take_word();
        const auto via = take_word();
        const auto slash = std::min(to.find('/'), to.size());
        const auto destination = Ipv4::parse(to.substr(0, slash));
        const auto prefix = parse_number(to.substr(std::min(slash + 1, to.size())));
        const auto gateway = Ipv4::parse(via);
        if (!destination || !prefix || *prefix > 32 || !gateway)
            return refuse("static route", std::string(to) + " " + std::string(via), "is none");
        routes.push_back({{*destination, static_cast<std::uint8_t>(*prefix)}, *gateway});
    }
    return routes;
}

std::optional<Ipv4> first(const std::vector<Ipv4>& hosts) {
    return hosts.empty() ? std::nullopt : std::optional(hosts.front());
}

Result<Lease> parse_lease(const Variables& variables) {
    const auto network = parse_network(variables);
    if (!network) return tl::unexpected(network.error());
    const auto seconds = parse_seconds(variables);
    if (!seconds) return tl::unexpected(seconds.error());
    const auto routers = parse_hosts(variables, "router", *network);
    if (!routers) return tl::unexpected(routers.error());
    auto dns = parse_hosts(variables, "dns", *network);
    if (!dns) return tl::unexpected(dns.error());
    const auto servers = parse_hosts(variables, "serverid", *network);
    if (!servers) return tl::unexpected(servers.error());
    const auto mtu = parse_mtu(variables);
    if (!mtu) return tl::unexpected(mtu.error());
    auto routes = parse_routes(variables);
    if (!routes) return tl::unexpected(routes.error());

    Lease lease;
    lease.network = *network;
    // Not asked of the server (option 28): since RFC 1122, 3.3.6 it is the subnet's last address,
    // and with another one a server could pass off a host as everybody.
    lease.broadcast = network->broadcast();
    lease.gateway = first(*routers);
    lease.server = first(*servers);
    if (dns->size() > 2) dns->resize(2);
    lease.dns = std::move(*dns);
    lease.mtu = *mtu;
    lease.routes = std::move(*routes);
    lease.seconds = *seconds;
    return lease;
}

}  // namespace

std::string printable(std::string_view text) {
    std::string out(text.substr(0, quoted_length));
    std::replace_if(
        out.begin(), out.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    return out;
}

Result<LeaseEvent> parse_lease_report(std::string_view record) {
    if (record.size() > report::max_size)
        return fail(ErrorCode::too_large, "the DHCP client's report is larger than " +
                                              std::to_string(report::max_size) + " bytes");
    const auto name = take_string(record);
    if (!name) return fail(ErrorCode::invalid_argument, "the DHCP client's report is cut off");
    const auto kind = parse_kind(*name);
    if (!kind) return refuse("event", *name, "is unknown");
    const auto variables = parse_variables(record);
    if (!variables) return tl::unexpected(variables.error());

    LeaseEvent event;
    event.kind = *kind;
    switch (*kind) {
        case LeaseEvent::Kind::obtained:
        case LeaseEvent::Kind::renewed: {
            auto lease = parse_lease(*variables);
            if (!lease) return tl::unexpected(lease.error());
            event.lease = std::move(*lease);
            break;
        }
        case LeaseEvent::Kind::refused:
            event.message = printable(variables->find("message").value_or(""));
            break;
        case LeaseEvent::Kind::deconfigured:
        case LeaseEvent::Kind::unanswered:
            break;
    }
    return event;
}

}  // namespace impnetd
