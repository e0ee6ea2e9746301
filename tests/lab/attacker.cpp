// SPDX-License-Identifier: LGPL-2.1-or-later
#include "attacker.hpp"

#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <initializer_list>
#include <stdexcept>

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace lab {

namespace {

constexpr int line_number = 3;

void send_message(int line, const std::string& words, int fd) {
    iovec part{const_cast<char*>(words.data()), words.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (fd >= 0) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* entry = CMSG_FIRSTHDR(&message);
        entry->cmsg_level = SOL_SOCKET;
        entry->cmsg_type = SCM_RIGHTS;
        entry->cmsg_len = CMSG_LEN(sizeof(fd));
        std::memcpy(CMSG_DATA(entry), &fd, sizeof(fd));
    }
    checked(::sendmsg(line, &message, MSG_NOSIGNAL), "line to an attacker");
}

std::string own_group() {
    std::ifstream file("/proc/self/cgroup");
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("0::/")) return line.substr(3);
    throw std::runtime_error("no control group of version 2");
}

void leave_group(const std::string& group) {
    std::ofstream processes(group + "/cgroup.procs");
    processes << "0" << std::flush;
    if (!processes) throw std::system_error(errno, std::generic_category(), group);
}

void become(uid_t uid) {
    checked(::setgroups(0, nullptr), "setgroups");
    checked(::setresgid(uid, uid, uid), "setresgid");
    checked(::setresuid(uid, uid, uid), "setresuid");
    checked(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
}

}  // namespace

int Attacker::Line::take() const {
    char byte = 0;
    iovec part{&byte, sizeof(byte)};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    checked(::recvmsg(fd_, &message, 0), "take");
    const cmsghdr* entry = CMSG_FIRSTHDR(&message);
    if (entry == nullptr) throw std::runtime_error("no descriptor came");
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(entry), sizeof(fd));
    return fd;
}

void Attacker::Line::say(const std::string& words) const {
    send_message(fd_, words, -1);
}

void Attacker::Line::wait() const {
    char byte = 0;
    if (checked(::recv(fd_, &byte, sizeof(byte), 0), "wait") == 0) ::_exit(0);
}

Attacker::Attacker(const Namespace& where, const std::function<void(const Line&)>& attack,
                   uid_t uid) {
    std::array<int, 2> ends{-1, -1};
    checked(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), "socketpair");
    line_ = Fd(ends[0]);
    const Fd theirs(ends[1]);
    const std::string group = control_group() + "/attackers";
    if (::mkdir(group.c_str(), 0755) != 0 && errno != EEXIST)
        throw std::system_error(errno, std::generic_category(), group);
    std::fflush(nullptr);
    pid_ = checked(::fork(), "fork");
    if (pid_ != 0) return;
    int status = 0;
    for (const int number : {SIGTERM, SIGINT, SIGSEGV, SIGABRT}) std::signal(number, SIG_DFL);
    try {
        leave_group(group);
        checked(::setns(where.network_fd(), CLONE_NEWNET), "setns");
        checked(::dup2(theirs.get(), line_number), "dup2");
        checked(::syscall(SYS_close_range, line_number + 1, ~0U, 0), "close_range");
        become(uid);
        attack(Line(line_number));
    } catch (const std::exception& problem) {
        std::fprintf(stderr, "an attacker: %s\n", problem.what());
        status = 1;
    }
    std::fflush(nullptr);
    ::_exit(status);
}

Attacker::~Attacker() {
    if (ended_) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
}

void Attacker::give(int fd) const {
    send_message(line_.get(), ".", fd);
}

void Attacker::go_on() const {
    send_message(line_.get(), ".", -1);
}

std::string Attacker::hear(const Deadline& deadline) const {
    if (wait_readable({line_.get()}, deadline).empty())
        throw std::runtime_error("an attacker says nothing");
    std::array<char, 8192> text{};
    const auto size = checked(::recv(line_.get(), text.data(), text.size(), 0), "hear");
    if (size == 0) throw std::runtime_error("an attacker ended");
    return {text.data(), static_cast<std::size_t>(size)};
}

int Attacker::wait(const Deadline& deadline) {
    const Fd handle(static_cast<int>(checked(::syscall(SYS_pidfd_open, pid_, 0), "pidfd_open")));
    if (wait_readable({handle.get()}, deadline).empty())
        throw std::runtime_error("an attacker does not end");
    int status = 0;
    checked(::waitpid(pid_, &status, 0), "waitpid");
    ended_ = true;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string control_group() {
    std::ifstream mounts("/proc/self/mounts");
    std::string device;
    std::string point;
    std::string type;
    for (std::string rest; mounts >> device >> point >> type; std::getline(mounts, rest)) {
        if (type != "cgroup2") continue;
        const std::string own = own_group();
        return own == "/" ? point : point + own;
    }
    throw std::runtime_error("no control groups of version 2 are mounted");
}

}  // namespace lab
