// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Many programs at once: what they share, what is each one's own, and what is left of one that
// dies.
#include <csignal>
#include <optional>

#include <catch2/catch.hpp>

#include "lab/connected.hpp"
#include "lab/lab.hpp"
#include "lab/raw_client.hpp"

using namespace std::chrono_literals;
using impnet::State;
using lab::Steps;

namespace {

constexpr auto soon = 5s;

/// Takes the time of a name's end from the bus itself.
class Obituary {
  public:
    Obituary(lab::RawClient& raw, const std::string& name)
        : proxy_(sdbus::createProxy(raw.connection(), "org.freedesktop.DBus",
                                    "/org/freedesktop/DBus")) {
        proxy_->uponSignal("NameOwnerChanged")
            .onInterface("org.freedesktop.DBus")
            .call(
                [this, name](const std::string& changed, const std::string&,
                             const std::string& now) { gone_ |= changed == name && now.empty(); });
        proxy_->finishRegistration();
    }
    bool gone() const { return gone_; }

  private:
    bool gone_ = false;
    std::unique_ptr<sdbus::IProxy> proxy_;
};

}  // namespace

TEST_CASE("two clients share the link, and each is told every step", "[clients]") {
    lab::Connected first;
    lab::Program second(first.lan.bus);
    lab::Diary diary;
    auto eth0 = second.open("eth0", diary);
    REQUIRE(second.until(soon, [&] { return diary.is(State::connected); }));
    CHECK(diary.steps() == Steps{{-1, 1}});
    CHECK(eth0.ip_table()->address == first.eth0.ip_table()->address);

    first.diary.clear();
    diary.clear();
    first.lan.cable.pull();
    const auto no_link = State::ethernet_stopped_no_link;
    REQUIRE(first.program.until(soon, [&] { return first.diary.is(no_link); }));
    REQUIRE(second.until(soon, [&] { return diary.is(no_link); }));
    first.lan.cable.plug();
    REQUIRE(first.program.until(soon, [&] { return first.connected(); }));
    REQUIRE(second.until(soon, [&] { return diary.is(State::connected); }));
    const Steps steps{{1, 204}, {204, 0}, {0, 200}, {200, 201}, {201, 1}};
    CHECK(first.diary.steps() == steps);
    CHECK(diary.steps() == steps);
    for (std::size_t number = 0; number < steps.size(); ++number) {
        CHECK(first.diary.entries()[number].change.time == diary.entries()[number].change.time);
    }

    // The link stays as long as one of them has it.
    first.eth0.close();
    lab::RawClient raw(first.lan.bus);
    CHECK(raw.interface_property<std::uint32_t>("eth0", "Sessions") == 1);
    auto socket = eth0.open_udp(2001);
    REQUIRE(socket);
    CHECK(lab::outcome(socket->send("10.77.1.1", 3000, "on")) == "0");
}

