// SPDX-License-Identifier: LGPL-2.1-or-later
#include "network/managed_ethernet.hpp"

#include <algorithm>
#include <utility>

#include "log/log.hpp"

namespace impnetd {

using namespace ethernet;

namespace {

constexpr std::size_t told_kept = 16;

}  // namespace

ManagedEthernet::ManagedEthernet(Loop& loop, Interface& interface, LinkPort& links,
                                 const Ports& ports, std::string hostname,
                                 const InterfaceRecord* before)
    : interface_(interface),
      links_(links),
      hostname_(std::move(hostname)),
      deadline_(loop, [this] { feed(DeadlinePassed{}); }),
      lease_port_(ports.lease(*this)),
      conflict_port_(ports.conflict(*this)) {
    machine_.enabled = interface_.enabled();
    machine_.stored = interface_.stored().static_network(interface_.nii());
    if (before == nullptr) return;
    lease_ = before->lease;
    proxy_ = before->proxy;
    found_ = before->found;
    found_mtu_ = before->found_mtu;
    machine_.state = before->state;
    machine_.wanted = true;
    machine_.leased = lease_.has_value();
    machine_.extended = before->extended;
    machine_.static_network = before->static_network;
    machine_.address = before->address;
    address_seen_ = machine_.address.has_value();
    if (machine_.address) placed_.push_back(machine_.address->network);
    if (before->link.ifindex != 0) {
        link_ = before->link;
        machine_.present = true;
        machine_.carrier = link_->up && link_->carrier;
        taking_over_ = true;
    }
    if (machine_.state == State::connected) interface_.set_ip_table(table());
}

void ManagedEthernet::describe(InterfaceRecord& record) const {
    record.address = machine_.address;
    if (machine_.leased) record.lease = lease_;
    record.static_network = machine_.static_network;
    record.proxy = proxy_;
    record.found = found_;
    record.found_mtu = found_mtu_;
}

// --- What happens -------------------------------------------------------------------------------

void ManagedEthernet::opened(const Nic& nic) {
    proxy_ = nic.extended() ? nic.proxy : interface_.stored().proxy;
    feed(Wanted{nic.static_network, nic.extended()});
    // It may run already: then the proxy is all that is new.
    if (machine_.state == State::connected) interface_.set_ip_table(table());
}

void ManagedEthernet::closed() {
    feed(Unwanted{});
    notice_others();
}

void ManagedEthernet::link_changed(const Link& link) {
    const auto before = std::exchange(link_, link);
    const bool carrier = link.up && link.carrier;
    const bool taking_over = std::exchange(taking_over_, false);
    if (taking_over) {
        if (machine_.leased) lease_port_->adopt(lease_request(), *lease_);
        kernel_ipv6_changed();  // perhaps, while there was no process
        feed(TakenOver{});
    }
    if (!before)
        feed(DeviceAppeared{carrier});
    else if (before->up && !link.up)
        feed(SetDown{});
    else {
        if (carrier_flapped(*before, link)) feed(CarrierChanged{false});
        feed(CarrierChanged{carrier});
    }
    if (taking_over) addresses_changed();
}

void ManagedEthernet::link_removed() {
    link_.reset();
    found_.reset();
    found_mtu_.reset();
    placed_.clear();
    contended_ = false;
    told_.clear();
    taking_over_ = false;
    address_seen_ = false;
    feed(DeviceRemoved{});
}

/// As at the end of its use; but who uses the interface goes on without a device.
void ManagedEthernet::give_back() {
    if (!link_ || !machine_.wanted) return;
    if (machine_.address) perform(Withdraw{machine_.address->network});
    perform(Power{false});
}

void ManagedEthernet::addresses_changed() {
    notice_others();
    if (!machine_.address) return;
    const auto addresses = links_.addresses(ifindex());
    const bool there = std::any_of(addresses.begin(), addresses.end(), [&](const auto& address) {
        return address.network == machine_.address->network;
    });
    if (there) {
        address_seen_ = true;
    } else if (std::exchange(address_seen_, false)) {
        std::erase(placed_, machine_.address->network);
        feed(AddressGone{});
    }
}

/// Does another program configure the device? Told once, and left alone.
void ManagedEthernet::notice_others() {
    if (!machine_.wanted) told_.clear();
    std::string foreign;
    if (machine_.wanted && link_) {
        const auto addresses = links_.addresses(ifindex());
        const auto stranger = std::find_if(
            addresses.begin(), addresses.end(),
            [this](const LinkAddress& address) { return !is_placed(address.network); });
        if (stranger != addresses.end())
            foreign = "the address " + stranger->network.text();
        else if (const auto gateway = links_.gateway(ifindex()))
            foreign = "a default route via " + gateway->text();
    }
    const bool before = std::exchange(contended_, !foreign.empty());
    // What a DHCP client takes away with the carrier, and brings back with it, is no news. But what
    // is remembered of it does not grow for ever.
    if (!contended_ || before || told_.contains(foreign)) return;
    if (told_.size() == told_kept) told_.clear();
    told_.insert(foreign);
    log::warning("interface_contended", {{"interface", interface_.nii().text()},
                                         {"device", link_->name},
                                         {"reason", "another program gave it " + foreign}});
}

bool ManagedEthernet::is_placed(const Ipv4Network& network) const {
    return std::find(placed_.begin(), placed_.end(), network) != placed_.end();
}

void ManagedEthernet::woken_up() {
    feed(WokenUp{});
}

void ManagedEthernet::stored_changed() {
    feed(Stored{interface_.enabled(), interface_.stored().static_network(interface_.nii())});
}

void ManagedEthernet::kernel_ipv6_changed() {
    if (link_ && found_) claim_device();
}

void ManagedEthernet::lease_obtained(const Lease& lease) {
    if (!lease_ || lease_->routes != lease.routes) note_routes(lease.routes);
    lease_ = lease;
    log::info("lease", {{"interface", interface_.nii().text()},
                        {"address", lease.network.text()},
                        {"dhcp_server", lease.server ? lease.server->text() : ""},
                        {"lease_seconds", std::to_string(lease.seconds)}});
    feed(LeaseObtained{lease});
    if (machine_.state == State::connected) interface_.set_ip_table(table());
}

void ManagedEthernet::lease_lost(const std::string& reason) {
    lease_.reset();
    feed(LeaseLost{reason});
}

void ManagedEthernet::lease_refused(const std::string& reason) {
    log::warning("lease_refused", {{"interface", interface_.nii().text()}, {"reason", reason}});
    feed(LeaseRefused{reason});
}

void ManagedEthernet::address_claimed(const MacAddress& by, bool probing) {
    // Another device of this host on the same LAN: left to itself, the kernel answers there, too.
    const auto links = links_.links();
    if (std::any_of(links.begin(), links.end(), [&](const Link& link) { return link.mac == by; }))
        return;
    log::warning("address_conflict",
                 {{"interface", interface_.nii().text()},
                  {"address", machine_.address ? machine_.address->network.address.text() : ""},
                  {"mac", by.text()}});
    const std::chrono::microseconds now(monotonic_usec());
    feed(AddressConflict{by, probing, std::chrono::duration_cast<Milliseconds>(now)});
}

void ManagedEthernet::address_proven() {
    feed(AddressProven{});
}

// --- What is done about it -----------------------------------------------------------------------

void ManagedEthernet::feed(Event event) {
    events_.push_back(std::move(event));
    if (stepping_) return;  // further up the stack, which goes on with this one
    stepping_ = true;
    const std::unique_ptr<bool, void (*)(bool*)> done(&stepping_,
                                                      [](bool* flag) { *flag = false; });
    while (!events_.empty()) {
        const Timing timing{.attempt = interface_.settings().timeouts.attempt};
        auto [machine, actions] = step(machine_, events_.front(), timing);
        events_.pop_front();
        machine_ = std::move(machine);
        for (const auto& action : actions)
            std::visit([this](const auto& a) { perform(a); }, action);
    }
    interface_.keep();
}

void ManagedEthernet::perform(const Enter& action) {
    if (action.state == State::starting && !machine_.extended) proxy_ = interface_.stored().proxy;
    interface_.set_state(action.state, action.reason,
                         action.state == State::connected ? table() : std::nullopt);
}

void ManagedEthernet::perform(const Power& action) {
    const int epoch = ++*epoch_;
    if (action.up) {
        claim_device();
        notice_others();
    }
    if (!action.up) ++power_downs_;
    links_.set_up(
        ifindex(), action.up,
        [this, up = action.up, epoch, alive = std::weak_ptr(epoch_)](const Result<>& result) {
            const auto now = alive.lock();
            if (!now) return;
            if (!up) --power_downs_;
            if (*now == epoch && !result) feed(Fault{result.error().message});
        });
    if (!action.up) release_device();
}

/// Before it is powered, so that it never has what it shall not have; and each time, for another
/// program may have changed it meanwhile.
void ManagedEthernet::claim_device() {
    const auto now = links_.settings(ifindex());
    if (!now) return;
    if (!found_) found_ = now;
    const bool ipv6_off = !interface_.settings().kernel_ipv6;
    auto base = *now;
    // It is off because we have turned it off, when the configuration still said so.
    if (!ipv6_off && now->ipv6 == managed_settings(*found_, true).ipv6) base.ipv6 = found_->ipv6;
    const auto wanted = managed_settings(base, ipv6_off);
    if (wanted != *now) configure(wanted);
}

/// It is as we found it again. After the power, so that IPv6 does not come up for a moment.
void ManagedEthernet::release_device() {
    const auto found = std::exchange(found_, std::nullopt);
    settle_mtu(std::nullopt);  // another program may have taken the address, but not the MTU
    if (found) configure(*found);
}

/// The server's as long as its lease is on the device, and else the one that it was found with.
void ManagedEthernet::settle_mtu(std::optional<std::uint16_t> offered) {
    if (!link_) return;
    if (offered && link_->max_mtu != 0 && *offered > link_->max_mtu) offered.reset();
    if (!offered && !found_mtu_) return;
    if (!found_mtu_) found_mtu_ = link_->mtu;
    const auto mtu = offered ? *offered : *found_mtu_;
    links_.set_mtu(ifindex(), mtu, configured());
    if (!offered) found_mtu_.reset();
    // Below 1280 the kernel has no IPv6 on a device (RFC 8200, 5), and above it makes it anew.
    if (found_) claim_device();
}

/// There is no default route yet, nor any other: a server's wish is written down.
void ManagedEthernet::note_routes(const std::vector<StaticRoute>& routes) const {
    std::string text;
    for (const auto& route : routes)
        text +=
            (text.empty() ? "" : ", ") + route.destination.text() + " via " + route.gateway.text();
    if (text.empty()) return;
    log::info("lease_routes", {{"interface", interface_.nii().text()}, {"routes", text}});
}

void ManagedEthernet::configure(const LinkSettings& settings) {
    links_.configure(ifindex(), settings, configured());
}

/// The device goes on without what the kernel refuses; that is written down.
LinkPort::Done ManagedEthernet::configured() const {
    return [name = interface_.nii().text()](const Result<>& result) {
        if (!result)
            log::warning("configure_failed",
                         {{"interface", name}, {"reason", result.error().message}});
    };
}

void ManagedEthernet::perform(const SetDeadline& action) {
    deadline_.start(action.delay);
}

void ManagedEthernet::perform(const ClearDeadline&) {
    deadline_.stop();
}

void ManagedEthernet::perform(const StartLease& action) {
    auto request = lease_request();
    request.verify = action.verify;
    lease_port_->start(request);
}

void ManagedEthernet::perform(const RenewLease&) {
    lease_port_->renew();
}

void ManagedEthernet::perform(const StopLease&) {
    lease_port_->stop();
}

void ManagedEthernet::perform(const Assign& action) {
    const int epoch = ++*epoch_;
    settle_mtu(machine_.static_network || !lease_ ? std::nullopt : lease_->mtu);
    if (!is_placed(action.address.network)) placed_.push_back(action.address.network);
    links_.assign(ifindex(), action.address,
                  [this, epoch, alive = std::weak_ptr(epoch_)](const Result<>& result) {
                      const auto now = alive.lock();
                      if (!now || *now != epoch) return;
                      if (result)
                          feed(AddressAssigned{});
                      else
                          feed(Fault{result.error().message});
                  });
}

void ManagedEthernet::perform(const WatchAddress& action) {
    conflict_port_->watch({ifindex(), link_->mac, action.address, action.probe});
}

void ManagedEthernet::perform(const DefendAddress&) {
    conflict_port_->announce();
}

void ManagedEthernet::perform(const UnwatchAddress&) {
    conflict_port_->stop();
}

void ManagedEthernet::perform(const Withdraw& action) {
    address_seen_ = false;
    settle_mtu(std::nullopt);
    links_.withdraw(
        ifindex(), action.network,
        [this, network = action.network, alive = std::weak_ptr(epoch_)](const Result<>& result) {
            if (alive.expired()) return;
            if (!result)
                log::warning("withdraw_failed", {{"interface", interface_.nii().text()},
                                                 {"reason", result.error().message}});
            // Not if it has been put there again meanwhile.
            if (!machine_.address || machine_.address->network != network)
                std::erase(placed_, network);
        });
}

void ManagedEthernet::perform(const ForgetNic&) {
    proxy_.reset();
    interface_.nic_forgotten();
}

LeaseRequest ManagedEthernet::lease_request() const {
    LeaseRequest request;
    request.device = link_->name;
    request.ifindex = link_->ifindex;
    request.mac = link_->mac;
    request.hostname = hostname_;
    if (lease_) request.previous = lease_->network.address;
    return request;
}

int ManagedEthernet::ifindex() const {
    return link_ ? link_->ifindex : 0;
}

std::optional<IpTable> ManagedEthernet::table() const {
    IpTable out;
    if (const auto& fixed = machine_.static_network) {
        out.network = fixed->network;
        out.broadcast = fixed->network.broadcast();
        out.gateway = fixed->gateway;
        out.dns = fixed->dns;
    } else if (lease_) {
        out.network = lease_->network;
        out.broadcast = lease_->broadcast ? lease_->broadcast : lease_->network.broadcast();
        out.gateway = lease_->gateway;
        out.dhcp_server = lease_->server;
        out.dns = lease_->dns;
    } else {
        return std::nullopt;
    }
    out.proxy = proxy_;
    return out;
}

}  // namespace impnetd
