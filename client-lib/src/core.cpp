// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core.hpp"

#include <algorithm>
#include <ctime>
#include <exception>
#include <system_error>
#include <utility>

#include "session.hpp"
#include "socket.hpp"

namespace impnet::detail {

using namespace std::chrono_literals;

namespace {

constexpr Poller::Token bus_token = 0;
/// Messages taken from one socket at once.
constexpr std::size_t batch_messages = 32;
/// How long a socket whose stream has ended waits to be told why.
constexpr std::uint64_t reason_usec = 1'000'000;
/// How long to wait when the kernel has no room for another watch.
constexpr std::uint64_t no_watch_usec = 10'000;
/// What a daemon grants.
constexpr std::chrono::milliseconds longest_patience = 30s;

/// A class name stands for its first instance; every other NII has a number and is an instance.
bool is_class_name(const std::string& nii) {
    return nii.empty() || nii.back() < '0' || nii.back() > '9';
}

/// As the poller counts, and not before it.
std::uint64_t deadline_of(Socket::Clock::time_point time) {
    if (time == Socket::Clock::time_point::max()) return Poller::never;
    const auto since_boot = time.time_since_epoch();
    return static_cast<std::uint64_t>(
        std::chrono::ceil<std::chrono::microseconds>(since_boot).count());
}

/// The kernel's clock as it was at the last tick: much cheaper than what it is.
std::uint64_t this_tick() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(now.tv_nsec);
}

/// Runs at the end of a scope, however it is left.
template <typename Task>
class Finally {
  public:
    explicit Finally(Task task) : task_(std::move(task)) {}
    ~Finally() { task_(); }
    Finally(const Finally&) = delete;
    Finally& operator=(const Finally&) = delete;

  private:
    Task task_;
};

}  // namespace

Result<std::shared_ptr<Core>> Core::create(const Options& options) {
    try {
        auto core = std::make_shared<Core>(options);
        auto bus = Bus::connect(options.bus_address, core->poller_, bus_token);
        if (!bus) return bus.error();
        core->bus_ = std::move(*bus);
        core->bus_used();
        return core;
    } catch (const std::exception& error) {
        return Error(ErrorCode::failed, error.what());
    }
}

Core::Core(const Options& options)
    : log_(options.log),
      patience_usec_(static_cast<std::uint64_t>(
          std::chrono::microseconds(std::clamp(options.patience, 0ms, longest_patience)).count())) {
}

void Core::shut() noexcept {
    for (const auto& [token, weak] : std::exchange(sockets_, {}))
        if (const auto socket = weak.lock()) socket->close_here();
    sessions_.clear();
    absent_.clear();
    events_.clear();
    awaited_.clear();
    rested_.clear();
    refused_.clear();
    bus_.reset();
}

Result<std::shared_ptr<Session>> Core::open(const Nic& nic, OnState on_state) {
    const Finally settled([this] { bus_used(); });
    auto remote = bus_->open(nic);
    if (!remote) return remote.error();
    std::string nii = nic.interface;
    if (is_class_name(nii)) {
        auto resolved = bus_->nii(*remote);
        if (!resolved) {
            bus_->drop_session(*remote);
            return resolved.error();
        }
        nii = std::move(*resolved);
    }
    auto session = std::make_shared<Session>(weak_from_this(), std::move(*remote), std::move(nii),
                                             std::move(on_state));
    sessions_[session->remote()] = session;
    bus_->ask_token(session->remote());
    return session;
}

Result<void> Core::turn(Wait wait) {
    if (dispatching_) return Error(ErrorCode::busy, "dispatch() was called from a callback");
    const auto self = shared_from_this();  // a callback may destroy the Client
    dispatching_ = true;
    const Finally finished([this] {
        due_.clear();
        dispatching_ = false;
        settle();
    });

    watch_rested();
    const auto ready = poller_.ready(wait);
    find_due_sockets(ready);
    const bool bus_ready = std::find(ready.begin(), ready.end(), bus_token) != ready.end();
    if (bus_ready || (bus_deadline_ != Poller::never && bus_deadline_ <= monotonic_usec()))
        take_in_bus();
    take_in_absent();
    take_in_awaited();
    tell_events();
    tell_sendable();
    deliver_datagrams(wait);
    return {};
}

Result<void> Core::run() {
    const auto self = shared_from_this();
    while (!is_shut() && !stop_.exchange(false)) {
        if (auto done = turn(Wait::yes); !done) return done;
    }
    return {};
}

