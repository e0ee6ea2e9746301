// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What clients send that can be of any size, read for as long as it can be right. sdbus-c++ would
// read all of it before it asks us, byte by byte or a message object for each variant: a message
// as large as the bus lets through would cost more than a gigabyte, whoever sends it and whether
// or not he may. The generated adaptors take these types instead (dbus/CMakeLists.txt).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <sdbus-c++/sdbus-c++.h>

#include "core/datagram_policy.hpp"
#include "core/dict.hpp"
#include "core/error.hpp"

namespace impnetd::bus {

/// An `a{sv}`: as one of the rules' dictionaries, or InvalidArgument. What is not known to be
/// wrong when it is read (unknown keys, missing ones, bad values) is left to the rules.
struct Arguments {
    /// Values in all, at any depth, the elements of arrays of strings included.
    static constexpr unsigned most_values = 64;
    /// A NIC has dictionaries in a dictionary; nothing of ours is deeper.
    static constexpr unsigned deepest = 3;

    Result<Dict> dict;

    Arguments() = default;
    Arguments(const Arguments&) = default;
    Arguments(Arguments&&) = default;
    Arguments& operator=(const Arguments&) = default;
    Arguments& operator=(Arguments&&) = default;
    /// Leaves no text behind where it was in memory: it may be a secret.
    ~Arguments();
};

/// An `as`, or InvalidArgument.
struct Texts {
    Result<std::vector<std::string>> list;
};

/// A datagram's `ay`. Of one that is too large the rest is left out, and it stays too large.
struct Payload {
    static constexpr std::size_t most = max_payload + 1;

    std::vector<std::uint8_t> bytes;
};

sdbus::Message& operator>>(sdbus::Message& message, Arguments& arguments);
sdbus::Message& operator>>(sdbus::Message& message, Texts& texts);
sdbus::Message& operator>>(sdbus::Message& message, Payload& payload);

}  // namespace impnetd::bus

template <>
struct sdbus::signature_of<impnetd::bus::Arguments> {
    static constexpr bool is_valid = true;
    static std::string str() { return "a{sv}"; }
};

template <>
struct sdbus::signature_of<impnetd::bus::Texts> {
    static constexpr bool is_valid = true;
    static std::string str() { return "as"; }
};

template <>
struct sdbus::signature_of<impnetd::bus::Payload> {
    static constexpr bool is_valid = true;
    static std::string str() { return "ay"; }
};
