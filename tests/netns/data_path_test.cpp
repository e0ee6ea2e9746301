// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The relay on real cables: the cases of every data path, and what clients of a relay can do to it.
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <arpa/inet.h>
#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "datapath/relay/frame.hpp"
#include "datapath/relay/relay.hpp"
#include "netns/cable_scene.hpp"

namespace {

using namespace ports;
using impnetd::Relay;
using impnetd::UniqueFd;
using impnetd::relay::Header;

Bytes message(const Header& header, const Bytes& data = {}) {
    const auto bytes = impnetd::relay::encode(header);
    Bytes result(bytes.begin(), bytes.end());
    result.insert(result.end(), data.begin(), data.end());
    return result;
}

/// Speaks dbus/relay.h, and nothing that it does waits.
class RelayClient final : public DataPathClient {
  public:
    explicit RelayClient(UniqueFd fd) : fd_(std::move(fd)) {}

    void send(Ipv4 to, std::uint16_t port, const Bytes& data) override {
        const Header header{.kind = IMPNET_RELAY_DATAGRAM,
                            .peer = to,
                            .peer_port = port,
                            .local = {},
                            .local_port = 0,
                            .sequence = next_sequence};
        if (send_raw(message(header, data)) == 0) ++next_sequence;
    }
    /// 0 or the errno.
    int send_raw(const Bytes& bytes) const {
        return ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0 ? errno : 0;
    }
    const std::vector<Outcome>& outcomes() override {
        read();
        return outcomes_;
    }
    std::optional<Datagram> receive() override {
        read();
        if (datagrams_.empty()) return std::nullopt;
        Datagram first = std::move(datagrams_.front());
        datagrams_.pop_front();
        return first;
    }
    bool closed() override {
        read();
        return closed_;
    }

    /// Several in one message: `all`, cut into pieces of `size`.
    void send_several(std::size_t size, const Bytes& all, Ipv4 to = DataPathScene::peer(),
                      std::uint16_t port = DataPathScene::peer_port) {
        const Header header{.kind = IMPNET_RELAY_DATAGRAMS,
                            .peer = to,
                            .peer_port = port,
                            .local = {},
                            .local_port = static_cast<std::uint16_t>(size),
                            .sequence = next_sequence};
        if (send_raw(message(header, all)) != 0) return;
        next_sequence += static_cast<std::uint16_t>((all.size() + size - 1) / size);
    }

    int fd() const { return fd_.get(); }
    void close() { fd_.reset(); }
    /// The headers of the verdicts so far.
    const std::vector<Header>& verdicts() {
        read();
        return verdicts_;
    }

    std::uint16_t next_sequence = 0;

  private:
    void read() {
        Bytes bytes(impnetd::relay::max_frame + 1);
        while (!closed_) {
            const ssize_t size = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
            if (size < 0 && errno == EAGAIN) return;
            // Nothing but a clean end: never a reset.
            REQUIRE(size >= 0);
            closed_ = size == 0;
            if (!closed_) take({bytes.data(), static_cast<std::size_t>(size)});
        }
    }
    void take(std::span<const std::uint8_t> bytes) {
        const auto header = impnetd::relay::decode(bytes);
        REQUIRE(header);
        const auto data = bytes.subspan(impnetd::relay::header_size);
        if (header->kind == IMPNET_RELAY_DATAGRAM) {
            datagrams_.push_back({header->peer,
                                  header->peer_port,
                                  header->local,
                                  header->local_port,
                                  {data.begin(), data.end()}});
            return;
        }
        verdicts_.push_back(*header);
        for (const std::uint8_t verdict : data) outcomes_.push_back(outcome(verdict));
    }
    static Outcome outcome(std::uint8_t verdict) {
        switch (verdict) {
            case IMPNET_RELAY_SENT:
                return Outcome::sent;
            case IMPNET_RELAY_NOT_CONNECTED:
                return Outcome::not_connected;
            case IMPNET_RELAY_WOULD_BLOCK:
                return Outcome::would_block;
            case IMPNET_RELAY_ADDRESS_NOT_ALLOWED:
                return Outcome::address_not_allowed;
            case IMPNET_RELAY_INVALID_PORT:
                return Outcome::invalid_port;
            case IMPNET_RELAY_TOO_LARGE:
                return Outcome::too_large;
        }
        FAIL("no such verdict: " << int{verdict});
        return Outcome::closed;
    }

