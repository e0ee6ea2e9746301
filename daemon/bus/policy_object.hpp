// SPDX-License-Identifier: LGPL-2.1-or-later
//
// org.impnet1.Policy: what the policy is, what it would answer, and how much each client sends. For
// everybody.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <sdbus-c++/sdbus-c++.h>

#include "bus/arguments.hpp"
#include "bus/membership.hpp"
#include "bus/variant.hpp"
#include "core/policy.hpp"
#include "loop/loop.hpp"
#include "network/interfaces.hpp"
#include "network/sessions.hpp"
#include "org.impnet1.Policy.adaptor.hpp"

namespace impnetd::bus {

class PolicyObject final : public sdbus::AdaptorInterfaces<org::impnet1::Policy_adaptor> {
  public:
    PolicyObject(Loop& loop, sdbus::IConnection& connection, const Interfaces& interfaces,
                 const impnetd::Sessions& sessions);
    ~PolicyObject();
    PolicyObject(const PolicyObject&) = delete;
    PolicyObject& operator=(const PolicyObject&) = delete;

    void announce_added();
    /// Announces what differs from the policy of the last time.
    void refresh();

  private:
    using CheckResult = sdbus::Result<bool, std::string, std::string>;

    /// What the interface that is asked about adds to what is known.
    void add_network(PolicyQuery& query) const;
    void answer(const CheckResult& result, PolicyQuery query) const;

    void Check(CheckResult&& result, Arguments query) override;
    void GetUsage(sdbus::Result<std::vector<VariantMap>>&& result) override;
    std::uint32_t Burst() override { return sessions_.policy().limit.burst; }
    double Rate() override { return sessions_.policy().limit.rate; }
    std::vector<VariantMap> Rules() override;

    const Interfaces& interfaces_;
    const impnetd::Sessions& sessions_;
    Policy announced_;
    Membership membership_;
};

}  // namespace impnetd::bus