void Core::stop() noexcept {
    stop_ = true;
    poller_.wake();
}

// --- What arrives --------------------------------------------------------------------------------

void Core::take_in_bus() {
    bus_used_ = true;
    std::vector<Signal> signals;
    bus_->process(signals);
    for (auto& signal : signals) std::visit([this](auto& content) { take(content); }, signal);
}

void Core::take(StateReported& report) {
    const auto found = sessions_.find(report.session);
    if (found == sessions_.end()) return;
    events_.emplace_back([weak = found->second, change = std::move(report.change)] {
        if (const auto session = weak.lock()) session->tell(change);
    });
}

void Core::take(SocketClosed& closed) {
    for (const auto& [token, weak] : sockets_) {
        const auto socket = weak.lock();
        if (!socket || socket->remote() != closed.socket) continue;
        events_.emplace_back([weak = weak, reason = std::move(closed.reason)] {
            if (const auto socket = weak.lock()) socket->tell_closed(reason);
        });
        return;
    }
}

void Core::take(DaemonLeft& left) {
    if (left.owner == daemon_) daemon_left();
    part_sessions(left.owner, "the daemon has gone");
}

void Core::take(DaemonCame& came) {
    if (came.owner == daemon_) return;
    daemon_ = came.owner;
    if (!absent_.empty()) log("the daemon is back");
    for (auto& absent : absent_) absent.absence.daemon_came(monotonic_usec());
}

void Core::take(BusLost&) {
    log("the bus connection was lost; making a new one");
    daemon_left();
    const std::string reason = "the bus connection was lost";
    for (auto& absent : absent_) absent.reason = reason;
    part_sessions("", reason);
}

void Core::take(BusBack&) {
    log("connected to the bus again");
}

void Core::take(TokenTold& told) {
    const auto found = sessions_.find(told.session);
    if (found == sessions_.end()) return;
    if (const auto session = found->second.lock()) session->set_token(std::move(told.token));
}

// --- Sessions without a daemon ------------------------------------------------------------------

void Core::daemon_left() {
    daemon_.clear();
    for (auto& absent : absent_) absent.absence.daemon_left();
}

/// The sessions of one daemon, or with an empty name all, have none now.
void Core::part_sessions(const std::string& owner, const std::string& reason) {
    const Absence absence(monotonic_usec(), patience_usec_);
    for (auto entry = sessions_.begin(); entry != sessions_.end();) {
        const auto [remote, weak] = *entry;
        if (!owner.empty() && remote.owner != owner) {
            ++entry;
            continue;
        }
        entry = sessions_.erase(entry);
        const auto session = weak.lock();
        if (!session) continue;
        if (session->token().empty() || patience_usec_ == 0) {
            end_session(weak, reason);
            continue;
        }
        session->part();
        absent_.push_back({weak, session->token(), absence, reason});
        log(session->nii() + ": " + reason + "; waiting for it to return");
    }
}

void Core::abandon(const std::string& token) {
    Absence absence(monotonic_usec(), patience_usec_);
    // It may have come back unnoticed already.
    if (!daemon_.empty()) absence.put_off(monotonic_usec());
    absent_.push_back({{}, token, absence, {}});
}

void Core::take(Resumed& resumed) {
    const auto absent = std::find_if(absent_.begin(), absent_.end(), [&](const Absent& entry) {
        return entry.ticket == resumed.ticket;
    });
    if (absent == absent_.end()) {  // too late
        if (resumed.session) bus_->drop_session(*resumed.session);
        return;
    }
    if (resumed.session) {
        if (!come_back(*absent, *resumed.session)) bus_->drop_session(*resumed.session);
        absent_.erase(absent);
        return;
    }
    switch (resumed.session.error().code()) {
        case ErrorCode::busy:  // it has not heard yet that our old connection is gone
        case ErrorCode::limit_exceeded:
        case ErrorCode::no_daemon:
            if (!daemon_.empty()) absent->absence.put_off(monotonic_usec());
            return;
        default:
            end_session(absent->session, absent->reason + ", and the session with it: " +
                                             resumed.session.error().message());
            absent_.erase(absent);
    }
}

/// False: the program does not want it any more.
bool Core::come_back(const Absent& absent, const Remote& remote) {
    const auto session = absent.session.lock();
    if (!session || !session->is_open()) return false;
    session->come_back(remote);
    sessions_[remote] = session;
    bus_->ask_sockets(remote);
    log(session->nii() + ": the session goes on");
    return true;
}

