// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/manager_object.hpp"

#include <utility>

#include "bus/path.hpp"
#include "bus/reply.hpp"
#include "version.hpp"

namespace impnetd::bus {

ManagerObject::ManagerObject(sdbus::IConnection& connection, const Interfaces& interfaces,
                             std::string data_path, Calls calls)
    : AdaptorInterfaces(connection, root_path),
      interfaces_(interfaces),
      data_path_(std::move(data_path)),
      calls_(std::move(calls)) {
    getObject().addObjectManager();
    // Each client's own things are not for everybody's list: it ends where another manager begins.
    connection.addObjectManager(std::string(root_path) + "/session", sdbus::floating_slot);
    connection.addObjectManager(std::string(root_path) + "/socket", sdbus::floating_slot);
    registerAdaptor();
}

ManagerObject::~ManagerObject() {
    unregisterAdaptor();
}

void ManagerObject::announce_interfaces() {
    getObject().emitPropertiesChangedSignal(INTERFACE_NAME, {"ServerInterfaces"});
}

void ManagerObject::Open(sdbus::Result<sdbus::ObjectPath>&& result, Arguments nic) {
    const auto parsed = nic.dict.and_then(parse_nic);
    if (!parsed) return refuse(result, to_bus(parsed.error()));
    const auto owner = getObject().getCurrentlyProcessedMessage()->getSender();
    calls_.open(std::make_shared<sdbus::Result<sdbus::ObjectPath>>(std::move(result)), owner,
                *parsed);
}

void ManagerObject::Resume(sdbus::Result<sdbus::ObjectPath>&& result, std::string token) {
    const auto owner = getObject().getCurrentlyProcessedMessage()->getSender();
    calls_.resume(std::make_shared<sdbus::Result<sdbus::ObjectPath>>(std::move(result)), owner,
                  token);
}

void ManagerObject::Reload(sdbus::Result<>&& result) {
    const auto caller = getObject().getCurrentlyProcessedMessage()->getSender();
    calls_.reload(std::make_shared<sdbus::Result<>>(std::move(result)), caller);
}

void ManagerObject::GetInterface(sdbus::Result<sdbus::ObjectPath>&& result, std::string nii) {
    reply(result, [&] {
        return interfaces_.find(nii).map(
            [](const impnetd::Interface* interface) { return interface_path(interface->nii()); });
    });
}

void ManagerObject::GetInfo(sdbus::Result<VariantMap>&& result) {
    reply(result, [&]() -> Result<VariantMap> {
        std::vector<Dict> tables;
        for (const auto* interface : interfaces_.all()) {
            const auto& link = interface->link();
            if (!link) continue;
            Dict table;
            table["type"] = Value{std::string(name(interface->nii().interface_class))};
            table["macaddress"] = Value{link->mac.text()};
            if (const auto speed = interfaces_.links().speed(link->ifindex); speed > 0)
                table["speed"] = Value{std::int64_t{speed}};
            tables.push_back(std::move(table));
        }
        // Without an uplink no interface is the active one, and there is no last error.
        return to_bus(Dict{{"interface", Value{std::move(tables)}}});
    });
}

std::string ManagerObject::Version() {
    return std::string(version);
}

std::vector<std::string> ManagerObject::ServerInterfaces() {
    // The order of mode `legacy`: ethernet, Wi-Fi, cellular, each by its number.
    std::vector<std::string> niis;
    for (const auto* interface : interfaces_.all()) niis.push_back(interface->nii().text());
    return niis;
}

}  // namespace impnetd::bus