TEST_CASE("two clients share one bucket", "[clients]") {
    lab::Connected first;
    lab::Peer peer(first.lan.server, 3000, "srv0");
    lab::Program second(first.lan.bus);
    lab::Diary diary;
    auto eth0 = second.open("eth0", diary);
    auto one = first.open_udp(2001);
    auto two = eth0.open_udp(2002);
    REQUIRE(two);
    const auto began = lab::monotonic_usec();
    std::size_t sent = 0;
    for (int number = 0; number < 70; ++number) {
        sent += lab::outcome(one.send("10.77.1.1", 3000, "one")) == "0" ? 1 : 0;
        sent += lab::outcome(two->send("10.77.1.1", 3000, "two")) == "0" ? 1 : 0;
    }
    const auto took = lab::monotonic_usec() - began;
    CHECK(sent >= 100);
    CHECK(sent <= 100 + took / 40'000);
    CHECK(peer.count(sent, lab::Deadline(soon), 100ms) == sent);
}

TEST_CASE("a port is taken for other clients, too", "[clients]") {
    lab::Connected first;
    lab::Program second(first.lan.bus);
    lab::Diary diary;
    auto eth0 = second.open("eth0", diary);
    auto socket = first.open_udp(2001);
    CHECK(lab::outcome(eth0.open_udp(2001)) == "PortInUse");
    socket.close();
    CHECK(lab::outcome(eth0.open_udp(2001)) == "ok");
}

TEST_CASE("two interfaces use the same port, each for its own network", "[clients]") {
    lab::Lan lan;
    lab::Namespace other_server("other server");
    lab::Cable other_cable(lan.host, "lan1", other_server, "srv0");
    lab::DhcpServer dhcp(lan.server, "srv0", lab::DhcpServer::Options::only("10.77.1.100"));
    auto options = lab::DhcpServer::Options::only("10.77.2.100");
    options.address = options.router = "10.77.2.1";
    lab::DhcpServer other_dhcp(other_server, "srv0", options);
    lab::Daemon daemon(lan.host, lan.bus,
                       lan.managed("[interfaces.eth1]\ndevice = \"lan1\"\nmanaged = true\n"));
    lab::Program program(lan.bus);
    lab::Diary diary;
    lab::Diary other_diary;
    auto eth0 = program.open("eth0", diary);
    auto eth1 = program.open("eth1", other_diary);
    REQUIRE(program.until(
        soon, [&] { return diary.is(State::connected) && other_diary.is(State::connected); }));
    lab::Mailbox mail;
    lab::Mailbox other_mail;
    auto socket = eth0.open_udp(2001, mail.callback());
    auto other_socket = eth1.open_udp(2001, other_mail.callback());
    REQUIRE(socket);
    REQUIRE(other_socket);

    lab::Peer peer(lan.server, 3000, "srv0");
    lab::Peer other_peer(other_server, 3000, "srv0");
    peer.send("255.255.255.255", 2001, {0});
    other_peer.send("255.255.255.255", 2001, {1});
    REQUIRE(program.until(soon, [&] { return mail.size() > 0 && other_mail.size() > 0; }));
    CHECK(mail.arrived() ==
          std::vector<lab::Arrived>{{"10.77.1.1", 3000, "255.255.255.255", 2001, {0}}});
    CHECK(other_mail.arrived() ==
          std::vector<lab::Arrived>{{"10.77.2.1", 3000, "255.255.255.255", 2001, {1}}});

    CHECK(lab::outcome(socket->send("255.255.255.255", 3000, "0")) == "0");
    CHECK(lab::outcome(other_socket->send("255.255.255.255", 3000, "1")) == "0");
    const auto received = peer.receive(lab::Deadline(soon));
    const auto other_received = other_peer.receive(lab::Deadline(soon));
    REQUIRE(received);
    REQUIRE(other_received);
    CHECK(received->from == "10.77.1.100");
    CHECK(received->data == lab::Bytes{'0'});
    CHECK(other_received->from == "10.77.2.100");
    CHECK(other_received->data == lab::Bytes{'1'});

    // Neither reaches the other's network, though the host has both.
    CHECK(lab::outcome(socket->send("10.77.2.1", 3000, "0")) == "1");
    CHECK(lab::outcome(other_socket->send("10.77.1.1", 3000, "1")) == "1");
    CHECK_FALSE(peer.receive(lab::Deadline(100ms)));
    CHECK_FALSE(other_peer.receive(lab::Deadline(0ms)));

    // One cable is pulled: the other's network does not notice.
    diary.clear();
    other_diary.clear();
    lan.cable.pull();
    REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_stopped_no_link); }));
    CHECK(lab::outcome(socket->send("10.77.1.1", 3000, "0")) == "1");
    CHECK(lab::outcome(other_socket->send("10.77.2.1", 3000, "1")) == "0");
    CHECK(other_diary.entries().empty());
}

TEST_CASE("a client killed under load leaves nothing, and the others go on", "[clients]") {
    lab::Connected survivor("[limiter]\nrate = 0\n");  // load, not the limiter, is the matter here
    const auto& bus = survivor.lan.bus;
    lab::Mailbox mail;
    auto socket = survivor.open_udp(2002, mail.callback());
    lab::RawClient raw(bus);
    lab::Peer peer(survivor.lan.server, 3000, "srv0");
    survivor.diary.clear();
    const auto properties = raw.object("/org/impnet1/interface/eth0");
    properties->uponSignal("PropertiesChanged")
        .onInterface("org.freedesktop.DBus.Properties")
        .call([](const std::string&, const lab::Dictionary&, const std::vector<std::string>&) {});
    properties->finishRegistration();  // wakes whoever waits for a property
    const auto sessions = [&] { return raw.interface_property<std::uint32_t>("eth0", "Sessions"); };

    for (int round = 0; round < 6; ++round) {
        CAPTURE(round);
        lab::Fork victim([&bus](const lab::Fork::Say& say) {
            lab::RawClient own(bus);
            const auto session = own.open("eth0");
            lab::Program program(bus);
            lab::Diary diary;
            auto eth0 = program.open("eth0", diary);
            auto sender = eth0.open_udp(2001, [](const impnet::Datagram&) {});
            if (!sender) throw std::runtime_error(lab::Program::text(sender.error()));
            say(own.unique_name());
            say(session);
            program.until(soon, [&] { return diary.is(State::connected); });
            say("sending");
            const auto data = lab::pattern(1400);
            for (;;) {
                (void)sender->send("10.77.1.1", 3001, lab::view(data));
                program.turn();
            }
        });
        const auto name = victim.hear(lab::Deadline(soon));
        const auto session = victim.hear(lab::Deadline(soon));
        CHECK(victim.hear(lab::Deadline(soon)) == "sending");
        CHECK(raw.property<std::string>(session, "org.impnet1.Session", "Owner") == name);
        CHECK(lab::outcome(survivor.eth0.open_udp(2001)) == "PortInUse");
        CHECK(sessions() == 3);
        for (int number = 0; number < 50; ++number) {
            peer.send(lab::Connected::address, 2001, lab::pattern(1400));
        }

        Obituary obituary(raw, name);
        victim.kill(SIGKILL);
        REQUIRE(raw.until(soon, [&] { return obituary.gone(); }));
        CHECK(victim.wait(lab::Deadline(soon)) == 128 + SIGKILL);
        // The bus told the daemon when it told us. The daemon makes sure that it is not the bus
        // that ends: one question and its answer later the sessions are gone. (The second
        // connection of the victim closed in the same moment.)
        const auto is_gone = [&] {
            return lab::outcome_of([&] {
                       raw.property<std::string>(session, "org.impnet1.Session", "Owner");
                   }) == "UnknownObject";
        };
        CHECK(raw.until(soon, [&] { return sessions() == 1; }));
        CHECK(is_gone());
        auto port = survivor.eth0.open_udp(2001);
        CHECK(lab::outcome(port) == "ok");

        mail.clear();
        CHECK(lab::outcome(socket.send("10.77.1.1", 3000, "alive")) == "0");
        REQUIRE(peer.receive(lab::Deadline(soon)));
        peer.send(lab::Connected::address, 2002, {'y'});
        REQUIRE(survivor.program.until(soon, [&] { return mail.size() == 1; }));
    }
    CHECK(survivor.diary.entries().empty());
}

