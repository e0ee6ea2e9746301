// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Sending signals. The generated emitters cannot address one receiver, and they throw when the
// connection is lost; both would be wrong in the middle of a change of state, so every signal of
// ours is sent from here.
#pragma once

#include <string>

#include <sdbus-c++/sdbus-c++.h>

#include "log/log.hpp"

namespace impnetd::bus {

/// `destination` empty: broadcast. A signal that cannot be sent is logged: the connection is lost
/// then, and its owner learns it from the pump.
template <typename... Arguments>
void emit(sdbus::IObject& object, const std::string& destination, const char* interface,
          const char* name, const Arguments&... arguments) {
    try {
        auto signal = object.createSignal(interface, name);
        if (!destination.empty()) signal.setDestination(destination);
        (signal << ... << arguments);
        object.emitSignal(signal);
    } catch (const sdbus::Error& e) {
        log::warning("signal_not_sent", {{"signal", name}, {"reason", e.getMessage()}});
    }
}

}  // namespace impnetd::bus
