// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A DataPath without a network: what leaves is kept in a list, and what arrives is what the test
// says arrives. It obeys the same rules as the real ones. A descriptor that it hands out carries
// nothing but the end of its socket.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/data_path.hpp"
#include "core/fair_bucket.hpp"
#include "loop/loop.hpp"

namespace ports {

class FakeDataPath final : public impnetd::DataPath {
  public:
    explicit FakeDataPath(impnetd::Loop& loop, impnetd::RateLimit limits = {});
    ~FakeDataPath() override;
    FakeDataPath(const FakeDataPath&) = delete;
    FakeDataPath& operator=(const FakeDataPath&) = delete;

    std::string_view name() const override { return "fake"; }
    void set_interface(Slot slot, const impnetd::InterfaceFacts& facts) override;
    void set_limit(impnetd::RateLimit limit) override;
    double share(const std::string& client) const override;
    void set_extra_networks(const std::vector<impnetd::Ipv4Network>& networks) override {
        extra_networks_ = networks;
    }
    impnetd::Result<std::unique_ptr<impnetd::DataSocket>> open(
        const Request& request, impnetd::DataSocket::Observer& observer) override;
    impnetd::Result<std::unique_ptr<impnetd::DataSocket>> adopt(
        const Request& request, std::vector<impnetd::UniqueFd> descriptors,
        impnetd::DataSocket::Observer& observer) override;

    struct Sent {
        Slot slot = 0;
        impnetd::Datagram datagram;
    };
    /// All that left so far, in order.
    const std::vector<Sent>& sent() const { return sent_; }

    /// A datagram comes in on the wire of an interface, for `datagram.to_port`.
    void arrive(Slot slot, const impnetd::Datagram& datagram);
    /// The path closes a socket by itself, as when its holder closed the descriptor. Throws if
    /// there is none.
    void close(Slot slot, std::uint16_t port, const std::string& reason);
    /// The next `open` fails so.
    void refuse_next(impnetd::Error error) { refusal_ = std::move(error); }
    /// Time passes for the rate limit.
    void elapse(std::chrono::nanoseconds time) { now_ += static_cast<std::uint64_t>(time.count()); }

    /// What was last told of an interface.
    impnetd::InterfaceFacts facts(Slot slot) const;
    /// The reserved ports of an interface's open sockets, in force or not, rising.
    std::vector<std::uint16_t> open_ports(Slot slot) const;

  private:
    class Socket;

    Socket* find(Slot slot, std::uint16_t port) const;

    impnetd::Loop& loop_;
    bool take_token(const std::string& client);

    double rate_;
    impnet_limit limit_;
    impnet_bucket bucket_{};
    std::map<std::string, impnet_share> shares_;  // by client
    std::uint64_t now_ = 0;
    std::vector<impnetd::Ipv4Network> extra_networks_;
    std::map<Slot, impnetd::InterfaceFacts> interfaces_;
    std::vector<Socket*> sockets_;  // those that are open
    std::vector<Sent> sent_;
    std::optional<impnetd::Error> refusal_;
};

}  // namespace ports
