// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The daemon as it is seen over D-Bus: its methods as functions, its signals as values. All of
// sdbus-c++ is behind this, so that another release of it, with another API, changes one file.
//
// Method calls wait for their reply, 5 s at most; the daemon never blocks, so they take
// microseconds. Signals that come meanwhile wait inside libsystemd (`watch()` says so) until
// `process()` turns them into values; nothing of the program is ever called from inside a D-Bus
// frame. What begins with `ask` does not wait: the answer comes as one of those values.
//
// The connection can be lost, when the bus is restarted. It is made again, by and by and without
// waiting; meanwhile all calls give `no_daemon`, at once. A bus that freezes is another matter: a
// call to it takes its 5 s, as one to a daemon that does.
//
// Objects are addressed by the unique name of the daemon that made them, and signals are believed
// from that name only: on a system bus everybody may send everybody a signal.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "descriptor.hpp"
#include "impnet/datagram.hpp"
#include "impnet/interface.hpp"
#include "impnet/nic.hpp"
#include "impnet/result.hpp"
#include "impnet/state.hpp"
#include "pause.hpp"
#include "poller.hpp"

namespace sdbus {
class IConnection;
}

namespace impnet::detail {

class Handshake;

/// An object of the daemon: a session or a socket.
struct Remote {
    std::string owner;  ///< the unique name of the daemon it belongs to
    std::string path;

    friend auto operator<=>(const Remote&, const Remote&) = default;
};

struct StateReported {
    Remote session;
    StateChange change;
};
struct SocketClosed {
    Remote socket;
    std::string reason;
};
/// The daemon has left the bus.
struct DaemonLeft {
    std::string owner;
};
/// A daemon is on the bus.
struct DaemonCame {
    std::string owner;
};
/// The connection is lost, and with it everything that was asked and not answered.
struct BusLost {};
/// There is one again.
struct BusBack {};
/// Answers to `ask_token`, `ask_sockets` and `ask_resume`.
struct TokenTold {
    Remote session;
    std::string token;
};
struct SocketsTold {
    Remote session;
    std::vector<std::string> paths;
};
struct Resumed {
    std::uint64_t ticket = 0;
    Result<Remote> session;
};
using Signal = std::variant<StateReported, SocketClosed, DaemonLeft, DaemonCame, BusLost, BusBack,
                            TokenTold, SocketsTold, Resumed>;

class Bus {
  public:
    /// `address` empty: the system bus. What `process()` is to be called for shows in the poller
    /// under the token. Takes 5 s at most, if the bus does not answer.
    static Result<std::unique_ptr<Bus>> connect(const std::string& address, Poller& poller,
                                                Poller::Token token);
    ~Bus();
    Bus(const Bus&) = delete;
    Bus& operator=(const Bus&) = delete;

    /// Has the poller wait for what comes next, and says by when to `process()` if nothing does:
    /// CLOCK_MONOTONIC, microseconds; 0: at once.
    std::uint64_t watch();

    /// Takes in what has come, a bounded number of messages, and appends what matters. Without a
    /// connection it goes on making one.
    void process(std::vector<Signal>& signals);

    Result<Remote> open(const Nic& nic);
    /// The NII of the session's interface.
    Result<std::string> nii(const Remote& session);
    Result<IpTable> ip_table(const Remote& session);
    Result<Remote> open_udp(const Remote& session, std::uint16_t port);

    struct DataPath {
        Descriptor fd;
        std::string path;
        std::uint16_t local_port = 0;
    };
    Result<DataPath> acquire(const Remote& socket);
    Result<SendResult> send(const Remote& socket, std::string_view address, std::uint16_t port,
                            std::span<const std::byte> data);

    void ask_token(const Remote& session) noexcept;
    void ask_sockets(const Remote& session) noexcept;
    /// Asks a daemon to give a session to us. The answer carries the ticket; there is none if the
    /// connection is lost.
    void ask_resume(const std::string& daemon, const std::string& token,
                    std::uint64_t ticket) noexcept;

    /// Closes, and waits until it is done.
    Result<void> close_session(const Remote& session) noexcept;
    void close_socket(const Remote& socket) noexcept;
    /// Closes without waiting.
    void drop_session(const Remote& session) noexcept;
    void drop_socket(const Remote& socket) noexcept;

  private:
    struct Connection;

    Bus(std::string address, Poller& poller, Poller::Token token);

    Result<void> greet();
    Result<void> establish();
    sdbus::IConnection& line();
    void lose(std::vector<Signal>& signals);
    void reconnect(std::vector<Signal>& signals);

    std::string address_;
    Poller& poller_;
    Poller::Token token_;
    std::unique_ptr<Connection> connection_;  ///< none: lost
    std::unique_ptr<Handshake> handshake_;    ///< with the bus that is to be the next
    std::uint64_t next_step_ = 0;             ///< when to try again, or to give up the handshake
    Pause pause_{100'000, 1'000'000};         ///< between tries
};

}  // namespace impnet::detail
