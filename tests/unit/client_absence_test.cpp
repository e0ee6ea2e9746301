// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the client library knows of time and news while a daemon is away.
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "client-lib/src/absence.hpp"
#include "client-lib/src/last_report.hpp"
#include "client-lib/src/pause.hpp"

using impnet::State;
using impnet::StateChange;
using impnet::detail::Absence;
using impnet::detail::LastReport;
using impnet::detail::Pause;

namespace {

constexpr std::uint64_t second = 1'000'000;
constexpr std::uint64_t lost = 100 * second;

StateChange report(State state, State previous, int usec) {
    return {.state = state,
            .previous = previous,
            .time = std::chrono::steady_clock::time_point(std::chrono::microseconds(usec)),
            .reason = "because"};
}

}  // namespace

TEST_CASE("a pause doubles up to its limit, until it is reset", "[client]") {
    Pause pause(100, 1'000);
    std::vector<std::uint64_t> pauses;
    pauses.reserve(6);
    for (int i = 0; i < 6; ++i) pauses.push_back(pause.next());
    CHECK(pauses == std::vector<std::uint64_t>{100, 200, 400, 800, 1'000, 1'000});
    pause.reset();
    CHECK(pause.next() == 100);
}

TEST_CASE("an absent session waits for a daemon, and for no longer than 30 s", "[client]") {
    Absence absence(lost, 30 * second);
    CHECK_FALSE(absence.asks(lost + 29 * second));
    CHECK(absence.deadline() == lost + 30 * second);
    CHECK_FALSE(absence.over(lost + 30 * second - 1));
    CHECK(absence.over(lost + 30 * second));
}

TEST_CASE("a daemon that comes is asked once, and again if it puts it off", "[client]") {
    Absence absence(lost, 30 * second);
    std::uint64_t now = lost + second;
    absence.daemon_came(now);
    CHECK(absence.deadline() == now);
    CHECK(absence.asks(now));
    absence.asked();
    CHECK_FALSE(absence.asks(now + 20 * second));

    std::vector<std::uint64_t> pauses;
    for (int i = 0; i < 8; ++i) {
        absence.put_off(now);
        const auto next = absence.deadline();
        CHECK_FALSE(absence.asks(next - 1));
        CHECK(absence.asks(next));
        absence.asked();
        pauses.push_back(next - now);
        now = next;
    }
    CHECK(pauses == std::vector<std::uint64_t>{20'000, 40'000, 80'000, 160'000, 320'000, 640'000,
                                               second, second});
}

TEST_CASE("a daemon that leaves again is not waited for any longer, its successor is asked at once",
          "[client]") {
    Absence absence(lost, 30 * second);
    absence.daemon_came(lost + second);
    absence.asked();
    absence.put_off(lost + 2 * second);
    absence.daemon_left();
    CHECK_FALSE(absence.asks(lost + 20 * second));
    CHECK(absence.deadline() == lost + 30 * second);  // not from the second loss
    absence.daemon_came(lost + 21 * second);
    CHECK(absence.asks(lost + 21 * second));
    absence.put_off(lost + 21 * second);
    CHECK(absence.deadline() == lost + 21 * second + 20'000);
}

TEST_CASE("a report is news if its state is another one", "[client]") {
    LastReport last;
    CHECK(last.state() == State::unknown);
    CHECK_FALSE(last.take(report(State::unknown, State::unknown, 1)));
    const auto first = last.take(report(State::starting, State::unknown, 2));
    REQUIRE(first);
    CHECK(first->reason == "because");
    CHECK(last.state() == State::starting);
    CHECK_FALSE(last.take(report(State::starting, State::starting, 3)));
    CHECK_FALSE(last.take(report(State::starting, State::connected, 3)));
}

TEST_CASE("the previous state is the one that was told last", "[client]") {
    LastReport last;
    CHECK(last.take(report(State::connected, State::ethernet_dhcping, 1))->previous ==
          State::unknown);
    const auto change = last.take(report(State::starting, State::ethernet_stopped_no_link, 2));
    REQUIRE(change);
    CHECK(change->previous == State::connected);
    CHECK(change->state == State::starting);
}

TEST_CASE("steps that were told before are not told again, the present state always is",
          "[client]") {
    LastReport last;
    CHECK(last.take(report(State::starting, State::unknown, 10)));
    CHECK(last.take(report(State::connected, State::starting, 20)));
    CHECK_FALSE(last.take(report(State::starting, State::unknown, 10)));
    CHECK_FALSE(last.take(report(State::connected, State::starting, 20)));
    CHECK(last.take(report(State::ethernet_stopped_no_link, State::connected, 20)));
    const auto present = last.take(report(State::connected, State::connected, 5));
    REQUIRE(present);
    CHECK(present->previous == State::ethernet_stopped_no_link);
}

TEST_CASE("the last report is told whatever was told before", "[client]") {
    LastReport last;
    const auto end = last.note(report(State::unknown, State::unknown, 1));
    CHECK(end.state == State::unknown);
    CHECK(end.previous == State::unknown);
}
