// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Calls on a socket that a client holds, too. The kernel may have them wait for the socket's lock,
// and a client can keep that as long as it likes: by a corked send whose data come slowly, from a
// file system of its own. So another thread makes them, and the loop waits for it for a moment, as
// it would for the call. If that is not enough the thread is left to it; what else there is to do
// for the same client waits in its queue, and nobody waits for that.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "loop/loop.hpp"

namespace impnetd::kernel {

class Aside {
  public:
    /// For the host to let the thread run; once for each client that has its lock kept.
    static constexpr Milliseconds patience{200};

    /// Does `work`, which must own what it uses. False: not yet, or there is no thread to be had
    /// and it will never be.
    bool run(std::uint32_t client, std::function<void()> work);

  private:
    struct Queue;
    std::map<std::uint32_t, std::weak_ptr<Queue>> late_;
};

}  // namespace impnetd::kernel
