// SPDX-License-Identifier: LGPL-2.1-or-later
#include "datapath/kernel/socket_source.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>
#include <utility>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log/log.hpp"

namespace impnetd::kernel {

SocketSource::SocketSource(Loop& loop, std::string program, const ControlGroup& group)
    : loop_(loop), program_(std::move(program)), group_(group) {}

SocketSource::~SocketSource() = default;

Result<> SocketSource::start() {
    std::array<int, 2> ends{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
        return fail(ErrorCode::unavailable, std::generic_category().message(errno));
    line_.reset(ends[0]);
    const UniqueFd childs(ends[1]);
    auto child = Child::spawn(loop_,
                              {.arguments = {program_, group_.path()},
                               .environment = {},
                               .descriptors = {childs.get(), -1, STDERR_FILENO}},
                              [](ExitStatus status) {
                                  log::warning("socket_source_ended", {{"status", status.text()}});
                              });
    if (!child) {
        line_.reset();
        return tl::unexpected<Error>(child.error());
    }
    child_ = std::move(*child);
    fresh_ = true;
    ask(stock);
    return {};
}

void SocketSource::ask(std::size_t count) {
    constexpr std::uint8_t request = 0;
    // The line has room for far more than the stock. If the program has ended, `next` sees it.
    for (; count > 0; --count)
        ::send(line_.get(), &request, sizeof(request), MSG_DONTWAIT | MSG_NOSIGNAL);
}

SocketSource::Reply SocketSource::next() {
    for (;;) {
        std::uint8_t byte = 0;
        iovec part{&byte, sizeof(byte)};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        const ssize_t size = ::recvmsg(line_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0 && errno == EAGAIN) return {Reply::Kind::none, {}};
        if (size <= 0) return {Reply::Kind::end, {}};
        fresh_ = false;
        ask(1);
        const cmsghdr* entry = CMSG_FIRSTHDR(&message);
        if (entry == nullptr) return {Reply::Kind::refusal, {}};
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(entry), sizeof(fd));
        return {Reply::Kind::socket, UniqueFd(fd)};
    }
}

Result<UniqueFd> SocketSource::take(Milliseconds limit) {
    bool started = false;
    std::size_t refusals = 0;
    for (;;) {
        auto reply = line_ ? next() : Reply{Reply::Kind::end, {}};
        switch (reply.kind) {
            case Reply::Kind::socket:
                return std::move(reply.socket);
            case Reply::Kind::refusal:
                // Those that wait in the line may be about a shortage that is over.
                if (++refusals > stock)
                    return fail(ErrorCode::unavailable, program_ + " cannot make a socket");
                continue;
            case Reply::Kind::end:
                // Somebody has ended it: another one takes its place, once for each socket.
                if (std::exchange(started, true))
                    return fail(ErrorCode::unavailable, program_ + " does not work");
                if (auto begun = start(); !begun) return tl::unexpected<Error>(begun.error());
                break;
            case Reply::Kind::none:
                break;
        }
        pollfd line{.fd = line_.get(), .events = POLLIN, .revents = 0};
        if (::poll(&line, 1, static_cast<int>(limit.count())) <= 0) {
            // One that has just been started may be about to come: to enter a group takes a busy
            // host a while. Else the next socket is another program's, and this one must not come
            // to itself later and remove the group.
            if (!std::exchange(fresh_, false)) {
                child_->signal(SIGKILL);
                line_.reset();
            }
            return fail(ErrorCode::unavailable, program_ + " does not answer");
        }
    }
}

std::string socket_source_program(const std::string& own_directory) {
    auto beside = own_directory + "/impnet-socket-source";
    return ::access(beside.c_str(), X_OK) == 0 ? beside : IMPNET_LIBEXECDIR "/impnet-socket-source";
}

}  // namespace impnetd::kernel
