// SPDX-License-Identifier: LGPL-2.1-or-later
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "log/flood_gate.hpp"

using namespace impnetd::log;

namespace {

using Held = FloodGate::Held;

constexpr Event denied = "open_denied";
constexpr Event fault = "fault";
constexpr std::uint64_t second = 1'000'000'000;
static_assert(denied.most() == 10);
static_assert(FloodGate::window == 30 * second);

/// How many of `lines` pass.
int admitted(FloodGate& gate, Event event, const std::string& subject, std::uint64_t now,
             int lines) {
    int passed = 0;
    for (int i = 0; i < lines; ++i) passed += gate.admit(event, subject, now) ? 1 : 0;
    return passed;
}

}  // namespace

TEST_CASE("of ten thousand denials in one window ten are logged, and the rest is counted",
          "[log]") {
    FloodGate gate;
    CHECK(admitted(gate, denied, "client_uid=1000", 0, 10'000) == 10);
    CHECK(gate.close_windows(30 * second - 1).empty());
    CHECK(gate.close_windows(30 * second) ==
          std::vector{Held{{"open_denied", "client_uid=1000"}, 9'990}});
    CHECK(gate.close_windows(60 * second).empty());  // told once
    CHECK(gate.size() == 0);
}

TEST_CASE("a window begins with its first line, and the next one with the next line", "[log]") {
    FloodGate gate;
    CHECK(gate.admit(denied, "client_uid=1000", 100 * second));
    CHECK(admitted(gate, denied, "client_uid=1000", 130 * second - 1, 10) == 9);
    CHECK(gate.close_windows(130 * second) ==
          std::vector{Held{{"open_denied", "client_uid=1000"}, 1}});
    CHECK(admitted(gate, denied, "client_uid=1000", 200 * second, 11) == 10);
    CHECK(gate.close_windows(230 * second - 1).empty());
    CHECK(gate.close_windows(230 * second).size() == 1);
}

TEST_CASE("a window that held nothing back has nothing to tell", "[log]") {
    FloodGate gate;
    CHECK(admitted(gate, denied, "client_uid=1000", 0, 10) == 10);
    CHECK(gate.size() == 1);
    CHECK(gate.close_windows(30 * second).empty());
    CHECK(gate.size() == 0);
}

TEST_CASE("one client's flood silences neither another client nor another event", "[log]") {
    FloodGate gate;
    CHECK(admitted(gate, denied, "client_uid=1000", 0, 500) == 10);
    CHECK(admitted(gate, denied, "client_uid=1001", 0, 20) == 10);
    CHECK(admitted(gate, fault, "client_uid=1000", 0, 30) == 10);
    CHECK(admitted(gate, fault, "", 0, 40) == 10);
    CHECK(gate.close_all() == std::vector{Held{{"open_denied", "client_uid=1000"}, 490},
                                          Held{{"open_denied", "client_uid=1001"}, 10},
                                          Held{{"fault", "client_uid=1000"}, 20},
                                          Held{{"fault", ""}, 30}});
    CHECK(gate.size() == 0);
}

TEST_CASE("each event has its own limit, and some have none", "[log]") {
    FloodGate gate;
    CHECK(admitted(gate, "state", "interface=eth0", 0, 1'000) == 300);
    CHECK(admitted(gate, "session_opened", "client_uid=0", 0, 1'000) == 60);
    CHECK(admitted(gate, "started", "", 0, 1'000) == 1'000);
    CHECK(gate.size() == 2);
}

TEST_CASE("a hundred thousand subjects take no more memory than a few hundred", "[log]") {
    FloodGate gate;
    int passed = 0;
    for (int uid = 0; uid < 100'000; ++uid) {
        passed += admitted(gate, denied, "client_uid=" + std::to_string(uid), 0, 1);
        passed += admitted(gate, fault, "client_uid=" + std::to_string(uid), 0, 1);
    }
    // 128 uids with both events; of the others 10 of each event.
    CHECK(gate.size() == FloodGate::capacity + 2);
    CHECK(passed == static_cast<int>(FloodGate::capacity) + 20);
    CHECK(gate.close_windows(30 * second) ==
          std::vector{Held{{"open_denied", "others"}, 100'000 - 128 - 10},
                      Held{{"fault", "others"}, 100'000 - 128 - 10}});
    CHECK(gate.size() == 0);
    CHECK(gate.admit(denied, "client_uid=99999", 30 * second));
}
