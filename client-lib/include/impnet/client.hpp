// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A program's connection to impnetd. Include this; it brings the rest.
//
//     auto client = impnet::Client::connect();
//     auto eth0 = client->open("eth0", [](const impnet::StateChange& change) { ... });
//     client->run();
//
// A program with a loop of its own polls `fd()` for reading instead of calling `run()`, and calls
// `dispatch()` whenever it is readable.
//
// Thread rule: a Client and everything that comes from it belong to one thread. Two threads may
// each have a Client. The one exception is `stop()`.
//
// Callbacks run from `dispatch()` or `run()` and from nowhere else, so none runs before the
// function that installed it has returned. A callback may close or destroy anything, its own object
// and the Client included, and may open more. What it throws leaves through `dispatch()`, nothing
// is lost by that, and the next `dispatch()` goes on. No other exception leaves the library, but
// for `std::bad_alloc`.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <impnet/datagram.hpp>
#include <impnet/error.hpp>
#include <impnet/export.hpp>
#include <impnet/interface.hpp>
#include <impnet/ipv4.hpp>
#include <impnet/nic.hpp>
#include <impnet/result.hpp>
#include <impnet/state.hpp>
#include <impnet/udp_socket.hpp>

namespace impnet {

namespace detail {
class Core;
}

struct Options {
    /// The D-Bus address of the daemon's bus; empty: the system bus.
    std::string bus_address = {};
    /// How long a session waits when its daemon has gone, or the bus: at most 30 s, since a daemon
    /// keeps it no longer. 0: its end is told at once.
    std::chrono::milliseconds patience{30'000};
    /// Told what the library gets over by itself, for the program's log: a daemon or a bus that
    /// goes and comes back. One line, without its end. Called from `dispatch()`.
    std::function<void(std::string_view line)> log = {};
};

/// Owns the connection: destroying it ends every session and socket that came from it; their
/// handles stay safe to use, as closed ones. Movable; one that was moved from may be assigned to or
/// destroyed.
class IMPNET_API Client {
  public:
    /// Connects to the bus. The daemon need not be there yet. Error: `no_daemon`: no bus, or one
    /// that does not answer within 5 s.
    static Result<Client> connect(const Options& options = {});

    Client(Client&&) noexcept;
    Client& operator=(Client&&) noexcept;
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;
    ~Client();

    /// Opens an interface: powers it and keeps it up until the handle is closed. Returns at once,
    /// connected or not; `on_state` is told every step from here on. An interface that others
    /// already brought up reports CONNECTED alone.
    ///
    /// A daemon that is restarted, or crashes, or loses the bus, is not the program's affair: the
    /// session waits for it, `Options::patience` long, and goes on, with the steps that it missed.
    /// Only if the daemon does not come back in time, or does not know the session any more, the
    /// last report is UNKNOWN, its reason says why, the session and its sockets are closed, and the
    /// program may open again.
    ///
    /// Errors: `invalid_argument`: the NIC, the message names the key; `no_such_interface`;
    /// `unavailable`: disabled or gone; `in_use`: an extended NIC for an interface that is in use;
    /// `not_supported`; `not_authorized`; `limit_exceeded`; `no_daemon`.
    Result<Interface> open(const Nic& nic, OnState on_state);

    /// One descriptor for everything; readable when `dispatch()` has something to do.
    /// Level-triggered.
    int fd() const noexcept;

    /// Does what there is to do and calls the callbacks for it. Never waits. One call takes a
    /// bounded number of datagrams from each socket; `fd()` stays readable for the rest. Not from
    /// inside a callback: `busy`.
    ///
    /// A bus that goes is no error: it is looked for, every second at last, and until it is back
    /// what needs the daemon gives `no_daemon`. A new connection is made step by step; only when
    /// the bus has greeted us, its answers to the last few questions are waited for.
    Result<void> dispatch();

    /// Waits and dispatches until `stop()`. Error: as `dispatch()`.
    ///
    /// The cheapest way to receive: when a Client has one socket, not counting raw ones, on the
    /// kernel path, and several of its datagrams come in one tick of the kernel's clock, they are
    /// waited for in the call that reads them. All else is then heard of up to three ticks (of 1 to
    /// 10 ms) later, `stop()` too if it does not come from a callback.
    Result<void> run();

    /// Makes `run()` return; if it does not run, the next one. May be called from a callback, from
    /// another thread, and from a signal handler.
    void stop() noexcept;

  private:
    explicit Client(std::shared_ptr<detail::Core> core) noexcept;

    std::shared_ptr<detail::Core> core_;
};

}  // namespace impnet
