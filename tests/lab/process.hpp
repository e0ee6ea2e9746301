// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A program that runs on one host of the lab. Its output goes to a file in the world's memory, so
// it never blocks and can be read at any time; its end is an event on a descriptor.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

#include "deadline.hpp"
#include "fd.hpp"
#include "namespace.hpp"

namespace lab {

class Process {
  public:
    struct Setting {
        std::vector<std::string> environment{};  ///< NAME=value, besides what we have ourselves
        int inherited = -1;                      ///< a descriptor that it gets as number 3
        int user = 0;                            ///< user and group id to run with
        int input = -1;                          ///< its standard input; -1: /dev/null
    };

    /// `command[0]` is looked for in PATH.
    Process(const Namespace& where, std::vector<std::string> command, const Setting& setting);
    Process(const Namespace& where, std::vector<std::string> command)
        : Process(where, std::move(command), Setting{}) {}
    /// Ends it: SIGTERM, then SIGKILL if that has no effect for 5 s.
    ~Process();
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    pid_t pid() const { return pid_; }
    bool alive();
    void kill(int signal) const;
    /// Waits for its end: exit status, or 128 + signal. Throws if it goes on after the deadline.
    int wait(const Deadline& deadline);
    /// SIGTERM, then as `wait`.
    int stop(const Deadline& deadline = Deadline(Milliseconds(5'000)));

    /// All that it has written so far, to standard output and error.
    std::string output() const;
    /// Waits until its output contains `text`, at `from` or later; returns the position behind it.
    /// Throws, with the output, if it ends before or the deadline passes.
    std::size_t wait_output(const std::string& text, const Deadline& deadline,
                            std::size_t from = 0) const;

    /// Readable when it has ended.
    int fd() const { return handle_.get(); }
    const std::string& name() const { return command_.front(); }
    /// Name of the file that has its output.
    const std::string& output_path() const { return output_path_; }

  private:
    std::vector<std::string> command_;
    std::string output_path_;
    pid_t pid_ = -1;
    int status_ = -1;  // how it ended; -1: not yet seen
    Fd handle_;
    Fd output_watch_;
};

}  // namespace lab
