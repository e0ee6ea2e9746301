// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The ethernet machine, event by event: what it does and what it tells.
#include <algorithm>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <catch2/catch.hpp>

#include "core/ethernet.hpp"
#include "core/retry_pause.hpp"

using namespace impnetd;
using namespace impnetd::ethernet;
using namespace std::chrono_literals;

namespace {

const Timing timing{5s, 60s};

Lease some_lease() {
    Lease lease;
    lease.network = {Ipv4(10, 77, 7, 101), 24};
    lease.broadcast = Ipv4(10, 77, 7, 255);
    lease.gateway = Ipv4(10, 77, 7, 1);
    lease.server = Ipv4(10, 77, 7, 1);
    lease.seconds = 120;
    return lease;
}

StaticConfig some_static() {
    return {{Ipv4(10, 77, 7, 9), 24}, Ipv4(10, 77, 7, 1), {Ipv4(10, 77, 7, 1)}};
}

/// A machine that is fed events; remembers what each one made it do.
struct Fed {
    Machine machine;
    std::vector<Action> actions;

    void feed(const Event& event) {
        auto next = step(std::move(machine), event, timing);
        machine = std::move(next.machine);
        actions = std::move(next.actions);
    }
    std::vector<int> states() const {
        std::vector<int> out;
        for (const auto& action : actions)
            if (const auto* enter = std::get_if<Enter>(&action))
                out.push_back(number(enter->state));
        return out;
    }
    std::string last_reason() const {
        std::string out;
        for (const auto& action : actions)
            if (const auto* enter = std::get_if<Enter>(&action)) out = enter->reason;
        return out;
    }
    template <typename A>
    bool does(const A& wanted) const {
        return std::any_of(actions.begin(), actions.end(), [&](const Action& action) {
            const auto* a = std::get_if<A>(&action);
            return a != nullptr && *a == wanted;
        });
    }
    template <typename A>
    bool does_any() const {
        return std::any_of(actions.begin(), actions.end(),
                           [](const Action& action) { return std::holds_alternative<A>(action); });
    }
};

using States = std::vector<int>;

const MacAddress stranger = *MacAddress::parse("525400123456");

Fed with_device(bool carrier) {
    Fed fed;
    fed.feed(DeviceAppeared{carrier});
    return fed;
}

Fed dhcping() {
    auto fed = with_device(true);
    fed.feed(Wanted{});
    return fed;
}

Fed connected() {
    auto fed = dhcping();
    fed.feed(LeaseObtained{some_lease()});
    fed.feed(AddressAssigned{});
    return fed;
}

}  // namespace

TEST_CASE("a device that appears stays untouched until somebody wants it") {
    const auto fed = with_device(true);
    CHECK(fed.actions.empty());
    CHECK(fed.machine.state == State::unknown);
}

TEST_CASE("opening with a carrier goes 0, 200, 201 and looks for a lease") {
    const auto fed = dhcping();
    CHECK(fed.states() == States{0, 200, 201});
    CHECK(fed.does(Power{true}));
    CHECK(fed.does(StartLease{}));
    CHECK(fed.does(SetDeadline{60s}));
}

TEST_CASE("a lease is put on the device before the interface is connected") {
    auto fed = dhcping();
    fed.feed(LeaseObtained{some_lease()});
    CHECK(fed.states().empty());
    CHECK(fed.does(Assign{{some_lease().network, Ipv4(10, 77, 7, 255), 120}}));

    fed.feed(AddressAssigned{});
    CHECK(fed.states() == States{1});
    CHECK(fed.does(ClearDeadline{}));
    CHECK(fed.does(WatchAddress{some_lease().network.address, true}));
}

TEST_CASE("a static address needs no 201") {
    auto fed = with_device(true);
    fed.feed(Wanted{some_static()});
    CHECK(fed.states() == States{0, 200});
    CHECK_FALSE(fed.does(StartLease{}));
    CHECK(fed.does(Assign{{some_static().network, Ipv4(10, 77, 7, 255), std::nullopt}}));
    fed.feed(AddressAssigned{});
    CHECK(fed.states() == States{1});
}

