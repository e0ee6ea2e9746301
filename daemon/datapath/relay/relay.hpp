// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The data path that moves each datagram through the daemon: for hosts whose kernel cannot enforce
// the rules itself. It needs nothing but sockets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/data_path.hpp"
#include "core/rate_limit.hpp"
#include "datapath/limiter.hpp"
#include "datapath/relay/batch.hpp"
#include "datapath/relay/ledger.hpp"
#include "datapath/relay/relay_socket.hpp"
#include "loop/loop.hpp"
#include "loop/unique_fd.hpp"

namespace impnetd {

class Relay final : public DataPath {
  public:
    struct Options {
        RateLimit limits;
        int ttl = 1;           ///< of every datagram that leaves
        Limiter::Clock clock;  ///< empty: CLOCK_MONOTONIC
        UniqueFd ledger;       ///< of the process before us; none: a new one
    };

    /// Must outlive its sockets.
    Relay(Loop& loop, Options options);

    std::string_view name() const override { return "relay"; }
    void set_interface(Slot slot, const InterfaceFacts& facts) override;
    void set_limit(RateLimit limit) override {
        rate_ = limit.rate;
        limiter_.set_limit(limit);
    }
    void set_extra_networks(const std::vector<Ipv4Network>& networks) override {
        extra_networks_ = networks;
    }
    double share(const std::string& client) const override {
        return rate_ / static_cast<double>(limiter_.sharers(client));
    }
    Result<std::unique_ptr<DataSocket>> open(const Request& request,
                                             DataSocket::Observer& observer) override;
    Result<std::unique_ptr<DataSocket>> adopt(const Request& request,
                                              std::vector<UniqueFd> descriptors,
                                              DataSocket::Observer& observer) override;

    /// To be given to the process after us.
    int ledger() const { return ledger_.fd(); }
    bool ledger_inherited() const { return ledger_.inherited(); }

  private:
    relay::RelaySocket::Shared shared() {
        return {
            .loop = loop_, .limiter = limiter_, .batch = batch_, .extra_networks = extra_networks_};
    }

    Loop& loop_;
    int ttl_;
    relay::Ledger ledger_;
    double rate_;
    Limiter limiter_;
    relay::Batch batch_;
    std::vector<Ipv4Network> extra_networks_;
    std::map<Slot, InterfaceFacts> interfaces_;  // sockets look at the entries: none is erased
};

}  // namespace impnetd
