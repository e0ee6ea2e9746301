// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Who calls: the bus is asked, asynchronously, for a connection's credentials, and says when a
// connection is gone. The bus orders both: a caller that left before its credentials were asked for
// has none, and one that leaves after is announced after them, so nobody is taken for somebody who
// has already gone.
//
// What a user may have under way is counted by uid, from the bus's first answer about a connection
// on; until then each connection is counted by itself.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include <sdbus-c++/sdbus-c++.h>
#include <sys/types.h>

#include "core/client.hpp"
#include "core/error.hpp"
#include "loop/loop.hpp"
#include "network/quota.hpp"

namespace impnetd::bus {

class Callers {
  public:
    using OnIdentified = std::function<void(const Result<Client>&)>;

    /// `calls`: what a user may have under way.
    Callers(Loop& loop, sdbus::IConnection& connection, Quota& calls);

    /// Calls back once, later, from the loop; never if the connection is gone by then.
    /// LimitExceeded: its user has as many calls under way as a user may have.
    Result<> identify(const std::string& unique_name, OnIdentified on_identified);
    /// The bus says that this connection is gone.
    void forget(const std::string& unique_name) { connections_.erase(unique_name); }

  private:
    struct Connection {
        std::optional<uid_t> uid;  // from the first answer on
        unsigned waiting = 0;      // calls from before
    };

    Loop& loop_;
    Quota& calls_;
    std::unique_ptr<sdbus::IProxy> bus_;
    std::map<std::string, Connection> connections_;  // those that called
};

}  // namespace impnetd::bus
