// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The data path of which the daemon is no part: it makes a socket, gives the kernel its orders and
// hands the descriptor over; eBPF programs then decide on each datagram (programs.bpf.c). It needs
// cgroup v2, a kernel of 5.18 or later, CAP_BPF and CAP_NET_ADMIN; where anything is missing,
// `make` says what, and there is the relay.
#pragma once

#include <bitset>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/data_path.hpp"
#include "datapath/kernel/clients.hpp"
#include "datapath/kernel/control_group.hpp"
#include "datapath/kernel/kernel_socket.hpp"
#include "datapath/kernel/programs.hpp"
#include "datapath/kernel/socket_source.hpp"
#include "loop/loop.hpp"

namespace impnetd {

class KernelPath final : public DataPath, private kernel::KernelSocket::Owner {
  public:
    struct Options {
        RateLimit limit;
        int ttl = 1;                  ///< of every datagram that leaves
        std::string socket_source;    ///< the path of impnet-socket-source
        kernel::Programs::Maps maps;  ///< of the process before us; none: new ones
        /// How often it says that it is alive, while it has sockets: half of what the programs wait
        /// for, and no more often, as an idle host is to sleep.
        Milliseconds alive_every{45'000};
    };

    /// Failed, with what is missing here.
    static Result<std::unique_ptr<KernelPath>> make(Loop& loop, const Options& options);
    ~KernelPath() override;

    std::string_view name() const override { return "kernel"; }
    void set_interface(Slot slot, const InterfaceFacts& facts) override;
    void set_limit(RateLimit limit) override;
    void set_extra_networks(const std::vector<Ipv4Network>& networks) override;
    double share(const std::string& client) const override;
    Result<std::unique_ptr<DataSocket>> open(const Request& request,
                                             DataSocket::Observer& observer) override;
    Result<std::unique_ptr<DataSocket>> adopt(const Request& request,
                                              std::vector<UniqueFd> descriptors,
                                              DataSocket::Observer& observer) override;

    /// To be given to the process after us: names and descriptors.
    std::vector<std::pair<std::string, int>> maps() const { return programs_->maps(); }
    bool maps_inherited() const { return programs_->inherited(); }

  private:
    KernelPath(Loop& loop, kernel::ControlGroup group, std::unique_ptr<kernel::Programs> programs,
               const Options& options);

    Result<> prove();
    kernel::KernelSocket::Shared shared();
    /// A UDP socket of the control group. 0: the kernel chooses a port.
    Result<UdpSocket> make_socket(const InterfaceFacts& facts, std::uint16_t port);
    /// Takes a port from those who have no right to it any more. False: nobody such has it.
    bool reclaim(std::uint16_t port);
    void opened(kernel::KernelSocket& socket) override;
    void closed(kernel::KernelSocket& socket) override;
    void say_alive();
    void read_events();

    Loop& loop_;
    int ttl_;
    double rate_ = 0;
    Milliseconds alive_every_;
    kernel::ControlGroup group_;
    std::unique_ptr<kernel::Programs> programs_;
    kernel::SocketSource source_;
    kernel::Clients clients_;
    kernel::Aside aside_;
    std::vector<Ipv4Network> extra_networks_;
    std::map<Slot, InterfaceFacts> interfaces_;  // sockets look at the entries: none is erased
    std::map<std::uint64_t, kernel::KernelSocket*> sockets_;  // those that are open
    // Ports of sockets that ended and of which a client had the descriptor: it may have it still.
    std::bitset<65'536> abandoned_;
    std::uint64_t lost_events_;
    Timer alive_;
    Poll events_;
};

}  // namespace impnetd
