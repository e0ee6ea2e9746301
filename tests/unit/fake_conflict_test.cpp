// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ports/fake_conflict.hpp"

#include <optional>

#include <catch2/catch.hpp>

#include "ports/conflict_cases.hpp"

namespace {

using namespace ports;

class FakeScene final : public ConflictScene {
  public:
    ConflictPort& port() override { return port_; }
    AddressClaim claim() const override { return {7, {{2, 0, 0, 0, 0, 7}}, Ipv4(10, 77, 1, 5)}; }
    MacAddress other_host() const override { return {{2, 0, 0, 0, 0, 8}}; }
    void other_host_has(Ipv4 address) override { theirs_ = address; }
    void other_host_announces(Ipv4 address) override {
        if (port_.watched() && port_.watched()->address == address) port_.claim(other_host());
    }
    bool told(std::size_t count, std::chrono::milliseconds) override {
        if (log.lines.size() < count && port_.watched() && port_.watched()->probe) {
            if (port_.watched()->address == theirs_)
                port_.claim(other_host());
            else
                port_.prove();
        }
        return log.lines.size() >= count;
    }

  private:
    FakeConflict port_{log};
    std::optional<Ipv4> theirs_;
};

}  // namespace

TEST_CASE("the fake does what conflict ports do", "[conflict]") {
    ports::conflict_cases([] { return std::make_unique<FakeScene>(); });
}
