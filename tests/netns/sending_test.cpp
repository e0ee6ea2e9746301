// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What leaves: every row of the guide's table of `send`, over both ways in (the descriptor and the
// D-Bus call), with a witness on the wire; and the rate.
#include <algorithm>
#include <fstream>
#include <sstream>

#include <catch2/catch.hpp>

#include "lab/connected.hpp"
#include "lab/lab.hpp"
#include "lab/raw_client.hpp"

using namespace std::chrono_literals;

namespace {

constexpr auto soon = 5s;

/// One socket, sent through the library or by the D-Bus method: the rules are the same.
class Sender {
  public:
    Sender(lab::Connected& connected, bool over_dbus, std::uint16_t port = 0)
        : connected_(connected) {
        if (over_dbus) {
            raw_ = std::make_unique<lab::RawClient>(connected.lan.bus);
            path_ = raw_->open_udp(raw_->open("eth0"), {{"port", sdbus::Variant(port)}});
        } else {
            socket_ = connected.open_udp(port);
            socket_.on_closed([this](const std::string& reason) { closed_.push_back(reason); });
        }
        if (raw_) {
            proxy_ = raw_->object(path_);
            proxy_->uponSignal("Closed")
                .onInterface("org.impnet1.UdpSocket")
                .call([this](const std::string& reason) { closed_.push_back(reason); });
            proxy_->finishRegistration();
        }
    }

    /// "0", "1", "4", or the last part of the error's name.
    std::string send(const std::string& to, std::uint16_t port, const lab::Bytes& data) {
        if (!raw_) return lab::outcome(socket_.send(to, port, lab::view(data)));
        std::string result;
        const auto error =
            lab::outcome_of([&] { result = std::to_string(raw_->send(path_, to, port, data)); });
        return error == "ok" ? result : error;
    }
    std::uint16_t local_port() {
        if (!raw_) return socket_.local_port();
        return raw_->property<std::uint16_t>(path_, "org.impnet1.UdpSocket", "LocalPort");
    }
    /// Reasons that were told, once some have come.
    const std::vector<std::string>& closed() {
        const auto told = [this] { return !closed_.empty(); };
        if (raw_) {
            raw_->until(soon, told);
        } else {
            connected_.program.until(soon, told);
        }
        return closed_;
    }
    bool told_closed() {
        if (raw_) {
            raw_->until(0ms, [] { return false; });
        } else {
            connected_.program.turn();
        }
        return !closed_.empty();
    }

  private:
    lab::Connected& connected_;
    std::unique_ptr<lab::RawClient> raw_;
    std::string path_;
    std::unique_ptr<sdbus::IProxy> proxy_;
    impnet::UdpSocket socket_;
    std::vector<std::string> closed_;
};

const lab::Bytes hello = {'h', 'e', 'l', 'l', 'o'};

/// The UDP ports that sockets of a host are bound to, as the kernel lists them.
std::vector<std::uint16_t> bound_ports(const lab::Namespace& host) {
    std::istringstream table(host.run({"cat", "/proc/net/udp"}));
    std::vector<std::uint16_t> ports;
    std::string line;
    std::getline(table, line);
    while (std::getline(table, line)) {
        const auto colon = line.find(':', line.find(':') + 1);
        ports.push_back(
            static_cast<std::uint16_t>(std::stoul(line.substr(colon + 1, 4), nullptr, 16)));
    }
    return ports;
}

}  // namespace

TEST_CASE("a datagram goes to a host, the subnet's broadcast address, and everybody", "[sending]") {
    const bool over_dbus = GENERATE(false, true);
    CAPTURE(over_dbus);
    lab::Connected connected;
    Sender sender(connected, over_dbus, 2001);
    lab::Peer peer(connected.lan.server, 3000, "srv0");
    for (const std::string to : {"10.77.1.1", "10.77.1.255", "255.255.255.255"}) {
        CAPTURE(to);
        for (const std::size_t size : {0, 5, 65507}) {
            CHECK(sender.send(to, 3000, lab::pattern(size)) == "0");
            const auto received = peer.receive(lab::Deadline(soon));
            REQUIRE(received);
            CHECK(received->to == to);  // 255.255.255.255 leaves unchanged
            CHECK(received->from == lab::Connected::address);
            CHECK(received->from_port == 2001);
            CHECK(received->ttl == 1);
            CHECK(received->data == lab::pattern(size));
        }
    }
}

