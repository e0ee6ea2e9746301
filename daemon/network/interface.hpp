// SPDX-License-Identifier: LGPL-2.1-or-later
//
// An interface as clients know it: an NII with a state, an address table and users, whatever device
// and whoever configures it. What makes the state move is its control: ours (`ManagedEthernet`), or
// somebody else's that we only watch (`ObservedLink`).
//
// Every change of state goes through `set_state`: the data path learns of it first, so that a
// program that is told CONNECTED can send, then the log, then everybody who observes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/data_path.hpp"
#include "core/error.hpp"
#include "core/interface_record.hpp"
#include "core/ip_table.hpp"
#include "core/link.hpp"
#include "core/nic.hpp"
#include "core/nii.hpp"
#include "core/state.hpp"
#include "core/stored_configuration.hpp"
#include "loop/loop.hpp"
#include "service/kept_value.hpp"

namespace impnetd {

class Interface;

/// What drives an interface.
class Control {
  public:
    virtual ~Control() = default;

    /// Adds what the control has to remember.
    virtual void describe(InterfaceRecord& record) const = 0;

    /// Somebody uses the interface now (or it is always on).
    virtual void opened(const Nic& nic) = 0;
    /// Nobody does any more.
    virtual void closed() = 0;
    /// The device, when it appears and whenever something about it changes.
    virtual void link_changed(const Link& link) = 0;
    virtual void link_removed() = 0;
    /// The device is there, and is to be as it was found: `link_removed` follows.
    virtual void give_back() = 0;
    /// A power-down of ours is on its way: what it changes has not been seen yet.
    virtual bool powering_down() const = 0;
    virtual void addresses_changed() = 0;
    /// The host slept and woke up.
    virtual void woken_up() = 0;
    /// What is stored is another now: for attempts to come, and perhaps the interface is disabled
    /// or enabled.
    virtual void stored_changed() = 0;
    /// The configuration leaves IPv6 to the kernel now, or does not any more.
    virtual void kernel_ipv6_changed() = 0;
};

class Interface {
  public:
    /// A session, as the interface knows it.
    class User {
      public:
        virtual void state_reported(const StateReport& report) = 0;
        /// The device is gone, or the interface was disabled; sockets on it are dead.
        virtual void unusable(const std::string& reason) = 0;

      protected:
        ~User() = default;
    };

    /// Whoever shows interfaces to the world.
    class Observer {
      public:
        virtual void interface_reported(Interface& interface, const StateReport& report) = 0;
        /// Something that can be seen of it differs.
        virtual void interface_changed(Interface& interface) = 0;

      protected:
        ~Observer() = default;
    };

    struct Timeouts {
        Milliseconds attempt{60'000};  ///< from the carrier to an address
        Milliseconds linger{5'000};    ///< from the last session's end to power-down
    };
    /// All but the first have a meaning only if it is managed.
    struct Settings {
        bool managed = false;
        bool always_on = false;
        bool down_on_stop = false;
        bool kernel_ipv6 = false;
        Timeouts timeouts;
    };

    /// What all interfaces use together. Outlives them.
    struct Shared {
        Loop& loop;
        DataPath& data_path;
        FdStore& store;
        Observer& observer;
        const StoredConfiguration& stored;  ///< as it is now
    };

    /// The control of an interface that impnetd manages, or of one that it observes. `before`: what
    /// the process before us knew of it; nothing if it did not use it.
    using MakeControl = std::function<std::unique_ptr<Control>(Interface&, bool managed,
                                                               const InterfaceRecord* before)>;

    /// What the process before us used goes on as it was, managed or observed, until `begin_anew`.
    Interface(const Shared& shared, Nii nii, DataPath::Slot slot, Settings settings,
              const MakeControl& make_control);
    ~Interface();
    Interface(const Interface&) = delete;
    Interface& operator=(const Interface&) = delete;

    Nii nii() const { return nii_; }
    DataPath::Slot slot() const { return slot_; }
    bool managed() const { return settings_.managed; }
    const Settings& settings() const { return settings_; }
    bool enabled() const { return shared_.stored.enabled(nii_); }
    const StoredConfiguration& stored() const { return shared_.stored; }
    State state() const { return state_; }
    const std::string& reason() const { return reason_; }
    const std::optional<Link>& link() const { return link_; }
    /// What the interface has while it is CONNECTED.
    const std::optional<IpTable>& ip_table() const { return ip_table_; }
    unsigned sessions() const { return static_cast<unsigned>(users_.size()); }

    // From sessions ------------------------------------------------------------------------------

    /// May it be opened with this NIC now? Unavailable, NotSupported or InUse. Changes nothing.
    Result<> admits(const Nic& nic) const;
    /// A session begins. It is told of every step from now on. If its coming sets nothing in
    /// motion, it is told the state it found, unless that is UNKNOWN.
    void join(User& session, const Nic& nic);
    void leave(User& session);
    /// A session of the process before us goes on. It is told nothing that it knows.
    void rejoin(User& session, const Nic& nic);
    /// All that go on have joined. If nobody has, the linger begins.
    void rejoined();

    // From the kernel and the host, through `Interfaces`

    void link_changed(const Link& link);
    void link_removed();
    void addresses_changed();
    void woken_up() { control_->woken_up(); }
    void stored_changed();
    /// `managed` stays as it is.
    void set_settings(const Settings& settings);
    bool down_on_stop() const { return settings_.down_on_stop; }
    /// The service ends for good: powers the device down if that is what the configuration says.
    void service_stops();
    /// It is to end, though its device is there and nobody has it open. True: that is being powered
    /// down.
    bool give_up();
    /// Whoever has it open keeps it, but its device is to be another interface, or the same in
    /// another way. `there`: the device has not gone meanwhile. True: that is being powered down.
    bool begin_anew(bool there, const Settings& settings, const MakeControl& make_control);

    // From the control

    /// `table`: what the interface has in this state. Nobody is told of the state it is in already.
    void set_state(State state, std::string reason, std::optional<IpTable> table = std::nullopt);
    /// The table changed while the state did not (a lease renewed with other servers).
    void set_ip_table(std::optional<IpTable> table);
    /// The configuration that a client brought along is thrown away.
    void nic_forgotten() { extended_ = false; }
    /// Something that the control has to remember changed.
    void keep();

  private:
    std::optional<InterfaceRecord> inherit();
    void tell_data_path();
    void tell_unusable(const std::string& reason);
    void linger_over();

    Shared shared_;
    Nii nii_;
    DataPath::Slot slot_;
    Settings settings_;
    Timer linger_;
    std::unique_ptr<KeptValue> kept_;  // while there is something to go on with
    InterfaceRecord kept_record_;
    bool restored_ = false;
    bool was_enabled_;
    std::optional<Link> link_;  // until the kernel was asked: as the process before us saw it
    State state_ = State::unknown;
    std::uint64_t steps_ = 0;  // changes of state so far
    std::string reason_;
    std::optional<IpTable> ip_table_;
    std::vector<User*> users_;
    bool extended_ = false;  // opened with a configuration of its own
    std::unique_ptr<Control> control_;
};

}  // namespace impnetd
