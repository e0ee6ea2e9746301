// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/error.hpp"

namespace impnetd {

std::string_view bus_name(ErrorCode code) {
    switch (code) {
        case ErrorCode::invalid_argument:
            return "org.impnet1.Error.InvalidArgument";
        case ErrorCode::no_such_interface:
            return "org.impnet1.Error.NoSuchInterface";
        case ErrorCode::unavailable:
            return "org.impnet1.Error.Unavailable";
        case ErrorCode::in_use:
            return "org.impnet1.Error.InUse";
        case ErrorCode::not_supported:
            return "org.impnet1.Error.NotSupported";
        case ErrorCode::port_in_use:
            return "org.impnet1.Error.PortInUse";
        case ErrorCode::address_not_allowed:
            return "org.impnet1.Error.AddressNotAllowed";
        case ErrorCode::too_large:
            return "org.impnet1.Error.TooLarge";
        case ErrorCode::socket_closed:
            return "org.impnet1.Error.SocketClosed";
        case ErrorCode::not_owner:
            return "org.impnet1.Error.NotOwner";
        case ErrorCode::not_authorized:
            return "org.impnet1.Error.NotAuthorized";
        case ErrorCode::limit_exceeded:
            return "org.impnet1.Error.LimitExceeded";
        case ErrorCode::busy:
            return "org.impnet1.Error.Busy";
        case ErrorCode::not_connected:
            return "org.impnet1.Error.NotConnected";
        case ErrorCode::failed:
            break;
    }
    return "org.impnet1.Error.Failed";
}

}  // namespace impnetd
