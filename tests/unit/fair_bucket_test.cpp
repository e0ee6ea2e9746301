// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The shared limiter as a pure function of its state and the time: the bound, and who gets what.
#include "core/fair_bucket.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <queue>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

using impnetd::bucket_limit;
using impnetd::RateLimit;

namespace {

constexpr std::uint64_t second = 1'000'000'000;
constexpr std::uint64_t millisecond = 1'000'000;

/// One client alone with a bucket.
class Alone {
  public:
    explicit Alone(RateLimit limit) : limit_(bucket_limit(limit)) {}

    bool take(std::uint64_t now, std::uint64_t tokens = 1) {
        return impnet_take(&limit_, 1, nullptr, &bucket_, &share_, now, tokens) == 0;
    }
    std::uint64_t wait(std::uint64_t now, std::uint64_t tokens = 1) {
        return impnet_ask(&limit_, 1, nullptr, &bucket_, &share_, now, tokens);
    }
    std::uint32_t take_all(std::uint64_t now) {
        std::uint32_t taken = 0;
        while (take(now)) ++taken;
        return taken;
    }
    const impnet_limit& limit() const { return limit_; }

  private:
    impnet_limit limit_;
    impnet_bucket bucket_{};
    impnet_share share_{};
};

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

  private:
    std::uint64_t interval_;
    std::uint64_t full_;
    std::uint64_t level_;
    std::uint64_t last_ = 0;
};

/// Whether there was a stretch of time in which more passed than burst + rate * T.
class Bound {
  public:
    explicit Bound(const impnet_limit& limit) : limit_(limit) {}

    void passed(std::uint64_t now, std::uint64_t tokens) {
        if (limit_.interval == 0) return;
        // Of all earlier beginnings of a stretch the one that makes it the worst.
        worst_ = std::min(worst_, total_ - static_cast<Wide>(now));
        total_ += static_cast<Wide>(tokens) * static_cast<Wide>(limit_.interval);
        kept_ =
            kept_ && total_ - static_cast<Wide>(now) - worst_ <= static_cast<Wide>(limit_.depth);
    }
    bool kept() const { return kept_; }

  private:
    __extension__ using Wide = __int128;
    const impnet_limit limit_;
    Wide total_ = 0;
    Wide worst_ = std::numeric_limits<std::int64_t>::max();
    bool kept_ = true;
};

/// How a client asks.
struct Habit {
    std::uint64_t period = 0;  ///< between its attempts, more or less; 0: at the time it is told
    std::uint64_t tokens = 1;
    std::uint64_t from = 0;  ///< when it begins
    std::uint64_t to = ~0ULL;
};

struct Outcome {
    std::uint64_t now = 0;
    std::size_t client = 0;
    bool passed = false;
};

/// Clients with habits and one bucket, and a clock that goes where the next attempt is.
class Crowd {
  public:
    Crowd(RateLimit limit, std::vector<Habit> habits, unsigned seed = 1)
        : limit(bucket_limit(limit)),
          given(habits.size()),
          shares(habits.size()),
          sockets(habits.size()),
          bound_(this->limit),
          habits_(std::move(habits)),
          random_(seed) {
        for (std::size_t client = 0; client < habits_.size(); ++client)
            attempts_.emplace(std::max(start, habits_[client].from + start), client);
    }

    static constexpr std::uint64_t start = 1'000 * second;

    std::uint64_t take(std::size_t client, std::uint64_t tokens = 1) {
        const std::uint64_t wait =
            impnet_take(&limit, sockets, nullptr, &bucket, &shares[client], now, tokens);
        if (wait == 0) {
            given[client] += tokens;
            bound_.passed(now, tokens);
        }
        return wait;
    }
    /// `each` is told of each attempt.
    void run(std::uint64_t time, const std::function<void(const Outcome&)>& each = {}) {
        const std::uint64_t end = now + time;
        while (!attempts_.empty() && attempts_.top().first <= end) {
            const auto [when, client] = attempts_.top();
            attempts_.pop();
            now = when;
            const Habit& habit = habits_[client];
            if (now - start >= habit.to) continue;
            const std::uint64_t wait = take(client, habit.tokens);
            if (each) each({now, client, wait == 0});
            attempts_.emplace(now + pause(habit, wait), client);
        }
        now = end;
    }
    /// What each got in this time.
    std::vector<std::uint64_t> shares_of(std::uint64_t time) {
        const auto before = given;
        run(time);
        std::vector<std::uint64_t> result;
        for (std::size_t client = 0; client < given.size(); ++client)
            result.push_back(given[client] - before[client]);
        return result;
    }
    bool kept_the_bound() const { return bound_.kept(); }
    double whole(std::uint64_t time) const {
        return static_cast<double>(time) / static_cast<double>(limit.interval);
    }

    impnet_limit limit;
    impnet_bucket bucket{};
    std::vector<std::uint64_t> given;
    std::vector<impnet_share> shares;
    std::uint64_t sockets;
    std::uint64_t now = start;

