// SPDX-License-Identifier: LGPL-2.1-or-later
#include "handshake.hpp"

#include <system_error>

#include <systemd/sd-bus.h>

namespace impnet::detail {

namespace {

int checked(int result, const char* what) {
    if (result < 0) throw std::system_error(-result, std::generic_category(), what);
    return result;
}

sd_bus* begin(const std::string& address) {
    sd_bus* bus = nullptr;
    if (address.empty()) {
        checked(::sd_bus_open_system(&bus), "the system bus");
        return bus;
    }
    checked(::sd_bus_new(&bus), "sd_bus_new");
    const int started = [&] {
        if (const int set = ::sd_bus_set_address(bus, address.c_str()); set < 0) return set;
        if (const int set = ::sd_bus_set_bus_client(bus, 1); set < 0) return set;
        return ::sd_bus_start(bus);
    }();
    if (started < 0) ::sd_bus_unref(bus);
    checked(started, address.c_str());
    return bus;
}

}  // namespace

void Handshake::Close::operator()(sd_bus* bus) const {
    ::sd_bus_close_unref(bus);
}

Handshake::Handshake(const std::string& address, Poller& poller, Poller::Token token)
    : bus_(begin(address)) {
    watch_.emplace(poller, checked(::sd_bus_get_fd(bus_.get()), "sd_bus_get_fd"), token);
}

bool Handshake::proceed() {
    int processed = 1;
    while (::sd_bus_is_ready(bus_.get()) <= 0 && processed > 0)
        processed = checked(::sd_bus_process(bus_.get(), nullptr), "the bus hung up");
    if (::sd_bus_is_ready(bus_.get()) > 0) return true;
    const int events = checked(::sd_bus_get_events(bus_.get()), "the bus hung up");
    watch_->set(static_cast<std::uint32_t>(events));
    return false;
}

}  // namespace impnet::detail
