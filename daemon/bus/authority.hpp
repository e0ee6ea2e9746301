// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Who may change the configuration: root, and whom polkit lets do the action org.impnet1.configure.
// polkit is asked without a dialogue, which sdbus-c++ 1.2 cannot tell whether the caller wants; so
// its rules decide (polkit(8)), and whoever would have to prove who they are may not.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <sdbus-c++/sdbus-c++.h>

#include "core/error.hpp"
#include "loop/loop.hpp"

namespace impnetd::bus {

class Authority {
  public:
    using OnDecided = std::function<void(const Result<>&)>;

    Authority(Loop& loop, sdbus::IConnection& connection);

    /// Whether the connection `caller` may, by polkit. Calls back once, later, from the loop, with
    /// NotAuthorized if not; never if this is destroyed before. LimitExceeded, at once: too many
    /// wait for polkit already.
    void ask(const std::string& caller, OnDecided on_decided);

  private:
    static constexpr unsigned most_waiting = 64;

    Loop& loop_;
    unsigned waiting_ = 0;
    std::unique_ptr<sdbus::IProxy> polkit_;
};

}  // namespace impnetd::bus
