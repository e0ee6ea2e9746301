// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Expected failures are values: a function that can fail returns `Result<T>`, and the error in it
// carries the name under which the daemon's bus API documents it (docs: "bus-api", Errors).
#pragma once

#include <cstdint>
#include <string>

#include <impnet/export.hpp>

namespace impnet {

/// What went wrong, for programs to decide by. All but the last two are `org.impnet1.Error.<Name>`.
enum class ErrorCode : std::uint8_t {
    invalid_argument,     ///< a malformed value; the message names the key
    no_such_interface,    ///< no interface has this NII
    unavailable,          ///< the interface is disabled or gone, or this handle's session has ended
    in_use,               ///< a NIC with a configuration of its own, while others use the interface
    not_supported,        ///< this kind of interface does not do it
    port_in_use,          ///< another socket of the interface has the port
    address_not_allowed,  ///< outside the local network; the socket is closed
    too_large,            ///< more than 65507 bytes
    socket_closed,        ///< the socket was closed, by whomever
    not_owner,            ///< the object belongs to another bus connection
    not_authorized,       ///< the daemon's policy, or the bus's, says no
    limit_exceeded,       ///< too many sessions, sockets or calls of this user
    busy,                 ///< already under way, or already done by somebody else
    not_connected,        ///< needs a connected interface
    failed,               ///< anything else; the name and message say what
    no_daemon,            ///< no bus, no daemon on it, or no answer within 5 s
};

/// Why a call failed. A plain value.
class IMPNET_API Error {
  public:
    /// The error `org.impnet1.Error.<Code>`.
    Error(ErrorCode code, std::string message);
    /// An error as it came over the bus; the code is found by the name.
    Error(std::string bus_name, std::string message);

    ErrorCode code() const noexcept { return code_; }
    /// The full D-Bus name, for example "org.impnet1.Error.PortInUse".
    const std::string& name() const noexcept { return name_; }
    /// For people; it names the offending key or value, and never holds a secret.
    const std::string& message() const noexcept { return message_; }

    friend bool operator==(const Error&, const Error&) = default;

  private:
    ErrorCode code_;
    std::string name_;
    std::string message_;
};

}  // namespace impnet
