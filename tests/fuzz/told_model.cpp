// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fuzz/told_model.hpp"

#include <algorithm>
#include <set>
#include <vector>

#include "fuzz/targets.hpp"

namespace fuzz {

namespace {

using impnetd::LinkAddress;
using impnetd::netlink::Change;
using impnetd::netlink::Changes;
using impnetd::netlink::Model;

bool told(const Changes& changes, Change::What what, int ifindex) {
    const auto times = std::count(changes.begin(), changes.end(), Change{what, ifindex});
    demand(times <= 1, "a change is told once");
    return times == 1;
}

std::set<int> devices(const Model& a, const Model& b) {
    std::set<int> out;
    for (const auto& link : a.links()) out.insert(link.ifindex);
    for (const auto& link : b.links()) out.insert(link.ifindex);
    return out;
}

void check_device(const Model& before, const Model& after, int ifindex, const Changes& changes) {
    using What = Change::What;
    const auto* old = before.link(ifindex);
    const auto* now = after.link(ifindex);
    demand(told(changes, What::removed, ifindex) == (now == nullptr),
           "a device is told to be removed when it is");
    demand(
        told(changes, What::link, ifindex) == (now != nullptr && (old == nullptr || *old != *now)),
        "a device is told when it is new or differs");
    const bool differs = before.addresses(ifindex) != after.addresses(ifindex) ||
                         before.gateway(ifindex) != after.gateway(ifindex);
    if (now == nullptr)
        demand(!told(changes, What::addresses, ifindex), "nothing is told of what is removed");
    else
        demand(told(changes, What::addresses, ifindex) || !differs,
               "addresses and the gateway are told when they differ");
}

void check_order(const Model& model) {
    const auto links = model.links();
    for (std::size_t i = 1; i < links.size(); ++i)
        demand(links[i - 1].ifindex < links[i].ifindex, "devices are in order, each once");
    for (const auto& link : links) {
        demand(model.link(link.ifindex) != nullptr && *model.link(link.ifindex) == link,
               "a device is found by its index");
        const auto addresses = model.addresses(link.ifindex);
        demand(std::is_partitioned(addresses.begin(), addresses.end(),
                                   [](const LinkAddress& a) { return !a.secondary; }),
               "primary addresses come first");
        for (const auto& address : addresses)
            demand(address.ifindex == link.ifindex, "an address is on its device");
    }
}

}  // namespace

void ToldModel::apply(const impnetd::netlink::Message& message) {
    const Model before = model_;
    Changes changes;
    model_.apply(message, changes);
    check(before, changes);

    Model again = model_;
    changes.clear();
    again.apply(message, changes);
    demand(again == model_ && changes.empty(), "the same words again change nothing");
}

void ToldModel::become(const ToldModel& fresh) {
    const Model before = model_;
    Changes changes;
    model_.become(fresh.model_, changes);
    demand(model_ == fresh.model_, "after a loss the model is the fresh one");
    check(before, changes);

    changes.clear();
    model_.become(fresh.model_, changes);
    demand(changes.empty(), "without a difference nothing is told");
}

void ToldModel::check(const Model& before, const Changes& changes) const {
    const auto known = devices(before, model_);
    for (const int ifindex : known) check_device(before, model_, ifindex, changes);
    for (const auto& change : changes)
        demand(known.count(change.ifindex) == 1, "only devices are told of");
    check_order(model_);
}

}  // namespace fuzz
