// SPDX-License-Identifier: LGPL-2.1-or-later
//
// org.impnet1.Interface. What it shows is a value; after whatever happened the new value is
// compared with the old one, and PropertiesChanged names what differs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <sdbus-c++/sdbus-c++.h>

#include "bus/variant.hpp"
#include "network/interface.hpp"
#include "org.impnet1.Interface.adaptor.hpp"

namespace impnetd::bus {

class InterfaceObject final : public sdbus::AdaptorInterfaces<org::impnet1::Interface_adaptor> {
  public:
    InterfaceObject(sdbus::IConnection& connection, impnetd::Interface& interface,
                    const LinkPort& links);
    ~InterfaceObject();
    InterfaceObject(const InterfaceObject&) = delete;
    InterfaceObject& operator=(const InterfaceObject&) = delete;

    void announce_added();
    void announce_removed();
    void report(const StateReport& report);
    /// Takes the present look of the interface and announces what differs from the last.
    void refresh();

  private:
    struct View {
        std::string device;
        bool enabled = true;
        std::int32_t state = -1;
        std::string state_name;
        std::string reason;
        std::string mac;
        std::string address;
        std::string netmask;
        std::string broadcast;
        std::string gateway;
        std::string dhcp_server;
        std::vector<std::string> dns;
        std::uint32_t sessions = 0;
    };
    View look() const;
    std::uint32_t speed() const;

    void GetStatistics(sdbus::Result<VariantMap>&& result) override;
    std::string Nii() override { return interface_.nii().text(); }
    std::string Class() override;
    std::string Device() override { return look().device; }
    bool Managed() override { return interface_.managed(); }
    bool Enabled() override { return look().enabled; }
    std::int32_t State() override { return look().state; }
    std::string StateName() override { return look().state_name; }
    std::string Reason() override { return look().reason; }
    std::string MacAddress() override { return look().mac; }
    std::string Address() override { return look().address; }
    std::string Netmask() override { return look().netmask; }
    std::string Broadcast() override { return look().broadcast; }
    std::string Gateway() override { return look().gateway; }
    std::string DhcpServer() override { return look().dhcp_server; }
    std::vector<std::string> DnsServers() override { return look().dns; }
    std::uint32_t LinkSpeed() override { return speed(); }
    std::string Ssid() override { return {}; }
    std::string Bssid() override { return {}; }
    std::uint32_t Channel() override { return 0; }
    std::uint32_t Sessions() override { return look().sessions; }

    impnetd::Interface& interface_;
    const LinkPort& links_;
    // What was last announced; properties are read as they are now.
    View view_;
    std::uint32_t speed_ = 0;
};

}  // namespace impnetd::bus
