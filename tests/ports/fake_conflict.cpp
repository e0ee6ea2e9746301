// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ports/fake_conflict.hpp"

#include <stdexcept>

namespace ports {

void FakeConflict::watch(const impnetd::AddressClaim& claim) {
    watched_ = claim;
    probing_ = claim.probe;
}

void FakeConflict::announce() {
    if (watched_) ++announcements_;
}

void FakeConflict::stop() {
    watched_.reset();
    probing_ = false;
}

void FakeConflict::claim(const impnetd::MacAddress& by) {
    if (!watched_) throw std::logic_error("nobody watches the address");
    observer_.address_claimed(by, probing_);
}

void FakeConflict::prove() {
    if (!watched_ || !probing_) throw std::logic_error("no address is new");
    probing_ = false;
    observer_.address_proven();
}

}  // namespace ports
