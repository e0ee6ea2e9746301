// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/interface_record.hpp"

#include <string_view>

#include "core/record.hpp"

namespace impnetd {

namespace {

constexpr std::string_view interface_magic = "impnet interface 2\n";
constexpr std::string_view names_magic = "impnet names 1\n";

void write_optional(RecordWriter& out, const std::optional<Ipv4>& address) {
    out.part(address, [&](const Ipv4& part) { out.number(part.bits()); });
}

std::optional<Ipv4> read_optional(RecordReader& in) {
    return in.part<Ipv4>([&] { return read_ipv4(in); });
}

/// As text; what is no NII spoils nothing but is seen by whoever asks for it.
void write_nii(RecordWriter& out, Nii nii) {
    out.bytes(nii.text());
}

std::optional<Nii> read_nii(RecordReader& in) {
    return Nii::parse(in.text());
}

void write_mac(RecordWriter& out, const MacAddress& mac) {
    out.bytes(mac.octets);
}

MacAddress read_mac(RecordReader& in) {
    MacAddress out;
    const auto octets = in.bytes<std::vector<std::uint8_t>>();
    if (octets.size() == out.octets.size())
        std::copy(octets.begin(), octets.end(), out.octets.begin());
    return out;
}

void write_link(RecordWriter& out, const Link& link) {
    out.number(link.ifindex);
    out.bytes(link.name);
    write_mac(out, link.mac);
    out.number(link.ethernet);
    out.number(link.up);
    out.number(link.carrier);
    out.bytes(link.kind);
    out.bytes(link.path);
    out.number(link.carrier_losses);
    out.number(link.mtu);
    out.number(link.max_mtu);
}

Link read_link(RecordReader& in) {
    Link out;
    out.ifindex = static_cast<int>(in.number(INT32_MAX));
    out.name = in.text();
    out.mac = read_mac(in);
    out.ethernet = in.number(1) != 0;
    out.up = in.number(1) != 0;
    out.carrier = in.number(1) != 0;
    out.kind = in.text();
    out.path = in.text();
    out.carrier_losses = static_cast<std::uint32_t>(in.number(UINT32_MAX));
    out.mtu = static_cast<std::uint32_t>(in.number(UINT32_MAX));
    out.max_mtu = static_cast<std::uint32_t>(in.number(UINT32_MAX));
    return out;
}

void write_address(RecordWriter& out, const AddressAssignment& address) {
    write_network(out, address.network);
    write_optional(out, address.broadcast);
    out.part(address.valid_seconds, [&](std::uint32_t seconds) { out.number(seconds); });
}

AddressAssignment read_address(RecordReader& in) {
    AddressAssignment out;
    out.network = read_network(in);
    out.broadcast = read_optional(in);
    out.valid_seconds =
        in.part<std::uint32_t>([&] { return static_cast<std::uint32_t>(in.number(UINT32_MAX)); });
    return out;
}

void write_lease(RecordWriter& out, const Lease& lease) {
    write_network(out, lease.network);
    write_optional(out, lease.broadcast);
    write_optional(out, lease.gateway);
    write_optional(out, lease.server);
    write_addresses(out, lease.dns);
    out.part(lease.mtu, [&](std::uint16_t mtu) { out.number(mtu); });
    out.number(lease.routes.size());
    for (const auto& route : lease.routes) {
        write_network(out, route.destination);
        out.number(route.gateway.bits());
    }
    out.number(lease.seconds);
    out.number(lease.obtained_usec);
}

Lease read_lease(RecordReader& in) {
    Lease out;
    out.network = read_network(in);
    out.broadcast = read_optional(in);
    out.gateway = read_optional(in);
    out.server = read_optional(in);
    out.dns = read_addresses(in);
    out.mtu =
        in.part<std::uint16_t>([&] { return static_cast<std::uint16_t>(in.number(UINT16_MAX)); });
    for (auto left = in.number(Lease::most_routes); left > 0 && in.good(); --left) {
        StaticRoute route;
        route.destination = read_network(in);
        route.gateway = read_ipv4(in);
        out.routes.push_back(route);
    }
    out.seconds = static_cast<std::uint32_t>(in.number(UINT32_MAX));
    out.obtained_usec = in.number();
    return out;
}

void write_settings(RecordWriter& out, const LinkSettings& settings) {
    out.part(settings.ipv6, [&](const LinkSettings::Ipv6& part) {
        out.number(part.disabled);
        out.number(part.generation);
    });
    out.number(settings.arp_ignore);
    out.number(settings.arp_announce);
    out.number(settings.rp_filter);
}

LinkSettings read_settings(RecordReader& in) {
    LinkSettings out;
    out.ipv6 = in.part<LinkSettings::Ipv6>([&] {
        LinkSettings::Ipv6 part;
        part.disabled = in.number(1) != 0;
        part.generation = static_cast<std::uint8_t>(in.number(UINT8_MAX));
        return part;
    });
    out.arp_ignore = static_cast<std::uint32_t>(in.number(UINT32_MAX));
    out.arp_announce = static_cast<std::uint32_t>(in.number(UINT32_MAX));
    out.rp_filter = static_cast<std::uint32_t>(in.number(UINT32_MAX));
    return out;
}

}  // namespace

std::vector<std::uint8_t> write_record(const InterfaceRecord& record) {
    RecordWriter out;
    out.raw(interface_magic);
    write_nii(out, record.nii);
    out.number(record.managed);
    write_link(out, record.link);
    write_state(out, record.state);
    out.bytes(record.reason);
    out.part(record.address, [&](const auto& part) { write_address(out, part); });
    out.part(record.lease, [&](const auto& part) { write_lease(out, part); });
    out.part(record.static_network, [&](const auto& part) { write_static(out, part); });
    out.part(record.proxy, [&](const auto& part) { write_proxy(out, part); });
    out.part(record.found, [&](const auto& part) { write_settings(out, part); });
    out.part(record.found_mtu, [&](std::uint32_t mtu) { out.number(mtu); });
    out.number(record.extended);
    return out.take();
}

Result<InterfaceRecord> read_interface_record(std::span<const std::uint8_t> bytes) {
    RecordReader in(bytes);
    if (in.raw(interface_magic)) {
        InterfaceRecord record;
        const auto nii = read_nii(in);
        record.managed = in.number(1) != 0;
        record.link = read_link(in);
        record.state = read_state(in);
        record.reason = in.text();
        record.address = in.part<AddressAssignment>([&] { return read_address(in); });
        record.lease = in.part<Lease>([&] { return read_lease(in); });
        record.static_network = in.part<StaticConfig>([&] { return read_static(in); });
        record.proxy = in.part<ProxyConfig>([&] { return read_proxy(in); });
        record.found = in.part<LinkSettings>([&] { return read_settings(in); });
        record.found_mtu = in.part<std::uint32_t>(
            [&] { return static_cast<std::uint32_t>(in.number(UINT32_MAX)); });
        record.extended = in.number(1) != 0;
        if (in.finished() && nii && is_known(record.state)) {
            record.nii = *nii;
            return record;
        }
    }
    return fail(ErrorCode::failed, "not an interface record of this version");
}

std::vector<std::uint8_t> write_record(const std::vector<NamedDevice>& names) {
    RecordWriter out;
    out.raw(names_magic);
    out.number(names.size());
    for (const auto& device : names) {
        write_nii(out, device.nii);
        write_mac(out, device.mac);
        out.bytes(device.path);
    }
    return out.take();
}

Result<std::vector<NamedDevice>> read_names(std::span<const std::uint8_t> bytes) {
    RecordReader in(bytes);
    if (in.raw(names_magic)) {
        std::vector<NamedDevice> names;
        bool all_named = true;
        for (auto left = in.number(UINT16_MAX); left > 0 && in.good(); --left) {
            NamedDevice device;
            const auto nii = read_nii(in);
            device.mac = read_mac(in);
            device.path = in.text();
            if (nii) device.nii = *nii;
            all_named = all_named && nii;
            names.push_back(std::move(device));
        }
        if (in.finished() && all_named) return names;
    }
    return fail(ErrorCode::failed, "not a list of names of this version");
}

}  // namespace impnetd
