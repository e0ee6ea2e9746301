// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/ethernet.hpp"

#include <utility>

#include "core/retry_pause.hpp"

namespace impnetd::ethernet {

namespace {

/// RFC 5227, 2.4 (b) and (c): a conflict is answered once in this time.
constexpr std::chrono::seconds defend_interval{10};

AddressAssignment assignment(const Ipv4Network& network, std::optional<Ipv4> broadcast,
                             std::optional<std::uint32_t> seconds) {
    return {network, broadcast ? broadcast : network.broadcast(), seconds};
}

std::string seconds_text(std::chrono::milliseconds duration) {
    return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(duration).count()) +
           " s";
}

/// One transition in the making: the machine as it changes, and the actions so far.
class Transition {
  public:
    Transition(Machine machine, const Timing& timing)
        : machine_(std::move(machine)), timing_(timing) {}

    Step finish() { return {std::move(machine_), std::move(actions_)}; }

    void on(const Wanted& event) {
        const auto& chosen = event.extended ? event.static_network : machine_.stored;
        const bool reconfigure = chosen != machine_.static_network;
        machine_.extended = event.extended;
        if (machine_.wanted && !reconfigure) return;
        machine_.wanted = true;
        if (reconfigure) {
            clear_configuration();
            machine_.static_network = chosen;
        }
        if (machine_.present) attempt("opened");
    }

    void on(const Unwanted&) {
        if (!machine_.wanted) return;
        machine_.wanted = false;
        clear_configuration();
        forget_nic();
        forget_failures();
        machine_.carrier = false;  // the kernel will say so, too, but perhaps after the next Open
        if (machine_.present) act(Power{false});
        act(ClearDeadline{});
        enter(State::unknown, "no session left");
    }

    void on(const Stored& event) {
        machine_.stored = event.static_network;
        if (std::exchange(machine_.enabled, event.enabled) == event.enabled) return;
        if (!machine_.wanted || !machine_.present) return;
        if (event.enabled)
            attempt("enabled");
        else
            disable();
    }

    void on(const DeviceAppeared& event) {
        machine_.present = true;
        machine_.carrier = event.carrier;
        forget_failures();
        if (machine_.wanted) attempt("device appeared");
    }

    void on(const DeviceRemoved&) {
        machine_.present = false;
        machine_.carrier = false;
        machine_.address.reset();  // gone with the device
        stop_lease();
        forget_nic();
        if (!machine_.wanted) return;
        act(ClearDeadline{});
        enter(State::ethernet_stopped, "device removed");
    }

    void on(const CarrierChanged& event) {
        if (machine_.carrier == event.carrier) return;
        machine_.carrier = event.carrier;
        if (!machine_.wanted || !machine_.enabled) return;
        if (event.carrier)
            carrier_came();
        else
            carrier_went();
    }

    void on(const SetDown&) {
        machine_.carrier = false;
        if (!machine_.wanted) return;
        if (machine_.state == State::starting) {
            // Perhaps the echo of our own power-down, overtaken by a new Open; the grace will tell.
            machine_.set_down = true;
            return;
        }
        if (machine_.state != State::ethernet_stopped_no_link)
            link_lost("the device was set down by another program");
        power_again_later();
    }

    void on(const DeadlinePassed&) {
        switch (machine_.state) {
            case State::starting:
                enter(State::ethernet_stopped_no_link,
                      "no carrier within " + seconds_text(timing_.grace));
                if (machine_.set_down) power_again_later();
                break;
            case State::ethernet_link_up:
            case State::ethernet_dhcping: {
                const auto limit = " within " + seconds_text(timing_.attempt);
                attempt_failed(State::ethernet_stopped,
                               machine_.trouble.empty()
                                   ? "no DHCP server answered" + limit
                                   : "no lease" + limit + ": " + machine_.trouble);
                break;
            }
            case State::ethernet_stopped:
            case State::ethernet_stopped_unhappy:
            case State::ethernet_stopped_no_link:
                attempt("trying again");
                break;
            default:
                break;
        }
    }

