// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A part of a test in a process of its own that stops at each of its system calls, so that it can
// be killed there, or the call be made to fail: exactly, and without a seam in what is tested. (For
// x86-64: how a call is made to fail is the architecture's affair.)
#pragma once

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <system_error>

#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

class TracedChild {
  public:
    struct Call {
        std::uint64_t number;
        std::uint64_t arguments[6];
    };

    /// Runs `work` up to its first system call; a `true` of it is exit status 0, `false` 1.
    explicit TracedChild(const std::function<bool()>& work) : pid_(::fork()) {
        if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
        if (pid_ == 0) become(work);
        wait();  // for the SIGSTOP of its own
        set(PTRACE_SETOPTIONS, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    }
    ~TracedChild() {
        if (ended_) return;
        ::kill(pid_, SIGKILL);
        while (::waitpid(pid_, nullptr, __WALL) < 0 && errno == EINTR) continue;
    }
    TracedChild(const TracedChild&) = delete;
    TracedChild& operator=(const TracedChild&) = delete;

    /// Goes on to the next system call, which it is about to make; nothing: it has ended.
    std::optional<Call> next() {
        while (resume()) {
            __ptrace_syscall_info info{};
            if (::ptrace(PTRACE_GET_SYSCALL_INFO, pid_, sizeof(info), &info) < 0)
                throw std::system_error(errno, std::generic_category(), "ptrace");
            if (info.op != PTRACE_SYSCALL_INFO_ENTRY) continue;
            Call call{info.entry.nr, {}};
            for (std::size_t i = 0; i < 6; ++i) call.arguments[i] = info.entry.args[i];
            return call;
        }
        return std::nullopt;
    }
    /// The call that it is about to make is not made, and fails with this error.
    void fail_call(int error) {
        set(PTRACE_POKEUSER, offsetof(user_regs_struct, orig_rax), -1);
        if (resume()) set(PTRACE_POKEUSER, offsetof(user_regs_struct, rax), -error);
    }
    /// The third argument of the call that it is about to make: how many bytes, mostly.
    void set_third_argument(long value) {
        set(PTRACE_POKEUSER, offsetof(user_regs_struct, rdx), value);
    }
    /// SIGKILL, as it stands there.
    void kill() {
        ::kill(pid_, SIGKILL);
        while (!ended_) wait();
    }
    /// Once it has ended.
    int exit_status() const { return status_; }

  private:
    [[noreturn]] static void become(const std::function<bool()>& work) {
        int status = 2;
        try {
            if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0) {
                std::raise(SIGSTOP);
                status = work() ? 0 : 1;
            }
        } catch (...) {
            status = 3;
        }
        ::_exit(status);
    }

    template <typename Request>
    void set(Request request, std::size_t where, long value) {
        if (::ptrace(request, pid_, where, value) < 0)
            throw std::system_error(errno, std::generic_category(), "ptrace");
    }

    /// Up to the next stop; false: it has ended.
    bool resume() {
        if (ended_) return false;
        set(PTRACE_SYSCALL, 0, 0);
        wait();
        return !ended_;
    }

    void wait() {
        int status = 0;
        if (::waitpid(pid_, &status, 0) != pid_)
            throw std::system_error(errno, std::generic_category(), "waitpid");
        if (WIFSTOPPED(status)) return;
        ended_ = true;
        status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }

    pid_t pid_;
    bool ended_ = false;
    int status_ = -1;
};
