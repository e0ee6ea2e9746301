// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A LAN with the daemon on its host, and a program that opened eth0 and is connected, with the
// address 10.77.1.100: where tests of sockets begin.
#pragma once

#include <stdexcept>
#include <string>

#include "daemon.hpp"
#include "lan.hpp"
#include "program.hpp"

namespace lab {

struct Connected {
    static constexpr const char* address = "10.77.1.100";

    Lan lan;
    DhcpServer dhcp{lan.server, "srv0", DhcpServer::Options::only(address)};
    Daemon daemon;
    Program program{lan.bus};
    Diary diary;
    impnet::Interface eth0;

    /// `more`: further lines of the daemon's configuration.
    explicit Connected(const std::string& more = "")
        : daemon(lan.host, lan.bus, Lan::managed(more)), eth0(program.open("eth0", diary)) {
        if (!program.until(Milliseconds(5'000), [this] { return connected(); })) {
            throw std::runtime_error("not connected:\n" + daemon.log());
        }
        // What the daemon does after it has told that is done when it answers another call.
        if (const auto table = eth0.ip_table(); !table) {
            throw std::runtime_error(Program::text(table.error()));
        }
    }

    bool connected() const { return diary.is(impnet::State::connected); }

    /// A socket; an error throws.
    impnet::UdpSocket open_udp(const impnet::UdpOptions& options,
                               impnet::OnDatagram on_datagram = {}) {
        auto socket = eth0.open_udp(options, std::move(on_datagram));
        if (!socket) throw std::runtime_error(Program::text(socket.error()));
        return std::move(*socket);
    }
};

}  // namespace lab
