// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What every DataPath does, as test cases. `socket_cases` are about the socket as its session holds
// it; the fake passes them, too. `wire_cases` need a real network and a client that holds the
// descriptor, and hide from it whether that is a relay's or a UDP socket.
//
// The scene: two interfaces, each with a peer at the other end of its cable. That nothing arrives
// is shown by what arrives next: a datagram sent later that must get there.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "core/data_path.hpp"
#include "core/datagram_policy.hpp"

namespace impnetd {

inline std::ostream& operator<<(std::ostream& out, const Datagram& datagram) {
    return out << datagram.from.text() << ":" << datagram.from_port << " > " << datagram.to.text()
               << ":" << datagram.to_port << ", " << datagram.data.size() << " bytes";
}

}  // namespace impnetd

namespace ports {

using impnetd::Client;
using impnetd::Datagram;
using impnetd::DataPath;
using impnetd::DataSocket;
using impnetd::Delivery;
using impnetd::DestinationRule;
using impnetd::ErrorCode;
using impnetd::Ipv4;
using impnetd::Ipv4Network;
using impnetd::SendResult;
using impnetd::SocketCounters;
using impnetd::SocketPolicy;
using Bytes = std::vector<std::uint8_t>;
using Milliseconds = std::chrono::milliseconds;

/// `size` bytes in which a piece that is missing or moved shows.
inline Bytes payload(std::size_t size, unsigned seed = 1) {
    Bytes bytes(size);
    std::uint32_t state = seed * 2'654'435'761U + 1;
    for (std::uint8_t& byte : bytes) {
        state = state * 1'664'525U + 1'013'904'223U;
        byte = static_cast<std::uint8_t>(state >> 24);
    }
    return bytes;
}

/// What became of a datagram that a client sent by its descriptor.
enum class Outcome {
    sent,
    not_connected,
    would_block,
    address_not_allowed,
    invalid_port,
    too_large,
    closed
};

/// A client with the descriptor of a socket.
class DataPathClient {
  public:
    virtual ~DataPathClient() = default;

    virtual void send(Ipv4 to, std::uint16_t port, const Bytes& data) = 0;
    /// What became of each of its sends, in order, as far as it knows by now.
    virtual const std::vector<Outcome>& outcomes() = 0;
    /// The next datagram that is there now.
    virtual std::optional<Datagram> receive() = 0;
    /// The socket is closed: nothing more can be sent.
    virtual bool closed() = 0;
};

/// What a session hears of its socket.
class SocketLog final : public DataSocket::Observer {
  public:
    void datagram_received(const Datagram& datagram) override {
        datagrams.push_back(datagram);
        if (on_datagram) on_datagram(datagram);
    }
    void socket_closed(const std::string& reason) override { closings.push_back(reason); }

    std::vector<Datagram> datagrams;
    std::vector<std::string> closings;
    std::function<void(const Datagram&)> on_datagram;
};

/// Two interfaces, slots 0 and 1: ours 10.77.1.2/24 and 10.77.2.2/24, their peers 10.77.1.1 and
/// 10.77.2.1. Both are connected. The bucket holds 100 and gets 25 a second.
class DataPathScene {
  public:
    using Slot = DataPath::Slot;
    static constexpr Slot lan0 = 0;
    static constexpr Slot lan1 = 1;
    static constexpr std::uint16_t peer_port = 4000;

    static constexpr Ipv4 ours(Slot slot = lan0) {
        return Ipv4(10, 77, static_cast<std::uint8_t>(slot + 1), 2);
    }
    static constexpr Ipv4 peer(Slot slot = lan0) {
        return Ipv4(10, 77, static_cast<std::uint8_t>(slot + 1), 1);
    }
    static constexpr Ipv4 broadcast(Slot slot = lan0) {
        return Ipv4(10, 77, static_cast<std::uint8_t>(slot + 1), 255);
    }
    static constexpr Ipv4 everybody = Ipv4(255, 255, 255, 255);

    virtual ~DataPathScene() = default;

    virtual DataPath& path() = 0;
    virtual std::string device(Slot slot) const = 0;
    /// The interface gets this address (nothing: loses its address), and the path is told.
    virtual void set_address(Slot slot, std::optional<Ipv4Network> network) = 0;
    /// The path is told that the interface has no device.
    virtual void lose_device(Slot slot) = 0;
    /// The port of the only socket that is open, also before it is in force.
    virtual std::uint16_t reserved_port() = 0;

    /// The peer sends from its port 4000.
    virtual void peer_sends(Slot slot, Ipv4 to, std::uint16_t port, const Bytes& data) = 0;
    /// The next datagram that gets to the peer's port 4000. Nothing: the limit passed first.
    virtual std::optional<Datagram> next_at_peer(Slot slot, Milliseconds limit) = 0;

    /// Time passes for the rate limit.
    virtual void elapse(Milliseconds time) = 0;
    /// Lets everybody work until it is so. False: the limit passed first.
    virtual bool work_until(const std::function<bool()>& predicate, Milliseconds limit) = 0;

