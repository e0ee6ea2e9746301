// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ports/fake_data_path.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <catch2/catch.hpp>

#include "lab/loop_wait.hpp"
#include "ports/data_path_cases.hpp"

namespace {

using namespace ports;

class FakeScene final : public DataPathScene {
  public:
    FakeScene() {
        for (const Slot slot : {lan0, lan1}) set_address(slot, Ipv4Network{ours(slot), 24});
    }

    DataPath& path() override { return path_; }
    std::string device(Slot slot) const override { return "lan" + std::to_string(slot); }
    void set_address(Slot slot, std::optional<Ipv4Network> network) override {
        path_.set_interface(
            slot,
            {.ifindex = static_cast<int>(slot) + 2, .device = device(slot), .network = network});
    }
    void lose_device(Slot slot) override { path_.set_interface(slot, {}); }
    std::uint16_t reserved_port() override { return path_.open_ports(lan0).front(); }

    void peer_sends(Slot slot, Ipv4 to, std::uint16_t port, const Bytes& data) override {
        path_.arrive(slot, {peer(slot), peer_port, to, port, data});
    }
    std::optional<Datagram> next_at_peer(Slot slot, Milliseconds /*limit*/) override {
        const auto& sent = path_.sent();
        for (std::size_t& next = next_[slot]; next < sent.size();) {
            const auto& candidate = sent[next++];
            if (candidate.slot == slot) return candidate.datagram;
        }
        return std::nullopt;
    }

    void elapse(Milliseconds time) override { path_.elapse(time); }
    bool work_until(const std::function<bool()>& predicate, Milliseconds limit) override {
        return lab::run_until(loop_, limit, predicate);
    }

  private:
    impnetd::Loop loop_{[](std::string_view what) { FAIL_CHECK("a callback threw: " << what); }};
    FakeDataPath path_{loop_};
    std::size_t next_[2] = {0, 0};
};

}  // namespace

TEST_CASE("The fake data path does what data paths do", "[data-path]") {
    socket_cases([] { return std::make_unique<FakeScene>(); });
}
