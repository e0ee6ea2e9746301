// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <catch2/catch.hpp>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath/relay/batch.hpp"
#include "loop/unique_fd.hpp"

using namespace impnetd;
using relay::Batch;
using Bytes = std::vector<std::uint8_t>;

namespace {

constexpr std::size_t kib = 1024;

struct Pair {
    UniqueFd ours;
    UniqueFd theirs;
};

Pair make_pair_of_sockets() {
    int ends[2] = {-1, -1};
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

void write(const UniqueFd& fd, std::size_t size, std::uint8_t value) {
    const Bytes bytes(size, value);
    REQUIRE(::send(fd.get(), bytes.data(), size, 0) == static_cast<ssize_t>(size));
}

/// How much of a batch's memory is really there. Its slots begin at that of the first message.
std::size_t resident(const Batch& batch) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const auto* memory = const_cast<std::uint8_t*>(batch.frame(0).data());
    const std::size_t pages = (Batch::capacity * (65536 + 64) + page - 1) / page;
    std::vector<unsigned char> present(pages);
    REQUIRE(::mincore(const_cast<std::uint8_t*>(memory), pages * page, present.data()) == 0);
    std::size_t count = 0;
    for (const unsigned char each : present) count += each & 1U;
    return count * page;
}

}  // namespace

TEST_CASE("A batch receives up to 64 messages, each whole", "[relay]") {
    const Pair pair = make_pair_of_sockets();
    const auto batch = std::make_unique<Batch>();
    CHECK(batch->receive_frames(pair.ours.get()).error == EAGAIN);
    for (std::size_t i = 0; i < 70; ++i) write(pair.theirs, 16 + i, static_cast<std::uint8_t>(i));
    REQUIRE(batch->receive_frames(pair.ours.get()).count == 64);
    for (std::size_t slot = 0; slot < 64; ++slot) {
        const auto frame = batch->frame(slot);
        REQUIRE(Bytes(frame.begin(), frame.end()) ==
                Bytes(16 + slot, static_cast<std::uint8_t>(slot)));
    }
    CHECK(batch->receive_frames(pair.ours.get()).count == 6);
}

TEST_CASE("A message that is too large shows it by its size", "[relay]") {
    const Pair pair = make_pair_of_sockets();
    const auto batch = std::make_unique<Batch>();
    write(pair.theirs, relay::max_frame, 1);
    write(pair.theirs, relay::max_frame + 1, 2);
    write(pair.theirs, 80'000, 3);
    REQUIRE(batch->receive_frames(pair.ours.get()).count == 3);
    CHECK(batch->frame(0).size() == relay::max_frame);
    CHECK(batch->frame(1).size() > relay::max_frame);
    CHECK(batch->frame(2).size() > relay::max_frame);
}

TEST_CASE("A message that was put back is as it was, also if it was too large", "[relay]") {
    const Pair pair = make_pair_of_sockets();
    const auto batch = std::make_unique<Batch>();
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{16}, relay::max_frame, relay::max_frame + 1}) {
        const Bytes bytes(size, 7);
        batch->restore(5, bytes);
        const auto frame = batch->frame(5);
        CHECK((Bytes(frame.begin(), frame.end()) == bytes));
    }
    batch->restore(5, Bytes(100'000, 7));
    CHECK(batch->frame(5).size() > relay::max_frame);
}

TEST_CASE("The end of the stream is an empty message", "[relay]") {
    Pair pair = make_pair_of_sockets();
    const auto batch = std::make_unique<Batch>();
    write(pair.theirs, 20, 1);
    pair.theirs.reset();
    REQUIRE(batch->receive_frames(pair.ours.get()).count >= 2);
    CHECK(batch->frame(0).size() == 20);
    CHECK(batch->frame(1).empty());
}

TEST_CASE("A batch keeps little memory, also after many large messages in every slot", "[relay]") {
    const Pair pair = make_pair_of_sockets();
    const auto batch = std::make_unique<Batch>();
    CHECK(resident(*batch) == 0);
    for (int i = 0; i < 64; ++i) write(pair.theirs, 1400, 1);
    REQUIRE(batch->receive_frames(pair.ours.get()).count == 64);
    CHECK(resident(*batch) > 0);
    CHECK(resident(*batch) <= 512 * kib);

    std::size_t most = 0;
    for (int before = 0; before < 62; ++before) {
        for (int i = 0; i < before; ++i) write(pair.theirs, 20, 1);
        write(pair.theirs, relay::max_frame, 2);
        REQUIRE(batch->receive_frames(pair.ours.get()).count ==
                static_cast<std::size_t>(before) + 1);
        most = std::max(most, resident(*batch));
    }
    CHECK(most >= 512 * kib);
    CHECK(most <= 1280 * kib);
}
