// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ports/fake_link.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace ports {

using namespace impnetd;

namespace {

Result<> gone(int ifindex) {
    return impnetd::fail(ErrorCode::unavailable,
                         "device " + std::to_string(ifindex) + ": No such device");
}

}  // namespace

// --- The port -----------------------------------------------------------------------------------

std::vector<Link> FakeLinks::links() const {
    std::vector<Link> out;
    for (const auto& [ifindex, device] : devices_) out.push_back(device.link);
    return out;
}

std::optional<Link> FakeLinks::link(int ifindex) const {
    const auto at = devices_.find(ifindex);
    return at == devices_.end() ? std::nullopt : std::optional(at->second.link);
}

std::vector<LinkAddress> FakeLinks::addresses(int ifindex) const {
    const auto at = devices_.find(ifindex);
    return at == devices_.end() ? std::vector<LinkAddress>() : at->second.addresses;
}

std::optional<Ipv4> FakeLinks::gateway(int ifindex) const {
    const auto at = devices_.find(ifindex);
    return at == devices_.end() ? std::nullopt : at->second.gateway;
}

LinkCounters FakeLinks::counters(int ifindex) const {
    const auto at = devices_.find(ifindex);
    return at == devices_.end() ? LinkCounters() : at->second.counters;
}

std::uint32_t FakeLinks::speed(int ifindex) const {
    const auto at = devices_.find(ifindex);
    return at == devices_.end() ? 0 : at->second.speed;
}

std::optional<LinkSettings> FakeLinks::settings(int ifindex) const {
    const auto at = devices_.find(ifindex);
    return at == devices_.end() ? std::nullopt : std::optional(at->second.settings);
}

void FakeLinks::set_up(int ifindex, bool up, Done done) {
    ask({.kind = Request::Kind::set_up, .ifindex = ifindex, .up = up}, std::move(done));
}

void FakeLinks::set_mtu(int ifindex, std::uint32_t mtu, Done done) {
    ask({.kind = Request::Kind::set_mtu, .ifindex = ifindex, .mtu = mtu}, std::move(done));
}

void FakeLinks::configure(int ifindex, const LinkSettings& settings, Done done) {
    ask({.kind = Request::Kind::configure, .ifindex = ifindex, .settings = settings},
        std::move(done));
}

void FakeLinks::assign(int ifindex, const AddressAssignment& address, Done done) {
    ask({.kind = Request::Kind::assign, .ifindex = ifindex, .address = address}, std::move(done));
}

void FakeLinks::withdraw(int ifindex, const Ipv4Network& network, Done done) {
    ask({.kind = Request::Kind::withdraw,
         .ifindex = ifindex,
         .address = {network, std::nullopt, std::nullopt}},
        std::move(done));
}

// --- Its world ----------------------------------------------------------------------------------

int FakeLinks::add(const std::string& name, const std::string& path) {
    Link link;
    link.ifindex = next_ifindex_;
    link.name = name;
    link.mac.octets = {2,
                       0,
                       0,
                       0,
                       static_cast<std::uint8_t>(link.ifindex >> 8),
                       static_cast<std::uint8_t>(link.ifindex)};
    link.ethernet = true;
    link.carrier = true;
    link.path = path;
    link.mtu = 1500;
    link.max_mtu = 65535;
    add(link);
    return link.ifindex;
}

void FakeLinks::add(const Link& link) {
    if (devices_.contains(link.ifindex)) {
        throw std::logic_error("there is a device " + std::to_string(link.ifindex));
    }
    next_ifindex_ = std::max(next_ifindex_, link.ifindex + 1);
    Device& device = devices_[link.ifindex];
    device.link = link;
    device.cable = link.carrier;
    device.link.carrier = link.up && device.cable;
    notify_link(device);
}

void FakeLinks::remove(int ifindex) {
    power(ifindex, false);
    while (!device(ifindex).addresses.empty()) {
        remove_address(ifindex, device(ifindex).addresses.back().network);
    }
    devices_.erase(ifindex);
    if (observer_ != nullptr) observer_->link_removed(ifindex);
}

void FakeLinks::rename(int ifindex, const std::string& name) {
    device(ifindex).link.name = name;
    notify_link(device(ifindex));
}

void FakeLinks::pull(int ifindex) {
    device(ifindex).cable = false;
    follow(device(ifindex));
}

void FakeLinks::plug(int ifindex) {
    device(ifindex).cable = true;
    follow(device(ifindex));
}

void FakeLinks::power(int ifindex, bool up) {
    Device& device = this->device(ifindex);
    if (device.link.up == up) return;
    device.link.up = up;
    device.link.carrier = up && device.cable;
    notify_link(device);
    if (!up) set_gateway(ifindex, std::nullopt);
}

void FakeLinks::add_address(int ifindex, const Ipv4Network& network,
                            std::optional<Ipv4> broadcast) {
    auto& held = device(ifindex).addresses;
    const auto same = [&](const LinkAddress& other) { return other.network == network; };
    if (std::any_of(held.begin(), held.end(), same)) return;
    LinkAddress address{ifindex, network, broadcast, false};
    address.secondary = std::any_of(held.begin(), held.end(), [&](const LinkAddress& other) {
        return other.network.prefix == network.prefix && other.network.contains(network.address);
    });
    const auto first_secondary = std::find_if(
        held.begin(), held.end(), [](const LinkAddress& other) { return other.secondary; });
    held.insert(address.secondary ? held.end() : first_secondary, address);
    notify_addresses(ifindex);
}

