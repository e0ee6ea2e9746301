// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The configuration key by key: what another configuration would change, and which of it has to
// wait for a start of the daemon. (Which rules of interfaces wait, because somebody uses one, is
// decided in network/interfaces.hpp.)
#pragma once

#include <string>
#include <vector>

#include "config/configuration.hpp"

namespace impnetd {

/// The names of the keys that have other values there: "timeouts.linger",
/// "interfaces.eth0.managed".
std::vector<std::string> differing_keys(const Configuration& present, const Configuration& next);

/// `next`, but as in `present` what only a start of the daemon changes.
Configuration without_restart(Configuration next, const Configuration& present);

}  // namespace impnetd
