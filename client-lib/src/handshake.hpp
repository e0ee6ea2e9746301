// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A trial connection to a bus, made without waiting: it is over when the bus has greeted us. The
// one that is then used is made by sdbus-c++, which knows only how to wait for the greeting, for up
// to 90 s. So it is asked only after a bus has shown that it answers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "poller.hpp"

struct sd_bus;

namespace impnet::detail {

class Handshake {
  public:
    /// `address` empty: the system bus. Progress shows under `token`. Throws std::system_error if
    /// nobody listens there.
    Handshake(const std::string& address, Poller& poller, Poller::Token token);

    /// Goes on as far as it can. True: the bus has greeted us. Throws std::system_error if it has
    /// hung up.
    bool proceed();

  private:
    struct Close {
        void operator()(sd_bus* bus) const;
    };

    std::unique_ptr<sd_bus, Close> bus_;
    std::optional<Watch> watch_;
};

}  // namespace impnet::detail
