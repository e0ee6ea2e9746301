// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A managed interface that is in use, as a value that outlives the process: what a restarted daemon
// needs to go on with it as if nothing had happened. And the names that devices have had, so that
// each gets its own again. It may hold a secret (the password of a proxy) and is never put on disk.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "core/lease.hpp"
#include "core/link.hpp"
#include "core/link_settings.hpp"
#include "core/nic.hpp"
#include "core/nii.hpp"
#include "core/state.hpp"

namespace impnetd {

struct InterfaceRecord {
    Nii nii;
    bool managed = false;  ///< as opposed to observed
    Link link;             ///< as it was last seen; ifindex 0: the device was gone
    State state = State::unknown;
    std::string reason;
    std::optional<AddressAssignment> address;  ///< put on the device, and not taken away
    std::optional<Lease> lease;
    std::optional<StaticConfig> static_network;
    std::optional<ProxyConfig> proxy;
    std::optional<LinkSettings> found;       ///< how the device was before we changed it
    std::optional<std::uint32_t> found_mtu;  ///< the same of its MTU, if a lease has another
    bool extended = false;                   ///< opened with a configuration of its own

    friend bool operator==(const InterfaceRecord&, const InterfaceRecord&) = default;
};

/// A device that has had an NII.
struct NamedDevice {
    Nii nii;
    MacAddress mac;
    std::string path;

    friend bool operator==(const NamedDevice&, const NamedDevice&) = default;
};

std::vector<std::uint8_t> write_record(const InterfaceRecord& record);
std::vector<std::uint8_t> write_record(const std::vector<NamedDevice>& names);
/// These refuse whatever `write_record` did not write.
Result<InterfaceRecord> read_interface_record(std::span<const std::uint8_t> bytes);
Result<std::vector<NamedDevice>> read_names(std::span<const std::uint8_t> bytes);

}  // namespace impnetd
