// SPDX-License-Identifier: LGPL-2.1-or-later
#include "netlink/model.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace impnetd::netlink {

namespace {

/// As the kernel tells addresses of a device apart.
bool same_address(const Address& a, const Address& b) {
    return a.address.network == b.address.network &&
           Ipv4Network{a.peer, a.address.network.prefix}.contains(b.peer);
}

/// As the kernel orders them: primary ones by falling scope number, in the order they came, then
/// the secondary ones.
void insert_in_order(std::vector<Address>& addresses, const Address& address) {
    auto at = addresses.end();
    if (!address.address.secondary) {
        at = std::find_if(addresses.begin(), addresses.end(), [&](const Address& other) {
            return other.address.secondary || other.scope < address.scope;
        });
    }
    addresses.insert(at, address);
}

bool differs(const std::vector<Address>& a, const std::vector<Address>& b) {
    return !std::equal(
        a.begin(), a.end(), b.begin(), b.end(),
        [](const Address& left, const Address& right) { return left.address == right.address; });
}

void note(Changes& changes, Change::What what, int ifindex) {
    changes.push_back({what, ifindex});
}

}  // namespace

void Model::apply(const Message& message, Changes& changes) {
    Changes told;
    std::visit([this, &told](const auto& concrete) { this->take(concrete, told); }, message);
    changes.insert(changes.end(), told.begin(), told.end());
}

// --- Devices ------------------------------------------------------------------------------------

void Model::take(const LinkSeen& message, Changes& changes) {
    const Link& link = message.link;
    auto at = place_of(link.ifindex);
    const bool known = at != devices_.end() && at->link.ifindex == link.ifindex;
    const bool came_up = link.up && (!known || !at->link.up);
    if (!known) {
        devices_.insert(at, Device{.link = link, .addresses = {}, .gateway = {}});
        note(changes, Change::What::link, link.ifindex);
    } else if (at->link != link) {
        at->link = link;
        note(changes, Change::What::link, link.ifindex);
    }
    if (!link.up || came_up) {
        set_hops_dead(link.ifindex, !link.up);
        settle_gateways(changes);
    }
}

void Model::take(const LinkGone& message, Changes& changes) {
    const auto at = place_of(message.ifindex);
    if (at == devices_.end() || at->link.ifindex != message.ifindex) return;
    devices_.erase(at);
    note(changes, Change::What::removed, message.ifindex);
    // Unlike one that is down, it takes whole routes along, also those with hops elsewhere.
    const auto erased = std::erase_if(routes_, [&](const DefaultRoute& route) {
        return std::any_of(route.hops.begin(), route.hops.end(),
                           [&](const NextHop& hop) { return hop.ifindex == message.ifindex; });
    });
    if (erased != 0) settle_gateways(changes);
}

// --- Addresses ----------------------------------------------------------------------------------

void Model::take(const AddressSeen& message, Changes& changes) {
    const Address& address = message.address;
    Device* device = find(address.address.ifindex);
    if (device == nullptr) return;
    auto& addresses = device->addresses;
    const auto known = std::find_if(addresses.begin(), addresses.end(), [&](const Address& other) {
        return same_address(other, address);
    });
    if (known != addresses.end() && *known == address) return;  // its lifetime was renewed
    if (known != addresses.end() && known->address.secondary == address.address.secondary &&
        known->scope == address.scope) {
        *known = address;
    } else {
        if (known != addresses.end()) addresses.erase(known);  // promoted: it changes its place
        insert_in_order(addresses, address);
    }
    note(changes, Change::What::addresses, address.address.ifindex);
    if (device->link.up) {
        set_hops_dead(address.address.ifindex, false);
        settle_gateways(changes);
    }
}

void Model::take(const AddressGone& message, Changes& changes) {
    const int ifindex = message.address.address.ifindex;
    const Ipv4 local = message.address.address.network.address;
    Device* device = find(ifindex);
    if (device == nullptr) return;
    const auto erased = std::erase_if(device->addresses, [&](const Address& other) {
        return same_address(other, message.address);
    });
    if (erased == 0) return;
    note(changes, Change::What::addresses, ifindex);
    if (!holds_address(local)) {
        std::erase_if(routes_, [&](const DefaultRoute& route) { return route.source == local; });
    }
    if (device->addresses.empty()) set_hops_dead(ifindex, true);
    settle_gateways(changes);
}

// --- Routes -------------------------------------------------------------------------------------

