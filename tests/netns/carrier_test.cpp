// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A cable that is pulled and put back faster than the kernel tells of carriers.
#include <catch2/catch.hpp>

#include "lab/lab.hpp"
#include "lab/program.hpp"

using namespace std::chrono_literals;
using impnet::State;
using lab::Steps;

TEST_CASE("a cable that is out for a moment only is reported, and the lease renewed", "[opening]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0");
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(5s, [&] { return diary.is(State::connected); }));

    // The kernel takes the first two for one event, and waits a second before it tells of the next.
    for (int round = 0; round < 3; ++round) {
        diary.clear();
        lan.cable.pull();
        lan.cable.plug();
        REQUIRE(program.until(10s, [&] { return diary.is(State::connected); }));
        CHECK(diary.steps() == Steps{{1, 204}, {204, 0}, {0, 200}, {200, 201}, {201, 1}});
    }
}