    void on(const LeaseObtained& event) {
        const auto& lease = event.lease;
        machine_.leased = true;
        const bool connected = machine_.state == State::connected;
        if (!connected && machine_.state != State::ethernet_dhcping) return;
        if (connected && machine_.address && machine_.address->network != lease.network) {
            enter(State::ethernet_dhcping, "the server gave another address");
            act(SetDeadline{timing_.attempt});
        }
        assign(assignment(lease.network, lease.broadcast, lease.seconds));
    }

    void on(const LeaseLost& event) {
        machine_.leased = false;
        withdraw();
        if (machine_.state == State::connected) {
            enter(State::ethernet_dhcping, event.reason);
            act(SetDeadline{timing_.attempt});
        } else if (machine_.state != State::ethernet_dhcping) {
            act(StopLease{});  // nothing to look for without a carrier
        }
    }

    void on(const LeaseRefused& event) { machine_.trouble = event.reason; }

    void on(const AddressAssigned&) {
        if (!awaits_address() || !machine_.address) return;
        // After a conflict it is too early for that: a host that takes whatever we have must not
        // have us try again and again without a pause.
        if (machine_.conflicts == 0) machine_.failures = 0;
        act(ClearDeadline{});
        enter(State::connected, "address " + machine_.address->network.text());
        machine_.defended.reset();
        act(WatchAddress{machine_.address->network.address, true});
    }

    void on(const AddressGone&) {
        machine_.address.reset();
        // Also one that was gone again before the kernel's answer that it is there.
        const bool connected = machine_.state == State::connected;
        if (!connected && !awaits_address()) return;
        if (machine_.static_network) {
            attempt_failed(State::ethernet_stopped, "the address was removed by another program");
            return;
        }
        if (connected) {
            enter(State::ethernet_dhcping, "the address expired or was removed by another program");
            act(SetDeadline{timing_.attempt});
        }
        act(RenewLease{});
    }

    void on(const AddressConflict& event) {
        if (machine_.state != State::connected || !machine_.address) return;
        const bool defended = machine_.defended && event.at - *machine_.defended < defend_interval;
        if (!event.probing && !defended) {
            machine_.defended = event.at;
            act(DefendAddress{});
            return;
        }
        const auto reason = "address conflict with " + event.with.with_colons();
        // The first time another lease may do. Who meets with it again and again is in no hurry.
        if (++machine_.conflicts > 1 || machine_.static_network)
            return attempt_failed(State::ethernet_stopped, reason);
        stop_lease();
        withdraw();
        enter(State::ethernet_dhcping, reason);
        act(SetDeadline{timing_.attempt});
        start_lease();
    }

    void on(const AddressProven&) { forget_failures(); }

    void on(const TakenOver&) {
        if (!machine_.enabled) return disable();
        if (!machine_.wanted) return;
        if (machine_.state == State::connected) {
            if (machine_.address) act(WatchAddress{machine_.address->network.address, false});
            return;
        }
        // What was under way, its deadline too, ended with the process.
        if (machine_.state == State::ethernet_stopped_no_link && !machine_.carrier)
            act(Power{true});
        else
            attempt("impnetd was restarted");
    }

    void on(const WokenUp&) {
        if (!machine_.wanted) return;
        if (machine_.leased && machine_.carrier)
            act(RenewLease{});
        else if (machine_.state == State::ethernet_stopped ||
                 machine_.state == State::ethernet_stopped_unhappy)
            attempt("the host woke up");
    }

    void on(const Fault& event) {
        if (machine_.wanted) attempt_failed(State::ethernet_stopped_unhappy, event.reason);
    }

  private:
    template <typename A>
    void act(A action) {
        actions_.emplace_back(std::in_place_type<A>, std::move(action));
    }

    void enter(State state, std::string reason) {
        const bool was_connected = machine_.state == State::connected;
        machine_.state = state;
        act(Enter{state, std::move(reason)});
        if (was_connected && state != State::connected) act(UnwatchAddress{});
    }

    void forget_failures() {
        machine_.failures = 0;
        machine_.conflicts = 0;
    }

    void start_lease() { act(StartLease{machine_.conflicts > 0}); }

