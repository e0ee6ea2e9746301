// SPDX-License-Identifier: LGPL-2.1-or-later
#include "netlink/links.hpp"

#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "netlink/ipv6_switch.hpp"
#include "netlink/request.hpp"

namespace impnetd::netlink {

Links::Links(Loop& loop, std::size_t receive_buffer)
    : monitor_(loop, receive_buffer, [this](const Change& change) { tell(change); }),
      requests_(loop, [this] { monitor_.catch_up(); }) {}

void Links::tell(const Change& change) {
    if (observer_ == nullptr) return;
    switch (change.what) {
        case Change::What::link:
            if (const Link* link = monitor_.model().link(change.ifindex)) {
                observer_->link_changed(*link);
            }
            break;
        case Change::What::removed:
            observer_->link_removed(change.ifindex);
            break;
        case Change::What::addresses:
            observer_->addresses_changed(change.ifindex);
            break;
    }
}

std::vector<Link> Links::links() const {
    return monitor_.model().links();
}

std::optional<Link> Links::link(int ifindex) const {
    const Link* link = monitor_.model().link(ifindex);
    return link == nullptr ? std::nullopt : std::optional(*link);
}

std::vector<LinkAddress> Links::addresses(int ifindex) const {
    return monitor_.model().addresses(ifindex);
}

std::optional<Ipv4> Links::gateway(int ifindex) const {
    return monitor_.model().gateway(ifindex);
}

LinkCounters Links::counters(int ifindex) const {
    return counters_.read(ifindex);
}

std::uint32_t Links::speed(int ifindex) const {
    return speed_.read(name_of(ifindex));
}

void Links::set_up(int ifindex, bool up, Done done) {
    requests_.send({.message = power_request(ifindex, up),
                    .what = name_of(ifindex) + (up ? ": turning it on" : ": turning it off"),
                    .done = std::move(done)});
}

std::optional<LinkSettings> Links::settings(int ifindex) const {
    return settings_.read(ifindex);
}

void Links::set_mtu(int ifindex, std::uint32_t mtu, Done done) {
    requests_.send({.message = mtu_request(ifindex, mtu),
                    .what = name_of(ifindex) + ": MTU " + std::to_string(mtu),
                    .done = std::move(done)});
}

void Links::configure(int ifindex, const LinkSettings& settings, Done done) {
    const auto switched = std::make_shared<Result<>>();
    requests_.send({.message = configure_request(ifindex, settings),
                    .what = name_of(ifindex) + ": its settings",
                    .done = [done = std::move(done), switched](const Result<>& result) {
                        if (done) done(result ? *switched : result);
                    }});
    if (settings.ipv6) *switched = switch_ipv6(ifindex, !settings.ipv6->disabled);
}

void Links::assign(int ifindex, const AddressAssignment& address, Done done) {
    requests_.send({.message = assign_request(ifindex, address),
                    .what = name_of(ifindex) + ": adding address " + address.network.text(),
                    .done = std::move(done)});
}

void Links::withdraw(int ifindex, const Ipv4Network& network, Done done) {
    // Where the device is gone, the address is too.
    requests_.send({.message = withdraw_request(ifindex, network),
                    .what = name_of(ifindex) + ": removing address " + network.text(),
                    .also_success = {EADDRNOTAVAIL, ENODEV},
                    .done = std::move(done)});
}

std::string Links::name_of(int ifindex) const {
    const Link* link = monitor_.model().link(ifindex);
    return link == nullptr ? "device " + std::to_string(ifindex) : link->name;
}

}  // namespace impnetd::netlink
