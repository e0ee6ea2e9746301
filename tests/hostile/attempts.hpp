// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What an attacker tries on a descriptor, and what comes of it: each attempt adds a word, "OK", the
// name of an errno, or what it got. They run in the attacker's process.
#pragma once

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace hostile {

inline sockaddr_in address(const char* host, std::uint16_t port) {
    sockaddr_in out{};
    out.sin_family = AF_INET;
    out.sin_port = htons(port);
    ::inet_pton(AF_INET, host, &out.sin_addr);
    return out;
}

class Attempts {
  public:
    explicit Attempts(int fd) : fd(fd) {}

    void note(const std::string& word) { words_ += (words_.empty() ? "" : " ") + word; }
    /// Of a system call that has just returned.
    bool result(long returned) {
        const int error = errno;
        note(returned >= 0 ? "OK" : name(error));
        return returned >= 0;
    }
    const std::string& words() const { return words_; }
    static std::string name(int error) {
        const char* known = ::strerrorname_np(error);
        return known != nullptr ? known : std::to_string(error);
    }

    bool option(int level, int option, int value) {
        return result(::setsockopt(fd, level, option, &value, sizeof(value)));
    }
    template <typename T>
    bool option_of(int level, int option, const T& value) {
        return result(::setsockopt(fd, level, option, &value, sizeof(value)));
    }
    bool send(const char* host, std::uint16_t port, std::size_t size = 32, int flags = 0) {
        const auto to = address(host, port);
        return send_to(&to, sizeof(to), size, flags);
    }
    bool send_to(const void* to, socklen_t length, std::size_t size = 32, int flags = 0) {
        static const std::vector<char> data(100'000);
        return result(::sendto(fd, data.data(), size, flags | MSG_DONTWAIT | MSG_NOSIGNAL,
                               static_cast<const sockaddr*>(to), length));
    }
    /// With a control message.
    template <typename T>
    bool send_with(int level, int type, const T& value, const char* host, std::uint16_t port,
                   std::size_t size = 32, int flags = 0) {
        const std::vector<char> data(size);
        auto to = address(host, port);
        iovec part{const_cast<char*>(data.data()), size};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(T))> control{};
        msghdr message{};
        message.msg_name = &to;
        message.msg_namelen = sizeof(to);
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* entry = CMSG_FIRSTHDR(&message);
        entry->cmsg_level = level;
        entry->cmsg_type = type;
        entry->cmsg_len = CMSG_LEN(sizeof(T));
        std::memcpy(CMSG_DATA(entry), &value, sizeof(T));
        return result(::sendmsg(fd, &message, flags | MSG_DONTWAIT | MSG_NOSIGNAL));
    }
    bool connect(const char* host, std::uint16_t port) {
        const auto to = address(host, port);
        return result(::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)));
    }
    bool disconnect() {
        const sockaddr nobody{.sa_family = AF_UNSPEC, .sa_data = {}};
        return result(::connect(fd, &nobody, sizeof(nobody)));
    }
    bool bind(const char* host, std::uint16_t port) {
        const auto local = address(host, port);
        return result(::bind(fd, reinterpret_cast<const sockaddr*>(&local), sizeof(local)));
    }
    template <typename T>
    bool control(unsigned long request, T& value) {
        return result(::ioctl(fd, request, &value));
    }
    /// Everything that waits in it: "nothing", or the first byte of each.
    void receive() {
        std::string got;
        std::array<char, 2048> data{};
        for (;;) {
            const auto size = ::recv(fd, data.data(), data.size(), MSG_DONTWAIT);
            if (size <= 0) break;
            got += data[0];
        }
        note(got.empty() ? "nothing" : got);
    }
    /// Its number in this network namespace of the host's.
    std::uint16_t port() const {
        sockaddr_in local{};
        socklen_t size = sizeof(local);
        ::getsockname(fd, reinterpret_cast<sockaddr*>(&local), &size);
        return ntohs(local.sin_port);
    }

    const int fd;

  private:
    std::string words_;
};

}  // namespace hostile
