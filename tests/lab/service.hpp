// SPDX-License-Identifier: LGPL-2.1-or-later
//
// impnetd as a service: under a supervisor that speaks systemd's protocol (notify, FD store) and
// starts it again however it ends. It may crash; the supervisor must not.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

#include "bus.hpp"
#include "deadline.hpp"
#include "namespace.hpp"
#include "process.hpp"

namespace lab {

class Service {
  public:
    /// Ready (READY=1 was told) when this returns.
    Service(Namespace& where, const Bus& bus, const std::string& configuration);
    /// Stops it. If it does not end with status 0, the run fails.
    ~Service();
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;

    /// The process that is the daemon now.
    pid_t pid() const;
    std::string log() const { return supervisor_->output(); }
    const std::string& config_path() const { return config_path_; }

    /// Ends the daemon by this signal; another one is ready when this returns.
    void crash(int signal);
    /// As `systemctl restart`.
    void restart();
    /// As `systemctl stop`: the daemon's status; what it kept is gone.
    int stop();
    /// Waits until it has written this, after what it had written when it was last started.
    void wait_log(const std::string& text, const Deadline& deadline) const {
        wait_log(text, deadline, read_);
    }
    /// The same, from a position of the log on; returns the position behind it.
    std::size_t wait_log(const std::string& text, const Deadline& deadline, std::size_t from) const;

  private:
    void wait_ready();

    std::string config_path_;
    std::unique_ptr<Process> supervisor_;
    std::size_t read_ = 0;  // how far the log is known
    bool stopped_ = false;
};

}  // namespace lab
