// SPDX-License-Identifier: LGPL-2.1-or-later
//
// impnetd on one connection to the bus: publishes the interfaces, lets clients in, and cleans up
// after them. An object for each thing, and here what connects them: who is calling, what is there,
// who has left. When the connection is lost this goes, and the sessions stay (bus/presence.hpp).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include <sdbus-c++/sdbus-c++.h>

#include "bus/authority.hpp"
#include "bus/callers.hpp"
#include "bus/connection.hpp"
#include "bus/interface_object.hpp"
#include "bus/manager_object.hpp"
#include "bus/policy_object.hpp"
#include "bus/service_job.hpp"
#include "bus/session_object.hpp"
#include "loop/bus_pump.hpp"
#include "loop/loop.hpp"
#include "network/interfaces.hpp"
#include "network/quota.hpp"
#include "network/sessions.hpp"
#include "storage/storage.hpp"

namespace impnetd::bus {

class Bus final : private Interfaces::Observer, private Sessions::Observer {
  public:
    struct Parts {
        Loop& loop;
        Interfaces& interfaces;
        Sessions& sessions;
        DataPath& data_path;
        Storage& storage;
        std::function<Result<>()> reload;  ///< reads the configuration again
        Quota& calls;                      ///< of each user, under way at the same time
    };
    struct Events {
        /// The name org.impnet1 is ours, or (with the reason) it cannot be.
        std::function<void(const Result<>&)> on_named;
        /// The connection broke. This object is to be destroyed soon, not at once.
        std::function<void(const std::string& reason)> on_lost;
    };

    /// Publishes what is there, and asks for the name org.impnet1 last, so that whoever sees the
    /// name finds everything. Never blocks.
    Bus(const Parts& parts, std::unique_ptr<Connection> connection, Events events);
    /// The sessions are orphans from now on.
    ~Bus();
    Bus(const Bus&) = delete;
    Bus& operator=(const Bus&) = delete;

    /// What systemd is doing with the service (bus/service_job.hpp).
    void ask_service_job(ServiceJob::OnKnown on_known);

  private:
    void interface_added(impnetd::Interface& interface) override;
    void interface_removed(impnetd::Interface& interface) override;
    void interface_changed(impnetd::Interface& interface) override;
    void interface_reported(impnetd::Interface& interface, const StateReport& report) override;
    void order_changed() override;
    void session_abandoned(impnetd::Session& session) override;
    void session_revoked(impnetd::Session& session) override;
    void policy_changed() override;
    void refresh_changed();
    void request_name();
    void name_answered(std::uint32_t answer);

    void open(const ManagerObject::OpenResult& result, const std::string& owner, const Nic& nic);
    void open_identified(sdbus::Result<sdbus::ObjectPath>& result, const std::string& owner,
                         const Nic& nic, const Client& client);
    void resume(const ManagerObject::OpenResult& result, const std::string& owner,
                const std::string& token);
    void resume_identified(sdbus::Result<sdbus::ObjectPath>& result, const std::string& owner,
                           const std::string& token, const Client& client);
    void authorise(const std::string& caller, const ManagerObject::OnDecided& on_decided);
    void choose_first(const Client& client, const std::string& owner, Nii nii);
    using Task = std::function<void(const Client&)>;
    using Refuse = std::function<void(const Error&)>;
    /// Asks who `caller` is, and goes on with `task`, or tells why not.
    void identify(const std::string& caller, Task task, const Refuse& refuse);
    void publish(impnetd::Session& session);
    void caller_gone(const std::string& owner);
    void make_sure_gone(const std::string& owner);
    void end_sessions(const std::string& owner);
    void host_slept(const std::string& sender);

    Parts parts_;
    Events events_;
    std::unique_ptr<Connection> connection_;
    BusPump pump_;
    Callers callers_;
    Authority authority_;
    // On its own: programs that only open must not keep administrators waiting.
    Authority choosing_;
    Timer name_retry_;
    unsigned name_attempts_ = 0;
    std::unique_ptr<sdbus::IProxy> bus_;
    std::unique_ptr<ServiceJob> service_job_;
    ManagerObject manager_;
    PolicyObject policy_;
    std::map<Nii, std::unique_ptr<InterfaceObject>> interfaces_;
    std::set<Nii> changed_;
    std::map<std::uint64_t, std::unique_ptr<SessionObject>> sessions_;
    // Expires with this object: for what was deferred.
    std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace impnetd::bus
