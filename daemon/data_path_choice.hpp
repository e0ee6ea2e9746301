// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Which data path there is: the kernel's where this host can do it, else the relay, unless the
// configuration wants one of them. What a path needs to outlive the daemon is kept in the FD store.
#pragma once

#include <memory>
#include <string>

#include "config/configuration.hpp"
#include "core/data_path.hpp"
#include "core/error.hpp"
#include "loop/loop.hpp"
#include "service/fd_store.hpp"

namespace impnetd {

/// `own_directory`: where our programs are in the build tree. Failed: the configuration wants the
/// kernel path, and this host cannot do it.
Result<std::unique_ptr<DataPath>> choose_data_path(Loop& loop, FdStore& store,
                                                   const Configuration& config,
                                                   const std::string& own_directory);

/// Ends those sockets of the process before us that no session goes on with: before the store is
/// told to drop what nobody takes. Their clients hold them still.
void end_unclaimed_sockets(FdStore& store);

}  // namespace impnetd
