// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a process holds, for the comparison of before and after.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace lab {

/// Open descriptors.
std::size_t descriptors_of(pid_t pid);
/// Resident memory in KiB.
std::size_t memory_of(pid_t pid);
/// Processor time so far, in milliseconds; those of ended children are not in it.
std::size_t processor_time_of(pid_t pid);

struct ChildProcess {
    pid_t pid = 0;
    std::string name;
    bool zombie = false;
};
/// Oldest first.
std::vector<ChildProcess> children_of(pid_t pid);
/// Those of this name.
std::vector<ChildProcess> children_of(pid_t pid, std::string_view name);

/// Built with AddressSanitizer: programs are slower then, and keep freed memory for a while, so
/// that a comparison of memory says nothing.
constexpr bool sanitized() {
#ifdef __SANITIZE_ADDRESS__
    return true;
#else
    return false;
#endif
}

}  // namespace lab
