// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What is behind a Client: the bus, the poller, and who is registered with them. Sessions and
// sockets belong to their handles; here they are only known, so that what arrives finds them.
//
// Everything that is to be told to the program goes through one queue, emptied by `dispatch()` with
// no other frame of ours or of D-Bus above it than its own: so a callback may do anything, to any
// object. Whatever a callback could destroy, `dispatch()` holds by a shared pointer meanwhile.
//
// When the daemon goes, or the bus, the sessions part from it and are kept on a list of absent ones
// until a daemon resumes them, refuses to, or their time is over. A session that the program closes
// meanwhile stays on the list: it is resumed to be closed, so that its ports are free and its
// interface may rest, rather than 30 s later.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "absence.hpp"
#include "bus.hpp"
#include "impnet/client.hpp"
#include "impnet/result.hpp"
#include "impnet/state.hpp"
#include "poller.hpp"
#include "receive_batch.hpp"

namespace impnet::detail {

class Session;
class Socket;

class Core : public std::enable_shared_from_this<Core> {
  public:
    static Result<std::shared_ptr<Core>> create(const Options& options);
    explicit Core(const Options& options);

    /// The Client is gone: nothing works any more, nothing more is called.
    void shut() noexcept;
    bool is_shut() const { return bus_ == nullptr; }

    Result<std::shared_ptr<Session>> open(const Nic& nic, OnState on_state);

    int fd() const { return poller_.fd(); }
    Result<void> dispatch() { return turn(Wait::no); }
    Result<void> run();
    void stop() noexcept;

    // For sessions and sockets. The bus is there as long as `is_shut()` is not.

    /// Whoever does anything with it calls `bus_used()` afterwards: messages may have been read by
    /// the way.
    Bus& bus() { return *bus_; }
    void bus_used();
    ReceiveBatch& scratch();

    void add_socket(const std::shared_ptr<Socket>& socket);
    void forget_session(const Remote& remote) { sessions_.erase(remote); }
    void forget_socket(const Socket& socket);
    /// Has a session closed that a daemon was not there to close.
    void abandon(const std::string& token);

    /// A socket sends and sends, or is read without the poller: until the next turn its descriptor
    /// is not watched, for whoever watches one costs the kernel as much with each datagram as all
    /// the rules for it.
    void rest(const std::shared_ptr<Socket>& socket) noexcept;
    /// Stops watching a socket's descriptor.
    void unwatch(const Socket& socket);
    /// A socket has work that its descriptor does not show.
    void note_work();
    /// The rate limit has refused something of this socket, which is to be told when it may send.
    void await_sendable(const std::shared_ptr<Socket>& socket);
    /// It is not to be told any more.
    void expect_no_sendable(const Socket& socket);
    /// The stream of this socket is at its end. Why, a signal is about to tell; if not, it is told
    /// without.
    void await_reason(const std::shared_ptr<Socket>& socket);

  private:
    using Event = std::function<void()>;
    struct Awaited {
        std::weak_ptr<Socket> socket;
        std::uint64_t deadline_usec;
    };

    /// A session without a daemon. No session: it is only to be closed.
    struct Absent {
        std::weak_ptr<Session> session;
        std::string token;
        Absence absence;
        std::string reason;        ///< of the absence
        std::uint64_t ticket = 0;  ///< of the last question for it
    };

    Result<void> turn(Wait wait);
    void take_in_bus();
    void take(StateReported& report);
    void take(SocketClosed& closed);
    void take(DaemonLeft& left);
    void take(DaemonCame& came);
    void take(BusLost& lost);
    void take(BusBack& back);
    void take(TokenTold& told);
    void take(SocketsTold& told);
    void take(Resumed& resumed);
    void part_sessions(const std::string& owner, const std::string& reason);
    void daemon_left();
    bool come_back(const Absent& absent, const Remote& remote);
    void end_session(const std::weak_ptr<Session>& ended, const std::string& reason);
    void take_in_absent();
    void take_in_awaited();
    void log(std::string line);
    void tell_events();
    void tell_sendable();
    void deliver_datagrams(Wait wait);
    void attend();
    bool undisturbed() const;
    void find_due_sockets(std::span<const Poller::Token> ready);
    void watch_rested();
    void settle();

    Poller poller_;
    std::unique_ptr<Bus> bus_;
    std::uint64_t bus_deadline_ = 0;
    bool bus_used_ = true;  ///< since `bus_deadline_` was asked for
    std::string daemon_;    ///< its name on the bus; empty: not there
    std::function<void(std::string_view)> log_;
    std::uint64_t patience_usec_;

    std::map<Remote, std::weak_ptr<Session>> sessions_;
    std::map<Poller::Token, std::weak_ptr<Socket>> sockets_;
    Poller::Token next_token_ = 1;  // 0 is the bus
    std::vector<Absent> absent_;
    std::uint64_t tickets_ = 0;
    std::deque<Event> events_;
    std::vector<Awaited> awaited_;
    std::vector<std::weak_ptr<Socket>> rested_;
    std::uint64_t watch_again_usec_ = 0;  ///< the kernel has no room for the watches of these
    std::map<Poller::Token, std::weak_ptr<Socket>> refused_;  ///< those that wait to be told
    bool work_ = false;
    bool dispatching_ = false;
    std::vector<std::shared_ptr<Socket>> due_;  ///< in this turn
    std::uint64_t last_tick_ = 0;               ///< in which there were datagrams
    std::atomic<bool> stop_ = false;

    // Two: a callback, which looks into the first, may send and so read by way of the second.
    std::unique_ptr<ReceiveBatch> batch_;
    std::unique_ptr<ReceiveBatch> scratch_;
};

}  // namespace impnet::detail