TEST_CASE("a link that was just powered gets a grace before it counts as unplugged") {
    auto fed = with_device(false);
    fed.feed(Wanted{});
    CHECK(fed.states() == States{0});
    CHECK(fed.does(SetDeadline{5s}));

    SECTION("the carrier comes in time") {
        fed.feed(CarrierChanged{true});
        CHECK(fed.states() == States{200, 201});
    }
    SECTION("no carrier comes") {
        fed.feed(DeadlinePassed{});
        CHECK(fed.states() == States{204});
        CHECK(fed.last_reason() == "no carrier within 5 s");
        fed.feed(CarrierChanged{true});
        CHECK(fed.states() == States{0, 200, 201});
    }
}

TEST_CASE("a pulled cable is 204 at once, and the lease is renewed when it returns") {
    auto fed = connected();
    fed.feed(CarrierChanged{false});
    CHECK(fed.states() == States{204});
    CHECK_FALSE(fed.does(StopLease{}));
    CHECK_FALSE(fed.does_any<Withdraw>());

    fed.feed(CarrierChanged{true});
    CHECK(fed.states() == States{0, 200, 201});
    CHECK(fed.does(RenewLease{}));
    fed.feed(LeaseObtained{some_lease()});
    fed.feed(AddressAssigned{});
    CHECK(fed.states() == States{1});
}

TEST_CASE("an answer of the kernel that the cable has overtaken connects nothing") {
    auto fed = dhcping();
    fed.feed(LeaseObtained{some_lease()});
    fed.feed(CarrierChanged{false});
    fed.feed(AddressAssigned{});
    CHECK(fed.states().empty());
    CHECK(fed.machine.state == State::ethernet_stopped_no_link);
}

TEST_CASE("a cable pulled before there is a lease ends the search") {
    auto fed = dhcping();
    fed.feed(CarrierChanged{false});
    CHECK(fed.states() == States{204});
    CHECK(fed.does(StopLease{}));
    fed.feed(CarrierChanged{true});
    CHECK(fed.does(StartLease{}));
}

TEST_CASE("a lease that ends while the cable is out leaves nothing behind") {
    auto fed = connected();
    fed.feed(CarrierChanged{false});
    fed.feed(LeaseLost{"expired"});
    CHECK(fed.states().empty());
    CHECK(fed.does(StopLease{}));
    CHECK(fed.does(Withdraw{some_lease().network}));
    fed.feed(CarrierChanged{true});
    CHECK(fed.does(StartLease{}));
}

TEST_CASE("a lost lease is 1, 201, 1") {
    auto fed = connected();
    fed.feed(LeaseLost{"the lease expired"});
    CHECK(fed.states() == States{201});
    CHECK(fed.last_reason() == "the lease expired");
    CHECK(fed.does(Withdraw{some_lease().network}));
    CHECK(fed.does(SetDeadline{60s}));
    fed.feed(LeaseObtained{some_lease()});
    fed.feed(AddressAssigned{});
    CHECK(fed.states() == States{1});
}

TEST_CASE("a renewed lease changes no state and extends the address") {
    auto fed = connected();
    auto longer = some_lease();
    longer.seconds = 240;
    fed.feed(LeaseObtained{longer});
    CHECK(fed.states().empty());
    CHECK(fed.does(Assign{{longer.network, longer.broadcast, 240}}));
    fed.feed(AddressAssigned{});
    CHECK(fed.actions.empty());
}

TEST_CASE("another address while connected is 1, 201, 1 and replaces the old one") {
    auto fed = connected();
    auto other = some_lease();
    other.network.address = Ipv4(10, 77, 7, 140);
    fed.feed(LeaseObtained{other});
    CHECK(fed.states() == States{201});
    CHECK(fed.does(Withdraw{some_lease().network}));
    fed.feed(AddressAssigned{});
    CHECK(fed.states() == States{1});
}

TEST_CASE(
    "an attempt without a lease fails with the reason, and is made again after a growing pause") {
    auto fed = dhcping();
    fed.feed(DeadlinePassed{});
    CHECK(fed.states() == States{202});
    CHECK(fed.last_reason() == "no DHCP server answered within 60 s");
    CHECK(fed.does(StopLease{}));
    CHECK(fed.does(SetDeadline{1s}));

    fed.feed(DeadlinePassed{});
    CHECK(fed.states() == States{0, 200, 201});
    fed.feed(LeaseRefused{"10.77.7.1 refused"});
    fed.feed(DeadlinePassed{});
    CHECK(fed.last_reason() == "no lease within 60 s: 10.77.7.1 refused");
    CHECK(fed.does(SetDeadline{2s}));
}

