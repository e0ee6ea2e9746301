// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A LeasePort whose DHCP server is the test: it says what the server says, and sees what was asked.
// Saying something that no port would say, such as the loss of a lease that nobody holds, is an
// error of the test and throws.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/lease.hpp"

namespace ports {

class FakeLease final : public impnetd::LeasePort {
  public:
    explicit FakeLease(impnetd::LeasePort::Observer& observer) : observer_(observer) {}

    void start(const impnetd::LeaseRequest& request) override;
    void adopt(const impnetd::LeaseRequest& request, const impnetd::Lease& lease) override;
    void renew() override;
    void stop() override;

    /// A lease is granted, renewed or changed.
    void grant(const impnetd::Lease& lease);
    /// The lease that is held is over.
    void take_away(const std::string& reason);
    /// There is none, and there won't be this time.
    void refuse(const std::string& reason);

    bool running() const { return running_; }
    const std::optional<impnetd::Lease>& held() const { return held_; }
    /// All requests it was started with so far.
    const std::vector<impnetd::LeaseRequest>& starts() const { return starts_; }
    int renewals() const { return renewals_; }
    int stops() const { return stops_; }

  private:
    impnetd::LeasePort::Observer& observer_;
    bool running_ = false;
    std::optional<impnetd::Lease> held_;
    std::vector<impnetd::LeaseRequest> starts_;
    int renewals_ = 0;
    int stops_ = 0;
};

}  // namespace ports
