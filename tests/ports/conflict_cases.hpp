// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What every ConflictPort does, as test cases that run against the fake and against real ARP: so
// the fake that other tests rely on stays honest. A scene is a port whose device has the address,
// with another host on the LAN that the case commands.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "core/conflict.hpp"

namespace ports {

using impnetd::AddressClaim;
using impnetd::ConflictPort;
using impnetd::Ipv4;
using impnetd::MacAddress;

/// What a port told, in order: "claimed, probing", "claimed", "proven".
class ConflictLog final : public ConflictPort::Observer {
  public:
    void address_claimed(const MacAddress& by, bool probing) override {
        last_claimant = by;
        add(probing ? "claimed, probing" : "claimed");
    }
    void address_proven() override { add("proven"); }

    std::vector<std::string> lines;
    MacAddress last_claimant;
    std::function<void()> on_line;

  private:
    void add(const std::string& line) {
        lines.push_back(line);
        if (on_line) on_line();
    }
};

class ConflictScene {
  public:
    virtual ~ConflictScene() = default;

    virtual ConflictPort& port() = 0;
    /// The device and its address.
    virtual AddressClaim claim() const = 0;
    virtual MacAddress other_host() const = 0;
    /// It has this address, and answers who asks.
    virtual void other_host_has(Ipv4 address) = 0;
    /// It says so unasked.
    virtual void other_host_announces(Ipv4 address) = 0;

    /// Lets time pass until so much was told. False: the limit passed first.
    virtual bool told(std::size_t count,
                      std::chrono::milliseconds limit = std::chrono::milliseconds(8'000)) = 0;

    ConflictLog log;
};

inline void conflict_cases(const std::function<std::unique_ptr<ConflictScene>()>& make) {
    using Lines = std::vector<std::string>;
    constexpr std::chrono::milliseconds while_nothing(300);
    const auto scene = make();
    auto& port = scene->port();
    const auto claim = scene->claim();
    auto in_use = claim;
    in_use.probe = false;

    SECTION("an address that nobody else has is proven, and then watched") {
        port.watch(claim);
        REQUIRE(scene->told(1));
        scene->other_host_announces(claim.address);
        REQUIRE(scene->told(2));
        CHECK(scene->log.lines == Lines{"proven", "claimed"});
        CHECK(scene->log.last_claimant == scene->other_host());
    }

    SECTION("a host that has the address shows") {
        scene->other_host_has(claim.address);
        port.watch(claim);
        REQUIRE(scene->told(1));
        CHECK(scene->log.lines[0] == "claimed, probing");
        CHECK(scene->log.last_claimant == scene->other_host());
    }

    SECTION("an address that was in use is listened for, and nobody is asked") {
        scene->other_host_has(claim.address);
        port.watch(in_use);
        CHECK_FALSE(scene->told(1, while_nothing));
        scene->other_host_announces(claim.address);
        REQUIRE(scene->told(1));
        CHECK(scene->log.lines == Lines{"claimed"});
    }

    SECTION("what others say of other addresses is not told") {
        port.watch(in_use);
        scene->other_host_announces(Ipv4(claim.address.bits() + 1));
        port.announce();
        CHECK_FALSE(scene->told(1, while_nothing));
    }

    SECTION("nothing is told after the stop") {
        scene->other_host_has(claim.address);
        port.watch(claim);
        port.stop();
        port.announce();
        CHECK_FALSE(scene->told(1, while_nothing));
    }

    SECTION("nor of an address that another one has replaced") {
        port.watch(in_use);
        CHECK_FALSE(scene->told(1, while_nothing));
        auto other = in_use;
        other.address = Ipv4(claim.address.bits() + 1);
        port.watch(other);
        scene->other_host_announces(claim.address);
        CHECK_FALSE(scene->told(1, while_nothing));
        scene->other_host_announces(other.address);
        REQUIRE(scene->told(1));
        CHECK(scene->log.lines == Lines{"claimed"});
    }

    SECTION("it can be stopped from inside what it tells") {
        scene->other_host_has(claim.address);
        scene->log.on_line = [&] { port.stop(); };
        port.watch(claim);
        REQUIRE(scene->told(1));
        CHECK_FALSE(scene->told(2, while_nothing));
    }
}

}  // namespace ports
