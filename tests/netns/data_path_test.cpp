// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The relay on real cables: the cases of every data path, and what clients of a relay can do to it.
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <deque>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <sstream>
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
#include "lab/lab.hpp"
#include "lab/loop_wait.hpp"
#include "ports/data_path_cases.hpp"

namespace {

using namespace ports;
using impnetd::Loop;
using impnetd::Relay;
using impnetd::UniqueFd;
using impnetd::relay::Header;

Ipv4 parse(const std::string& text) {
    return Ipv4::parse(text).value();
}

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

struct Cables {
    lab::Namespace host{"host"};
    lab::Namespace far{"far"};
    lab::Cable cable0{host, "lan0", far, "srv0"};
    lab::Cable cable1{host, "lan1", far, "srv1"};
};

class RelayScene final : public WireScene {
  public:
    explicit RelayScene(impnetd::RateLimit limits = {})
        : relay_(loop_,
                 {.limits = limits, .ttl = 1, .clock = [this] { return now_; }, .ledger = {}}) {
        for (const char* name : {"rp_filter", "arp_ignore", "arp_filter"}) {
            std::ofstream("/proc/sys/net/ipv4/conf/all/" + std::string(name)) << 0;
            for (const Slot slot : {lan0, lan1}) setting("conf", slot, name, "0");
        }
        for (const Slot slot : {lan0, lan1}) {
            cables_.host.set_up(device(slot));
            cables_.far.run({"ip", "address", "add", peer(slot).text() + "/24", "broadcast", "+",
                             "dev", far_device(slot)});
            set_address(slot, Ipv4Network{ours(slot), 24});
        }
    }

    DataPath& path() override { return relay_; }
    std::string device(Slot slot) const override { return "lan" + std::to_string(slot); }
    int ifindex(Slot slot) const override { return cables_.host.ifindex(device(slot)); }

    void set_address(Slot slot, std::optional<Ipv4Network> network) override {
        ip({"address", "flush", "dev", device(slot)});
        if (network) ip({"address", "add", network->text(), "broadcast", "+", "dev", device(slot)});
        relay_.set_interface(
            slot, {.ifindex = ifindex(slot), .device = device(slot), .network = network});
    }
    void lose_device(Slot slot) override { relay_.set_interface(slot, {}); }
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
            UniqueFd fd;
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

    void elapse(Milliseconds time) override {
        now_ += static_cast<std::uint64_t>(std::chrono::nanoseconds(time).count());
    }
    bool work_until(const std::function<bool()>& predicate, Milliseconds limit) override {
        return lab::run_until(loop_, limit, predicate);
    }

    std::unique_ptr<DataPathClient> acquire(DataSocket& socket) override {
        return acquire_relay(socket);
    }
    static std::unique_ptr<RelayClient> acquire_relay(DataSocket& socket) {
        auto fd = socket.acquire();
        REQUIRE(fd);
        return std::make_unique<RelayClient>(std::move(*fd));
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
    Loop& loop() { return loop_; }

  private:
    static std::string far_device(Slot slot) { return "srv" + std::to_string(slot); }

    Cables cables_;
    lab::Namespace::Visit visit_ = cables_.host.enter();
    Loop loop_{[](std::string_view what) { FAIL_CHECK("a callback threw: " << what); }};
    std::uint64_t now_ = 1'000'000'000;
    Relay relay_;
    std::array<lab::Peer, 2> peers_ = {lab::Peer(cables_.far, peer_port, "srv0"),
                                       lab::Peer(cables_.far, peer_port, "srv1")};
    UniqueFd stranger_;
    std::optional<lab::Peer> neighbour_;
    std::optional<lab::Capture> capture_;
    int last_ttl_ = 0;
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
    const auto count = load.count;
    const Bytes data = payload(size);

    unsigned asked = 0;
    const auto ask = [&] {
        while (asked < count) {
            const std::uint16_t before = client->next_sequence;
            client->send(absent, 4000, data);
            if (client->next_sequence == before) return;  // its buffer is full
            ++asked;
        }
    };
    ask();
    REQUIRE(scene.until([&] { return socket->counters().sent > 0; }));
    lab::run_for(scene.loop(), Milliseconds(10));
    ask();
    CHECK(scene.turns(Milliseconds(50)) == 0);
    const std::size_t known = client->outcomes().size();
    CHECK(known < count);
    CHECK(*socket->send(absent, 4000, data) == SendResult::would_block);

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
