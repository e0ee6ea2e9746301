// SPDX-License-Identifier: LGPL-2.1-or-later
//
// impnet-socket-source GROUP: enters the control group whose directory this is, and makes UDP
// sockets there: one for each message on descriptor 0, sent back on it. It needs no rights but
// those of its user over the group, and gives up all others first. When the daemon is gone, however
// it ended, it leaves the group, removes it and ends.
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

int complain(const std::string& what) {
    std::fprintf(stderr, "impnet-socket-source: %s: %s\n", what.c_str(), std::strerror(errno));
    return 1;
}

bool enter(const std::string& group) {
    const int fd = ::open((group + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC);
    const bool entered = fd >= 0 && ::write(fd, "0", 1) == 1;
    const int error = errno;
    if (fd >= 0) ::close(fd);
    errno = error;
    return entered;
}

bool give_up_rights() {
    cap_t none = cap_init();
    const bool done = none != nullptr && cap_set_proc(none) == 0;
    cap_free(none);
    return done && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

/// A message with the socket; an empty-handed one says that there is none to be had.
bool send_socket(int socket) {
    std::uint8_t byte = 0;
    iovec part{&byte, sizeof(byte)};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (socket >= 0) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* entry = CMSG_FIRSTHDR(&message);
        entry->cmsg_level = SOL_SOCKET;
        entry->cmsg_type = SCM_RIGHTS;
        entry->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(entry), &socket, sizeof(socket));
    }
    return ::sendmsg(STDIN_FILENO, &message, MSG_NOSIGNAL) >= 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fputs("usage: impnet-socket-source GROUP\n", stderr);
        return 2;
    }
    const std::string group = argv[1];
    if (!give_up_rights()) return complain("cannot give up rights");
    if (!enter(group)) return complain(group);
    // It has to put things in order after the daemon's end, and sees that on its line.
    std::signal(SIGTERM, SIG_IGN);
    std::signal(SIGINT, SIG_IGN);
    for (;;) {
        std::uint8_t request = 0;
        const ssize_t size = ::recv(STDIN_FILENO, &request, sizeof(request), 0);
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) break;
        const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        const bool sent = send_socket(socket);
        const bool gone = !sent && errno == EPIPE;
        if (socket >= 0) ::close(socket);
        if (gone) break;
    }
    if (enter(group + "/..")) ::rmdir(group.c_str());
    return 0;
}
