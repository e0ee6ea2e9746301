// SPDX-License-Identifier: LGPL-2.1-or-later
//
// All sessions there are, those of the process before us included, and the limits on them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/client.hpp"
#include "core/data_path.hpp"
#include "core/error.hpp"
#include "core/nic.hpp"
#include "loop/loop.hpp"
#include "network/interfaces.hpp"
#include "network/quota.hpp"
#include "network/session.hpp"
#include "service/fd_store.hpp"

namespace impnetd {

class Sessions {
  public:
    class Observer {
      public:
        /// Nobody came back for it: it is gone when this returns.
        virtual void session_abandoned(Session& session) = 0;

      protected:
        ~Observer() = default;
    };

    struct Limits {
        unsigned sessions_per_uid = 64;
        unsigned sockets_per_uid = 256;
    };

    /// `grace`: how long an orphan waits for its owner.
    Sessions(Loop& loop, Interfaces& interfaces, DataPath& data_path, FdStore& store, Limits limits,
             Milliseconds grace = Milliseconds(30'000));

    /// Those of the process before us go on, as orphans. Once, before the interfaces start.
    void restore();
    void observe(Observer* observer) { observer_ = observer; }

    /// A session of a client that is admitted. Nothing has changed when it fails. Next: tell the
    /// client, then `Session::begin`.
    Result<Session*> open(const Client& client, const Nic& nic);
    /// The orphan that has this token and belongs to this user. Unavailable: there is none (any
    /// more). Busy: its owner is still there.
    Result<Session*> find_orphan(const std::string& token, const Client& client) const;
    void close(std::uint64_t id) { sessions_.erase(id); }
    std::vector<Session*> all() const;
    /// Is there one with a socket that is open?
    bool have_sockets() const;
    /// Takes all sockets back, whoever holds them.
    void close_sockets(const std::string& reason);

    /// Numbers of sockets never repeat while the daemon runs.
    std::uint64_t next_socket_id() { return ++last_socket_; }
    /// From now on; nobody loses what it has.
    void set_limits(Limits limits);

  private:
    void restore(const std::string& kept_name);
    void abandoned(Session& session);

    Interfaces& interfaces_;
    FdStore& store_;
    Quota session_quota_;
    Quota socket_quota_;
    Session::Setting setting_;
    Observer* observer_ = nullptr;
    std::uint64_t last_session_ = 0;
    std::uint64_t last_socket_ = 0;
    std::map<std::uint64_t, std::unique_ptr<Session>> sessions_;
};

}  // namespace impnetd
