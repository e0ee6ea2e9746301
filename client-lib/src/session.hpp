// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What is behind an Interface: one session with a daemon. The session knows its daemon by name; a
// daemon that resumes it puts another name here. In between it has none: nothing can be asked of
// it, but its sockets go on, since their data paths do.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bus.hpp"
#include "core.hpp"
#include "impnet/interface.hpp"
#include "impnet/state.hpp"
#include "last_report.hpp"

namespace impnet::detail {

class Socket;

class Session : public std::enable_shared_from_this<Session> {
  public:
    Session(std::weak_ptr<Core> core, Remote remote, std::string nii, OnState on_state);

    bool is_open() const;
    const Remote& remote() const { return remote_; }
    const std::string& nii() const { return nii_; }
    State state() const { return last_.state(); }

    Result<IpTable> ip_table();
    Result<std::shared_ptr<Socket>> open_udp(const UdpOptions& options, OnDatagram on_datagram);

    void close(Wait wait) noexcept;

    // From the core.

    /// What the session is asked back with; empty: not known yet.
    const std::string& token() const { return token_; }
    void set_token(std::string token) { token_ = std::move(token); }
    /// Its daemon has gone.
    void part();
    /// A daemon has resumed it.
    void come_back(const Remote& remote);
    /// It is over: nothing can be asked of the session, its last report is on its way.
    void end() { ended_ = true; }
    void tell(const StateChange& change);
    void tell_end(const std::string& reason);
    std::vector<std::shared_ptr<Socket>> sockets() const;

  private:
    std::shared_ptr<Core> usable_core() const;
    Result<std::shared_ptr<Core>> core_with_daemon() const;

    std::weak_ptr<Core> core_;
    Remote remote_;
    std::string nii_;
    OnState on_state_;
    LastReport last_;
    std::string token_;
    bool away_ = false;
    bool closed_ = false;
    bool ended_ = false;
    std::vector<std::weak_ptr<Socket>> sockets_;
};

}  // namespace impnet::detail
