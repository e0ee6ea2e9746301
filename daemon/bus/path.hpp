// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Names of objects on the bus.
#pragma once

#include <cstdint>
#include <string>

#include <sdbus-c++/sdbus-c++.h>

#include "core/nii.hpp"

namespace impnetd::bus {

inline constexpr const char* service_name = "org.impnet1";
inline constexpr const char* root_path = "/org/impnet1";

inline constexpr const char* policy_path = "/org/impnet1/policy";

inline sdbus::ObjectPath interface_path(Nii nii) {
    return std::string(root_path) + "/interface/" + nii.text();
}
inline sdbus::ObjectPath session_path(std::uint64_t id) {
    return std::string(root_path) + "/session/" + std::to_string(id);
}
inline sdbus::ObjectPath socket_path(std::uint64_t id) {
    return std::string(root_path) + "/socket/" + std::to_string(id);
}

}  // namespace impnetd::bus
