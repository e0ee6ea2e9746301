// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What arrives: the guide's UDP echo, and what must never be delivered.
#include <algorithm>

#include <catch2/catch.hpp>
#include <poll.h>

#include "lab/connected.hpp"
#include "lab/lab.hpp"
#include "lab/raw_client.hpp"

using namespace std::chrono_literals;

namespace {

constexpr auto soon = 5s;

/// The guide's echo on port 2001.
class Echo {
  public:
    explicit Echo(lab::Connected& connected)
        : socket_(connected.open_udp(2001, [this](const impnet::Datagram& datagram) {
              mail.callback()(datagram);
              results.push_back(
                  lab::outcome(socket_.send(datagram.from, datagram.from_port, datagram.data)));
          })) {}

    lab::Mailbox mail;
    std::vector<std::string> results;

  private:
    impnet::UdpSocket socket_;
};

/// Sends a last datagram that must arrive. The order on the wire is kept: what was sent before it
/// and is not there now was not delivered.
void mark(lab::Connected& connected, const lab::Peer& peer, lab::Mailbox& mail) {
    const lab::Bytes end = {'e', 'n', 'd'};
    peer.send(lab::Connected::address, 2001, end);
    REQUIRE(connected.program.until(
        soon, [&] { return mail.size() > 0 && mail.arrived().back().data == end; }));
}

}  // namespace

TEST_CASE("datagrams of all sizes are echoed unchanged", "[echo]") {
    lab::Connected connected;
    Echo echo(connected);
    lab::Peer peer(connected.lan.server, 3000, "srv0");
    for (const std::size_t size : {0, 1, 32, 1400, 9000, 65507}) {
        CAPTURE(size);
        const auto data = lab::pattern(size, static_cast<unsigned>(size) + 7);
        peer.send(lab::Connected::address, 2001, data);
        REQUIRE(connected.program.until(soon, [&] { return !echo.results.empty(); }));
        CHECK(echo.results == std::vector<std::string>{"0"});
        REQUIRE(echo.mail.size() == 1);
        CHECK(echo.mail.arrived()[0] ==
              lab::Arrived{"10.77.1.1", 3000, lab::Connected::address, 2001, data});
        const auto answer = peer.receive(lab::Deadline(soon));
        REQUIRE(answer);
        CHECK(answer->data == data);
        CHECK(answer->from == lab::Connected::address);
        CHECK(answer->from_port == 2001);
        CHECK(answer->to == "10.77.1.1");
        CHECK(answer->ttl == 1);
        echo.results.clear();
        echo.mail.clear();
    }
    CHECK_FALSE(peer.receive(lab::Deadline(50ms)));  // each once
}

TEST_CASE("a datagram tells which of our addresses it was sent to", "[echo]") {
    const std::string to = GENERATE("10.77.1.100", "10.77.1.255", "255.255.255.255");
    CAPTURE(to);
    lab::Connected connected;
    Echo echo(connected);
    lab::Peer peer(connected.lan.server, 3000, "srv0");
    peer.send(to, 2001, lab::pattern(32));
    REQUIRE(connected.program.until(soon, [&] { return echo.mail.size() > 0; }));
    CHECK(echo.mail.arrived() ==
          std::vector<lab::Arrived>{{"10.77.1.1", 3000, to, 2001, lab::pattern(32)}});
    const auto answer = peer.receive(lab::Deadline(soon));
    REQUIRE(answer);
    CHECK(answer->from == lab::Connected::address);  // never the broadcast address
    CHECK(answer->data == lab::pattern(32));
}

TEST_CASE("a datagram from another subnet is not delivered", "[echo]") {
    lab::Connected connected;
    lab::Mailbox mail;
    auto socket = connected.open_udp(2001, mail.callback());
    auto& lan = connected.lan;
    // The host would answer: it has a way back, and does not filter by it.
    lan.host.run(
        {"sh", "-c", "for f in all lan0; do echo 0 >/proc/sys/net/ipv4/conf/$f/rp_filter; done"});
    lan.host.run({"ip", "route", "add", "10.99.0.0/24", "dev", "lan0"});
    lan.server.run({"ip", "address", "add", "10.99.0.1/24", "dev", "srv0"});
    lan.server.run({"ip", "route", "add", "10.77.1.100/32", "dev", "srv0", "src", "10.99.0.1"});
    lab::Capture wire(lan.host, "lan0");
    lab::Peer stranger(lan.server, 3000, "srv0");
    lab::Peer witness(lan.host, 2002, "lan0");  // an ordinary program of the host gets it
    stranger.send("10.77.1.100", 2001, lab::pattern(32));
    stranger.send("10.77.1.100", 2002, lab::pattern(32));
    const auto witnessed = witness.receive(lab::Deadline(soon));
    REQUIRE(witnessed);
    CHECK(witnessed->from == "10.99.0.1");
    CHECK(wire.udp_to(2001) == 1);  // it was there

    lan.server.run({"ip", "route", "del", "10.77.1.100/32", "dev", "srv0"});
    lab::Peer peer(lan.server, 3001, "srv0");
    mark(connected, peer, mail);
    CHECK(mail.size() == 1);
}

