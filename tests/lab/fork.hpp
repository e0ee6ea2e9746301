// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A part of a test that runs as a process of its own, because it is to be killed.
#pragma once

#include <csignal>
#include <functional>
#include <string>

#include <sys/types.h>

#include "deadline.hpp"
#include "fd.hpp"

namespace lab {

class Fork {
  public:
    /// Says something to the test: one line.
    using Say = std::function<void(const std::string& line)>;

    /// Runs `program` in a copy of this process; an exception in it ends it with status 1.
    explicit Fork(const std::function<void(const Say&)>& program);
    /// SIGKILL.
    ~Fork();
    Fork(const Fork&) = delete;
    Fork& operator=(const Fork&) = delete;

    /// The next line that it says; throws if none comes.
    std::string hear(const Deadline& deadline);
    void kill(int signal) const { ::kill(pid_, signal); }
    /// Waits for its end: exit status, or 128 + signal.
    int wait(const Deadline& deadline);
    pid_t pid() const { return pid_; }

  private:
    pid_t pid_ = -1;
    bool ended_ = false;
    Fd words_;
    std::string heard_;
};

}  // namespace lab
