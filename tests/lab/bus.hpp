// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A message bus of our own: a real dbus-daemon of the system kind on a socket in the world's
// private /run, so that every host of the lab reaches it.
#pragma once

#include <memory>
#include <string>

#include "deadline.hpp"
#include "namespace.hpp"
#include "process.hpp"

namespace lab {

class Bus {
  public:
    /// Everybody may do everything.
    static constexpr const char* open_policy =
        "<policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/>"
        "<allow send_destination=\"*\"/><allow receive_sender=\"*\"/></policy>";

    /// Ready when this returns.
    explicit Bus(const std::string& policy = open_policy);
    Bus(const Bus&) = delete;
    Bus& operator=(const Bus&) = delete;

    /// For --bus and DBUS_SYSTEM_BUS_ADDRESS.
    const std::string& address() const { return address_; }

    /// Waits until somebody owns the name. False: the deadline passed, or `process` ended, before.
    bool wait_owned(const std::string& name, const Deadline& deadline,
                    const Process* process = nullptr) const;

    /// The bus itself goes, with all connections; `start` brings it back at the same address.
    void stop();
    void start();

    /// It is there and does nothing until `thaw`: what is sent to it waits.
    void freeze();
    void thaw();

  private:
    Namespace home_;
    std::string config_path_;
    std::string address_;
    std::unique_ptr<Process> daemon_;
};

}  // namespace lab
