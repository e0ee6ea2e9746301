// SPDX-License-Identifier: LGPL-2.1-or-later
#include "datapath/kernel/control_group.hpp"

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

namespace impnetd::kernel {

namespace {

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

constexpr std::string_view prefix = "impnet-";

/// Removes groups that a daemon left behind: nobody is in them, and nobody has them locked.
void sweep(const std::string& directory) {
    std::error_code ignored;
    using Entries = std::filesystem::directory_iterator;
    for (Entries it(directory, ignored); it != Entries(); it.increment(ignored)) {
        const auto path = it->path();
        if (!path.filename().string().starts_with(prefix)) continue;
        const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) ::rmdir(path.c_str());
    }
}

/// A name that no other daemon here has: process ids repeat in containers that share the tree.
std::string fresh_name() {
    std::uint32_t number = 0;
    if (::getrandom(&number, sizeof(number), 0) != sizeof(number))
        throw std::system_error(errno, std::generic_category(), "getrandom");
    return std::string(prefix) + std::to_string(number);
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
    sweep(directory);
    const auto path = directory + "/" + fresh_name();
    if (::mkdir(path.c_str(), 0755) != 0) return fail(ErrorCode::failed, path + ": " + why());
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    // Whoever sweeps meanwhile may have been faster than the lock.
    if (!fd || ::flock(fd.get(), LOCK_EX) != 0 || ::access(path.c_str(), F_OK) != 0)
        return fail(ErrorCode::failed, path + ": " + why());
    return ControlGroup(path, std::move(fd));
}

ControlGroup::~ControlGroup() {
    // Somebody may still be in it, who removes it then.
    if (directory_) ::rmdir(path_.c_str());
}

}  // namespace impnetd::kernel
