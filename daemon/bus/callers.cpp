// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/callers.hpp"

#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

#include <systemd/sd-login.h>

namespace impnetd::bus {

namespace {

constexpr const char* bus_name = "org.freedesktop.DBus";
constexpr const char* bus_path = "/org/freedesktop/DBus";

/// The service a process belongs to. A user's own units and login sessions do not count: anybody
/// can make any number of those.
std::string unit_of(pid_t pid) {
    char* unit = nullptr;
    if (pid <= 0 || sd_pid_get_unit(pid, &unit) < 0) return {};
    const std::unique_ptr<char, decltype(&std::free)> owned(unit, &std::free);
    const std::string_view name = unit;
    if (!name.ends_with(".service") || name.starts_with("user@")) return {};
    return std::string(name);
}

template <typename T>
T get_or(const std::map<std::string, sdbus::Variant>& map, const std::string& key, T otherwise) {
    const auto found = map.find(key);
    if (found == map.end() || !found->second.containsValueOfType<T>()) return otherwise;
    return found->second.get<T>();
}

Result<Client> client_of(const std::map<std::string, sdbus::Variant>& credentials) {
    if (!credentials.contains("UnixUserID"))
        return fail(ErrorCode::not_authorized, "the bus does not know the caller's user");
    Client client;
    client.uid = get_or<std::uint32_t>(credentials, "UnixUserID", UINT32_MAX);
    client.pid = static_cast<pid_t>(get_or<std::uint32_t>(credentials, "ProcessID", 0));
    for (const auto gid : get_or<std::vector<std::uint32_t>>(credentials, "UnixGroupIDs", {}))
        client.groups.push_back(gid);
    client.unit = unit_of(client.pid);
    return client;
}

}  // namespace

Callers::Callers(Loop& loop, sdbus::IConnection& connection, Quota& calls)
    : loop_(loop), calls_(calls), bus_(sdbus::createProxy(connection, bus_name, bus_path)) {}

Result<> Callers::identify(const std::string& unique_name, OnIdentified on_identified) {
    auto& connection = connections_[unique_name];
    std::optional<Quota::Share> share;
    if (connection.uid) share = calls_.take(*connection.uid);
    if (connection.uid ? !share : connection.waiting >= calls_.limit())
        return fail(ErrorCode::limit_exceeded,
                    "a user may have " + std::to_string(calls_.limit()) + " calls under way");
    if (!share) ++connection.waiting;
    bus_->callMethodAsync("GetConnectionCredentials")
        .onInterface(bus_name)
        .withArguments(unique_name)
        .uponReplyInvoke(
            // The handler has to be copyable.
            [this, unique_name, on_identified = std::move(on_identified),
             share = std::make_shared<std::optional<Quota::Share>>(std::move(share))](
                const sdbus::Error* error,
                const std::map<std::string, sdbus::Variant>& credentials) {
                loop_.guarded([&] {
                    const auto found = connections_.find(unique_name);
                    if (found == connections_.end()) return;  // gone meanwhile
                    if (*share)
                        share->reset();
                    else
                        --found->second.waiting;
                    if (error != nullptr) {
                        on_identified(
                            fail(ErrorCode::not_authorized, "the caller is unknown to the bus"));
                        return;
                    }
                    const auto client = client_of(credentials);
                    if (client) found->second.uid = client->uid;
                    on_identified(client);
                });
            });
    return {};
}

}  // namespace impnetd::bus