  private:
    std::uint64_t pause(const Habit& habit, std::uint64_t wait) {
        if (habit.period == 0) return std::max<std::uint64_t>(wait, 1);
        return std::uniform_int_distribution<std::uint64_t>(
            std::max<std::uint64_t>(habit.period / 2, 1), habit.period * 3 / 2)(random_);
    }

    Bound bound_;
    std::vector<Habit> habits_;
    std::mt19937_64 random_;
    using Attempt = std::pair<std::uint64_t, std::size_t>;
    std::priority_queue<Attempt, std::vector<Attempt>, std::greater<>> attempts_;
};

double jain(const std::vector<std::uint64_t>& amounts) {
    double sum = 0;
    double squares = 0;
    for (const std::uint64_t amount : amounts) {
        sum += static_cast<double>(amount);
        squares += static_cast<double>(amount) * static_cast<double>(amount);
    }
    return sum * sum / (static_cast<double>(amounts.size()) * squares);
}

double sum(const std::vector<std::uint64_t>& amounts) {
    double sum = 0;
    for (const std::uint64_t amount : amounts) sum += static_cast<double>(amount);
    return sum;
}

std::string listed(const std::vector<std::uint64_t>& amounts) {
    std::string text;
    for (const std::uint64_t amount : amounts) text += std::to_string(amount) + " ";
    return text;
}

const std::vector<RateLimit> usual_limits = {{.burst = 100, .rate = 25},
                                             {.burst = 100, .rate = 1'000},
                                             {.burst = 1'000, .rate = 50'000},
                                             {.burst = 4, .rate = 100},
                                             {.burst = 3, .rate = 100}};
/// So few tokens that the bucket cannot tell well who goes first.
const std::vector<RateLimit> tiny_bursts = {{.burst = 2, .rate = 100}, {.burst = 1, .rate = 100}};

std::string text(const RateLimit& limit) {
    return "burst " + std::to_string(limit.burst) + ", rate " + std::to_string(limit.rate);
}

}  // namespace

// --- The bucket --------------------------------------------------------------------------------

TEST_CASE("A fair bucket starts full and refills at its rate", "[fair-bucket]") {
    Alone bucket({.burst = 100, .rate = 25});
    const std::uint64_t start = 5 * second;
    CHECK(bucket.take_all(start) == 100);
    CHECK(bucket.take_all(start + second / 25 - 1) == 0);
    CHECK(bucket.take_all(start + second / 25) == 1);
    CHECK(bucket.take_all(start + 2 * second) == 49);
    CHECK(bucket.take_all(start + 3600 * second) == 100);
}

TEST_CASE("A fair bucket is full when the clock begins at zero, too", "[fair-bucket]") {
    Alone bucket({.burst = 100, .rate = 25});
    CHECK(bucket.take_all(0) == 100);
}

TEST_CASE("A take is all or nothing, and costs one token at least", "[fair-bucket]") {
    Alone bucket({.burst = 10, .rate = 1});
    CHECK(bucket.wait(0, 11) == IMPNET_NEVER);
    CHECK_FALSE(bucket.take(0, 11));
    CHECK_FALSE(bucket.take(0, std::numeric_limits<std::uint64_t>::max()));
    CHECK(bucket.take(0, 8));
    CHECK_FALSE(bucket.take(0, 3));
    CHECK(bucket.take(0, 0));
    CHECK(bucket.take(0));
    CHECK_FALSE(bucket.take(0, 0));
}

