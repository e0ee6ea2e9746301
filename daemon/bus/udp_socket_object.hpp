// SPDX-License-Identifier: LGPL-2.1-or-later
//
// org.impnet1.UdpSocket. With delivery `signal` each datagram becomes a signal to the owner. The
// bus would queue any number of them for an owner that does not read; so after every half window
// the owner is asked for its attention. Its answer opens the window again; what comes while the
// window is closed is dropped and counted.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <sdbus-c++/sdbus-c++.h>

#include "bus/arguments.hpp"
#include "bus/attention.hpp"
#include "bus/variant.hpp"
#include "network/session.hpp"
#include "org.impnet1.UdpSocket.adaptor.hpp"

namespace impnetd::bus {

class UdpSocketObject final : public sdbus::AdaptorInterfaces<org::impnet1::UdpSocket_adaptor>,
                              private SessionSocket::Observer {
  public:
    /// Datagrams under way to an owner that has not shown that it reads.
    static constexpr unsigned window = 256;

    /// `path`: the data path's name. `attention`: the owner's, outlives this.
    UdpSocketObject(sdbus::IConnection& connection, SessionSocket& socket, Attention& attention,
                    std::string path);
    ~UdpSocketObject();
    UdpSocketObject(const UdpSocketObject&) = delete;
    UdpSocketObject& operator=(const UdpSocketObject&) = delete;

    /// The session has an owner again, who is told now if the socket was closed meanwhile.
    void resumed();

  private:
    using AcquireResult = sdbus::Result<sdbus::UnixFd, VariantMap>;

    void datagram_received(const Datagram& datagram) override;
    void socket_closed(const std::string& reason) override;
    void ask_owner();
    /// The connection that owns the session; empty: nobody.
    const std::string& owner() const { return socket_.session().owner(); }
    Result<> require_owner();

    void Acquire(sdbus::Result<sdbus::UnixFd, VariantMap>&& result) override;
    void Send(sdbus::Result<std::int32_t>&& result, std::string address, std::uint16_t port,
              Payload data) override;
    void Close(sdbus::Result<>&& result) override;
    void GetStatistics(sdbus::Result<std::map<std::string, std::uint64_t>>&& result) override;
    sdbus::ObjectPath Session() override;
    std::uint16_t LocalPort() override { return socket_.local_port(); }
    std::string Path() override { return path_; }

    SessionSocket& socket_;
    Attention& attention_;
    std::set<std::shared_ptr<AcquireResult>> acquiring_;  // calls whose answer is still to come
    std::string path_;
    std::string untold_end_;        // why it was closed while there was nobody to tell
    unsigned unconfirmed_ = 0;      // signals sent since the last answer
    std::uint64_t overflowed_ = 0;  // datagrams dropped because the window was closed
    std::string asked_;             // the owner who is asked
    bool asking_ = false;
    // Expires with this object: for what is answered later.
    std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace impnetd::bus
