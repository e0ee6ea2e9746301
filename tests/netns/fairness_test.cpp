// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Who gets how much of the rate, with the real daemon and real traffic, counted where it arrives.
// Each scenario takes the data path on which it plays.
#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "lab/connected.hpp"
#include "lab/footprint.hpp"
#include "lab/lab.hpp"
#include "lab/standstill.hpp"
#include "lab/user.hpp"

using namespace std::chrono_literals;

namespace {

constexpr gid_t group = 4'240;
constexpr uid_t first_user = 4'300;
constexpr std::uint16_t peer_port = 3000;
constexpr unsigned burst = 40;
// Who has fifty sockets makes the rounds long: with sanitizers too long for the others' part of a
// larger rate, so that all is slower there and takes longer.
constexpr unsigned slowness = lab::sanitized ? 4 : 1;
constexpr unsigned rate = 1'000 / slowness;

std::string configuration(const std::string& path, const std::string& limiter) {
    return limiter + "[datapath]\npath = \"" + path + "\"\n";
}

/// Before the first host is made.
struct Users {
    explicit Users(unsigned count) {
        lab::add_group("impnet", group);
        for (unsigned number = 0; number < count; ++number)
            lab::add_user("user" + std::to_string(number), first_user + number, group);
    }
};

/// What arrives at the other end, by the sender's port.
class Counter {
  public:
    explicit Counter(const lab::Namespace& where) : peer_(where, peer_port, "srv0") {}

    /// Counts what has come.
    void read() {
        while (const auto got = peer_.receive(lab::Deadline(0ms))) {
            ++by_port_[got->from_port];
            ++total_;
        }
        REQUIRE(peer_.overflows() == 0);
    }
    /// Counts until so many have come in all. False: they did not.
    bool read_until(std::uint64_t total, lab::Milliseconds limit) {
        const lab::Deadline deadline(limit);
        while (total_ < total) {
            const auto got = peer_.receive(deadline);
            if (!got) return false;
            ++by_port_[got->from_port];
            ++total_;
        }
        return true;
    }
    std::uint64_t of(std::uint16_t port) const {
        const auto found = by_port_.find(port);
        return found == by_port_.end() ? 0 : found->second;
    }
    std::uint64_t total() const { return total_; }

  private:
    lab::Peer peer_;
    std::map<std::uint16_t, std::uint64_t> by_port_;
    std::uint64_t total_ = 0;
};

/// A user with a program and its sockets.
class Sender {
  public:
    Sender(const lab::Bus& bus, unsigned number, unsigned sockets)
        : program_(connect(bus, number)), eth0_(program_->open("eth0", diary_)) {
        REQUIRE(program_->until(5s, [this] { return diary_.is(impnet::State::connected); }));
        for (unsigned i = 0; i < sockets; ++i) {
            const auto port = static_cast<std::uint16_t>(10'000 + 100 * number + i);
            auto socket = eth0_.open_udp(port);
            REQUIRE(socket);
            ports_.push_back(port);
            sockets_.push_back(std::move(*socket));
        }
    }

    /// Tries to send so many datagrams on each socket. How many it was told went.
    unsigned attempt(unsigned count) {
        unsigned sent = 0;
        const std::vector<impnet::OutgoingDatagram> batch(
            count, {impnet::Ipv4(10, 77, 1, 1), peer_port, {}});
        for (auto& socket : sockets_) {
            for (const auto& result : socket.send_batch(batch)) {
                const std::string outcome = lab::outcome(result);
                REQUIRE((outcome == "0" || outcome == "4"));
                sent += outcome == "0" ? 1 : 0;
            }
        }
        program_->turn();
        return sent;
    }
    std::uint64_t arrived(const Counter& counter) const {
        std::uint64_t sum = 0;
        for (const std::uint16_t port : ports_) sum += counter.of(port);
        return sum;
    }

  private:
    static std::unique_ptr<lab::Program> connect(const lab::Bus& bus, unsigned number) {
        const lab::AsUser as(first_user + number, group);
        return std::make_unique<lab::Program>(bus);
    }

    lab::Diary diary_;
    std::unique_ptr<lab::Program> program_;
    impnet::Interface eth0_;
    std::vector<std::uint16_t> ports_;
    std::vector<impnet::UdpSocket> sockets_;
};

/// The daemon on one data path, and users who send.
class Scene {
  public:
    Scene(const std::string& path, unsigned users, unsigned burst, unsigned rate)
        : users_(users),
          connected_(configuration(path, "[limiter]\nburst = " + std::to_string(burst) +
                                             "\nrate = " + std::to_string(rate) + "\n")),
          burst_(burst),
          rate_(rate) {}

    Sender& add(unsigned sockets = 1) {
        const auto number = static_cast<unsigned>(senders_.size());
        return senders_.emplace_back(connected_.lan.bus, number, sockets);
    }

    /// Those named send all they can for so long, each in its turn.
    void flood(const std::vector<Sender*>& senders, lab::Milliseconds time, unsigned at_once = 4) {
        if (began_ == 0) began_ = lab::monotonic_usec();
        const lab::Deadline end(time);
        while (!end.passed()) {
            for (Sender* sender : senders) told_sent_ += sender->attempt(at_once);
            counter_.read();
            // Nothing was sent before `began_`, and nothing arrives before it is sent.
            const double passed = static_cast<double>(lab::monotonic_usec() - began_) / 1e6;
            REQUIRE(static_cast<double>(counter_.total()) <= burst_ + rate_ * passed);
        }
    }
    unsigned send_one(Sender& sender) {
        const unsigned sent = sender.attempt(1);
        told_sent_ += sent;
        return sent;
    }
    /// What arrived from each of them while they flooded.
    std::vector<double> shares(const std::vector<Sender*>& senders, lab::Milliseconds time,
                               unsigned at_once = 4) {
        settle();
        std::vector<std::uint64_t> before;
        before.reserve(senders.size());
        for (const Sender* sender : senders) before.push_back(sender->arrived(counter_));
        flood(senders, time, at_once);
        settle();
        std::vector<double> result;
        for (std::size_t i = 0; i < senders.size(); ++i)
            result.push_back(static_cast<double>(senders[i]->arrived(counter_) - before[i]));
        return result;
    }
    /// What a sender was told went has arrived, and nothing else.
    void settle() {
        REQUIRE(counter_.read_until(told_sent_, 5s));
        counter_.read();
        REQUIRE(counter_.total() == told_sent_);
    }
    std::uint64_t total() const { return counter_.total(); }

