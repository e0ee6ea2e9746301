// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the kernel's programs compute is what the daemon's own code says: the rate limit and the
// judgement of destinations, on the same random input, step by step.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <catch2/catch.hpp>

#include "comparison.skel.h"
#include "core/datagram_policy.hpp"
#include "core/fair_bucket.hpp"
#include "datapath/kernel/kernel_socket.hpp"
#include "netns/comparison.h"

namespace {

using impnetd::EgressVerdict;
using impnetd::Ipv4;
using impnetd::Ipv4Network;
using impnetd::RateLimit;
using impnetd::SocketPolicy;

class Chance {
  public:
    explicit Chance(std::uint64_t seed) : engine_(seed) {}

    /// Below `end`.
    std::uint64_t below(std::uint64_t end) { return engine_() % end; }
    bool one_in(std::uint64_t count) { return below(count) == 0; }
    std::uint32_t bits() { return static_cast<std::uint32_t>(engine_()); }
    /// Of any magnitude up to so many bits, each as likely.
    std::uint64_t magnitude(unsigned bits) { return engine_() >> (64 - 1 - below(bits)); }
    template <typename Range>
    auto any_of(const Range& range) {
        return *(std::begin(range) + static_cast<std::ptrdiff_t>(below(std::size(range))));
    }

  private:
    std::mt19937_64 engine_;
};

/// The programs of comparison.bpf.c in the kernel.
class Kernel {
  public:
    Kernel() : skeleton_(impnet_comparison__open_and_load()) { REQUIRE(skeleton_ != nullptr); }
    ~Kernel() { impnet_comparison__destroy(skeleton_); }
    Kernel(const Kernel&) = delete;
    Kernel& operator=(const Kernel&) = delete;

    void compute(std::vector<comparison_event>& batch) const {
        exchange(skeleton_->progs.compare_limits, skeleton_->maps.asked, batch);
    }
    void compute(std::vector<comparison_datagram>& batch) const {
        exchange(skeleton_->progs.compare_judge, skeleton_->maps.datagrams, batch);
    }
    void set(const comparison_limits& limits) const { put(skeleton_->maps.limits, 0, limits); }
    void set(const impnet_settings& settings) const { put(skeleton_->maps.settings, 0, settings); }

  private:
    template <typename T>
    static void put(const bpf_map* map, std::uint32_t key, const T& value) {
        REQUIRE(::bpf_map_update_elem(bpf_map__fd(map), &key, &value, BPF_ANY) == 0);
    }
    template <typename T>
    static void exchange(const bpf_program* program, const bpf_map* map, std::vector<T>& batch) {
        REQUIRE(batch.size() == COMPARISON_BATCH);
        for (std::uint32_t i = 0; i < batch.size(); ++i) put(map, i, batch[i]);
        bpf_test_run_opts options{};
        options.sz = sizeof(options);
        REQUIRE(::bpf_prog_test_run_opts(bpf_program__fd(program), &options) == 0);
        REQUIRE(options.retval == COMPARISON_BATCH);
        for (std::uint32_t i = 0; i < batch.size(); ++i)
            REQUIRE(::bpf_map_lookup_elem(bpf_map__fd(map), &i, &batch[i]) == 0);
    }

    impnet_comparison* skeleton_;
};

template <typename T>
bool same(const T& a, const T& b) {
    return std::memcmp(&a, &b, sizeof(T)) == 0;
}

/// The limiter as the daemon computes it.
struct Model {
    impnet_bucket bucket{};
    std::array<impnet_share, COMPARISON_CLIENTS> shares{};

