// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A host with two interfaces on a data path, a peer on each cable, an honest client, and a witness
// on every device. All neighbours are known and there is no IPv6, so that whatever else is on a
// cable is somebody's doing; and the host has routes to everywhere, so that what is not stopped
// leaves.
#pragma once

#include <array>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "core/data_path.hpp"
#include "datapath/kernel/kernel_path.hpp"
#include "datapath/relay/relay.hpp"
#include "hostile/attempts.hpp"
#include "lab/attacker.hpp"
#include "lab/lab.hpp"
#include "lab/loop_wait.hpp"
#include "netns/built_programs.hpp"

namespace hostile {

using impnetd::DataPath;
using impnetd::DataSocket;
using impnetd::Delivery;
using impnetd::Ipv4;
using impnetd::Ipv4Network;
using lab::Milliseconds;

inline constexpr impnetd::RateLimit unlimited{.burst = 1, .rate = 0};
inline constexpr std::uint16_t peer_port = 4000;
inline constexpr std::uint16_t attackers_port = 2001;
inline constexpr std::uint16_t honest_port = 2002;
inline constexpr const char* ours = "10.77.1.2";
inline constexpr const char* peer = "10.77.1.1";
inline constexpr const char* broadcast = "10.77.1.255";
inline constexpr const char* everybody = "255.255.255.255";
inline constexpr const char* other_ours = "10.77.2.2";
inline constexpr const char* other_peer = "10.77.2.1";

/// What a session hears of its socket.
struct Heard final : DataSocket::Observer {
    void datagram_received(const impnetd::Datagram& datagram) override {
        datagrams.push_back(datagram);
    }
    void socket_closed(const std::string& reason) override { closings.push_back(reason); }

    std::vector<impnetd::Datagram> datagrams;
    std::vector<std::string> closings;
};

class Scene {
  public:
    explicit Scene(const std::string& path, impnetd::RateLimit limit = unlimited) {
        for (const char* name : {"rp_filter", "arp_ignore", "arp_filter"})
            write("/proc/sys/net/ipv4/conf/all/" + std::string(name), "0");
        for (int i = 0; i < 2; ++i) {
            const std::string device = "lan" + std::to_string(i);
            const std::string far_device = "srv" + std::to_string(i);
            const std::string net = "10.77." + std::to_string(i + 1) + ".";
            write("/proc/sys/net/ipv4/conf/" + device + "/rp_filter", "0");
            host.run({"ip", "address", "add", net + "2/24", "broadcast", "+", "dev", device});
            far.run({"ip", "address", "add", net + "1/24", "broadcast", "+", "dev", far_device});
            host.set_up(device);
            host.run({"ip", "neigh", "replace", net + "1", "lladdr", far.mac(far_device), "dev",
                      device, "nud", "permanent"});
            far.run({"ip", "neigh", "replace", net + "2", "lladdr", host.mac(device), "dev",
                     far_device, "nud", "permanent"});
        }
        host.run({"ip", "route", "add", "default", "via", peer});
        host.run({"ip", "route", "add", "10.99.0.0/16", "via", other_peer});
        if (path == "kernel") {
            auto made = impnetd::KernelPath::make(
                loop,
                {.limit = limit, .ttl = 1, .socket_source = built_socket_source(), .maps = {}});
            if (!made) FAIL(made.error().message);
            path_ = std::move(*made);
        } else {
            path_ = std::make_unique<impnetd::Relay>(
                loop,
                impnetd::Relay::Options{.limits = limit, .ttl = 1, .clock = {}, .ledger = {}});
        }
        tell_facts();
        honest_ = open(honest_port, Delivery::signal, 1001, honest_heard_);
        clear();
    }

    void tell_facts() {
        for (DataPath::Slot slot = 0; slot < 2; ++slot) {
            const std::string device = "lan" + std::to_string(slot);
            path_->set_interface(
                slot,
                {.ifindex = host.ifindex(device),
                 .device = device,
                 .network = Ipv4Network{Ipv4::parse(slot == 0 ? ours : other_ours).value(), 24}});
        }
    }

