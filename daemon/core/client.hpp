// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Who a client is, to the policy and to the rate limiter: a systemd unit, or else a uid, so that
// opening more connections or processes gains nothing.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

namespace impnetd {

struct Client {
    uid_t uid = 0;
    pid_t pid = 0;
    std::vector<gid_t> groups;
    std::string unit;  ///< systemd unit, empty if it runs in none

    /// What shares are counted by: "unit:echo.service" or "uid:1000".
    std::string key() const { return unit.empty() ? "uid:" + std::to_string(uid) : "unit:" + unit; }

    friend bool operator==(const Client&, const Client&) = default;
};

}  // namespace impnetd