    void compute(const comparison_limits& limits, comparison_event& event) {
        const impnet_limit own = event.limited != 0 ? limits.own : impnet_limit{};
        auto& share = shares.at(event.client);
        event.wait = (event.take != 0 ? impnet_take : impnet_ask)(
            &limits.shared, event.clients, &own, &bucket, &share, event.now, event.tokens);
        event.bucket = bucket;
        event.share = share;
    }
};

Ipv4 random_address(Chance& chance) {
    const std::uint32_t any = chance.bits();
    switch (chance.below(5)) {
        case 0:
            return Ipv4(10U << 24 | any >> 8);
        case 1:
            return Ipv4(0xac1U << 20 | any >> 12);
        case 2:
            return Ipv4(0xc0a8U << 16 | any >> 16);
        case 3:
            return Ipv4(0xffffffff);
        default:
            return Ipv4(any);
    }
}

Ipv4Network random_network(Chance& chance, Ipv4 around) {
    const auto prefix = static_cast<std::uint8_t>(chance.below(33));
    const Ipv4Network wide{around, prefix};
    return {wide.network(), prefix};
}

/// Where datagrams go: to what is special about a network, and to anywhere.
Ipv4 random_destination(Chance& chance, const Ipv4Network& network,
                        const std::vector<Ipv4Network>& extra) {
    const std::uint32_t host = chance.bits() & ~network.netmask().bits();
    switch (chance.below(8)) {
        case 0:
            return network.address;
        case 1:
            return network.network();
        case 2:
            return Ipv4(network.address.bits() | ~network.netmask().bits());
        case 3:
            return Ipv4(0xffffffff);
        case 4:
            if (!extra.empty()) {
                const auto one = chance.any_of(extra);
                return Ipv4(one.network().bits() | (chance.bits() & ~one.netmask().bits()));
            }
            [[fallthrough]];
        case 5:
        case 6:
            return Ipv4(network.network().bits() | host);
        default:
            return random_address(chance);
    }
}

std::uint16_t random_port(Chance& chance) {
    constexpr std::array<std::uint16_t, 8> special = {0, 1, 66, 67, 68, 69, 4000, 65535};
    return chance.one_in(2) ? chance.any_of(special) : static_cast<std::uint16_t>(chance.bits());
}

SocketPolicy random_policy(Chance& chance, Ipv4 around) {
    SocketPolicy policy;
    const auto count = chance.one_in(2) ? 0 : chance.below(SocketPolicy::max_destinations + 1);
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto a = random_port(chance);
        const auto b = random_port(chance);
        policy.destinations.push_back(
            {.network = random_network(chance, chance.one_in(4) ? random_address(chance) : around),
             .first_port = std::min(a, b),
             .last_port = std::max(a, b),
             .allow = chance.one_in(2),
             .rule = "rule"});
    }
    return policy;
}

/// The verdicts of judge.bpf.h, in their order.
enum class Verdict : std::uint32_t { pass, not_connected, forbidden_address, forbidden_port };

Verdict verdict_of(EgressVerdict verdict) {
    switch (verdict) {
        case EgressVerdict::pass:
            return Verdict::pass;
        case EgressVerdict::not_connected:
            return Verdict::not_connected;
        case EgressVerdict::forbidden_port:
            return Verdict::forbidden_port;
        case EgressVerdict::forbidden_address:
        case EgressVerdict::denied_by_rule:
        case EgressVerdict::too_large:  // which is not asked here
            break;
    }
    return Verdict::forbidden_address;
}

/// Some time after `now`, which it becomes.
comparison_event random_event(Chance& chance, const impnet_limit& shared, std::uint64_t& now) {
    // From nothing to a minute, in the steps that matter for this limit.
    now += chance.one_in(3) ? 0 : chance.magnitude(36);
    if (shared.interval != 0 && chance.one_in(2)) now += chance.below(shared.interval);
    constexpr std::uint64_t clients = COMPARISON_CLIENTS;
    comparison_event event{};
    event.now = now;
    event.tokens = chance.one_in(8) ? 1 + chance.below(130) : 1;
    event.client = static_cast<std::uint32_t>(chance.below(clients));
    event.clients = static_cast<std::uint32_t>(chance.below(clients * 2));
    event.take = chance.one_in(3) ? 0 : 1;
    event.limited = chance.one_in(4) ? 1 : 0;
    return event;
}

}  // namespace