    UniqueFd fd_;
    bool closed_ = false;
    std::vector<Outcome> outcomes_;
    std::vector<Header> verdicts_;
    std::deque<Datagram> datagrams_;
};

class RelayScene final : public CableScene {
  public:
    explicit RelayScene(impnetd::RateLimit limit = {})
        : relay_(loop(),
                 {.limits = limit, .ttl = 1, .clock = [this] { return now_; }, .ledger = {}}) {
        connect();
    }

    DataPath& path() override { return relay_; }
    void elapse(Milliseconds time) override {
        now_ += static_cast<std::uint64_t>(std::chrono::nanoseconds(time).count());
    }
    std::unique_ptr<DataPathClient> acquire(DataSocket& socket) override {
        return acquire_relay(socket);
    }
    static std::unique_ptr<RelayClient> acquire_relay(DataSocket& socket) {
        auto fd = socket.acquire();
        REQUIRE(fd);
        return std::make_unique<RelayClient>(std::move(*fd));
    }

  private:
    std::uint64_t now_ = 1'000'000'000;
    Relay relay_;
};

struct Load {
    std::size_t size;
    unsigned count;
};

constexpr impnetd::RateLimit unlimited{.burst = 1, .rate = 0};

}  // namespace

TEST_CASE("The relay does what data paths do", "[data-path]") {
    socket_cases([] { return std::make_unique<RelayScene>(); });
}

TEST_CASE("The relay does on the wire what data paths do", "[data-path]") {
    wire_cases([] { return std::make_unique<RelayScene>(); });
}

TEST_CASE("What waits in the relay follows the facts of the moment it is read", "[data-path]") {
    RelayScene scene;
    const auto socket = scene.open(2001, Delivery::descriptor);
    scene.peer_sends(0, DataPathScene::ours(), 2001, payload(5));
    scene.set_address(0, Ipv4Network{Ipv4(10, 77, 1, 77), 24});
    scene.peer_sends(0, Ipv4(10, 77, 1, 77), 2001, payload(7));
    const auto client = scene.acquire(*socket);
    CHECK(scene.receive(*client)->data == payload(7));
}

