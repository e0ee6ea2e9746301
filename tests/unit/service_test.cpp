// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What is told to the service manager, and what it keeps, over its real protocol.
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lab/fd_keeper.hpp"
#include "lab/loop_wait.hpp"
#include "loop/loop.hpp"
#include "service/fd_store.hpp"
#include "service/kept_value.hpp"
#include "service/notify.hpp"
#include "service/watchdog.hpp"

using namespace impnetd;
using namespace std::chrono_literals;

namespace {

using Bytes = std::vector<std::uint8_t>;

std::string fresh_address() {
    static int count = 0;
    return "@impnet-service-test-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
}

struct Supervised {
    Loop loop{[](std::string_view what) { FAIL(what); }};
    std::string address = fresh_address();
    lab::FdKeeper manager{address};
    Notify notify{loop, address};
    FdStore store{notify};

    /// The lines of the next message.
    std::vector<std::string> told() {
        std::vector<std::string> lines;
        REQUIRE(manager.receive(lines));
        return lines;
    }
    /// What the next process would be given.
    FdStore::Inherited inheritance() {
        manager.receive_all();
        FdStore::Inherited out;
        for (const auto& kept : manager.kept())
            out.emplace(kept.name, UniqueFd(::fcntl(kept.fd.get(), F_DUPFD_CLOEXEC, 0)));
        return out;
    }
};

UniqueFd some_descriptor() {
    return UniqueFd(::memfd_create("test", MFD_CLOEXEC));
}

Bytes bytes(std::size_t size, std::uint8_t first = 1) {
    Bytes out(size);
    std::iota(out.begin(), out.end(), first);
    return out;
}

}  // namespace

TEST_CASE("without a service manager nothing is told, and barriers pass", "[service]") {
    Loop loop{[](std::string_view what) { FAIL(what); }};
    Notify notify(loop, "");
    CHECK_FALSE(notify.present());
    notify.send("READY=1");
    bool passed = false;
    notify.barrier([&] { passed = true; });
    CHECK_FALSE(passed);
    CHECK(lab::run_until(loop, 1s, [&] { return passed; }));
}

TEST_CASE("what is told arrives as it was told, in order", "[service]") {
    Supervised world;
    CHECK(world.notify.present());
    world.notify.send("READY=1");
    world.notify.send("RELOADING=1\nMONOTONIC_USEC=7");
    CHECK(world.told() == std::vector<std::string>{"READY=1"});
    CHECK(world.told() == std::vector<std::string>{"RELOADING=1", "MONOTONIC_USEC=7"});
}

TEST_CASE("a service manager that is slow is waited for without blocking", "[service]") {
    Supervised world;
    constexpr int messages = 2000;  // more than a socket's queue holds
    for (int i = 0; i < messages; ++i) world.notify.send("X_COUNT=" + std::to_string(i));
    for (int i = 0; i < messages; ++i) {
        std::vector<std::string> lines;
        REQUIRE(lab::run_until(world.loop, 5s, [&] { return world.manager.receive(lines); }));
        REQUIRE(lines == std::vector<std::string>{"X_COUNT=" + std::to_string(i)});
    }
}

TEST_CASE("a barrier passes once the service manager has come to it", "[service]") {
    Supervised world;
    const auto fd = some_descriptor();
    bool settled = false;
    world.store.keep("one", {fd.get()});
    world.store.settled([&] { settled = true; });
    lab::run_for(world.loop, 50ms);
    CHECK_FALSE(settled);
    world.manager.receive_all();
    CHECK(lab::run_until(world.loop, 1s, [&] { return settled; }));
    CHECK(world.manager.count("one") == 1);
}

TEST_CASE("a service manager that hangs holds nobody up for ever", "[service]") {
    Supervised world;
    bool settled = false;
    world.store.settled([&] { settled = true; });
    CHECK(lab::run_until(world.loop, 8s, [&] { return settled; }));
}

