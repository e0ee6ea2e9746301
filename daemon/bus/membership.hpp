// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Which groups a user is in, by the host's database, which may be on another host and slow: asked
// away from the loop, one user after the other. (Of who calls, the bus knows the groups.)
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include <sys/types.h>

#include "core/error.hpp"
#include "loop/loop.hpp"

namespace impnetd::bus {

class Membership {
  public:
    using OnKnown = std::function<void(std::vector<gid_t>)>;

    explicit Membership(Loop& loop) : loop_(loop) {}

    /// Calls back once, later, from the loop; never if this is destroyed before. A user that the
    /// host does not know is in no group. LimitExceeded: too many wait already.
    Result<> ask(uid_t user, OnKnown on_known);

  private:
    static constexpr std::size_t most_waiting = 64;

    struct Question {
        uid_t user = 0;
        OnKnown on_known;
    };
    void look_up();
    void known(const std::vector<gid_t>& groups);

    Loop& loop_;
    std::deque<Question> waiting_;  // the first is being looked up
    std::unique_ptr<Background> work_;
    // Expires with this object: for what was deferred.
    std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace impnetd::bus
