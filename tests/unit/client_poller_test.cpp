// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The client library's one descriptor.
#include <cstdint>
#include <thread>

#include <catch2/catch.hpp>
#include <poll.h>
#include <sys/eventfd.h>

#include "client-lib/src/descriptor.hpp"
#include "client-lib/src/poller.hpp"

using impnet::detail::Descriptor;
using impnet::detail::monotonic_usec;
using impnet::detail::Poller;
using impnet::detail::Wait;

namespace {

bool readable(const Poller& poller, int limit_ms = 0) {
    pollfd asked{.fd = poller.fd(), .events = POLLIN, .revents = 0};
    return ::poll(&asked, 1, limit_ms) == 1;
}

}  // namespace

TEST_CASE("a woken poller is readable once", "[client]") {
    Poller poller;
    CHECK_FALSE(readable(poller));
    poller.wake();
    poller.wake();
    CHECK(readable(poller));
    CHECK(poller.ready().empty());
    CHECK_FALSE(readable(poller));
}

TEST_CASE("a poller's deadline makes it readable, unless it is taken back", "[client]") {
    Poller poller;
    const auto asked = monotonic_usec();
    poller.set_deadline(asked + 20'000);
    CHECK_FALSE(readable(poller));
    CHECK(readable(poller, 5'000));
    CHECK(monotonic_usec() >= asked + 20'000);
    CHECK(poller.ready().empty());
    CHECK_FALSE(readable(poller));

    poller.set_deadline(1);  // long ago
    CHECK(readable(poller, 5'000));
    CHECK(poller.ready().empty());

    poller.set_deadline(monotonic_usec() + 20'000);
    poller.set_deadline(Poller::never);
    CHECK_FALSE(readable(poller, 50));
}

TEST_CASE("a poller tells which descriptors are ready until it is to forget them", "[client]") {
    Poller poller;
    const Descriptor event(::eventfd(1, EFD_CLOEXEC));
    poller.watch(event.get(), EPOLLIN, 42);
    REQUIRE(poller.ready().size() == 1);
    CHECK(poller.ready()[0] == 42);
    poller.change(event.get(), 0, 42);
    CHECK(poller.ready().empty());
    poller.change(event.get(), EPOLLIN, 42);
    CHECK(readable(poller));
    poller.forget(event.get());
    CHECK_FALSE(readable(poller));
}

TEST_CASE("a poller can wait by itself, for a deadline, a descriptor or a wake-up", "[client]") {
    Poller poller;
    const auto asked = monotonic_usec();
    poller.set_deadline(asked + 20'000);
    CHECK(poller.ready(Wait::yes).empty());
    CHECK(monotonic_usec() >= asked + 20'000);

    std::thread waker([&] { poller.wake(); });
    CHECK(poller.ready(Wait::yes).empty());
    waker.join();

    const Descriptor event(::eventfd(1, EFD_CLOEXEC));
    poller.watch(event.get(), EPOLLIN, 42);
    const auto ready = poller.ready(Wait::yes);
    REQUIRE(ready.size() == 1);
    CHECK(ready[0] == 42);
}
