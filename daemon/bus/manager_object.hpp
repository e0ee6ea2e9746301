// SPDX-License-Identifier: LGPL-2.1-or-later
//
// org.impnet1.Manager, and the ObjectManager of everything below /org/impnet1.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <sdbus-c++/sdbus-c++.h>

#include "bus/arguments.hpp"
#include "bus/variant.hpp"
#include "core/error.hpp"
#include "core/nic.hpp"
#include "network/interfaces.hpp"
#include "org.impnet1.Manager.adaptor.hpp"

namespace impnetd::bus {

class ManagerObject final : public sdbus::AdaptorInterfaces<org::impnet1::Manager_adaptor> {
  public:
    using OpenResult = std::shared_ptr<sdbus::Result<sdbus::ObjectPath>>;
    /// Opens a session for the connection `owner`, and answers, sooner or later.
    using OnOpen = std::function<void(OpenResult, const std::string& owner, const impnetd::Nic&)>;
    /// Gives `owner` back the session of this token, and answers, sooner or later.
    using OnResume =
        std::function<void(OpenResult, const std::string& owner, const std::string& token)>;

    using ReloadResult = std::shared_ptr<sdbus::Result<>>;
    /// Reads the configuration again if `caller` may ask for that, and answers, sooner or later.
    using OnReload = std::function<void(ReloadResult, const std::string& caller)>;

    struct Calls {
        OnOpen open;
        OnResume resume;
        OnReload reload;
    };

    ManagerObject(sdbus::IConnection& connection, const Interfaces& interfaces,
                  std::string data_path, Calls calls);
    ~ManagerObject();
    ManagerObject(const ManagerObject&) = delete;
    ManagerObject& operator=(const ManagerObject&) = delete;

    /// The list of interfaces differs.
    void announce_interfaces();

  private:
    void Open(sdbus::Result<sdbus::ObjectPath>&& result, Arguments nic) override;
    void Resume(sdbus::Result<sdbus::ObjectPath>&& result, std::string token) override;
    void Reload(sdbus::Result<>&& result) override;
    void GetInterface(sdbus::Result<sdbus::ObjectPath>&& result, std::string nii) override;
    void GetInfo(sdbus::Result<VariantMap>&& result) override;
    std::string Version() override;
    std::string Mode() override { return "legacy"; }
    std::vector<std::string> ServerInterfaces() override;
    std::string DataPath() override { return data_path_; }

    const Interfaces& interfaces_;
    std::string data_path_;
    Calls calls_;
};

}  // namespace impnetd::bus
