// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/presence.hpp"

#include <algorithm>
#include <exception>
#include <utility>

#include "log/log.hpp"

namespace impnetd::bus {

Presence::Presence(const Bus::Parts& parts, std::string address, Events events)
    : parts_(parts),
      address_(std::move(address)),
      events_(std::move(events)),
      retry_(parts.loop, [this] { connect(); }) {
    connect();
}

void Presence::connect() {
    try {
        begin_attempt();
    } catch (const std::exception& e) {
        failed(e.what());  // no thread or descriptor to be had now
    }
}

void Presence::begin_attempt() {
    made_ = std::make_shared<std::unique_ptr<Connection>>();
    attempt_ = std::make_unique<Background>(
        parts_.loop, [made = made_, address = address_] { *made = Connection::make(address); },
        [this](const std::exception_ptr& problem) {
            // The attempt's own frames are on the stack.
            parts_.loop.defer([this, alive = std::weak_ptr(alive_)] {
                if (!alive.expired()) attempt_.reset();
            });
            try {
                if (problem) std::rethrow_exception(problem);
                connected();
            } catch (const std::exception& e) {
                failed(e.what());
            }
        });
}

void Presence::connected() {
    bus_ = std::make_unique<Bus>(
        parts_, std::move(*made_),
        Bus::Events{[this](const Result<>& result) { named(result); },
                    [this](const std::string& reason) {
                        parts_.loop.defer([this, reason, alive = std::weak_ptr(alive_)] {
                            if (!alive.expired()) lost(reason);
                        });
                    }});
}

void Presence::failed(const std::string& reason) {
    if (pause_ == first_pause)
        log::warning("bus_unavailable", {{"reason", reason}});
    else
        log::debug("bus_unavailable", {{"reason", reason}});
    retry_.start(pause_);
    pause_ = std::min(pause_ * 2, longest_pause);
    started();
}

void Presence::named(const Result<>& result) {
    if (!result) return events_.on_refused(result.error().message);
    pause_ = first_pause;
    log::info("bus_connected");
    started();
}

void Presence::lost(const std::string& reason) {
    if (!bus_) return;  // told twice
    log::error("bus_lost", {{"reason", reason}});
    bus_.reset();
    connect();
}

void Presence::started() {
    if (!std::exchange(started_, true)) events_.on_started();
}

}  // namespace impnetd::bus
