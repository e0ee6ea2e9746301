// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Reading the configuration and the policy again while the daemon runs (SIGHUP, `systemctl reload`,
// Manager.Reload), as one: a bad file of either changes nothing and is reported. What cannot change
// while the daemon runs, or while somebody has an interface open, stays as it is and is reported.
#pragma once

#include <string>

#include "config/configuration.hpp"
#include "core/data_path.hpp"
#include "core/error.hpp"
#include "core/policy.hpp"
#include "loop/loop.hpp"
#include "network/interfaces.hpp"
#include "network/quota.hpp"
#include "network/sessions.hpp"
#include "service/notify.hpp"

namespace impnetd {

Sessions::Limits limits_of(const Configuration& config);
Interface::Timeouts timeouts_of(const Configuration& config);

class Reload {
  public:
    struct Parts {
        Notify& notify;
        Interfaces& interfaces;
        Sessions& sessions;
        DataPath& data_path;
        Quota& calls;
    };

    /// `config`: what is in force now; `path`: the main file.
    Reload(Loop& loop, const Parts& parts, std::string path, Configuration config);

    /// Reads the files and puts in force what they say, or returns what is wrong with them.
    Result<> read();

  private:
    void apply(const Configuration& next, Policy policy);

    Parts parts_;
    std::string path_;
    Configuration config_;  // in force
    SignalWatch on_hangup_;
};

}  // namespace impnetd
