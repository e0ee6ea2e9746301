// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A client of a daemon that may be restarted under it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <sdbus-c++/sdbus-c++.h>

#include "deadline.hpp"
#include "dhcp_server.hpp"
#include "fd.hpp"
#include "lan.hpp"
#include "program.hpp"
#include "raw_client.hpp"
#include "service.hpp"

namespace lab {

/// A client that speaks the bus API itself, and so says when it resumes.
struct Owner {
    static constexpr Milliseconds soon{5'000};

    explicit Owner(Lan& lan)
        : raw(lan.bus),
          reports(raw.connection().addMatch(
              "type='signal',interface='org.impnet1.Session',member='StateChanged'",
              [this](sdbus::Message& message) {
                  std::int32_t state = 0;
                  std::int32_t previous = 0;
                  message >> state >> previous;
                  steps.push_back({previous, state});
              })),
          ends(raw.connection().addMatch(
              "type='signal',interface='org.impnet1.UdpSocket',member='Closed'",
              [this](sdbus::Message& message) {
                  std::string reason;
                  message >> reason;
                  closings[message.getPath()] = reason;
              })) {}

    RawClient raw;
    std::string session;
    std::string token;
    Steps steps;
    std::map<std::string, std::string> closings;  ///< why, by the socket
    Dictionary acquired;                          ///< what was told of the last descriptor
    sdbus::Slot reports;
    sdbus::Slot ends;

    void open(const Dictionary& nic = {{"interface", sdbus::Variant("eth0")}}) {
        session = raw.open(nic);
        raw.object(session)
            ->callMethod("GetToken")
            .onInterface("org.impnet1.Session")
            .storeResultsTo(token);
    }
    /// And the daemon is done with it: what it tells it has not kept yet, and it is about to be
    /// killed. A call is answered after that.
    bool reaches(int state) {
        return raw.until(soon, [&] { return !steps.empty() && steps.back().state == state; }) &&
               this->state() >= -1;
    }
    std::string resume(const std::string& with_token) {
        sdbus::ObjectPath path;
        raw.manager()
            .callMethod("Resume")
            .onInterface("org.impnet1.Manager")
            .withArguments(with_token)
            .storeResultsTo(path);
        return path;
    }
    /// Again and again as long as there is no daemon: it is being started.
    void resume() {
        const Deadline deadline(soon);
        for (;;) {
            try {
                CHECK(resume(token) == session);
                return;
            } catch (const sdbus::Error& error) {
                if (error.getName() != "org.freedesktop.DBus.Error.ServiceUnknown" &&
                    error.getName() != "org.freedesktop.DBus.Error.NoReply")
                    throw;
                if (!wait_readable({}, Deadline(Milliseconds(10))).empty() ||
                    deadline.poll_timeout() == 0)
                    throw;
            }
        }
    }
    /// What an owner needs to come back on another connection.
    struct Claim {
        std::string session;
        std::string token;
    };
    Claim claim() const { return {session, token}; }
    void resume(const Claim& claim) {
        session = claim.session;
        token = claim.token;
        resume();
    }
    std::int32_t state() { return raw.interface_property<std::int32_t>("eth0", "State"); }

    /// Opens a socket whose descriptor it can have. 0: any port.
    std::string open_udp(std::uint16_t port) {
        return raw.open_udp(session, {{"port", sdbus::Variant(port)},
                                      {"delivery", sdbus::Variant(std::string("fd"))}});
    }
    Fd acquire(const std::string& socket) {
        sdbus::UnixFd fd;
        acquired.clear();
        raw.object(socket)
            ->callMethod("Acquire")
            .onInterface("org.impnet1.UdpSocket")
            .storeResultsTo(fd, acquired);
        return Fd(fd.release());
    }
    std::map<std::string, std::uint64_t> statistics(const std::string& socket) {
        std::map<std::string, std::uint64_t> counters;
        raw.object(socket)
            ->callMethod("GetStatistics")
            .onInterface("org.impnet1.UdpSocket")
            .storeResultsTo(counters);
        return counters;
    }
    std::uint16_t local_port(const std::string& socket) {
        return raw.property<std::uint16_t>(socket, "org.impnet1.UdpSocket", "LocalPort");
    }
    /// It is told that this socket was closed.
    bool hears_end_of(const std::string& socket) {
        return raw.until(soon, [&] { return closings.contains(socket); });
    }
};

/// A service whose eth0 one client has brought to CONNECTED.
struct Running {
    explicit Running(const std::string& more = "")
        : dhcp(lan.server, "srv0", DhcpServer::Options::only("10.77.1.100")),
          service(lan.host, lan.bus, lan.managed(more)),
          owner(lan) {
        owner.open();
        REQUIRE(owner.reaches(1));
        owner.steps.clear();
    }

    Lan lan;
    DhcpServer dhcp;
    Service service;
    Owner owner;
};

}  // namespace lab
