// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Expected failures are values. Each has a code, which is also a name on the bus
// (`org.impnet1.Error.<Name>`), and a message that names the offending key or value, never a
// secret.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace impnetd {

enum class ErrorCode : std::uint8_t {
    invalid_argument,
    no_such_interface,
    unavailable,
    in_use,
    not_supported,
    port_in_use,
    address_not_allowed,
    too_large,
    socket_closed,
    not_owner,
    not_authorized,
    limit_exceeded,
    busy,
    not_connected,
    failed,
};

/// The D-Bus error name of a code, for example "org.impnet1.Error.PortInUse".
std::string_view bus_name(ErrorCode code);

struct Error {
    ErrorCode code = ErrorCode::failed;
    std::string message;

    friend bool operator==(const Error&, const Error&) = default;
};

template <typename T = void>
using Result = tl::expected<T, Error>;

/// `return fail(ErrorCode::port_in_use, "port 2001 is taken on eth0");`
inline tl::unexpected<Error> fail(ErrorCode code, std::string message) {
    return tl::unexpected<Error>(Error{code, std::move(message)});
}

}  // namespace impnetd