TEST_CASE("descriptors are kept by name, each once, and dropped by name", "[service]") {
    Supervised world;
    const auto first = some_descriptor();
    const auto second = some_descriptor();
    world.store.keep("one", {first.get()});
    world.store.keep("one", {first.get(), second.get()});
    world.store.keep("other", {some_descriptor().get()});
    world.manager.receive_all();
    CHECK(world.manager.count("one") == 2);
    CHECK(world.manager.count("other") == 1);
    world.store.drop("one");
    world.manager.receive_all();
    CHECK(world.manager.count("one") == 0);
    CHECK(world.manager.count("other") == 1);
}

TEST_CASE("what was inherited is taken by name, and what nobody takes is dropped", "[service]") {
    Supervised world;
    world.store.keep("session-1", {some_descriptor().get()});
    world.store.keep("session-2", {some_descriptor().get(), some_descriptor().get()});
    world.store.keep("old", {some_descriptor().get()});
    FdStore next(world.notify, world.inheritance());
    CHECK(next.inherited("session-") == std::vector<std::string>{"session-1", "session-2"});
    CHECK(next.take("session-2").size() == 2);
    CHECK(next.take("session-2").empty());
    CHECK(next.take("none").empty());
    CHECK(next.inherited("") == std::vector<std::string>{"old", "session-1"});
    next.drop_rest();
    CHECK(next.inherited("").empty());
    world.manager.receive_all();
    CHECK(world.manager.count("session-2") == 2);
    CHECK(world.manager.count("session-1") == 0);
    CHECK(world.manager.count("old") == 0);
}

TEST_CASE("a kept value is read by the next process, and goes with its owner", "[service]") {
    Supervised world;
    {
        KeptValue value(world.store, "value");
        CHECK_FALSE(value.read());
        REQUIRE(value.write(bytes(10)));
        REQUIRE(value.write(bytes(3, 7)));
        FdStore next(world.notify, world.inheritance());
        KeptValue same(next, "value");
        CHECK(same.read() == bytes(3, 7));
        // It goes on where the last process was.
        REQUIRE(same.write(bytes(5'000)));
        CHECK(value.read() == bytes(5'000));
        world.manager.receive_all();
        CHECK(world.manager.count("value") == 1);
    }
    world.manager.receive_all();
    CHECK(world.manager.count("value") == 0);
}

TEST_CASE("a kept value that is too large changes nothing", "[service]") {
    Supervised world;
    KeptValue value(world.store, "value");
    REQUIRE(value.write(bytes(10)));
    CHECK(value.write(Bytes(KeptValue::max_size + 1)).error().code == ErrorCode::too_large);
    CHECK(value.read() == bytes(10));
    CHECK(value.write(Bytes(KeptValue::max_size)));
}

TEST_CASE("a write that was cut anywhere leaves the value before it", "[service]") {
    Supervised world;
    KeptValue value(world.store, "value");
    REQUIRE(value.write(bytes(40)));
    REQUIRE(value.write(bytes(50)));
    const auto inherited = world.inheritance();
    const int file = inherited.find("value")->second.get();
    // As if only the first octets of the second write had come through.
    Bytes whole(24 + 50);
    REQUIRE(::pread(file, whole.data(), whole.size(), 0) == static_cast<ssize_t>(whole.size()));
    const Bytes nothing(whole.size());
    for (std::size_t size = 0; size < whole.size(); ++size) {
        REQUIRE(::pwrite(file, nothing.data(), nothing.size(), 0) > 0);
        REQUIRE(::pwrite(file, whole.data(), size, 0) == static_cast<ssize_t>(size));
        REQUIRE(value.read() == bytes(40));
    }
}

TEST_CASE("the watchdog is fed twice as often as it asks, and not at all if it does not",
          "[service]") {
    Supervised world;
    SECTION("it asks") {
        const Watchdog watchdog(world.loop, world.notify, 100ms);
        for (int i = 0; i < 4; ++i) {
            std::vector<std::string> lines;
            REQUIRE(lab::run_until(world.loop, 1s, [&] { return world.manager.receive(lines); }));
            CHECK(lines == std::vector<std::string>{"WATCHDOG=1"});
        }
    }
    SECTION("it does not") {
        const Watchdog watchdog(world.loop, world.notify, 0ms);
        lab::run_for(world.loop, 50ms);
        std::vector<std::string> lines;
        CHECK_FALSE(world.manager.receive(lines));
    }
}