TEST_CASE("a datagram to another interface's address is not delivered", "[echo]") {
    lab::Connected connected;
    lab::Mailbox mail;
    auto socket = connected.open_udp(2001, mail.callback());
    auto& lan = connected.lan;
    lan.host.run({"ip", "address", "add", "10.88.0.1/32", "dev", "lo"});
    lan.server.run({"ip", "route", "add", "10.88.0.1/32", "dev", "srv0"});
    // A managed interface answers no ARP for it; who knows the way can send all the same.
    lan.server.run({"ip", "neighbour", "replace", "10.88.0.1", "lladdr", lan.host.mac("lan0"),
                    "dev", "srv0", "nud", "permanent"});
    lab::Capture wire(lan.host, "lan0");
    lab::Peer peer(lan.server, 3000, "srv0");
    lab::Peer witness(lan.host, 2002, "lan0");
    peer.send("10.88.0.1", 2001, lab::pattern(32));
    peer.send("10.88.0.1", 2002, lab::pattern(32));
    REQUIRE(witness.receive(lab::Deadline(soon)));
    CHECK(wire.udp_to(2001) == 1);
    mark(connected, peer, mail);
    CHECK(mail.size() == 1);
}

TEST_CASE("a datagram to a group is not delivered, though another program joined it", "[echo]") {
    lab::Connected connected;
    lab::Mailbox mail;
    auto socket = connected.open_udp(2001, mail.callback());
    auto& lan = connected.lan;
    lab::Peer member(lan.host, 2002, "lan0");
    member.join("239.1.2.3", "lan0");
    lan.server.run({"ip", "route", "add", "239.0.0.0/8", "dev", "srv0"});
    lab::Capture wire(lan.host, "lan0");
    lab::Peer peer(lan.server, 3000, "srv0");
    peer.send("239.1.2.3", 2001, lab::pattern(32));
    peer.send("224.0.0.1", 2001, lab::pattern(32));
    peer.send("239.1.2.3", 2002, lab::pattern(32));
    REQUIRE(member.receive(lab::Deadline(soon)));
    CHECK(wire.udp_to(2001) == 2);
    mark(connected, peer, mail);
    CHECK(mail.size() == 1);
}

TEST_CASE("our own broadcasts do not come back", "[echo]") {
    lab::Connected connected;
    lab::Mailbox mail;
    lab::Mailbox other_mail;
    auto socket = connected.open_udp(2001, mail.callback());
    auto other = connected.open_udp(2002, other_mail.callback());
    lab::Peer peer(connected.lan.server, 2001, "srv0");
    CHECK(lab::outcome(socket.send("10.77.1.255", 2001, "mine")) == "0");
    CHECK(lab::outcome(socket.send("255.255.255.255", 2001, "mine")) == "0");
    CHECK(lab::outcome(socket.send("255.255.255.255", 2002, "mine")) == "0");
    CHECK(peer.receive(lab::Deadline(soon)));
    CHECK(peer.receive(lab::Deadline(soon)));
    mark(connected, peer, mail);
    CHECK(mail.size() == 1);
    CHECK(other_mail.size() == 0);
}

