// SPDX-License-Identifier: LGPL-2.1-or-later
//
// impnetd's presence on the bus, as long as there is one: connects, publishes everything, and when
// the connection is lost does so again. Meanwhile interfaces, sessions and sockets work on.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "bus/bus.hpp"
#include "bus/connection.hpp"
#include "loop/loop.hpp"

namespace impnetd::bus {

class Presence {
  public:
    struct Events {
        /// Told once: the first attempt is over. There is not always a bus.
        std::function<void()> on_started;
        /// The bus does not let us be org.impnet1: another impnetd, or its policy.
        std::function<void(const std::string& reason)> on_refused;
    };

    /// `address` empty: the system bus.
    Presence(const Bus::Parts& parts, std::string address, Events events);

    /// The bus we are on now; null: none.
    Bus* bus() const { return bus_.get(); }

  private:
    void connect();
    void begin_attempt();
    void connected();
    void failed(const std::string& reason);
    void named(const Result<>& result);
    void lost(const std::string& reason);
    void started();

    static constexpr Milliseconds first_pause{50};
    static constexpr Milliseconds longest_pause{1000};

    Bus::Parts parts_;
    std::string address_;
    Events events_;
    bool started_ = false;
    Milliseconds pause_ = first_pause;
    Timer retry_;
    std::shared_ptr<std::unique_ptr<Connection>> made_;
    std::unique_ptr<Background> attempt_;
    std::unique_ptr<Bus> bus_;
    // Expires with this object: for what was deferred.
    std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace impnetd::bus