    DataPath& path() { return *path_; }
    impnetd::KernelPath& kernel() { return dynamic_cast<impnetd::KernelPath&>(*path_); }
    DataPath::Request request(std::uint16_t port, Delivery delivery, uid_t user,
                              DataPath::Slot slot = 0) {
        return {.slot = slot,
                .id = ++last_id_,
                .port = port,
                .delivery = delivery,
                .client = {.uid = user, .pid = 1, .groups = {}, .unit = ""},
                .policy = {}};
    }
    std::unique_ptr<DataSocket> open(std::uint16_t port, Delivery delivery, uid_t user,
                                     DataSocket::Observer& heard, DataPath::Slot slot = 0) {
        auto socket = path_->open(request(port, delivery, user, slot), heard);
        if (!socket) FAIL(socket.error().message);
        return std::move(*socket);
    }
    /// A socket for the attacker, with its descriptor.
    std::pair<std::unique_ptr<DataSocket>, impnetd::UniqueFd> victim(
        std::uint16_t port = attackers_port, DataPath::Slot slot = 0) {
        auto socket = open(port, Delivery::descriptor, lab::Attacker::user, heard, slot);
        auto fd = socket->acquire();
        if (!fd) FAIL(fd.error().message);
        return {std::move(socket), std::move(*fd)};
    }