TEST_CASE("replacing the receive callback loses nothing, removing it drops and counts", "[echo]") {
    lab::Connected connected;
    lab::Mailbox first;
    lab::Mailbox second;
    auto socket = connected.open_udp(2001, first.callback());
    lab::Peer peer(connected.lan.server, 3000, "srv0");
    peer.send(lab::Connected::address, 2001, {1});
    REQUIRE(connected.program.until(soon, [&] { return first.size() == 1; }));

    lab::Capture wire(connected.lan.host, "lan0");
    peer.send(lab::Connected::address, 2001, {2});
    REQUIRE(lab::eventually(
        lab::Deadline(soon), {wire.fd()}, [&] { return wire.udp_to(2001) == 1; }, [] {}));
    socket.on_datagram(second.callback());
    peer.send(lab::Connected::address, 2001, {3});
    REQUIRE(connected.program.until(soon, [&] { return second.size() == 2; }));
    CHECK(first.size() == 1);
    CHECK(second.arrived()[0].data == lab::Bytes{2});
    CHECK(second.arrived()[1].data == lab::Bytes{3});
    CHECK(socket.dropped() == 0);

    socket.on_datagram({});
    peer.send(lab::Connected::address, 2001, {4});
    REQUIRE(connected.program.until(soon, [&] { return socket.dropped() == 1; }));
    socket.on_datagram(second.callback());
    peer.send(lab::Connected::address, 2001, {5});
    REQUIRE(connected.program.until(soon, [&] { return second.size() == 3; }));
    CHECK(second.arrived()[2].data == lab::Bytes{5});
}

TEST_CASE("a script gets datagrams as signals and sends by a call", "[echo]") {
    lab::Connected connected;
    lab::RawClient raw(connected.lan.bus);
    const auto session = raw.open("eth0");
    const auto path = raw.open_udp(session, {{"port", sdbus::Variant(std::uint16_t{2001})}});
    const auto socket = raw.object(path);
    std::vector<lab::Arrived> arrived;
    socket->uponSignal("Received")
        .onInterface("org.impnet1.UdpSocket")
        .call([&](const std::string& from, std::uint16_t from_port, const std::string& to,
                  std::uint16_t to_port, const std::vector<std::uint8_t>& data) {
            arrived.push_back({from, from_port, to, to_port, data});
        });
    socket->finishRegistration();
    lab::Peer peer(connected.lan.server, 3000, "srv0");
    peer.send("10.77.1.255", 2001, lab::pattern(9000));
    REQUIRE(raw.until(soon, [&] { return !arrived.empty(); }));
    CHECK(arrived ==
          std::vector<lab::Arrived>{{"10.77.1.1", 3000, "10.77.1.255", 2001, lab::pattern(9000)}});
    CHECK(raw.send(path, "10.77.1.1", 3000, lab::pattern(65507)) == 0);
    const auto answer = peer.receive(lab::Deadline(soon));
    REQUIRE(answer);
    CHECK(answer->data == lab::pattern(65507));
    CHECK(answer->from_port == 2001);

    // Its datagrams come as signals: there is nothing to acquire.
    CHECK(lab::outcome_of([&] { raw.call(path, "org.impnet1.UdpSocket", "Acquire"); }) ==
          "InvalidArgument");
}

TEST_CASE("a descriptor is handed out once", "[echo]") {
    lab::Connected connected;
    lab::RawClient raw(connected.lan.bus);
    const auto session = raw.open("eth0");
    const auto path = raw.open_udp(session, {{"delivery", sdbus::Variant("fd")},
                                             {"port", sdbus::Variant(std::uint16_t{2001})}});
    sdbus::UnixFd fd;
    lab::Dictionary info;
    raw.object(path)
        ->callMethod("Acquire")
        .onInterface("org.impnet1.UdpSocket")
        .storeResultsTo(fd, info);
    CHECK(fd.isValid());
    const auto kind = info.at("path").get<std::string>();
    CHECK((kind == "relay" || kind == "kernel"));
    CHECK(info.at("local_port").get<std::uint16_t>() == 2001);
    CHECK(raw.property<std::string>(path, "org.impnet1.UdpSocket", "Path") == kind);
    CHECK(raw.property<std::string>(lab::RawClient::manager_path, "org.impnet1.Manager",
                                    "DataPath") == kind);
    CHECK(lab::outcome_of([&] { raw.call(path, "org.impnet1.UdpSocket", "Acquire"); }) == "Busy");

    // Closing it is seen on the descriptor, whoever holds it.
    raw.call(path, "org.impnet1.UdpSocket", "Close");
    pollfd holder{.fd = fd.get(), .events = POLLIN, .revents = 0};
    CHECK(::poll(&holder, 1, 5'000) == 1);
    CHECK((holder.revents & POLLHUP) != 0);
    CHECK(raw.open_udp(session, {{"port", sdbus::Variant(std::uint16_t{2001})}}) != path);
}
