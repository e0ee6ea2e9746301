// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the DHCP client port and the kernel path run, as this build made it.
#pragma once

#include <filesystem>
#include <string>

#include "addressing/udhcpc.hpp"
#include "datapath/kernel/socket_source.hpp"

/// The programs of this build: they are beside the daemon.
inline impnetd::UdhcpcPrograms built_programs() {
    const auto self = std::filesystem::read_symlink("/proc/self/exe");
    return impnetd::UdhcpcPrograms::beside(self.parent_path().parent_path() / "daemon");
}

/// What the kernel path runs.
inline std::string built_socket_source() {
    const auto self = std::filesystem::read_symlink("/proc/self/exe");
    return impnetd::kernel::socket_source_program(self.parent_path().parent_path() / "daemon");
}
