// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What every LeasePort does, as test cases that run against the fake and against udhcpc with a real
// DHCP server: so the fake that other tests rely on stays honest. A scene is a port with a server
// that the case commands, and a log of what the port reported.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "core/lease.hpp"
#include "loop/loop.hpp"

namespace ports {

using impnetd::Ipv4;
using impnetd::Ipv4Network;
using impnetd::Lease;
using impnetd::LeasePort;
using impnetd::LeaseRequest;
using Milliseconds = std::chrono::milliseconds;

struct LeaseReport {
    enum class Kind { obtained, lost, refused };
    Kind kind = Kind::obtained;
    Lease lease{};
    std::string reason{};
};

inline std::ostream& operator<<(std::ostream& out, const LeaseReport& report) {
    switch (report.kind) {
        case LeaseReport::Kind::obtained:
            return out << "obtained " << report.lease.network.text();
        case LeaseReport::Kind::lost:
            return out << "lost: " << report.reason;
        case LeaseReport::Kind::refused:
            return out << "refused: " << report.reason;
    }
    return out;
}

/// What a port reported, in order.
class LeaseLog final : public LeasePort::Observer {
  public:
    void lease_obtained(const Lease& lease) override {
        // When it was obtained is the port's affair: leases are compared without.
        auto timeless = lease;
        timeless.obtained_usec = 0;
        add({LeaseReport::Kind::obtained, timeless, ""});
    }
    void lease_lost(const std::string& reason) override {
        add({LeaseReport::Kind::lost, {}, reason});
    }
    void lease_refused(const std::string& reason) override {
        add({LeaseReport::Kind::refused, {}, reason});
    }

    std::vector<LeaseReport> reports;
    /// Called with each report, as the owner of a port would act on it.
    std::function<void(const LeaseReport&)> on_report;

  private:
    void add(const LeaseReport& report) {
        reports.push_back(report);
        if (on_report) on_report(report);
    }
};

class LeaseScene {
  public:
    virtual ~LeaseScene() = default;

    virtual LeasePort& port() = 0;
    virtual LeaseRequest request() const = 0;
    /// The lease that the server grants for `address`.
    virtual Lease lease(Ipv4 address) const = 0;

    /// The server answers from now on and has this address to give. It remembers no lease, and
    /// refuses any other address.
    virtual void serve(Ipv4 address) = 0;
    /// The server answers from now on, and remembers what it gave.
    virtual void resume() = 0;
    virtual void silence() = 0;
    /// The DHCP client dies of something that is nobody's fault here.
    virtual void kill_client() = 0;