TEST_CASE("pauses grow to a cap, and a success starts them over") {
    CHECK(retry_pause(1) == 1s);
    CHECK(retry_pause(4) == 8s);
    CHECK(retry_pause(5) == 15s);
    CHECK(retry_pause(5000) == 15s);

    auto fed = dhcping();
    for (int i = 0; i < 10; ++i) {
        fed.feed(DeadlinePassed{});
        fed.feed(DeadlinePassed{});
    }
    CHECK(fed.machine.failures == 10);
    fed.feed(LeaseObtained{some_lease()});
    fed.feed(AddressAssigned{});
    CHECK(fed.machine.failures == 0);
}

TEST_CASE("a carrier that is lost while the interface rests is reported") {
    auto fed = dhcping();
    fed.feed(DeadlinePassed{});
    fed.feed(CarrierChanged{false});
    CHECK(fed.states() == States{204});
    CHECK(fed.does(ClearDeadline{}));
}

TEST_CASE("a fault of the device is 203, and is tried again") {
    auto fed = with_device(false);
    fed.feed(Wanted{});
    fed.feed(Fault{"lan0: set up: No buffer space available"});
    CHECK(fed.states() == States{203});
    fed.feed(DeadlinePassed{});
    CHECK(fed.states() == States{0});
}

TEST_CASE("a removed device is 202, and its return resumes") {
    auto fed = connected();
    fed.feed(DeviceRemoved{});
    CHECK(fed.states() == States{202});
    CHECK(fed.last_reason() == "device removed");
    CHECK(fed.does(StopLease{}));
    CHECK_FALSE(fed.does_any<Withdraw>());
    fed.feed(DeviceAppeared{true});
    CHECK(fed.states() == States{0, 200, 201});
    CHECK(fed.does(StartLease{}));
}

TEST_CASE("what a NIC brought along is thrown away with the link") {
    auto fed = with_device(true);
    fed.feed(Wanted{some_static()});
    fed.feed(AddressAssigned{});
    fed.feed(CarrierChanged{false});
    CHECK(fed.does(ForgetNic{}));
    CHECK(fed.does(Withdraw{some_static().network}));
    fed.feed(CarrierChanged{true});
    CHECK(fed.states() == States{0, 200, 201});
}

TEST_CASE("a plain NIC uses the static address that is stored") {
    auto fed = with_device(true);
    fed.feed(Stored{true, some_static()});
    CHECK(fed.actions.empty());
    fed.feed(Wanted{});
    CHECK(fed.states() == States{0, 200});
    fed.feed(AddressAssigned{});
    CHECK(fed.states() == States{1});

    SECTION("which stays on the device when the cable goes, and is used again") {
        fed.feed(CarrierChanged{false});
        CHECK(fed.states() == States{204});
        CHECK_FALSE(fed.does_any<Withdraw>());
        fed.feed(CarrierChanged{true});
        CHECK(fed.states() == States{0, 200});
        CHECK_FALSE(fed.does_any<StartLease>());
    }
    SECTION("and a change of it is for the next attempt") {
        fed.feed(Stored{true, std::nullopt});
        CHECK(fed.actions.empty());
        CHECK(fed.machine.state == State::connected);
        fed.feed(CarrierChanged{false});
        fed.feed(CarrierChanged{true});
        CHECK(fed.states() == States{0, 200, 201});
        CHECK(fed.does(Withdraw{some_static().network}));
        CHECK(fed.does(StartLease{}));
    }
    SECTION("also if it is opened again while it still runs for nobody") {
        auto other = some_static();
        other.network.address = Ipv4(10, 77, 7, 10);
        fed.feed(Stored{true, other});
        fed.feed(Wanted{});
        CHECK(fed.states() == States{0, 200});
        CHECK(fed.does(Withdraw{some_static().network}));
        CHECK(fed.does(Assign{{other.network, Ipv4(10, 77, 7, 255), std::nullopt}}));
    }
}

