// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/connection.hpp"

#include <utility>

namespace impnetd::bus {

namespace {

std::unique_ptr<sdbus::IConnection> connect(const std::string& address) {
    return address.empty() ? sdbus::createSystemBusConnection()
                           : sdbus::createSessionBusConnectionWithAddress(address);
}

}  // namespace

std::unique_ptr<Connection> Connection::make(const std::string& address) {
    return std::unique_ptr<Connection>(new Connection(connect(address)));
}

Connection::Connection(std::unique_ptr<sdbus::IConnection> connection)
    : connection_(std::move(connection)) {
    matches_.push_back(connection_->addMatch(
        "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',"
        "member='NameOwnerChanged',arg2=''",
        [this](sdbus::Message& message) {
            if (message.getSender() != "org.freedesktop.DBus" || !on_gone) return;
            std::string name;
            message >> name;
            on_gone(name);
        }));
    matches_.push_back(connection_->addMatch(
        "type='signal',sender='org.freedesktop.login1',path='/org/freedesktop/login1',"
        "interface='org.freedesktop.login1.Manager',member='PrepareForSleep'",
        [this](sdbus::Message& message) {
            if (!on_sleep) return;
            bool about_to_sleep = false;
            message >> about_to_sleep;
            on_sleep(about_to_sleep, message.getSender());
        }));
}

}  // namespace impnetd::bus
