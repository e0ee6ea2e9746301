// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What arrives at a socket whose holder means ill, or is sent by somebody on the cable who does: a
// forger that writes whole packets. On both paths.
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>

#include "datapath/relay/frame.hpp"
#include "hostile/scene.hpp"

namespace {

using namespace hostile;

/// Writes packets with any addresses to a cable, from its far end.
class Forger {
  public:
    Forger(const lab::Namespace& where, const std::string& device) {
        const auto visit = where.enter();
        socket_ = lab::Fd(lab::checked(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "raw"));
        to_.sll_family = AF_PACKET;
        to_.sll_protocol = htons(ETH_P_IP);
        to_.sll_ifindex = where.ifindex(device);
        to_.sll_halen = 6;
    }
    /// To the device with this hardware address ("aa:bb:..."), or to all.
    void aim(const std::string& mac) {
        for (std::size_t i = 0; i < 6; ++i)
            to_.sll_addr[i] =
                static_cast<std::uint8_t>(std::stoi(mac.substr(3 * i, 2), nullptr, 16));
    }
    /// A datagram of one byte.
    void send(const char* from, const char* to, std::uint16_t port, char byte) const {
        struct {
            iphdr ip;
            udphdr udp;
            char data;
        } __attribute__((packed)) packet{};
        packet.ip.version = 4;
        packet.ip.ihl = 5;
        packet.ip.tot_len = htons(sizeof(packet));
        packet.ip.ttl = 64;
        packet.ip.protocol = IPPROTO_UDP;
        packet.ip.saddr = address(from, 0).sin_addr.s_addr;
        packet.ip.daddr = address(to, 0).sin_addr.s_addr;
        std::array<std::uint16_t, sizeof(iphdr) / 2> words{};
        std::memcpy(words.data(), &packet.ip, sizeof(iphdr));
        std::uint32_t sum = 0;
        for (const auto word : words) sum += word;
        while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
        packet.ip.check = static_cast<std::uint16_t>(~sum);
        packet.udp.source = htons(peer_port);
        packet.udp.dest = htons(port);
        packet.udp.len = htons(sizeof(packet) - sizeof(packet.ip));
        packet.data = byte;
        lab::checked(::sendto(socket_.get(), &packet, sizeof(packet), 0,
                              reinterpret_cast<const sockaddr*>(&to_), sizeof(to_)),
                     to);
    }

  private:
    lab::Fd socket_;
    sockaddr_ll to_{};
};

/// What waits in a descriptor of either kind: a byte of each datagram.
std::string arrived(const std::string& path, int fd) {
    std::string got;
    std::array<char, 2048> data{};
    for (;;) {
        const auto size = ::recv(fd, data.data(), data.size(), MSG_DONTWAIT);
        if (size <= 0) return got;
        if (path == "kernel")
            got += data[0];
        else if (data[1] == IMPNET_RELAY_DATAGRAM)
            got += data[impnetd::relay::header_size];
    }
}

}  // namespace

