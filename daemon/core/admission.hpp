// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Who may open interfaces and sockets: the one place that decides. The decision explains itself;
// the log names the rule.
#pragma once

#include <optional>
#include <string>

#include <sys/types.h>

#include "core/client.hpp"

namespace impnetd {

struct Decision {
    bool allowed = false;
    std::string rule;  ///< which rule decided

    friend bool operator==(const Decision&, const Decision&) = default;
};

/// Root and members of the group `impnet` may. `group`: its gid, if the host has it.
Decision admit(const Client& client, std::optional<gid_t> group);

}  // namespace impnetd
