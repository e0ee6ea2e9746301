// SPDX-License-Identifier: LGPL-2.1-or-later
#include "network/interfaces.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "core/quote.hpp"
#include "log/log.hpp"

namespace impnetd {

Interfaces::Interfaces(Loop& loop, LinkPort& links, DataPath& data_path, FdStore& store,
                       const StoredConfiguration& stored, Naming naming,
                       Interface::Timeouts timeouts, Interface::MakeControl make_control)
    : shared_{loop, data_path, store, *this, stored},
      links_(links),
      naming_(std::move(naming)),
      announced_(stored.server_order, stored.first_choice),
      kept_names_(store, "names"),
      timeouts_(timeouts),
      make_control_(std::move(make_control)) {
    const auto names =
        kept_names_.read().and_then([](const auto& bytes) { return read_names(bytes); });
    if (names) naming_.remember(*names);
    constexpr std::string_view prefix = "interface-";
    for (const auto& name : store.inherited(prefix))
        if (const auto nii = Nii::parse(std::string_view(name).substr(prefix.size()))) ensure(*nii);
}

Interfaces::~Interfaces() {
    links_.observe(nullptr);
}

void Interfaces::start() {
    links_.observe(this);
    const auto links = links_.links();
    std::map<int, Nii> meant;  // what each of them is going to be
    auto names = naming_;
    for (const auto& link : links)
        if (const auto nii = names.name(link)) meant[link.ifindex] = *nii;
    for (auto* interface : all()) revise(*interface, meant);
    for (const auto& link : links) link_changed(link);
    for (auto* interface : all()) {
        // Its device went while nobody looked.
        if (interface->link() && interface_of(interface->link()->ifindex) != interface)
            interface->link_removed();
        interface->rejoined();
    }
}

/// The configuration may be another than the process before us had: its device may be another
/// interface's now, or nobody's, or it may be managed, or not any more. Then it is given back.
void Interfaces::revise(Interface& interface, const std::map<int, Nii>& meant) {
    const auto nii = interface.nii();
    const int ifindex = interface.link() ? interface.link()->ifindex : 0;
    const bool there = links_.link(ifindex).has_value();
    const auto next = meant.find(ifindex);
    const bool moves = there && (next == meant.end() || next->second != nii);
    if (!moves && naming_.rule(nii).managed == interface.managed()) return;
    if (there && interface.sessions() == 0) return dissolve(nii);
    if (interface.begin_anew(there, settings(nii), make_control_)) settle(ifindex);
}

Result<Interface*> Interfaces::find(std::string_view text) const {
    const auto nii = Nii::resolve(text);
    if (!nii)
        return fail(ErrorCode::no_such_interface, "interface: no NII \"" + shortened(text) + "\"");
    if (const auto found = interfaces_.find(*nii); found != interfaces_.end())
        return found->second.get();
    if (naming_.known(*nii))
        return fail(ErrorCode::unavailable, nii->text() + ": its device is gone");
    if (nii->interface_class != InterfaceClass::ethernet)
        return fail(ErrorCode::not_supported,
                    "interface: this version has no " + std::string(name(nii->interface_class)));
    return fail(ErrorCode::no_such_interface, "interface: there is no " + nii->text());
}

Interface& Interfaces::ensure(Nii nii) {
    auto& interface = interfaces_[nii];
    if (interface) return *interface;
    interface =
        std::make_unique<Interface>(shared_, nii, nii.index(), settings(nii), make_control_);
    return *interface;
}

Interface::Settings Interfaces::settings(Nii nii) const {
    const auto rule = naming_.rule(nii);
    return {.managed = rule.managed,
            .always_on = rule.managed && rule.always_on,
            .down_on_stop = rule.managed && rule.down_on_stop,
            .kernel_ipv6 = rule.kernel_ipv6,
            .timeouts = timeouts_};
}

std::vector<Interface*> Interfaces::all() const {
    std::vector<Interface*> out;
    for (const auto& [nii, interface] : interfaces_) out.push_back(interface.get());
    return out;
}

std::vector<Nii> Interfaces::order() const {
    std::vector<Nii> present;
    for (const auto& [nii, interface] : interfaces_) present.push_back(nii);
    return serving_order(shared_.stored, present);
}

Nii Interfaces::serving() const {
    const auto niis = order();
    for (const auto nii : niis) {
        const auto found = interfaces_.find(nii);
        if (found != interfaces_.end() && found->second->link() && found->second->enabled())
            return nii;
    }
    return niis.empty() ? Nii{} : niis.front();
}

Result<> Interfaces::may_be_stored(Nii nii) const {
    const bool known = interfaces_.contains(nii) || naming_.known(nii);
    if (known || nii.interface_class != InterfaceClass::ethernet) return {};
    return fail(ErrorCode::no_such_interface, "interface: there is no " + nii.text());
}

Result<> Interfaces::may_be_configured(Nii nii) const {
    if (auto known = may_be_stored(nii); !known) return known;
    if (nii.interface_class != InterfaceClass::ethernet || naming_.rule(nii).managed) return {};
    return fail(ErrorCode::not_supported,
                nii.text() + " is observed, not managed: it takes no configuration");
}

void Interfaces::link_changed(const Link& link) {
    auto* interface = interface_of(link.ifindex);
    if (interface != nullptr && moves(*interface, link)) {
        dissolve(interface->nii());
        interface = nullptr;
    }
    if (interface == nullptr) interface = appeared(link);
    if (interface == nullptr) return;
    interface->link_changed(link);
}

Interface* Interfaces::appeared(const Link& link) {
    const auto nii = settling_.contains(link.ifindex) ? std::nullopt : naming_.name(link);
    if (!nii) return nullptr;
    const bool added = !interfaces_.contains(*nii);
    auto& interface = ensure(*nii);
    by_ifindex_[link.ifindex] = &interface;
    log::info("device", {{"interface", nii->text()},
                         {"device", link.name},
                         {"mac", link.mac.text()},
                         {"managed", interface.managed() ? "true" : "false"}});
    if (added && observer_ != nullptr) observer_->interface_added(interface);
    kept_names_.keep(write_record(naming_.names()));
    return &interface;
}

/// udev names a device when we have met it already. A rule may mean it by that name alone.
bool Interfaces::moves(const Interface& interface, const Link& link) const {
    if (!interface.link() || interface.link()->name == link.name || interface.sessions() > 0)
        return false;
    const auto meant = naming_.by_rule(link);
    return meant && *meant != interface.nii() && !naming_.taken(*meant);
}

void Interfaces::woken_up() const {
    for (auto* interface : all()) interface->woken_up();
}

void Interfaces::stored_changed() {
    for (auto* interface : all()) interface->stored_changed();
    const auto& stored = shared_.stored;
    const auto now = std::make_pair(stored.server_order, stored.first_choice);
    if (std::exchange(announced_, now) != now && observer_ != nullptr) observer_->order_changed();
}

void Interfaces::set_timeouts(Interface::Timeouts timeouts) {
    timeouts_ = timeouts;
    for (auto* interface : all()) interface->set_settings(settings(interface->nii()));
}

const std::vector<InterfaceRule>& Interfaces::set_rules(const std::vector<InterfaceRule>& rules) {
    auto next = naming_.under(admissible(rules));
    const bool rename = !next.same_devices(naming_);
    std::vector<Nii> anew;
    for (const auto& [nii, interface] : interfaces_) {
        const auto& link = interface->link();
        if (!link) continue;
        const bool renamed = rename && next.look(*link, nii) != nii;
        if (renamed) next.forget(nii);
        if (renamed || next.rule(nii).managed != interface->managed()) anew.push_back(nii);
    }
    naming_ = std::move(next);
    for (const auto nii : anew) dissolve(nii);
    for (auto* interface : all()) interface->set_settings(settings(interface->nii()));
    look_again();
    kept_names_.keep(write_record(naming_.names()));
    return naming_.rules();
}

/// Those rules, except for what must not change now.
std::vector<InterfaceRule> Interfaces::admissible(const std::vector<InterfaceRule>& rules) const {
    std::map<Nii, InterfaceRule> out;
    const auto rule = [&out](Nii nii) -> InterfaceRule& {
        auto& found = out[nii];
        found.nii = nii;
        return found;
    };
    for (const auto& wanted : rules) rule(wanted.nii) = wanted;
    if (const auto next = naming_.under(rules); !next.same_devices(naming_) && !may_rename(next)) {
        for (auto& [nii, kept] : out) kept.take_device(naming_.rule(nii));
        for (const auto& present : naming_.rules()) rule(present.nii).take_device(present);
    }
    for (const auto& [nii, interface] : interfaces_)
        if (interface->sessions() > 0 && interface->managed() != rule(nii).managed)
            rule(nii).managed = interface->managed();
    std::vector<InterfaceRule> list;
    list.reserve(out.size());
    for (auto& [nii, admitted] : out) list.push_back(std::move(admitted));
    return list;
}

/// Do all that are in use keep their devices?
bool Interfaces::may_rename(const Naming& next) const {
    return std::all_of(interfaces_.begin(), interfaces_.end(), [&](const auto& entry) {
        const auto& [nii, interface] = entry;
        if (interface->sessions() == 0) return true;
        const auto& link = interface->link();
        return link ? next.look(*link, nii) == nii : next.rule(nii).same_device(naming_.rule(nii));
    });
}

bool Interfaces::down_on_stop() const {
    return std::any_of(interfaces_.begin(), interfaces_.end(),
                       [](const auto& entry) { return entry.second->down_on_stop(); });
}

void Interfaces::service_stops() const {
    for (auto* interface : all()) interface->service_stops();
}

/// Its device is there, and is to be another interface, or the same in another way.
void Interfaces::dissolve(Nii nii) {
    const auto found = interfaces_.find(nii);
    auto& interface = *found->second;
    const int ifindex = interface.link()->ifindex;
    const bool settles = interface.give_up();
    by_ifindex_.erase(ifindex);
    naming_.release(nii);
    if (observer_ != nullptr) observer_->interface_removed(interface);
    interfaces_.erase(found);
    if (settles) settle(ifindex);
}

/// Its former interface is powering it down. What comes next must not take the echo for another
/// program's doing.
void Interfaces::settle(int ifindex) {
    settling_.insert(ifindex);
    links_.set_up(ifindex, false, [this, ifindex](const Result<>&) {
        settling_.erase(ifindex);
        look_again();
    });
}

void Interfaces::link_removed(int ifindex) {
    settling_.erase(ifindex);
    auto* interface = interface_of(ifindex);
    if (interface == nullptr) return;
    by_ifindex_.erase(ifindex);
    naming_.release(interface->nii());
    interface->link_removed();
    look_again_later();
}

void Interfaces::look_again_later() {
    // Once for all that go in this turn.
    if (std::exchange(looks_again_, true)) return;
    shared_.loop.defer([this] {
        looks_again_ = false;
        look_again();
    });
}

void Interfaces::look_again() {
    for (const auto& link : links_.links())
        if (interface_of(link.ifindex) == nullptr) link_changed(link);
}

void Interfaces::addresses_changed(int ifindex) {
    if (auto* interface = interface_of(ifindex)) interface->addresses_changed();
}

void Interfaces::interface_reported(Interface& interface, const StateReport& report) {
    if (observer_ != nullptr) observer_->interface_reported(interface, report);
}

void Interfaces::interface_changed(Interface& interface) {
    if (!interface.link() && interface.sessions() == 0) {
        // Not now: the interface's own frames are on the stack.
        shared_.loop.defer([this, nii = interface.nii()] { retire(nii); });
    } else if (observer_ != nullptr) {
        observer_->interface_changed(interface);
    }
}

void Interfaces::retire(Nii nii) {
    const auto found = interfaces_.find(nii);
    if (found == interfaces_.end()) return;
    const auto& interface = *found->second;
    if (interface.link() || interface.sessions() > 0) return;  // it is needed again
    if (observer_ != nullptr) observer_->interface_removed(*found->second);
    interfaces_.erase(found);
}

Interface* Interfaces::interface_of(int ifindex) const {
    const auto found = by_ifindex_.find(ifindex);
    return found == by_ifindex_.end() ? nullptr : found->second;
}

}  // namespace impnetd