TEST_CASE("off the subnet, or to ourselves, is not connected, and nothing leaves", "[sending]") {
    const bool over_dbus = GENERATE(false, true);
    CAPTURE(over_dbus);
    lab::Connected connected;
    Sender sender(connected, over_dbus, 2001);
    // The host itself has routes there, by the same device and by a gateway.
    connected.lan.host.run({"ip", "route", "add", "10.99.0.0/24", "dev", "lan0"});
    connected.lan.host.run({"ip", "route", "add", "default", "via", "10.77.1.1"});
    lab::Capture wire(connected.lan.host, "lan0");
    for (const std::string to :
         {"10.99.0.1", "10.77.2.1", "10.77.0.255", "172.16.0.1", "172.31.255.255", "192.168.1.1",
          "10.255.255.255", lab::Connected::address}) {
        CAPTURE(to);
        CHECK(sender.send(to, 3000, hello) == "1");
        CHECK(wire.udp_to(3000) == 0);
        // Our own address is announced, by ARP.
        if (to != lab::Connected::address) CHECK(wire.sent_to(to) == 0);
    }
    CHECK_FALSE(sender.told_closed());
    CHECK(sender.send("10.77.1.1", 3000, hello) == "0");  // still open
    REQUIRE(lab::eventually(
        lab::Deadline(soon), {wire.fd()}, [&] { return wire.udp_to(3000) == 1; }, [] {}));
    CHECK(wire.lost() == 0);
}

TEST_CASE("without a cable a send is not connected", "[sending]") {
    const bool over_dbus = GENERATE(false, true);
    CAPTURE(over_dbus);
    lab::Connected connected;
    Sender sender(connected, over_dbus);
    connected.lan.cable.pull();
    REQUIRE(connected.program.until(soon, [&] { return !connected.connected(); }));
    CHECK(sender.send("10.77.1.1", 3000, hello) == "1");
    CHECK(sender.send("255.255.255.255", 3000, hello) == "1");
    CHECK(sender.local_port() == 0);  // not in force by a send that was not
    CHECK_FALSE(sender.told_closed());
}

TEST_CASE("an address outside the local network closes the socket", "[sending]") {
    const bool over_dbus = GENERATE(false, true);
    CAPTURE(over_dbus);
    lab::Connected connected;
    connected.lan.host.run({"ip", "route", "add", "default", "via", "10.77.1.1"});
    lab::Capture wire(connected.lan.host, "lan0");
    for (const std::string to : {"8.8.8.8",
                                 "127.0.0.1",
                                 "0.0.0.0",
                                 "169.254.1.1",
                                 "224.0.0.1",
                                 "239.1.2.3",
                                 "9.255.255.255",
                                 "11.0.0.1",
                                 "172.15.255.255",
                                 "172.32.0.1",
                                 "192.167.255.255",
                                 "192.169.0.1",
                                 "255.255.255.254",
                                 "10.77.1.0",  // the network's own all-zero address
                                 "",
                                 "server",
                                 "10.77.1",
                                 "10.77.1.1.1",
                                 "10.77.1.256",
                                 "10.77.1.-1",
                                 "10.77..1",
                                 " 10.77.1.1",
                                 "10.77.1.1 ",
                                 "0x0a.77.1.1",
                                 "10.77.1.1:3000",
                                 "172838657"}) {
        CAPTURE(to);
        Sender sender(connected, over_dbus, 2001);  // the port of the one before is free again
        CHECK(sender.send(to, 3000, hello) == "AddressNotAllowed");
        CHECK(sender.closed().size() == 1);
        CHECK(sender.send("10.77.1.1", 3000, hello) == "SocketClosed");
        CHECK(sender.send(to, 3000, hello) == "SocketClosed");
    }
    CHECK(wire.udp_to(3000) == 0);
    CHECK(wire.lost() == 0);
}

TEST_CASE("the ports 0, 67 and 68 are refused, and the socket stays open", "[sending]") {
    const bool over_dbus = GENERATE(false, true);
    CAPTURE(over_dbus);
    lab::Connected connected;
    Sender sender(connected, over_dbus);
    lab::Capture wire(connected.lan.host, "lan0");
    for (const std::uint16_t port : {0, 67, 68}) {
        CAPTURE(port);
        CHECK(sender.send("10.77.1.1", port, hello) == "InvalidArgument");
        CHECK(sender.send("255.255.255.255", port, hello) == "InvalidArgument");
        CHECK(wire.udp_to(port) == 0);
    }
    CHECK_FALSE(sender.told_closed());
    CHECK(sender.local_port() == 0);
    CHECK(sender.send("10.77.1.1", 66, hello) == "0");
    CHECK(sender.send("10.77.1.1", 69, hello) == "0");
    // The address is judged first.
    CHECK(sender.send("8.8.8.8", 0, hello) == "AddressNotAllowed");
}