TEST_CASE("A fair bucket with one client agrees with one that is drawn with a level",
          "[fair-bucket]") {
    std::mt19937_64 random(4);
    const auto pick = [&random](std::uint64_t least, std::uint64_t most) {
        return std::uniform_int_distribution<std::uint64_t>(least, most)(random);
    };
    for (int run = 0; run < 200; ++run) {
        // Rates whose interval is a whole number of nanoseconds: both are then exact.
        const std::vector<std::uint64_t> rates = {1, 5, 25, 40, 100, 1000, 64'000, 1'000'000};
        const std::uint64_t rate = rates[pick(0, rates.size() - 1)];
        const auto burst = static_cast<std::uint32_t>(pick(1, 300));
        const std::uint64_t interval = second / rate;
        Alone bucket({.burst = burst, .rate = static_cast<double>(rate)});
        DrawnBucket drawn(interval, burst);
        Bound bound(bucket.limit());
        std::uint64_t now = pick(0, 1'000 * second);
        bool differed = false;
        for (int step = 0; step < 500; ++step) {
            // Mostly little time and now and then much, so that it is empty, full and in between.
            now += pick(0, 9) == 0 ? pick(0, interval * burst * 2) : pick(0, interval * 2);
            const auto tokens =
                static_cast<std::uint32_t>(pick(0, 4) == 0 ? pick(1, burst + 1) : 1);
            const bool would = bucket.wait(now, tokens) == 0;
            const bool taken = bucket.take(now, tokens);
            differed = differed || would != taken || taken != drawn.take(now, tokens);
            if (taken) bound.passed(now, tokens);
        }
        INFO("rate " << rate << ", burst " << burst);
        REQUIRE_FALSE(differed);
        REQUIRE(bound.kept());
    }
}

TEST_CASE("Any rate and burst keep the bound", "[fair-bucket]") {
    std::mt19937_64 random(5);
    std::uniform_real_distribution<double> exponent(-12, 11);
    for (int run = 0; run < 500; ++run) {
        const double rate = std::pow(10.0, exponent(random));
        const auto burst = static_cast<std::uint32_t>(1 + random() % 50);
        Alone bucket({.burst = burst, .rate = rate});
        const std::uint64_t start = random() % (1'000 * second);
        long double taken = bucket.take_all(start);
        REQUIRE(taken <= burst);
        for (int step = 1; step <= 50; ++step) {
            const std::uint64_t now = start + static_cast<std::uint64_t>(step) * 1'000'003;
            taken += bucket.take_all(now);
            const long double time = static_cast<long double>(now - start) / second;
            INFO("rate " << rate << ", burst " << burst << ", step " << step);
            REQUIRE(taken <= burst + static_cast<long double>(rate) * time);
        }
    }
}

TEST_CASE("Limits at the edge of what fits overflow nothing", "[fair-bucket]") {
    constexpr std::uint32_t most = std::numeric_limits<std::uint32_t>::max();
    const std::uint64_t century = std::uint64_t{100} * 365 * 24 * 3600 * second;
    for (const double rate : {1e-300, 1e-9, 1e-3, 1.0, 1e9, 1e300}) {
        for (const std::uint32_t burst : {std::uint32_t{1}, std::uint32_t{100}, most}) {
            INFO("rate " << rate << ", burst " << burst);
            Alone bucket({.burst = burst, .rate = rate});
            const std::uint64_t all = bucket.limit().depth / bucket.limit().interval;
            CHECK(all >= 1);
            CHECK(all <= burst);
            CHECK(bucket.wait(century, all + 1) == IMPNET_NEVER);
            CHECK(bucket.take(century, all));
            CHECK_FALSE(bucket.take(century));
            CHECK(bucket.wait(century) == bucket.limit().interval);

            // Everything that can be in the way of a client at once.
            const impnet_limit& limit = bucket.limit();
            impnet_bucket shared{};
            std::array<impnet_share, 2> shares{};
            const std::uint64_t crowd = std::numeric_limits<std::uint32_t>::max();
            std::uint64_t taken = 0;
            for (int i = 0; i < 1000; ++i) {
                for (auto& share : shares)
                    taken += impnet_take(&limit, crowd, nullptr, &shared, &share, century, 1) == 0;
            }
            CHECK(taken >= 1);
            CHECK(taken <= std::min<std::uint64_t>(all, 2'000));
        }
    }
}

TEST_CASE("A bucket without tokens gives none, and one without a rate gives all", "[fair-bucket]") {
    Alone none({.burst = 0, .rate = 25});
    CHECK_FALSE(none.take(second));
    CHECK(none.wait(second) == IMPNET_NEVER);
    Alone unlimited({.burst = 0, .rate = 0});
    CHECK(unlimited.take(0, 1'000'000));
    CHECK(unlimited.wait(0) == 0);
}

TEST_CASE("The wait is exactly the time until a token is there", "[fair-bucket]") {
    Alone bucket({.burst = 3, .rate = 7});
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

TEST_CASE("A clock that goes back gives nothing away", "[fair-bucket]") {
    Alone bucket({.burst = 10, .rate = 10});
    CHECK(bucket.take(100 * second, 10));
    CHECK_FALSE(bucket.take(50 * second));
    CHECK_FALSE(bucket.take(100 * second));
    CHECK(bucket.take_all(101 * second) == 10);
}

TEST_CASE("Limits are rounded to the strict side and always serve one token", "[fair-bucket]") {
    for (const std::uint32_t burst : {1U, 2U, 3U, 4U, 5U, 7U, 8U, 100U, 1'000'000U}) {
        for (const double rate : {0.001, 1.0, 3.0, 25.0, 1e3, 3e5, 1e6}) {
            INFO("burst " << burst << ", rate " << rate);
            const impnet_limit limit = bucket_limit(RateLimit{.burst = burst, .rate = rate});
            CHECK(static_cast<double>(limit.interval) >= 1e9 / rate);
            CHECK(limit.depth == burst * limit.interval);
            CHECK(limit.held_most == burst / 4 * limit.interval);
            CHECK(limit.lead_most > 0);
            if (burst > 1)
                CHECK(limit.interval + limit.held_most + 2 * limit.lead_most <= limit.depth);
        }
    }
    const impnet_limit usual = bucket_limit(RateLimit{});
    CHECK(usual.lead_most == 125 * millisecond);
    CHECK(usual.held_most == 25 * usual.interval);
}

// --- The bound, whoever asks -------------------------------------------------------------------

// NOLINTNEXTLINE(readability-function-cognitive-complexity)
TEST_CASE("Whatever clients do, no more passes than burst + rate * T in any stretch of time",
          "[fair-bucket]") {
    std::mt19937_64 random(6);
    const auto pick = [&random](std::uint64_t least, std::uint64_t most) {
        return std::uniform_int_distribution<std::uint64_t>(least, most)(random);
    };
    std::uniform_real_distribution<double> exponent(-2, 6);
    for (int run = 0; run < 300; ++run) {
        const RateLimit limits{.burst = static_cast<std::uint32_t>(pick(1, 200)),
                               .rate = std::pow(10.0, exponent(random))};
        const impnet_limit limit = bucket_limit(limits);
        const impnet_limit own = bucket_limit(
            RateLimit{.burst = static_cast<std::uint32_t>(pick(1, 50)), .rate = limits.rate / 3});
        impnet_bucket bucket{};
        std::vector<impnet_share> shares(pick(1, 40));
        Bound bound(limit);
        std::vector<Bound> own_bounds(shares.size(), Bound(own));
        std::uint64_t now = pick(0, 100) * second;
        std::uint64_t clients = shares.size();
        bool lied = false;
        for (int step = 0; step < 2'000; ++step) {
            const auto kind = pick(0, 99);
            if (kind < 2)
                now += pick(0, 2 * limit.depth);
            else if (kind < 4)
                now -= std::min(now, pick(0, 20'000));  // somebody was late
            else
                now += pick(0, limit.interval);
            const std::size_t client = pick(0, shares.size() - 1);
            auto& share = shares[client];
            if (kind == 5) clients = pick(1, shares.size());
            if (kind == 6) share = {};
            if (kind == 7) impnet_leave(&bucket, &share, now);
            const bool owned = client % 3 == 0 && kind != 6;
            const std::uint64_t tokens = pick(0, 9) == 0 ? pick(1, limits.burst + 1) : 1;
            const impnet_limit* own_limit = owned ? &own : nullptr;
            const auto asked = pick(0, 1) == 0 ? impnet_ask(&limit, clients, own_limit, &bucket,
                                                            &share, now, tokens)
                                               : 1;
            const auto wait = impnet_take(&limit, clients, own_limit, &bucket, &share, now, tokens);
            lied = lied || (asked == 0 && wait != 0);
            if (wait != 0) continue;
            if (pick(0, 9) == 0) {
                impnet_give_back(&limit, own_limit, &bucket, &share, now, tokens);
                continue;
            }
            bound.passed(now, tokens);
            if (owned) own_bounds[client].passed(now, tokens);
        }
        INFO(text(limits) << ", " << shares.size() << " clients");
        REQUIRE_FALSE(lied);
        REQUIRE(bound.kept());
    }
}

TEST_CASE("A client's own limit holds under the shared one", "[fair-bucket]") {
    const impnet_limit limit = bucket_limit(RateLimit{.burst = 100, .rate = 1'000});
    const impnet_limit own = bucket_limit(RateLimit{.burst = 5, .rate = 10});
    impnet_bucket bucket{};
    std::array<impnet_share, 2> shares{};
    std::array<std::uint64_t, 2> given{};
    Bound own_bound(own);
    for (std::uint64_t now = second; now < 11 * second; now += millisecond / 7) {
        if (impnet_take(&limit, 2, &own, &bucket, shares.data(), now, 1) == 0) {
            ++given[0];
            own_bound.passed(now, 1);
        }
        given[1] += impnet_take(&limit, 2, nullptr, &bucket, &shares[1], now, 1) == 0 ? 1 : 0;
    }
    CHECK(own_bound.kept());
    CHECK(given[0] >= 104);
    CHECK(given[0] <= 105);
    // What it may not use the other has.
    CHECK(given[1] >= 9'900);

    CHECK(impnet_ask(&limit, 2, &own, &bucket, shares.data(), 20 * second, 6) == IMPNET_NEVER);
    CHECK(impnet_take(&limit, 2, &own, &bucket, shares.data(), 20 * second, 5) == 0);
    CHECK(impnet_ask(&limit, 2, &own, &bucket, shares.data(), 20 * second, 1) == own.interval);
    // A refusal of the shared bucket costs nothing of its own.
    const std::uint64_t own_full_at = shares[1].own_full_at;
    while (impnet_take(&limit, 2, &own, &bucket, shares.data(), 30 * second, 1) == 0) continue;
    while (impnet_take(&limit, 2, nullptr, &bucket, &shares[1], 30 * second, 1) == 0) continue;
    CHECK(shares[1].own_full_at == own_full_at);
}

TEST_CASE("An own limit holds where the shared one is unlimited", "[fair-bucket]") {
    const impnet_limit limit = bucket_limit(RateLimit{.burst = 1, .rate = 0});
    const impnet_limit own = bucket_limit(RateLimit{.burst = 5, .rate = 10});
    impnet_bucket bucket{};
    impnet_share share{};
    unsigned given = 0;
    while (impnet_take(&limit, 9, &own, &bucket, &share, second, 1) == 0) ++given;
    CHECK(given == 5);
    CHECK(impnet_take(&limit, 9, nullptr, &bucket, &share, second, 1'000) == 0);
}

// --- Shares ------------------------------------------------------------------------------------

TEST_CASE("One client alone gets all", "[fair-bucket]") {
    auto limits = usual_limits;
    limits.insert(limits.end(), tiny_bursts.begin(), tiny_bursts.end());
    for (const RateLimit& limit : limits) {
        INFO(text(limit));
        const std::uint64_t interval = bucket_limit(limit).interval;
        Crowd crowd(limit, {{.period = interval / 5}});
        crowd.run(interval * limit.burst * 2);
        CHECK(sum(crowd.given) >= limit.burst);
        const std::uint64_t time = 500 * interval;
        CHECK(sum(crowd.shares_of(time)) >= 0.98 * crowd.whole(time) * (limit.burst > 1 ? 1 : 0.8));
        CHECK(crowd.kept_the_bound());
    }
}

TEST_CASE("Clients that want more than there is get equal shares, however fast they ask",
          "[fair-bucket]") {
    for (const RateLimit& limit : usual_limits) {
        for (const std::size_t k : {2U, 7U, 32U}) {
            const std::uint64_t interval = bucket_limit(limit).interval;
            const std::uint64_t share = interval * k;
            std::vector<std::pair<std::string, std::vector<Habit>>> crowds(5);
            crowds[0].first = "all very fast";
            crowds[1].first = "from very fast to twice their share";
            crowds[2].first = "one is slow";
            crowds[3].first = "all wait as long as they are told";
            crowds[4].first = "half of them wait as long as they are told";
            for (std::size_t i = 0; i < k; ++i) {
                const double place = static_cast<double>(i) / static_cast<double>(k - 1);
                const auto fastest = static_cast<double>(interval) / 4;
                const auto slowest = static_cast<double>(share) / 2;
                const Habit fast{.period = interval / 4};
                const Habit polite{.from = i};
                crowds[0].second.push_back(fast);
                crowds[1].second.push_back({.period = static_cast<std::uint64_t>(
                                                fastest * std::pow(slowest / fastest, place))});
                crowds[2].second.push_back(i == 0 ? Habit{.period = share / 2} : fast);
                crowds[3].second.push_back(polite);
                crowds[4].second.push_back(i % 2 == 0 ? fast : polite);
            }
            for (const auto& [name, habits] : crowds) {
                Crowd crowd(limit, habits, static_cast<unsigned>(k));
                // Drained.
                crowd.run(bucket_limit(limit).depth + 2 * k * bucket_limit(limit).lead_most +
                          2 * share);
                const std::uint64_t time = 20 * share;
                const auto shares = crowd.shares_of(time);
                INFO(text(limit) << ", " << k << " clients, " << name << ": " << listed(shares));
                CHECK(jain(shares) >= 0.98);
                CHECK(sum(shares) + 1 >= 0.98 * crowd.whole(time));
                CHECK(crowd.kept_the_bound());
            }
        }
    }
}

TEST_CASE("The rate is used even if the burst is too small for equal shares", "[fair-bucket]") {
    for (const RateLimit& limit : tiny_bursts) {
        const std::uint64_t interval = bucket_limit(limit).interval;
        for (const std::size_t k : {2U, 8U, 32U}) {
            std::vector<Habit> habits(k, {.period = interval / 5});
            habits[1].period = interval * k / 2;
            Crowd crowd(limit, habits);
            crowd.run(20 * interval * k);
            const std::uint64_t time = 30 * interval * k;
            const auto shares = crowd.shares_of(time);
            INFO(text(limit) << ", " << k << " clients: " << listed(shares));
            CHECK(sum(shares) >= (limit.burst > 1 ? 0.98 : 0.8) * crowd.whole(time));
            CHECK(crowd.kept_the_bound());
        }
    }
}

TEST_CASE("A client that makes pauses gets no more than one that does not", "[fair-bucket]") {
    const RateLimit limit{.burst = 100, .rate = 100};
    for (const std::uint64_t pause : {300 * millisecond, 600 * millisecond, second, 3 * second}) {
        for (const std::size_t k : {2U, 8U, 32U}) {
            // Number 0 asks like mad for a little, and then not at all.
            std::vector<Habit> habits(k, {.period = 3 * millisecond});
            habits[0] = {.to = 0};
            Crowd crowd(limit, habits);
            crowd.run(2 * second);
            const auto before = crowd.given;
            const std::uint64_t begin = crowd.now;
            while (crowd.now < begin + 30 * second) {
                crowd.run(pause);
                for (int i = 0; i < 100; ++i) crowd.take(0);
                crowd.run(50 * millisecond);
                for (int i = 0; i < 100; ++i) crowd.take(0);
            }
            const auto got = static_cast<double>(crowd.given[0] - before[0]);
            const double fair = crowd.whole(crowd.now - begin) / static_cast<double>(k);
            INFO("pauses of " << pause / millisecond << " ms, " << k << " clients: " << got
                              << " of " << fair);
            CHECK(got <= fair * 1.05 + 15);
            CHECK(crowd.kept_the_bound());
        }
    }
}

TEST_CASE("Of segmented and single sends each client gets the same", "[fair-bucket]") {
    const RateLimit limit{.burst = 200, .rate = 10'000};
    const std::uint64_t interval = bucket_limit(limit).interval;
    for (const std::uint64_t segments : {4U, 16U, 64U}) {
        Crowd crowd(limit, {{.period = interval / 3},
                            {.period = interval / 3, .tokens = segments},
                            {.period = interval, .tokens = segments / 2}});
        crowd.run(second);
        const auto shares = crowd.shares_of(4 * second);
        INFO(segments << " segments: " << listed(shares));
        CHECK(jain(shares) >= 0.98);
        CHECK(sum(shares) >= 0.97 * crowd.whole(4 * second));
        CHECK(crowd.kept_the_bound());
    }
}

// --- Quiet clients -----------------------------------------------------------------------------

TEST_CASE("A quiet client's datagram passes at once though others flood", "[fair-bucket]") {
    for (const RateLimit& limit : usual_limits) {
        if (limit.burst < 4) continue;  // there is no quarter of it
        if (limit.rate > 1'000) continue;
        for (const std::size_t k : {1U, 2U, 8U, 31U}) {
            const std::uint64_t interval = bucket_limit(limit).interval;
            std::vector<Habit> habits(k, {.period = interval / 2});
            habits.push_back({.to = 0});
            Crowd crowd(limit, habits);
            unsigned refused = 0;
            for (int time = 0; time < 20; ++time) {
                // Quiet means: long enough to have less than its share.
                crowd.run(std::max(second, interval * (k + 2) * 2) +
                          12'345'678 * static_cast<std::uint64_t>(time));
                if (crowd.take(k) != 0) ++refused;
            }
            INFO(text(limit) << ", " << k << " flooding");
            CHECK(refused == 0);
            CHECK(crowd.kept_the_bound());
        }
    }
}

TEST_CASE("For quiet clients one token each is held back, but no more than a quarter",
          "[fair-bucket]") {
    for (const std::size_t quiet : {0U, 1U, 5U, 25U, 26U, 1'000U}) {
        Crowd crowd({.burst = 100, .rate = 25}, std::vector<Habit>(quiet + 1, {.to = 0}));
        unsigned taken = 0;
        while (crowd.take(0) == 0) ++taken;
        CHECK(taken == 100 - std::min<std::size_t>(quiet, 25));
        // All of them at once; and who had his has to wait like everybody.
        std::size_t passed = 0;
        for (std::size_t client = 1; client <= quiet; ++client)
            passed += crowd.take(client) == 0 ? 1 : 0;
        CHECK(passed == std::min<std::size_t>(quiet, 25));
        if (quiet > 0) CHECK(crowd.take(1) != 0);
    }
}

TEST_CASE("Asking without taking makes nobody less quiet", "[fair-bucket]") {
    Crowd crowd({.burst = 100, .rate = 25}, std::vector<Habit>(2, {.to = 0}));
    for (int i = 0; i < 1'000; ++i) {
        CHECK(impnet_ask(&crowd.limit, 2, nullptr, &crowd.bucket, &crowd.shares[1], crowd.now, 1) ==
              0);
        crowd.take(0);
    }
    CHECK(crowd.given[0] == 99);
    CHECK(crowd.take(1) == 0);
    CHECK(crowd.take(1) != 0);
}

TEST_CASE("A send of many segments may not take what is held back, and does not wait in vain",
          "[fair-bucket]") {
    Crowd crowd({.burst = 100, .rate = 25}, std::vector<Habit>(31, {.to = 0}));
    CHECK(crowd.take(0, 76) == IMPNET_NEVER);
    CHECK(crowd.take(0, 75) == 0);
    CHECK(crowd.take(1) == 0);
    const std::uint64_t wait = crowd.take(0, 75);
    CHECK(wait > 0);
    CHECK(wait <= 4 * second);
    crowd.now += 4 * second;
    CHECK(crowd.take(0, 75) == 0);
}

TEST_CASE("With others about, a send of a whole bucket passes when there is one", "[fair-bucket]") {
    Crowd crowd({.burst = 64, .rate = 1'000}, std::vector<Habit>(2, {.to = 0}));
    while (crowd.take(0) == 0) continue;
    while (crowd.take(1) == 0) continue;
    crowd.take(0);
    crowd.now += 64 * millisecond;
    CHECK(crowd.take(1, 64) == 0);
}

// --- What some leave unused --------------------------------------------------------------------

TEST_CASE("What clients leave unused the others have within a second", "[fair-bucket]") {
    const RateLimit limit{.burst = 100, .rate = 100};
    for (const std::size_t k : {2U, 8U, 32U}) {
        // All but one stop after five seconds; in one run as ghosts with their sockets open.
        std::vector<Habit> habits(k, {.period = millisecond, .from = 0, .to = 5 * second});
        habits[0].to = ~0ULL;
        Crowd crowd(limit, habits);
        crowd.run(5 * second);
        crowd.run(second);
        const auto shares = crowd.shares_of(second);
        INFO(k << " clients: " << listed(shares));
        CHECK(shares[0] >= 97);
        // And within the first second, most of it.
        Crowd again(limit, habits);
        again.run(5 * second);
        CHECK(again.shares_of(second)[0] >= 65);
        CHECK(crowd.kept_the_bound());
    }
}

TEST_CASE("A client that asks for little does not hold the others back", "[fair-bucket]") {
    const RateLimit limit{.burst = 100, .rate = 100};
    for (const std::size_t k : {2U, 8U, 32U}) {
        // Number 0 asks three times a second and is always active.
        std::vector<Habit> habits(k, {.period = millisecond});
        habits[0].period = second / 3;
        if (k > 2) habits[1].period = second / 5;
        Crowd crowd(limit, habits);
        crowd.run(10 * second);
        const auto shares = crowd.shares_of(20 * second);
        INFO(k << " clients: " << listed(shares));
        CHECK(sum(shares) >= 0.99 * crowd.whole(20 * second));
        if (k < 32) CHECK(shares[0] >= 55);  // it gets whatever it asks for
        const std::vector<std::uint64_t> flooding(shares.begin() + (k > 2 ? 2 : 1), shares.end());
        CHECK(jain(flooding) >= 0.98);
        CHECK(crowd.kept_the_bound());
    }
}

TEST_CASE("Clients that ask once and vanish cost nobody anything for longer than a second",
          "[fair-bucket]") {
    const RateLimit limit{.burst = 100, .rate = 100};
    std::vector<Habit> habits(300, {.period = second, .from = 0, .to = 1});
    habits[0] = {.period = millisecond};
    Crowd crowd(limit, habits);
    crowd.run(millisecond);
    crowd.sockets = 1;  // they have closed theirs, and nobody said so
    crowd.run(second);
    const auto shares = crowd.shares_of(second);
    CHECK(shares[0] >= 97);

    // Who would have waited for long is not waited for when he goes.
    Crowd leaving({.burst = 100, .rate = 10}, std::vector<Habit>(2, {.to = 0}));
    while (leaving.take(0) == 0) continue;
    leaving.take(1);
    CHECK(leaving.take(1, 50) > second);
    impnet_leave(&leaving.bucket, &leaving.shares[1], leaving.now);
    leaving.sockets = 1;
    const std::uint64_t soon = leaving.now + second;
    CHECK(impnet_active(&leaving.bucket, impnet_epoch_of(leaving.now)) == 2);
    CHECK(impnet_active(&leaving.bucket, impnet_epoch_of(soon)) == 0);
}

TEST_CASE("A client that leaves and comes back gains nothing", "[fair-bucket]") {
    const RateLimit limit{.burst = 100, .rate = 100};
    Crowd crowd(limit, {{.period = millisecond}, {.period = millisecond}, {.to = 0}});
    crowd.run(3 * second);
    const auto before = crowd.given;
    for (int time = 0; time < 3'000; ++time) {
        crowd.run(10 * millisecond);
        crowd.take(2);
        impnet_leave(&crowd.bucket, &crowd.shares[2], crowd.now);
    }
    const auto got = static_cast<double>(crowd.given[2] - before[2]);
    CHECK(got <= 1'000 * 1.05 + 15);
    CHECK(crowd.kept_the_bound());
}

TEST_CASE("A newcomer has its share, and no more, from the start", "[fair-bucket]") {
    const RateLimit limit{.burst = 100, .rate = 100};
    Crowd crowd(limit, {{.period = millisecond},
                        {.period = millisecond},
                        {.period = millisecond},
                        {.period = millisecond, .from = 10 * second}});
    crowd.run(10 * second);
    const auto shares = crowd.shares_of(2 * second);
    INFO(listed(shares));
    CHECK(shares[3] >= 45);
    CHECK(shares[3] <= 75);
}

// --- Time --------------------------------------------------------------------------------------

TEST_CASE("After any time a client is served as if it were the first", "[fair-bucket]") {
    const RateLimit limit{.burst = 100, .rate = 25};
    for (const unsigned gap : {30U, 32U, 42U, 50U, 60U}) {
        Crowd crowd(limit, std::vector<Habit>(3, {.period = millisecond, .from = 0, .to = second}));
        crowd.run(2 * second);
        crowd.now += (std::uint64_t{1} << gap) + 4 * second;
        crowd.given.assign(3, 0);
        crowd.sockets = 1;
        while (crowd.take(0) == 0) continue;
        CHECK(crowd.given[0] == 100);
        crowd.sockets = 3;
        CHECK(crowd.kept_the_bound());
    }
}

TEST_CASE("Shares are equal wherever the clock begins", "[fair-bucket]") {
    // Also where 32 bits of an epoch's number end.
    for (const std::uint64_t begin :
         {0ULL, (1ULL << 59) - 2 * second, (1ULL << 60) - 2 * second, 1ULL << 62}) {
        const impnet_limit limit = bucket_limit(RateLimit{.burst = 100, .rate = 1'000});
        impnet_bucket bucket{};
        std::array<impnet_share, 4> shares{};
        std::vector<std::uint64_t> given(4);
        Bound bound(limit);
        std::uint64_t total_after_drain = 0;
        for (std::uint64_t step = 0; step < 40'000; ++step) {
            const std::uint64_t now = begin + step * millisecond / 10;
            // The first asks seven times as often as the last.
            const std::size_t client =
                std::array<std::size_t, 12>{0, 1, 0, 2, 0, 1, 0, 3, 0, 1, 0, 0}.at(step % 12);
            if (impnet_take(&limit, 4, nullptr, &bucket, &shares.at(client), now, 1) != 0) continue;
            bound.passed(now, 1);
            if (step < 5'000) continue;
            ++given[client];
            ++total_after_drain;
        }
        INFO("from " << begin << ": " << listed(given));
        CHECK(jain(given) >= 0.98);
        CHECK(total_after_drain >= 3'450);
        CHECK(bound.kept());
    }
}

// --- Other limits from now on ------------------------------------------------------------------

TEST_CASE("What is spent stays spent when the limits change", "[fair-bucket]") {
    const std::uint64_t now = 100 * second;
    const auto left_after = [now](RateLimit first, std::uint64_t spent, RateLimit then) {
        impnet_limit limit = bucket_limit(first);
        impnet_bucket bucket{};
        impnet_share share{};
        for (std::uint64_t i = 0; i < spent; ++i)
            REQUIRE(impnet_take(&limit, 1, nullptr, &bucket, &share, now, 1) == 0);
        const impnet_limit next = bucket_limit(then);
        bucket.full_at = impnetd::full_at_after_change(bucket.full_at, limit, next, now);
        unsigned left = 0;
        while (left < 10'000 && impnet_take(&next, 1, nullptr, &bucket, &share, now, 1) == 0)
            ++left;
        return left;
    };
    const RateLimit usual{.burst = 100, .rate = 25};
    CHECK(left_after(usual, 30, usual) == 70);
    CHECK(left_after(usual, 0, {.burst = 10, .rate = 25}) == 10);
    CHECK(left_after(usual, 30, {.burst = 200, .rate = 25}) == 170);
    CHECK(left_after(usual, 30, {.burst = 100, .rate = 1'000}) == 70);
    CHECK(left_after({.burst = 100, .rate = 1'000}, 100, usual) == 0);
    CHECK(left_after({.burst = 100, .rate = 0.001}, 100, usual) == 0);
    CHECK(left_after(usual, 30, {.burst = 10, .rate = 25}) == 0);
    CHECK(left_after(usual, 3, {.burst = 10, .rate = 3}) == 7);
    CHECK(left_after(usual, 30, {.burst = 100, .rate = 0}) == 10'000);
    CHECK(left_after({.burst = 100, .rate = 0}, 30, usual) == 100);
    CHECK(left_after({.burst = 1'000'000, .rate = 1e-9}, 1, {.burst = 2, .rate = 1e-300}) == 0);
}

TEST_CASE("A bucket whose limits change at random keeps the bound of the larger ones",
          "[fair-bucket]") {
    std::mt19937_64 random(7);
    const auto pick = [&random](std::uint64_t least, std::uint64_t most) {
        return std::uniform_int_distribution<std::uint64_t>(least, most)(random);
    };
    for (int run = 0; run < 100; ++run) {
        impnet_limit limit = bucket_limit(RateLimit{.burst = 50, .rate = 1'000});
        impnet_bucket bucket{};
        std::vector<impnet_share> shares(5);
        // Intervals are never shorter, and bursts never larger, than these.
        Bound bound(bucket_limit(RateLimit{.burst = 100, .rate = 1'000}));
        std::uint64_t now = second;
        bool starved = true;
        for (int step = 0; step < 3'000; ++step) {
            now += pick(0, limit.interval);
            if (pick(0, 99) == 0) {
                const impnet_limit next =
                    bucket_limit(RateLimit{.burst = static_cast<std::uint32_t>(pick(1, 100)),
                                           .rate = static_cast<double>(pick(1, 1'000))});
                bucket.full_at = impnetd::full_at_after_change(bucket.full_at, limit, next, now);
                limit = next;
            }
            auto& share = shares[pick(0, shares.size() - 1)];
            if (impnet_take(&limit, 5, nullptr, &bucket, &share, now, 1) != 0) continue;
            bound.passed(now, 1);
            starved = starved && step < 2'500;
        }
        CHECK(bound.kept());
        CHECK_FALSE(starved);
    }
}

TEST_CASE("Shares are equal again soon after the limits have changed", "[fair-bucket]") {
    Crowd crowd(
        {.burst = 100, .rate = 25},
        {{.period = millisecond / 10}, {.period = millisecond}, {.period = millisecond / 3}});
    crowd.run(10 * second);
    const impnet_limit next = bucket_limit(RateLimit{.burst = 1'000, .rate = 900});
    crowd.bucket.full_at =
        impnetd::full_at_after_change(crowd.bucket.full_at, crowd.limit, next, crowd.now);
    crowd.limit = next;
    crowd.run(second);
    const auto shares = crowd.shares_of(5 * second);
    INFO(listed(shares));
    CHECK(jain(shares) >= 0.98);
    CHECK(sum(shares) >= 0.98 * 4'500);
}
