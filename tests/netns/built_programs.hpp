// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the DHCP client port runs, as this build made it.
#pragma once

#include <filesystem>

#include "addressing/udhcpc.hpp"

/// The programs of this build: they are beside the daemon.
inline impnetd::UdhcpcPrograms built_programs() {
    const auto self = std::filesystem::read_symlink("/proc/self/exe");
    return impnetd::UdhcpcPrograms::beside(self.parent_path().parent_path() / "daemon");
}