TEST_CASE("A client that does not keep to the protocol loses its socket, and nobody else theirs",
          "[data-path]") {
    RelayScene scene;
    const auto bystander = scene.open(2002, Delivery::descriptor);
    const auto bystander_client = scene.acquire_relay(*bystander);
    const auto socket = scene.open(2001, Delivery::descriptor);
    const auto client = scene.acquire_relay(*socket);

    Header header{.kind = IMPNET_RELAY_DATAGRAM,
                  .peer = DataPathScene::peer(),
                  .peer_port = DataPathScene::peer_port,
                  .local = {},
                  .local_port = 0,
                  .sequence = 0};
    const Bytes good = message(header, payload(3));
    Bytes bad = good;
    SECTION("an empty message") {
        bad.clear();
    }
    SECTION("one byte") {
        bad.resize(1);
    }
    SECTION("a header that is cut short") {
        bad.resize(15);
    }
    SECTION("another version") {
        bad[0] = 2;
    }
    SECTION("version 0") {
        bad[0] = 0;
    }
    SECTION("an unknown kind") {
        bad[1] = 3;
    }
    SECTION("a verdict") {
        bad[1] = IMPNET_RELAY_VERDICT;
    }
    SECTION("a local address") {
        header.local = DataPathScene::ours();
        bad = message(header);
    }
    SECTION("a local port") {
        header.local_port = 2001;
        bad = message(header);
    }
    SECTION("several that are only one") {
        header.kind = IMPNET_RELAY_DATAGRAMS;
        header.local_port = 100;
        bad = message(header, payload(100));
    }
    SECTION("several that are too many") {
        header.kind = IMPNET_RELAY_DATAGRAMS;
        header.local_port = 1;
        bad = message(header, payload(65));
    }
    SECTION("several without a size") {
        header.kind = IMPNET_RELAY_DATAGRAMS;
        bad = message(header, payload(100));
    }
    SECTION("much of nothing") {
        bad.assign(100'000, 0);
    }

    CHECK(client->send_raw(good) == 0);
    CHECK(client->send_raw(bad) == 0);
    CHECK(client->send_raw(good) == 0);
    REQUIRE(scene.until([&] { return client->closed(); }));
    REQUIRE(scene.until([&] { return !scene.log.closings.empty(); }));
    CHECK(scene.log.closings == std::vector<std::string>{"protocol error"});
    CHECK(client->outcomes() == std::vector<Outcome>{Outcome::sent});
    CHECK(scene.peer_counts() == 1);
    CHECK(scene.open(2001)->local_port() == 2001);
    CHECK(scene.send(*bystander_client, DataPathScene::peer(), DataPathScene::peer_port, {}) ==
          Outcome::sent);
}

TEST_CASE("Several datagrams in one message are sent as so many", "[data-path]") {
    // The last of them have to be fragmented.
    const std::size_t size = GENERATE(1U, 100U, 1'472U, 1'473U, 3'000U);
    CAPTURE(size);
    constexpr std::size_t count = 10;
    RelayScene scene;
    const auto socket = scene.open(2001, Delivery::descriptor);
    const auto client = scene.acquire_relay(*socket);
    const auto all = payload(size * count - size / 2);
    client->send_several(size, all);
    REQUIRE(scene.until([&] { return client->outcomes().size() == count; }));
    CHECK(client->outcomes() == std::vector(count, Outcome::sent));
    for (std::size_t i = 0; i < count; ++i) {
        const auto datagram = scene.next_at_peer(0, Milliseconds(2'000));
        REQUIRE(datagram);
        const auto end = std::min(all.size(), (i + 1) * size);
        CHECK(datagram->data == Bytes(all.data() + i * size, all.data() + end));
        CHECK(datagram->from == DataPathScene::ours());
        CHECK(datagram->from_port == 2001);
    }
    CHECK(scene.peer_counts() == 0);
    CHECK(socket->counters().sent == count);
}

TEST_CASE("Several datagrams in one message are judged and limited one by one", "[data-path]") {
    RelayScene scene;  // a bucket of 100
    const auto socket = scene.open(2001, Delivery::descriptor);
    const auto client = scene.acquire_relay(*socket);
    const auto outcomes_are = [&](const std::vector<std::pair<std::size_t, Outcome>>& runs) {
        std::vector<Outcome> expected;
        for (const auto& [length, outcome] : runs) expected.insert(expected.end(), length, outcome);
        static_cast<void>(
            scene.until([&] { return client->outcomes().size() >= expected.size(); }));
        CHECK(client->outcomes() == expected);
    };
    SECTION("what the bucket has goes, of the one as of the other message") {
        client->send_several(10, payload(640));
        client->send_several(10, payload(640));
        client->send(DataPathScene::peer(), DataPathScene::peer_port, payload(1));
        outcomes_are({{100, Outcome::sent}, {29, Outcome::would_block}});
        CHECK(scene.peer_counts() == 100);
        CHECK(socket->counters().sent == 100);
        CHECK(socket->counters().rate_limited == 29);
        scene.elapse(Milliseconds(80));  // two tokens
        client->send_several(10, payload(50));
        outcomes_are({{100, Outcome::sent},
                      {29, Outcome::would_block},
                      {2, Outcome::sent},
                      {3, Outcome::would_block}});
        CHECK(scene.peer_counts() == 2);
    }
    SECTION("a port that is forbidden is so for each") {
        client->send_several(10, payload(30), DataPathScene::peer(), 67);
        client->send_several(10, payload(30), Ipv4(10, 99, 0, 1));
        outcomes_are({{3, Outcome::invalid_port}, {3, Outcome::not_connected}});
        CHECK(socket->counters().denied == 3);
        CHECK(socket->counters().not_connected == 3);
        for (int i = 0; i < 2; ++i) client->send_several(10, payload(600));
        REQUIRE(scene.until([&] { return client->outcomes().size() == 126; }));
        CHECK(scene.peer_counts() == 100);  // none of these has cost a token
    }
    SECTION("the first that aims at a forbidden address is the last") {
        client->send_several(10, payload(30));
        client->send_several(10, payload(30), Ipv4(8, 8, 8, 8));
        client->send_several(10, payload(30));
        REQUIRE(scene.until([&] { return client->closed(); }));
        outcomes_are({{3, Outcome::sent}, {1, Outcome::address_not_allowed}});
        CHECK(socket->counters().denied == 1);
        CHECK(scene.peer_counts() == 3);
    }
    SECTION("one that is left of several is as good as any") {
        client->send_several(2'000, payload(64'000));
        client->send_several(2'000, payload(64'000));
        client->send_several(2'000, payload(64'000));
        client->send_several(1'000, payload(3'000));
        client->send_several(2'000, payload(3'500));
        outcomes_are({{100, Outcome::sent}, {1, Outcome::would_block}});
        CHECK(socket->counters().sent == 100);
    }
    SECTION("of a size that no device takes each goes by itself, as far as there are tokens") {
        client->send_several(2'000, payload(64'000));
        client->send_several(2'000, payload(64'000));
        client->send_several(2'000, payload(64'000));
        client->send_several(2'000, payload(64'000));
        outcomes_are({{100, Outcome::sent}, {28, Outcome::would_block}});
        CHECK(socket->counters().sent == 100);
    }
}

