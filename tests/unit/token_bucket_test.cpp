// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/token_bucket.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include <catch2/catch.hpp>

using impnetd::TokenBucket;

namespace {

constexpr std::uint64_t second = 1'000'000'000;

/// The bucket as one would draw it: a level that rises all the time, counted in whole numbers, one
/// token being as many units as it takes nanoseconds to refill.
class DrawnBucket {
  public:
    DrawnBucket(std::uint64_t interval, std::uint32_t burst)
        : interval_(interval), full_(interval * burst), level_(full_) {}

    bool take(std::uint64_t now, std::uint32_t tokens) {
        level_ = std::min(full_, level_ + (now - last_));
        last_ = now;
        if (level_ < interval_ * tokens) return false;
        level_ -= interval_ * tokens;
        return true;
    }
    std::uint64_t tokens(std::uint64_t now) const {
        return std::min(full_, level_ + (now - last_)) / interval_;
    }

  private:
    std::uint64_t interval_;
    std::uint64_t full_;
    std::uint64_t level_;
    std::uint64_t last_ = 0;
};

std::uint32_t take_all(TokenBucket& bucket, std::uint64_t now) {
    std::uint32_t taken = 0;
    while (bucket.take(now)) ++taken;
    return taken;
}

}  // namespace

TEST_CASE("A token bucket starts full and refills at its rate", "[token-bucket]") {
    TokenBucket bucket({.burst = 100, .rate = 25});
    const std::uint64_t start = 5 * second;
    CHECK(take_all(bucket, start) == 100);
    CHECK(take_all(bucket, start + second / 25 - 1) == 0);
    CHECK(take_all(bucket, start + second / 25) == 1);
    CHECK(take_all(bucket, start + 2 * second) == 49);
    CHECK(take_all(bucket, start + 3600 * second) == 100);
}

TEST_CASE("A token bucket is full when the clock begins at zero, too", "[token-bucket]") {
    TokenBucket bucket({.burst = 100, .rate = 25});
    CHECK(take_all(bucket, 0) == 100);
}

TEST_CASE("A take is all or nothing", "[token-bucket]") {
    TokenBucket bucket({.burst = 10, .rate = 1});
    CHECK_FALSE(bucket.take(0, 11));
    CHECK_FALSE(bucket.take(0, std::numeric_limits<std::uint32_t>::max()));
    CHECK(bucket.take(0, 8));
    CHECK_FALSE(bucket.take(0, 3));
    CHECK(bucket.take(0, 2));
    CHECK_FALSE(bucket.take(0));
    CHECK(bucket.take(0, 0));
}

