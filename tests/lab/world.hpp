// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A world of its own for each test program: own processes, mounts, networks, hostname. Whatever a
// test starts, mounts or changes is in there, and the kernel ends all of it with the test, also
// when the test crashes or is killed. The host is only ever read.
#pragma once

#include <functional>
#include <string>

namespace lab {

/// Runs `tests` in a new world and returns the status to exit with. Needs root: without it says so
/// and returns 1, it never passes by doing nothing.
int in_own_world(const std::function<int()>& tests);

/// A new sysfs over /sys, read-only, which shows the network namespace of the caller; the control
/// groups stay. The caller must be in a mount namespace of its own.
bool mount_own_sysfs();

/// A path in the world's private memory file system that nobody has had yet: "/run/lab/12.toml".
std::string fresh_path(const std::string& suffix);

/// Something went wrong where a test cannot be failed (in a destructor): says so, and makes the
/// whole run fail.
void fail_run(const std::string& what);
bool run_failed();

}  // namespace lab
