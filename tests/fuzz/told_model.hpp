// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The model of netlink/, with its promises demanded at each step: what differs is told and nothing
// twice, the same words again change nothing, and what can be read is in order.
#pragma once

#include "netlink/message.hpp"
#include "netlink/model.hpp"

namespace fuzz {

class ToldModel {
  public:
    void apply(const impnetd::netlink::Message& message);
    void become(const ToldModel& fresh);

  private:
    void check(const impnetd::netlink::Model& before,
               const impnetd::netlink::Changes& changes) const;

    impnetd::netlink::Model model_;
};

}  // namespace fuzz
