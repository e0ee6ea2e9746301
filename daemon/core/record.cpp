// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/record.hpp"

namespace impnetd {

void write_state(RecordWriter& out, State state) {
    out.number(static_cast<std::uint32_t>(number(state)));
}

State read_state(RecordReader& in) {
    return static_cast<State>(static_cast<std::int32_t>(in.number(UINT32_MAX)));
}

void write_network(RecordWriter& out, const Ipv4Network& network) {
    out.number(network.address.bits());
    out.number(network.prefix);
}

Ipv4Network read_network(RecordReader& in) {
    Ipv4Network out;
    out.address = read_ipv4(in);
    out.prefix = static_cast<std::uint8_t>(in.number(32));
    return out;
}

Ipv4 read_ipv4(RecordReader& in) {
    return Ipv4(static_cast<std::uint32_t>(in.number(UINT32_MAX)));
}

void write_addresses(RecordWriter& out, const std::vector<Ipv4>& addresses) {
    out.number(addresses.size());
    for (const auto& address : addresses) out.number(address.bits());
}

std::vector<Ipv4> read_addresses(RecordReader& in) {
    std::vector<Ipv4> out;
    for (auto left = in.number(2); left > 0; --left) out.push_back(read_ipv4(in));
    return out;
}

void write_static(RecordWriter& out, const StaticConfig& part) {
    write_network(out, part.network);
    out.number(part.gateway.bits());
    write_addresses(out, part.dns);
}

StaticConfig read_static(RecordReader& in) {
    StaticConfig part;
    part.network = read_network(in);
    part.gateway = read_ipv4(in);
    part.dns = read_addresses(in);
    return part;
}

void write_proxy(RecordWriter& out, const ProxyConfig& part) {
    out.bytes(part.type);
    out.bytes(part.address);
    out.number(part.port);
    out.bytes(part.username);
    out.secret(part.password);
}

ProxyConfig read_proxy(RecordReader& in) {
    ProxyConfig part;
    part.type = in.text();
    part.address = in.text();
    part.port = static_cast<std::uint16_t>(in.number(UINT16_MAX));
    part.username = in.text();
    part.password = in.secret();
    return part;
}

}  // namespace impnetd