TEST_CASE("a lease goes when the next attempt is with a stored address") {
    auto fed = connected();
    fed.feed(Stored{true, some_static()});
    CHECK(fed.actions.empty());
    fed.feed(CarrierChanged{false});
    fed.feed(CarrierChanged{true});
    CHECK(fed.states() == States{0, 200});
    CHECK(fed.does(StopLease{}));
    CHECK(fed.does(Withdraw{some_lease().network}));
    CHECK(fed.does(Assign{{some_static().network, Ipv4(10, 77, 7, 255), std::nullopt}}));
}

TEST_CASE("an extended NIC is all there is, until it is thrown away for what is stored") {
    auto fed = with_device(true);
    fed.feed(Stored{true, some_static()});
    SECTION("without an address of its own: by DHCP") {
        fed.feed(Wanted{std::nullopt, true});
        CHECK(fed.states() == States{0, 200, 201});
        fed.feed(LeaseObtained{some_lease()});
        fed.feed(AddressAssigned{});
    }
    SECTION("with one") {
        auto own = some_static();
        own.network.address = Ipv4(10, 77, 7, 10);
        fed.feed(Wanted{own});
        fed.feed(AddressAssigned{});
    }
    CHECK(fed.states() == States{1});
    fed.feed(CarrierChanged{false});
    CHECK(fed.does(ForgetNic{}));
    fed.feed(CarrierChanged{true});
    CHECK(fed.states() == States{0, 200});
    CHECK(fed.does(Assign{{some_static().network, Ipv4(10, 77, 7, 255), std::nullopt}}));
}

TEST_CASE("disabling ends what is up, and enabling resumes") {
    auto fed = connected();
    fed.feed(Stored{false, std::nullopt});
    CHECK(fed.states() == States{202});
    CHECK(fed.last_reason() == "disabled");
    CHECK(fed.does(StopLease{}));
    CHECK(fed.does(Withdraw{some_lease().network}));
    CHECK(fed.does(Power{false}));
    CHECK(fed.does(ClearDeadline{}));

    SECTION("and nothing else does, whatever happens meanwhile") {
        for (const Event& event : std::vector<Event>{
                 SetDown{}, CarrierChanged{false}, CarrierChanged{true}, DeadlinePassed{},
                 LeaseObtained{some_lease()}, LeaseLost{"lost"}, AddressAssigned{}, AddressGone{},
                 WokenUp{}, Fault{"fault"}, Stored{false, some_static()}, DeviceRemoved{},
                 DeviceAppeared{true}}) {
            fed.feed(event);
            CHECK(fed.machine.state == State::ethernet_stopped);
            CHECK_FALSE(fed.does(Power{true}));
            CHECK_FALSE(fed.does_any<StartLease>());
        }
        fed.feed(Unwanted{});
        CHECK(fed.states() == States{-1});
        fed.feed(Wanted{});
        CHECK(fed.states() == States{202});
    }
    fed.feed(Stored{true, std::nullopt});
    CHECK(fed.states().front() == 0);
    CHECK(fed.last_reason() != "disabled");
    CHECK(fed.does(Power{true}));
    fed.feed(CarrierChanged{true});
    fed.feed(LeaseObtained{some_lease()});
    fed.feed(AddressAssigned{});
    CHECK(fed.machine.state == State::connected);
}

TEST_CASE("an interface that was disabled while no process was there is ended by the next one") {
    auto fed = connected();
    fed.machine.enabled = false;  // as the process that takes over finds it stored
    fed.feed(TakenOver{});
    CHECK(fed.states() == States{202});
    CHECK(fed.does(Withdraw{some_lease().network}));
    CHECK(fed.does(Power{false}));
}

TEST_CASE("the last user's end takes the address and the power away") {
    auto fed = connected();
    fed.feed(Unwanted{});
    CHECK(fed.states() == States{-1});
    CHECK(fed.does(StopLease{}));
    CHECK(fed.does(Withdraw{some_lease().network}));
    CHECK(fed.does(Power{false}));
    CHECK(fed.does(ClearDeadline{}));
}

TEST_CASE("an interface that is opened again while it still runs keeps running") {
    auto fed = connected();
    fed.feed(Wanted{});
    CHECK(fed.actions.empty());

    SECTION("unless it is opened with an address of its own") {
        fed.feed(Wanted{some_static()});
        CHECK(fed.states() == States{0, 200});
        CHECK(fed.does(StopLease{}));
        CHECK(fed.does(Withdraw{some_lease().network}));
    }
}

