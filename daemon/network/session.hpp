// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A session: one client's use of an interface, and the UDP sockets it opened under it. It ends with
// `Close` or when its owner leaves the bus, and its sockets end with it.
//
// But when the bus itself goes, or this process, nobody left: the session is then an orphan, for a
// while (`Setting::grace`). Its sockets work on; what it would have been told waits for it. Whoever
// comes with its token gets it back. For that, all that makes a session is kept in the FD store.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "core/client.hpp"
#include "core/data_path.hpp"
#include "core/error.hpp"
#include "core/nic.hpp"
#include "core/policy.hpp"
#include "core/session_record.hpp"
#include "core/state.hpp"
#include "network/interface.hpp"
#include "network/quota.hpp"
#include "service/fd_store.hpp"
#include "service/kept_value.hpp"

namespace impnetd {

class Session;

/// A socket of a session. It stays when it is closed, so that later calls are told SocketClosed.
class SessionSocket final : private DataSocket::Observer {
  public:
    class Observer {
      public:
        virtual void datagram_received(const Datagram& datagram) = 0;
        /// Closed by the daemon: a forbidden address, the session's end, the device's removal.
        virtual void socket_closed(const std::string& reason) = 0;

      protected:
        ~Observer() = default;
    };

    SessionSocket(Session& session, const SocketRecord& record)
        : session_(session), record_(record) {}

    std::uint64_t id() const { return record_.id; }
    Session& session() const { return session_; }
    Delivery delivery() const { return record_.delivery; }
    bool open() const { return data_ != nullptr; }
    /// Told at once of an end that nobody was told of.
    void observe(Observer* observer);
    /// It ended while nobody observed it: its client does not know yet.
    bool ended_untold() const { return !untold_end_.empty(); }

    std::uint16_t local_port() const;
    /// The client's descriptor, once the socket would survive us: only then may the client have
    /// it. Called back from the loop, with an error at once; not if the session ends before.
    using OnAcquired = std::function<void(Result<UniqueFd>)>;
    void acquire(OnAcquired on_acquired);
    /// `to` as the client wrote it: what is no dotted quad is a forbidden address.
    Result<SendResult> send(const std::string& to, std::uint16_t port,
                            const std::vector<std::uint8_t>& data);
    SocketCounters counters() const;
    const SocketRecord& record() const { return record_; }
    /// Takes the socket back and frees its port and its place in the quota. Idempotent. An empty
    /// reason: the client closed it, nobody is told.
    void close(const std::string& reason);

  private:
    friend class Session;

    void datagram_received(const Datagram& datagram) override;
    void socket_closed(const std::string& reason) override;
    Result<> require_open() const;
    DataPath::Request request(SocketPolicy policy) const;
    /// What the policy says of it now: it follows that, or is closed.
    void follow(const tl::expected<SocketPolicy, Decision>& verdict);
    std::string kept_name() const { return "socket-" + std::to_string(id()); }
    /// The session made it, or got it back from the process before us.
    void use(std::unique_ptr<DataSocket> data, Quota::Share share);
    /// It was closed, for this reason, and its client is to know.
    void tell_end(const std::string& reason);

    Session& session_;
    SocketRecord record_;
    Observer* observer_ = nullptr;
    std::string untold_end_;
    Quota::Share share_;
    std::unique_ptr<DataSocket> data_;
    SocketCounters last_counters_;
};

class Session final : private Interface::User {
  public:
    class Observer {
      public:
        virtual void state_reported(const StateReport& report) = 0;
        /// Older closed sockets make room: nobody can reach this one any more.
        virtual void socket_forgotten(std::uint64_t id) = 0;

      protected:
        ~Observer() = default;
    };

    /// How many closed sockets a session keeps for late calls.
    static constexpr std::size_t closed_sockets_kept = 32;
    /// How many reports wait for an owner who is away; older ones are lost then.
    static constexpr std::size_t untold_reports_kept = 1024;

    /// What all sessions use together. Outlives them.
    struct Setting {
        Loop& loop;
        DataPath& data_path;
        FdStore& store;
        Quota& sockets;
        const Policy& policy;        ///< as it is now
        Milliseconds grace{30'000};  ///< for an owner to come back
        std::function<void(Session&)> on_abandoned;
    };

    /// `kept`: where it keeps what is to outlive this process.
    Session(const Setting& setting, SessionRecord record, std::unique_ptr<KeptValue> kept,
            Interface& interface, Quota::Share share);
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    /// Joins the interface; reports follow. Called once, after the client has been told of the
    /// session: no signal comes before the reply to `Open`.
    void begin(const std::string& owner, Observer& observer);
    /// Goes on from the record: with those of its sockets that the FD store has.
    void restore();
    /// The owner went away with the bus. Reports wait from now on.
    void orphan();
    /// The owner is back, under this name. Told now: what has waited, or else the present state.
    void resume(const std::string& owner, Observer& observer);
    /// The policy has changed, and the session is still allowed: its sockets follow, or are closed.
    void follow_policy();
    /// The session is not allowed any more: its owner is told so, and it ends.
    void revoke(const Decision& denial);
    bool has_open_sockets() const { return !record_.sockets.empty(); }
    void close_sockets(const std::string& reason);
    /// Closes the sockets and leaves the interface. The destructor does, too.
    void end();

    std::uint64_t id() const { return record_.id; }
    const std::string& token() const { return record_.token; }
    const Client& client() const { return record_.client; }
    Interface& interface() const { return interface_; }
    const Nic& nic() const { return record_.nic; }
    /// The owner's name on the bus; empty: an orphan.
    const std::string& owner() const { return owner_; }
    /// What the session was last told, which is what its callback saw.
    State state() const { return record_.state; }
    const SessionRecord& record() const { return record_; }

    /// `port` 0: any. `id`: the socket's, never used before. NotAuthorized: the policy says no.
    Result<SessionSocket*> open_udp(std::uint64_t id, std::uint16_t port, Delivery delivery);
    const std::map<std::uint64_t, std::unique_ptr<SessionSocket>>& sockets() const {
        return sockets_;
    }

  private:
    friend class SessionSocket;

    void state_reported(const StateReport& report) override;
    void unusable(const std::string& reason) override;
    void restore(const SocketRecord& record);
    /// What the policy says of a socket of ours.
    tl::expected<SocketPolicy, Decision> judge(std::uint16_t port) const;
    void socket_was_closed(std::uint64_t id);
    /// The last report, told or not.
    State last_reported() const;
    void keep();

    const Setting& setting_;
    SessionRecord record_;
    Interface& interface_;
    Quota::Share share_;
    std::unique_ptr<KeptValue> kept_;
    std::string owner_;
    Observer* observer_ = nullptr;
    bool joined_ = false;
    Timer grace_;
    std::map<std::uint64_t, std::unique_ptr<SessionSocket>> sockets_;
    std::deque<std::uint64_t> closed_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for what was deferred
};

}  // namespace impnetd
