// SPDX-License-Identifier: LGPL-2.1-or-later
//
// org.impnet1.Manager, and the ObjectManager of everything below /org/impnet1. What configures asks
// first whether the caller may (bus/authority.hpp), and is answered when it is done.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
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
#include "storage/storage.hpp"

namespace impnetd::bus {

class ManagerObject final : public sdbus::AdaptorInterfaces<org::impnet1::Manager_adaptor> {
  public:
    using OpenResult = std::shared_ptr<sdbus::Result<sdbus::ObjectPath>>;
    /// Opens a session for the connection `owner`, and answers, sooner or later.
    using OnOpen = std::function<void(OpenResult, const std::string& owner, const impnetd::Nic&)>;
    /// Gives `owner` back the session of this token, and answers, sooner or later.
    using OnResume =
        std::function<void(OpenResult, const std::string& owner, const std::string& token)>;

    /// Finds out whether `caller` may configure, and calls back, sooner or later.
    using OnDecided = std::function<void(const Result<>&)>;
    using Authorise = std::function<void(const std::string& caller, OnDecided on_decided)>;

    struct Calls {
        OnOpen open;
        OnResume resume;
        Authorise authorise;
        std::function<Result<>()> reload;  ///< reads the configuration again
    };

    ManagerObject(sdbus::IConnection& connection, const Interfaces& interfaces, Storage& storage,
                  std::string data_path, Calls calls);
    ~ManagerObject();
    ManagerObject(const ManagerObject&) = delete;
    ManagerObject& operator=(const ManagerObject&) = delete;

    /// The list of interfaces differs.
    void announce_interfaces();
    /// The order in which interfaces serve was set.
    void announce_order();

  private:
    void Open(sdbus::Result<sdbus::ObjectPath>&& result, Arguments nic) override;
    void Resume(sdbus::Result<sdbus::ObjectPath>&& result, std::string token) override;
    void Reload(sdbus::Result<>&& result) override;
    void SetInterfaceEnabled(sdbus::Result<>&& result, std::string nii, bool enabled) override;
    void SetWifiConfiguration(sdbus::Result<>&& result, Arguments configuration) override;
    void SetWifiHints(sdbus::Result<>&& result, std::string nii, std::string bssid,
                      std::int32_t channel) override;
    void SetStaticNetworkConfiguration(sdbus::Result<>&& result, Arguments configuration) override;
    void SetProxy(sdbus::Result<>&& result, Arguments configuration) override;
    void SetCellularConfiguration(sdbus::Result<>&& result, Arguments configuration) override;
    void ClearConfiguration(sdbus::Result<>&& result, Texts what) override;
    void GetCurrentConfiguration(sdbus::Result<VariantMap>&& result) override;
    void SetServerInterfaces(sdbus::Result<>&& result, Texts niis) override;
    void GetInterface(sdbus::Result<sdbus::ObjectPath>&& result, std::string nii) override;
    void GetInfo(sdbus::Result<VariantMap>&& result) override;
    std::string Version() override;
    std::string Mode() override;
    std::vector<std::string> ServerInterfaces() override;
    std::string DataPath() override { return data_path_; }

    template <typename... Values>
    using Pending = std::shared_ptr<sdbus::Result<Values...>>;
    /// Goes on with `task` if the caller may configure; else answers.
    template <typename... Values>
    void authorise(const Pending<Values...>& result, std::function<void()> task);
    /// Stores the change if the caller may, and answers. The change may have to wait, and this may
    /// be gone by then.
    void store(sdbus::Result<>&& result, Storage::Change change);
    /// The same of what a method's arguments were parsed to, or not; `put` puts it in its place.
    template <typename Parsed, typename Put>
    void store(sdbus::Result<>&& result, Result<Parsed> parsed, Put put);

    const Interfaces& interfaces_;
    Storage& storage_;
    std::string data_path_;
    Calls calls_;
    // Whose change waits for the disk. They cannot outlive the connection, as the change does.
    std::map<std::uint64_t, Pending<>> stored_;
    std::uint64_t last_stored_ = 0;
    // Expires with this object: for answers that come later.
    std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace impnetd::bus
