// SPDX-License-Identifier: LGPL-2.1-or-later
#include "reload.hpp"

#include <csignal>
#include <utility>

#include "config/keys.hpp"
#include "config/policy_files.hpp"
#include "log/log.hpp"

namespace impnetd {

Sessions::Limits limits_of(const Configuration& config) {
    return {config.limits.sessions_per_uid, config.limits.sockets_per_uid};
}

Interface::Timeouts timeouts_of(const Configuration& config) {
    return {.attempt = config.timeouts.attempt, .linger = config.timeouts.linger};
}

Reload::Reload(Loop& loop, const Parts& parts, std::string path, Configuration config)
    : parts_(parts),
      path_(std::move(path)),
      config_(std::move(config)),
      on_hangup_(loop, SIGHUP, [this] { static_cast<void>(read()); }) {}

Result<> Reload::read() {
    // Read at once: files of a few lines, and rarely.
    parts_.notify.send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(monotonic_usec()));
    auto done = read_configuration(path_).and_then([this](const Configuration& next) {
        return read_policy(path_, next.limiter, host_ids()).map([&](Policy policy) {
            apply(next, std::move(policy));
        });
    });
    if (!done) log::error("reload_refused", {{"reason", done.error().message}});
    parts_.notify.send("READY=1");
    return done;
}

void Reload::apply(const Configuration& next, Policy policy) {
    config_ = without_restart(next, config_);
    parts_.sessions.set_limits(limits_of(config_));
    parts_.calls.set_limit(config_.limits.calls_per_uid);
    parts_.data_path.set_limit(config_.limiter);
    parts_.interfaces.set_timeouts(timeouts_of(config_));
    // It may end sessions: after their linger is known, and before the rules.
    parts_.sessions.set_policy(std::move(policy));
    config_.interfaces = parts_.interfaces.set_rules(config_.interfaces);
    log::info("reloaded");
    std::string waiting;
    for (const auto& key : differing_keys(config_, next))
        waiting += (waiting.empty() ? "" : ", ") + key;
    if (!waiting.empty()) log::warning("reload_needs_restart", {{"keys", waiting}});
}

}  // namespace impnetd
