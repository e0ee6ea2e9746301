// SPDX-License-Identifier: LGPL-2.1-or-later
#include "datapath/kernel/control_group.hpp"

#include <cerrno>
#include <charconv>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace impnetd::kernel {

namespace {

constexpr std::string_view prefix = "impnet-";

std::string why() {
    return std::generic_category().message(errno);
}

/// Our own group in the tree of version 2: "/system.slice/impnetd.service".
std::optional<std::string> own_group() {
    std::ifstream file("/proc/self/cgroup");
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("0::/")) return line.substr(3);
    return std::nullopt;
}

/// Where that tree is mounted, and which part of it (proc_pid_mountinfo(5)).
struct Mount {
    std::string root;
    std::string point;
};

std::optional<Mount> mount_of_groups() {
    std::ifstream file("/proc/self/mountinfo");
    for (std::string line; std::getline(file, line);) {
        const auto separator = line.find(" - ");
        if (separator == std::string::npos) continue;
        if (!std::string_view(line).substr(separator + 3).starts_with("cgroup2 ")) continue;
        std::istringstream fields(line);
        std::string number;
        std::string parent;
        std::string device;
        Mount mount;
        fields >> number >> parent >> device >> mount.root >> mount.point;
        return mount;
    }
    return std::nullopt;
}

/// What daemons before us left behind, if they and their programs were killed at once.
void remove_stale(const std::string& directory) {
    std::error_code error;
    for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
         entry.increment(error)) {
        const std::string name = entry->path().filename();
        if (!name.starts_with(prefix)) continue;
        pid_t pid = 0;
        std::from_chars(name.data() + prefix.size(), name.data() + name.size(), pid);
        if (pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH) ::rmdir(entry->path().c_str());
    }
}

}  // namespace

Result<ControlGroup> ControlGroup::make() {
    const auto own = own_group();
    const auto mount = mount_of_groups();
    if (!own || !mount) return fail(ErrorCode::failed, "no cgroup v2 is mounted");
    if (mount->root != "/" && *own != mount->root && !own->starts_with(mount->root + "/"))
        return fail(ErrorCode::failed, "our own control group is not mounted");
    auto directory = mount->point + (mount->root == "/" ? *own : own->substr(mount->root.size()));
    while (directory.ends_with('/')) directory.pop_back();
    remove_stale(directory);
    const auto path = directory + "/" + std::string(prefix) + std::to_string(::getpid());
    if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST)
        return fail(ErrorCode::failed, path + ": " + why());
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return fail(ErrorCode::failed, path + ": " + why());
    return ControlGroup(path, std::move(fd));
}

ControlGroup::~ControlGroup() {
    // Somebody may still be in it, who removes it then.
    if (directory_) ::rmdir(path_.c_str());
}

}  // namespace impnetd::kernel
