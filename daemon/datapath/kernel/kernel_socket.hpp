// SPDX-License-Identifier: LGPL-2.1-or-later
//
// One socket of the kernel path: a UDP socket of the control group, with orders for the programs. A
// client that acquires it gets a copy of the descriptor, and its datagrams never pass through here.
// What the daemon itself sends and receives on it (Delivery::signal, `Send`) is governed as well:
// the programs decide, and here their errnos become results.
//
// The daemon keeps its own copy, by which it takes the socket back: revoked and shut down it is
// dead for everybody who holds it, for good (datapath.md, "Taking a socket back").
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/data_path.hpp"
#include "core/datagram_policy.hpp"
#include "datapath/kernel/aside.hpp"
#include "datapath/kernel/clients.hpp"
#include "datapath/kernel/programs.hpp"
#include "datapath/udp_socket.hpp"
#include "loop/loop.hpp"

namespace impnetd::kernel {

class KernelSocket final : public DataSocket {
  public:
    /// What the path keeps of all its sockets, and they of it. Outlives them.
    class Owner {
      public:
        virtual void opened(KernelSocket& socket) = 0;
        virtual void closed(KernelSocket& socket) = 0;

      protected:
        ~Owner() = default;
    };
    struct Shared {
        Loop& loop;
        Programs& programs;
        Owner& owner;
        Aside& aside;
        const std::vector<Ipv4Network>& extra_networks;
    };

    /// `orders`: those that it has. `facts` are the interface's, always as they are now; they
    /// outlive the socket.
    KernelSocket(const Shared& shared, const InterfaceFacts& facts, UdpSocket udp,
                 Clients::Membership membership, const impnet_orders& orders,
                 const DataPath::Request& request, Observer& observer);
    ~KernelSocket() override;
    KernelSocket(const KernelSocket&) = delete;
    KernelSocket& operator=(const KernelSocket&) = delete;

    std::uint16_t local_port() const override;
    Result<UniqueFd> acquire() override;
    Result<SendResult> send(Ipv4 to, std::uint16_t port,
                            const std::vector<std::uint8_t>& data) override;
    SocketCounters counters() const override;
    void set_policy(const SocketPolicy& policy) override;
    std::vector<int> descriptors() const override;

    std::uint64_t id() const { return orders_.id; }
    /// In force or not.
    std::uint16_t bound_port() const { return udp_->port(); }
    /// A client has, or had, the descriptor.
    bool was_acquired() const { return (orders_.flags & IMPNET_ACQUIRED) != 0; }
    /// Its holder has disconnected it (connect(2), AF_UNSPEC), which takes the device from it.
    bool is_disconnected() const;
    /// Ends it for that.
    void end_disconnected();
    /// It aimed at a forbidden address, and a program has ended it.
    void killed(Ipv4 address, std::uint16_t port);

  private:
    int fd() const { return udp_ ? udp_->fd() : -1; }
    /// Of the receiving side; as last known if the holder keeps its lock.
    std::uint32_t kernel_drops() const;
    /// 0, or the errno.
    int send_out(Ipv4 source, Ipv4 to, std::uint16_t port, const std::vector<std::uint8_t>& data);
    std::optional<Ipv4Network> network() const;
    EgressRules egress_rules() const;
    void read_arrivals();
    /// Ends it because its holder broke a rule.
    void revoke(const std::string& reason);
    void close();

    Shared shared_;
    const InterfaceFacts& facts_;
    std::shared_ptr<UdpSocket> udp_;  // also of what is done aside; null: closed
    Clients::Membership membership_;
    impnet_orders orders_;
    Delivery delivery_;
    uid_t client_uid_;
    std::string client_unit_;
    SocketPolicy policy_;
    Observer& observer_;
    std::uint64_t unseen_denials_ =
        0;                    // of ours, that the kernel refuses before a program sees them
    std::string end_reason_;  // not empty: closed, and nobody destroyed us yet
    SocketCounters last_counters_;
    mutable std::uint32_t last_drops_ = 0;
    std::optional<Poll> poll_;
    // Expires with this object: what runs later, or may have destroyed it, looks here first.
    std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

/// What a program is told of a socket's policy.
void write_policy(const SocketPolicy& policy, impnet_orders& orders);

}  // namespace impnetd::kernel
