// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Why is the service told to end? systemd sends the same signal for a stop and for a restart; what
// it is doing is the unit's job (org.freedesktop.systemd1, "Job", "JobType").
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <sdbus-c++/sdbus-c++.h>

namespace impnetd::bus {

class ServiceJob {
  public:
    /// "stop", "restart", ...; empty: none, or nobody knows.
    using OnKnown = std::function<void(const std::string& type)>;

    /// Asks, and calls back once, from the loop. Not if this object is destroyed before.
    ServiceJob(sdbus::IConnection& connection, OnKnown on_known);

  private:
    void ask_unit(const sdbus::ObjectPath& unit);
    void ask_job(const sdbus::ObjectPath& job);
    sdbus::IProxy& object(const std::string& path);

    sdbus::IConnection& connection_;
    OnKnown on_known_;
    std::vector<std::unique_ptr<sdbus::IProxy>> objects_;
};

}  // namespace impnetd::bus
