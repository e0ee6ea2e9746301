// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fork.hpp"

#include <cstdio>
#include <exception>
#include <stdexcept>

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace lab {

Fork::Fork(const std::function<void(const Say&)>& program) {
    int ends[2];
    checked(::pipe2(ends, O_CLOEXEC), "pipe2");
    words_ = Fd(ends[0]);
    const Fd speak(ends[1]);
    std::fflush(nullptr);
    const pid_t forked = checked(::fork(), "fork");
    pid_ = forked;
    if (forked != 0) return;
    int status = 0;
    // Its own signal dispositions: the test framework's handlers are about the test.
    for (const int number : {SIGTERM, SIGINT, SIGSEGV, SIGABRT}) std::signal(number, SIG_DFL);
    try {
        program([&speak](const std::string& line) {
            const std::string text = line + "\n";
            (void)!::write(speak.get(), text.data(), text.size());
        });
    } catch (const std::exception& problem) {
        std::fprintf(stderr, "in a part of the test: %s\n", problem.what());
        status = 1;
    }
    std::fflush(nullptr);
    ::_exit(status);
}

Fork::~Fork() {
    if (ended_) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
}

std::string Fork::hear(const Deadline& deadline) {
    for (;;) {
        const std::size_t end = heard_.find('\n');
        if (end != std::string::npos) {
            std::string line = heard_.substr(0, end);
            heard_.erase(0, end + 1);
            return line;
        }
        char text[256];
        if (wait_readable({words_.get()}, deadline).empty()) {
            throw std::runtime_error("the other part of the test says nothing");
        }
        const ssize_t size = ::read(words_.get(), text, sizeof(text));
        if (size <= 0) throw std::runtime_error("the other part of the test ended");
        heard_.append(text, static_cast<std::size_t>(size));
    }
}

int Fork::wait(const Deadline& deadline) {
    const Fd handle(static_cast<int>(checked(::syscall(SYS_pidfd_open, pid_, 0), "pidfd_open")));
    if (wait_readable({handle.get()}, deadline).empty()) {
        throw std::runtime_error("the other part of the test does not end");
    }
    int status = 0;
    checked(::waitpid(pid_, &status, 0), "waitpid");
    ended_ = true;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace lab
