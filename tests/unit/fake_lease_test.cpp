// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ports/fake_lease.hpp"

#include <optional>
#include <stdexcept>

#include <catch2/catch.hpp>

#include "ports/lease_cases.hpp"

namespace {

using namespace ports;

/// The fake, with a server that answers whatever was asked as soon as time passes.
class FakeScene final : public LeaseScene {
  public:
    LeasePort& port() override { return port_; }
    LeaseRequest request() const override { return LeaseRequest{"lan0", {}, "lab", std::nullopt}; }
    Lease lease(Ipv4 address) const override {
        Lease lease;
        lease.network = Ipv4Network{address, 24};
        lease.broadcast = lease.network.broadcast();
        lease.seconds = 3600;
        return lease;
    }

    void serve(Ipv4 address) override {
        address_ = address;
        answers_ = true;
    }
    void resume() override { answers_ = true; }
    void silence() override { answers_ = false; }
    void kill_client() override { open_question_ = true; }

    bool reported(std::size_t count, Milliseconds) override {
        answer();
        return log.reports.size() >= count;
    }

  private:
    void answer() {
        while (true) {
            const auto asked = port_.starts().size() + static_cast<std::size_t>(port_.renewals());
            const bool renewal = asked_by_start_ == port_.starts().size();
            if (asked != asked_) {
                open_question_ = true;
                // An unanswered question becomes a search, which no server refuses.
                searching_ = !renewal || !answers_;
            }
            asked_ = asked;
            asked_by_start_ = port_.starts().size();
            if (!open_question_ || !answers_ || !port_.running()) return;
            open_question_ = false;
            if (!searching_ && port_.held() && port_.held()->network.address != address_)
                port_.take_away("the DHCP server refused");
            if (port_.running()) port_.grant(lease(address_));
        }
    }

    FakeLease port_{log};
    Ipv4 address_;
    bool answers_ = false;
    bool open_question_ = false;
    bool searching_ = false;
    std::size_t asked_ = 0;
    std::size_t asked_by_start_ = 0;
};

}  // namespace

TEST_CASE("The fake lease port does what lease ports do", "[lease]") {
    ports::lease_cases([] { return std::make_unique<FakeScene>(); });
}

TEST_CASE("The fake lease port refuses to report what no port would", "[lease]") {
    LeaseLog log;
    FakeLease port(log);

    SECTION("anything, before it is started") {
        CHECK_THROWS_AS(port.grant(Lease{}), std::logic_error);
        CHECK_THROWS_AS(port.refuse("no"), std::logic_error);
    }
    SECTION("the loss of a lease that is not held") {
        port.start(LeaseRequest{});
        CHECK_THROWS_AS(port.take_away("expired"), std::logic_error);
    }
    SECTION("a refusal while a lease is held") {
        port.start(LeaseRequest{});
        port.grant(Lease{});
        CHECK_THROWS_AS(port.refuse("no"), std::logic_error);
    }
    SECTION("anything, after it is stopped") {
        port.start(LeaseRequest{});
        port.grant(Lease{});
        port.stop();
        CHECK_THROWS_AS(port.take_away("expired"), std::logic_error);
    }
}
