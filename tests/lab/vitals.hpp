// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a process holds at the moment: for tests that show that something leaves nothing behind.
#pragma once

#include <cstddef>
#include <ostream>

#include <sys/types.h>

#if defined(__SANITIZE_ADDRESS__)
#define LAB_SANITIZED 1
#else
#define LAB_SANITIZED 0
#endif

namespace lab {

/// Built with AddressSanitizer, which keeps freed memory for a while: sizes say little then.
inline constexpr bool sanitized = LAB_SANITIZED != 0;

struct Vitals {
    std::size_t descriptors = 0;
    std::size_t memory = 0;  ///< bytes of anonymous memory in RAM

    friend std::ostream& operator<<(std::ostream& out, const Vitals& vitals) {
        return out << vitals.descriptors << " descriptors, " << vitals.memory / 1024 << " KiB";
    }
};

/// Throws if there is no such process.
Vitals vitals(pid_t pid);

/// The most memory of any kind that the process ever had in RAM, in bytes.
std::size_t peak_memory(pid_t pid);

}  // namespace lab
