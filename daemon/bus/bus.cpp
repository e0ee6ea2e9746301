// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/bus.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "bus/path.hpp"
#include "bus/reply.hpp"
#include "log/log.hpp"

namespace impnetd::bus {

namespace {

constexpr const char* bus_name = "org.freedesktop.DBus";

/// What RequestName takes and gives (D-Bus specification, "org.freedesktop.DBus.RequestName").
constexpr std::uint32_t do_not_queue = 4;
constexpr std::uint32_t primary_owner = 1;
/// How often it is asked for before somebody else's is believed: for 5 s.
constexpr unsigned most_name_attempts = 25;
constexpr Milliseconds name_pause{200};

/// Not an answer of the bus: it is too busy, and may be asked again.
bool is_silence(const sdbus::Error& error) {
    const auto& name = error.getName();
    return name == "org.freedesktop.DBus.Error.NoReply" ||
           name == "org.freedesktop.DBus.Error.Timeout" ||
           name == "org.freedesktop.DBus.Error.LimitsExceeded";
}

}  // namespace

Bus::Bus(const Parts& parts, std::unique_ptr<Connection> connection, Events events)
    : parts_(parts),
      events_(std::move(events)),
      connection_(std::move(connection)),
      pump_(parts.loop, connection_->get(), events_.on_lost),
      callers_(parts.loop, connection_->get(), parts.calls),
      authority_(parts.loop, connection_->get()),
      choosing_(parts.loop, connection_->get()),
      name_retry_(parts.loop, [this] { request_name(); }),
      bus_(sdbus::createProxy(connection_->get(), bus_name, "/org/freedesktop/DBus")),
      manager_(connection_->get(), parts.interfaces, parts.storage,
               std::string(parts.data_path.name()),
               {.open = [this](auto result, const auto& owner,
                               const auto& nic) { open(result, owner, nic); },
                .resume = [this](auto result, const auto& owner,
                                 const auto& token) { resume(result, owner, token); },
                .authorise = [this](const auto& caller,
                                    const auto& on_decided) { authorise(caller, on_decided); },
                .reload = parts.reload}),
      policy_(parts.loop, connection_->get(), parts.interfaces, parts.sessions) {
    connection_->on_gone = [this](const std::string& name) {
        parts_.loop.guarded([&] { caller_gone(name); });
    };
    connection_->on_sleep = [this](bool about_to_sleep, const std::string& sender) {
        if (!about_to_sleep) parts_.loop.guarded([&] { host_slept(sender); });
    };
    policy_.announce_added();
    for (auto* interface : parts_.interfaces.all()) interface_added(*interface);
    for (auto* session : parts_.sessions.all()) publish(*session);
    request_name();
    parts_.interfaces.observe(this);
    parts_.sessions.observe(this);
}

Bus::~Bus() {
    parts_.interfaces.observe(nullptr);
    parts_.sessions.observe(nullptr);
    for (auto* session : parts_.sessions.all()) session->orphan();
}

void Bus::request_name() {
    bus_->callMethodAsync("RequestName")
        .onInterface(bus_name)
        .withArguments(std::string(service_name), do_not_queue)
        .uponReplyInvoke([this](const sdbus::Error* error, std::uint32_t answer) {
            parts_.loop.guarded([&] {
                if (error == nullptr) return name_answered(answer);
                if (error->getName() == "org.freedesktop.DBus.Error.AccessDenied")
                    events_.on_named(fail(ErrorCode::not_authorized, error->getMessage()));
                else
                    events_.on_lost(error->getMessage());  // a bus that ends, or does not answer
            });
        });
}

void Bus::name_answered(std::uint32_t answer) {
    if (answer == primary_owner) return events_.on_named({});
    // A process before us may have ended without the bus having noticed.
    if (++name_attempts_ < most_name_attempts) return name_retry_.start(name_pause);
    events_.on_named(fail(ErrorCode::in_use, std::string(service_name) + " has another owner"));
}

void Bus::ask_service_job(ServiceJob::OnKnown on_known) {
    service_job_ = std::make_unique<ServiceJob>(
        connection_->get(), [this, on_known = std::move(on_known)](const std::string& type) {
            parts_.loop.guarded([&] { on_known(type); });
        });
}

// --- Interfaces ---------------------------------------------------------------------------------

void Bus::interface_added(impnetd::Interface& interface) {
    auto object =
        std::make_unique<InterfaceObject>(connection_->get(), interface, parts_.interfaces.links());
    object->announce_added();
    interfaces_[interface.nii()] = std::move(object);
    manager_.announce_interfaces();
}

void Bus::interface_removed(impnetd::Interface& interface) {
    const auto found = interfaces_.find(interface.nii());
    if (found == interfaces_.end()) return;
    found->second->announce_removed();
    interfaces_.erase(found);
    // It still stands in the list while this is told.
    parts_.loop.defer([this, alive = std::weak_ptr(alive_)] {
        if (!alive.expired()) manager_.announce_interfaces();
    });
}

void Bus::interface_changed(impnetd::Interface& interface) {
    // Many things change in one step; properties follow once it is done.
    if (changed_.empty())
        parts_.loop.defer([this, alive = std::weak_ptr(alive_)] {
            if (!alive.expired()) refresh_changed();
        });
    changed_.insert(interface.nii());
}

void Bus::refresh_changed() {
    for (const auto nii : std::exchange(changed_, {}))
        if (const auto found = interfaces_.find(nii); found != interfaces_.end())
            found->second->refresh();
}

void Bus::interface_reported(impnetd::Interface& interface, const StateReport& report) {
    if (const auto found = interfaces_.find(interface.nii()); found != interfaces_.end())
        found->second->report(report);
}

void Bus::order_changed() {
    manager_.announce_order();
}

// --- Clients ------------------------------------------------------------------------------------

namespace {

/// Answers a call with an error.
template <typename Call>
std::function<void(const Error&)> refusal_of(const Call& call) {
    return [call](const Error& error) { bus::refuse(*call, to_bus(error)); };
}

}  // namespace

void Bus::identify(const std::string& caller, Task task, const Refuse& refuse) {
    const auto asked =
        callers_.identify(caller, [task = std::move(task), refuse](const Result<Client>& client) {
            if (client)
                task(*client);
            else
                refuse(client.error());
        });
    if (!asked) refuse(asked.error());
}

void Bus::authorise(const std::string& caller, const ManagerObject::OnDecided& on_decided) {
    identify(
        caller,
        [this, caller, on_decided](const Client& client) {
            if (client.uid == 0) return on_decided({});
            authority_.ask(caller, [client, on_decided](const Result<>& decision) {
                if (!decision)
                    log::warning("configure_denied", {{"client_uid", std::to_string(client.uid)},
                                                      {"client_pid", std::to_string(client.pid)},
                                                      {"client_unit", client.unit},
                                                      {"rule", decision.error().message}});
                on_decided(decision);
            });
        },
        [on_decided](const Error& error) { on_decided(tl::unexpected(error)); });
}

void Bus::open(const ManagerObject::OpenResult& result, const std::string& owner, const Nic& nic) {
    identify(
        owner,
        [this, result, owner, nic](const Client& client) {
            open_identified(*result, owner, nic, client);
        },
        refusal_of(result));
}

void Bus::open_identified(sdbus::Result<sdbus::ObjectPath>& result, const std::string& owner,
                          const Nic& nic, const Client& client) {
    std::optional<std::uint64_t> opened;
    const bool answered = reply(result, [&]() -> Result<sdbus::ObjectPath> {
        auto sealed = nic;
        if (auto done = parts_.storage.key().seal(sealed); !done)
            return tl::unexpected<Error>(done.error());
        const auto session = parts_.sessions.open(client, sealed);
        if (!session) return tl::unexpected<Error>(session.error());
        opened = (*session)->id();
        publish(**session);
        log::info("session_opened", {{"session", std::to_string(*opened)},
                                     {"interface", (*session)->interface().nii().text()},
                                     {"client_uid", std::to_string(client.uid)},
                                     {"client_pid", std::to_string(client.pid)},
                                     {"client_unit", client.unit}});
        return session_path(*opened);
    });
    if (answered) {
        if (!nic.extended()) choose_first(client, owner, nic.nii);
        return sessions_.at(*opened)->begin(owner);  // no signal comes before the reply
    }
    if (!opened) return;
    sessions_.erase(*opened);
    parts_.sessions.close(*opened);
}

/// Whoever may configure makes the interface that he opens the one that serves from now on.
void Bus::choose_first(const Client& client, const std::string& owner, Nii nii) {
    if (parts_.storage.now().first_choice == nii) return;
    const auto decided = [this, nii](const Result<>& decision) {
        if (!decision) return;
        const auto choose = [nii](StoredConfiguration& stored) -> Result<> {
            stored.first_choice = nii;
            return {};
        };
        // Nobody waits for it, and that it was not written is logged.
        parts_.storage.change(choose, [](const Result<>&) {});
    };
    if (client.uid == 0) return decided({});
    choosing_.ask(owner, decided);
}

void Bus::resume(const ManagerObject::OpenResult& result, const std::string& owner,
                 const std::string& token) {
    identify(
        owner,
        [this, result, owner, token](const Client& client) {
            resume_identified(*result, owner, token, client);
        },
        refusal_of(result));
}

void Bus::resume_identified(sdbus::Result<sdbus::ObjectPath>& result, const std::string& owner,
                            const std::string& token, const Client& client) {
    SessionObject* resumed = nullptr;
    const bool answered = reply(result, [&]() -> Result<sdbus::ObjectPath> {
        const auto session = parts_.sessions.find_orphan(token, client);
        if (!session) return tl::unexpected<Error>(session.error());
        const auto id = (*session)->id();
        resumed = sessions_.at(id).get();
        log::info("session_resumed", {{"session", std::to_string(id)},
                                      {"interface", (*session)->interface().nii().text()},
                                      {"client_uid", std::to_string(client.uid)},
                                      {"client_pid", std::to_string(client.pid)},
                                      {"client_unit", client.unit}});
        return session_path(id);
    });
    if (answered) resumed->resume(owner);
}

void Bus::publish(impnetd::Session& session) {
    const auto id = session.id();
    auto object = std::make_unique<SessionObject>(
        connection_->get(), parts_.sessions, session, std::string(parts_.data_path.name()),
        [this, id] {
            parts_.loop.defer([this, id, alive = std::weak_ptr(alive_)] {
                if (!alive.expired()) sessions_.erase(id);
            });
        });
    sessions_[id] = std::move(object);
}

void Bus::caller_gone(const std::string& owner) {
    callers_.forget(owner);
    // A bus that ends takes leave of one connection after the other, and of some before us. Only if
    // it still answers, the caller has gone and not the bus.
    if (std::any_of(sessions_.begin(), sessions_.end(),
                    [&](const auto& entry) { return entry.second->owner() == owner; }))
        make_sure_gone(owner);
}

void Bus::make_sure_gone(const std::string& owner) {
    bus_->callMethodAsync("GetId").onInterface(bus_name).uponReplyInvoke(
        [this, owner](const sdbus::Error* error, const std::string&) {
            parts_.loop.guarded([&] {
                if (error == nullptr)
                    end_sessions(owner);
                else if (is_silence(*error))
                    make_sure_gone(owner);
            });
        });
}

void Bus::end_sessions(const std::string& owner) {
    std::erase_if(sessions_, [&](const auto& entry) {
        if (entry.second->owner() != owner) return false;
        entry.second->end();
        return true;
    });
}

void Bus::session_abandoned(impnetd::Session& session) {
    // `Sessions` is closing it already.
    sessions_.erase(session.id());
}

void Bus::session_revoked(impnetd::Session& session) {
    sessions_.erase(session.id());
}

void Bus::policy_changed() {
    policy_.refresh();
}

// --- The host -----------------------------------------------------------------------------------

/// Whoever says so must be logind, or everybody could make us renew leases all day.
void Bus::host_slept(const std::string& sender) {
    bus_->callMethodAsync("GetNameOwner")
        .onInterface(bus_name)
        .withArguments(std::string("org.freedesktop.login1"))
        .uponReplyInvoke([this, sender](const sdbus::Error* error, const std::string& logind) {
            parts_.loop.guarded([&] {
                if (error != nullptr || logind != sender) return;
                log::info("host_woke_up");
                parts_.interfaces.woken_up();
            });
        });
}

}  // namespace impnetd::bus