TEST_CASE("A token bucket agrees with one that is drawn with a level", "[token-bucket]") {
    std::mt19937_64 random(Catch::rngSeed());
    const auto pick = [&random](std::uint64_t least, std::uint64_t most) {
        return std::uniform_int_distribution<std::uint64_t>(least, most)(random);
    };
    for (int run = 0; run < 200; ++run) {
        // Rates whose interval is a whole number of nanoseconds: both are then exact.
        const std::vector<std::uint64_t> rates = {1, 5, 25, 40, 100, 1000, 64'000, 1'000'000};
        const std::uint64_t rate = rates[pick(0, rates.size() - 1)];
        const auto burst = static_cast<std::uint32_t>(pick(1, 300));
        const std::uint64_t interval = second / rate;
        TokenBucket bucket({.burst = burst, .rate = static_cast<double>(rate)});
        DrawnBucket drawn(interval, burst);

        struct Given {
            std::uint64_t at;
            std::uint64_t total;
        };
        std::vector<Given> given;
        std::uint64_t now = pick(0, 1'000 * second);
        std::uint64_t total = 0;
        bool exceeded = false;
        bool differed = false;
        for (int step = 0; step < 500; ++step) {
            // Mostly little time and now and then much, so that it is empty, full and in between.
            now += pick(0, 9) == 0 ? pick(0, interval * burst * 2) : pick(0, interval * 2);
            const auto tokens =
                static_cast<std::uint32_t>(pick(0, 4) == 0 ? pick(1, burst + 1) : 1);
            differed = differed || bucket.available(now) != drawn.tokens(now);
            const bool taken = bucket.take(now, tokens);
            differed = differed || taken != drawn.take(now, tokens);
            if (!taken) continue;
            // Over each stretch of time that ends here: burst + rate * T at most.
            for (const Given& before : given) {
                const std::uint64_t passed = total + tokens - before.total;
                exceeded = exceeded || passed > burst + (now - before.at) / interval;
            }
            given.push_back({now, total});
            total += tokens;
        }
        INFO("rate " << rate << ", burst " << burst);
        REQUIRE_FALSE(differed);
        REQUIRE_FALSE(exceeded);
    }
}

TEST_CASE("Any rate and burst keep the bound", "[token-bucket]") {
    std::mt19937_64 random(Catch::rngSeed());
    std::uniform_real_distribution<double> exponent(-12, 11);
    for (int run = 0; run < 500; ++run) {
        const double rate = std::pow(10.0, exponent(random));
        const auto burst = static_cast<std::uint32_t>(1 + random() % 50);
        TokenBucket bucket({.burst = burst, .rate = rate});
        const std::uint64_t start = random() % (1'000 * second);
        long double taken = take_all(bucket, start);
        REQUIRE(taken <= burst);
        for (int step = 1; step <= 50; ++step) {
            const std::uint64_t now = start + static_cast<std::uint64_t>(step) * 1'000'003;
            taken += take_all(bucket, now);
            const long double time = static_cast<long double>(now - start) / second;
            INFO("rate " << rate << ", burst " << burst << ", step " << step);
            REQUIRE(taken <= burst + static_cast<long double>(rate) * time);
        }
    }
}

TEST_CASE("Limits at the edge of what fits overflow nothing", "[token-bucket]") {
    constexpr std::uint32_t most = std::numeric_limits<std::uint32_t>::max();
    const std::uint64_t century = std::uint64_t{100} * 365 * 24 * 3600 * second;
    for (const double rate : {1e-300, 1e-9, 1e-3, 1.0, 1e9, 1e300}) {
        for (const std::uint32_t burst : {std::uint32_t{1}, std::uint32_t{100}, most}) {
            INFO("rate " << rate << ", burst " << burst);
            TokenBucket bucket({.burst = burst, .rate = rate});
            const std::uint32_t first = bucket.available(century);
            CHECK(first >= 1);
            CHECK(first <= burst);
            CHECK(bucket.take(century, first));
            CHECK(bucket.available(century) == 0);
            CHECK_FALSE(bucket.take(century));
            CHECK(bucket.wait(century) > 0);
        }
    }
}

TEST_CASE("A bucket without tokens gives none, and one without a rate gives all",
          "[token-bucket]") {
    TokenBucket none({.burst = 0, .rate = 25});
    CHECK_FALSE(none.take(second));
    CHECK(none.available(second) == 0);
    TokenBucket unlimited({.burst = 0, .rate = 0});
    CHECK(unlimited.take(0, 1'000'000));
    CHECK(unlimited.available(0) == std::numeric_limits<std::uint32_t>::max());
    CHECK(unlimited.wait(0) == 0);
}

TEST_CASE("The wait is exactly the time until a token is there", "[token-bucket]") {
    TokenBucket bucket({.burst = 3, .rate = 7});
    std::uint64_t now = second;
    CHECK(bucket.wait(now) == 0);
    for (int i = 0; i < 20; ++i) {
        while (bucket.take(now)) continue;
        const std::uint64_t wait = bucket.wait(now);
        REQUIRE(wait > 0);
        REQUIRE_FALSE(bucket.take(now + wait - 1));
        REQUIRE(bucket.take(now + wait));
        now += wait;
    }
}

TEST_CASE("A clock that goes back gives nothing away", "[token-bucket]") {
    TokenBucket bucket({.burst = 10, .rate = 10});
    CHECK(bucket.take(100 * second, 10));
    CHECK_FALSE(bucket.take(50 * second));
    CHECK(take_all(bucket, 101 * second) == 10);
}