void FakeLinks::remove_address(int ifindex, const Ipv4Network& network) {
    if (!take_address(device(ifindex), network)) {
        throw std::logic_error("nobody holds " + network.text());
    }
}

void FakeLinks::set_gateway(int ifindex, std::optional<Ipv4> gateway) {
    if (device(ifindex).gateway == gateway) return;
    device(ifindex).gateway = gateway;
    notify_addresses(ifindex);
}

void FakeLinks::set_counters(int ifindex, const LinkCounters& counters) {
    device(ifindex).counters = counters;
}

void FakeLinks::set_speed(int ifindex, std::uint32_t speed) {
    device(ifindex).speed = speed;
}

void FakeLinks::set_settings(int ifindex, const LinkSettings& settings) {
    device(ifindex).settings = settings;
}

FakeLinks::Device& FakeLinks::device(int ifindex) {
    const auto at = devices_.find(ifindex);
    if (at == devices_.end()) {
        throw std::logic_error("there is no device " + std::to_string(ifindex));
    }
    return at->second;
}

void FakeLinks::flap(int ifindex) {
    auto& flapping = device(ifindex);
    ++flapping.link.carrier_losses;
    notify_link(flapping);
}

/// The carrier follows the cable.
void FakeLinks::follow(Device& device) {
    const bool carrier = device.link.up && device.cable;
    if (device.link.carrier == carrier) return;
    device.link.carrier = carrier;
    if (!carrier) ++device.link.carrier_losses;
    notify_link(device);
}

/// Its place is taken, as on a host under systemd, by the first secondary one of its subnet. With
/// the last one goes the gateway.
bool FakeLinks::take_address(Device& device, const Ipv4Network& network) {
    const int ifindex = device.link.ifindex;
    auto& held = device.addresses;
    const auto at = std::find_if(held.begin(), held.end(), [&](const LinkAddress& other) {
        return other.network == network;
    });
    if (at == held.end()) return false;
    const bool was_primary = !at->secondary;
    held.erase(at);
    if (held.empty()) device.gateway = std::nullopt;
    notify_addresses(ifindex);

    const auto heir = std::find_if(held.begin(), held.end(), [&](const LinkAddress& other) {
        return other.secondary && other.network.prefix == network.prefix &&
               other.network.contains(network.address);
    });
    if (!was_primary || heir == held.end()) return true;
    heir->secondary = false;
    const auto first_secondary = std::find_if(
        held.begin(), held.end(), [](const LinkAddress& other) { return other.secondary; });
    if (first_secondary < heir) std::rotate(first_secondary, heir, heir + 1);
    notify_addresses(ifindex);
    return true;
}

void FakeLinks::notify_link(const Device& device) {
    if (observer_ != nullptr) observer_->link_changed(device.link);
}

void FakeLinks::notify_addresses(int ifindex) {
    if (observer_ != nullptr) observer_->addresses_changed(ifindex);
}

// --- The requests -------------------------------------------------------------------------------

void FakeLinks::ask(const Request& request, Done done) {
    requests_.push_back(request);
    pending_.push_back({request, std::move(done)});
    if (loop_ == nullptr) return;
    loop_->defer([this, alive = std::weak_ptr(alive_)] {
        if (!alive.expired() && !pending_.empty()) complete();
    });
}

std::vector<FakeLinks::Request> FakeLinks::pending() const {
    std::vector<Request> out;
    for (const auto& pending : pending_) out.push_back(pending.request);
    return out;
}

void FakeLinks::complete() {
    if (pending_.empty()) throw std::logic_error("no request is pending");
    const Pending oldest = std::move(pending_.front());
    pending_.pop_front();
    const auto result = carry_out(oldest.request);
    if (oldest.done) oldest.done(result);
}

void FakeLinks::complete_all() {
    while (!pending_.empty()) complete();
}

void FakeLinks::fail(const std::string& message, ErrorCode code) {
    if (pending_.empty()) throw std::logic_error("no request is pending");
    const Pending oldest = std::move(pending_.front());
    pending_.pop_front();
    if (oldest.done) oldest.done(impnetd::fail(code, message));
}

Result<> FakeLinks::carry_out(const Request& request) {
    const bool there = devices_.contains(request.ifindex);
    switch (request.kind) {
        case Request::Kind::set_up:
            if (!there) return gone(request.ifindex);
            power(request.ifindex, request.up);
            break;
        case Request::Kind::set_mtu: {
            if (!there) return gone(request.ifindex);
            auto& link = device(request.ifindex).link;
            if (request.mtu > link.max_mtu)
                return impnetd::fail(ErrorCode::failed, link.name + ": mtu greater than maximum");
            if (link.mtu == request.mtu) break;
            link.mtu = request.mtu;
            notify_link(device(request.ifindex));
            break;
        }
        case Request::Kind::configure:
            if (!there) return gone(request.ifindex);
            {
                auto settings = request.settings;
                if (!settings.ipv6) settings.ipv6 = device(request.ifindex).settings.ipv6;
                set_settings(request.ifindex, settings);
            }
            break;
        case Request::Kind::assign:
            if (!there) return gone(request.ifindex);
            add_address(request.ifindex, request.address.network, request.address.broadcast);
            break;
        case Request::Kind::withdraw:
            if (there) take_address(device(request.ifindex), request.address.network);
            break;
    }
    return {};
}

}  // namespace ports
