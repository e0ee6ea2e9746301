// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The scene of the data path cases on real cables: a host with two interfaces, and a far end with a
// peer on each. What is on the host is a data path's own.
#pragma once

#include <array>
#include <chrono>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <sys/socket.h>

#include "lab/lab.hpp"
#include "lab/loop_wait.hpp"
#include "loop/loop.hpp"
#include "ports/data_path_cases.hpp"

namespace ports {

inline Ipv4 parse(const std::string& text) {
    return Ipv4::parse(text).value();
}

struct Cables {
    lab::Namespace host{"host"};
    lab::Namespace far{"far"};
    lab::Cable cable0{host, "lan0", far, "srv0"};
    lab::Cable cable1{host, "lan1", far, "srv1"};
};

class CableScene : public WireScene {
  public:
    CableScene() {
        for (const char* name : {"rp_filter", "arp_ignore", "arp_filter"}) {
            std::ofstream("/proc/sys/net/ipv4/conf/all/" + std::string(name)) << 0;
            for (const Slot slot : {lan0, lan1}) setting("conf", slot, name, "0");
        }
        for (const Slot slot : {lan0, lan1}) {
            cables_.host.set_up(device(slot));
            cables_.far.run({"ip", "address", "add", peer(slot).text() + "/24", "broadcast", "+",
                             "dev", far_device(slot)});
        }
    }
    /// Once there is a path.
    void connect() {
        for (const Slot slot : {lan0, lan1}) set_address(slot, Ipv4Network{ours(slot), 24});
    }

    std::string device(Slot slot) const final { return "lan" + std::to_string(slot); }
    int ifindex(Slot slot) const override { return cables_.host.ifindex(device(slot)); }

    void set_address(Slot slot, std::optional<Ipv4Network> network) override {
        ip({"address", "flush", "dev", device(slot)});
        if (network) ip({"address", "add", network->text(), "broadcast", "+", "dev", device(slot)});
        path().set_interface(
            slot, {.ifindex = ifindex(slot), .device = device(slot), .network = network});
    }
    void lose_device(Slot slot) override { path().set_interface(slot, {}); }
    std::uint16_t reserved_port() override {
        std::ifstream table("/proc/thread-self/net/udp");
        std::string line;
        std::getline(table, line);
        std::string number;
        std::string local;
        unsigned port = 0;
        while (std::getline(table, line)) {
            REQUIRE(port == 0);
            std::istringstream(line) >> number >> local;
            port =
                static_cast<unsigned>(std::stoul(local.substr(local.find(':') + 1), nullptr, 16));
        }
        return static_cast<std::uint16_t>(port);
    }

    void peer_sends(Slot slot, Ipv4 to, std::uint16_t port, const Bytes& data) override {
        peers_[slot].send(to.text(), port, data);
    }
    std::optional<Datagram> next_at_peer(Slot slot, Milliseconds limit) override {
        auto got = peers_[slot].receive(lab::Deadline(limit));
        REQUIRE(peers_[slot].overflows() == 0);
        if (!got) return std::nullopt;
        last_ttl_ = got->ttl;
        return Datagram{parse(got->from), got->from_port, parse(got->to), peer_port,
                        std::move(got->data)};
    }
    int last_ttl() const override { return last_ttl_; }
    void stranger_sends(Slot slot, Ipv4 from, Ipv4 to, std::uint16_t port,
                        const Bytes& data) override {
        if (!stranger_) {
            cables_.far.run({"ip", "address", "add", from.text() + "/24", "dev", far_device(slot)});
            const sockaddr_in local{.sin_family = AF_INET,
                                    .sin_port = 0,
                                    .sin_addr = {from.network_order()},
                                    .sin_zero = {}};
            impnetd::UniqueFd fd;
            {
                const auto visit = cables_.far.enter();
                fd.reset(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
            }
            const std::string name = far_device(slot);
            const int on = 1;
            REQUIRE(::setsockopt(fd.get(), SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)) == 0);
            REQUIRE(::setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, name.c_str(),
                                 static_cast<socklen_t>(name.size())) == 0);
            REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&local), sizeof(local)) ==
                    0);
            stranger_ = std::move(fd);
        }
        const sockaddr_in remote{.sin_family = AF_INET,
                                 .sin_port = htons(port),
                                 .sin_addr = {to.network_order()},
                                 .sin_zero = {}};
        REQUIRE(::sendto(stranger_.get(), data.data(), data.size(), 0,
                         reinterpret_cast<const sockaddr*>(&remote), sizeof(remote)) >= 0);
    }
    void neighbour_opens(Slot slot, std::uint16_t port, std::optional<Ipv4> group) override {
        neighbour_.emplace(cables_.host, port, device(slot));
        if (group) neighbour_->join(group->text(), device(slot));
    }
    bool neighbour_receives() override {
        return neighbour_->receive(lab::Deadline(Milliseconds(2'000))).has_value();
    }
    void ip(const std::vector<std::string>& arguments) override {
        std::vector<std::string> command = {"ip"};
        command.insert(command.end(), arguments.begin(), arguments.end());
        cables_.host.run(command);
    }
    std::vector<std::size_t> packet_sizes(Slot slot) override {
        if (!capture_) capture_.emplace(cables_.host, device(slot));
        std::vector<std::size_t> sizes;
        for (const auto& packet : capture_->packets()) {
            if (packet.outgoing && packet.ip_protocol == IPPROTO_UDP) sizes.push_back(packet.size);
        }
        capture_->clear();
        return sizes;
    }
    void set_cable(Slot slot, bool plugged) override {
        lab::Cable& cable = slot == lan0 ? cables_.cable0 : cables_.cable1;
        if (plugged)
            cable.plug();
        else
            cable.pull();
    }

    bool work_until(const std::function<bool()>& predicate, Milliseconds limit) override {
        return lab::run_until(loop_, limit, predicate);
    }

    /// A setting of the host's for a device: "conf" or "neigh".
    void setting(const std::string& group, Slot slot, const std::string& name,
                 const std::string& value) const {
        std::ofstream file("/proc/sys/net/ipv4/" + group + "/" + device(slot) + "/" + name);
        file << value << std::flush;
        REQUIRE(file);
    }
    /// How often the loop wakes in this time, after something happened.
    int turns(
        Milliseconds time, const std::function<void()>& happen = [] {}) {
        uv_run(loop_.raw(), UV_RUN_NOWAIT);  // what was closed before goes first
        happen();
        int asked = 0;
        lab::run_until(loop_, time, [&asked] {
            ++asked;
            return false;
        });
        return asked -
               2;  // before the first turn, and after the last, which the end of the time was
    }
    impnetd::Loop& loop() { return loop_; }

  private:
    static std::string far_device(Slot slot) { return "srv" + std::to_string(slot); }

    Cables cables_;
    lab::Namespace::Visit visit_ = cables_.host.enter();
    impnetd::Loop loop_{[](std::string_view what) { FAIL_CHECK("a callback threw: " << what); }};
    std::array<lab::Peer, 2> peers_ = {lab::Peer(cables_.far, peer_port, "srv0"),
                                       lab::Peer(cables_.far, peer_port, "srv1")};
    impnetd::UniqueFd stranger_;
    std::optional<lab::Peer> neighbour_;
    std::optional<lab::Capture> capture_;
    int last_ttl_ = 0;
};

}  // namespace ports