TEST_CASE("more than 65507 bytes are too large", "[sending]") {
    const bool over_dbus = GENERATE(false, true);
    CAPTURE(over_dbus);
    lab::Connected connected;
    Sender sender(connected, over_dbus);
    lab::Capture wire(connected.lan.host, "lan0");
    CHECK(sender.send("10.77.1.1", 3000, lab::pattern(65508)) == "TooLarge");
    CHECK(sender.send("10.77.1.1", 3000, lab::pattern(200'000)) == "TooLarge");
    CHECK(sender.local_port() == 0);
    CHECK(wire.sent_to("10.77.1.1") == 0);
    CHECK(sender.send("10.77.1.1", 3000, lab::pattern(65507)) == "0");
    CHECK(sender.local_port() != 0);
}

TEST_CASE("a socket without a port gets one by its first send, and receives nothing before",
          "[sending]") {
    lab::Connected connected;
    const auto before = bound_ports(connected.lan.host);
    lab::Mailbox mail;
    auto socket = connected.open_udp(0, mail.callback());
    CHECK(socket.local_port() == 0);
    lab::Peer peer(connected.lan.server, 3000, "srv0");
    lab::Capture wire(connected.lan.host, "lan0");

    // A number may be reserved already: whoever guesses it reaches nobody.
    for (const std::uint16_t port : bound_ports(connected.lan.host)) {
        if (std::count(before.begin(), before.end(), port) == 0) {
            peer.send(lab::Connected::address, port, {'e', 'a', 'r', 'l', 'y'});
            REQUIRE(lab::eventually(
                lab::Deadline(soon), {wire.fd()}, [&] { return wire.udp_to(port) == 1; }, [] {}));
        }
    }
    CHECK(lab::outcome(socket.send("10.77.1.1", 3000, "first")) == "0");
    const auto first = peer.receive(lab::Deadline(soon));
    REQUIRE(first);
    CHECK(socket.local_port() == first->from_port);
    CHECK(first->from_port >= 1024);

    peer.send(lab::Connected::address, first->from_port, {'l', 'a', 't', 'e'});
    REQUIRE(connected.program.until(soon, [&] { return mail.size() > 0; }));
    CHECK(
        mail.arrived() ==
        std::vector<lab::Arrived>{
            {"10.77.1.1", 3000, lab::Connected::address, first->from_port, {'l', 'a', 't', 'e'}}});
    CHECK(lab::outcome(socket.send("10.77.1.1", 3000, "second")) == "0");
    const auto second = peer.receive(lab::Deadline(soon));
    REQUIRE(second);
    CHECK(second->from_port == first->from_port);
}

TEST_CASE("local ports are 1024 to 65535, one socket each", "[sending]") {
    lab::Connected connected;
    CHECK(lab::outcome(connected.eth0.open_udp(1)) == "InvalidArgument");
    CHECK(lab::outcome(connected.eth0.open_udp(1023)) == "InvalidArgument");
    auto lowest = connected.open_udp(1024);
    auto highest = connected.open_udp(65535);
    CHECK(highest.local_port() == 65535);
    CHECK(lab::outcome(connected.eth0.open_udp(1024)) == "PortInUse");
    lowest.close();
    lowest.close();  // idempotent
    CHECK(lab::outcome(lowest.send("10.77.1.1", 3000, "closed")) == "SocketClosed");
    CHECK(lab::outcome(connected.eth0.open_udp(1024)) == "ok");

    lab::RawClient raw(connected.lan.bus);
    const auto session = raw.open("eth0");
    const auto refused = [&](const lab::Dictionary& options) {
        return lab::outcome_of([&] { raw.open_udp(session, options); });
    };
    using sdbus::Variant;
    CHECK(refused({{"port", Variant(std::uint16_t{65535})}}) == "PortInUse");
    CHECK(refused({{"port", Variant("2001")}}) == "InvalidArgument");
    CHECK(refused({{"delivery", Variant("pigeon")}}) == "InvalidArgument");
    CHECK(refused({{"colour", Variant("blue")}}) == "InvalidArgument");
}

TEST_CASE("a closed socket is closed for everybody who asks", "[sending]") {
    lab::Connected connected;
    lab::RawClient raw(connected.lan.bus);
    const auto session = raw.open("eth0");
    const auto socket = raw.open_udp(session, {{"port", sdbus::Variant(std::uint16_t{2001})}});
    const auto send = [&] { raw.send(socket, "10.77.1.1", 3000, hello); };
    CHECK(lab::outcome_of(send) == "ok");
    raw.call(socket, "org.impnet1.UdpSocket", "Close");
    CHECK(lab::outcome_of(send) == "SocketClosed");
    CHECK(lab::outcome_of([&] { raw.call(socket, "org.impnet1.UdpSocket", "Close"); }) == "ok");
}

TEST_CASE("of 110 datagrams at once exactly 100 leave, and 100 more four seconds later",
          "[sending]") {
    const std::string way = GENERATE("one by one", "as a batch", "over D-Bus");
    CAPTURE(way);
    lab::Connected connected;
    lab::Peer peer(connected.lan.server, 3000, "srv0");
    lab::Capture wire(connected.lan.server, "srv0");
    Sender over_dbus(connected, true);
    auto socket = connected.open_udp(2001);
    const auto burst = [&] {
        std::vector<std::string> results;
        if (way == "as a batch") {
            const impnet::OutgoingDatagram datagram{impnet::Ipv4(10, 77, 1, 1), 3000,
                                                    lab::view(hello)};
            for (const auto& result :
                 socket.send_batch(std::vector<impnet::OutgoingDatagram>(110, datagram))) {
                results.push_back(lab::outcome(result));
            }
        } else {
            for (int number = 0; number < 110; ++number) {
                results.push_back(way == "over D-Bus"
                                      ? over_dbus.send("10.77.1.1", 3000, hello)
                                      : lab::outcome(socket.send("10.77.1.1", 3000, "hello")));
            }
        }
        return results;
    };
    // At 25/s a token comes every 40 ms; a burst that takes longer may pass one more for each. What
    // is exact is that results and arrivals agree, and that no more than 100 + 25 T leave.
    for (int round = 0; round < 2; ++round) {
        CAPTURE(round);
        const auto began = lab::monotonic_usec();
        const auto results = burst();
        const auto took = lab::monotonic_usec() - began;
        const auto refilled = took / 40'000;
        const auto sent = static_cast<std::size_t>(std::count(results.begin(), results.end(), "0"));
        CAPTURE(took);
        REQUIRE(results.size() == 110);
        CHECK(std::count(results.begin(), results.end(), "4") ==
              static_cast<std::ptrdiff_t>(110 - sent));
        CHECK(sent >= 100);
        CHECK(sent <= 100 + refilled);
        if (refilled == 0) {
            std::vector<std::string> exactly(100, "0");
            exactly.insert(exactly.end(), 10, "4");
            CHECK(results == exactly);
        }
        CHECK(peer.count(sent, lab::Deadline(soon), 100ms) == sent);
        CHECK(peer.overflows() == 0);
        CHECK(wire.udp_to(3000) == sent);
        wire.clear();
        // The bucket is full again 4 s after its last token went.
        if (round == 0) connected.program.idle(4s);
    }
}

TEST_CASE("the rate is held while datagrams are sent for seconds", "[sending]") {
    lab::Connected connected;
    lab::Peer peer(connected.lan.server, 3000, "srv0");
    auto socket = connected.open_udp(2001);
    const auto began = lab::monotonic_usec();
    const lab::Deadline end(2s);
    std::size_t sent = 0;
    while (!end.passed()) {
        if (lab::outcome(socket.send("10.77.1.1", 3000, "hello")) == "0") ++sent;
    }
    const auto took = lab::monotonic_usec() - began;
    CHECK(sent <= 100 + took / 40'000 + 1);
    CHECK(sent >= 145);  // all of 100 + 25 * 2, but for what a busy machine loses
    CHECK(peer.count(sent, lab::Deadline(soon), 100ms) == sent);
}

TEST_CASE("a rate of 0 is no limit", "[sending]") {
    lab::Connected connected("[limiter]\nrate = 0\n");
    lab::Peer peer(connected.lan.server, 3000, "srv0");
    auto socket = connected.open_udp(2001);
    const impnet::OutgoingDatagram datagram{impnet::Ipv4(10, 77, 1, 1), 3000, lab::view(hello)};
    for (const auto& result :
         socket.send_batch(std::vector<impnet::OutgoingDatagram>(1000, datagram))) {
        CHECK(lab::outcome(result) == "0");
    }
    CHECK(peer.count(1000, lab::Deadline(soon), 100ms) == 1000);
    CHECK(peer.overflows() == 0);
}

TEST_CASE("a batch is as many datagrams on the wire, of whatever size", "[sending]") {
    // With an MTU of 576 the fourth is too large as well: it and what follows travel in fragments.
    const auto [size, mtu] = GENERATE(table<std::size_t, int>(
        {{1, 1'500}, {32, 1'500}, {1'472, 1'500}, {1'000, 576}, {1'473, 1'500}, {4'000, 1'500}}));
    CAPTURE(size);
    lab::Connected connected("[limiter]\nrate = 0\n");
    connected.lan.host.run({"ip", "link", "set", "lan0", "mtu", std::to_string(mtu)});
    lab::Peer peer(connected.lan.server, 3000, "srv0");
    lab::Capture wire(connected.lan.server, "srv0");
    auto socket = connected.open_udp(2001);
    std::vector<lab::Bytes> written;
    std::vector<impnet::OutgoingDatagram> batch;
    for (unsigned i = 0; i < 100; ++i)
        written.push_back(lab::pattern(i % 10 == 9 ? size / 2 : size, i));
    for (unsigned i = 0; i < 100; ++i) {
        const impnet::Ipv4 to =
            i / 10 == 3 ? impnet::Ipv4(10, 77, 1, 255) : impnet::Ipv4(10, 77, 1, 1);
        batch.push_back({to, 3000, lab::view(written[i])});
    }
    const std::span<const impnet::OutgoingDatagram> all(batch);
    for (std::size_t first = 0; first < batch.size(); first += 20) {
        for (const auto& result : socket.send_batch(all.subspan(first, 20)))
            CHECK(lab::outcome(result) == "0");
        for (std::size_t i = first; i < first + 20; ++i) {
            const auto received = peer.receive(lab::Deadline(soon));
            REQUIRE(received);
            CHECK(received->data == written[i]);
            CHECK(received->from == lab::Connected::address);
            CHECK(received->from_port == 2001);
            CHECK(received->ttl == 1);
        }
    }
    CHECK(wire.udp_to(3000) == batch.size());
}

TEST_CASE("burst and rate are configured", "[sending]") {
    lab::Connected connected("[limiter]\nburst = 10\nrate = 1.0\n");
    lab::Peer peer(connected.lan.server, 3000, "srv0");
    auto socket = connected.open_udp(2001);
    int sent = 0;
    for (int number = 0; number < 20; ++number) {
        if (lab::outcome(socket.send("10.77.1.1", 3000, "hello")) == "0") ++sent;
    }
    CHECK(sent == 10);
    CHECK(peer.count(10, lab::Deadline(soon), 100ms) == 10);
}

TEST_CASE("what became of a socket's datagrams is counted", "[sending]") {
    lab::Connected connected("[limiter]\nburst = 5\nrate = 0.1\n");
    lab::RawClient raw(connected.lan.bus);
    const auto session = raw.open("eth0");
    const auto socket = raw.open_udp(session, {{"port", sdbus::Variant(std::uint16_t{2001})}});
    lab::Peer peer(connected.lan.server, 3000, "srv0");
    peer.send(lab::Connected::address, 2001, hello);
    CHECK(raw.send(socket, "10.99.0.1", 3000, hello) == 1);
    CHECK(raw.send(socket, "10.99.0.1", 3000, hello) == 1);
    CHECK(lab::outcome_of([&] { raw.send(socket, "10.77.1.1", 67, hello); }) == "InvalidArgument");
    for (int number = 0; number < 5; ++number)
        CHECK(raw.send(socket, "10.77.1.1", 3000, hello) == 0);
    for (int number = 0; number < 3; ++number)
        CHECK(raw.send(socket, "10.77.1.1", 3000, hello) == 4);
    std::map<std::string, std::uint64_t> counted;
    raw.object(socket)
        ->callMethod("GetStatistics")
        .onInterface("org.impnet1.UdpSocket")
        .storeResultsTo(counted);
    CHECK(counted == std::map<std::string, std::uint64_t>{{"sent", 5},
                                                          {"received", 1},
                                                          {"rate_limited", 3},
                                                          {"not_connected", 2},
                                                          {"denied", 1},
                                                          {"dropped", 0}});
}
