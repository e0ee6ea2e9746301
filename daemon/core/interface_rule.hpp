// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>

#include "core/link.hpp"
#include "core/nii.hpp"

namespace impnetd {

/// One interface of the configuration: which device it is (at most one of the three), and how it is
/// treated.
struct InterfaceRule {
    Nii nii;
    std::optional<std::string> device;
    std::optional<MacAddress> mac;
    std::optional<std::string> path;
    bool managed = false;
    bool always_on = false;
    bool kernel_ipv6 = false;   ///< managed: IPv6 is the kernel's affair; else there is none
    bool down_on_stop = false;  ///< powered down when the service is stopped; else left as it is

    bool names_device() const { return device || mac || path; }
    bool same_device(const InterfaceRule& other) const {
        return device == other.device && mac == other.mac && path == other.path;
    }
    void take_device(const InterfaceRule& other) {
        device = other.device;
        mac = other.mac;
        path = other.path;
    }

    friend bool operator==(const InterfaceRule&, const InterfaceRule&) = default;
};

}  // namespace impnetd
