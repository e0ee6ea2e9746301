// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The kernel path on real cables: the cases of every data path, and what its clients can ask.
#include <cerrno>
#include <memory>

#include <catch2/catch.hpp>
#include <sys/socket.h>

#include "kernel.h"
#include "netns/kernel_scene.hpp"

using namespace ports;

TEST_CASE("The kernel path does what data paths do", "[data-path]") {
    socket_cases([] { return std::make_unique<KernelScene>(); });
}

TEST_CASE("The kernel path does on the wire what data paths do", "[data-path]") {
    wire_cases([] { return std::make_unique<KernelScene>(); });
}

TEST_CASE("A client of the kernel path can ask how long to wait", "[data-path]") {
    KernelScene scene;
    const auto socket = scene.open(2001, Delivery::descriptor);
    const auto client = KernelScene::acquire_socket(*socket);
    const auto wait = [&] {
        std::uint64_t nanoseconds = ~0ULL;
        socklen_t size = sizeof(nanoseconds);
        REQUIRE(::getsockopt(client->fd(), IMPNET_SOL, IMPNET_SO_WAIT, &nanoseconds, &size) == 0);
        REQUIRE(size == sizeof(nanoseconds));
        return nanoseconds;
    };
    CHECK(wait() == 0);
    for (int i = 0; i < 100; ++i)
        REQUIRE(client->send_raw(DataPathScene::peer(), DataPathScene::peer_port, {}) == 0);
    CHECK(client->send_raw(DataPathScene::peer(), DataPathScene::peer_port, {}) == EAGAIN);
    CHECK(wait() > 39'000'000'000);
    CHECK(wait() <= 40'000'000'000);
    scene.elapse(Milliseconds(40));
    CHECK(wait() == 0);
    CHECK(client->send_raw(DataPathScene::peer(), DataPathScene::peer_port, {}) == 0);
}
