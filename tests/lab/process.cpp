// SPDX-License-Identifier: LGPL-2.1-or-later
#include "process.hpp"

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <utility>

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "world.hpp"

namespace lab {

namespace {

struct Prepared {
    std::vector<char*> arguments;
    std::vector<char*> environment;
    int network = -1;
    int mounts = -1;
    int input = -1;
    int output = -1;
    int inherited = -1;
    int user = 0;
};

// In the new process, between fork and exec: system calls only.
[[noreturn]] void become(const Prepared& prepared) {
    const auto need = [](int result, const char* what) {
        if (result >= 0) return;
        (void)!::write(STDERR_FILENO, what, std::char_traits<char>::length(what));
        (void)!::write(STDERR_FILENO, "\n", 1);
        ::_exit(127);
    };
    ::dup2(prepared.output, STDERR_FILENO);
    ::dup2(prepared.output, STDOUT_FILENO);
    ::dup2(prepared.input, STDIN_FILENO);
    need(::setns(prepared.network, CLONE_NEWNET), "cannot enter the network namespace");
    need(::setns(prepared.mounts, CLONE_NEWNS), "cannot enter the mount namespace");
    if (prepared.inherited == 3) {
        ::fcntl(3, F_SETFD, 0);
    } else if (prepared.inherited >= 0) {
        ::dup2(prepared.inherited, 3);
    }
    ::setsid();
    for (int number = 1; number < NSIG; ++number) std::signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (prepared.user != 0) {
        const auto id = static_cast<unsigned>(prepared.user);
        need(::setgroups(0, nullptr), "setgroups");
        need(::setresgid(id, id, id), "setresgid");
        need(::setresuid(id, id, id), "setresuid");
    }
    ::execvpe(prepared.arguments.front(), prepared.arguments.data(), prepared.environment.data());
    need(-1, "cannot be executed");
    ::_exit(127);
}

int status_number(int status) {
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

Process::Process(const Namespace& where, std::vector<std::string> command, const Setting& setting)
    : command_(std::move(command)), output_path_(fresh_path(".out")) {
    const Fd output(checked(
        ::open(output_path_.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0644), "output"));
    const Fd nothing(checked(::open("/dev/null", O_RDONLY | O_CLOEXEC), "/dev/null"));
    output_watch_ = Fd(checked(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK), "inotify_init1"));
    checked(::inotify_add_watch(output_watch_.get(), output_path_.c_str(), IN_MODIFY),
            "inotify_add_watch");

    Prepared prepared;
    for (std::string& word : command_) prepared.arguments.push_back(word.data());
    prepared.arguments.push_back(nullptr);
    std::vector<std::string> environment = setting.environment;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string inherited = *entry;
        const std::string name = inherited.substr(0, inherited.find('=') + 1);
        bool replaced = false;
        for (const std::string& own : setting.environment) replaced |= own.rfind(name, 0) == 0;
        if (!replaced) environment.push_back(inherited);
    }
    for (std::string& entry : environment) prepared.environment.push_back(entry.data());
    prepared.environment.push_back(nullptr);
    prepared.network = where.network_fd();
    prepared.mounts = where.mount_fd();
    prepared.input = setting.input >= 0 ? setting.input : nothing.get();
    prepared.output = output.get();
    prepared.inherited = setting.inherited;
    prepared.user = setting.user;

    pid_ = checked(::fork(), "fork");
    if (pid_ == 0) become(prepared);
    handle_ = Fd(static_cast<int>(checked(::syscall(SYS_pidfd_open, pid_, 0), "pidfd_open")));
}

Process::~Process() {
    if (status_ >= 0 || pid_ < 0) return;
    try {
        stop();
    } catch (const std::exception&) {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
}

bool Process::alive() {
    if (status_ >= 0) return false;
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) != pid_) return true;
    status_ = status_number(status);
    return false;
}

void Process::kill(int signal) const {
    if (status_ < 0) ::kill(pid_, signal);
}

int Process::wait(const Deadline& deadline) {
    if (status_ >= 0) return status_;
    if (wait_readable({handle_.get()}, deadline).empty()) {
        throw std::runtime_error(name() + " does not end:\n" + output());
    }
    int status = 0;
    checked(::waitpid(pid_, &status, 0), "waitpid");
    status_ = status_number(status);
    return status_;
}

int Process::stop(const Deadline& deadline) {
    kill(SIGTERM);
    return wait(deadline);
}

std::string Process::output() const {
    std::ostringstream text;
    text << std::ifstream(output_path_).rdbuf();
    return text.str();
}

std::size_t Process::wait_output(const std::string& text, const Deadline& deadline,
                                 std::size_t from) const {
    for (;;) {
        char events[4096];
        while (::read(output_watch_.get(), events, sizeof(events)) > 0) continue;
        const bool ended = !wait_readable({handle_.get()}, Deadline(Milliseconds(0))).empty();
        const std::string so_far = output();
        const std::size_t at = so_far.find(text, from);
        if (at != std::string::npos) return at + text.size();
        if (ended || wait_readable({output_watch_.get(), handle_.get()}, deadline).empty()) {
            std::string problem = name();
            problem.append(ended ? " ended" : " goes on").append(" without \"").append(text);
            throw std::runtime_error(problem.append("\":\n").append(so_far));
        }
    }
}

}  // namespace lab