    /// Turns the loop until the attacker says something.
    std::string hear(const lab::Attacker& attacker, Milliseconds limit = Milliseconds(10'000)) {
        bool spoke = false;
        impnetd::Poll line(loop, attacker.fd(), [&spoke](int) { spoke = true; });
        line.watch(impnetd::Poll::readable);
        if (!lab::run_until(loop, limit, [&spoke] { return spoke; }))
            FAIL("the attacker says nothing");
        return attacker.hear();
    }
    /// What attempts on a fresh socket come to, in the attacker's process.
    std::string attack(int fd, const std::function<void(Attempts&)>& attempts) {
        lab::Attacker attacker(foreign, [&](const lab::Attacker::Line& line) {
            Attempts made(line.take());
            attempts(made);
            line.say(made.words());
        });
        attacker.give(fd);
        return hear(attacker);
    }

    // --- What the witnesses saw

    /// Forgets what was seen and received.
    void clear() {
        for (auto& capture : captures_) capture.clear();
        for (auto& one : peers) one.drain();
    }
    /// What must not be on a cable, in words; empty: nothing.
    std::string forbidden() {
        std::ostringstream out;
        for (std::size_t i = 0; i < captures_.size(); ++i) {
            if (captures_[i].lost() != 0) out << "packets that nobody saw; ";
            for (const auto& packet : captures_[i].packets()) {
                if (i == 0 && is_right(packet)) continue;
                if (i < 2 && (!packet.outgoing || is_answer(packet))) continue;
                out << devices[i] << ": " << packet.from << ":" << packet.from_port << " > "
                    << packet.to << ":" << packet.to_port << " type " << std::hex << packet.protocol
                    << std::dec << " protocol " << packet.ip_protocol << " ttl " << packet.ttl
                    << " header " << packet.header << "; ";
            }
        }
        return out.str();
    }
    /// Datagrams that left by the right cable from this port.
    std::size_t left(std::uint16_t port = attackers_port) {
        std::size_t count = 0;
        for (const auto& packet : captures_[0].packets())
            count += packet.outgoing && packet.first_fragment && packet.from_port == port ? 1 : 0;
        return count;
    }
    lab::Capture& capture(std::size_t cable) { return captures_[cable]; }

    /// A datagram of the honest client gets to the peer, and one of the peer's to it.
    void check_honest() {
        const auto word = lab::pattern(9, ++honest_count_);
        CHECK(honest_->send(Ipv4::parse(peer).value(), peer_port, word) ==
              impnetd::SendResult::sent);
        const lab::Deadline deadline(Milliseconds(5'000));
        bool arrived = false;
        while (!arrived) {
            const auto got = peers[0].receive(deadline);
            REQUIRE(got);
            arrived = got->data == word && got->from_port == honest_port;
        }
        honest_heard_.datagrams.clear();
        peers[0].send(ours, honest_port, word);
        CHECK(lab::run_until(loop, Milliseconds(5'000), [&] {
            return !honest_heard_.datagrams.empty() && honest_heard_.datagrams.back().data == word;
        }));
    }
    /// After an attack: the wire is clean, so many datagrams of its left, and others can work.
    void check_after(std::size_t leave) {
        check_honest();
        CHECK(left() == leave);
        CHECK_THAT(forbidden(), Catch::Equals(""));
    }

    static void write(const std::string& path, const std::string& value) {
        std::ofstream file(path);
        file << value << std::flush;
        if (!file) FAIL(path);
    }
    static std::string read(const std::string& path) {
        std::ifstream file(path);
        std::ostringstream text;
        text << file.rdbuf();
        return text.str();
    }

    lab::Namespace host{"host"};
    lab::Namespace far{"far"};
    lab::Namespace foreign{"foreign"};

  private:
    static void no_ipv6(const lab::Namespace& where) {
        const auto visit = where.enter();
        for (const char* which : {"all", "default"})
            write("/proc/sys/net/ipv6/conf/" + std::string(which) + "/disable_ipv6", "1");
    }
    static bool is_right(const lab::Capture::Packet& packet) {
        if (!packet.outgoing || packet.protocol != 0x0800 || packet.ip_protocol != IPPROTO_UDP)
            return false;
        if (packet.from != ours || packet.ttl != 1 || packet.header != 20) return false;
        if (packet.first_fragment && (packet.to_port == 67 || packet.to_port == 68)) return false;
        return packet.to == peer || packet.to == broadcast || packet.to == everybody;
    }
    /// The host's own "nobody is there" to something that arrived.
    static bool is_answer(const lab::Capture::Packet& packet) {
        return packet.protocol == 0x0800 && packet.ip_protocol == IPPROTO_ICMP;
    }

    static constexpr std::array<const char*, 3> devices = {"lan0", "lan1", "lo"};

    bool quiet_ = (no_ipv6(host), no_ipv6(far), true);
    lab::Cable cable0_{host, "lan0", far, "srv0"};
    lab::Cable cable1_{host, "lan1", far, "srv1"};
    lab::Namespace::Visit visit_ = host.enter();

  public:
    impnetd::Loop loop{[](std::string_view what) { FAIL_CHECK("a callback threw: " << what); }};
    std::array<lab::Peer, 2> peers = {lab::Peer(far, peer_port, "srv0"),
                                      lab::Peer(far, peer_port, "srv1")};
    Heard heard;  ///< of the attacker's sockets

  private:
    std::array<lab::Capture, 3> captures_ = {lab::Capture(host, "lan0"), lab::Capture(host, "lan1"),
                                             lab::Capture(host, "lo")};
    std::unique_ptr<DataPath> path_;
    std::uint64_t last_id_ = 0;
    unsigned honest_count_ = 0;
    Heard honest_heard_;
    std::unique_ptr<DataSocket> honest_;
};

/// One thing that an attacker does, what it comes to, and how many of its datagrams leave.
struct Attack {
    std::string name;
    std::function<void(Attempts&)> attempts;
    std::string words;
    std::size_t leave = 0;
};

/// Each with a socket of its own.
inline void check_attacks(Scene& scene, const std::vector<Attack>& attacks) {
    for (const auto& attack : attacks) {
        INFO(attack.name);
        auto [socket, fd] = scene.victim();
        scene.clear();
        CHECK(scene.attack(fd.get(), attack.attempts) == attack.words);
        scene.check_after(attack.leave);
    }
}

}  // namespace hostile
