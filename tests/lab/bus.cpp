// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus.hpp"

#include <csignal>
#include <fstream>
#include <stdexcept>

#include <fcntl.h>
#include <systemd/sd-bus.h>

#include "world.hpp"

namespace lab {

namespace {

int owned(sd_bus_message* message, void* seen, sd_bus_error*) {
    const char* name = nullptr;
    const char* before = nullptr;
    const char* after = nullptr;
    if (sd_bus_message_read(message, "sss", &name, &before, &after) >= 0 && *after != '\0') {
        *static_cast<bool*>(seen) = true;
    }
    return 0;
}

void need(int result, const char* what) {
    if (result < 0) throw std::system_error(-result, std::generic_category(), what);
}

struct Unref {
    void operator()(sd_bus* bus) const { sd_bus_flush_close_unref(bus); }
};

}  // namespace

Bus::Bus(const std::string& policy) : home_("bus"), config_path_(fresh_path(".bus.conf")) {
    address_ = "unix:path=" + fresh_path(".bus");
    std::ofstream(config_path_)
        << "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n"
           " \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"
           "<busconfig><type>system</type><listen>"
        << address_ << "</listen><auth>EXTERNAL</auth>\n"
        << policy << "</busconfig>\n";
    start();
}

void Bus::start() {
    int ends[2];
    checked(::pipe2(ends, O_CLOEXEC), "pipe2");
    Fd ready(ends[0]);
    Fd tell(ends[1]);
    Process::Setting setting;
    setting.inherited = tell.get();
    daemon_ = std::make_unique<Process>(
        home_,
        std::vector<std::string>{"dbus-daemon", "--config-file=" + config_path_, "--nofork",
                                 "--nopidfile", "--print-address=3"},
        setting);
    tell.close();
    char text[256];
    if (wait_readable({ready.get()}, Deadline(Milliseconds(5'000))).empty() ||
        ::read(ready.get(), text, sizeof(text)) <= 0) {
        throw std::runtime_error("the bus does not start:\n" + daemon_->output());
    }
}

void Bus::stop() {
    daemon_.reset();
}

void Bus::freeze() {
    daemon_->kill(SIGSTOP);
}

void Bus::thaw() {
    daemon_->kill(SIGCONT);
}

bool Bus::wait_owned(const std::string& name, const Deadline& deadline,
                     const Process* process) const {
    sd_bus* raw = nullptr;
    need(sd_bus_new(&raw), "sd_bus_new");
    const std::unique_ptr<sd_bus, Unref> bus(raw);
    need(sd_bus_set_address(raw, address_.c_str()), "bus address");
    need(sd_bus_set_bus_client(raw, 1), "bus client");
    need(sd_bus_start(raw), "connection to the bus");

    bool seen = false;
    const std::string match =
        "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" + name + "'";
    need(sd_bus_add_match(raw, nullptr, match.c_str(), owned, &seen), "match");
    // Whoever owned it before the match was there is found by asking.
    if (sd_bus_call_method(raw, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                           "org.freedesktop.DBus", "GetNameOwner", nullptr, nullptr, "s",
                           name.c_str()) >= 0) {
        return true;
    }
    while (!seen) {
        const int processed = sd_bus_process(raw, nullptr);
        need(processed, "bus");
        if (processed > 0) continue;
        std::vector<int> fds = {sd_bus_get_fd(raw)};
        if (process != nullptr) fds.push_back(process->fd());
        const std::vector<int> ready = wait_readable(fds, deadline);
        if (ready.empty() || ready.front() != fds.front()) return false;
    }
    return true;
}

}  // namespace lab
