// SPDX-License-Identifier: LGPL-2.1-or-later
#include "service.hpp"

#include <csignal>
#include <cstdio>
#include <exception>
#include <fstream>

#include "daemon.hpp"
#include "world.hpp"

#ifndef LAB_SUPERVISOR
#error "LAB_SUPERVISOR must be the path of impnet-lab-supervisor"
#endif

namespace lab {

Service::Service(Namespace& where, const Bus& bus, const std::string& configuration)
    : config_path_(fresh_path(".toml")) {
    std::ofstream(config_path_) << configuration;
    auto command = Daemon::command(bus, config_path_);
    command.insert(command.begin(), LAB_SUPERVISOR);
    supervisor_ = std::make_unique<Process>(where, command);
    wait_ready();
}

Service::~Service() {
    if (stopped_) return;
    int status = -1;
    try {
        status = stop();
    } catch (const std::exception&) {
        supervisor_->kill(SIGKILL);
    }
    if (status != 0)
        fail_run("impnetd ended with status " + std::to_string(status) + "\n" + log());
    else if (std::uncaught_exceptions() > 0)
        std::fprintf(stderr, "log of impnetd:\n%s", log().c_str());
}

pid_t Service::pid() const {
    const std::string mark = "supervisor: started ";
    const auto text = log();
    return std::stoi(text.substr(text.rfind(mark) + mark.size()));
}

void Service::wait_ready() {
    const Deadline deadline(Milliseconds(10'000));
    read_ = supervisor_->wait_output("supervisor: started ", deadline, read_);
    read_ = supervisor_->wait_output("supervisor: told READY=1", deadline, read_);
}

void Service::crash(int signal) {
    read_ = log().size();
    ::kill(pid(), signal);
    wait_ready();
}

void Service::restart() {
    read_ = log().size();
    supervisor_->kill(SIGHUP);
    wait_ready();
}

int Service::stop() {
    stopped_ = true;
    return supervisor_->stop();
}

std::size_t Service::wait_log(const std::string& text, const Deadline& deadline,
                              std::size_t from) const {
    return supervisor_->wait_output(text, deadline, from);
}

}  // namespace lab
