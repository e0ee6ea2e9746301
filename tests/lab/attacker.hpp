// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Somebody who was given a descriptor and means ill: a process of an ordinary user, without any
// capability and never to have one, in another network and another control group. It has nothing
// but its end of a line to the test, over which descriptors come and words go.
#pragma once

#include <functional>
#include <string>

#include <sys/types.h>

#include "deadline.hpp"
#include "fd.hpp"
#include "namespace.hpp"

namespace lab {

class Attacker {
  public:
    /// The attacker's end of the line.
    class Line {
      public:
        explicit Line(int fd) : fd_(fd) {}
        /// The next descriptor that the test gives; it stays open.
        int take() const;
        void say(const std::string& words) const;
        /// Waits until the test says so.
        void wait() const;

      private:
        int fd_;
    };

    static constexpr uid_t user = 1000;

    /// Runs `attack` there, in a copy of this process; an exception ends it with status 1.
    Attacker(const Namespace& where, const std::function<void(const Line&)>& attack,
             uid_t uid = user);
    /// SIGKILL.
    ~Attacker();
    Attacker(const Attacker&) = delete;
    Attacker& operator=(const Attacker&) = delete;

    void give(int fd) const;
    void go_on() const;
    /// What it says next; throws if nothing comes.
    std::string hear(const Deadline& deadline = Deadline(Milliseconds(10'000))) const;
    /// Readable when it has said something or has ended.
    int fd() const { return line_.get(); }
    /// Waits for its end: exit status, or 128 + signal.
    int wait(const Deadline& deadline = Deadline(Milliseconds(10'000)));
    pid_t pid() const { return pid_; }

  private:
    Fd line_;
    pid_t pid_ = -1;
    bool ended_ = false;
};

/// The directory of our own control group (version 2).
std::string control_group();

}  // namespace lab
