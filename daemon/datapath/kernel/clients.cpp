// SPDX-License-Identifier: LGPL-2.1-or-later
#include "datapath/kernel/clients.hpp"

namespace impnetd::kernel {

Result<Clients::Membership> Clients::join(const std::string& key) {
    if (const auto known = slots_.find(key); known != slots_.end()) return enter(known->second);
    Slot slot = 0;
    while (unused_ < IMPNET_CLIENTS && clients_.contains(unused_)) ++unused_;
    if (unused_ < IMPNET_CLIENTS) {
        slot = unused_++;
    } else if (!idle_.empty()) {
        slot = idle_.front();
        idle_.pop_front();
        slots_.erase(clients_.at(slot).key);
    } else {
        return fail(ErrorCode::limit_exceeded, "impnetd has all the clients it can have");
    }
    programs_.clear_share(slot);
    slots_[key] = slot;
    clients_[slot] = {key, 0};
    return enter(slot);
}

Result<Clients::Membership> Clients::rejoin(const std::string& key, Slot slot) {
    const auto known = slots_.find(key);
    // Two keys on one slot, or one key on two: not what a daemon leaves behind. It starts anew.
    if (known != slots_.end() || slot >= IMPNET_CLIENTS || clients_.contains(slot))
        return join(key);
    slots_[key] = slot;
    clients_[slot] = {key, 0};
    return enter(slot);
}

const Clients::Slot* Clients::find(const std::string& key) const {
    const auto known = slots_.find(key);
    if (known == slots_.end() || clients_.at(known->second).sockets == 0) return nullptr;
    return &known->second;
}

Clients::Membership Clients::enter(Slot slot) {
    if (clients_.at(slot).sockets++ == 0) {
        idle_.remove(slot);
        programs_.set_clients(++count_);
    }
    return {*this, slot};
}

void Clients::leave(Slot slot) {
    if (--clients_.at(slot).sockets > 0) return;
    idle_.push_back(slot);
    programs_.set_clients(--count_);
}

}  // namespace impnetd::kernel