/// The daemon's sockets of a session that it gave back, compared with ours.
void Core::take(SocketsTold& told) {
    const auto found = sessions_.find(told.session);
    const auto session = found != sessions_.end() ? found->second.lock() : nullptr;
    if (!session) return;
    auto& theirs = told.paths;
    for (const auto& socket : session->sockets()) {
        if (socket->fd() < 0) continue;
        const bool known = std::erase(theirs, socket->remote().path) > 0;
        if (!std::exchange(socket->unconfirmed, false) || known) continue;
        events_.emplace_back([weak = std::weak_ptr(socket)] {
            if (const auto socket = weak.lock())
                socket->tell_closed("closed while the daemon was away");
        });
    }
    // Closed here meanwhile, or opened with an answer that never came.
    for (const auto& path : theirs) bus_->drop_socket({told.session.owner, path});
}

/// The last that the program is told of a session and its sockets.
void Core::end_session(const std::weak_ptr<Session>& ended, const std::string& reason) {
    const auto session = ended.lock();
    if (!session) return;
    session->end();
    events_.emplace_back([weak = ended, reason] {
        if (const auto session = weak.lock()) session->tell_end(reason);
    });
    for (const auto& socket : session->sockets())
        events_.emplace_back([weak = std::weak_ptr(socket), reason] {
            if (const auto socket = weak.lock()) socket->tell_closed(reason);
        });
}

void Core::take_in_absent() {
    if (absent_.empty()) return;
    const auto now = monotonic_usec();
    std::erase_if(absent_, [&](const Absent& absent) {
        if (!absent.absence.over(now)) return false;
        end_session(absent.session, absent.reason + " and did not return");
        return true;
    });
    for (auto& absent : absent_) {
        if (!absent.absence.asks(now)) continue;
        absent.ticket = ++tickets_;
        absent.absence.asked();
        bus_used_ = true;
        bus_->ask_resume(daemon_, absent.token, absent.ticket);
    }
}

void Core::take_in_awaited() {
    if (awaited_.empty()) return;
    const auto now = monotonic_usec();
    std::erase_if(awaited_, [&](const Awaited& entry) {
        if (entry.deadline_usec > now) return false;
        events_.emplace_back([weak = entry.socket] {
            if (const auto socket = weak.lock()) socket->tell_closed("closed by the daemon");
        });
        return true;
    });
}

void Core::find_due_sockets(std::span<const Poller::Token> ready) {
    if (std::exchange(work_, false)) {
        for (const auto& [token, weak] : sockets_)
            if (auto socket = weak.lock(); socket && socket->has_work())
                due_.push_back(std::move(socket));
    }
    for (const auto token : ready) {
        const auto found = sockets_.find(token);
        if (found == sockets_.end()) continue;
        auto socket = found->second.lock();
        if (socket && !socket->has_work()) due_.push_back(std::move(socket));
    }
}

// --- What is told --------------------------------------------------------------------------------

void Core::tell_events() {
    // Only what is there now: callbacks that make new events must not keep us here.
    for (auto left = events_.size(); left > 0 && !events_.empty(); --left) {
        const auto event = std::move(events_.front());
        events_.pop_front();
        event();
    }
}

void Core::tell_sendable() {
    if (refused_.empty()) return;
    const auto now = Socket::Clock::now();
    // Only those whose time has come now: callbacks that have more refused must not keep us here.
    std::vector<std::shared_ptr<Socket>> due;
    for (const auto& [token, weak] : refused_)
        if (auto socket = weak.lock(); socket && socket->sendable_at() <= now)
            due.push_back(std::move(socket));
    for (const auto& socket : due) {
        refused_.erase(socket->token());
        socket->tell_sendable(now);
    }
}

void Core::deliver_datagrams(Wait wait) {
    if (due_.empty()) return;
    if (!batch_) batch_ = std::make_unique<ReceiveBatch>(batch_messages);
    // Should a callback throw, the next dispatch looks at all of them again. Of the others, what
    // work they have was noted when it came up.
    bool left = true;
    const Finally noted([&] { work_ = work_ || left; });
    for (const auto& socket : due_) socket->deliver(*batch_, Wait::no);
    if (wait == Wait::yes) attend();
    left = std::any_of(due_.begin(), due_.end(),
                       [](const auto& socket) { return socket->has_work(); });
}

