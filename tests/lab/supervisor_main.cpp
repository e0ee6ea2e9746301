// SPDX-License-Identifier: LGPL-2.1-or-later
//
// impnet-lab-supervisor COMMAND...: starts a service as systemd does a unit of Type=notify with
// Restart=always, keeps its descriptors, and starts it again however it ends. SIGHUP restarts it,
// SIGTERM stops it and forgets what it kept. Tells on standard output what happens.
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab/fd_keeper.hpp"

namespace {

class Supervisor {
  public:
    Supervisor(std::vector<char*> command, std::string address)
        : command_(std::move(command)), address_(std::move(address)), keeper_(address_) {
        sigset_t handled;
        sigemptyset(&handled);
        for (const int number : {SIGCHLD, SIGTERM, SIGHUP}) sigaddset(&handled, number);
        sigprocmask(SIG_BLOCK, &handled, nullptr);
        signals_ = lab::Fd(lab::checked(::signalfd(-1, &handled, SFD_CLOEXEC), "signalfd"));
    }

    int run() {
        start();
        for (;;) {
            pollfd waiting[] = {{signals_.get(), POLLIN, 0}, {keeper_.fd(), POLLIN, 0}};
            if (::poll(waiting, 2, -1) < 0 && errno != EINTR) return 1;
            listen();  // first: what it told before it died counts
            if ((waiting[0].revents & POLLIN) == 0) continue;
            signalfd_siginfo signal{};
            if (::read(signals_.get(), &signal, sizeof(signal)) != sizeof(signal)) return 1;
            if (signal.ssi_signo != SIGCHLD) {
                stopping_ = signal.ssi_signo == SIGTERM;
                ::kill(child_, SIGTERM);
                continue;
            }
            int status = 0;
            if (::waitpid(child_, &status, WNOHANG) != child_) continue;
            listen();
            const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            std::printf("supervisor: ended with status %d\n", code);
            if (stopping_) return code;
            start();
        }
    }

  private:
    void listen() {
        for (std::vector<std::string> told; keeper_.receive(told);)
            for (const auto& line : told)
                if (line == "READY=1" || line == "STOPPING=1" || line.starts_with("RELOADING"))
                    std::printf("supervisor: told %s\n", line.c_str());
        std::fflush(stdout);
    }

    void start() {
        std::fflush(nullptr);
        const pid_t pid = lab::checked(::fork(), "fork");
        if (pid == 0) become();
        child_ = pid;
        std::printf("supervisor: started %d with %zu descriptors\n", child_, keeper_.kept().size());
        std::fflush(stdout);
    }

    [[noreturn]] void become() {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, nullptr);
        std::string names;
        std::vector<int> high;  // out of the way of the numbers they get
        for (const auto& kept : keeper_.kept()) {
            high.push_back(::fcntl(kept.fd.get(), F_DUPFD_CLOEXEC, 4096));
            names += (names.empty() ? "" : ":") + kept.name;
        }
        int number = 3;
        for (const int fd : high) ::dup2(fd, number++);
        ::setenv("NOTIFY_SOCKET", address_.c_str(), 1);
        ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
        ::setenv("LISTEN_FDS", std::to_string(high.size()).c_str(), 1);
        ::setenv("LISTEN_FDNAMES", names.c_str(), 1);
        ::execv(command_.front(), command_.data());
        std::perror(command_.front());
        ::_exit(127);
    }

    std::vector<char*> command_;
    std::string address_;
    lab::FdKeeper keeper_;
    lab::Fd signals_;
    pid_t child_ = -1;
    bool stopping_ = false;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    try {
        std::vector<char*> command(argv + 1, argv + argc);
        command.push_back(nullptr);
        return Supervisor(command, "@impnet-lab-" + std::to_string(::getpid())).run();
    } catch (const std::exception& problem) {
        std::fprintf(stderr, "supervisor: %s\n", problem.what());
        return 1;
    }
}
