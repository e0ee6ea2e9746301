// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/service_job.hpp"

#include <chrono>
#include <cstdint>
#include <utility>

#include <unistd.h>

namespace impnetd::bus {

namespace {

constexpr const char* systemd = "org.freedesktop.systemd1";
constexpr std::chrono::seconds patience{2};
using Job = sdbus::Struct<std::uint32_t, sdbus::ObjectPath>;

}  // namespace

ServiceJob::ServiceJob(sdbus::IConnection& connection, OnKnown on_known)
    : connection_(connection), on_known_(std::move(on_known)) {
    object("/org/freedesktop/systemd1")
        .callMethodAsync("GetUnitByPID")
        .onInterface("org.freedesktop.systemd1.Manager")
        .withTimeout(patience)
        .withArguments(static_cast<std::uint32_t>(::getpid()))
        .uponReplyInvoke([this](const sdbus::Error* error, const sdbus::ObjectPath& unit) {
            if (error != nullptr) return on_known_("");
            ask_unit(unit);
        });
}

void ServiceJob::ask_unit(const sdbus::ObjectPath& unit) {
    object(unit)
        .callMethodAsync("Get")
        .onInterface("org.freedesktop.DBus.Properties")
        .withTimeout(patience)
        .withArguments(std::string("org.freedesktop.systemd1.Unit"), std::string("Job"))
        .uponReplyInvoke([this](const sdbus::Error* error, const sdbus::Variant& value) {
            if (error != nullptr || !value.containsValueOfType<Job>()) return on_known_("");
            const auto job = value.get<Job>();
            if (std::get<0>(job) == 0) return on_known_("");
            ask_job(std::get<1>(job));
        });
}

void ServiceJob::ask_job(const sdbus::ObjectPath& job) {
    object(job)
        .callMethodAsync("Get")
        .onInterface("org.freedesktop.DBus.Properties")
        .withTimeout(patience)
        .withArguments(std::string("org.freedesktop.systemd1.Job"), std::string("JobType"))
        .uponReplyInvoke([this](const sdbus::Error* error, const sdbus::Variant& value) {
            const bool known = error == nullptr && value.containsValueOfType<std::string>();
            on_known_(known ? value.get<std::string>() : "");
        });
}

sdbus::IProxy& ServiceJob::object(const std::string& path) {
    objects_.push_back(sdbus::createProxy(connection_, systemd, path));
    return *objects_.back();
}

}  // namespace impnetd::bus
