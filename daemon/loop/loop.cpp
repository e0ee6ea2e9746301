// SPDX-License-Identifier: LGPL-2.1-or-later
#include "loop/loop.hpp"

#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <system_error>
#include <thread>

#include <sys/eventfd.h>
#include <time.h>

namespace impnetd {

namespace {

/// libuv fails these only for bad arguments or lack of memory: bugs, and so exceptions.
void check(int status, const char* what) {
    if (status < 0) throw std::runtime_error(std::string(what) + ": " + uv_strerror(status));
}

/// libuv still uses a handle until its close callback: that is where it is freed.
template <typename Handle>
void close(Handle* handle) {
    handle->callback = nullptr;
    uv_close(reinterpret_cast<uv_handle_t*>(&handle->uv),
             [](uv_handle_t* raw) { delete static_cast<Handle*>(raw->data); });
}

/// Calls the handle's callback by copy: it may destroy the handle.
template <typename Handle, typename... Arguments>
void call(void* data, Arguments... arguments) {
    auto* handle = static_cast<Handle*>(data);
    if (!handle->callback) return;
    handle->loop->guarded([callback = handle->callback, arguments...] { callback(arguments...); });
}

std::uint64_t usec_of(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
           static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

}  // namespace

// --- Loop ---------------------------------------------------------------------------------------

Loop::Loop(FaultHandler on_fault) : on_fault_(std::move(on_fault)) {
    // Whoever we write to, the log's reader for one, may be gone: that is an error, not our end.
    // (Children get the default back from libuv.)
    std::signal(SIGPIPE, SIG_IGN);
    check(uv_loop_init(&loop_), "uv_loop_init");
    uv_idle_init(&loop_, &wake_);
    uv_check_init(&loop_, &check_);
    check_.data = this;
    uv_check_start(&check_,
                   [](uv_check_t* handle) { static_cast<Loop*>(handle->data)->run_deferred(); });
}

Loop::~Loop() {
    deferred_.clear();  // what these tasks are about is gone
    uv_close(reinterpret_cast<uv_handle_t*>(&wake_), nullptr);
    uv_close(reinterpret_cast<uv_handle_t*>(&check_), nullptr);
    // Children that were told to end have had their time: the exit waits for none of them.
    const auto end_child = [](uv_handle_t* handle, void*) {
        if (handle->type == UV_PROCESS && uv_is_active(handle) != 0)
            uv_process_kill(reinterpret_cast<uv_process_t*>(handle), SIGKILL);
    };
    uv_walk(&loop_, end_child, nullptr);
    uv_run(&loop_, UV_RUN_DEFAULT);  // the pending close callbacks
    uv_loop_close(&loop_);
}

void Loop::run() {
    uv_run(&loop_, UV_RUN_DEFAULT);
}

void Loop::stop() {
    uv_stop(&loop_);
}

void Loop::defer(std::function<void()> task) {
    deferred_.push_back(std::move(task));
    uv_idle_start(&wake_, [](uv_idle_t*) {});
}

void Loop::run_deferred() {
    uv_idle_stop(&wake_);
    // What these tasks defer in turn waits for the next turn.
    for (auto& task : std::exchange(deferred_, {})) guarded(task);
}

void Loop::guarded(const std::function<void()>& task) const noexcept {
    try {
        try {
            task();
        } catch (const std::exception& e) {
            on_fault_(e.what());
        } catch (...) {
            on_fault_("an exception of unknown type");
        }
    } catch (
        ...) {  // NOLINT(bugprone-empty-catch): the report itself failed, and a C frame is below
    }
}

std::uint64_t monotonic_usec() {
    return usec_of(CLOCK_MONOTONIC);
}

std::uint64_t boottime_usec() {
    return usec_of(CLOCK_BOOTTIME);
}

// --- Timer --------------------------------------------------------------------------------------

struct Timer::Handle {
    uv_timer_t uv{};
    Loop* loop;
    std::function<void()> callback;
};

Timer::Timer(Loop& loop, std::function<void()> on_expiry)
    : handle_(new Handle{.loop = &loop, .callback = std::move(on_expiry)}) {
    uv_timer_init(loop.raw(), &handle_->uv);
    handle_->uv.data = handle_;
}

Timer::~Timer() {
    close(handle_);
}

void Timer::start(Milliseconds delay) {
    uv_update_time(handle_->loop->raw());  // the loop's own time may be as old as its last turn
    uv_timer_start(
        &handle_->uv, [](uv_timer_t* timer) { call<Handle>(timer->data); },
        static_cast<std::uint64_t>(delay.count()), 0);
}

void Timer::stop() {
    uv_timer_stop(&handle_->uv);
}

bool Timer::active() const {
    return uv_is_active(reinterpret_cast<uv_handle_t*>(&handle_->uv)) != 0;
}

// --- Poll ---------------------------------------------------------------------------------------

struct Poll::Handle {
    uv_poll_t uv{};
    Loop* loop;
    std::function<void(int)> callback;
    int events = 0;