TEST_CASE("Nothing is delivered but what the interface's subnet sends to it", "[hostile]") {
    const std::string path = GENERATE("kernel", "relay");
    const bool disconnected = GENERATE(false, true);
    if (path == "relay" && disconnected) return;
    INFO(path << (disconnected ? ", disconnected" : ""));
    Scene scene(path);
    // The host's own sieve is as wide as it gets.
    for (const char* device : {"all", "lan0", "lan1"}) {
        const std::string settings = "/proc/sys/net/ipv4/conf/" + std::string(device) + "/";
        Scene::write(settings + "accept_local", "1");
        Scene::write(settings + "route_localnet", "1");
    }
    auto [socket, fd] = scene.victim();
    if (disconnected) CHECK(scene.attack(fd.get(), [](Attempts& a) { a.disconnect(); }) == "OK");
    // A neighbour of it has joined a group.
    lab::Peer neighbour(scene.host, 5353, "lan0");
    neighbour.join("239.1.1.1", "lan0");
    scene.clear();

    scene.host.run({"ip", "address", "add", "10.77.1.200/24", "dev", "lan0"});
    Forger near(scene.far, "srv0");
    Forger other(scene.far, "srv1");
    const std::vector<std::pair<const char*, const char*>> wrong = {
        {"8.8.8.8", ours},   {other_peer, ours},     {"10.99.0.1", ours},    {broadcast, ours},
        {"10.77.1.0", ours}, {ours, ours},           {ours, broadcast},      {ours, everybody},
        {"127.0.0.1", ours}, {"0.0.0.0", ours},      {"0.0.0.0", everybody}, {"224.0.0.1", ours},
        {everybody, ours},   {"8.8.8.8", everybody}, {"10.77.0.255", ours},  {peer, "239.1.1.1"},
        {peer, "224.0.0.1"}, {peer, "10.77.1.0"},    {peer, other_ours},     {peer, "10.77.2.255"},
        {peer, "127.0.0.1"}, {peer, "10.77.1.200"},  {peer, "8.8.8.8"}};
    for (const auto& mac : {scene.host.mac("lan0"), std::string("ff:ff:ff:ff:ff:ff")}) {
        near.aim(mac);
        for (const auto& [from, to] : wrong) near.send(from, to, attackers_port, 'w');
    }
    // By the other cable, whoever it is for.
    other.aim(scene.host.mac("lan1"));
    for (const char* from : {peer, other_peer}) {
        for (const char* to : {ours, broadcast, other_ours, "10.77.2.255", everybody})
            other.send(from, to, attackers_port, 'o');
    }
    near.aim(scene.host.mac("lan0"));
    near.send(peer, ours, attackers_port, 'a');
    near.send("10.77.1.77", broadcast, attackers_port, 'b');
    near.send("10.77.1.254", everybody, attackers_port, 'c');
    scene.check_honest();
    lab::run_for(scene.loop, Milliseconds(20));
    CHECK(arrived(path, fd.get()) == "abc");
}

TEST_CASE("Nobody hears its own broadcasts, nor those of another client here", "[hostile]") {
    const std::string path = GENERATE("kernel", "relay");
    INFO(path);
    Scene scene(path);
    auto [socket, fd] = scene.victim(peer_port);
    Heard heard;
    auto speaker = scene.open(2004, Delivery::signal, 1002, heard);
    for (const char* to : {broadcast, everybody}) {
        for (DataSocket* one : {socket.get(), speaker.get()})
            CHECK(one->send(Ipv4::parse(to).value(), peer_port, {'o'}) ==
                  impnetd::SendResult::sent);
    }
    scene.peers[0].send(ours, peer_port, {'p'});
    scene.check_honest();
    lab::run_for(scene.loop, Milliseconds(20));
    CHECK(arrived(path, fd.get()) == "p");
}

TEST_CASE("A socket without a port of its own receives nothing before its first datagram",
          "[hostile]") {
    const std::string path = GENERATE("kernel", "relay");
    INFO(path);
    Scene scene(path);
    auto [socket, fd] = scene.victim(0);
    const auto table = Scene::read("/proc/thread-self/net/udp");
    if (path == "kernel") {
        const auto words = scene.attack(fd.get(), [](Attempts& a) {
            a.send(peer, 67);
            a.send(other_peer, peer_port);
            a.send_with(IPPROTO_IP, IP_TTL, 64, peer, peer_port);
            a.note(std::to_string(a.port()));
        });
        const std::string failed = "EINVAL ENETUNREACH EPERM ";
        REQUIRE(words.starts_with(failed));
        const auto port = static_cast<std::uint16_t>(std::stoi(words.substr(failed.size())));
        scene.peers[0].send(ours, port, {'e'});
    } else {
        for (std::uint32_t port = 32'768; port < 61'000; ++port)
            scene.peers[0].send(broadcast, static_cast<std::uint16_t>(port), {'e'});
    }
    CHECK(socket->local_port() == 0);
    scene.check_honest();
    CHECK(arrived(path, fd.get()).empty());
    CHECK(socket->send(Ipv4::parse(peer).value(), peer_port, {1}) == impnetd::SendResult::sent);
    scene.peers[0].send(ours, socket->local_port(), {'l'});
    scene.check_honest();
    lab::run_for(scene.loop, Milliseconds(20));
    CHECK(arrived(path, fd.get()) == "l");
}
