// SPDX-License-Identifier: LGPL-2.1-or-later
//
// All interfaces there are. Devices come and go with the kernel; an interface lives as long as its
// device is there or somebody has it open.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "core/data_path.hpp"
#include "core/error.hpp"
#include "core/link.hpp"
#include "core/nii.hpp"
#include "loop/loop.hpp"
#include "network/interface.hpp"
#include "network/naming.hpp"
#include "service/kept_value.hpp"

namespace impnetd {

class Interfaces final : private LinkPort::Observer, private Interface::Observer {
  public:
    class Observer : public Interface::Observer {
      public:
        virtual void interface_added(Interface& interface) = 0;
        virtual void interface_removed(Interface& interface) = 0;
        /// They serve in another order than before.
        virtual void order_changed() = 0;

      protected:
        ~Observer() = default;
    };

    /// What was in use in the process before us is there again, as it was then; the kernel is
    /// asked in `start`. `stored`: as it is now, whenever it is looked at.
    Interfaces(Loop& loop, LinkPort& links, DataPath& data_path, FdStore& store,
               const StoredConfiguration& stored, Naming naming, Interface::Timeouts timeouts,
               Interface::MakeControl make_control);
    ~Interfaces();
    Interfaces(const Interfaces&) = delete;
    Interfaces& operator=(const Interfaces&) = delete;

    /// Takes in the devices that are there. Sessions of the process before us have joined.
    void start();
    void observe(Observer* observer) { observer_ = observer; }

    /// By NII or class name. NoSuchInterface, Unavailable (its device is gone) or NotSupported.
    Result<Interface*> find(std::string_view text) const;
    /// By NII, made if it is not there: for a session of the process before us.
    Interface& ensure(Nii nii);
    std::vector<Interface*> all() const;
    /// Those that are there, and those that an order names, as they serve.
    std::vector<Nii> order() const;
    /// The first of them that is there and enabled; if none is, the first.
    Nii serving() const;

    /// May something be stored for it? NoSuchInterface: there has never been one of this name.
    /// (Those of other classes are to come.)
    Result<> may_be_stored(Nii nii) const;
    /// May a configuration be? NotSupported: it is only observed.
    Result<> may_be_configured(Nii nii) const;

    LinkPort& links() const { return links_; }

    void woken_up() const;
    /// Another configuration is stored.
    void stored_changed();
    /// Deadlines that are pending stay as they are.
    void set_timeouts(Interface::Timeouts timeouts);
    /// Other rules. Which device an interface is, and whether it is managed, changes only while
    /// nobody has it open; and which devices they are, only for all of them together. Returns the
    /// rules that are in force now.
    const std::vector<InterfaceRule>& set_rules(const std::vector<InterfaceRule>& rules);
    /// Does the end of the service change anything?
    bool down_on_stop() const;
    /// The service ends for good.
    void service_stops() const;

  private:
    void link_changed(const Link& link) override;
    void link_removed(int ifindex) override;
    void addresses_changed(int ifindex) override;
    void interface_reported(Interface& interface, const StateReport& report) override;
    void interface_changed(Interface& interface) override;
    Interface* appeared(const Link& link);
    Interface* interface_of(int ifindex) const;
    Interface::Settings settings(Nii nii) const;
    std::vector<InterfaceRule> admissible(const std::vector<InterfaceRule>& rules) const;
    bool may_rename(const Naming& next) const;
    bool moves(const Interface& interface, const Link& link) const;
    void revise(Interface& interface, const std::map<int, Nii>& meant);
    void dissolve(Nii nii);
    void settle(int ifindex);
    void retire(Nii nii);
    /// An identifier is free, or a rule is another: for a device that could not have it before,
    /// perhaps.
    void look_again();
    void look_again_later();

    Interface::Shared shared_;
    LinkPort& links_;
    Naming naming_;
    /// What the order was last announced for: the one that was set, and the first choice.
    std::pair<std::vector<Nii>, std::optional<Nii>> announced_;
    KeptValue kept_names_;
    Interface::Timeouts timeouts_;
    Interface::MakeControl make_control_;
    Observer* observer_ = nullptr;
    std::map<Nii, std::unique_ptr<Interface>> interfaces_;
    std::map<int, Interface*> by_ifindex_;
    std::set<int> settling_;  // their former interface is being powered down
    bool looks_again_ = false;
};

}  // namespace impnetd