/// Datagrams that come one soon after the other are waited for in the call that reads them. In the
/// poller waiting is a call of its own, and the kernel asks with each datagram who waits there.
/// Meanwhile nothing else is heard of: so only for a tick at a time, and not if there is another
/// socket or anything whose time will come.
void Core::attend() {
    if (due_.size() != 1 || !due_.front()->can_wait() || !undisturbed()) return;
    const auto tick = this_tick();
    if (std::exchange(last_tick_, tick) != tick) return;
    const auto& socket = due_.front();
    const bool others = std::any_of(sockets_.begin(), sockets_.end(), [&](const auto& entry) {
        const auto other = entry.second.lock();
        return other && other != socket && !other->raw();
    });
    if (others) return;
    socket->rest();
    while (undisturbed() && this_tick() == tick && socket->deliver(*batch_, Wait::yes)) continue;
}

/// There is nothing but datagrams that could be heard of, and nothing to be done at some time.
bool Core::undisturbed() const {
    return !is_shut() && !stop_ && events_.empty() && !work_ && !bus_used_ &&
           bus_deadline_ == Poller::never && refused_.empty() && awaited_.empty() &&
           absent_.empty();
}

// --- What to wait for ----------------------------------------------------------------------------

void Core::bus_used() {
    bus_used_ = true;
    if (!dispatching_) settle();
}

/// Makes `fd()` say whether there is something to do.
void Core::settle() {
    if (is_shut()) return;
    std::uint64_t deadline = Poller::never;
    bool now = !events_.empty() || work_ || (!rested_.empty() && watch_again_usec_ == 0);
    if (std::exchange(bus_used_, false)) bus_deadline_ = bus_->watch();
    // Zero: messages that are in memory already, or the connection is lost. No descriptor tells.
    if (bus_deadline_ == 0)
        now = true;
    else
        deadline = bus_deadline_;
    if (watch_again_usec_ != 0) deadline = std::min(deadline, watch_again_usec_);
    for (const auto& entry : absent_) deadline = std::min(deadline, entry.absence.deadline());
    for (const auto& entry : awaited_) deadline = std::min(deadline, entry.deadline_usec);
    for (const auto& [token, weak] : refused_)
        if (const auto socket = weak.lock())
            deadline = std::min(deadline, deadline_of(socket->sendable_at()));
    poller_.set_deadline(deadline);
    if (now) poller_.wake();
}

void Core::log(std::string line) {
    if (!log_) return;
    events_.emplace_back([this, line = std::move(line)] { log_(line); });
}

ReceiveBatch& Core::scratch() {
    if (!scratch_) scratch_ = std::make_unique<ReceiveBatch>(batch_messages);
    return *scratch_;
}

void Core::add_socket(const std::shared_ptr<Socket>& socket) {
    socket->set_token(next_token_++);
    sockets_[socket->token()] = socket;
    if (!socket->raw()) poller_.watch(socket->fd(), EPOLLIN, socket->token());
}

void Core::rest(const std::shared_ptr<Socket>& socket) noexcept {
    rested_.push_back(socket);
    unwatch(*socket);
    // What the descriptor may have to show from now on shows in the next turn.
    if (!dispatching_) poller_.wake();
}

void Core::watch_rested() {
    watch_again_usec_ = 0;
    while (!rested_.empty()) {
        const auto socket = rested_.back().lock();
        if (socket && socket->is_open()) {
            try {
                poller_.watch(socket->fd(), EPOLLIN, socket->token());
            } catch (const std::system_error&) {  // others have all the watches meanwhile
                watch_again_usec_ = monotonic_usec() + no_watch_usec;
                return;
            }
            socket->rested();
        }
        rested_.pop_back();
    }
}

void Core::unwatch(const Socket& socket) {
    if (!socket.raw()) poller_.forget(socket.fd());
}

void Core::forget_socket(const Socket& socket) {
    unwatch(socket);
    refused_.erase(socket.token());
    sockets_.erase(socket.token());
}

void Core::note_work() {
    work_ = true;
    if (!dispatching_) poller_.wake();
}

void Core::await_sendable(const std::shared_ptr<Socket>& socket) {
    refused_[socket->token()] = socket;
    if (!dispatching_) settle();
}

void Core::expect_no_sendable(const Socket& socket) {
    refused_.erase(socket.token());
}

void Core::await_reason(const std::shared_ptr<Socket>& socket) {
    unwatch(*socket);
    awaited_.push_back({socket, monotonic_usec() + reason_usec});
}

}  // namespace impnet::detail
