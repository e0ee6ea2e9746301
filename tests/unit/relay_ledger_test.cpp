// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the relay counts outlives the process, and costs no more memory than there are sockets.
#include <cstdint>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "datapath/relay/ledger.hpp"

using namespace impnetd;
using relay::Ledger;

namespace {

UniqueFd copy_of(const Ledger& ledger) {
    return UniqueFd(::fcntl(ledger.fd(), F_DUPFD_CLOEXEC, 0));
}

long pages_of(const Ledger& ledger) {
    struct stat status {};
    REQUIRE(::fstat(ledger.fd(), &status) == 0);
    return status.st_blocks * 512 / ::sysconf(_SC_PAGESIZE);
}

Ledger::Account opened(Ledger& ledger, std::uint64_t socket) {
    auto account = ledger.open(socket);
    REQUIRE(account);
    return std::move(*account);
}

}  // namespace

TEST_CASE("what one process counted the next one goes on with", "[relay]") {
    Ledger first;
    const auto one = opened(first, 7);
    const auto two = opened(first, 8);
    one->counters.sent = 3;
    two->counters.received = 5;
    two->drops_while_deaf = 2;
    first.limiter().bucket.full_at = 123;
    first.limiter().clients[1'000].share.given = 456;

    Ledger second(copy_of(first));
    CHECK(second.limiter().bucket.full_at == 123);
    CHECK(second.limiter().clients[1'000].share.given == 456);
    const auto known = second.reopen(8);
    CHECK((*known)->counters.received == 5);
    CHECK((*known)->drops_while_deaf == 2);
    const auto unknown = second.reopen(9);
    CHECK((*unknown)->counters.received == 0);
    {
        // Nothing is lost by a process that ends before it has asked for all.
        Ledger another(copy_of(second));
        CHECK((*another.reopen(7))->counters.sent == 3);
    }
    // What nobody asked for before there are new ones is forgotten.
    opened(second, 10);
    Ledger third(copy_of(second));
    CHECK((*third.reopen(7))->counters.sent == 0);
}

TEST_CASE("memory of another kind is left alone, and a new one is made", "[relay]") {
    UniqueFd other(::memfd_create("test", MFD_CLOEXEC));
    REQUIRE(::ftruncate(other.get(), 4096) == 0);
    Ledger ledger(std::move(other));
    CHECK(ledger.limiter().bucket.full_at == 0);
    CHECK(ledger.open(1));
}

TEST_CASE("there are as many entries as it says, and each is free again when it is closed",
          "[relay]") {
    Ledger ledger;
    std::vector<Ledger::Account> accounts;
    accounts.reserve(Ledger::capacity);
    for (std::size_t i = 1; i <= Ledger::capacity; ++i) accounts.push_back(opened(ledger, i));
    CHECK(ledger.open(1'000'000).error().code == ErrorCode::limit_exceeded);
    accounts.pop_back();
    CHECK(opened(ledger, 1'000'001)->socket == 1'000'001);
}

TEST_CASE("sockets that come and go take the memory of those that are there", "[relay]") {
    Ledger ledger;
    for (std::uint64_t i = 1; i <= 10'000; ++i) opened(ledger, i);
    CHECK(pages_of(ledger) <= 2);
    const Ledger next(copy_of(ledger));
    CHECK(pages_of(next) <= 2);
}
