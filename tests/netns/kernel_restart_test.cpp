// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The daemon of the kernel path dies, and what it handed out goes on under the same rules: nobody
// who holds a socket notices, and the daemon after it has everything back. And where that cannot
// be, sockets end.
//
// Two kinds of tests: with the real daemon under a supervisor, killed; and with two KernelPaths in
// this process, where the first is the dead daemon: nobody turns its loop any more.
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <bpf/bpf.h>
#include <catch2/catch.hpp>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "datapath/kernel/programs.hpp"
#include "datapath/relay/relay.hpp"
#include "lab/lab.hpp"
#include "lab/owner.hpp"
#include "netns/kernel_scene.hpp"

using namespace ports;

namespace {

using namespace std::chrono_literals;
using impnetd::kernel::Programs;
using lab::Running;

constexpr const char* peer_address = "10.77.1.1";
constexpr auto soon = lab::Owner::soon;

std::string kernel_config(const std::string& limiter) {
    return "[datapath]\npath = \"kernel\"\n[limiter]\n" + limiter;
}

// --- Who uses a socket whose daemon dies ---------------------------------------------------------

int send_to(int fd, Ipv4 to, std::uint16_t port, const void* data, std::size_t size) {
    const auto address = impnetd::socket_address(to, port);
    return ::sendto(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL,
                    reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0
               ? errno
               : 0;
}

/// A process that holds the descriptor and nothing else, and sends numbered datagrams at a steady
/// pace. A number is used until it is sent.
class Sender {
  public:
    /// What sends came to: how many by errno, 0: sent.
    using Tally = std::map<int, std::uint64_t>;
    struct Message {
        std::uint32_t sender;
        std::uint32_t number;
    };

    Sender(const lab::Fd& socket, std::uint32_t name, Ipv4 to, unsigned per_millisecond)
        : ends_(make_pipe()),
          process_([this, fd = socket.get(), name, to, per_millisecond](const auto& say) {
              Tally tally;
              Message message{.sender = name, .number = 0};
              while (lab::wait_readable({ends_.first.get()}, lab::Deadline(1ms)).empty()) {
                  for (unsigned i = 0; i < per_millisecond; ++i) {
                      const int error = send_to(fd, to, 3000, &message, sizeof(message));
                      ++tally[error];
                      if (error == 0) ++message.number;
                  }
              }
              std::ostringstream line;
              for (const auto& [error, count] : tally) line << error << ' ' << count << ' ';
              say(line.str());
          }) {}

    Tally stop() {
        lab::checked(::write(ends_.second.get(), "", 1), "write");
        Tally tally;
        std::istringstream line(process_.hear(lab::Deadline(soon)));
        int error = 0;
        std::uint64_t count = 0;
        while (line >> error >> count) tally[error] = count;
        return tally;
    }

  private:
    static std::pair<lab::Fd, lab::Fd> make_pipe() {
        std::array<int, 2> ends{};
        lab::checked(::pipe2(ends.data(), O_CLOEXEC), "pipe2");
        return {lab::Fd(ends[0]), lab::Fd(ends[1])};
    }

    std::pair<lab::Fd, lab::Fd> ends_;
    lab::Fork process_;
};

/// Everything that got to the peer: the numbers, by their sender.
std::map<std::uint32_t, std::multiset<std::uint32_t>> arrivals(const lab::Peer& peer) {
    std::map<std::uint32_t, std::multiset<std::uint32_t>> out;
    while (const auto got = peer.receive(lab::Deadline(100ms))) {
        Sender::Message message{};
        REQUIRE(got->data.size() == sizeof(message));
        std::memcpy(&message, got->data.data(), sizeof(message));
        out[message.sender].insert(message.number);
    }
    REQUIRE(peer.overflows() == 0);
    return out;
}

/// Each number below this once, and no other.
bool are_all_below(const std::multiset<std::uint32_t>& numbers, std::uint64_t end) {
    std::uint32_t next = 0;
    return numbers.size() == end && std::all_of(numbers.begin(), numbers.end(),
                                                [&next](auto number) { return number == next++; });
}

/// The processes of socket sources that this one started.
std::vector<pid_t> socket_sources(pid_t parent) {
    std::vector<pid_t> out;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        std::ifstream file(entry.path() / "stat");
        std::string number;
        std::string name;
        std::string state;
        pid_t its_parent = 0;
        if (file >> number >> name >> state >> its_parent && name.starts_with("(impnet-socket-") &&
            its_parent == parent && state != "Z")
            out.push_back(std::stoi(number));
    }
    return out;
}

/// How many groups of daemons there are in the world.
std::size_t count_groups() {
    std::string own;
    std::ifstream file("/proc/self/cgroup");
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("0::")) own = line.substr(3);
    std::ifstream mounts("/proc/self/mounts");
    std::string device;
    std::string point;
    std::string type;
    for (std::string rest; mounts >> device >> point >> type; std::getline(mounts, rest)) {
        if (type != "cgroup2") continue;
        const std::filesystem::directory_iterator all(point + own);
        return static_cast<std::size_t>(std::count_if(begin(all), end(all), [](const auto& entry) {
            return entry.path().filename().string().starts_with("impnet-");
        }));
    }
    FAIL("no cgroup v2 is mounted");
    return 0;
}

}  // namespace