    void watch(int wanted) {
        events = wanted;
        uv_poll_start(&uv, wanted, [](uv_poll_t* poll, int status, int ready) {
            // libuv ends the watching on an error. To a socket it is news like any other (a netlink
            // socket that overran, say), over as soon as it is read.
            if (status < 0) {
                auto* handle = static_cast<Handle*>(poll->data);
                handle->watch(handle->events);
            }
            call<Handle>(poll->data, status < 0 ? readable : ready);
        });
    }
};

Poll::Poll(Loop& loop, int fd, std::function<void(int)> on_ready) {
    auto handle = std::make_unique<Handle>();
    handle->loop = &loop;
    handle->callback = std::move(on_ready);
    check(uv_poll_init(loop.raw(), &handle->uv, fd), "uv_poll_init");
    handle_ = handle.release();
    handle_->uv.data = handle_;
}

Poll::~Poll() {
    close(handle_);
}

void Poll::watch(int events) {
    if (events == events_) return;
    events_ = events;
    if (events == 0) {
        uv_poll_stop(&handle_->uv);
        return;
    }
    handle_->watch(events);
}

// --- Prepare ------------------------------------------------------------------------------------

struct Prepare::Handle {
    uv_prepare_t uv{};
    Loop* loop;
    std::function<void()> callback;
};

Prepare::Prepare(Loop& loop, std::function<void()> on_prepare)
    : handle_(new Handle{.loop = &loop, .callback = std::move(on_prepare)}) {
    uv_prepare_init(loop.raw(), &handle_->uv);
    handle_->uv.data = handle_;
    uv_prepare_start(&handle_->uv, [](uv_prepare_t* prepare) { call<Handle>(prepare->data); });
}

Prepare::~Prepare() {
    close(handle_);
}

// --- Background ---------------------------------------------------------------------------------

struct Background::Task {
    std::function<void()> work;
    std::exception_ptr problem;
    UniqueFd finished;  // an eventfd, which orders what was written before it
};

namespace {

class SignalsBlocked {
  public:
    SignalsBlocked() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;

  private:
    sigset_t before_{};
};

}  // namespace

Background::Background(Loop& loop, std::function<void()> work,
                       std::function<void(std::exception_ptr)> done)
    : task_(std::make_shared<Task>()) {
    task_->work = std::move(work);
    task_->finished.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!task_->finished) throw std::system_error(errno, std::generic_category(), "eventfd");
    ready_ =
        std::make_unique<Poll>(loop, task_->finished.get(), [this, done = std::move(done)](int) {
            ready_->watch(0);
            done(task_->problem);
        });
    ready_->watch(Poll::readable);
    const SignalsBlocked signals;  // they are the loop's: the thread takes none
    std::thread([task = task_] {
        try {
            task->work();
        } catch (...) {
            task->problem = std::current_exception();
        }
        ::eventfd_write(task->finished.get(), 1);
    }).detach();
}

Background::~Background() = default;

// --- SignalWatch --------------------------------------------------------------------------------

struct SignalWatch::Handle {
    uv_signal_t uv{};
    Loop* loop;
    std::function<void()> callback;
};

SignalWatch::SignalWatch(Loop& loop, int signal, std::function<void()> on_signal)
    : handle_(new Handle{.loop = &loop, .callback = std::move(on_signal)}) {
    uv_signal_init(loop.raw(), &handle_->uv);
    handle_->uv.data = handle_;
    uv_signal_start(
        &handle_->uv, [](uv_signal_t* watch, int) { call<Handle>(watch->data); }, signal);
}

SignalWatch::~SignalWatch() {
    close(handle_);
}

// --- Child --------------------------------------------------------------------------------------

struct Child::Handle {
    uv_process_t uv{};
    Loop* loop = nullptr;
    std::function<void(ExitStatus)> callback;
    bool running = false;
    bool owned = true;  // by a Child; else the handle frees itself when the process is gone
};

std::string ExitStatus::text() const {
    return signal != 0 ? "signal " + std::to_string(signal) : "status " + std::to_string(code);
}

Result<std::unique_ptr<Child>> Child::spawn(Loop& loop, const Command& command, OnExit on_exit) {
    const auto pointers = [](const std::vector<std::string>& strings) {
        std::vector<char*> out;
        out.reserve(strings.size() + 1);
        for (const auto& s : strings) out.push_back(const_cast<char*>(s.c_str()));
        out.push_back(nullptr);
        return out;
    };
    auto arguments = pointers(command.arguments);
    auto environment = pointers(command.environment);
    std::vector<uv_stdio_container_t> stdio(command.descriptors.size());
    for (std::size_t i = 0; i < stdio.size(); ++i) {
        const int fd = command.descriptors[i];
        stdio[i].flags = fd < 0 ? UV_IGNORE : UV_INHERIT_FD;
        stdio[i].data.fd = fd;
    }

    uv_process_options_t options{};
    options.file = arguments.front();
    options.args = arguments.data();
    options.env = environment.data();
    options.stdio = stdio.data();
    options.stdio_count = static_cast<int>(stdio.size());
    options.exit_cb = [](uv_process_t* process, std::int64_t code, int signal) {
        auto* handle = static_cast<Handle*>(process->data);
        handle->running = false;
        if (handle->owned)
            call<Handle>(handle, ExitStatus{static_cast<int>(code), signal});
        else
            close(handle);
    };

    auto* handle = new Handle;
    handle->loop = &loop;
    handle->uv.data = handle;
    handle->callback = std::move(on_exit);
    if (const int status = uv_spawn(loop.raw(), &handle->uv, &options); status < 0) {
        close(handle);  // libuv has initialised it all the same
        return fail(ErrorCode::failed, command.arguments.front() + ": " + uv_strerror(status));
    }
    handle->running = true;
    return std::unique_ptr<Child>(new Child(handle));
}

Child::~Child() {
    handle_->owned = false;
    handle_->callback = nullptr;
    if (handle_->running)
        signal(SIGTERM);
    else
        close(handle_);
}

void Child::signal(int number) {
    if (handle_->running) uv_process_kill(&handle_->uv, number);
}

pid_t Child::pid() const {
    return handle_->uv.pid;
}

}  // namespace impnetd
