// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The ethernet machine: how a managed wired interface gets from a cable to an address, as a pure
// function (state, event) -> (state, actions). It does nothing itself and knows no clock; whoever
// runs it carries the actions out in order and brings back what came of them as events.
//
//            opened                carrier              lease / static           assigned
//   UNKNOWN ───────► STARTING ───► LINK_UP ──► DHCPING ─────────────► (address) ───────► CONNECTED
//                       │ grace                   │ attempt's limit                         │
//                       ▼                         ▼                                         │
//                    NO_LINK ◄── carrier lost   STOPPED ── pause ──► STARTING               │
//                       └────────── carrier back: STARTING          lease lost: DHCPING ◄───┘
//
// A static address skips DHCPING. What the NIC brought along decides, until it is thrown away; else
// each attempt uses what is stored by then. A fault of the device or the kernel is STOPPED_UNHAPPY
// and is tried again like STOPPED. An address that another host has, too, is given up: a static one
// is a failed attempt, for a leased one another is looked for. A disabled interface is powered
// down, and STOPPED while it is wanted. One deadline is pending at a time: the grace for a carrier,
// the limit of the attempt, or the pause before the next one.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/lease.hpp"
#include "core/link.hpp"
#include "core/nic.hpp"
#include "core/state.hpp"

namespace impnetd::ethernet {

/// Everything the machine remembers. A value: it can be copied, compared, written out.
struct Machine {
    State state = State::unknown;
    bool wanted = false;   ///< somebody has the interface open
    bool present = false;  ///< the device exists
    bool carrier = false;
    bool set_down = false;               ///< somebody took the device down since this attempt began
    bool leased = false;                 ///< the DHCP client runs and holds a lease
    bool enabled = true;                 ///< by the stored configuration
    std::optional<StaticConfig> stored;  ///< for the attempts to come
    bool extended = false;               ///< the NIC brought its own configuration
    std::optional<StaticConfig> static_network;  ///< of this attempt
    /// What was last put on the device, and has not been taken away.
    std::optional<AddressAssignment> address;
    unsigned failures = 0;  ///< attempts that failed in a row
    /// How often in a row another host had the address that we were about to use.
    unsigned conflicts = 0;
    /// When it was last defended (a monotonic time).
    std::optional<std::chrono::milliseconds> defended;
    std::string trouble;  ///< what went wrong in this attempt so far, for its reason

    friend bool operator==(const Machine&, const Machine&) = default;
};

struct Timing {
    std::chrono::milliseconds grace{5000};     ///< for a carrier after power-up
    std::chrono::milliseconds attempt{60000};  ///< from the carrier to an address
};

// --- Events -------------------------------------------------------------------------------------

/// The first of its users opened the interface, perhaps with a configuration of their own, which is
/// then all there is of it. While it still runs for nobody (the linger), another configuration
/// starts it afresh.
struct Wanted {
    std::optional<StaticConfig> static_network;
    bool extended = static_network.has_value();
};
struct Unwanted {};
struct DeviceAppeared {
    bool carrier = false;
};
struct DeviceRemoved {};
struct CarrierChanged {
    bool carrier = false;
};
/// Another program took the device down, or its removal has begun.
struct SetDown {};
struct DeadlinePassed {};
struct LeaseObtained {
    Lease lease;
};
struct LeaseLost {
    std::string reason;
};
struct LeaseRefused {
    std::string reason;
};
struct AddressAssigned {};
/// What is stored for the interface now.
struct Stored {
    bool enabled = true;
    std::optional<StaticConfig> static_network;
};
/// Somebody else took our address away, or its lifetime passed in the kernel.
struct AddressGone {};
/// Another host uses our address, too. `probing`: ours is new, and nobody has said yet that it is
/// free.
struct AddressConflict {
    MacAddress with;
    bool probing = false;
    std::chrono::milliseconds at{0};  ///< monotonic
};
/// Nobody else has the new address.
struct AddressProven {};
/// The machine is that of a process before us; what happened since then follows.
struct TakenOver {};
/// The host slept, and nobody knows what happened meanwhile.
struct WokenUp {};
/// The kernel refused to power the device or to take the address.
struct Fault {
    std::string reason;
};

using Event =
    std::variant<Wanted, Unwanted, DeviceAppeared, DeviceRemoved, CarrierChanged, SetDown,
                 DeadlinePassed, LeaseObtained, LeaseLost, LeaseRefused, AddressAssigned, Stored,
                 AddressGone, AddressConflict, AddressProven, TakenOver, WokenUp, Fault>;

// --- Actions ------------------------------------------------------------------------------------

/// The one action that others are told of.
struct Enter {
    State state;
    std::string reason;
    friend bool operator==(const Enter&, const Enter&) = default;
};
struct Power {
    bool up;
    friend bool operator==(const Power&, const Power&) = default;
};
/// Replaces the pending deadline.
struct SetDeadline {
    std::chrono::milliseconds delay;
    friend bool operator==(const SetDeadline&, const SetDeadline&) = default;
};
struct ClearDeadline {
    friend bool operator==(const ClearDeadline&, const ClearDeadline&) = default;
};
struct StartLease {
    bool verify = false;  ///< LeaseRequest::verify
    friend bool operator==(const StartLease&, const StartLease&) = default;
};
struct RenewLease {
    friend bool operator==(const RenewLease&, const RenewLease&) = default;
};
struct StopLease {
    friend bool operator==(const StopLease&, const StopLease&) = default;
};
struct Assign {
    AddressAssignment address;
    friend bool operator==(const Assign&, const Assign&) = default;
};
/// Looks out for others that have the address.
struct WatchAddress {
    Ipv4 address;
    bool probe;
    friend bool operator==(const WatchAddress&, const WatchAddress&) = default;
};
struct DefendAddress {
    friend bool operator==(const DefendAddress&, const DefendAddress&) = default;
};
struct UnwatchAddress {
    friend bool operator==(const UnwatchAddress&, const UnwatchAddress&) = default;
};
struct Withdraw {
    Ipv4Network network;
    friend bool operator==(const Withdraw&, const Withdraw&) = default;
};
/// The extended NIC is thrown away; what follows uses the stored configuration.
struct ForgetNic {
    friend bool operator==(const ForgetNic&, const ForgetNic&) = default;
};

using Action =
    std::variant<Enter, Power, SetDeadline, ClearDeadline, StartLease, RenewLease, StopLease,
                 Assign, WatchAddress, DefendAddress, UnwatchAddress, Withdraw, ForgetNic>;

struct Step {
    Machine machine;
    std::vector<Action> actions;
};

Step step(Machine machine, const Event& event, const Timing& timing);

}  // namespace impnetd::ethernet
