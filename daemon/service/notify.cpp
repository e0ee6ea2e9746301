// SPDX-License-Identifier: LGPL-2.1-or-later
#include "service/notify.hpp"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "log/log.hpp"

namespace impnetd {

namespace {

constexpr Milliseconds patience{5000};
/// The most that one message carries here; the kernel allows 253 (SCM_MAX_FD).
constexpr std::size_t most_descriptors = 8;

UniqueFd connect_to(const std::string& address) {
    sockaddr_un where{};
    where.sun_family = AF_UNIX;
    if (address.size() >= sizeof(where.sun_path))
        throw std::system_error(ENAMETOOLONG, std::generic_category(), "NOTIFY_SOCKET");
    std::memcpy(where.sun_path, address.data(), address.size());
    auto length = offsetof(sockaddr_un, sun_path) + address.size() + 1;
    if (address.front() == '@') {
        where.sun_path[0] = '\0';
        --length;  // an abstract name has its length, and no terminator
    }
    UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&where),
                         static_cast<socklen_t>(length)) != 0)
        throw std::system_error(errno, std::generic_category(), "NOTIFY_SOCKET " + address);
    return fd;
}

}  // namespace

/// The manager closes its end of a pipe when it has come to this point.
struct Notify::Barrier {
    Barrier(Loop& loop, UniqueFd end, std::function<void()> on_done,
            const std::function<void(const Barrier&)>& on_passed)
        : fd(std::move(end)),
          done(std::move(on_done)),
          poll(loop, fd.get(), [this, on_passed](int) { on_passed(*this); }),
          limit(loop, [this, on_passed] {
              log::warning("manager_silent", {{"waited_ms", std::to_string(patience.count())}});
              on_passed(*this);
          }) {
        poll.watch(Poll::readable);
        limit.start(patience);
    }

    UniqueFd fd;
    std::function<void()> done;
    Poll poll;
    Timer limit;
};

Notify::Notify(Loop& loop, const std::string& address) : loop_(loop) {
    if (address.empty()) return;
    socket_ = connect_to(address);
    poll_.emplace(loop, socket_.get(), [this](int) { write(); });
}

Notify::~Notify() = default;

void Notify::send(std::string text, const std::vector<int>& descriptors) {
    if (!present()) return;
    Message message{std::move(text), {}};
    for (const int fd : descriptors) {
        UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
        if (!copy) {
            log::error("notify_failed", {{"notice", message.text},
                                         {"reason", std::generic_category().message(errno)}});
            return;
        }
        message.descriptors.push_back(std::move(copy));
    }
    waiting_.push_back(std::move(message));
    write();
}

void Notify::withdraw(const std::string& text) {
    std::erase_if(waiting_, [&](const Message& message) { return message.text == text; });
}

void Notify::barrier(std::function<void()> done) {
    std::array<int, 2> ends{-1, -1};
    if (!present() || ::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
        loop_.defer(std::move(done));
        return;
    }
    UniqueFd ours(ends[0]);
    const UniqueFd theirs(ends[1]);
    barriers_.emplace_back(loop_, std::move(ours), std::move(done),
                           [this](const Barrier& barrier) { passed(barrier); });
    send("BARRIER=1", {theirs.get()});
}

void Notify::passed(const Barrier& barrier) {
    std::list<Barrier> over;  // lives until its callback is through
    for (auto it = barriers_.begin(); it != barriers_.end(); ++it) {
        if (&*it != &barrier) continue;
        over.splice(over.begin(), barriers_, it);
        break;
    }
    over.front().done();
}

void Notify::write() {
    while (!waiting_.empty() && write(waiting_.front())) waiting_.pop_front();
    if (poll_) poll_->watch(waiting_.empty() ? 0 : Poll::writable);
}

/// False: there is no room now.
bool Notify::write(const Message& message) const {
    iovec part{const_cast<char*>(message.text.data()), message.text.size()};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * most_descriptors)> control{};
    if (!message.descriptors.empty()) {
        std::vector<int> numbers;
        for (const auto& fd : message.descriptors) numbers.push_back(fd.get());
        const auto size = sizeof(int) * numbers.size();
        header.msg_control = control.data();
        header.msg_controllen = CMSG_SPACE(size);
        cmsghdr* entry = CMSG_FIRSTHDR(&header);
        entry->cmsg_level = SOL_SOCKET;
        entry->cmsg_type = SCM_RIGHTS;
        entry->cmsg_len = CMSG_LEN(size);
        std::memcpy(CMSG_DATA(entry), numbers.data(), size);
    }
    if (::sendmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return true;
    if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS) return false;
    log::error("notify_failed",
               {{"notice", message.text}, {"reason", std::generic_category().message(errno)}});
    return true;
}

void Notify::flush() {
    write();
}

}  // namespace impnetd