    /// Lets time pass until there are `count` reports. False: the limit passed first.
    virtual bool reported(std::size_t count, Milliseconds limit = Milliseconds(5'000)) = 0;

    LeaseLog log;
};

using MakeScene = std::function<std::unique_ptr<LeaseScene>()>;

inline void lease_cases(const MakeScene& make_scene) {
    using Kind = LeaseReport::Kind;
    constexpr Milliseconds while_nothing(700);
    const Ipv4 address(10, 77, 1, 100);
    const Ipv4 other(10, 77, 1, 120);

    const auto scene = make_scene();
    auto& log = scene->log.reports;
    const auto obtain = [&] {
        scene->serve(address);
        scene->port().start(scene->request());
        REQUIRE(scene->reported(1));
        REQUIRE(log[0].kind == Kind::obtained);
        REQUIRE(log[0].lease.network.address == address);
    };

    SECTION("a lease is obtained with all that came with it") {
        obtain();
        CHECK(log[0].lease == scene->lease(address));
    }

    SECTION("nothing is reported before the start") {
        scene->serve(address);
        scene->port().renew();
        CHECK_FALSE(scene->reported(1, while_nothing));
    }

    SECTION("a server that is silent is waited for") {
        scene->serve(address);
        scene->silence();
        scene->port().start(scene->request());
        REQUIRE_FALSE(scene->reported(1, while_nothing));
        scene->resume();
        REQUIRE(scene->reported(1));
        CHECK(log[0].lease.network.address == address);
    }

    SECTION("a lease is confirmed when it is renewed") {
        obtain();
        scene->port().renew();
        REQUIRE(scene->reported(2));
        CHECK(log[1].kind == Kind::obtained);
        CHECK(log[1].lease == scene->lease(address));
    }

    SECTION("renewing again and again ends with the lease confirmed") {
        obtain();
        for (int i = 0; i < 3; ++i) scene->port().renew();
        REQUIRE(scene->reported(2));
        CHECK(log.back().lease == scene->lease(address));
    }

    SECTION("a lease is kept while its server is silent, and confirmed once that answers") {
        obtain();
        scene->silence();
        scene->port().renew();
        REQUIRE_FALSE(scene->reported(2, while_nothing));
        scene->resume();
        REQUIRE(scene->reported(2));
        CHECK(log[1].kind == Kind::obtained);
        CHECK(log[1].lease.network.address == address);
    }

    SECTION("where another server answers, the lease changes") {
        obtain();
        scene->silence();
        scene->port().renew();
        REQUIRE_FALSE(scene->reported(2, while_nothing));
        scene->serve(other);
        REQUIRE(scene->reported(2));
        CHECK(log[1].kind == Kind::obtained);
        CHECK(log[1].lease == scene->lease(other));
    }

    SECTION("a lease that the server refuses to renew is lost, and another one is found") {
        obtain();
        scene->serve(other);
        scene->port().renew();
        REQUIRE(scene->reported(3, Milliseconds(2'000)));
        CHECK(log[1].kind == Kind::lost);
        CHECK_FALSE(log[1].reason.empty());
        CHECK(log[2].kind == Kind::obtained);
        CHECK(log[2].lease == scene->lease(other));
    }

    SECTION("a search starts afresh when it is asked to without a lease") {
        scene->serve(address);
        scene->silence();
        scene->port().start(scene->request());
        REQUIRE_FALSE(scene->reported(1, while_nothing));
        scene->resume();
        scene->port().renew();
        REQUIRE(scene->reported(1));
        CHECK(log[0].lease.network.address == address);
    }

    SECTION("a start replaces the client that runs") {
        obtain();
        auto again = scene->request();
        again.previous = address;
        scene->port().start(again);
        REQUIRE(scene->reported(2));
        CHECK(log[1].kind == Kind::obtained);
        CHECK(log[1].lease.network.address == address);
    }

    SECTION("a client that dies is started again, and the lease it held was never lost") {
        obtain();
        scene->kill_client();
        REQUIRE(scene->reported(2));
        CHECK(log[1].kind == Kind::obtained);
        CHECK(log[1].lease == scene->lease(address));
    }

    SECTION("a lease of the process before is held, and asked for again") {
        scene->serve(address);
        auto held = scene->lease(address);
        held.obtained_usec = impnetd::boottime_usec();
        scene->port().adopt(scene->request(), held);
        REQUIRE(scene->reported(1));
        CHECK(log[0].kind == Kind::obtained);
        CHECK(log[0].lease == scene->lease(address));
    }

    SECTION("nothing is reported after the stop") {
        obtain();
        scene->port().stop();
        scene->port().renew();
        CHECK_FALSE(scene->reported(2, while_nothing));
    }

    SECTION("it can be stopped from inside a report") {
        scene->log.on_report = [&](const LeaseReport&) { scene->port().stop(); };
        obtain();
        scene->port().renew();
        CHECK_FALSE(scene->reported(2, while_nothing));
    }

    SECTION("it can be started from inside a report") {
        int starts = 0;
        scene->log.on_report = [&](const LeaseReport&) {
            if (++starts == 1) scene->port().start(scene->request());
        };
        obtain();
        REQUIRE(scene->reported(2));
        CHECK(log[1].lease.network.address == address);
    }
}

}  // namespace ports
