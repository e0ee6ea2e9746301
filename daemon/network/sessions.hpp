// SPDX-License-Identifier: LGPL-2.1-or-later
//
// All sessions there are, those of the process before us included, and the limits on them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/client.hpp"
#include "core/data_path.hpp"
#include "core/error.hpp"
#include "core/nic.hpp"
#include "core/policy.hpp"
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
        /// The policy does not allow it any more, and its owner was told: it is gone when this
        /// returns.
        virtual void session_revoked(Session& session) = 0;
        /// Another policy is in force.
        virtual void policy_changed() = 0;

      protected:
        ~Observer() = default;
    };

    struct Limits {
        unsigned sessions_per_uid = 64;
        unsigned sockets_per_uid = 256;
    };

    /// What a client's open sockets have done, together.
    struct Usage {
        Client client;  ///< of the oldest of its sessions
        unsigned sockets = 0;
        std::uint64_t sent = 0;
        std::uint64_t limited = 0;
        double share = 0;  ///< datagrams a second; 0: unlimited
    };

    /// `grace`: how long an orphan waits for its owner.
    Sessions(Loop& loop, Interfaces& interfaces, DataPath& data_path, FdStore& store, Limits limits,
             Policy policy, Milliseconds grace = Milliseconds(30'000));

    /// Those of the process before us go on, as orphans, as far as the policy allows them. Once,
    /// before the interfaces start.
    void restore();
    void observe(Observer* observer) { observer_ = observer; }

    /// Nothing has changed when it fails. NotAuthorized: the policy says no. Next: tell the client,
    /// then `Session::begin`.
    Result<Session*> open(const Client& client, const Nic& nic);
    /// The orphan that has this token and belongs to this user. Unavailable: there is none (any
    /// more). Busy: its owner is still there. NotAuthorized: the policy says no.
    Result<Session*> find_orphan(const std::string& token, const Client& client) const;
    void close(std::uint64_t id) { sessions_.erase(id); }
    std::vector<Session*> all() const;
    /// Is there one with a socket that is open?
    bool have_sockets() const;
    /// Takes all sockets back, whoever holds them.
    void close_sockets(const std::string& reason) const;

    /// Numbers of sockets never repeat while the daemon runs.
    std::uint64_t next_socket_id() { return ++last_socket_; }
    /// From now on; nobody loses what it has.
    void set_limits(Limits limits);

    const Policy& policy() const { return policy_; }
    /// In force at once, for all that is open.
    void set_policy(Policy policy);
    /// Each client that has open sockets, by its key.
    std::map<std::string, Usage> usage() const;

  private:
    void restore(const std::string& kept_name);
    void abandoned(Session& session);
    Result<> admit(const Client& client, std::optional<Nii> interface) const;
    void apply_policy();

    Interfaces& interfaces_;
    FdStore& store_;
    Policy policy_;
    Quota session_quota_;
    Quota socket_quota_;
    Session::Setting setting_;
    Observer* observer_ = nullptr;
    std::uint64_t last_session_ = 0;
    std::uint64_t last_socket_ = 0;
    std::map<std::uint64_t, std::unique_ptr<Session>> sessions_;
};

}  // namespace impnetd