TEST_CASE("sessions and sockets obey their owner only, and others may look", "[clients]") {
    lab::Connected connected;
    lab::RawClient owner(connected.lan.bus);
    lab::RawClient stranger(connected.lan.bus);
    const auto session = owner.open("eth0");
    const auto socket = owner.open_udp(session, {{"port", sdbus::Variant(std::uint16_t{2001})}});
    const auto refuses = [&](const std::string& path, const std::string& interface,
                             const std::string& member) {
        CAPTURE(path, member);
        CHECK(lab::outcome_of([&] { stranger.call(path, interface, member); }) == "NotOwner");
    };
    for (const std::string member : {"GetState", "GetToken", "GetSockets", "GetIpTable", "Close"}) {
        refuses(session, "org.impnet1.Session", member);
    }
    for (const std::string member : {"Acquire", "GetStatistics", "Close"}) {
        refuses(socket, "org.impnet1.UdpSocket", member);
    }
    CHECK(lab::outcome_of([&] { stranger.open_udp(session, {}); }) == "NotOwner");
    CHECK(lab::outcome_of([&] { stranger.send(socket, "8.8.8.8", 1, {}); }) == "NotOwner");

    CHECK(stranger.property<std::string>(session, "org.impnet1.Session", "Owner") ==
          owner.unique_name());
    CHECK(stranger.property<std::int32_t>(session, "org.impnet1.Session", "State") == 1);
    CHECK(stranger.property<sdbus::ObjectPath>(socket, "org.impnet1.UdpSocket", "Session") ==
          session);
    CHECK(stranger.property<std::uint16_t>(socket, "org.impnet1.UdpSocket", "LocalPort") == 2001);
    // And nothing of it happened to the owner.
    CHECK(owner.send(socket, "10.77.1.1", 3000, {}) == 0);
}

TEST_CASE("a user has so many sessions and sockets, and no more", "[clients]") {
    lab::Connected connected("[limits]\nsessions-per-uid = 3\nsockets-per-uid = 2\n");
    lab::RawClient raw(connected.lan.bus);
    const auto second = raw.open("eth0");
    raw.open("eth0");
    CHECK(lab::outcome_of([&] { raw.open("eth0"); }) == "LimitExceeded");
    lab::Diary diary;
    lab::RawClient another(connected.lan.bus);  // a further connection gains nothing
    CHECK(lab::outcome_of([&] { another.open("eth0"); }) == "LimitExceeded");
    raw.call(second, "org.impnet1.Session", "Close");
    CHECK(lab::outcome_of([&] { another.open("eth0"); }) == "ok");

    auto one = connected.open_udp(2001);
    auto two = connected.open_udp(0);
    CHECK(lab::outcome(connected.eth0.open_udp(0)) == "LimitExceeded");
    CHECK(lab::outcome(connected.eth0.open_udp(2001)) == "LimitExceeded");
    two.close();
    CHECK(lab::outcome(connected.eth0.open_udp(0)) == "ok");
}

TEST_CASE("a session that ends takes its sockets along", "[clients]") {
    lab::Connected connected;
    lab::RawClient raw(connected.lan.bus);
    const auto session = raw.open("eth0");
    const auto socket = raw.open_udp(session, {{"port", sdbus::Variant(std::uint16_t{2001})}});
    std::vector<sdbus::ObjectPath> sockets;
    raw.object(session)
        ->callMethod("GetSockets")
        .onInterface("org.impnet1.Session")
        .storeResultsTo(sockets);
    CHECK(sockets == std::vector<sdbus::ObjectPath>{sdbus::ObjectPath(socket)});
    raw.call(session, "org.impnet1.Session", "Close");
    CHECK(lab::outcome_of([&] { raw.send(socket, "10.77.1.1", 3000, {}); }) != "ok");
    CHECK(lab::outcome_of([&] { raw.call(session, "org.impnet1.Session", "GetState"); }) != "ok");
    CHECK(lab::outcome(connected.eth0.open_udp(2001)) == "ok");

    // Numbers never repeat.
    CHECK(raw.open("eth0") != session);
}
