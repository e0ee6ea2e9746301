// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ports/fake_link.hpp"

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "loop/loop.hpp"
#include "ports/link_cases.hpp"

namespace {

using namespace ports;

class FakeScene final : public LinkScene {
  public:
    LinkPort& port() override { return links_; }

    int add(const std::string& name) override { return links_.add(name); }
    void remove(int ifindex) override { links_.remove(ifindex); }
    void move_away(int ifindex) override { links_.remove(ifindex); }
    void rename(int ifindex, const std::string& name) override { links_.rename(ifindex, name); }
    void pull(int ifindex) override { links_.pull(ifindex); }
    void plug(int ifindex) override { links_.plug(ifindex); }
    void power(int ifindex, bool up) override { links_.power(ifindex, up); }
    void add_address(int ifindex, const Ipv4Network& network) override {
        links_.add_address(ifindex, network);
    }
    void remove_address(int ifindex, const Ipv4Network& network) override {
        links_.remove_address(ifindex, network);
    }
    void set_gateway(int ifindex, std::optional<Ipv4> gateway) override {
        links_.set_gateway(ifindex, gateway);
    }

    bool until(const std::function<bool()>& predicate) override {
        links_.complete_all();
        return predicate();
    }

  private:
    FakeLinks links_;
};

using Kind = FakeLinks::Request::Kind;

}  // namespace

TEST_CASE("the fake does what link ports do", "[link]") {
    ports::link_cases([] { return std::make_unique<FakeScene>(); });
}

TEST_CASE("the fake shows what was asked, and waits", "[link]") {
    FakeLinks links;
    const int eth0 = links.add("eth0");
    const Ipv4Network home{Ipv4(10, 0, 0, 5), 24};
    links.set_up(eth0, true, nullptr);
    links.assign(eth0, {home, std::nullopt, 60}, nullptr);
    links.withdraw(eth0, home, nullptr);

    const std::vector<FakeLinks::Request> asked = {
        {.kind = Kind::set_up, .ifindex = eth0, .up = true, .address = {}},
        {.kind = Kind::assign, .ifindex = eth0, .up = false, .address = {home, std::nullopt, 60}},
        {.kind = Kind::withdraw,
         .ifindex = eth0,
         .up = false,
         .address = {home, std::nullopt, std::nullopt}}};
    CHECK(links.pending() == asked);
    CHECK_FALSE(links.link(eth0)->up);

    links.complete();
    CHECK(links.link(eth0)->carrier);
    CHECK(links.pending().size() == 2);
    CHECK(links.requests() == asked);
}

TEST_CASE("the fake fails a request without its effect", "[link]") {
    FakeLinks links;
    const int eth0 = links.add("eth0");
    std::optional<Result<>> outcome;
    links.set_up(eth0, true, [&](Result<> result) { outcome = std::move(result); });
    links.fail("eth0: turning it on: Input/output error");
    REQUIRE(outcome);
    CHECK(outcome->error().message == "eth0: turning it on: Input/output error");
    CHECK_FALSE(links.link(eth0)->up);
    CHECK(links.pending().empty());
}

TEST_CASE("the fake refuses what makes no sense", "[link]") {
    FakeLinks links;
    CHECK_THROWS_AS(links.complete(), std::logic_error);
    CHECK_THROWS_AS(links.fail("no"), std::logic_error);
    CHECK_THROWS_AS(links.pull(7), std::logic_error);
    const int eth0 = links.add("eth0");
    CHECK_THROWS_AS(links.remove_address(eth0, {Ipv4(10, 0, 0, 5), 24}), std::logic_error);
    CHECK_THROWS_AS(links.add(*links.link(eth0)), std::logic_error);
}

TEST_CASE("the fake can answer from a loop by itself", "[link]") {
    impnetd::Loop loop([](std::string_view what) { FAIL_CHECK("fault in the loop: " << what); });
    auto links = std::make_unique<FakeLinks>();
    links->answer_from(loop);
    const int eth0 = links->add("eth0");
    int answers = 0;
    links->set_up(eth0, true, [&](const Result<>&) { ++answers; });
    CHECK(answers == 0);
    uv_run(loop.raw(), UV_RUN_NOWAIT);
    CHECK(answers == 1);
    CHECK(links->link(eth0)->up);

    links->set_up(eth0, false, [&](const Result<>&) { ++answers; });
    links.reset();  // and with it the question
    uv_run(loop.raw(), UV_RUN_NOWAIT);
    CHECK(answers == 1);
}
