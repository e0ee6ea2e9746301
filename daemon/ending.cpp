// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ending.hpp"

#include <csignal>
#include <string>
#include <utility>

namespace impnetd {

Ending::Ending(Loop& loop, Notify& notify, Interfaces& interfaces, Sessions& sessions,
               const bus::Presence& presence)
    : loop_(loop),
      notify_(notify),
      interfaces_(interfaces),
      sessions_(sessions),
      presence_(presence),
      on_term_(loop, SIGTERM, [this] { begin(); }),
      on_int_(loop, SIGINT, [this] { begin(); }) {}

void Ending::begin() {
    notify_.send("STOPPING=1");
    const bool asked_before = std::exchange(begun_, true);
    if (asked_before || (!interfaces_.down_on_stop() && !sessions_.have_sockets()))
        return loop_.stop();
    if (!notify_.present()) return stop();  // nobody is there who would start another
    auto* bus = presence_.bus();
    if (bus == nullptr) return loop_.stop();
    bus->ask_service_job([this](const std::string& type) {
        if (type == "stop") return stop();
        loop_.stop();
    });
}

void Ending::stop() {
    sessions_.close_sockets("the service was stopped");
    interfaces_.service_stops();
    loop_.stop();
}

}  // namespace impnetd
