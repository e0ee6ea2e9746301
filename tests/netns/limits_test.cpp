// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What one user may have, to the exact number: sessions, sockets, calls under way. For root and for
// an ordinary member of the group, with the defaults and with configured numbers.
#include <array>
#include <cstdint>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <sys/resource.h>

#include "lab/connected.hpp"
#include "lab/lab.hpp"
#include "lab/rude_client.hpp"
#include "lab/user.hpp"

using namespace std::chrono_literals;
using lab::RudeClient;

namespace {

constexpr uid_t member = 4'242;
constexpr gid_t group = 4'240;
constexpr uid_t stranger = 4'343;
constexpr auto soon = 10s;

const std::string limit_exceeded = "org.impnet1.Error.LimitExceeded";
const std::string no_such_interface = "org.impnet1.Error.NoSuchInterface";

struct Numbers {
    unsigned sessions = 64;
    unsigned sockets = 256;
    unsigned calls = 128;

    std::string text() const {
        return "[limits]\nsessions-per-uid = " + std::to_string(sessions) +
               "\nsockets-per-uid = " + std::to_string(sockets) +
               "\ncalls-per-uid = " + std::to_string(calls) + "\n";
    }
};

/// The group and the users, before the first host is made.
struct Members {
    Members() {
        lab::add_group("impnet", group);
        lab::add_user("member", member, group);
        lab::add_user("stranger", stranger, stranger);
    }
};

/// As systemd and shells start programs: with 1024 descriptors, and the right to more.
class FewDescriptors {
  public:
    FewDescriptors() {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        const rlimit few{1'024, before_.rlim_max};
        ::setrlimit(RLIMIT_NOFILE, &few);
    }
    ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
    FewDescriptors(const FewDescriptors&) = delete;
    FewDescriptors& operator=(const FewDescriptors&) = delete;

  private:
    rlimit before_{};
};

/// A LAN, the daemon with its limits, and two users on it.
struct Users : Members {
    lab::Lan lan;
    lab::DhcpServer dhcp{lan.server, "srv0", lab::DhcpServer::Options::only("10.77.1.100")};
    std::optional<FewDescriptors> few{std::in_place};
    lab::Daemon daemon;
    std::map<std::string, uid_t> users{{"root", 0}, {"member", member}};

    explicit Users(const std::string& limits)
        : daemon(lan.host, lan.bus, lab::Lan::managed(limits)) {
        few.reset();
    }

    std::unique_ptr<RudeClient> client(uid_t user) const {
        if (user == 0) return std::make_unique<RudeClient>(lan.bus);
        const lab::AsUser as(user, group);
        return std::make_unique<RudeClient>(lan.bus);
    }
};

std::string try_open(RudeClient& client) {
    return client.outcome(RudeClient::manager("Open"), RudeClient::nic("eth0"));
}

std::string try_open_udp(RudeClient& client, const std::string& session) {
    return client.outcome(RudeClient::session(session, "OpenUdp"), RudeClient::udp(0, "fd"));
}

void check_sessions_and_sockets(Users& lab, const Numbers& numbers) {
    std::vector<std::unique_ptr<RudeClient>> clients;
    std::vector<lab::Fd> held;
    // The second finds all free, although the first has all there is.
    for (const auto& [name, user] : lab.users) {
        CAPTURE(name);
        auto& one = *clients.emplace_back(lab.client(user));
        auto& other = *clients.emplace_back(lab.client(user));
        std::vector<std::string> sessions;
        for (unsigned number = 0; number < numbers.sessions; ++number)
            sessions.push_back(one.open("eth0"));
        REQUIRE(try_open(one) == limit_exceeded);
        REQUIRE(try_open(other) == limit_exceeded);  // a further connection gains nothing
        REQUIRE(one.outcome(RudeClient::session(sessions.back(), "Close")) == "ok");
        REQUIRE(try_open(other) == "ok");
        REQUIRE(try_open(one) == limit_exceeded);
        sessions.pop_back();

        std::string last;
        for (unsigned number = 0; number < numbers.sockets; ++number) {
            last = one.open_udp(sessions[number % sessions.size()], 0, "fd");
            held.push_back(one.acquire(last));
        }
        REQUIRE(try_open_udp(one, sessions.front()) == limit_exceeded);
        REQUIRE(one.outcome(RudeClient::socket(last, "Close")) == "ok");
        REQUIRE(try_open_udp(one, sessions.back()) == "ok");
        REQUIRE(try_open_udp(one, sessions.back()) == limit_exceeded);
    }
    // Who goes gives back all he had.
    for (auto& client : clients) client->vanish();
    for (const auto& [name, user] : lab.users) {
        CAPTURE(name);
        const auto client = lab.client(user);
        std::vector<std::string> sessions;
        for (unsigned number = 0; number < numbers.sessions; ++number)
            sessions.push_back(client->open("eth0"));
        CHECK(try_open(*client) == limit_exceeded);
        for (unsigned number = 0; number < numbers.sockets; ++number)
            client->open_udp(sessions.front(), 0, "fd");
        CHECK(try_open_udp(*client, sessions.front()) == limit_exceeded);
    }
}

/// The calls of one user pile up at the daemon, because the bus does not tell it who calls.
class Jam {
  public:
    Jam(Users& lab, RudeClient& marker, std::string socket)
        : lab_(lab),
          marker_(marker),
          socket_(std::move(socket)),
          peer_(lab.lan.server, 3000, "srv0") {}

