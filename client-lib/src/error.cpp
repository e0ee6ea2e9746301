// SPDX-License-Identifier: LGPL-2.1-or-later
#include "impnet/error.hpp"

#include <array>
#include <string_view>
#include <utility>

namespace impnet {

namespace {

constexpr std::string_view prefix = "org.impnet1.Error.";

struct Named {
    ErrorCode code;
    std::string_view name;
};

/// The daemon's errors, without the prefix.
constexpr std::array daemon_errors{
    Named{ErrorCode::invalid_argument, "InvalidArgument"},
    Named{ErrorCode::no_such_interface, "NoSuchInterface"},
    Named{ErrorCode::unavailable, "Unavailable"},
    Named{ErrorCode::in_use, "InUse"},
    Named{ErrorCode::not_supported, "NotSupported"},
    Named{ErrorCode::port_in_use, "PortInUse"},
    Named{ErrorCode::address_not_allowed, "AddressNotAllowed"},
    Named{ErrorCode::too_large, "TooLarge"},
    Named{ErrorCode::socket_closed, "SocketClosed"},
    Named{ErrorCode::not_owner, "NotOwner"},
    Named{ErrorCode::not_authorized, "NotAuthorized"},
    Named{ErrorCode::limit_exceeded, "LimitExceeded"},
    Named{ErrorCode::busy, "Busy"},
    Named{ErrorCode::not_connected, "NotConnected"},
    Named{ErrorCode::failed, "Failed"},
};

/// What the bus, or libsystemd for it, says when there is nobody to answer, or when the bus's own
/// policy comes before the daemon's.
constexpr std::array bus_errors{
    Named{ErrorCode::no_daemon, "org.freedesktop.DBus.Error.NoServer"},
    Named{ErrorCode::no_daemon, "org.freedesktop.DBus.Error.ServiceUnknown"},
    Named{ErrorCode::no_daemon, "org.freedesktop.DBus.Error.NameHasNoOwner"},
    Named{ErrorCode::no_daemon, "org.freedesktop.DBus.Error.NoReply"},
    Named{ErrorCode::no_daemon, "org.freedesktop.DBus.Error.Timeout"},
    Named{ErrorCode::no_daemon, "org.freedesktop.DBus.Error.TimedOut"},
    Named{ErrorCode::no_daemon, "org.freedesktop.DBus.Error.Disconnected"},
    Named{ErrorCode::no_daemon, "System.Error.ETIMEDOUT"},
    Named{ErrorCode::no_daemon, "System.Error.ENOTCONN"},
    Named{ErrorCode::no_daemon, "System.Error.ECONNRESET"},
    Named{ErrorCode::not_authorized, "org.freedesktop.DBus.Error.AccessDenied"},
};

std::string name_of(ErrorCode code) {
    for (const auto& known : daemon_errors)
        if (known.code == code) return std::string(prefix) + std::string(known.name);
    return "org.freedesktop.DBus.Error.NoReply";
}

ErrorCode code_of(std::string_view name) {
    if (name.starts_with(prefix)) {
        name.remove_prefix(prefix.size());
        for (const auto& known : daemon_errors)
            if (known.name == name) return known.code;
        return ErrorCode::failed;
    }
    for (const auto& known : bus_errors)
        if (known.name == name) return known.code;
    return ErrorCode::failed;
}

}  // namespace

Error::Error(ErrorCode code, std::string message)
    : code_(code), name_(name_of(code)), message_(std::move(message)) {}

Error::Error(std::string bus_name, std::string message)
    : code_(code_of(bus_name)), name_(std::move(bus_name)), message_(std::move(message)) {}

}  // namespace impnet
