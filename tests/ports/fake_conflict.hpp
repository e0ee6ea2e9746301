// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A ConflictPort whose LAN is the test: it says who else has the address, and sees what was told to
// everybody. Saying something that no port would say is an error of the test and throws.
#pragma once

#include <optional>

#include "core/conflict.hpp"

namespace ports {

class FakeConflict final : public impnetd::ConflictPort {
  public:
    explicit FakeConflict(impnetd::ConflictPort::Observer& observer) : observer_(observer) {}

    void watch(const impnetd::AddressClaim& claim) override;
    void announce() override;
    void stop() override;

    /// Another host uses the address.
    void claim(const impnetd::MacAddress& by);
    /// Nobody has answered.
    void prove();

    /// What is watched; nothing: nothing.
    const std::optional<impnetd::AddressClaim>& watched() const { return watched_; }
    int announcements() const { return announcements_; }

  private:
    impnetd::ConflictPort::Observer& observer_;
    std::optional<impnetd::AddressClaim> watched_;
    bool probing_ = false;
    int announcements_ = 0;
};

}  // namespace ports
