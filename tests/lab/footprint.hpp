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
/// It has no more than so many, or comes to that soon: the end of a child or of a connection may
/// just be under way, and no event tells of it.
bool has_at_most(std::size_t descriptors, pid_t pid);
/// Waits until a daemon that has an address also hears who else claims it: that is the last thing
/// that it opens, after it has told of the address. Throws if it doesn't soon.
void await_conflict_watch(pid_t pid);
/// Anonymous memory in RAM, in bytes.
std::size_t memory_of(pid_t pid);
/// The most memory of any kind that it ever had in RAM, in bytes.
std::size_t peak_memory_of(pid_t pid);
/// Processor time so far, in milliseconds; those of ended children are not in it.
std::size_t processor_time_of(pid_t pid);

/// The first two of these at once.
struct Footprint {
    std::size_t descriptors = 0;
    std::size_t memory = 0;
};
Footprint footprint_of(pid_t pid);

struct ChildProcess {
    pid_t pid = 0;
    std::string name;
    bool zombie = false;
};
/// Oldest first.
std::vector<ChildProcess> children_of(pid_t pid);
/// Those of this name.
std::vector<ChildProcess> children_of(pid_t pid, std::string_view name);

#if defined(__SANITIZE_ADDRESS__)
#define LAB_SANITIZED 1
#else
#define LAB_SANITIZED 0
#endif

/// Built with AddressSanitizer: programs are slower then, and keep freed memory for a while, so
/// that a comparison of memory says nothing.
inline constexpr bool sanitized = LAB_SANITIZED != 0;

}  // namespace lab
