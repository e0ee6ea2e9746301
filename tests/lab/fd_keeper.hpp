// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The service manager's side of sd_notify(3), as far as a service depends on it: what it tells, the
// descriptors it wants to be kept, and its barriers. As systemd 252 does it: one descriptor counts
// once however often it is stored, and a name's descriptors go together.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <linux/kcmp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "lab/fd.hpp"

namespace lab {

class FdKeeper {
  public:
    struct Kept {
        std::string name;
        Fd fd;
    };

    /// Listens at an abstract address, "@" and the name.
    explicit FdKeeper(const std::string& address)
        : socket_(checked(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
                          "notify socket")) {
        sockaddr_un where{};
        where.sun_family = AF_UNIX;
        std::memcpy(where.sun_path, address.data(), address.size());
        where.sun_path[0] = '\0';
        const auto size = offsetof(sockaddr_un, sun_path) + address.size();
        checked(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&where),
                       static_cast<socklen_t>(size)),
                "notify socket");
    }

    int fd() const { return socket_.get(); }
    const std::vector<Kept>& kept() const { return kept_; }
    std::size_t count(const std::string& name) const {
        return static_cast<std::size_t>(std::count_if(
            kept_.begin(), kept_.end(), [&](const Kept& kept) { return kept.name == name; }));
    }
    void forget_all() { kept_.clear(); }

    /// Deals with one message; false: none is there. `told`: its lines.
    bool receive(std::vector<std::string>& told) {
        std::array<char, 4096> text{};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * 253)> control{};
        iovec part{text.data(), text.size()};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        const auto size = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
        if (size < 0) return false;
        auto fds = descriptors(message);
        told = lines({text.data(), static_cast<std::size_t>(size)});
        std::string name = "stored";
        bool store = false;
        bool remove = false;
        for (const auto& line : told) {
            if (line.starts_with("FDNAME=")) name = line.substr(7);
            store |= line == "FDSTORE=1";
            remove |= line == "FDSTOREREMOVE=1";
        }
        if (remove) std::erase_if(kept_, [&](const Kept& kept) { return kept.name == name; });
        if (!store) return true;  // the descriptor of a barrier is closed here: it has passed
        for (auto& fd : fds)
            if (!is_kept(fd)) kept_.push_back({name, std::move(fd)});
        return true;
    }
    /// Deals with all that is there.
    void receive_all() {
        for (std::vector<std::string> told; receive(told);) continue;
    }

  private:
    static std::vector<std::string> lines(std::string_view text) {
        std::vector<std::string> out;
        while (!text.empty()) {
            const auto end = std::min(text.find('\n'), text.size());
            out.emplace_back(text.substr(0, end));
            text.remove_prefix(std::min(end + 1, text.size()));
        }
        return out;
    }
    static std::vector<Fd> descriptors(msghdr& message) {
        std::vector<Fd> out;
        for (auto* entry = CMSG_FIRSTHDR(&message); entry != nullptr;
             entry = CMSG_NXTHDR(&message, entry)) {
            if (entry->cmsg_level != SOL_SOCKET || entry->cmsg_type != SCM_RIGHTS) continue;
            const std::size_t count = (entry->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (std::size_t i = 0; i < count; ++i) {
                int fd = -1;
                std::memcpy(&fd, CMSG_DATA(entry) + i * sizeof(int), sizeof(fd));
                out.emplace_back(fd);
            }
        }
        return out;
    }
    /// The same open file, as systemd finds out: a map's descriptor shares its inode with many
    /// others.
    bool is_kept(const Fd& fd) const {
        return std::any_of(kept_.begin(), kept_.end(), [&](const Kept& kept) {
            return checked(::syscall(SYS_kcmp, ::getpid(), ::getpid(), KCMP_FILE, kept.fd.get(),
                                     fd.get()),
                           "kcmp") == 0;
        });
    }

    Fd socket_;
    std::vector<Kept> kept_;
};

}  // namespace lab