TEST_CASE("the echo of our own power-down does not disturb an interface that was opened again") {
    auto fed = connected();
    fed.feed(Unwanted{});
    fed.feed(Wanted{});
    CHECK(fed.states() == States{0});
    fed.feed(SetDown{});
    CHECK(fed.actions.empty());
    fed.feed(CarrierChanged{true});
    CHECK(fed.states() == States{200, 201});
}

TEST_CASE(
    "a device that another program sets down is powered again after a pause, without a fight") {
    auto fed = connected();
    fed.feed(SetDown{});
    CHECK(fed.states() == States{204});
    CHECK_FALSE(fed.does(Power{true}));
    CHECK(fed.does(SetDeadline{1s}));
    fed.feed(DeadlinePassed{});
    CHECK(fed.does(Power{true}));
}

TEST_CASE("a device that is set down before it had a carrier is powered again, too") {
    auto fed = with_device(false);
    fed.feed(Wanted{});
    fed.feed(SetDown{});
    CHECK(fed.actions.empty());
    fed.feed(DeadlinePassed{});
    CHECK(fed.states() == States{204});
    CHECK(fed.does(SetDeadline{1s}));
    fed.feed(DeadlinePassed{});
    CHECK(fed.does(Power{true}));
}

TEST_CASE("an address that goes without us is looked for again") {
    SECTION("a leased one at once") {
        auto fed = connected();
        fed.feed(AddressGone{});
        CHECK(fed.states() == States{201});
        CHECK(fed.does(RenewLease{}));
    }
    SECTION("a static one with the next attempt, because somebody took it away") {
        auto fed = with_device(true);
        fed.feed(Wanted{some_static()});
        fed.feed(AddressAssigned{});
        fed.feed(AddressGone{});
        CHECK(fed.states() == States{202});
    }
    SECTION("also if it goes before the kernel has said that it is there") {
        auto fed = dhcping();
        fed.feed(LeaseObtained{some_lease()});
        fed.feed(AddressGone{});
        CHECK(fed.actions == std::vector<Action>{RenewLease{}});
        fed.feed(AddressAssigned{});
        CHECK(fed.actions.empty());
        fed.feed(LeaseObtained{some_lease()});
        fed.feed(AddressAssigned{});
        CHECK(fed.states() == States{1});
    }
    SECTION("or a static one, with a reason that is true") {
        auto fed = with_device(true);
        fed.feed(Wanted{some_static()});
        fed.feed(AddressGone{});
        CHECK(fed.states() == States{202});
        CHECK(fed.last_reason() == "the address was removed by another program");
    }
}

TEST_CASE("an address is watched for as long as the interface is connected") {
    auto fed = connected();
    fed.feed(LeaseObtained{some_lease()});
    fed.feed(AddressAssigned{});
    CHECK_FALSE(fed.does_any<WatchAddress>());
    const auto end = GENERATE(as<Event>{}, CarrierChanged{false}, SetDown{}, DeviceRemoved{},
                              LeaseLost{"lost"}, AddressGone{}, Fault{"fault"}, Unwanted{});
    fed.feed(end);
    CHECK(fed.does(UnwatchAddress{}));
    fed.feed(AddressConflict{stranger, true, 1s});
    CHECK(fed.actions.empty());
}

TEST_CASE("an address that was in use before the process is listened for, and not asked about") {
    auto fed = connected();
    fed.feed(TakenOver{});
    CHECK(fed.actions == std::vector<Action>{WatchAddress{some_lease().network.address, false}});
}

TEST_CASE("a static address that another host has is a failed attempt") {
    auto fed = with_device(true);
    fed.feed(Wanted{some_static()});
    fed.feed(AddressAssigned{});
    fed.feed(AddressConflict{stranger, true, 1s});
    CHECK(fed.states() == States{202});
    CHECK(fed.last_reason() == "address conflict with 52:54:00:12:34:56");
    CHECK(fed.does(Withdraw{some_static().network}));
    CHECK(fed.does(SetDeadline{1s}));
}

