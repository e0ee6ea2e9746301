// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The client library's store of datagrams that could not be delivered yet.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "client-lib/src/backlog.hpp"

using impnet::Datagram;
using impnet::detail::Backlog;

namespace {

Datagram numbered(std::uint16_t number, std::span<const std::byte> data) {
    return {.from = {}, .from_port = number, .to = {}, .to_port = 0, .data = data};
}

}  // namespace

TEST_CASE("a backlog gives datagrams back in order, with data of their own", "[client]") {
    Backlog backlog;
    std::vector<std::byte> data(3, std::byte{7});
    backlog.push(numbered(1, data));
    data.assign(3, std::byte{8});
    backlog.push(numbered(2, data));
    data.assign(3, std::byte{9});

    const auto first = backlog.take();
    CHECK(first.view().from_port == 1);
    CHECK(first.view().data.size() == 3);
    CHECK(first.view().data[0] == std::byte{7});
    const auto second = backlog.take();
    CHECK(second.view().from_port == 2);
    CHECK(second.view().data[0] == std::byte{8});
    CHECK(backlog.empty());
}

TEST_CASE("what is put back comes first again", "[client]") {
    Backlog backlog;
    backlog.push(numbered(3, {}));
    const std::vector<Datagram> taken = {numbered(1, {}), numbered(2, {})};
    backlog.put_back(taken);
    REQUIRE(backlog.size() == 3);
    for (std::uint16_t expected = 1; expected <= 3; ++expected)
        CHECK(backlog.take().view().from_port == expected);
}

TEST_CASE("a full backlog drops and counts, and has room again when it was emptied", "[client]") {
    const std::vector<std::byte> data(1000);
    Backlog backlog(4000);
    for (std::uint16_t i = 0; i < 10; ++i) backlog.push(numbered(i, data));
    CHECK(backlog.size() == 3);  // each costs its bookkeeping, too
    CHECK(backlog.dropped() == 7);
    while (!backlog.empty()) static_cast<void>(backlog.take());
    for (std::uint16_t i = 0; i < 3; ++i) backlog.push(numbered(i, data));
    CHECK(backlog.size() == 3);
    backlog.clear();
    CHECK(backlog.empty());
    CHECK(backlog.dropped() == 7);
}