TEST_CASE("A client that closes its end gives the socket back", "[data-path]") {
    RelayScene scene;
    const auto socket = scene.open(2001, Delivery::descriptor);
    const auto client = scene.acquire_relay(*socket);
    SECTION("by closing") {
        client->close();
    }
    SECTION("by closing, with datagrams unread") {
        scene.peer_sends(0, DataPathScene::ours(), 2001, payload(5));
        REQUIRE(scene.until([&] { return socket->counters().received == 1; }));
        client->close();
    }
    SECTION("by shutting down its side") {
        ::shutdown(client->fd(), SHUT_WR);
    }
    REQUIRE(scene.until([&] { return !scene.log.closings.empty(); }));
    CHECK(scene.log.closings == std::vector<std::string>{"closed by its holder"});
    CHECK(scene.open(2001)->local_port() == 2001);
    const auto late = socket->send(DataPathScene::peer(), DataPathScene::peer_port, {});
    REQUIRE_FALSE(late);
    CHECK(late.error().code == ErrorCode::socket_closed);
}

TEST_CASE("What a client sent before it closed its end still leaves", "[data-path]") {
    RelayScene scene;
    const auto socket = scene.open(2001, Delivery::descriptor);
    const auto client = scene.acquire_relay(*socket);
    SECTION("and read all that was there") {}
    SECTION("and left something unread") {
        scene.peer_sends(0, DataPathScene::ours(), 2001, payload(5));
        REQUIRE(scene.until([&] { return socket->counters().received == 1; }));
    }
    for (int i = 0; i < 80; ++i) {
        client->send(DataPathScene::peer(), DataPathScene::peer_port, payload(3));
    }
    client->close();
    REQUIRE(scene.until([&] { return !scene.log.closings.empty(); }));
    CHECK(scene.peer_counts() == 80);
}

TEST_CASE("A client that is killed under load gives the socket back at once", "[data-path]") {
    RelayScene scene(unlimited);
    const auto other = scene.open(2002, Delivery::descriptor);
    const auto other_client = scene.acquire_relay(*other);
    const auto socket = scene.open(2001, Delivery::descriptor);
    const auto client = scene.acquire_relay(*socket);
    const pid_t process = ::fork();
    REQUIRE(process >= 0);
    if (process == 0) {
        ::fcntl(client->fd(), F_SETFL, 0);  // it waits for room, and asks for more at once
        const Bytes request = message({.kind = IMPNET_RELAY_DATAGRAM,
                                       .peer = DataPathScene::peer(),
                                       .peer_port = DataPathScene::peer_port,
                                       .local = {},
                                       .local_port = 0,
                                       .sequence = 0},
                                      payload(100));
        while (client->send_raw(request) == 0) continue;
        ::_exit(0);
    }
    client->close();
    REQUIRE(scene.until([&] { return socket->counters().sent > 300; }));
    REQUIRE(::kill(process, SIGKILL) == 0);
    REQUIRE(::waitpid(process, nullptr, 0) == process);
    REQUIRE(scene.until([&] { return !scene.log.closings.empty(); }));
    CHECK(scene.log.closings.front() == "closed by its holder");
    CHECK(scene.open(2001)->local_port() == 2001);
    CHECK(scene.send(*other_client, DataPathScene::peer(), DataPathScene::peer_port, {}) ==
          Outcome::sent);
}