    const Counter& peer() const { return counter_; }

  private:
    Users users_;
    lab::Connected connected_;
    unsigned burst_;
    unsigned rate_;
    Counter counter_{connected_.lan.server};
    std::deque<Sender> senders_;
    std::uint64_t began_ = 0;
    std::uint64_t told_sent_ = 0;
};

double jain(const std::vector<double>& amounts) {
    double sum = 0;
    double squares = 0;
    for (const double amount : amounts) {
        sum += amount;
        squares += amount * amount;
    }
    return sum * sum / (static_cast<double>(amounts.size()) * squares);
}

std::string listed(const std::vector<double>& amounts) {
    std::string text;
    for (const double amount : amounts) text += std::to_string(static_cast<int>(amount)) + " ";
    return text;
}

/// What the rate grants in some time, for as much of it as anybody could send.
double granted(std::chrono::duration<double> time, const lab::Standstill& still) {
    return rate * std::chrono::duration<double>(time - still.total()).count();
}

void equal_shares(const std::string& path) {
    Scene scene(path, 32, burst, rate);
    std::vector<Sender*> senders;
    // The first has fifty sockets, and so fifty times as many attempts.
    for (unsigned number = 0; number < 32; ++number)
        senders.push_back(&scene.add(number == 0 ? 50 : 1));
    for (const std::size_t k : {2U, 8U, 32U}) {
        const std::vector<Sender*> flooding(senders.begin(),
                                            senders.begin() + static_cast<std::ptrdiff_t>(k));
        scene.flood(flooding, slowness * 600ms);
        const lab::Standstill still;
        const auto time = slowness * 1'500ms;
        const auto shares = scene.shares(flooding, time);
        double sum = 0;
        for (const double share : shares) sum += share;
        INFO(path << ", " << k << " clients: " << listed(shares));
        CHECK(jain(shares) >= 0.98);
        CHECK(sum >= 0.95 * granted(time, still) - burst);
    }
}

void quiet_goes_at_once(const std::string& path) {
    // Slow enough for a token to be rare.
    Scene scene(path, 3, 20, 100);
    const std::vector<Sender*> flooding = {&scene.add(), &scene.add(10)};
    Sender& quiet = scene.add();
    for (int time = 0; time < 4; ++time) {
        scene.flood(flooding, 700ms);
        CHECK(scene.send_one(quiet) == 1);
    }
    scene.settle();
    CHECK(quiet.arrived(scene.peer()) == 4);
}

void unused_is_used(const std::string& path) {
    Scene scene(path, 2, burst, rate);
    Sender& stays = scene.add();
    Sender& stops = scene.add();
    scene.flood({&stays, &stops}, 500ms);
    CHECK(jain(scene.shares({&stays, &stops}, 500ms)) >= 0.98);
    // In the first second most of it, and then all.
    for (const auto& [time, part] : {std::pair(1'000ms, 0.75), std::pair(500ms, 0.95)}) {
        const lab::Standstill still;
        const double share = scene.shares({&stays}, time, 32).front();
        CHECK(share >= part * granted(time, still));
    }
}

void bound_is_kept(const std::string& path) {
    Scene scene(path, 4, 100, 200);
    std::vector<Sender*> all;
    for (unsigned number = 0; number < 4; ++number) all.push_back(&scene.add(number + 1));
    scene.flood({all[0]}, 300ms, 64);
    scene.flood(all, 700ms);
    scene.flood({all[1], all[3]}, 500ms, 16);
    scene.settle();
    // That it is no more, `flood` has seen each time. Nor is it less by more than what lies for
    // the quiet and for those who had less.
    CHECK(scene.total() >= 100 + 1.5 * 200 - 100);
}

}  // namespace

TEST_CASE("over the relay, clients that flood have equal shares, however many sockets they have",
          "[fairness]") {
    equal_shares("relay");
}

TEST_CASE("over the relay, a quiet client's datagram goes at once though others flood",
          "[fairness]") {
    quiet_goes_at_once("relay");
}

TEST_CASE("over the relay, what a client leaves unused others have within a second", "[fairness]") {
    unused_is_used("relay");
}

TEST_CASE("over the relay, no more arrives than burst + rate * T, whoever sends", "[fairness]") {
    bound_is_kept("relay");
}

TEST_CASE(
    "over the kernel path, clients that flood have equal shares, however many sockets they have",
    "[fairness]") {
    equal_shares("kernel");
}

TEST_CASE("over the kernel path, a quiet client's datagram goes at once though others flood",
          "[fairness]") {
    quiet_goes_at_once("kernel");
}

TEST_CASE("over the kernel path, what a client leaves unused others have within a second",
          "[fairness]") {
    unused_is_used("kernel");
}

TEST_CASE("over the kernel path, no more arrives than burst + rate * T, whoever sends",
          "[fairness]") {
    bound_is_kept("kernel");
}
