// SPDX-License-Identifier: LGPL-2.1-or-later
#include "vitals.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

namespace lab {

namespace {

std::string folder(pid_t pid) {
    return "/proc/" + std::to_string(pid);
}

/// A line of /proc/PID/status, in bytes.
std::size_t size(pid_t pid, const std::string& name) {
    std::ifstream status(folder(pid) + "/status");
    for (std::string word; status >> word;) {
        std::size_t kibibytes = 0;
        if (word == name && status >> kibibytes) return kibibytes * 1024;
    }
    throw std::runtime_error(folder(pid) + "/status has no " + name);
}

}  // namespace

Vitals vitals(pid_t pid) {
    const std::filesystem::directory_iterator descriptors(folder(pid) + "/fd");
    return {static_cast<std::size_t>(std::distance(descriptors, {})), size(pid, "RssAnon:")};
}

std::size_t peak_memory(pid_t pid) {
    return size(pid, "VmHWM:");
}

}  // namespace lab
