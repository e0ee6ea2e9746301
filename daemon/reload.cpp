// SPDX-License-Identifier: LGPL-2.1-or-later
#include "reload.hpp"

#include <csignal>
#include <utility>

#include "config/policy_files.hpp"
#include "log/log.hpp"

namespace impnetd {

Sessions::Limits limits_of(const Configuration& config) {
    return {config.limits.sessions_per_uid, config.limits.sockets_per_uid};
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
    parts_.sessions.set_limits(limits_of(next));
    parts_.data_path.set_limit(next.limiter);
    parts_.sessions.set_policy(std::move(policy));
    parts_.interfaces.set_linger(next.timeouts.linger);
    log::info("reloaded");
    std::string later;
    const auto compare = [&later](const char* keys, bool same) {
        if (!same) later += (later.empty() ? "" : ", ") + std::string(keys);
    };
    compare("interfaces", next.interfaces == config_.interfaces);
    compare("timeouts.attempt", next.timeouts.attempt == config_.timeouts.attempt);
    compare("datapath", next.datapath == config_.datapath);
    compare("limits.calls-per-uid", next.limits.calls_per_uid == config_.limits.calls_per_uid);
    if (!later.empty()) log::warning("reload_needs_restart", {{"keys", later}});
    config_.limits.sessions_per_uid = next.limits.sessions_per_uid;
    config_.limits.sockets_per_uid = next.limits.sockets_per_uid;
    config_.limiter = next.limiter;
    config_.timeouts.linger = next.timeouts.linger;
}

}  // namespace impnetd
