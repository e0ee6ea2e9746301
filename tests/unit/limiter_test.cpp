// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Who counts as a client, with which share, and what of it outlives sockets and the process.
#include "datapath/limiter.hpp"

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

using impnetd::Limiter;
using impnetd::RateLimit;

namespace {

constexpr std::uint64_t second = 1'000'000'000;
constexpr std::uint64_t millisecond = 1'000'000;

struct Scene {
    explicit Scene(RateLimit limit = {}) { start(limit); }
    /// The process ends, and another one goes on.
    void start(RateLimit limit) {
        limiter.reset();
        limiter.emplace(
            limit, [this] { return now; }, *memory);
    }
    std::unique_ptr<Limiter::Member> enter(const std::string& key,
                                           std::optional<RateLimit> own = {}) {
        return std::make_unique<Limiter::Member>(*limiter, key, own);
    }

    std::uint64_t now = 100 * second;
    std::unique_ptr<Limiter::Memory> memory = std::make_unique<Limiter::Memory>();  // all zeros
    std::optional<Limiter> limiter;
};

unsigned take_all(Limiter::Member& member) {
    unsigned taken = 0;
    while (member.take() == 0) ++taken;
    return taken;
}

}  // namespace

TEST_CASE("All sockets of a client are one client", "[limiter]") {
    Scene scene;
    const auto other = scene.enter("uid:1");
    std::vector<std::unique_ptr<Limiter::Member>> many;
    many.reserve(50);
    for (int i = 0; i < 50; ++i) many.push_back(scene.enter("uid:2"));
    CHECK(scene.limiter->clients_with_a_socket() == 2);
    // One token for the other client, none for the 49 sockets.
    CHECK(take_all(*many.front()) == 99);
    CHECK(other->take() == 0);

    unsigned of_other = 0;
    unsigned of_many = 0;
    for (int step = 0; step < 200'000; ++step) {
        scene.now += millisecond;
        for (const auto& member : many) of_many += member->take() == 0 ? 1 : 0;
        of_other += other->take() == 0 ? 1 : 0;
    }
    CHECK(of_many + of_other >= 4'950);
    CHECK(of_other >= 2'450);
    CHECK(of_many >= 2'450);
}

TEST_CASE("With its last socket a client ceases to count", "[limiter]") {
    Scene scene;
    const auto one = scene.enter("uid:1");
    auto two = scene.enter("unit:echo.service");
    auto three = scene.enter("unit:echo.service");
    CHECK(scene.limiter->clients_with_a_socket() == 2);
    two.reset();
    CHECK(scene.limiter->clients_with_a_socket() == 2);
    three.reset();
    CHECK(scene.limiter->clients_with_a_socket() == 1);
    CHECK(take_all(*one) == 100);
}

TEST_CASE("Opening a socket again gains nothing", "[limiter]") {
    Scene scene({.burst = 100, .rate = 100});
    const auto honest = scene.enter("uid:1");
    unsigned of_honest = 0;
    unsigned of_other = 0;
    take_all(*honest);
    for (int step = 0; step < 30'000; ++step) {
        scene.now += millisecond;
        const auto other = scene.enter("uid:2");
        of_other += other->take() == 0 ? 1 : 0;
        of_honest += honest->take() == 0 ? 1 : 0;
    }
    CHECK(scene.limiter->clients_remembered() == 1);
    CHECK(of_other + of_honest >= 2'950);
    CHECK(of_other <= 1'515);
}

TEST_CASE("Who has left is forgotten when that makes no difference", "[limiter]") {
    Scene scene;
    for (int i = 0; i < 100; ++i) CHECK(scene.enter("uid:" + std::to_string(i))->take() == 0);
    CHECK(scene.limiter->clients_remembered() == 100);
    scene.now += 3'600 * second;
    for (int i = 100; i < 300; ++i) scene.enter("uid:" + std::to_string(i));
    CHECK(scene.limiter->clients_remembered() <= 100);
    CHECK(scene.limiter->clients_with_a_socket() == 0);
}

TEST_CASE("Clients that come and go have bounded memory", "[limiter]") {
    Scene scene({.burst = 1'000'000, .rate = 1});
    for (int i = 0; i < 50'000; ++i) {
        const auto member = scene.enter("uid:" + std::to_string(i), RateLimit{1, 0.001});
        CHECK(member->take() == 0);
    }
    CHECK(scene.limiter->clients_remembered() == Limiter::most_remembered);
    CHECK(scene.memory->used <= Limiter::most_remembered + 1);
}

TEST_CASE("There is room for as many clients as sockets, whoever was here before", "[limiter]") {
    Scene scene;
    for (int time = 0; time < 2; ++time) {
        std::vector<std::unique_ptr<Limiter::Member>> members;
        for (std::size_t i = 0; i < Limiter::most_sockets; ++i)
            members.push_back(
                scene.enter("uid:" + std::to_string(i + static_cast<std::size_t>(time) * 100'000)));
        CHECK(scene.limiter->clients_with_a_socket() == Limiter::most_sockets);
        CHECK(members.back()->take() == 0);
        CHECK(members.front()->take() == 0);
        // Killed: nobody left.
        std::vector<char> copy(sizeof(Limiter::Memory));
        std::memcpy(copy.data(), scene.memory.get(), copy.size());
        members.clear();
        std::memcpy(scene.memory.get(), copy.data(), copy.size());
        scene.start({});
        CHECK(scene.limiter->clients_with_a_socket() == 0);
        CHECK(scene.limiter->clients_remembered() >= Limiter::most_sockets);
    }
}

TEST_CASE("A key of any length is a client", "[limiter]") {
    Scene scene;
    const auto longest = scene.enter("unit:" + std::string(255, 'a'));
    const auto other = scene.enter("unit:" + std::string(254, 'a') + "b");
    const auto too_long = scene.enter(std::string(100'000, 'c'));
    CHECK(scene.limiter->clients_with_a_socket() == 3);
    CHECK(too_long->take() == 0);
}

TEST_CASE("Bucket and shares go on in the next process", "[limiter]") {
    Scene scene({.burst = 100, .rate = 100});
    auto one = scene.enter("uid:1");
    auto two = scene.enter("uid:2", RateLimit{.burst = 10, .rate = 0.1});
    CHECK(take_all(*two) == 10);
    unsigned of_one = take_all(*one);
    std::vector<char> copy(sizeof(Limiter::Memory));
    for (int time = 0; time < 50; ++time) {
        scene.now += 100 * millisecond;
        of_one += take_all(*one);
        CHECK(two->take() != 0);
        std::memcpy(copy.data(), scene.memory.get(), copy.size());
        one.reset();
        two.reset();
        std::memcpy(scene.memory.get(), copy.data(), copy.size());
        scene.start({.burst = 100, .rate = 100});
        one = scene.enter("uid:1");
        two = scene.enter("uid:2", RateLimit{.burst = 10, .rate = 0.1});
    }
    CHECK(of_one <= 590);
    CHECK(of_one >= 588);
}

TEST_CASE("Memory that holds nonsense harms nobody", "[limiter]") {
    Scene scene;
    std::memset(scene.memory.get(), 0xff, sizeof(Limiter::Memory));
    scene.memory->limit = {};
    scene.memory->bucket = {};
    scene.start({});
    const auto member = scene.enter("uid:1");
    CHECK(take_all(*member) <= 100);
}

TEST_CASE("What is given back may be taken again", "[limiter]") {
    Scene scene;
    const auto one = scene.enter("uid:1", RateLimit{.burst = 50, .rate = 1});
    for (int time = 0; time < 200; ++time) {
        CHECK(one->take(50) == 0);
        CHECK(one->take() != 0);
        one->give_back(50);
    }
    CHECK(take_all(*one) == 50);
    one->set_own_limit({});
    for (int time = 0; time < 200; ++time) {
        CHECK(one->take(50) == 0);
        CHECK(one->take() != 0);
        one->give_back(50);
    }
    CHECK(take_all(*one) == 50);

    // It counts for no share, either.
    scene.now += 100 * second;
    const auto two = scene.enter("uid:2");
    CHECK(two->take() == 0);
    for (int time = 0; time < 20; ++time) {
        CHECK(one->take(50) == 0);
        one->give_back(50);
    }
    take_all(*one);
    take_all(*two);
    unsigned of_one = 0;
    unsigned of_two = 0;
    for (int step = 0; step < 10'000; ++step) {
        scene.now += millisecond;
        of_two += two->take() == 0 ? 1 : 0;
        of_one += one->take() == 0 ? 1 : 0;
    }
    CHECK(of_one + of_two >= 249);
    CHECK(of_one >= 120);
    CHECK(of_two >= 120);
}

TEST_CASE("The wait is what a take would say, and costs nothing", "[limiter]") {
    Scene scene;
    const auto member = scene.enter("uid:1");
    for (int i = 0; i < 100; ++i) {
        CHECK(member->wait() == 0);
        CHECK(member->take() == 0);
    }
    CHECK(member->wait() == 40 * millisecond);
    CHECK(member->take() == 40 * millisecond);
    scene.now += 40 * millisecond - 1;
    CHECK(member->wait() == 1);
    scene.now += 1;
    CHECK(member->wait() == 0);
    CHECK(member->take() == 0);
    CHECK(member->take(101) == IMPNET_NEVER);
}

TEST_CASE("A client's own limit may change while it sends", "[limiter]") {
    Scene scene({.burst = 1'000, .rate = 1'000});
    const auto member = scene.enter("uid:1", RateLimit{.burst = 10, .rate = 1});
    CHECK(take_all(*member) == 10);
    member->set_own_limit(RateLimit{.burst = 20, .rate = 100});
    CHECK(take_all(*member) == 10);
    member->set_own_limit(RateLimit{.burst = 5, .rate = 0.01});
    CHECK(member->wait() == 100 * second);
    member->set_own_limit(RateLimit{.burst = 5, .rate = 10});
    CHECK(member->wait() == 100 * millisecond);
    member->set_own_limit({});
    CHECK(take_all(*member) == 980);
}

TEST_CASE("Sockets of a client have its own limit together", "[limiter]") {
    Scene scene;
    const RateLimit own{.burst = 10, .rate = 1};
    const auto first = scene.enter("uid:1", own);
    const auto second_one = scene.enter("uid:1", own);
    const auto other = scene.enter("uid:2", own);
    CHECK(take_all(*first) == 10);
    CHECK(take_all(*second_one) == 0);
    CHECK(take_all(*other) == 10);
}
