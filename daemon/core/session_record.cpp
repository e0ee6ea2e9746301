// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/session_record.hpp"

#include <algorithm>
#include <string_view>

#include "core/record.hpp"

namespace impnetd {

namespace {

constexpr std::string_view magic = "impnet session 4\n";

void write_nic(RecordWriter& out, const Nic& nic) {
    out.bytes(nic.interface);
    out.part(nic.wifi, [&](const auto& part) {
        out.bytes(part.ssid);
        out.secret(part.key);
    });
    out.part(nic.static_network, [&](const auto& part) { write_static(out, part); });
    out.part(nic.proxy, [&](const auto& part) { write_proxy(out, part); });
    out.part(nic.cell, [&](const auto& part) {
        out.bytes(part.apn);
        out.bytes(part.username);
        out.secret(part.password);
    });
}

Nic read_nic(RecordReader& in) {
    Nic nic;
    nic.interface = in.text();
    nic.nii = Nii::resolve(nic.interface).value_or(Nii{});
    nic.wifi = in.part<WifiConfig>([&] {
        WifiConfig part;
        part.ssid = in.text();
        part.key = in.secret();
        return part;
    });
    nic.static_network = in.part<StaticConfig>([&] { return read_static(in); });
    nic.proxy = in.part<ProxyConfig>([&] { return read_proxy(in); });
    nic.cell = in.part<CellConfig>([&] {
        CellConfig part;
        part.apn = in.text();
        part.username = in.text();
        part.password = in.secret();
        return part;
    });
    return nic;
}

void write_client(RecordWriter& out, const Client& client) {
    out.number(client.uid);
    out.number(static_cast<std::uint32_t>(client.pid));
    out.bytes(client.unit);
    out.number(client.groups.size());
    for (const auto group : client.groups) out.number(group);
}

Client read_client(RecordReader& in) {
    Client client;
    client.uid = static_cast<uid_t>(in.number(UINT32_MAX));
    client.pid = static_cast<pid_t>(in.number(UINT32_MAX));
    client.unit = in.text();
    for (auto left = in.number(UINT16_MAX); left > 0 && in.good(); --left)
        client.groups.push_back(static_cast<gid_t>(in.number(UINT32_MAX)));
    return client;
}

void write_report(RecordWriter& out, const StateReport& report) {
    write_state(out, report.state);
    write_state(out, report.previous);
    out.number(report.monotonic_usec);
    out.bytes(report.reason);
}

StateReport read_report(RecordReader& in) {
    StateReport report;
    report.state = read_state(in);
    report.previous = read_state(in);
    report.monotonic_usec = in.number();
    report.reason = in.text();
    return report;
}

bool all_known(const SessionRecord& record) {
    return is_known(record.state) &&
           std::all_of(record.untold.begin(), record.untold.end(), [](const StateReport& report) {
               return is_known(report.state) && is_known(report.previous);
           });
}

}  // namespace

std::vector<std::uint8_t> write_record(const SessionRecord& record) {
    RecordWriter out;
    out.raw(magic);
    out.number(record.id);
    out.bytes(record.token);
    write_client(out, record.client);
    write_nic(out, record.nic);
    write_state(out, record.state);
    out.number(record.untold.size());
    for (const auto& report : record.untold) write_report(out, report);
    out.number(record.sockets.size());
    for (const auto& socket : record.sockets) {
        out.number(socket.id);
        out.number(socket.port);
        out.number(socket.delivery);
    }
    return out.take();
}

Result<SessionRecord> read_session_record(std::span<const std::uint8_t> bytes) {
    RecordReader in(bytes);
    SessionRecord record;
    if (in.raw(magic)) {
        record.id = in.number();
        record.token = in.text();
        record.client = read_client(in);
        record.nic = read_nic(in);
        record.state = read_state(in);
        for (auto left = in.number(UINT16_MAX); left > 0 && in.good(); --left)
            record.untold.push_back(read_report(in));
        for (auto left = in.number(UINT16_MAX); left > 0 && in.good(); --left) {
            SocketRecord socket;
            socket.id = in.number();
            socket.port = static_cast<std::uint16_t>(in.number(UINT16_MAX));
            socket.delivery = static_cast<Delivery>(in.number(1));
            record.sockets.push_back(socket);
        }
        if (in.finished() && all_known(record) && Nii::resolve(record.nic.interface)) return record;
    }
    return fail(ErrorCode::failed, "not a session record of this version");
}

}  // namespace impnetd