void Model::take(const RouteSeen& message, Changes& changes) {
    const DefaultRoute& route = message.route;
    // The kernel has no route twice; after a dump it may tell of one that was already in it.
    if (const auto twin = std::find(routes_.begin(), routes_.end(), route); twin != routes_.end()) {
        if (message.place == RouteSeen::Place::instead_of_front) {
            *twin = route;
            settle_gateways(changes);
            return;
        }
        routes_.erase(twin);
    }
    const auto by_metric = [](const DefaultRoute& a, const DefaultRoute& b) {
        return a.metric < b.metric;
    };
    const auto [first, last] = std::equal_range(routes_.begin(), routes_.end(), route, by_metric);
    switch (message.place) {
        case RouteSeen::Place::front:
            routes_.insert(first, route);
            break;
        case RouteSeen::Place::back:
            routes_.insert(last, route);
            break;
        case RouteSeen::Place::instead_of_front:
            if (first == last)
                routes_.insert(first, route);
            else
                *first = route;
            break;
    }
    settle_gateways(changes);
}

void Model::take(const RouteGone& message, Changes& changes) {
    const auto at = std::find(routes_.begin(), routes_.end(), message.route);
    if (at == routes_.end()) return;
    routes_.erase(at);
    settle_gateways(changes);
}

void Model::take(const NextHopGone& message, Changes& changes) {
    const auto erased = std::erase_if(
        routes_, [&](const DefaultRoute& route) { return route.nexthop_id == message.id; });
    if (erased != 0) settle_gateways(changes);
}

/// The kernel drops a route when its last hop dies; as long as one lives the others may come back.
void Model::set_hops_dead(int ifindex, bool dead) {
    for (auto& route : routes_) {
        for (auto& hop : route.hops) {
            if (hop.ifindex == ifindex) hop.dead = dead;
        }
    }
    if (!dead) return;
    std::erase_if(routes_, [](const DefaultRoute& route) {
        return !route.hops.empty() && std::all_of(route.hops.begin(), route.hops.end(),
                                                  [](const NextHop& hop) { return hop.dead; });
    });
}

std::optional<Ipv4> Model::gateway_by_routes(int ifindex) const {
    for (const auto& route : routes_) {
        for (const auto& hop : route.hops) {
            if (hop.ifindex == ifindex && !hop.dead) return hop.gateway;
        }
    }
    return std::nullopt;
}

void Model::settle_gateways(Changes& changes) {
    for (auto& device : devices_) {
        const auto gateway = gateway_by_routes(device.link.ifindex);
        if (gateway == device.gateway) continue;
        device.gateway = gateway;
        const Change change{Change::What::addresses, device.link.ifindex};
        // One message, one notice: its address may have gone with the gateway.
        if (std::find(changes.begin(), changes.end(), change) == changes.end())
            changes.push_back(change);
    }
}

// --- After a loss -------------------------------------------------------------------------------

void Model::become(Model fresh, Changes& changes) {
    const Model old = std::exchange(*this, std::move(fresh));
    for (const auto& device : old.devices_) {
        if (find(device.link.ifindex) == nullptr) {
            note(changes, Change::What::removed, device.link.ifindex);
        }
    }
    for (const auto& device : devices_) {
        const int ifindex = device.link.ifindex;
        const Device* before = old.find(ifindex);
        if (before == nullptr || before->link != device.link) {
            note(changes, Change::What::link, ifindex);
        }
        static const Device nothing;
        if (before == nullptr) before = &nothing;
        if (differs(before->addresses, device.addresses) || before->gateway != device.gateway) {
            note(changes, Change::What::addresses, ifindex);
        }
    }
}

// --- Reading ------------------------------------------------------------------------------------

Model::Devices::iterator Model::place_of(int ifindex) {
    return std::lower_bound(
        devices_.begin(), devices_.end(), ifindex,
        [](const Device& device, int wanted) { return device.link.ifindex < wanted; });
}

const Model::Device* Model::find(int ifindex) const {
    return const_cast<Model*>(this)->find(ifindex);
}

Model::Device* Model::find(int ifindex) {
    const auto at = place_of(ifindex);
    return at != devices_.end() && at->link.ifindex == ifindex ? &*at : nullptr;
}

bool Model::holds_address(Ipv4 address) const {
    return std::any_of(devices_.begin(), devices_.end(), [&](const Device& device) {
        return std::any_of(
            device.addresses.begin(), device.addresses.end(),
            [&](const Address& held) { return held.address.network.address == address; });
    });
}

const Link* Model::link(int ifindex) const {
    const Device* device = find(ifindex);
    return device == nullptr ? nullptr : &device->link;
}

std::vector<Link> Model::links() const {
    std::vector<Link> out;
    out.reserve(devices_.size());
    for (const auto& device : devices_) out.push_back(device.link);
    return out;
}

std::vector<LinkAddress> Model::addresses(int ifindex) const {
    std::vector<LinkAddress> out;
    if (const Device* device = find(ifindex)) {
        out.reserve(device->addresses.size());
        for (const auto& held : device->addresses) out.push_back(held.address);
    }
    return out;
}

std::optional<Ipv4> Model::gateway(int ifindex) const {
    const Device* device = find(ifindex);
    return device == nullptr ? std::nullopt : device->gateway;
}

}  // namespace impnetd::netlink
