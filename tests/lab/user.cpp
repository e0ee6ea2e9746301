// SPDX-License-Identifier: LGPL-2.1-or-later
#include "user.hpp"

#include <fstream>

#include <grp.h>
#include <sys/mount.h>
#include <unistd.h>

#include "fd.hpp"
#include "world.hpp"

namespace lab {

namespace {

void add_line(const char* file, const std::string& line) {
    const std::string longer = fresh_path(".lines");
    std::ofstream(longer) << std::ifstream(file).rdbuf() << line << '\n';
    checked(::mount(longer.c_str(), file, nullptr, MS_BIND, nullptr), file);
}

}  // namespace

void add_group(const std::string& name, gid_t number) {
    add_line("/etc/group", name + ":x:" + std::to_string(number) + ":");
}

void add_user(const std::string& name, uid_t number, gid_t group) {
    add_line("/etc/passwd", name + ":x:" + std::to_string(number) + ":" + std::to_string(group) +
                                "::/nonexistent:/usr/sbin/nologin");
}

AsUser::AsUser(uid_t user, gid_t group) {
    checked(::setgroups(1, &group), "setgroups");
    checked(::setegid(group), "setegid");
    checked(::seteuid(user), "seteuid");
}

AsUser::~AsUser() {
    if (::seteuid(0) != 0 || ::setegid(0) != 0 || ::setgroups(0, nullptr) != 0)
        fail_run("root is not itself any more");
}

}  // namespace lab
