// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/interface_object.hpp"

#include <optional>

#include "bus/path.hpp"
#include "bus/reply.hpp"
#include "bus/signal.hpp"
#include "log/log.hpp"

namespace impnetd::bus {

namespace {

std::string text(const std::optional<Ipv4>& address) {
    return address ? address->text() : "";
}

}  // namespace

InterfaceObject::InterfaceObject(sdbus::IConnection& connection, impnetd::Interface& interface,
                                 const LinkPort& links)
    : AdaptorInterfaces(connection, interface_path(interface.nii())),
      interface_(interface),
      links_(links),
      view_(look()),
      speed_(speed()) {
    registerAdaptor();
}

InterfaceObject::~InterfaceObject() {
    unregisterAdaptor();
}

void InterfaceObject::announce_added() {
    getObject().emitInterfacesAddedSignal({INTERFACE_NAME});
}

void InterfaceObject::announce_removed() {
    getObject().emitInterfacesRemovedSignal({INTERFACE_NAME});
}

void InterfaceObject::report(const StateReport& report) {
    emit(getObject(), "", INTERFACE_NAME, "StateChanged", number(report.state),
         number(report.previous), report.monotonic_usec, report.reason);
}

InterfaceObject::View InterfaceObject::look() const {
    View view;
    view.enabled = interface_.enabled();
    view.state = number(interface_.state());
    view.state_name = name(interface_.state());
    view.reason = interface_.reason();
    view.sessions = interface_.sessions();
    if (const auto& link = interface_.link()) {
        view.device = link->name;
        view.mac = link->mac.text();
    }
    if (const auto& table = interface_.ip_table()) {
        view.address = table->network.address.text();
        view.netmask = table->network.netmask().text();
        view.broadcast = text(table->broadcast);
        view.gateway = text(table->gateway);
        view.dhcp_server = text(table->dhcp_server);
        for (const auto& server : table->dns) view.dns.push_back(server.text());
    }
    return view;
}

std::uint32_t InterfaceObject::speed() const {
    const auto& link = interface_.link();
    return link && link->carrier ? links_.speed(link->ifindex) : 0;
}

void InterfaceObject::refresh() {
    const View old = std::exchange(view_, look());
    const auto old_speed = std::exchange(speed_, speed());
    std::vector<std::string> changed;
    const auto compare = [&](const char* property, const auto& before, const auto& after) {
        if (before != after) changed.emplace_back(property);
    };
    compare("Device", old.device, view_.device);
    compare("Enabled", old.enabled, view_.enabled);
    compare("State", old.state, view_.state);
    compare("StateName", old.state_name, view_.state_name);
    compare("Reason", old.reason, view_.reason);
    compare("MacAddress", old.mac, view_.mac);
    compare("Address", old.address, view_.address);
    compare("Netmask", old.netmask, view_.netmask);
    compare("Broadcast", old.broadcast, view_.broadcast);
    compare("Gateway", old.gateway, view_.gateway);
    compare("DhcpServer", old.dhcp_server, view_.dhcp_server);
    compare("DnsServers", old.dns, view_.dns);
    compare("LinkSpeed", old_speed, speed_);
    compare("Sessions", old.sessions, view_.sessions);
    if (!changed.empty()) getObject().emitPropertiesChangedSignal(INTERFACE_NAME, changed);
}

void InterfaceObject::GetStatistics(sdbus::Result<VariantMap>&& result) {
    reply(result, [&]() -> Result<VariantMap> {
        const auto& link = interface_.link();
        if (!link)
            return fail(ErrorCode::unavailable, interface_.nii().text() + ": its device is gone");
        const auto counters = links_.counters(link->ifindex);
        return VariantMap{{"rx_bytes", counters.rx_bytes},
                          {"rx_packets", counters.rx_packets},
                          {"tx_bytes", counters.tx_bytes},
                          {"tx_packets", counters.tx_packets}};
    });
}

std::string InterfaceObject::Class() {
    return std::string(name(interface_.nii().interface_class));
}

}  // namespace impnetd::bus