TEST_CASE("A client that never reads keeps nobody waiting, and every datagram is accounted for",
          "[data-path]") {
    RelayScene scene;
    const auto socket = scene.open(2001, Delivery::descriptor);
    const auto client = scene.acquire_relay(*socket);
    const auto other = scene.open(2002);
    constexpr std::uint64_t sent = 5'000;
    const std::size_t size = GENERATE(32, 1400, 30'000);
    const auto arrived = [&] { return socket->counters().received; };
    for (std::uint64_t i = 0; i < sent; ++i) {
        scene.peer_sends(0, DataPathScene::ours(), 2001, payload(size, static_cast<unsigned>(i)));
        if (i % 16 == 0) uv_run(scene.loop().raw(), UV_RUN_NOWAIT);
    }
    scene.peer_sends(0, DataPathScene::ours(), 2002, payload(1));
    REQUIRE(scene.received(1));
    lab::run_for(scene.loop(), Milliseconds(20));
    const std::uint64_t delivered = arrived();
    CHECK(delivered > 3);
    CHECK(delivered < 1'000);  // what fits into the client's buffer
    CHECK(socket->counters().dropped > 0);

    // With its client asleep a socket is asleep, too.
    CHECK(scene.turns(Milliseconds(50), [&] {
        for (int i = 0; i < 50; ++i)
            scene.peer_sends(0, DataPathScene::ours(), 2001, payload(size));
    }) == 0);

    // It reads at last: all that had got through, in order, and then what comes.
    std::uint64_t read = 0;
    while (scene.receive(*client, Milliseconds(100))) ++read;
    CHECK(read >= delivered);
    CHECK(read == arrived());
    CHECK(read + socket->counters().dropped == sent + 50);
    scene.peer_sends(0, DataPathScene::ours(), 2001, payload(7));
    const auto next = scene.receive(*client);
    REQUIRE(next);
    CHECK(next->data == payload(7));
}

TEST_CASE("A client that reads slowly loses nothing of a burst that the buffers hold",
          "[data-path]") {
    RelayScene scene;
    const auto socket = scene.open(2001, Delivery::descriptor);
    const auto client = scene.acquire_relay(*socket);
    // More than the receive buffer of a socket holds, relayed as it comes.
    const auto load =
        GENERATE(values<Load>({{0, 300}, {32, 300}, {1400, 120}, {9000, 20}, {65507, 3}}));
    const auto size = load.size;
    const auto count = load.count;
    for (unsigned i = 0; i < count; ++i) {
        scene.peer_sends(0, DataPathScene::ours(), 2001, payload(size, i));
        if (i % 8 == 0) uv_run(scene.loop().raw(), UV_RUN_NOWAIT);
        if (socket->counters().dropped > 0) break;
    }
    const auto before = socket->counters();
    unsigned read = 0;
    while (auto datagram = scene.receive(*client, Milliseconds(100))) {
        REQUIRE(datagram->data == payload(size, read));  // in order, without a gap
        ++read;
    }
    CHECK(before.dropped == 0);
    CHECK(socket->counters().dropped == 0);
    CHECK(read == count);
}

TEST_CASE("A client that reads no verdicts is not read from, and none is lost", "[data-path]") {
    RelayScene scene;
    const auto socket = scene.open(2001, Delivery::descriptor);
    const auto client = scene.acquire_relay(*socket);
    // One request a turn: one verdict message each, until both buffers are full.
    const Bytes request = message({.kind = IMPNET_RELAY_DATAGRAM,
                                   .peer = DataPathScene::ours(),  // costs no token
                                   .peer_port = 4000,
                                   .local = {},
                                   .local_port = 0,
                                   .sequence = 0});
    std::size_t sent = 0;
    while (client->send_raw(request) == 0) {
        ++sent;
        REQUIRE(sent < 100'000);
        uv_run(scene.loop().raw(), UV_RUN_NOWAIT);
    }
    CHECK(scene.turns(Milliseconds(50)) == 0);
    CHECK(socket->counters().not_connected < sent);
    REQUIRE(scene.until([&] { return client->outcomes().size() == sent; }));
    CHECK(socket->counters().not_connected == sent);
    CHECK_FALSE(client->closed());
}

TEST_CASE("Verdicts name the requests that they are of", "[data-path]") {
    RelayScene scene;
    const auto socket = scene.open(0, Delivery::descriptor);
    const auto client = scene.acquire_relay(*socket);
    const auto send = [&](std::uint16_t sequence, Ipv4 to) {
        client->next_sequence = sequence;
        client->send(to, DataPathScene::peer_port, payload(1));
    };

    SECTION("consecutive ones in one message, also across the end of the count") {
        send(65534, Ipv4(192, 168, 9, 9));
        send(65535, DataPathScene::peer());
        send(0, DataPathScene::ours());
        REQUIRE(scene.until([&] { return client->outcomes().size() == 3; }));
        CHECK(client->outcomes() ==
              std::vector<Outcome>{Outcome::not_connected, Outcome::sent, Outcome::not_connected});
        REQUIRE(client->verdicts().size() == 1);
        CHECK(client->verdicts()[0].sequence == 65534);
        CHECK(client->verdicts()[0].local_port == socket->local_port());
        CHECK(socket->local_port() != 0);
    }
    SECTION("and others each in its own") {
        send(5, DataPathScene::ours());
        send(5, DataPathScene::ours());
        send(9, DataPathScene::ours());
        send(10, DataPathScene::ours());
        REQUIRE(scene.until([&] { return client->outcomes().size() == 4; }));
        REQUIRE(client->verdicts().size() == 3);
        CHECK(client->verdicts()[1].sequence == 5);
        CHECK(client->verdicts()[2].sequence == 9);
        CHECK(client->verdicts()[2].local_port == 0);
    }
}

TEST_CASE("While the network takes no more, a client waits and nothing is lost", "[data-path]") {
    RelayScene scene(unlimited);
    // Datagrams for a host that does not answer wait for its hardware address, in the socket's
    // send buffer, until the kernel gives it up.
    scene.setting("neigh", 0, "unres_qlen_bytes", "4000000");
    scene.setting("neigh", 0, "mcast_solicit", "2");
    scene.setting("neigh", 0, "retrans_time_ms", "100");
    const Ipv4 absent(10, 77, 1, 200);
    const auto socket = scene.open(2001, Delivery::descriptor);
    const auto client = scene.acquire_relay(*socket);
    const auto load = GENERATE(values<Load>({{100, 400}, {1400, 400}, {20'000, 40}, {65507, 9}}));
    const auto size = load.size;
    const Bytes data = payload(size);
    // One in each message, or several, which can be sent together or cannot.
    const std::size_t at_once = std::min<std::size_t>(GENERATE(1, 20), 65'507 / size);
    CAPTURE(size, at_once);
    // Small ones take less of the buffer when they are together.
    const auto count = load.count * static_cast<unsigned>(size < 1'000 ? at_once : 1);

    unsigned asked = 0;
    const auto ask = [&] {
        while (asked < count) {
            const std::uint16_t before = client->next_sequence;
            const auto now = std::min<std::size_t>(at_once, count - asked);
            if (now == 1)
                client->send(absent, 4000, data);
            else
                client->send_several(size, payload(now * size), absent, 4000);
            if (client->next_sequence == before) return;  // its buffer is full
            asked += static_cast<unsigned>(now);
        }
    };
    ask();
    REQUIRE(scene.until([&] { return socket->counters().sent > 0; }));
    lab::run_for(scene.loop(), Milliseconds(10));
    ask();
    CHECK(scene.turns(Milliseconds(50)) == 0);
    const std::size_t known = client->outcomes().size();
    CHECK(known < count);
    // (Where several found no room there may be some for one.)
    if (at_once == 1) CHECK(*socket->send(absent, 4000, data) == SendResult::would_block);

    REQUIRE(scene.until([&] {
        ask();
        return client->outcomes().size() == count;
    }));
    for (const Outcome outcome : client->outcomes()) REQUIRE(outcome == Outcome::sent);
    CHECK(socket->counters().sent == count);
    CHECK_FALSE(client->closed());
}

TEST_CASE("What waited for the network is judged again when it leaves", "[data-path]") {
    RelayScene scene(unlimited);
    scene.setting("neigh", 0, "unres_qlen_bytes", "4000000");
    scene.setting("neigh", 0, "retrans_time_ms", "200");
    const auto socket = scene.open(2001, Delivery::descriptor);
    const auto client = scene.acquire_relay(*socket);
    for (int i = 0; i < 300; ++i) client->send(Ipv4(10, 77, 1, 200), 4000, payload(1400));
    client->send(Ipv4(8, 8, 8, 8), 4000, payload(1));
    const std::size_t asked = client->next_sequence;
    REQUIRE(asked > 100);
    REQUIRE(scene.until([&] { return socket->counters().sent > 0; }));
    lab::run_for(scene.loop(), Milliseconds(20));
    const std::size_t left = socket->counters().sent;
    REQUIRE(left + 1 < asked);
    scene.set_address(0, std::nullopt);
    REQUIRE(scene.until([&] { return client->outcomes().size() >= asked - 1; }));
    CHECK(client->outcomes()[left - 1] == Outcome::sent);
    CHECK(client->outcomes()[left] == Outcome::not_connected);
    CHECK(socket->counters().sent == left);
}

TEST_CASE("One client's flood does not hold up another", "[data-path]") {
    RelayScene scene(unlimited);
    const auto busy = scene.open(2001, Delivery::descriptor);
    const auto busy_client = scene.acquire_relay(*busy);
    const auto quiet = scene.open(2002, Delivery::descriptor);
    const auto quiet_client = scene.acquire_relay(*quiet);
    for (int i = 0; i < 300; ++i) {
        busy_client->send(DataPathScene::peer(), DataPathScene::peer_port, {});
    }
    quiet_client->send(DataPathScene::peer(), DataPathScene::peer_port, {});
    REQUIRE(scene.until([&] { return quiet->counters().sent == 1; }));
    CHECK(busy->counters().sent <= 128);  // a batch a turn, and the order of a turn is the kernel's
    CHECK(scene.until([&] { return busy->counters().sent == 300; }));
}

TEST_CASE("Sockets with nothing to do cause no wake-ups", "[data-path]") {
    RelayScene scene;
    const auto not_in_force = scene.open(0);
    const std::uint16_t deaf_port = scene.reserved_port();
    const auto unacquired = scene.open(2001, Delivery::descriptor);
    const auto acquired = scene.open(2002, Delivery::descriptor);
    const auto client = scene.acquire_relay(*acquired);
    scene.turns(Milliseconds(10));
    CHECK(scene.turns(Milliseconds(50)) == 0);
    CHECK(scene.turns(Milliseconds(50), [&] {
        for (int i = 0; i < 50; ++i) {
            scene.peer_sends(0, DataPathScene::ours(), 2001, payload(1));
            scene.peer_sends(0, DataPathScene::ours(), deaf_port, payload(1));
        }
    }) == 0);
    CHECK(unacquired->counters().received == 0);
    const auto late = scene.acquire_relay(*unacquired);
    CHECK(scene.until([&] { return unacquired->counters().received == 50; }));
}

TEST_CASE("A socket may be destroyed or closed while it delivers", "[data-path]") {
    RelayScene scene;
    auto socket = scene.open(2001);
    for (int i = 0; i < 10; ++i) scene.peer_sends(0, DataPathScene::ours(), 2001, payload(1));
    SECTION("destroyed") {
        scene.log.on_datagram = [&](const Datagram&) { socket.reset(); };
    }
    SECTION("closed by what its owner sends") {
        scene.log.on_datagram = [&](const Datagram&) {
            CHECK_FALSE(socket->send(Ipv4(8, 8, 8, 8), 4000, {}));
        };
    }
    REQUIRE(scene.received(1));
    CHECK_FALSE(scene.until([&] { return scene.log.datagrams.size() > 1; }, Milliseconds(50)));
    CHECK(scene.open(2001)->local_port() == 2001);
}

TEST_CASE("An owner may answer while it is told", "[data-path]") {
    RelayScene scene;
    const auto socket = scene.open(2001);
    scene.log.on_datagram = [&](const Datagram& datagram) {
        CHECK(socket->send(datagram.from, datagram.from_port, datagram.data) == SendResult::sent);
    };
    for (unsigned i = 0; i < 80; ++i) {
        scene.peer_sends(0, DataPathScene::ours(), 2001, payload(i, i));
    }
    REQUIRE(scene.received(80));
    for (unsigned i = 0; i < 80; ++i) REQUIRE(scene.peer_receives(0)->data == payload(i, i));
}

TEST_CASE("A client cannot pass descriptors to the daemon", "[data-path]") {
    RelayScene scene;
    const auto socket = scene.open(2001, Delivery::descriptor);
    const auto client = scene.acquire_relay(*socket);
    int ends[2] = {-1, -1};
    REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    const UniqueFd read_end(ends[0]);
    UniqueFd write_end(ends[1]);

    Bytes request = message({.kind = IMPNET_RELAY_DATAGRAM,
                             .peer = DataPathScene::peer(),
                             .peer_port = DataPathScene::peer_port,
                             .local = {},
                             .local_port = 0,
                             .sequence = 0});
    iovec part{request.data(), request.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr envelope{};
    envelope.msg_iov = &part;
    envelope.msg_iovlen = 1;
    envelope.msg_control = control;
    envelope.msg_controllen = sizeof(control);
    cmsghdr* entry = CMSG_FIRSTHDR(&envelope);
    entry->cmsg_level = SOL_SOCKET;
    entry->cmsg_type = SCM_RIGHTS;
    entry->cmsg_len = CMSG_LEN(sizeof(int));
    const int passed = write_end.get();
    std::memcpy(CMSG_DATA(entry), &passed, sizeof(passed));
    const bool refused = ::sendmsg(client->fd(), &envelope, MSG_NOSIGNAL) < 0;
    // Linux 6.16 and later refuse it; before, the daemon must not keep it.
    if (!refused) REQUIRE(scene.until([&] { return !client->outcomes().empty(); }));
    write_end.reset();
    char byte = 0;
    CHECK(::read(read_end.get(), &byte, 1) == 0);  // nobody else holds the other end
    CHECK(scene.send(*client, DataPathScene::peer(), DataPathScene::peer_port, {}) ==
          Outcome::sent);
}

TEST_CASE("A port that the kernel chooses is never below 1024", "[data-path]") {
    RelayScene scene;
    std::ofstream("/proc/sys/net/ipv4/ip_unprivileged_port_start") << 0 << std::flush;
    std::ofstream range("/proc/sys/net/ipv4/ip_local_port_range");
    range << "1000 1040" << std::flush;
    REQUIRE(range);
    for (int i = 0; i < 50; ++i) {
        const auto socket = scene.open(0);
        CHECK(scene.reserved_port() >= 1024);
    }
}

TEST_CASE("A port is free at once, though somebody holds a copy of its descriptor", "[data-path]") {
    RelayScene scene;
    auto socket = scene.open(2001, Delivery::descriptor);
    // As the service manager does, until it comes to letting go.
    std::vector<UniqueFd> copies;
    for (const int fd : socket->descriptors()) copies.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    REQUIRE(copies.size() == 1);
    socket.reset();
    const auto next = scene.open(2001);
    scene.peer_sends(0, DataPathScene::ours(), 2001, payload(3));
    CHECK(scene.received(1));
    char byte = 0;
    CHECK(::recv(copies.front().get(), &byte, 1, MSG_DONTWAIT) < 0);
}

TEST_CASE("A device that is gone is unavailable", "[data-path]") {
    RelayScene scene;
    const auto socket = scene.open(2001, Delivery::descriptor);
    const auto client = scene.acquire_relay(*socket);
    scene.ip({"link", "delete", "lan0"});
    const auto error =
        scene.path().open(scene.request(2002, Delivery::signal, 0), scene.log).error();
    CHECK(error.code == ErrorCode::unavailable);
    CHECK(error.message.find("lan0") != std::string::npos);
    // The news of it is still on its way to the path.
    CHECK(scene.send(*client, DataPathScene::peer(), DataPathScene::peer_port, {}) ==
          Outcome::not_connected);
}

TEST_CASE("A refusal of the rate limit tells how long to wait", "[data-path]") {
    RelayScene scene({.burst = 2, .rate = 10});
    const auto socket = scene.open(2001, Delivery::descriptor);
    const auto client = scene.acquire_relay(*socket);
    const auto send = [&] {
        return scene.send(*client, DataPathScene::peer(), DataPathScene::peer_port, payload(5));
    };
    const auto told = [&] { return client->verdicts().back().peer.bits(); };
    for (int i = 0; i < 2; ++i) {
        CHECK(send() == Outcome::sent);
        CHECK(told() == 0);
    }
    CHECK(send() == Outcome::would_block);
    CHECK(told() == 100'000);
    scene.elapse(Milliseconds(99));
    CHECK(send() == Outcome::would_block);
    CHECK(told() == 1'000);
    // Verdicts of other kinds tell nothing of it.
    CHECK(scene.send(*client, DataPathScene::peer(), 0, payload(5)) == Outcome::invalid_port);
    CHECK(told() == 0);
    scene.elapse(Milliseconds(1));
    CHECK(send() == Outcome::sent);
    CHECK(told() == 0);
}

TEST_CASE("A wait that is longer than can be told is told as the longest", "[data-path]") {
    RelayScene scene({.burst = 1, .rate = 1e-6});
    const auto socket = scene.open(2001, Delivery::descriptor);
    const auto client = scene.acquire_relay(*socket);
    for (const Outcome outcome : {Outcome::sent, Outcome::would_block}) {
        CHECK(scene.send(*client, DataPathScene::peer(), DataPathScene::peer_port, {}) == outcome);
    }
    CHECK(client->verdicts().back().peer == DataPathScene::everybody);
}

TEST_CASE("A policy's own limit is its client's, and holds under the shared one", "[data-path]") {
    RelayScene scene;
    const auto open = [&](std::uint16_t port, uid_t uid) {
        auto request = scene.request(port, Delivery::signal, 0);
        request.client.uid = uid;
        request.policy.own_limit = impnetd::RateLimit{.burst = 3, .rate = 1};
        auto socket = scene.path().open(request, scene.log);
        REQUIRE(socket);
        return std::move(*socket);
    };
    const auto sent = [&](DataSocket& socket, int attempts) {
        int count = 0;
        for (int i = 0; i < attempts; ++i)
            count +=
                socket.send(DataPathScene::peer(), DataPathScene::peer_port, {}) == SendResult::sent
                    ? 1
                    : 0;
        return count;
    };
    const auto one = open(2001, 1);
    const auto same = open(2002, 1);
    const auto other = open(2003, 2);
    CHECK(sent(*one, 10) == 3);
    CHECK(sent(*same, 10) == 0);
    CHECK(sent(*other, 10) == 3);
    scene.elapse(Milliseconds(1'000));
    CHECK(sent(*same, 10) == 1);
    CHECK(sent(*one, 10) == 0);
    one->set_policy({});
    same->set_policy({});
    CHECK(sent(*one, 10) == 10);
    CHECK(sent(*other, 10) == 1);
}
