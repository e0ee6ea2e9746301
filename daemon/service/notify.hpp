// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What is told to the service manager that started us: the protocol of sd_notify(3), with
// descriptors. Without a service manager ($NOTIFY_SOCKET) nothing is told to nobody, and that is
// fine. libsystemd's own calls wait when the manager is slow; here what does not go out at once
// waits in order, and the loop goes on.
#pragma once

#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "loop/loop.hpp"
#include "loop/unique_fd.hpp"

namespace impnetd {

class Notify {
  public:
    /// `address`: of $NOTIFY_SOCKET: a path, or "@" and an abstract name; empty: nobody listens.
    /// Throws std::system_error if it cannot be reached.
    Notify(Loop& loop, const std::string& address);
    ~Notify();
    Notify(const Notify&) = delete;
    Notify& operator=(const Notify&) = delete;

    /// Whether somebody listens.
    bool present() const { return poll_.has_value(); }

    /// Lines of NAME=value. The descriptors are passed along; ours stay ours.
    void send(std::string text, const std::vector<int>& descriptors = {});

    /// Takes back a message that still waits, if there is one: nobody needs it any more.
    void withdraw(const std::string& text);

    /// Calls back, later, from the loop, once the manager has dealt with everything sent so far.
    /// Also after 5 s of silence: a manager that hangs must not take us along.
    void barrier(std::function<void()> done);

    /// Sends what still waits, as far as it goes without waiting: before the process ends.
    void flush();

  private:
    struct Message {
        std::string text;
        std::vector<UniqueFd> descriptors;
    };
    struct Barrier;

    void write();
    bool write(const Message& message) const;
    void passed(const Barrier& barrier);

    Loop& loop_;
    UniqueFd socket_;
    std::optional<Poll> poll_;
    std::deque<Message> waiting_;
    std::list<Barrier> barriers_;
};

}  // namespace impnetd