    using Answers = std::map<std::string, unsigned>;

    /// `calls`: for each client so many. The answers, by the name of the error.
    Answers pile_up(const std::vector<std::pair<RudeClient*, unsigned>>& calls) {
        Answers answers;
        // They all are in the daemon's inbox before it looks into it...
        lab_.daemon.process().kill(SIGSTOP);
        for (const auto& [client, number] : calls) {
            for (unsigned call = 0; call < number; ++call)
                client->call(RudeClient::manager("Open"), RudeClient::nic("eth7"),
                             [&](const std::string& error, sd_bus_message*) { ++answers[error]; });
            ask_the_bus(*client);
        }
        // ... and behind them a datagram, which tells that it has looked at all of them.
        marker_.call(RudeClient::socket(socket_, "Send"),
                     [](sd_bus_message* message) {
                         sd_bus_message_append(message, "sqay", "10.77.1.1", 3000, 1, 'x');
                     },
                     {});
        ask_the_bus(marker_);
        lab_.lan.bus.freeze();
        lab_.daemon.process().kill(SIGCONT);
        const bool seen = peer_.receive(lab::Deadline(soon)).has_value();
        lab_.lan.bus.thaw();
        REQUIRE(seen);
        for (const auto& [client, number] : calls) REQUIRE(client->settle(lab::Deadline(soon)));
        REQUIRE(marker_.settle(lab::Deadline(soon)));
        return answers;
    }

  private:
    /// When the bus has answered, it has passed on whatever was sent before.
    static void ask_the_bus(RudeClient& client) {
        bool answered = false;
        client.call_to("org.freedesktop.DBus",
                       {"/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId"}, {},
                       [&](const std::string&, sd_bus_message*) { answered = true; });
        while (!answered) {
            if (sd_bus_process(client.bus(), nullptr) == 0) sd_bus_wait(client.bus(), UINT64_MAX);
        }
    }

    Users& lab_;
    RudeClient& marker_;
    std::string socket_;
    lab::Peer peer_;
};

void check_calls(Users& lab, unsigned limit) {
    const auto marker = lab.client(0);
    const auto session = marker->open("eth0");
    lab::Program program(lab.lan.bus);
    lab::Diary diary;
    const auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(impnet::State::connected); }));
    Jam jam(lab, *marker, marker->open_udp(session, 0, "signal"));

    // One connection may not have more calls under way at the bus than `most_waiting`.
    const unsigned most = RudeClient::most_waiting - 1;
    const unsigned first = std::min(limit, most - 10);
    for (const auto& [name, user] : lab.users) {
        CAPTURE(name);
        const auto one = lab.client(user);
        const auto other = lab.client(user);
        const auto bystander = lab.client(user == 0 ? member : 0);
        for (auto* client : {one.get(), other.get(), bystander.get()})
            REQUIRE(client->outcome(RudeClient::manager("Open"), RudeClient::nic("eth7")) ==
                    no_such_interface);  // the daemon knows whose they are

        CHECK(jam.pile_up({{one.get(), first}, {other.get(), limit - first}}) ==
              Jam::Answers{{no_such_interface, limit}});
        CHECK(jam.pile_up({{one.get(), first}, {other.get(), limit - first + 3}}) ==
              Jam::Answers{{no_such_interface, limit}, {limit_exceeded, 3}});
        // What is answered is given back, and nobody else's number is touched.
        CHECK(
            jam.pile_up({{one.get(), first},
                         {other.get(), limit - first + 1},
                         {bystander.get(), std::min(limit, most)}}) ==
            Jam::Answers{{no_such_interface, limit + std::min(limit, most)}, {limit_exceeded, 1}});
    }
}

}  // namespace

TEST_CASE("by default a user has 64 sessions and 256 sockets, and no more", "[limits]") {
    Users lab("");
    check_sessions_and_sockets(lab, {});
}

TEST_CASE("sessions and sockets of a user are as many as are configured", "[limits]") {
    const Numbers numbers{.sessions = 3, .sockets = 5};
    Users lab(numbers.text());
    check_sessions_and_sockets(lab, numbers);
}

TEST_CASE("by default a user has 128 calls under way, and no more", "[limits]") {
    Users lab("");
    check_calls(lab, Numbers{}.calls);
}

TEST_CASE("calls of a user are as many as are configured", "[limits]") {
    const Numbers numbers{.calls = 7};
    Users lab(numbers.text());
    check_calls(lab, numbers.calls);
}

TEST_CASE("a reload changes how many calls a user may have under way", "[limits][reload]") {
    Users lab("");
    const Numbers numbers{.calls = 7};
    std::ofstream(lab.daemon.config_path()) << lab::Lan::managed(numbers.text());
    REQUIRE(lab.client(0)->outcome(RudeClient::manager("Reload")) == "ok");
    check_calls(lab, numbers.calls);
}

TEST_CASE("who is no member may open nothing, and that costs nobody else anything", "[limits]") {
    Users lab(Numbers{.sessions = 2}.text());
    const auto client_of_stranger = [&] {
        const lab::AsUser as(stranger, stranger);
        return std::make_unique<RudeClient>(lab.lan.bus);
    }();
    for (int time = 0; time < 5; ++time)
        CHECK(try_open(*client_of_stranger) == "org.impnet1.Error.NotAuthorized");
    const auto client = lab.client(member);
    CHECK(try_open(*client) == "ok");
    CHECK(try_open(*client) == "ok");
}
