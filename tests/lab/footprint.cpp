// SPDX-License-Identifier: LGPL-2.1-or-later
#include "footprint.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include <unistd.h>

namespace lab {

namespace {

std::filesystem::path directory_of(pid_t pid) {
    return "/proc/" + std::to_string(pid);
}

/// The fields of /proc/PID/stat, from the third on (the second, the name, may hold anything).
std::vector<std::string> status_fields(pid_t pid) {
    std::ifstream file(directory_of(pid) / "stat");
    std::string line;
    std::getline(file, line);
    std::istringstream fields(line.substr(std::min(line.rfind(')') + 1, line.size())));
    return {std::istream_iterator<std::string>(fields), {}};
}

}  // namespace

std::size_t descriptors_of(pid_t pid) {
    const std::filesystem::directory_iterator open(directory_of(pid) / "fd");
    return static_cast<std::size_t>(std::distance(begin(open), end(open)));
}

std::size_t memory_of(pid_t pid) {
    std::ifstream file(directory_of(pid) / "statm");
    std::size_t whole = 0;
    std::size_t resident = 0;
    file >> whole >> resident;
    return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) / 1024;
}

std::size_t processor_time_of(pid_t pid) {
    const auto fields = status_fields(pid);
    const auto ticks = std::stoul(fields.at(11)) + std::stoul(fields.at(12));
    return ticks * 1000 / static_cast<std::size_t>(::sysconf(_SC_CLK_TCK));
}

std::vector<ChildProcess> children_of(pid_t pid) {
    std::vector<ChildProcess> out;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const auto number = entry.path().filename().string();
        if (number.find_first_not_of("0123456789") != std::string::npos) continue;
        const auto child = static_cast<pid_t>(std::stol(number));
        const auto fields = status_fields(child);  // empty if it is gone by now
        if (fields.size() < 2 || fields[1] != std::to_string(pid)) continue;
        std::string name;
        std::getline(std::ifstream(entry.path() / "comm"), name);
        out.push_back({child, name, fields[0] == "Z"});
    }
    std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.pid < b.pid; });
    return out;
}

std::vector<ChildProcess> children_of(pid_t pid, std::string_view name) {
    auto children = children_of(pid);
    std::erase_if(children, [&](const ChildProcess& child) { return child.name != name; });
    return children;
}

}  // namespace lab
