// SPDX-License-Identifier: LGPL-2.1-or-later
#include "network/interface.hpp"

#include <algorithm>
#include <system_error>
#include <utility>

#include "log/log.hpp"

namespace impnetd {

namespace {

std::string kept_name(Nii nii) {
    return "interface-" + nii.text();
}

Nic plain_nic(Nii nii) {
    Nic nic;
    nic.interface = nii.text();
    nic.nii = nii;
    return nic;
}

}  // namespace

Interface::Interface(const Shared& shared, Nii nii, DataPath::Slot slot, Settings settings,
                     const MakeControl& make_control)
    : shared_(shared),
      nii_(nii),
      slot_(slot),
      settings_(settings),
      linger_(shared.loop, [this] { linger_over(); }),
      was_enabled_(enabled()) {
    const auto before = inherit();
    if (before) {
        restored_ = true;
        settings_.managed = before->managed;
        state_ = before->state;
        reason_ = before->reason;
        extended_ = before->extended;
        if (before->link.ifindex != 0) link_ = before->link;
    }
    control_ = make_control(*this, managed(), before ? &*before : nullptr);
    if (restored_) tell_data_path();
    if (settings_.always_on && state_ == State::unknown) control_->opened(plain_nic(nii_));
}

/// What the process before us kept of it. If it kept nothing that can be read, everything begins
/// anew.
std::optional<InterfaceRecord> Interface::inherit() {
    const auto name = kept_name(nii_);
    if (!shared_.store.has_inherited(name)) return std::nullopt;
    kept_ = std::make_unique<KeptValue>(shared_.store, name);
    auto record =
        kept_->read().and_then([](const auto& bytes) { return read_interface_record(bytes); });
    if (!record || record->nii != nii_) return std::nullopt;
    return std::move(*record);
}

Interface::~Interface() {
    shared_.data_path.set_interface(slot_, {});
}

Result<> Interface::admits(const Nic& nic) const {
    const auto name = nii_.text();
    if (!enabled()) return fail(ErrorCode::unavailable, name + " is disabled");
    if (!link_) return fail(ErrorCode::unavailable, name + ": its device is gone");
    if (!nic.extended()) return {};
    if (!managed())
        return fail(ErrorCode::not_supported,
                    name + " is observed, not managed: it takes no configuration");
    if (!users_.empty())
        return fail(
            ErrorCode::in_use,
            name + " is in use: it takes no other configuration until the last session ends");
    return {};
}

void Interface::join(User& session, const Nic& nic) {
    const bool first = users_.empty();
    linger_.stop();
    users_.push_back(&session);
    const auto steps = steps_;
    if (first) {
        extended_ = nic.extended();
        control_->opened(nic);
    }
    if (steps == steps_ && state_ != State::unknown)
        session.state_reported({state_, State::unknown, monotonic_usec(), reason_});
    shared_.observer.interface_changed(*this);
    keep();
}

void Interface::rejoin(User& session, const Nic& nic) {
    users_.push_back(&session);
    if (restored_) {
        // The process before us may have been ended before it had told the last step.
        session.state_reported({state_, state_, monotonic_usec(), reason_});
        return;
    }
    if (users_.size() > 1) return;
    extended_ = nic.extended();
    control_->opened(nic);
}

void Interface::rejoined() {
    if (!enabled()) tell_unusable("disabled");
    const bool in_use = restored_ && managed() && state_ != State::unknown;
    if (in_use && users_.empty() && !settings_.always_on) linger_.start(settings_.timeouts.linger);
}

void Interface::leave(User& session) {
    std::erase(users_, &session);
    shared_.observer.interface_changed(*this);
    if (!users_.empty()) return;
    // A configuration that a client brought along ends with its last session, at once.
    if (extended_ || !link_)
        linger_over();
    else if (!settings_.always_on)
        linger_.start(settings_.timeouts.linger);
}

void Interface::linger_over() {
    extended_ = false;
    if (settings_.always_on)
        control_->opened(plain_nic(nii_));
    else
        control_->closed();
    shared_.observer.interface_changed(*this);
    keep();
}

void Interface::service_stops() {
    if (settings_.down_on_stop) control_->closed();
}

bool Interface::give_up() {
    linger_.stop();
    control_->closed();
    return control_->powering_down();
}

bool Interface::begin_anew(bool there, const Settings& settings, const MakeControl& make_control) {
    if (there) control_->give_back();
    link_removed();
    const bool powering_down = control_->powering_down();
    if (managed() != settings.managed) {
        settings_ = settings;
        control_ = make_control(*this, managed(), nullptr);
        // What somebody brought along went with the device.
        control_->opened(plain_nic(nii_));
        keep();
    }
    return powering_down;
}

void Interface::set_settings(const Settings& settings) {
    const auto before = std::exchange(settings_, settings);
    settings_.managed = before.managed;
    if (before.kernel_ipv6 != settings_.kernel_ipv6) control_->kernel_ipv6_changed();
    // Whoever has it open keeps it up anyhow.
    if (before.always_on == settings_.always_on || !users_.empty()) return;
    if (settings_.always_on) {
        linger_.stop();
        control_->opened(plain_nic(nii_));
    } else {
        linger_.start(settings_.timeouts.linger);
    }
}

void Interface::stored_changed() {
    control_->stored_changed();
    if (std::exchange(was_enabled_, enabled()) == enabled()) return;
    if (!enabled()) tell_unusable("disabled");
    shared_.observer.interface_changed(*this);
}

void Interface::link_changed(const Link& link) {
    // While nobody looked another device may have come in its place.
    if (link_ && link_->ifindex != link.ifindex) link_removed();
    const bool same_name = link_ && link_->name == link.name;
    link_ = link;
    if (!same_name) tell_data_path();
    control_->link_changed(link);
    shared_.observer.interface_changed(*this);
    keep();
}

void Interface::link_removed() {
    if (!link_) return;
    link_.reset();
    control_->link_removed();
    tell_unusable("device removed");
    tell_data_path();
    shared_.observer.interface_changed(*this);
    keep();
}

/// After the state, so that a program learns why before its sockets go.
void Interface::tell_unusable(const std::string& reason) {
    for (auto* user : std::vector(users_)) user->unusable(reason);
}

void Interface::addresses_changed() {
    control_->addresses_changed();
    shared_.observer.interface_changed(*this);
}

void Interface::set_state(State state, std::string reason, std::optional<IpTable> table) {
    if (state == state_) {
        reason_ = std::move(reason);
        set_ip_table(std::move(table));
        shared_.observer.interface_changed(*this);
        return;
    }
    ip_table_ = std::move(table);
    ++steps_;
    const StateReport report{state, std::exchange(state_, state), monotonic_usec(), reason};
    reason_ = std::move(reason);
    keep();  // first: what is told must not be taken back by the process after us
    tell_data_path();
    log::info("state", {{"interface", nii_.text()},
                        {"state", std::to_string(number(report.state))},
                        {"state_name", std::string(name(report.state))},
                        {"previous_state", std::to_string(number(report.previous))},
                        {"previous_state_name", std::string(name(report.previous))},
                        {"reason", report.reason}});
    shared_.observer.interface_reported(*this, report);
    for (auto* user : std::vector(users_)) user->state_reported(report);
    shared_.observer.interface_changed(*this);
}

void Interface::set_ip_table(std::optional<IpTable> table) {
    if (table == ip_table_) return;
    ip_table_ = std::move(table);
    tell_data_path();
    shared_.observer.interface_changed(*this);
}

void Interface::keep() {
    if (!control_) return;  // it is being made
    if (state_ == State::unknown) {
        kept_.reset();
        return;
    }
    InterfaceRecord record;
    record.nii = nii_;
    record.managed = managed();
    if (link_) record.link = *link_;
    record.state = state_;
    record.reason = reason_;
    record.extended = extended_;
    control_->describe(record);
    if (kept_ && record == kept_record_) return;
    try {
        if (!kept_) kept_ = std::make_unique<KeptValue>(shared_.store, kept_name(nii_));
    } catch (const std::system_error& e) {
        // The interface itself is well. The next change tries again.
        log::error("not_kept", {{"kept", kept_name(nii_)}, {"reason", e.what()}});
        return;
    }
    kept_->keep(write_record(record));
    kept_record_ = std::move(record);
}

void Interface::tell_data_path() {
    InterfaceFacts facts;
    if (link_) {
        facts.ifindex = link_->ifindex;
        facts.device = link_->name;
        if (state_ == State::connected && ip_table_) facts.network = ip_table_->network;
    }
    shared_.data_path.set_interface(slot_, facts);
}

}  // namespace impnetd