TEST_CASE("100 daemons are killed under load, and no datagram is lost", "[kernel][restart]") {
    Running running(kernel_config("rate = 0\n"));
    auto& owner = running.owner;
    running.lan.server.run({"ip", "address", "add", "192.168.9.9/24", "dev", "srv0"});
    const lab::Peer peer(running.lan.server, 3000, "srv0");
    const auto first = owner.open_udp(2001);
    const auto second = owner.open_udp(0);
    const auto quiet = owner.open_udp(0);
    const auto first_fd = owner.acquire(first);
    const auto second_fd = owner.acquire(second);
    CHECK(std::string(owner.acquired.at("path")) == "kernel");
    Sender one(first_fd, 1, Ipv4(10, 77, 1, 1), 2);
    Sender two(second_fd, 2, Ipv4(10, 77, 1, 1), 1);
    Sender outside(first_fd, 3, Ipv4(192, 168, 9, 9), 1);

    constexpr std::array<int, 4> signals = {SIGKILL, SIGKILL, SIGSEGV, SIGKILL};
    std::uint64_t sent_before = 0;
    for (unsigned i = 0; i < 100; ++i) {
        if (i % 10 != 9) {
            // Somewhere between its start and its being ready, or after that.
            ::kill(running.service.pid(), SIGKILL);
            lab::wait_readable({}, lab::Deadline(std::chrono::milliseconds(i)));
            continue;
        }
        running.service.crash(signals[i / 10 % signals.size()]);
        owner.resume();
        CHECK(owner.local_port(first) == 2001);
        CHECK(owner.local_port(second) >= 1024);
        CHECK(owner.local_port(quiet) == 0);
        const auto sent = owner.statistics(first)["sent"];
        CHECK(sent > sent_before);
        sent_before = sent;
        // It is the same socket for who sends to it, too.
        peer.send("10.77.1.100", 2001, {static_cast<std::uint8_t>(i)});
        std::array<std::uint8_t, 2> data{};
        REQUIRE(!lab::wait_readable({first_fd.get()}, lab::Deadline(soon)).empty());
        CHECK(::recv(first_fd.get(), data.data(), data.size(), MSG_DONTWAIT) == 1);
        CHECK(data[0] == i);
    }
    running.service.restart();
    owner.resume();

    const auto sent_one = one.stop();
    const auto sent_two = two.stop();
    CHECK(sent_one.size() == 1);  // nothing but sent
    CHECK(sent_two.size() == 1);
    CHECK(sent_one.at(0) > 2'000);
    const auto refused = outside.stop();
    CHECK(refused.size() == 1);
    CHECK(refused.contains(ENETUNREACH));
    const auto arrived = arrivals(peer);
    CHECK(arrived.size() == 2);
    CHECK(are_all_below(arrived.at(1), sent_one.at(0)));
    CHECK(are_all_below(arrived.at(2), sent_two.at(0)));
    CHECK(owner.statistics(first)["sent"] == sent_one.at(0));
    CHECK(owner.statistics(first)["received"] == 10);
    CHECK(owner.statistics(first)["not_connected"] == refused.at(ENETUNREACH));
    CHECK(owner.statistics(second)["sent"] == sent_two.at(0));
    // Told once each time it came back, and nothing else.
    CHECK(owner.raw.until(soon, [&] { return owner.steps.size() >= 11; }));
    CHECK(owner.steps == lab::Steps(11, {1, 1}));
    CHECK(count_groups() == 1);
}

TEST_CASE("daemons that are killed leave one bucket, which no crash fills", "[kernel][restart]") {
    constexpr double rate = 500;
    constexpr double burst = 1'000;
    Running running(kernel_config("rate = 500\nburst = 1000\n"));
    auto& owner = running.owner;
    const lab::Peer peer(running.lan.server, 3000, "srv0");
    const auto first = owner.open_udp(2001);
    const auto second = owner.open_udp(2002);
    const auto first_fd = owner.acquire(first);
    const auto second_fd = owner.acquire(second);
    const auto begin = std::chrono::steady_clock::now();
    Sender one(first_fd, 1, Ipv4(10, 77, 1, 1), 20);
    Sender two(second_fd, 2, Ipv4(10, 77, 1, 1), 20);
    for (int i = 0; i < 6; ++i) {
        running.service.crash(SIGKILL);
        owner.resume();
    }
    auto tally = one.stop();
    for (const auto& [error, count] : two.stop()) tally[error] += count;
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    const auto arrived = arrivals(peer);
    const auto count = arrived.at(1).size() + arrived.at(2).size();
    CHECK(static_cast<double>(count) <= burst + rate * time.count() + 1);
    CHECK(static_cast<double>(count) >= (burst + rate * time.count()) * 0.95);
    CHECK(count == tally[0]);
    CHECK(tally[EAGAIN] > count);
    // But for those two, who lost the race between the look at the bucket and the taking.
    CHECK(tally[EPERM] < count / 10);
    CHECK(tally[0] + tally[EAGAIN] + tally[EPERM] ==
          owner.statistics(first)["sent"] + owner.statistics(second)["sent"] +
              owner.statistics(first)["rate_limited"] + owner.statistics(second)["rate_limited"]);
}

TEST_CASE("a forbidden address while there is no daemon is told by the next", "[kernel][restart]") {
    Running running(kernel_config("rate = 0\n"));
    auto& owner = running.owner;
    const auto socket = owner.open_udp(2001);
    const auto bystander = owner.open_udp(2002);
    const auto fd = owner.acquire(socket);
    const auto other = owner.acquire(bystander);
    ::kill(running.service.pid(), SIGSTOP);  // it is as good as dead, and cannot see it
    CHECK(send_to(fd.get(), Ipv4(8, 8, 8, 8), 53, "", 0) == EACCES);
    CHECK(send_to(fd.get(), Ipv4(10, 77, 1, 1), 3000, "", 0) == EPIPE);
    running.service.crash(SIGKILL);
    owner.resume();
    REQUIRE(owner.hears_end_of(socket));
    CHECK(owner.closings.at(socket) == "address 8.8.8.8 is not allowed");
    CHECK(lab::outcome_of([&] { owner.raw.send(socket, peer_address, 3000, {1}); }) ==
          "SocketClosed");
    CHECK(send_to(other.get(), Ipv4(10, 77, 1, 1), 3000, "", 0) == 0);
    CHECK_FALSE(owner.closings.contains(bystander));
    CHECK(owner.local_port(owner.open_udp(2001)) == 2001);
}

TEST_CASE("a socket of another data path ends with the restart that changes it",
          "[kernel][restart]") {
    const bool from_kernel = GENERATE(true, false);
    const auto config = [](const std::string& path) {
        return "[limiter]\nrate = 0\n[datapath]\npath = \"" + path + "\"\n";
    };
    Running running(config(from_kernel ? "kernel" : "relay"));
    auto& owner = running.owner;
    const auto socket = owner.open_udp(2001);
    const auto fd = owner.acquire(socket);
    CHECK(std::string(owner.acquired.at("path")) == (from_kernel ? "kernel" : "relay"));
    lab::Peer peer(running.lan.server, 3000, "srv0");
    if (from_kernel) {
        CHECK(send_to(fd.get(), Ipv4(10, 77, 1, 1), 3000, "", 0) == 0);
        REQUIRE(peer.receive(lab::Deadline(soon)));
    }
    peer.send("10.77.1.100", 2001, {1});  // waits in the socket, unread
    std::ofstream(running.service.config_path())
        << running.lan.managed(config(from_kernel ? "relay" : "kernel"));
    running.service.restart();
    owner.resume();
    REQUIRE(owner.hears_end_of(socket));
    pollfd state{.fd = fd.get(), .events = POLLIN, .revents = 0};
    CHECK(::poll(&state, 1, 0) == 1);
    CHECK((state.revents & POLLHUP) != 0);
    if (from_kernel) {
        CHECK(send_to(fd.get(), Ipv4(10, 77, 1, 1), 3000, "", 0) != 0);
        char byte = 0;
        CHECK(::recv(fd.get(), &byte, 1, MSG_DONTWAIT) < 0);  // what had waited is gone
        CHECK_FALSE(peer.receive(lab::Deadline(100ms)));
    } else {
        CHECK(::send(fd.get(), "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0);
    }
    CHECK(lab::outcome_of([&] { owner.raw.send(socket, peer_address, 3000, {1}); }) ==
          "SocketClosed");
    // The old one is held still.
    const auto next = owner.open_udp(2001);
    const auto next_fd = owner.acquire(next);
    CHECK(std::string(owner.acquired.at("path")) == (from_kernel ? "relay" : "kernel"));
    CHECK(owner.raw.send(next, peer_address, 3000, {1}) == 0);
    CHECK(peer.receive(lab::Deadline(soon))->from_port == 2001);
}

TEST_CASE("a daemon and its socket source killed at once leave no groups that pile up",
          "[kernel][restart]") {
    Running running(kernel_config("rate = 0\n"));
    auto& owner = running.owner;
    const auto socket = owner.open_udp(2001);
    const auto fd = owner.acquire(socket);
    for (int i = 0; i < 5; ++i) {
        const pid_t daemon = running.service.pid();
        const auto sources = socket_sources(daemon);
        REQUIRE(sources.size() == 1);
        // So that neither sees the other's end.
        ::kill(sources.front(), SIGSTOP);
        ::kill(daemon, SIGSTOP);
        ::kill(sources.front(), SIGKILL);
        running.service.crash(SIGKILL);
        owner.resume();
        CHECK(count_groups() == 1);
        CHECK(send_to(fd.get(), Ipv4(10, 77, 1, 1), 3000, "", 0) == 0);
    }
}

// --- In this process -----------------------------------------------------------------------------

namespace {

/// A path, and another one after it that has its maps and whichever of its sockets it is given.
class Generations final : public CableScene {
  public:
    explicit Generations(impnetd::RateLimit limit = {.burst = 10, .rate = 0.025},
                         Milliseconds alive_every = 45s)
        : limit_(limit), alive_every_(alive_every), first_(make(dead_loop_, {})) {
        connect();
    }

    KernelPath& path() override { return second_ ? *second_ : *first_; }
    void elapse(Milliseconds) override {}
    std::unique_ptr<DataPathClient> acquire(DataSocket& socket) override {
        return KernelScene::acquire_socket(socket);
    }

    /// Copies, as the FD store has them.
    Programs::Maps maps() const {
        Programs::Maps out;
        for (const auto& [name, fd] : first_->maps()) out[name] = copy(fd);
        return out;
    }
    static UniqueFd copy(int fd) { return UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0)); }
    static std::vector<UniqueFd> copies(const DataSocket& socket) {
        std::vector<UniqueFd> out;
        for (const int fd : socket.descriptors()) out.push_back(copy(fd));
        return out;
    }
    /// The first one is dead from now on.
    void succeed(Programs::Maps maps) {
        second_ = make(loop(), std::move(maps));
        connect();
    }
    void succeed() { succeed(maps()); }
    impnetd::Result<std::unique_ptr<DataSocket>> adopt(const DataSocket& socket,
                                                       const DataPath::Request& request) {
        return path().adopt(request, copies(socket), log);
    }

    impnet_settings settings() const {
        impnet_settings value{};
        read("settings", 0, value);
        return value;
    }
    /// A daemon said so long ago that it is alive.
    void last_alive(std::chrono::nanoseconds ago) {
        auto value = settings();
        value.alive_at = now() - static_cast<std::uint64_t>(ago.count());
        const std::uint32_t zero = 0;
        REQUIRE(::bpf_map_update_elem(map("settings"), &zero, &value, BPF_ANY) == 0);
    }
    static std::uint64_t now() {
        timespec time{};
        ::clock_gettime(CLOCK_MONOTONIC, &time);
        return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
               static_cast<std::uint64_t>(time.tv_nsec);
    }
    std::chrono::nanoseconds silence() const {
        return std::chrono::nanoseconds(now() - settings().alive_at);
    }
    template <typename T>
    void read(const std::string& name, std::uint32_t key, T& value) const {
        REQUIRE(::bpf_map_lookup_elem(map(name), &key, &value) == 0);
    }

  private:
    int map(const std::string& name) const {
        for (const auto& [known, fd] : (second_ ? second_ : first_)->maps())
            if (known == name) return fd;
        FAIL("no map is called " << name);
        return -1;
    }
    std::unique_ptr<KernelPath> make(impnetd::Loop& loop, Programs::Maps maps) const {
        auto made = KernelPath::make(loop, {.limit = limit_,
                                            .ttl = 1,
                                            .socket_source = built_socket_source(),
                                            .maps = std::move(maps),
                                            .alive_every = alive_every_});
        if (!made) FAIL(made.error().message);
        return std::move(*made);
    }

    impnetd::RateLimit limit_;
    Milliseconds alive_every_;
    impnetd::Loop dead_loop_{[](std::string_view) {}};
    std::unique_ptr<KernelPath> first_;
    std::unique_ptr<KernelPath> second_;
};

}  // namespace

TEST_CASE("a path goes on with the sockets of the one before it", "[kernel][restart]") {
    Generations scene;
    const auto request = scene.request(2001, Delivery::descriptor, 0);
    const auto before = *scene.path().open(request, scene.log);
    auto unsent_request = scene.request(0, Delivery::descriptor, 0);
    unsent_request.client.uid = 1001;
    const auto unsent_before = *scene.path().open(unsent_request, scene.log);
    const auto client = KernelScene::acquire_socket(*before);
    for (int i = 0; i < 6; ++i)
        REQUIRE(client->send_raw(DataPathScene::peer(), DataPathScene::peer_port, {}) == 0);
    REQUIRE(client->send_raw(Ipv4(192, 168, 9, 9), 4000, {}) == ENETUNREACH);
    scene.peer_sends(0, DataPathScene::ours(), 2001, payload(5));
    REQUIRE(scene.until([&] { return before->counters().received == 1; }));
    std::array<impnet_share, 2> shares{};
    for (std::uint32_t i = 0; i < 2; ++i) scene.read("shares", i, shares[i]);

    scene.succeed();
    REQUIRE(scene.path().maps_inherited());
    // Before its turn comes a socket works already.
    CHECK(client->send_raw(DataPathScene::peer(), DataPathScene::peer_port, {}) == 0);
    // In another order than they were made in.
    const auto unsent = scene.adopt(*unsent_before, unsent_request);
    const auto socket = scene.adopt(*before, request);
    REQUIRE(unsent);
    REQUIRE(socket);
    CHECK((*socket)->local_port() == 2001);
    CHECK((*unsent)->local_port() == 0);
    CHECK((*socket)->counters().sent == 7);
    CHECK((*socket)->counters().received == 1);
    CHECK((*socket)->counters().not_connected == 1);
    CHECK((*socket)->acquire().error().code == ErrorCode::busy);
    CHECK((*unsent)->acquire());
    CHECK(client->receive()->data == payload(5));
    CHECK(scene.settings().clients == 2);

    for (std::uint32_t i = 0; i < 2; ++i) {
        impnet_share share{};
        scene.read("shares", i, share);
        CHECK(share.given == shares[i].given);
    }
    // Two of ten are held back for the other client, at most a quarter: one goes still.
    CHECK(client->send_raw(DataPathScene::peer(), DataPathScene::peer_port, {}) == 0);
    CHECK(client->send_raw(DataPathScene::peer(), DataPathScene::peer_port, {}) == 0);
    CHECK(client->send_raw(DataPathScene::peer(), DataPathScene::peer_port, {}) == EAGAIN);
    CHECK((*unsent)->send(DataPathScene::peer(), DataPathScene::peer_port, {}) == SendResult::sent);
    CHECK(scene.peer_counts() == 10);
}

TEST_CASE("without a sign of life from a daemon for 90 s nothing is sent", "[kernel][restart]") {
    Generations scene;
    const auto socket = scene.open(2001, Delivery::descriptor);
    const auto client = KernelScene::acquire_socket(*socket);
    const auto send = [&] {
        return client->send_raw(DataPathScene::peer(), DataPathScene::peer_port, {});
    };
    CHECK(send() == 0);
    scene.last_alive(89s);
    CHECK(send() == 0);
    scene.last_alive(91s);
    CHECK(send() == ENETUNREACH);
    // Neither by the daemon's own call, nor by a call that no program is asked about before.
    CHECK(socket->send(DataPathScene::peer(), DataPathScene::peer_port, {}) ==
          SendResult::not_connected);
    // It is still heard, and not dead.
    scene.peer_sends(0, DataPathScene::ours(), 2001, payload(3));
    CHECK(scene.until([&] { return client->receive().has_value(); }));
    CHECK_FALSE(client->closed());
    CHECK(socket->counters().not_connected == 2);

    scene.succeed();
    CHECK(send() == 0);
    CHECK(scene.peer_counts() == 3);
}

TEST_CASE("a path says that it is alive while it has sockets, and only then", "[kernel][restart]") {
    Generations scene({.burst = 1, .rate = 0}, 20ms);
    scene.succeed();  // on a loop that turns
    const auto revives = [&](Milliseconds limit) {
        scene.last_alive(100s);
        return scene.until([&] { return scene.silence() < 90s; }, limit);
    };
    CHECK_FALSE(revives(100ms));
    auto socket = scene.open(2001);
    CHECK(scene.silence() < 90s);
    CHECK(revives(5s));
    CHECK(revives(5s));
    auto second = scene.open(2002);
    socket.reset();
    CHECK(revives(5s));
    second.reset();
    CHECK_FALSE(revives(100ms));
    socket = scene.open(2001);
    CHECK(revives(5s));
}

TEST_CASE("a socket whose maps are lost is dead, not ungoverned", "[kernel][restart]") {
    Generations scene;
    const auto request = scene.request(2001, Delivery::descriptor, 0);
    const auto before = *scene.path().open(request, scene.log);
    const auto client = KernelScene::acquire_socket(*before);
    scene.peer_sends(0, DataPathScene::ours(), 2001, payload(5));  // waits, unread
    REQUIRE(scene.until([&] { return before->counters().received == 1; }));
    auto maps = scene.maps();
    SECTION("all of them") {
        maps.clear();
    }
    SECTION("one of them") {
        maps.erase("bucket");
    }
    SECTION("one is of another size") {
        maps["bucket"] = Generations::copy(maps.at("settings").get());
    }
    SECTION("one is of another kind") {
        maps["orders"] = Generations::copy(maps.at("events").get());
    }
    SECTION("one is no map at all") {
        maps["accounts"] = UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
    }
    SECTION("two are of the right size and another kind of value") {
        std::swap(maps.at("orders"), maps.at("accounts"));
    }
    scene.succeed(std::move(maps));
    CHECK_FALSE(scene.path().maps_inherited());
    REQUIRE_FALSE(scene.adopt(*before, request));
    check_dead(scene, *client);
}

TEST_CASE("a socket that a path cannot go on with is dead", "[kernel][restart]") {
    Generations scene;
    const auto request = scene.request(2001, Delivery::descriptor, 0);
    const auto before = *scene.path().open(request, scene.log);
    const auto client = KernelScene::acquire_socket(*before);
    auto wanted = request;
    auto descriptors = Generations::copies(*before);
    SECTION("it is another one's") {
        wanted.id = 77;
    }
    SECTION("there are too many descriptors") {
        descriptors.push_back(Generations::copy(descriptors.front().get()));
    }
    SECTION("its holder has taken the device from it") {
        const sockaddr nothing{.sa_family = AF_UNSPEC, .sa_data = {}};
        REQUIRE(::connect(client->fd(), &nothing, sizeof(nothing)) == 0);
    }
    SECTION("the path before had begun to take it back") {
        // As far as its programs know. It died before it came to the rest.
        impnet_orders orders{};
        int maps = -1;
        for (const auto& [name, fd] : scene.path().maps())
            if (name == "orders") maps = fd;
        const int fd = client->fd();
        REQUIRE(::bpf_map_lookup_elem(maps, &fd, &orders) == 0);
        orders.flags |= IMPNET_REVOKED;
        REQUIRE(::bpf_map_update_elem(maps, &fd, &orders, BPF_ANY) == 0);
    }
    scene.succeed();
    const auto adopted = scene.path().adopt(wanted, std::move(descriptors), scene.log);
    REQUIRE_FALSE(adopted);
    check_dead(scene, *client);
}

TEST_CASE("neither path goes on with a socket of the other", "[kernel][restart]") {
    Generations scene;
    impnetd::Relay relay(scene.loop(), {.limits = {}, .ttl = 1, .clock = {}, .ledger = {}});
    relay.set_interface(0, {.ifindex = scene.ifindex(0),
                            .device = scene.device(0),
                            .network = Ipv4Network{DataPathScene::ours(), 24}});
    const auto request = scene.request(2001, Delivery::descriptor, 0);
    SECTION("the relay") {
        const auto before = *scene.path().open(request, scene.log);
        const auto client = KernelScene::acquire_socket(*before);
        scene.succeed({});
        REQUIRE_FALSE(relay.adopt(request, Generations::copies(*before), scene.log));
        check_dead(scene, *client);
    }
    SECTION("the kernel path") {
        const auto before = *relay.open(request, scene.log);
        const auto held = before->acquire();
        REQUIRE(held);
        REQUIRE_FALSE(scene.adopt(*before, request));
        pollfd state{.fd = held->get(), .events = 0, .revents = 0};
        CHECK(::poll(&state, 1, 0) == 1);
        CHECK((state.revents & POLLHUP) != 0);
        CHECK(scene.open(2001)->local_port() == 2001);
    }
}

TEST_CASE("a socket that died while there was no path is told by the next", "[kernel][restart]") {
    Generations scene;
    const auto request = scene.request(2001, Delivery::descriptor, 0);
    const auto before = *scene.path().open(request, scene.log);
    const auto client = KernelScene::acquire_socket(*before);
    CHECK(client->send_raw(Ipv4(8, 8, 8, 8), 53, {}) == EACCES);
    scene.succeed();
    const auto socket = scene.adopt(*before, request);
    REQUIRE(socket);
    REQUIRE(scene.until([&] { return !scene.log.closings.empty(); }));
    CHECK(scene.log.closings == std::vector<std::string>{"address 8.8.8.8 is not allowed"});
    CHECK((*socket)->counters().denied == 1);
    check_dead(scene, *client);
    CHECK(scene.log.closings.size() == 1);
}

TEST_CASE("a socket source that is killed is replaced", "[kernel][restart]") {
    KernelScene scene;
    for (int i = 0; i < 100; ++i) {
        const auto sources = socket_sources(::getpid());
        REQUIRE(sources.size() == 1);
        REQUIRE(::kill(sources.front(), SIGKILL) == 0);
        // More than were ready.
        for (std::size_t open = 0; open <= impnetd::kernel::SocketSource::stock; ++open) {
            auto socket = scene.path().open(scene.request(2001, Delivery::signal, 0), scene.log);
            // On a host as busy as one that runs tests the new one may be late.
            for (int late = 0; !socket && late < 5; ++late) {
                CHECK(socket.error().code == ErrorCode::unavailable);
                socket = scene.path().open(scene.request(2001, Delivery::signal, 0), scene.log);
            }
            REQUIRE(socket);
            REQUIRE((*socket)->send(DataPathScene::ours(), 4000, {}) == SendResult::not_connected);
        }
        uv_run(scene.loop().raw(), UV_RUN_NOWAIT);
    }
    CHECK(count_groups() == 1);
}

TEST_CASE("a socket source that does not answer holds up one opening, for a second",
          "[kernel][restart]") {
    KernelScene scene;
    const auto sources = socket_sources(::getpid());
    REQUIRE(sources.size() == 1);
    REQUIRE(::kill(sources.front(), SIGSTOP) == 0);
    std::size_t opened = 0;
    const auto try_open = [&] {
        return scene.path().open(scene.request(2001, Delivery::signal, 0), scene.log);
    };
    auto begin = std::chrono::steady_clock::now();
    auto last = try_open();
    for (; last; last = try_open()) {
        last->reset();
        begin = std::chrono::steady_clock::now();
        REQUIRE(++opened <= impnetd::kernel::SocketSource::stock);
    }
    const auto time = std::chrono::steady_clock::now() - begin;
    CHECK(last.error().code == ErrorCode::unavailable);
    CHECK(time < impnetd::kernel::SocketSource::patience + 500ms);
    // Another one takes its place.
    for (int late = 0; !last && late < 5; ++late) last = try_open();
    CHECK(last);
    REQUIRE(scene.until([&] { return socket_sources(::getpid()).size() == 1; }));
    CHECK(socket_sources(::getpid()) != sources);
}
