// SPDX-License-Identifier: LGPL-2.1-or-later
#include "world.hpp"

#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "fd.hpp"

namespace lab {

namespace {

volatile sig_atomic_t world_pid = 0;
bool failed = false;

void end_world(int) {
    if (world_pid > 0) ::kill(world_pid, SIGKILL);
}

int exit_status(int status) {
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    std::fprintf(stderr, "the tests were ended by signal %d\n", WTERMSIG(status));
    return 128 + WTERMSIG(status);
}

void mount_tmpfs(const char* path) {
    checked(::mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755"), path);
}

void turn_on_loopback() {
    const Fd control(checked(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP;
    checked(::ioctl(control.get(), SIOCSIFFLAGS, &request), "lo");
}

void furnish() {
    checked(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "private mounts");
    checked(::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr), "/proc");
    mount_tmpfs("/run");
    mount_tmpfs("/var/lib");
    checked(::mkdir("/run/lab", 0755), "/run/lab");
    checked(::mkdir("/run/netns", 0755), "/run/netns");
    if (!mount_own_sysfs()) throw std::system_error(errno, std::generic_category(), "/sys");
    // Every DHCP client's hooks would like to write it.
    std::ofstream("/run/lab/resolv.conf") << "# the lab's own\n";
    checked(::mount("/run/lab/resolv.conf", "/etc/resolv.conf", nullptr, MS_BIND, nullptr),
            "/etc/resolv.conf");
    checked(::sethostname("lab", 3), "sethostname");
    turn_on_loopback();
}

// Process 1 of the world: furnishes it, reaps whoever loses its parent, and leaves with the tests.
int first_process(const std::function<int()>& tests) {
    furnish();
    const pid_t main = checked(::fork(), "fork");
    if (main == 0) {
        const int status = tests();
        std::fflush(nullptr);
        ::_exit(status);
    }
    for (;;) {
        int status = 0;
        const pid_t ended = ::waitpid(-1, &status, 0);
        if (ended == main) return exit_status(status);
        if (ended < 0 && errno != EINTR) return 1;
    }
}

/// The world's own control group (version 2), for those that daemons make in it: they go with it.
class Group {
  public:
    Group() {
        std::string own;
        std::ifstream groups("/proc/self/cgroup");
        for (std::string line; std::getline(groups, line);)
            if (line.starts_with("0::/")) own = line.substr(3);
        std::ifstream mounts("/proc/self/mounts");
        std::string device;
        std::string point;
        std::string type;
        for (std::string rest; mounts >> device >> point >> type; std::getline(mounts, rest)) {
            if (type != "cgroup2" || own.empty()) continue;
            path_ = point + (own == "/" ? "" : own) + "/lab-" + std::to_string(::getpid());
            if (::mkdir(path_.c_str(), 0755) != 0) path_.clear();
            return;
        }
    }
    ~Group() {
        if (path_.empty()) return;
        std::error_code ignored;
        for (const auto& entry : std::filesystem::directory_iterator(path_, ignored))
            if (entry.is_directory(ignored)) ::rmdir(entry.path().c_str());
        if (::rmdir(path_.c_str()) != 0) std::perror(path_.c_str());
    }
    Group(const Group&) = delete;
    Group& operator=(const Group&) = delete;

    void enter() const {
        if (path_.empty()) return;
        std::ofstream processes(path_ + "/cgroup.procs");
        processes << "0" << std::flush;
        if (!processes) throw std::system_error(errno, std::generic_category(), path_);
    }

  private:
    std::string path_;
};

}  // namespace

bool mount_own_sysfs() {
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
    const Fd groups(::open_tree(AT_FDCWD, "/sys/fs/cgroup",
                                OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
    if (::mount("sysfs", "/sys", "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) !=
        0) {
        return false;
    }
    return !groups ||
           ::move_mount(groups.get(), "", AT_FDCWD, "/sys/fs/cgroup", MOVE_MOUNT_F_EMPTY_PATH) == 0;
}

int in_own_world(const std::function<int()>& tests) {
    if (::geteuid() != 0) {
        std::fprintf(stderr,
                     "these tests make network namespaces: run them as root (all of them stay in "
                     "namespaces of their own)\n");
        return 1;
    }
    std::fflush(nullptr);
    if (::unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC) != 0) {
        std::perror("unshare");
        return 1;
    }
    const Group group;
    const pid_t first = ::fork();
    if (first < 0) {
        std::perror("fork");
        return 1;
    }
    if (first == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        int status = 1;
        try {
            group.enter();
            status = first_process(tests);
        } catch (const std::exception& problem) {
            std::fprintf(stderr, "the world of the tests cannot be made: %s\n", problem.what());
        }
        std::fflush(nullptr);
        ::_exit(status);
    }
    world_pid = first;
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) std::signal(number, end_world);
    int status = 0;
    while (::waitpid(first, &status, 0) < 0 && errno == EINTR) continue;
    return exit_status(status);
}

std::string fresh_path(const std::string& suffix) {
    static int count = 0;
    return "/run/lab/" + std::to_string(++count) + suffix;
}

void fail_run(const std::string& what) {
    std::fprintf(stderr, "%s\n", what.c_str());
    failed = true;
}

bool run_failed() {
    return failed;
}

}  // namespace lab
