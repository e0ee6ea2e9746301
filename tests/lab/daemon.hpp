// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The impnetd that was built, running on a host of the lab.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bus.hpp"
#include "namespace.hpp"
#include "process.hpp"

namespace lab {

class Daemon {
  public:
    /// Its configuration as the text of impnetd.toml. Ready (org.impnet1 has an owner) when this
    /// returns. `runner`: a command that runs it, and becomes it.
    Daemon(Namespace& where, Bus& bus, const std::string& configuration,
           const std::vector<std::string>& more_arguments = {},
           std::vector<std::string> runner = {});
    /// Stops it. If it does not end with status 0, or had ended before, the run fails.
    ~Daemon();
    Daemon(const Daemon&) = delete;
    Daemon& operator=(const Daemon&) = delete;

    pid_t pid() const { return process_->pid(); }
    std::string log() const { return process_->output(); }
    Process& process() { return *process_; }
    const std::string& config_path() const { return config_path_; }
    /// The path of the executable.
    const std::string& program() const { return command_.front(); }
    static const char* executable();

    /// What starts it with a configuration file, and state and runtime directories of its own.
    static std::vector<std::string> command(const Bus& bus, const std::string& config_path);

    /// Ends it; the status it ended with. What follows is the caller's to judge.
    int stop();
    /// Ends it and starts it again with the same configuration, state and runtime directories.
    void restart(int signal);

  private:
    void start();

    Namespace& where_;
    Bus& bus_;
    std::string config_path_;
    std::vector<std::string> command_;
    std::unique_ptr<Process> process_;
    bool expected_to_run_ = false;
};

}  // namespace lab