    bool until(const std::function<bool()>& predicate, Milliseconds limit = Milliseconds(5'000)) {
        return work_until(predicate, limit);
    }
    std::unique_ptr<DataSocket> open(std::uint16_t port, Delivery delivery = Delivery::signal,
                                     Slot slot = lan0) {
        auto socket = path().open(request(port, delivery, slot), log);
        INFO((socket ? "" : socket.error().message));
        REQUIRE(socket);
        return std::move(*socket);
    }
    DataPath::Request request(std::uint16_t port, Delivery delivery, Slot slot) {
        return {.slot = slot,
                .id = ++last_id,
                .port = port,
                .delivery = delivery,
                .client = client,
                .policy = policy};
    }
    impnetd::Error open_error(std::uint16_t port, Slot slot = lan0) {
        const auto socket = path().open(request(port, Delivery::signal, slot), log);
        REQUIRE_FALSE(socket);
        return socket.error();
    }
    std::optional<Datagram> peer_receives(Slot slot) {
        return next_at_peer(slot, Milliseconds(2'000));
    }
    /// How many datagrams got to the peer; all must have been sent before.
    std::size_t peer_counts(Slot slot = lan0) {
        std::size_t count = 0;
        while (next_at_peer(slot, Milliseconds(100))) ++count;
        return count;
    }
    bool received(std::size_t count) {
        return until([this, count] { return log.datagrams.size() >= count; });
    }

    Client client{.uid = 1000, .pid = 1, .groups = {}, .unit = ""};
    SocketPolicy policy;  ///< of the sockets to come
    SocketLog log;
    std::uint64_t last_id = 0;
};

using MakeDataPathScene = std::function<std::unique_ptr<DataPathScene>()>;

inline ErrorCode send_error(DataSocket& socket, Ipv4 to, std::uint16_t port, const Bytes& data) {
    const auto result = socket.send(to, port, data);
    REQUIRE_FALSE(result);
    return result.error().code;
}

/// What travels, and with which addresses.
inline void exchange_cases(DataPathScene& scene) {
    const Ipv4 peer = DataPathScene::peer();
    const std::uint16_t peer_port = DataPathScene::peer_port;
    const Bytes hello = payload(5);
    const std::vector<Ipv4> destinations = {DataPathScene::ours(), DataPathScene::broadcast(),
                                            DataPathScene::everybody};

    SECTION("a datagram gets to the peer, from our address and port") {
        const auto socket = scene.open(2001);
        REQUIRE(socket->send(peer, peer_port, hello) == SendResult::sent);
        const auto got = scene.peer_receives(0);
        REQUIRE(got);
        CHECK(*got == Datagram{DataPathScene::ours(), 2001, peer, peer_port, hello});
    }

    SECTION("a datagram from the peer is delivered, as are broadcasts of both kinds") {
        const auto socket = scene.open(2001);
        for (const Ipv4 to : destinations) scene.peer_sends(0, to, 2001, hello);
        REQUIRE(scene.received(3));
        for (std::size_t i = 0; i < 3; ++i) {
            CHECK(scene.log.datagrams[i] ==
                  Datagram{peer, peer_port, destinations[i], 2001, hello});
        }
    }

    SECTION("broadcasts are sent, and do not come back to their sender") {
        const auto socket = scene.open(peer_port);
        for (const Ipv4 to : {DataPathScene::broadcast(), DataPathScene::everybody}) {
            REQUIRE(socket->send(to, peer_port, hello) == SendResult::sent);
            const auto got = scene.peer_receives(0);
            REQUIRE(got);
            CHECK(*got == Datagram{DataPathScene::ours(), peer_port, to, peer_port, hello});
        }
        scene.peer_sends(0, DataPathScene::ours(), peer_port, hello);
        REQUIRE(scene.received(1));
        CHECK(scene.log.datagrams.front().from == peer);
    }

    SECTION("a socket works again when its interface is connected again") {
        const auto socket = scene.open(2001);
        scene.set_address(0, std::nullopt);
        CHECK(socket->send(peer, peer_port, hello) == SendResult::not_connected);
        scene.set_address(0, Ipv4Network{DataPathScene::ours(), 24});
        CHECK(socket->send(peer, peer_port, hello) == SendResult::sent);
        CHECK(scene.peer_receives(0));
        scene.peer_sends(0, DataPathScene::ours(), 2001, hello);
        CHECK(scene.received(1));
    }

    SECTION("a socket may be opened before its interface is connected") {
        scene.set_address(0, std::nullopt);
        const auto socket = scene.open(2001);
        CHECK(socket->send(peer, peer_port, hello) == SendResult::not_connected);
        scene.set_address(0, Ipv4Network{DataPathScene::ours(), 24});
        CHECK(socket->send(peer, peer_port, hello) == SendResult::sent);
        CHECK(scene.peer_receives(0));
    }

    SECTION("a new address is the sender of what is sent from then on") {
        const auto socket = scene.open(2001);
        const Ipv4 moved(10, 77, 1, 77);
        scene.set_address(0, Ipv4Network{moved, 24});
        CHECK(socket->send(moved, peer_port, hello) == SendResult::not_connected);
        REQUIRE(socket->send(peer, peer_port, hello) == SendResult::sent);
        CHECK(scene.peer_receives(0)->from == moved);
        scene.peer_sends(0, moved, 2001, hello);
        REQUIRE(scene.received(1));
        CHECK(scene.log.datagrams.front().to == moved);
    }
}

/// Which port a socket has, and from when on.
inline void port_cases(DataPathScene& scene) {
    const Ipv4 peer = DataPathScene::peer();
    const std::uint16_t peer_port = DataPathScene::peer_port;
    const Bytes hello = payload(5);

    SECTION("a port that was asked for is in force at once") {
        CHECK(scene.open(2001)->local_port() == 2001);
    }

    SECTION("a port that was not asked for is in force from the first send on") {
        const auto socket = scene.open(0);
        CHECK(socket->local_port() == 0);
        REQUIRE(socket->send(peer, peer_port, hello) == SendResult::sent);
        const std::uint16_t port = socket->local_port();
        CHECK(port >= 1024);
        const auto got = scene.peer_receives(0);
        REQUIRE(got);
        CHECK(got->from_port == port);
        scene.peer_sends(0, DataPathScene::ours(), port, hello);
        REQUIRE(scene.received(1));
        CHECK(scene.log.datagrams.front().to_port == port);
    }

    SECTION("what comes before the first send is never delivered") {
        const auto socket = scene.open(0);
        const std::uint16_t port = scene.reserved_port();
        REQUIRE(port >= 1024);
        for (int i = 0; i < 3; ++i) {
            scene.peer_sends(0, DataPathScene::ours(), port, payload(1));
        }
        REQUIRE(socket->send(peer, peer_port, hello) == SendResult::sent);
        CHECK(socket->local_port() == port);
        scene.peer_sends(0, DataPathScene::ours(), port, payload(2));
        REQUIRE(scene.received(1));
        CHECK(scene.log.datagrams.front().data == payload(2));
        CHECK(socket->counters().received == 1);
        CHECK(socket->counters().dropped == 0);
    }

    SECTION("only a datagram that was handed to the network brings a socket into force") {
        const auto socket = scene.open(0);
        const std::uint16_t port = scene.reserved_port();
        CHECK(send_error(*socket, peer, 0, hello) == ErrorCode::invalid_argument);
        CHECK(send_error(*socket, peer, peer_port, payload(65508)) == ErrorCode::too_large);
        CHECK(socket->send(DataPathScene::ours(), peer_port, hello) == SendResult::not_connected);
        const auto other = scene.open(2001);
        for (int i = 0; i < 100; ++i) {
            REQUIRE(other->send(peer, peer_port, {}) == SendResult::sent);
        }
        CHECK(socket->send(peer, peer_port, hello) == SendResult::would_block);
        CHECK(socket->local_port() == 0);
        scene.peer_sends(0, DataPathScene::ours(), port, hello);
        scene.peer_sends(0, DataPathScene::ours(), 2001, payload(2));
        REQUIRE(scene.received(1));
        CHECK(scene.log.datagrams.front().data == payload(2));
    }

    SECTION("a port that is taken on the interface is named") {
        const auto socket = scene.open(2001);
        const auto error = scene.open_error(2001);
        CHECK(error.code == ErrorCode::port_in_use);
        CHECK(error.message.find("2001") != std::string::npos);
        CHECK(error.message.find(scene.device(0)) != std::string::npos);
    }

    SECTION("a port that was not asked for is reserved before the first send, too") {
        const auto socket = scene.open(0);
        CHECK(scene.open_error(scene.reserved_port()).code == ErrorCode::port_in_use);
    }

    SECTION("two interfaces may use the same port, each with its own peer") {
        const auto first = scene.open(2001, Delivery::signal, DataPathScene::lan0);
        const auto second = scene.open(2001, Delivery::signal, DataPathScene::lan1);
        CHECK(first->send(DataPathScene::peer(0), peer_port, payload(1)) == SendResult::sent);
        CHECK(second->send(DataPathScene::peer(1), peer_port, payload(2)) == SendResult::sent);
        CHECK(scene.peer_receives(0)->data == payload(1));
        CHECK(scene.peer_receives(1)->data == payload(2));
        scene.peer_sends(1, DataPathScene::ours(1), 2001, hello);
        REQUIRE(scene.received(1));
        CHECK(scene.log.datagrams.front().from == DataPathScene::peer(1));
        CHECK(first->counters().received == 0);
        CHECK(second->counters().received == 1);
    }

    SECTION("a port is free as soon as its socket is destroyed") {
        for (int i = 0; i < 3; ++i) CHECK(scene.open(2001)->local_port() == 2001);
    }

    SECTION("ports below 1024 are refused") {
        CHECK(scene.open_error(1).code == ErrorCode::invalid_argument);
        CHECK(scene.open_error(1023).code == ErrorCode::invalid_argument);
        CHECK(scene.open(1024)->local_port() == 1024);
        CHECK(scene.open(65535)->local_port() == 65535);
    }

    SECTION("an interface without a device is unavailable") {
        CHECK(scene.open_error(2001, 7).code == ErrorCode::unavailable);
        scene.lose_device(0);
        CHECK(scene.open_error(2001).code == ErrorCode::unavailable);
    }
}

/// What is not sent, and what follows from it.
inline void refusal_cases(DataPathScene& scene) {
    const Ipv4 peer = DataPathScene::peer();
    const std::uint16_t peer_port = DataPathScene::peer_port;
    const Bytes hello = payload(5);

    SECTION("a forbidden address closes the socket") {
        const auto socket = scene.open(2001);
        for (const Ipv4 to :
             {Ipv4(8, 8, 8, 8), Ipv4(224, 0, 0, 1), Ipv4(127, 0, 0, 1), Ipv4(169, 254, 1, 1),
              Ipv4(0, 0, 0, 0), Ipv4(10, 77, 1, 0), Ipv4(172, 32, 0, 1), Ipv4(100, 64, 0, 1)}) {
            INFO(to.text());
            const auto victim = scene.open(2002);
            CHECK(send_error(*victim, to, peer_port, hello) == ErrorCode::address_not_allowed);
            CHECK(send_error(*victim, peer, peer_port, hello) == ErrorCode::socket_closed);
            CHECK(victim->counters().denied == 1);
            // Its port is free already: the next round opens it again.
        }
        CHECK(socket->send(peer, peer_port, hello) == SendResult::sent);
        CHECK(scene.peer_counts() == 1);
    }

    SECTION("the observer hears of the closing later, once") {
        const auto socket = scene.open(2001);
        REQUIRE_FALSE(socket->send(Ipv4(8, 8, 8, 8), peer_port, hello));
        REQUIRE_FALSE(socket->send(Ipv4(8, 8, 8, 8), peer_port, hello));
        CHECK(scene.log.closings.empty());
        REQUIRE(scene.until([&] { return !scene.log.closings.empty(); }));
        CHECK_FALSE(scene.until([&] { return scene.log.closings.size() > 1; }, Milliseconds(50)));
        CHECK(scene.log.closings.front().find("8.8.8.8") != std::string::npos);
    }

    SECTION("a socket that is destroyed tells nothing more") {
        scene.open(2001)->send(Ipv4(8, 8, 8, 8), peer_port, hello);
        CHECK_FALSE(scene.until([&] { return !scene.log.closings.empty(); }, Milliseconds(50)));
    }

    SECTION("forbidden ports and too much data leave the socket open") {
        const auto socket = scene.open(2001);
        for (const std::uint16_t port : {0, 67, 68}) {
            CHECK(send_error(*socket, peer, port, hello) == ErrorCode::invalid_argument);
        }
        CHECK(send_error(*socket, peer, peer_port, payload(65508)) == ErrorCode::too_large);
        CHECK(socket->counters().denied == 4);
        CHECK(socket->send(peer, peer_port, {}) == SendResult::sent);
        CHECK(scene.peer_receives(0)->data.empty());
    }

    SECTION("addresses that are private but not here are not connected") {
        const auto socket = scene.open(2001);
        for (const Ipv4 to : {DataPathScene::ours(), DataPathScene::peer(1), Ipv4(10, 77, 0, 255),
                              Ipv4(192, 168, 1, 1), Ipv4(172, 16, 0, 1)}) {
            CHECK(socket->send(to, peer_port, hello) == SendResult::not_connected);
        }
        CHECK(socket->counters().not_connected == 5);
        CHECK(socket->send(peer, peer_port, hello) == SendResult::sent);
        CHECK(scene.peer_counts() == 1);
    }
}

/// The rate limit.
inline void limit_cases(DataPathScene& scene) {
    const Ipv4 peer = DataPathScene::peer();
    const std::uint16_t peer_port = DataPathScene::peer_port;
    const Bytes hello = payload(5);

    SECTION("of 110 datagrams at once exactly 100 leave, and 100 more four seconds later") {
        const auto first = scene.open(2001);
        const auto second = scene.open(2002, Delivery::signal, DataPathScene::lan1);
        const auto send_all = [&] {
            int sent = 0;
            for (int i = 0; i < 110; ++i) {
                // One bucket, whatever the socket and the interface.
                const bool even = i % 2 == 0;
                const auto result = even ? first->send(peer, peer_port, hello)
                                         : second->send(DataPathScene::peer(1), peer_port, hello);
                REQUIRE(result);
                REQUIRE(*result == (i < 100 ? SendResult::sent : SendResult::would_block));
                if (*result == SendResult::sent) ++sent;
            }
            return sent;
        };
        CHECK(send_all() == 100);
        CHECK(scene.peer_counts(0) + scene.peer_counts(1) == 100);
        scene.elapse(Milliseconds(4'000));
        CHECK(send_all() == 100);
        CHECK(scene.peer_counts(0) + scene.peer_counts(1) == 100);
        CHECK(first->counters().sent + second->counters().sent == 200);
        CHECK(first->counters().rate_limited + second->counters().rate_limited == 20);
    }

    SECTION("what does not leave costs no token") {
        const auto socket = scene.open(2001);
        for (int i = 0; i < 200; ++i) {
            CHECK(socket->send(Ipv4(192, 168, 9, 9), peer_port, hello) ==
                  SendResult::not_connected);
        }
        for (int i = 0; i < 100; ++i) {
            CHECK(socket->send(peer, peer_port, {}) == SendResult::sent);
        }
        CHECK(socket->send(peer, peer_port, {}) == SendResult::would_block);
    }
}

/// Who gets a descriptor.
inline void acquire_cases(DataPathScene& scene) {
    const Ipv4 peer = DataPathScene::peer();
    const std::uint16_t peer_port = DataPathScene::peer_port;
    const Bytes hello = payload(5);

    SECTION("a descriptor can be acquired once, and only where it was chosen") {
        const auto with_signals = scene.open(2001);
        const auto refused = with_signals->acquire();
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == ErrorCode::invalid_argument);

        const auto socket = scene.open(2002, Delivery::descriptor);
        const auto descriptor = socket->acquire();
        REQUIRE(descriptor);
        CHECK(*descriptor);
        const auto again = socket->acquire();
        REQUIRE_FALSE(again);
        CHECK(again.error().code == ErrorCode::busy);
    }

    SECTION("a closed socket has no descriptor to acquire") {
        const auto socket = scene.open(2001, Delivery::descriptor);
        REQUIRE_FALSE(socket->send(Ipv4(8, 8, 8, 8), peer_port, hello));
        const auto late = socket->acquire();
        REQUIRE_FALSE(late);
        CHECK(late.error().code == ErrorCode::socket_closed);
    }

    SECTION("a socket with a descriptor can be sent on without it") {
        const auto socket = scene.open(2001, Delivery::descriptor);
        CHECK(socket->send(peer, peer_port, hello) == SendResult::sent);
        CHECK(scene.peer_receives(0)->data == hello);
        scene.peer_sends(0, DataPathScene::ours(), 2001, hello);
        CHECK_FALSE(scene.until([&] { return !scene.log.datagrams.empty(); }, Milliseconds(50)));
    }
}

/// What the policy lets a socket do. The peer's port is 4000.
inline void policy_cases(DataPathScene& scene) {
    const Ipv4 peer = DataPathScene::peer();
    const std::uint16_t peer_port = DataPathScene::peer_port;
    const Bytes hello = payload(5);
    const auto rule = [](Ipv4 network, std::uint8_t prefix, bool allow) {
        return DestinationRule{{network, prefix}, 0, 65535, allow, allow ? "but-this" : "not-this"};
    };
    const auto at_ports = [](DestinationRule rule, std::uint16_t first, std::uint16_t last) {
        rule.first_port = first;
        rule.last_port = last;
        return rule;
    };
    const auto check_ended_by_rule = [&](DataSocket& socket) {
        CHECK(socket.counters().denied == 1);
        CHECK(send_error(socket, peer, peer_port, hello) == ErrorCode::socket_closed);
        REQUIRE(scene.until([&] { return !scene.log.closings.empty(); }));
        CHECK(scene.log.closings.size() == 1);
        CHECK(scene.log.closings.front().find("not-this") != std::string::npos);
    };

    SECTION("a rule that denies a network closes a socket that sends there, and is named") {
        scene.policy.destinations = {rule(Ipv4(10, 77, 1, 0), 28, false)};
        const auto socket = scene.open(2001);
        CHECK(socket->send(Ipv4(10, 77, 1, 16), peer_port, hello) == SendResult::sent);
        const auto result = socket->send(peer, peer_port, hello);
        REQUIRE_FALSE(result);
        CHECK(result.error().code == ErrorCode::address_not_allowed);
        CHECK(result.error().message.find("not-this") != std::string::npos);
        check_ended_by_rule(*socket);
        CHECK(socket->counters().sent == 1);
        CHECK(scene.open(2001)->local_port() == 2001);  // the port is free
    }

    SECTION("a rule that denies ports denies these alone") {
        scene.policy.destinations = {at_ports(rule(Ipv4(), 0, false), 4001, 4002)};
        const auto socket = scene.open(2001);
        for (const std::uint16_t port : {peer_port, std::uint16_t{4003}})
            CHECK(socket->send(peer, port, hello) == SendResult::sent);
        CHECK(send_error(*socket, peer, 4002, hello) == ErrorCode::address_not_allowed);
        check_ended_by_rule(*socket);
        CHECK(socket->counters().sent == 2);
    }

    SECTION("a rule that allows is an exception to what follows it, not to what is before it") {
        scene.policy.destinations = {at_ports(rule(peer, 32, false), 5000, 5000),
                                     rule(peer, 32, true), rule(Ipv4(), 0, false)};
        const auto socket = scene.open(2001);
        CHECK(socket->send(peer, peer_port, hello) == SendResult::sent);
        CHECK(scene.peer_receives(0));
        SECTION("before it") {
            CHECK(send_error(*socket, peer, 5000, hello) == ErrorCode::address_not_allowed);
        }
        SECTION("after it") {
            CHECK(send_error(*socket, DataPathScene::everybody, peer_port, hello) ==
                  ErrorCode::address_not_allowed);
        }
        check_ended_by_rule(*socket);
    }

    SECTION("as many rules as a socket can have are all followed") {
        for (std::uint16_t i = 1; i < SocketPolicy::max_destinations; ++i) {
            const std::uint16_t port = 5000 + i;
            scene.policy.destinations.push_back(at_ports(rule(Ipv4(), 0, false), port, port));
        }
        scene.policy.destinations.push_back(rule(Ipv4(10, 77, 1, 128), 25, false));
        const auto socket = scene.open(2001);
        CHECK(socket->send(peer, peer_port, hello) == SendResult::sent);
        CHECK(send_error(*socket, Ipv4(10, 77, 1, 129), peer_port, hello) ==
              ErrorCode::address_not_allowed);
        check_ended_by_rule(*socket);
    }

    SECTION("a rule opens no address that is not local") {
        scene.policy.destinations = {rule(Ipv4(), 0, true)};
        const auto socket = scene.open(2001);
        CHECK(send_error(*socket, Ipv4(8, 8, 8, 8), 53, hello) == ErrorCode::address_not_allowed);
        REQUIRE(scene.until([&] { return !scene.log.closings.empty(); }));
    }

    SECTION("a socket that is open follows a new policy at once") {
        const auto socket = scene.open(2001);
        CHECK(socket->send(peer, peer_port, hello) == SendResult::sent);
        socket->set_policy({{rule(peer, 32, false)}, {}});
        socket->set_policy({});
        CHECK(socket->send(peer, peer_port, hello) == SendResult::sent);
        socket->set_policy({{rule(peer, 32, false)}, {}});
        CHECK(socket->send(DataPathScene::everybody, peer_port, hello) == SendResult::sent);
        CHECK(send_error(*socket, peer, peer_port, hello) == ErrorCode::address_not_allowed);
        check_ended_by_rule(*socket);
        CHECK(scene.peer_counts() == 3);
    }

    SECTION("nothing arrives from where a rule lets nothing go") {
        scene.policy.destinations = {at_ports(rule(peer, 32, false), peer_port, peer_port)};
        const auto socket = scene.open(2001);
        scene.peer_sends(0, DataPathScene::ours(), 2001, payload(1));
        const auto other = scene.open(2002);
        other->set_policy({});
        scene.peer_sends(0, DataPathScene::ours(), 2002, payload(2));
        REQUIRE(scene.received(1));
        CHECK(scene.log.datagrams.front().data == payload(2));
        CHECK(socket->counters().received == 0);
        CHECK(scene.log.closings.empty());
    }
}

/// Local address space beside RFC 1918's.
inline void extra_network_cases(DataPathScene& scene) {
    const std::uint16_t peer_port = DataPathScene::peer_port;
    const Bytes hello = payload(5);
    const Ipv4 ours(100, 64, 1, 2);
    const Ipv4 other(100, 64, 1, 9);

    SECTION("an address of a further network is local on its subnet, as long as it is one") {
        scene.set_address(0, Ipv4Network{ours, 24});
        const auto socket = scene.open(2001);
        scene.path().set_extra_networks({{Ipv4(172, 15, 0, 0), 16}, {Ipv4(100, 64, 0, 0), 10}});
        CHECK(socket->send(other, peer_port, hello) == SendResult::sent);
        CHECK(socket->send(Ipv4(100, 64, 1, 255), peer_port, hello) == SendResult::sent);
        CHECK(socket->send(Ipv4(100, 64, 2, 9), peer_port, hello) == SendResult::not_connected);
        CHECK(socket->send(Ipv4(172, 15, 1, 1), peer_port, hello) == SendResult::not_connected);
        CHECK(scene.log.closings.empty());
        scene.path().set_extra_networks({});
        CHECK(send_error(*socket, other, peer_port, hello) == ErrorCode::address_not_allowed);
        REQUIRE(scene.until([&] { return !scene.log.closings.empty(); }));
    }

    SECTION("a rule narrows a further network, too") {
        scene.set_address(0, Ipv4Network{ours, 24});
        scene.path().set_extra_networks({{Ipv4(100, 64, 0, 0), 10}});
        scene.policy.destinations = {{{other, 32}, 0, 65535, false, "not-this"}};
        const auto socket = scene.open(2001);
        CHECK(socket->send(Ipv4(100, 64, 1, 10), peer_port, hello) == SendResult::sent);
        CHECK(send_error(*socket, other, peer_port, hello) == ErrorCode::address_not_allowed);
        scene.path().set_extra_networks({});
    }
}

inline void socket_cases(const MakeDataPathScene& make_scene) {
    const auto scene = make_scene();
    exchange_cases(*scene);
    port_cases(*scene);
    refusal_cases(*scene);
    limit_cases(*scene);
    acquire_cases(*scene);
    policy_cases(*scene);
    extra_network_cases(*scene);
}

/// A scene with a real network.
class WireScene : public DataPathScene {
  public:
    virtual std::unique_ptr<DataPathClient> acquire(DataSocket& socket) = 0;
    /// Of a client with a UDP socket the kernel refuses port 0 and what is too large for a datagram
    /// before it asks anybody who could count.
    virtual bool counts_all_denials() const { return true; }

    /// The TTL of the datagram that the peer received last.
    virtual int last_ttl() const = 0;
    /// As `peer_sends`, but with a source address that is not the peer's own.
    virtual void stranger_sends(Slot slot, Ipv4 from, Ipv4 to, std::uint16_t port,
                                const Bytes& data) = 0;
    /// Another program on our side opens a plain UDP socket on an interface, and joins a group.
    virtual void neighbour_opens(Slot slot, std::uint16_t port,
                                 std::optional<Ipv4> group = std::nullopt) = 0;
    /// It receives a datagram; waits for one.
    virtual bool neighbour_receives() = 0;
    /// Somebody runs ip(8) on our side.
    virtual void ip(const std::vector<std::string>& arguments) = 0;
    /// The sizes of the UDP packets (or first fragments) that left by an interface's cable since
    /// this was last asked.
    virtual std::vector<std::size_t> packet_sizes(Slot slot) = 0;
    virtual int ifindex(Slot slot) const = 0;
    /// The cable of an interface is pulled or put back; the path is told by `set_address`.
    virtual void set_cable(Slot slot, bool plugged) = 0;

    /// Sends and waits until it is known what became of it.
    Outcome send(DataPathClient& client, Ipv4 to, std::uint16_t port, const Bytes& data) {
        const std::size_t before = client.outcomes().size();
        client.send(to, port, data);
        REQUIRE(until([&] { return client.outcomes().size() > before || client.closed(); }));
        return client.outcomes().size() > before ? client.outcomes().back() : Outcome::closed;
    }
    /// Waits for the client's next datagram.
    std::optional<Datagram> receive(DataPathClient& client,
                                    Milliseconds limit = Milliseconds(5'000)) {
        std::optional<Datagram> datagram;
        until([&] { return (datagram = client.receive()).has_value(); }, limit);
        return datagram;
    }
};

using MakeWireScene = std::function<std::unique_ptr<WireScene>()>;

/// What leaves and arrives is whole and says so.
inline void travel_cases(WireScene& scene) {
    const Ipv4 peer = DataPathScene::peer();
    const Ipv4 ours = DataPathScene::ours();
    const std::uint16_t peer_port = DataPathScene::peer_port;
    const Bytes hello = payload(5);
    const std::vector<Ipv4> destinations = {DataPathScene::ours(), DataPathScene::broadcast(),
                                            DataPathScene::everybody};
    const std::vector<std::size_t> sizes = {0, 1, 32, 1400, 1472, 1473, 9000, 65507};

    SECTION("datagrams of every size travel whole by descriptor, both ways") {
        const auto socket = scene.open(2001, Delivery::descriptor);
        const auto client = scene.acquire(*socket);
        for (const std::size_t size : sizes) {
            INFO(size << " bytes");
            const Bytes there = payload(size, 1);
            CHECK(scene.send(*client, peer, peer_port, there) == Outcome::sent);
            const auto got = scene.peer_receives(0);
            REQUIRE(got);
            CHECK((*got == Datagram{ours, 2001, peer, peer_port, there}));
            CHECK(scene.last_ttl() == 1);

            const Bytes back = payload(size, 2);
            scene.peer_sends(0, ours, 2001, back);
            const auto answer = scene.receive(*client);
            REQUIRE(answer);
            CHECK((*answer == Datagram{peer, peer_port, ours, 2001, back}));
        }
        CHECK(socket->counters().sent == sizes.size());
        CHECK(socket->counters().received == sizes.size());
    }

    SECTION("datagrams of every size travel whole by signal, both ways") {
        const auto socket = scene.open(2001);
        for (const std::size_t size : sizes) {
            INFO(size << " bytes");
            CHECK(socket->send(peer, peer_port, payload(size, 1)) == SendResult::sent);
            CHECK(scene.peer_receives(0)->data == payload(size, 1));
            scene.peer_sends(0, ours, 2001, payload(size, 2));
            REQUIRE(scene.received(1));
            CHECK(scene.log.datagrams.front().data == payload(size, 2));
            scene.log.datagrams.clear();
        }
    }

    SECTION("broadcasts leave unchanged and with TTL 1") {
        const auto socket = scene.open(2001, Delivery::descriptor);
        const auto client = scene.acquire(*socket);
        for (const Ipv4 to : {DataPathScene::broadcast(), DataPathScene::everybody}) {
            CHECK(scene.send(*client, to, peer_port, hello) == Outcome::sent);
            const auto got = scene.peer_receives(0);
            REQUIRE(got);
            CHECK(got->to == to);
            CHECK(scene.last_ttl() == 1);
        }
    }

    SECTION("a client is told what its datagrams were sent to") {
        const auto socket = scene.open(2001, Delivery::descriptor);
        const auto client = scene.acquire(*socket);
        for (const Ipv4 to : destinations) {
            scene.peer_sends(0, to, 2001, hello);
            const auto got = scene.receive(*client);
            REQUIRE(got);
            CHECK(*got == Datagram{peer, peer_port, to, 2001, hello});
        }
    }

    SECTION("datagrams wait in the socket until it is acquired") {
        const auto socket = scene.open(2001, Delivery::descriptor);
        for (unsigned i = 0; i < 10; ++i) scene.peer_sends(0, ours, 2001, payload(10, i));
        const auto client = scene.acquire(*socket);
        for (unsigned i = 0; i < 10; ++i) CHECK(scene.receive(*client)->data == payload(10, i));
    }
}

/// What does not arrive.
inline void ingress_cases(WireScene& scene) {
    const Ipv4 peer = DataPathScene::peer();
    const Ipv4 ours = DataPathScene::ours();
    const std::uint16_t peer_port = DataPathScene::peer_port;
    const Bytes hello = payload(5);
    const Bytes marker = payload(7);
    const std::vector<Ipv4> destinations = {DataPathScene::ours(), DataPathScene::broadcast(),
                                            DataPathScene::everybody};

    SECTION("nothing from another subnet is delivered") {
        const Ipv4 stranger(10, 99, 0, 1);
        const auto socket = scene.open(2001);
        scene.neighbour_opens(0, 2002);
        scene.stranger_sends(0, stranger, ours, 2002, hello);
        REQUIRE(scene.neighbour_receives());  // it does get here
        for (const Ipv4 to : destinations) scene.stranger_sends(0, stranger, to, 2001, hello);
        scene.peer_sends(0, ours, 2001, marker);
        REQUIRE(scene.received(1));
        CHECK(scene.log.datagrams.front().data == marker);
        CHECK(socket->counters().received == 1);
    }

    SECTION("nothing for another interface's address is delivered") {
        const auto socket = scene.open(2001);
        scene.neighbour_opens(0, 2002);
        scene.peer_sends(0, DataPathScene::ours(1), 2002, hello);
        REQUIRE(scene.neighbour_receives());
        scene.peer_sends(0, DataPathScene::ours(1), 2001, hello);
        scene.peer_sends(0, ours, 2001, marker);
        REQUIRE(scene.received(1));
        CHECK(scene.log.datagrams.front().data == marker);
    }

    SECTION("nothing for a group that somebody else has joined is delivered") {
        const Ipv4 group(239, 1, 2, 3);
        const auto socket = scene.open(2001);
        scene.neighbour_opens(0, 2002, group);
        scene.peer_sends(0, group, 2002, hello);
        REQUIRE(scene.neighbour_receives());
        scene.peer_sends(0, group, 2001, hello);
        scene.peer_sends(0, ours, 2001, marker);
        REQUIRE(scene.received(1));
        CHECK(scene.log.datagrams.front().data == marker);
    }

    SECTION("own broadcasts do not come back") {
        const auto socket = scene.open(2001, Delivery::descriptor);
        const auto client = scene.acquire(*socket);
        scene.neighbour_opens(0, 2002);
        for (const Ipv4 to : {DataPathScene::broadcast(), DataPathScene::everybody}) {
            CHECK(scene.send(*client, to, 2002, hello) == Outcome::sent);
            CHECK(scene.neighbour_receives());
            CHECK(scene.send(*client, to, 2001, hello) == Outcome::sent);
        }
        scene.peer_sends(0, ours, 2001, marker);
        CHECK(scene.receive(*client)->data == marker);
    }

    SECTION("a client without a port hears nothing before its first send") {
        const auto socket = scene.open(0, Delivery::descriptor);
        const std::uint16_t port = scene.reserved_port();
        const auto client = scene.acquire(*socket);
        scene.peer_sends(0, ours, port, hello);
        CHECK(scene.send(*client, peer, peer_port, payload(65508)) == Outcome::too_large);
        CHECK(socket->local_port() == 0);
        CHECK(scene.send(*client, peer, peer_port, hello) == Outcome::sent);
        CHECK(socket->local_port() == port);
        scene.peer_sends(0, ours, port, marker);
        CHECK(scene.receive(*client)->data == marker);
    }
}

/// What becomes of what a client sends.
inline void egress_cases(WireScene& scene) {
    const Ipv4 peer = DataPathScene::peer();
    const Ipv4 ours = DataPathScene::ours();
    const std::uint16_t peer_port = DataPathScene::peer_port;
    const Bytes hello = payload(5);
    const Bytes marker = payload(7);

    SECTION("every row of the table of sends, by descriptor") {
        const auto socket = scene.open(2001, Delivery::descriptor);
        const auto client = scene.acquire(*socket);
        CHECK(scene.send(*client, peer, 0, hello) == Outcome::invalid_port);
        CHECK(scene.send(*client, peer, 67, hello) == Outcome::invalid_port);
        CHECK(scene.send(*client, peer, 68, hello) == Outcome::invalid_port);
        CHECK(scene.send(*client, ours, peer_port, hello) == Outcome::not_connected);
        CHECK(scene.send(*client, Ipv4(192, 168, 1, 1), peer_port, hello) ==
              Outcome::not_connected);
        CHECK(scene.send(*client, DataPathScene::peer(1), peer_port, hello) ==
              Outcome::not_connected);
        CHECK(scene.send(*client, peer, peer_port, payload(65508)) == Outcome::too_large);
        CHECK(scene.send(*client, peer, peer_port, payload(65600)) == Outcome::too_large);
        CHECK(scene.send(*client, peer, peer_port, payload(100'000)) == Outcome::too_large);
        scene.set_address(0, std::nullopt);
        CHECK(scene.send(*client, peer, peer_port, hello) == Outcome::not_connected);
        scene.set_address(0, Ipv4Network{ours, 24});
        CHECK(scene.send(*client, peer, peer_port, marker) == Outcome::sent);
        CHECK(scene.peer_receives(0)->data == marker);
        CHECK_FALSE(client->closed());
        const SocketCounters counters = socket->counters();
        CHECK(counters.denied == (scene.counts_all_denials() ? 6 : 2));
        CHECK(counters.not_connected == 4);
        CHECK(counters.sent == 1);

        CHECK(scene.send(*client, Ipv4(8, 8, 8, 8), peer_port, hello) ==
              Outcome::address_not_allowed);
        CHECK(scene.until([&] { return client->closed(); }));
        REQUIRE(scene.until([&] { return !scene.log.closings.empty(); }));
        CHECK(scene.log.closings.size() == 1);
        CHECK(scene.open(2001)->local_port() == 2001);
    }

    SECTION("what was sent before a forbidden address leaves, what was sent after it does not") {
        const auto socket = scene.open(2001, Delivery::descriptor);
        const auto client = scene.acquire(*socket);
        client->send(peer, peer_port, payload(1));
        client->send(peer, peer_port, payload(2));
        client->send(Ipv4(8, 8, 8, 8), peer_port, payload(3));
        client->send(peer, peer_port, payload(4));
        REQUIRE(scene.until([&] { return client->closed(); }));
        const std::vector<Outcome> expected = {Outcome::sent, Outcome::sent,
                                               Outcome::address_not_allowed};
        REQUIRE(client->outcomes().size() >= 3);
        CHECK(std::vector(client->outcomes().begin(), client->outcomes().begin() + 3) == expected);
        CHECK(scene.peer_counts() == 2);
    }

    SECTION("of 110 datagrams at once by descriptor exactly 100 leave") {
        const auto socket = scene.open(2001, Delivery::descriptor);
        const auto client = scene.acquire(*socket);
        for (int round = 0; round < 2; ++round) {
            const std::size_t before = client->outcomes().size();
            for (int i = 0; i < 110; ++i) client->send(peer, peer_port, hello);
            REQUIRE(scene.until([&] { return client->outcomes().size() == before + 110; }));
            for (std::size_t i = 0; i < 110; ++i) {
                REQUIRE(client->outcomes()[before + i] ==
                        (i < 100 ? Outcome::sent : Outcome::would_block));
            }
            CHECK(scene.peer_counts() == 100);
            scene.elapse(Milliseconds(4'000));
        }
        CHECK(socket->counters().sent == 200);
        CHECK(socket->counters().rate_limited == 20);
    }

    SECTION("an address that the kernel has lost before we know is not connected") {
        const auto socket = scene.open(0, Delivery::descriptor);
        const std::uint16_t port = scene.reserved_port();
        const auto client = scene.acquire(*socket);
        scene.path().set_interface(0, {.ifindex = scene.ifindex(0),
                                       .device = scene.device(0),
                                       .network = Ipv4Network{Ipv4(10, 77, 1, 99), 24}});
        CHECK(scene.send(*client, peer, peer_port, hello) == Outcome::not_connected);
        CHECK(socket->send(peer, peer_port, hello) == SendResult::not_connected);
        // Nothing was handed to the network: the socket is not in force yet.
        CHECK(socket->local_port() == 0);
        scene.peer_sends(0, ours, port, hello);
        scene.set_address(0, Ipv4Network{ours, 24});
        CHECK(scene.send(*client, peer, peer_port, hello) == Outcome::sent);
        CHECK(socket->local_port() == port);
        scene.peer_sends(0, ours, port, marker);
        CHECK(scene.receive(*client)->data == marker);
    }

    SECTION("a socket of a device that was replaced sends nothing by the new one") {
        const auto socket = scene.open(2001, Delivery::descriptor);
        const auto client = scene.acquire(*socket);
        scene.path().set_interface(0, {.ifindex = scene.ifindex(1),
                                       .device = scene.device(1),
                                       .network = Ipv4Network{DataPathScene::ours(1), 24}});
        CHECK(scene.send(*client, DataPathScene::peer(1), peer_port, hello) ==
              Outcome::not_connected);
    }

    SECTION("no router is crossed, whatever routes there are") {
        scene.ip({"route", "add", "10.77.1.1/32", "via", "10.77.1.254", "dev", scene.device(0)});
        const auto socket = scene.open(2001);
        CHECK(socket->send(peer, peer_port, hello) == SendResult::sent);
        CHECK(scene.peer_receives(0));
    }

    SECTION("a smaller path MTU that somebody claims is not believed") {
        scene.ip({"route", "add", "10.77.1.1/32", "dev", scene.device(0), "mtu", "600"});
        const auto socket = scene.open(2001);
        scene.packet_sizes(0);
        CHECK(socket->send(peer, peer_port, payload(1472)) == SendResult::sent);
        REQUIRE(scene.peer_receives(0));
        CHECK(scene.packet_sizes(0) == std::vector<std::size_t>{1500});
    }
}

/// The end of a socket, and what it survives.
inline void life_cases(WireScene& scene) {
    const Ipv4 peer = DataPathScene::peer();
    const Ipv4 ours = DataPathScene::ours();
    const std::uint16_t peer_port = DataPathScene::peer_port;
    const Bytes hello = payload(5);
    const Bytes marker = payload(7);

    SECTION("the holder of a descriptor wakes when its socket is destroyed, whatever is unread") {
        auto socket = scene.open(2001, Delivery::descriptor);
        const auto client = scene.acquire(*socket);
        client->send(peer, peer_port, hello);
        CHECK_FALSE(client->closed());
        socket.reset();
        CHECK(scene.open(2001)->local_port() == 2001);
        REQUIRE(scene.until([&] { return client->closed(); }));
        CHECK(scene.log.closings.empty());
        CHECK(scene.send(*client, peer, peer_port, hello) == Outcome::closed);
    }

    SECTION("a socket survives a pulled cable") {
        const auto socket = scene.open(2001, Delivery::descriptor);
        const auto client = scene.acquire(*socket);
        CHECK(scene.send(*client, peer, peer_port, hello) == Outcome::sent);
        CHECK(scene.peer_receives(0)->data == hello);
        scene.set_cable(0, false);
        scene.set_address(0, std::nullopt);
        CHECK(scene.send(*client, peer, peer_port, hello) == Outcome::not_connected);
        scene.set_cable(0, true);
        scene.set_address(0, Ipv4Network{ours, 24});
        CHECK(scene.send(*client, peer, peer_port, marker) == Outcome::sent);
        CHECK(scene.peer_receives(0)->data == marker);
        scene.peer_sends(0, ours, 2001, marker);
        CHECK(scene.receive(*client)->data == marker);
    }
}

inline void wire_cases(const MakeWireScene& make_scene) {
    const auto scene = make_scene();
    travel_cases(*scene);
    ingress_cases(*scene);
    egress_cases(*scene);
    life_cases(*scene);
}

}  // namespace ports
