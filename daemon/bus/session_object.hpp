// SPDX-License-Identifier: LGPL-2.1-or-later
//
// org.impnet1.Session, and the sockets below it. It answers its owner alone: the connection that
// opened it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <sdbus-c++/sdbus-c++.h>

#include "bus/arguments.hpp"
#include "bus/attention.hpp"
#include "bus/udp_socket_object.hpp"
#include "bus/variant.hpp"
#include "network/session.hpp"
#include "network/sessions.hpp"
#include "org.impnet1.Session.adaptor.hpp"

namespace impnetd::bus {

class SessionObject final : public sdbus::AdaptorInterfaces<org::impnet1::Session_adaptor>,
                            private impnetd::Session::Observer {
  public:
    /// `on_close`: the owner closed the session; the object is to be destroyed soon, not at once.
    SessionObject(sdbus::IConnection& connection, Sessions& sessions, impnetd::Session& session,
                  std::string path_name, std::function<void()> on_close);
    ~SessionObject();
    SessionObject(const SessionObject&) = delete;
    SessionObject& operator=(const SessionObject&) = delete;

    /// Signals from here on, to the connection that opened the session, or that got it back.
    void begin(const std::string& owner) { session_->begin(owner, *this); }
    void resume(const std::string& owner);
    /// Empty: nobody's.
    std::string owner() const { return session_ != nullptr ? session_->owner() : ""; }
    /// Ends the session. The object stays, to say so.
    void end();

  private:
    void state_reported(const StateReport& report) override;
    void socket_forgotten(std::uint64_t id) override;
    void publish(SessionSocket& socket);
    Result<> require_owner();

    void GetState(sdbus::Result<std::int32_t>&& result) override;
    void GetToken(sdbus::Result<std::string>&& result) override;
    void GetSockets(sdbus::Result<std::vector<sdbus::ObjectPath>>&& result) override;
    void GetIpTable(sdbus::Result<VariantMap>&& result) override;
    void OpenUdp(sdbus::Result<sdbus::ObjectPath>&& result, Arguments options) override;
    void Close(sdbus::Result<>&& result) override;
    sdbus::ObjectPath Interface() override { return interface_; }
    std::int32_t State() override;
    std::string Owner() override { return owner(); }
    VariantMap Nic() override { return nic_; }

    sdbus::IConnection& connection_;
    Sessions& sessions_;
    impnetd::Session* session_;  // null once closed
    std::string path_name_;
    std::function<void()> on_close_;
    sdbus::ObjectPath interface_;
    VariantMap nic_;
    Attention attention_;
    std::map<std::uint64_t, std::unique_ptr<UdpSocketObject>> sockets_;
};

}  // namespace impnetd::bus