TEST_CASE("a leased address that another host has is 1, 201, 1 with another lease") {
    auto fed = connected();
    fed.feed(AddressConflict{stranger, true, 1s});
    CHECK(fed.states() == States{201});
    CHECK(fed.last_reason() == "address conflict with 52:54:00:12:34:56");
    CHECK(fed.does(StopLease{}));
    CHECK(fed.does(Withdraw{some_lease().network}));
    CHECK(fed.does(StartLease{true}));
    CHECK(fed.does(SetDeadline{60s}));
    fed.feed(LeaseObtained{some_lease()});
    fed.feed(AddressAssigned{});
    CHECK(fed.states() == States{1});

    SECTION("which is like any other when nobody has it") {
        fed.feed(AddressProven{});
        CHECK(fed.actions.empty());
        CHECK(fed.machine.conflicts == 0);
        fed.feed(AddressConflict{stranger, true, 20s});
        CHECK(fed.states() == States{201});
    }
    SECTION("an interface that is disabled forgets what it met with") {
        fed.feed(Stored{false, std::nullopt});
        CHECK(fed.machine.conflicts == 0);
        fed.feed(Stored{true, std::nullopt});
        fed.feed(CarrierChanged{true});
        CHECK(fed.does(StartLease{false}));
    }
    SECTION("if that has an owner too, there are pauses, and they grow") {
        for (const auto pause : {1s, 2s, 4s, 8s, 15s, 15s}) {
            fed.feed(AddressConflict{stranger, true, 2s});
            CHECK(fed.states() == States{202});
            CHECK(fed.does(SetDeadline{pause}));
            fed.feed(DeadlinePassed{});
            CHECK(fed.states() == States{0, 200, 201});
            CHECK(fed.does(StartLease{true}));
            fed.feed(LeaseObtained{some_lease()});
            fed.feed(AddressAssigned{});
            CHECK(fed.states() == States{1});
        }
    }
}

TEST_CASE("an address that was in use is defended, but not twice within 10 s") {
    auto fed = connected();
    fed.feed(AddressProven{});
    fed.feed(AddressConflict{stranger, false, 100s});
    CHECK(fed.actions == std::vector<Action>{DefendAddress{}});

    SECTION("nor twice as fast") {
        fed.feed(AddressConflict{stranger, false, 109999ms});
        CHECK(fed.states() == States{201});
    }
    SECTION("but again after that") {
        fed.feed(AddressConflict{stranger, false, 110s});
        CHECK(fed.actions == std::vector<Action>{DefendAddress{}});
    }
    SECTION("and another address has a defence of its own") {
        fed.feed(CarrierChanged{false});
        fed.feed(CarrierChanged{true});
        fed.feed(LeaseObtained{some_lease()});
        fed.feed(AddressAssigned{});
        fed.feed(AddressProven{});
        fed.feed(AddressConflict{stranger, false, 101s});
        CHECK(fed.actions == std::vector<Action>{DefendAddress{}});
    }
}

TEST_CASE("no order of events connects an interface without carrier, device and address") {
    // Every sequence of five events out of these, from the beginning.
    const std::vector<Event> events{Wanted{},
                                    Unwanted{},
                                    DeviceAppeared{true},
                                    DeviceRemoved{},
                                    CarrierChanged{true},
                                    CarrierChanged{false},
                                    DeadlinePassed{},
                                    LeaseObtained{some_lease()},
                                    LeaseLost{"lost"},
                                    AddressAssigned{},
                                    AddressGone{},
                                    AddressConflict{stranger, true, 1s},
                                    Fault{"fault"},
                                    SetDown{},
                                    Stored{false, std::nullopt},
                                    Stored{true, some_static()}};
    std::size_t connections = 0;
    const auto walk = [&](const auto& self, const Fed& fed, int depth) -> void {
        if (fed.machine.state == State::connected) {
            ++connections;
            REQUIRE(fed.machine.wanted);
            REQUIRE(fed.machine.present);
            REQUIRE(fed.machine.carrier);
            REQUIRE(fed.machine.address);
            REQUIRE(fed.machine.enabled);
        }
        if (!fed.machine.wanted) REQUIRE(fed.machine.state == State::unknown);
        if (depth == 0) return;
        for (const auto& event : events) {
            auto next = fed;
            next.feed(event);
            self(self, next, depth - 1);
        }
    };
    walk(walk, Fed{}, 5);
    CHECK(connections > 0);
}
