// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A kernel that does not do as it is asked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

namespace lab {

/// From here on the kernel answers these calls of this thread with an errno. For good.
inline void refuse(const std::vector<unsigned>& calls, int error) {
    const auto refused = SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error);
    std::vector<sock_filter> program{
        sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
    for (const unsigned call : calls) {
        program.push_back(sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1));
        program.push_back(sock_filter BPF_STMT(BPF_RET | BPF_K, refused));
    }
    program.push_back(sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    const sock_fprog filter{.len = static_cast<unsigned short>(program.size()),
                            .filter = program.data()};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
        throw std::runtime_error("seccomp");
}

}  // namespace lab
