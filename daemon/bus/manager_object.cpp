// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/manager_object.hpp"

#include <utility>

#include "bus/path.hpp"
#include "bus/reply.hpp"
#include "core/quote.hpp"
#include "core/stored_configuration.hpp"
#include "version.hpp"

namespace impnetd::bus {

namespace {

/// An NII that is an argument by itself.
Result<Nii> resolve(const std::string& text) {
    const auto nii = Nii::resolve(text);
    if (!nii) return fail(ErrorCode::no_such_interface, "nii: no NII \"" + shortened(text) + "\"");
    return *nii;
}

}  // namespace

ManagerObject::ManagerObject(sdbus::IConnection& connection, const Interfaces& interfaces,
                             Storage& storage, std::string data_path, Calls calls)
    : AdaptorInterfaces(connection, root_path),
      interfaces_(interfaces),
      storage_(storage),
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

void ManagerObject::announce_order() {
    getObject().emitPropertiesChangedSignal(INTERFACE_NAME, {"Mode", "ServerInterfaces"});
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

// --- What configures ----------------------------------------------------------------------------

template <typename... Values>
void ManagerObject::authorise(const Pending<Values...>& result, std::function<void()> task) {
    calls_.authorise(getObject().getCurrentlyProcessedMessage()->getSender(),
                     [result, task = std::move(task)](const Result<>& decision) {
                         if (decision)
                             task();
                         else
                             refuse(*result, to_bus(decision.error()));
                     });
}

void ManagerObject::store(sdbus::Result<>&& result, Storage::Change change) {
    const auto pending = std::make_shared<sdbus::Result<>>(std::move(result));
    authorise(pending, [this, pending, change = std::move(change)] {
        const auto number = ++last_stored_;
        stored_[number] = pending;
        const auto answer = [this, number, alive = std::weak_ptr(alive_)](const Result<>& stored) {
            if (alive.expired()) return;
            const auto call = stored_.extract(number);
            reply(*call.mapped(), [&] { return stored; });
        };
        storage_.change(change, answer);
    });
}

template <typename Parsed, typename Put>
void ManagerObject::store(sdbus::Result<>&& result, Result<Parsed> parsed, Put put) {
    if (!parsed) return refuse(result, to_bus(parsed.error()));
    store(std::move(result),
          [put, part = std::move(*parsed)](StoredConfiguration& stored) mutable -> Result<> {
              return put(stored, part);
          });
}

void ManagerObject::Reload(sdbus::Result<>&& result) {
    const auto pending = std::make_shared<sdbus::Result<>>(std::move(result));
    authorise(pending, [this, pending] { reply(*pending, calls_.reload); });
}

void ManagerObject::SetInterfaceEnabled(sdbus::Result<>&& result, std::string nii, bool enabled) {
    store(std::move(result), resolve(nii),
          [&interfaces = interfaces_, enabled](auto& stored, Nii which) -> Result<> {
              if (enabled) {
                  stored.disabled.erase(which);
                  return {};
              }
              return interfaces.may_be_stored(which).map([&] { stored.disabled.insert(which); });
          });
}

void ManagerObject::SetWifiConfiguration(sdbus::Result<>&& result, Arguments configuration) {
    store(std::move(result), configuration.dict.and_then(parse_wifi_configuration),
          [&key = storage_.key()](auto& stored, auto& wifi) {
              return key.seal(wifi.part).map([&] { stored.wifi[wifi.nii] = wifi.part; });
          });
}

void ManagerObject::SetWifiHints(sdbus::Result<>&& result, std::string nii, std::string bssid,
                                 std::int32_t channel) {
    store(std::move(result), parse_wifi_hints(nii, bssid, channel),
          [](auto& stored, const auto& hints) -> Result<> {
              if (hints.part == WifiHints{})
                  stored.wifi_hints.erase(hints.nii);
              else
                  stored.wifi_hints[hints.nii] = hints.part;
              return {};
          });
}

void ManagerObject::SetStaticNetworkConfiguration(sdbus::Result<>&& result,
                                                  Arguments configuration) {
    store(std::move(result), configuration.dict.and_then(parse_static_configuration),
          [&interfaces = interfaces_](auto& stored, const auto& address) -> Result<> {
              return interfaces.may_be_configured(address.nii).map([&] {
                  stored.static_networks[address.nii] = address.part;
              });
          });
}

void ManagerObject::SetProxy(sdbus::Result<>&& result, Arguments configuration) {
    store(std::move(result), configuration.dict.and_then(parse_proxy_configuration),
          [&key = storage_.key()](auto& stored, auto& proxy) {
              return key.seal(proxy).map([&] { stored.proxy = proxy; });
          });
}

void ManagerObject::SetCellularConfiguration(sdbus::Result<>&& result, Arguments configuration) {
    store(std::move(result), configuration.dict.and_then(parse_cellular_configuration),
          [&key = storage_.key()](auto& stored, auto& cellular) {
              return key.seal(cellular).map([&] { stored.cellular = cellular; });
          });
}

void ManagerObject::ClearConfiguration(sdbus::Result<>&& result, Texts what) {
    store(std::move(result), std::move(what.list),
          [](auto& stored, const auto& words) { return clear(stored, words); });
}

void ManagerObject::SetServerInterfaces(sdbus::Result<>&& result, Texts niis) {
    store(std::move(result), niis.list.and_then(parse_server_order),
          [&interfaces = interfaces_](auto& stored, const auto& order) -> Result<> {
              for (const auto nii : order)
                  if (auto known = interfaces.may_be_stored(nii); !known) return known;
              stored.server_order = order;
              return {};
          });
}

void ManagerObject::GetCurrentConfiguration(sdbus::Result<VariantMap>&& result) {
    const auto pending = std::make_shared<sdbus::Result<VariantMap>>(std::move(result));
    authorise(pending, [this, pending] {
        reply(*pending, [this]() -> Result<VariantMap> {
            const auto& stored = storage_.now();
            return to_bus(describe_sealed(nic_of(stored, interfaces_.serving())));
        });
    });
}

// --- What everybody may ask ---------------------------------------------------------------------

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

std::string ManagerObject::Mode() {
    return storage_.now().server_order.empty() ? "legacy" : "automatic";
}

std::vector<std::string> ManagerObject::ServerInterfaces() {
    std::vector<std::string> niis;
    for (const auto nii : interfaces_.order()) niis.push_back(nii.text());
    return niis;
}

}  // namespace impnetd::bus
