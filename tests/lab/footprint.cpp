// SPDX-License-Identifier: LGPL-2.1-or-later
#include "footprint.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

#include <unistd.h>

#include "deadline.hpp"

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

/// A line of /proc/PID/status, in bytes.
std::size_t size_of(pid_t pid, const std::string& name) {
    std::ifstream status(directory_of(pid) / "status");
    for (std::string word; status >> word;) {
        std::size_t kibibytes = 0;
        if (word == name && status >> kibibytes) return kibibytes * 1024;
    }
    throw std::runtime_error("no " + name + " of process " + std::to_string(pid));
}

/// Looks again and again: for what no event tells of.
template <typename Predicate>
bool becomes(Predicate predicate) {
    const Deadline deadline(Milliseconds(5'000));
    while (!predicate()) {
        if (deadline.passed()) return false;
        wait_readable({}, Deadline(Milliseconds(5)));
    }
    return true;
}

/// The protocol of a packet socket of ARP in /proc/PID/net/packet.
constexpr const char* arp = "0806";

}  // namespace

std::size_t descriptors_of(pid_t pid) {
    const std::filesystem::directory_iterator open(directory_of(pid) / "fd");
    return static_cast<std::size_t>(std::distance(begin(open), end(open)));
}

bool has_at_most(std::size_t descriptors, pid_t pid) {
    return becomes([&] { return descriptors_of(pid) <= descriptors; });
}

void await_conflict_watch(pid_t pid) {
    const auto watches = [&] {
        std::ifstream sockets(directory_of(pid) / "net/packet");
        const std::istream_iterator<std::string> words(sockets);
        return std::find(words, {}, arp) != std::istream_iterator<std::string>();
    };
    if (!becomes(watches)) throw std::runtime_error("nobody hears ARP");
}

std::size_t memory_of(pid_t pid) {
    return size_of(pid, "RssAnon:");
}

std::size_t peak_memory_of(pid_t pid) {
    return size_of(pid, "VmHWM:");
}

std::size_t processor_time_of(pid_t pid) {
    const auto fields = status_fields(pid);
    const auto ticks = std::stoul(fields.at(11)) + std::stoul(fields.at(12));
    return ticks * 1000 / static_cast<std::size_t>(::sysconf(_SC_CLK_TCK));
}

Footprint footprint_of(pid_t pid) {
    return {descriptors_of(pid), memory_of(pid)};
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