TEST_CASE("the kernel's rate limit and the daemon's agree at every step", "[kernel][model]") {
    const Kernel kernel;
    Model model;
    Chance chance(GENERATE(1, 2, 3, 4));
    constexpr std::array<RateLimit, 6> limits = {
        RateLimit{.burst = 100, .rate = 25},     RateLimit{.burst = 1, .rate = 1'000},
        RateLimit{.burst = 64, .rate = 300'000}, RateLimit{.burst = 7, .rate = 0.5},
        RateLimit{.burst = 1'000, .rate = 1e9},  RateLimit{.burst = 1, .rate = 0}};
    std::uint64_t now = 1'000'000'000'000;
    std::size_t granted = 0;
    std::size_t refused = 0;
    for (int round = 0; round < 25; ++round) {
        const comparison_limits both{.shared = impnetd::bucket_limit(chance.any_of(limits)),
                                     .own = impnetd::bucket_limit(chance.any_of(limits))};
        kernel.set(both);
        std::vector<comparison_event> batch(COMPARISON_BATCH);
        for (auto& event : batch) event = random_event(chance, both.shared, now);
        auto expected = batch;
        for (auto& event : expected) model.compute(both, event);
        kernel.compute(batch);
        for (std::size_t i = 0; i < batch.size(); ++i) {
            INFO("round " << round << ", event " << i);
            REQUIRE(batch[i].wait == expected[i].wait);
            REQUIRE(same(batch[i].bucket, expected[i].bucket));
            REQUIRE(same(batch[i].share, expected[i].share));
            ++(batch[i].wait == 0 ? granted : refused);
        }
    }
    CHECK(granted > 5'000);
    CHECK(refused > 1'000);
}

TEST_CASE("the kernel's judgement of a destination is the daemon's", "[kernel][model]") {
    const Kernel kernel;
    Chance chance(GENERATE(11, 12, 13, 14));
    std::array<std::size_t, 4> seen{};
    for (int round = 0; round < 25; ++round) {
        std::vector<Ipv4Network> extra;
        impnet_settings settings{};
        settings.current_widening = static_cast<std::uint32_t>(chance.below(IMPNET_VERSIONS));
        auto& widening = settings.widenings[settings.current_widening];
        for (auto left = chance.below(IMPNET_EXTRA_NETWORKS + 1); left > 0; --left) {
            extra.push_back(random_network(chance, random_address(chance)));
            widening.networks[widening.count++] = {extra.back().network().network_order(),
                                                   extra.back().netmask().network_order()};
        }
        kernel.set(settings);
        std::vector<comparison_datagram> batch(COMPARISON_BATCH);
        std::vector<Verdict> expected;
        for (auto& datagram : batch) {
            const auto prefix = static_cast<std::uint8_t>(chance.below(33));
            const Ipv4Network network{random_address(chance), prefix};
            const bool connected = !chance.one_in(6);
            const Ipv4 to = random_destination(chance, network, extra);
            const std::uint16_t port = random_port(chance);
            const auto policy = random_policy(chance, to);
            datagram = {};
            datagram.to = to.network_order();
            datagram.port = port;
            if (connected) {
                datagram.facts = {.ifindex = 1,
                                  .connected = 1,
                                  .address = network.address.network_order(),
                                  .netmask = network.netmask().network_order(),
                                  .broadcast = 0};
                if (const auto broadcast = network.broadcast())
                    datagram.facts.broadcast = broadcast->network_order();
            }
            impnetd::kernel::write_policy(policy, datagram.orders);
            expected.push_back(verdict_of(
                judge_egress({.network = connected ? std::optional(network) : std::nullopt,
                              .extra_networks = extra,
                              .destinations = policy.destinations},
                             to, port, 0)));
        }
        kernel.compute(batch);
        for (std::size_t i = 0; i < batch.size(); ++i) {
            INFO("round " << round << ", datagram " << i << " to "
                          << Ipv4::from_network_order(batch[i].to).text() << ":" << batch[i].port);
            REQUIRE(Verdict{batch[i].verdict} == expected[i]);
            ++seen.at(batch[i].verdict);
        }
    }
    for (const auto count : seen) CHECK(count > 500);
}
