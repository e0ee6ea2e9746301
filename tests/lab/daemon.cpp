// SPDX-License-Identifier: LGPL-2.1-or-later
#include "daemon.hpp"

#include <csignal>
#include <cstdio>
#include <exception>
#include <fstream>
#include <stdexcept>

#include <sys/stat.h>

#include "world.hpp"

#ifndef LAB_IMPNETD
#error "LAB_IMPNETD must be the path of the daemon to be tested"
#endif

namespace lab {

namespace {

std::string fresh_directory(const std::string& suffix) {
    std::string path = fresh_path(suffix);
    checked(::mkdir(path.c_str(), 0755), path.c_str());
    return path;
}

}  // namespace

Daemon::Daemon(Namespace& where, Bus& bus, const std::string& configuration,
               const std::vector<std::string>& more_arguments, std::vector<std::string> runner)
    : where_(where), bus_(bus), config_path_(fresh_path(".toml")), command_(std::move(runner)) {
    std::ofstream(config_path_) << configuration;
    const auto arguments = command(bus, config_path_);
    command_.insert(command_.end(), arguments.begin(), arguments.end());
    command_.insert(command_.end(), more_arguments.begin(), more_arguments.end());
    start();
}

const char* Daemon::executable() {
    return LAB_IMPNETD;
}

std::vector<std::string> Daemon::command(const Bus& bus, const std::string& config_path) {
    return {executable(),
            "--config=" + config_path,
            "--bus=" + bus.address(),
            "--state-dir=" + fresh_directory(".state"),
            "--runtime-dir=" + fresh_directory(".runtime"),
            "--log-level=debug"};
}

void Daemon::start() {
    process_ = std::make_unique<Process>(where_, command_);
    if (!bus_.wait_owned("org.impnet1", Deadline(Milliseconds(10'000)), process_.get())) {
        throw std::runtime_error("impnetd does not take its name on the bus:\n" + log());
    }
    expected_to_run_ = true;
}

int Daemon::stop() {
    expected_to_run_ = false;
    return process_->stop();
}

void Daemon::restart(int signal) {
    expected_to_run_ = false;
    process_->kill(signal);
    process_->wait(Deadline(Milliseconds(5'000)));
    start();
}

Daemon::~Daemon() {
    if (!expected_to_run_) return;
    int status = -1;
    try {
        status = process_->stop();
    } catch (const std::exception&) {
        process_->kill(SIGKILL);
    }
    if (status != 0) {
        fail_run("impnetd ended with status " + std::to_string(status) + "\n" + log());
    } else if (std::uncaught_exceptions() > 0) {
        std::fprintf(stderr, "log of impnetd:\n%s", log().c_str());
    }
}

}  // namespace lab
