// SPDX-License-Identifier: LGPL-2.1-or-later
//
// RAII over libuv. One thread, one loop, no locks: whatever waits is one of these handles, and
// destroying the handle ends the waiting. libuv frees handles in a later turn of the loop; the
// types here hide that. Callbacks come from C frames, so each runs inside one catch-all
// (`Loop::guarded`): an exception that gets there is a bug, is reported to the loop's fault
// handler, and the loop goes on.
#pragma once

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>
#include <uv.h>

#include "core/error.hpp"
#include "loop/unique_fd.hpp"

namespace impnetd {

using Milliseconds = std::chrono::milliseconds;

class Loop {
  public:
    using FaultHandler = std::function<void(std::string_view what)>;

    explicit Loop(FaultHandler on_fault);
    ~Loop();
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    /// Runs until `stop()`.
    void run();
    void stop();

    /// Runs `task` once this turn's callbacks are done. For what must not happen while the caller's
    /// frames are still on the stack: destroying the object that is being called, for one.
    void defer(std::function<void()> task);

    /// Runs `task` under the catch-all that every callback has.
    void guarded(const std::function<void()>& task) const noexcept;

    uv_loop_t* raw() { return &loop_; }

  private:
    void run_deferred();

    FaultHandler on_fault_;
    uv_loop_t loop_{};
    uv_idle_t wake_{};  // active while tasks are deferred: the loop then does not block
    uv_check_t check_{};
    std::vector<std::function<void()>> deferred_;
};

/// Monotonic time in microseconds: what goes out with every state report (CLOCK_MONOTONIC).
std::uint64_t monotonic_usec();
/// The same, and it goes on while the host sleeps (CLOCK_BOOTTIME): for what others count on.
std::uint64_t boottime_usec();

/// A one-shot timer that can be started again.
class Timer {
  public:
    Timer(Loop& loop, std::function<void()> on_expiry);
    ~Timer();
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

    /// Expires once after `delay`, from now; a start that is pending is replaced.
    void start(Milliseconds delay);
    void stop();
    bool active() const;

  private:
    struct Handle;
    Handle* handle_;
};

/// Readiness of a descriptor. Owns the waiting, not the descriptor, which must outlive it.
class Poll {
  public:
    static constexpr int readable = UV_READABLE;
    static constexpr int writable = UV_WRITABLE;

    /// `on_ready` gets the events; an error on the descriptor is reported as readable.
    Poll(Loop& loop, int fd, std::function<void(int events)> on_ready);
    ~Poll();
    Poll(const Poll&) = delete;
    Poll& operator=(const Poll&) = delete;

    /// What to wait for; 0 waits for nothing.
    void watch(int events);

  private:
    struct Handle;
    Handle* handle_ = nullptr;
    int events_ = 0;
};

/// Runs in every turn of the loop, just before it blocks.
class Prepare {
  public:
    Prepare(Loop& loop, std::function<void()> on_prepare);
    ~Prepare();
    Prepare(const Prepare&) = delete;
    Prepare& operator=(const Prepare&) = delete;

  private:
    struct Handle;
    Handle* handle_;
};

/// Work that blocks, done by a thread of its own, away from the loop; nothing else of ours may be
/// touched there. `done` is called once, from the loop, unless this object is destroyed before: the
/// thread is then left to end by itself, and what it made goes with its last copy of `work`.
class Background {
  public:
    /// `done` gets what `work` threw, if it did.
    Background(Loop& loop, std::function<void()> work,
               std::function<void(std::exception_ptr)> done);
    ~Background();
    Background(const Background&) = delete;
    Background& operator=(const Background&) = delete;

  private:
    struct Task;
    std::shared_ptr<Task> task_;
    std::unique_ptr<Poll> ready_;
};

/// A signal to this process.
class SignalWatch {
  public:
    SignalWatch(Loop& loop, int signal, std::function<void()> on_signal);
    ~SignalWatch();
    SignalWatch(const SignalWatch&) = delete;
    SignalWatch& operator=(const SignalWatch&) = delete;

  private:
    struct Handle;
    Handle* handle_;
};

/// How a child process ended.
struct ExitStatus {
    int code = 0;
    int signal = 0;  ///< nonzero: ended by this signal

    std::string text() const;  ///< "status 1", "signal 9"
};

/// A child process. Descriptors other than those named are closed in it.
class Child {
  public:
    struct Command {
        std::vector<std::string> arguments;    ///< arguments[0] is the program's path
        std::vector<std::string> environment;  ///< whole: NAME=value; nothing is inherited
        /// The child's descriptors 0, 1, 2, ...: ours that it gets; -1: /dev/null for 0-2, else
        /// closed.
        std::vector<int> descriptors;
    };
    using OnExit = std::function<void(ExitStatus)>;

    /// `on_exit` is called once, from the loop, unless this object is destroyed before.
    static Result<std::unique_ptr<Child>> spawn(Loop& loop, const Command& command, OnExit on_exit);

    /// Ends the child with SIGTERM if it still runs, and reaps it whenever it is gone.
    ~Child();
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    void signal(int number);
    pid_t pid() const;

  private:
    struct Handle;
    explicit Child(Handle* handle) : handle_(handle) {}
    Handle* handle_;
};

}  // namespace impnetd