    bool awaits_address() const {
        return machine_.state == State::ethernet_dhcping ||
               (machine_.state == State::ethernet_link_up && machine_.static_network);
    }

    /// From power to address, once more.
    void attempt(std::string reason) {
        if (!machine_.enabled) return enter(State::ethernet_stopped, "disabled");
        follow_stored();
        machine_.trouble.clear();
        machine_.set_down = false;
        enter(State::starting, std::move(reason));
        act(Power{true});
        if (machine_.carrier)
            link_up();
        else
            act(SetDeadline{timing_.grace});
    }

    void follow_stored() {
        if (machine_.extended || machine_.static_network == machine_.stored) return;
        clear_configuration();
        machine_.static_network = machine_.stored;
    }

    void disable() {
        clear_configuration();
        forget_nic();
        forget_failures();
        machine_.carrier = false;  // as in the end of its use
        act(Power{false});
        act(ClearDeadline{});
        enter(State::ethernet_stopped, "disabled");
    }

    void link_up() {
        enter(State::ethernet_link_up, "carrier");
        act(SetDeadline{timing_.attempt});
        if (machine_.static_network) {
            assign(assignment(machine_.static_network->network, std::nullopt, std::nullopt));
            return;
        }
        enter(State::ethernet_dhcping,
              machine_.leased ? "renewing the lease" : "looking for a lease");
        if (machine_.leased)
            act(RenewLease{});
        else
            start_lease();
    }

    void carrier_came() {
        if (machine_.state == State::starting)
            link_up();
        else if (machine_.state != State::unknown)
            attempt("carrier came back");
    }

    void carrier_went() {
        if (machine_.state != State::unknown && machine_.state != State::starting)
            link_lost("carrier lost");
    }

    void link_lost(std::string reason) {
        // A lease outlives a pulled cable: its client stays, and so does the address in the kernel
        // until the lease ends. What a NIC brought along does not.
        if (!machine_.leased) stop_lease();
        forget_nic();
        act(ClearDeadline{});
        enter(State::ethernet_stopped_no_link, std::move(reason));
    }

    void attempt_failed(State state, std::string reason) {
        stop_lease();
        withdraw();
        forget_nic();
        enter(state, std::move(reason));
        power_again_later();
    }

    void power_again_later() {
        ++machine_.failures;
        act(SetDeadline{retry_pause(machine_.failures)});
    }

    void assign(const AddressAssignment& address) {
        if (machine_.address && machine_.address->network != address.network) withdraw();
        machine_.address = address;
        act(Assign{address});
    }

    void withdraw() {
        if (!machine_.address) return;
        act(Withdraw{machine_.address->network});
        machine_.address.reset();
    }

    void stop_lease() {
        machine_.leased = false;
        act(StopLease{});
    }

    /// What is stored and in use stays in use: the next attempt decides.
    void forget_nic() {
        act(ForgetNic{});
        if (!std::exchange(machine_.extended, false) || !machine_.static_network) return;
        machine_.static_network.reset();
        withdraw();
    }

    void clear_configuration() {
        stop_lease();
        withdraw();
    }

    Machine machine_;
    const Timing& timing_;
    std::vector<Action> actions_;
};

}  // namespace

Step step(Machine machine, const Event& event, const Timing& timing) {
    const auto is_one_of = [&event](auto... kinds) {
        return (... || std::holds_alternative<decltype(kinds)>(event));
    };
    // What still comes from a device that is gone is late.
    const bool always = is_one_of(Wanted{}, Unwanted{}, DeviceAppeared{}, Stored{});
    if (!always && !machine.present) return {std::move(machine), {}};
    // One that is disabled does nothing but remember what it begins with when it is enabled.
    const bool remembered = is_one_of(DeviceRemoved{}, CarrierChanged{}, TakenOver{});
    if (!machine.enabled && !always && !remembered) return {std::move(machine), {}};

    Transition transition(std::move(machine), timing);
    std::visit([&](const auto& e) { transition.on(e); }, event);
    return transition.finish();
}

}  // namespace impnetd::ethernet
