// SPDX-License-Identifier: LGPL-2.1-or-later
#include "addressing/lease_report.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "addressing/report_format.hpp"
#include "fuzz/targets.hpp"
#include "fuzz/text.hpp"

namespace fuzz {

namespace {

using impnetd::ErrorCode;
using impnetd::Ipv4;
using impnetd::Lease;
using impnetd::LeaseEvent;
using Kind = LeaseEvent::Kind;

constexpr std::size_t longest_message = 160;
constexpr std::size_t longest_reason = 80;

bool is_host(Ipv4 address) {
    const auto first = address.bits() >> 24;
    return first != 0 && first != 127 && first < 224;
}

void check_refusal(const impnetd::Error& error, std::string_view record) {
    demand(error.code == (record.size() > impnetd::report::max_size ? ErrorCode::too_large
                                                                    : ErrorCode::invalid_argument),
           "a report is refused by InvalidArgument, or by TooLarge");
    demand(!error.message.empty() && error.message.size() <= longest_message,
           "the message is short");
    demand(is_printable_ascii(error.message), "the message can be shown");
}

void check_lease(const Lease& lease) {
    const auto& network = lease.network;
    demand(network.prefix >= 8 && network.prefix <= 32, "the netmask is one of a subnet");
    demand(is_host(network.address), "the address is a host's");
    demand(lease.broadcast == network.broadcast(), "the broadcast address is the subnet's");
    demand(network.prefix > 30 ||
               (network.address != network.network() && network.address != network.broadcast()),
           "the address is neither the subnet's own nor its broadcast address");
    demand(!lease.gateway || is_host(*lease.gateway), "the gateway is a host");
    demand(!lease.server || is_host(*lease.server), "the server is a host");
    demand(lease.dns.size() <= 2, "there are at most two DNS servers");
    demand(std::all_of(lease.dns.begin(), lease.dns.end(), is_host), "DNS servers are hosts");
    demand(!lease.mtu || *lease.mtu >= 576, "an MTU is one that every host takes");
    demand(lease.routes.size() <= Lease::most_routes, "routes are as many as fit into a message");
    demand(std::all_of(lease.routes.begin(), lease.routes.end(),
                       [](const auto& route) { return route.destination.prefix <= 32; }),
           "a route has a prefix");
    demand(lease.seconds >= 30, "a lease lasts as long as udhcpc holds it");
}

/// As impnet-lease-report would tell of it.
std::string report_of(const LeaseEvent& event) {
    std::string out;
    const auto variable = [&](const std::string& name, const std::string& value) {
        out += name + '=' + value + '\0';
    };
    const auto host = [&](const std::string& name, const std::optional<Ipv4>& address) {
        if (address) variable(name, address->text());
    };
    switch (event.kind) {
        case Kind::deconfigured:
            out = std::string("deconfig") + '\0';
            break;
        case Kind::unanswered:
            out = std::string("leasefail") + '\0';
            break;
        case Kind::refused:
            out = std::string("nak") + '\0';
            variable("message", event.message);
            break;
        case Kind::obtained:
        case Kind::renewed: {
            const auto& lease = event.lease;
            out = std::string(event.kind == Kind::obtained ? "bound" : "renew") + '\0';
            host("ip", lease.network.address);
            host("subnet", lease.network.netmask());
            host("router", lease.gateway);
            host("serverid", lease.server);
            std::string dns;
            for (const auto address : lease.dns) dns += (dns.empty() ? "" : " ") + address.text();
            variable("dns", dns);
            if (lease.mtu) variable("mtu", std::to_string(*lease.mtu));
            std::string routes;
            for (const auto& route : lease.routes)
                routes += (routes.empty() ? "" : " ") + route.destination.text() + " " +
                          route.gateway.text();
            variable("staticroutes", routes);
            variable("lease", std::to_string(lease.seconds));
            break;
        }
    }
    return out + '\0';
}

}  // namespace

void lease_report(Bytes input) {
    const std::string_view record(reinterpret_cast<const char*>(input.data()), input.size());
    const auto event = impnetd::parse_lease_report(record);
    if (!event) return check_refusal(event.error(), record);

    demand(!impnetd::parse_lease_report(record.substr(0, record.size() - 1)),
           "a report cut short is refused");
    const bool holds_lease = event->kind == Kind::obtained || event->kind == Kind::renewed;
    if (holds_lease)
        check_lease(event->lease);
    else
        demand(event->lease == Lease{}, "only a lease that was given is told");
    demand(event->message.size() <= longest_reason && is_printable_ascii(event->message),
           "a server's reason is short and can be shown");
    demand(event->kind == Kind::refused || event->message.empty(), "only a refusal has a reason");
    demand(impnetd::parse_lease_report(report_of(*event)) == *event,
           "an event that is told again is the same");
}

}  // namespace fuzz
