// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A client that speaks to the daemon over D-Bus by itself: for what libimpnet-client hides.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <poll.h>
#include <sdbus-c++/sdbus-c++.h>

#include "bus.hpp"
#include "deadline.hpp"

namespace lab {

using Dictionary = std::map<std::string, sdbus::Variant>;

class RawClient {
  public:
    static constexpr const char* service = "org.impnet1";
    static constexpr const char* manager_path = "/org/impnet1";

    explicit RawClient(const Bus& bus)
        : connection_(sdbus::createSessionBusConnectionWithAddress(bus.address())),
          manager_(object(manager_path)) {}

    std::unique_ptr<sdbus::IProxy> object(const std::string& path) {
        return sdbus::createProxy(*connection_, service, path);
    }
    sdbus::IProxy& manager() { return *manager_; }
    std::string unique_name() const { return connection_->getUniqueName(); }
    sdbus::IConnection& connection() { return *connection_; }

    /// Opens an interface; the path of the session.
    std::string open(const Dictionary& nic) {
        sdbus::ObjectPath session;
        manager_->callMethod("Open")
            .onInterface("org.impnet1.Manager")
            .withArguments(nic)
            .storeResultsTo(session);
        return session;
    }
    std::string open(const std::string& nii) {
        return open(Dictionary{{"interface", sdbus::Variant(nii)}});
    }
    /// Opens a socket of a session; its path.
    std::string open_udp(const std::string& session, const Dictionary& options) {
        sdbus::ObjectPath socket;
        object(session)
            ->callMethod("OpenUdp")
            .onInterface("org.impnet1.Session")
            .withArguments(options)
            .storeResultsTo(socket);
        return socket;
    }
    int send(const std::string& socket, const std::string& address, std::uint16_t port,
             const std::vector<std::uint8_t>& data) {
        std::int32_t result = -1;
        object(socket)
            ->callMethod("Send")
            .onInterface("org.impnet1.UdpSocket")
            .withArguments(address, port, data)
            .storeResultsTo(result);
        return result;
    }
    /// A method without arguments and results that matter.
    void call(const std::string& path, const std::string& interface, const std::string& member) {
        object(path)->callMethod(member).onInterface(interface);
    }
    template <typename T>
    T property(const std::string& path, const std::string& interface, const std::string& name) {
        return object(path)->getProperty(name).onInterface(interface).template get<T>();
    }
    template <typename T>
    T interface_property(const std::string& nii, const std::string& name) {
        return property<T>("/org/impnet1/interface/" + nii, "org.impnet1.Interface", name);
    }

    /// Handles what arrives until `predicate` holds. False: it did not, within the limit.
    bool until(Milliseconds limit, const std::function<bool()>& predicate) {
        const Deadline deadline(limit);
        for (;;) {
            while (connection_->processPendingRequest()) continue;
            if (predicate()) return true;
            if (wait_readable({connection_->getEventLoopPollData().fd}, deadline).empty()) {
                return predicate();
            }
        }
    }

  private:
    std::unique_ptr<sdbus::IConnection> connection_;
    std::unique_ptr<sdbus::IProxy> manager_;
};

/// "ok", or the last part of the name of the D-Bus error that the call threw.
inline std::string outcome_of(const std::function<void()>& call) {
    try {
        call();
        return "ok";
    } catch (const sdbus::Error& error) {
        return error.getName().substr(error.getName().rfind('.') + 1);
    }
}

}  // namespace lab
