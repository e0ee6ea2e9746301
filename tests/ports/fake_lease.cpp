// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ports/fake_lease.hpp"

#include <stdexcept>

namespace ports {

namespace {

void expect(bool condition, const char* what) {
    if (!condition) throw std::logic_error(std::string("the test's DHCP server reports ") + what);
}

}  // namespace

void FakeLease::start(const impnetd::LeaseRequest& request) {
    held_.reset();
    running_ = true;
    starts_.push_back(request);
}

void FakeLease::adopt(const impnetd::LeaseRequest& request, const impnetd::Lease& lease) {
    start(request);
    held_ = lease;
}

void FakeLease::renew() {
    if (running_) ++renewals_;
}

void FakeLease::stop() {
    held_.reset();
    running_ = false;
    ++stops_;
}

void FakeLease::grant(const impnetd::Lease& lease) {
    expect(running_, "a lease for a client that does not run");
    held_ = lease;
    observer_.lease_obtained(lease);
}

void FakeLease::take_away(const std::string& reason) {
    expect(running_ && held_, "the loss of a lease that is not held");
    held_.reset();
    observer_.lease_lost(reason);
}

void FakeLease::refuse(const std::string& reason) {
    expect(running_ && !held_, "a refusal to a client that has a lease, or does not run");
    observer_.lease_refused(reason);
}

}  // namespace ports
