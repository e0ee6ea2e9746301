// SPDX-License-Identifier: LGPL-2.1-or-later
#include "namespace.hpp"

#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <utility>

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "process.hpp"
#include "world.hpp"

namespace lab {

namespace {

ifreq request_for(const std::string& device) {
    ifreq request{};
    if (device.size() >= sizeof(request.ifr_name)) {
        throw std::invalid_argument("device name too long: " + device);
    }
    std::memcpy(request.ifr_name, device.c_str(), device.size() + 1);
    return request;
}

Fd open_namespace(pid_t pid, const char* kind) {
    const std::string path = "/proc/" + std::to_string(pid) + "/ns/" + kind;
    return Fd(checked(::open(path.c_str(), O_RDONLY | O_CLOEXEC), path.c_str()));
}

}  // namespace

Namespace::Namespace(std::string name) : name_(std::move(name)) {
    // A short-lived child makes the namespaces; the descriptors taken from it keep them.
    int to_us[2];
    int to_child[2];
    checked(::pipe2(to_us, O_CLOEXEC), "pipe2");
    Fd made(to_us[0]);
    Fd make(to_us[1]);
    checked(::pipe2(to_child, O_CLOEXEC), "pipe2");
    Fd leave(to_child[0]);
    Fd taken(to_child[1]);

    const pid_t child = checked(::fork(), "fork");
    if (child == 0) {
        taken.close();
        char byte = 0;
        if (::unshare(CLONE_NEWNET | CLONE_NEWNS) == 0 && mount_own_sysfs()) {
            (void)!::write(make.get(), ".", 1);
            (void)!::read(leave.get(), &byte, 1);
        }
        ::_exit(0);
    }
    make.close();
    char byte = 0;
    const bool ready = ::read(made.get(), &byte, 1) == 1;
    if (ready) {
        network_ = open_namespace(child, "net");
        mount_ = open_namespace(child, "mnt");
    }
    taken.close();
    int status = 0;
    ::waitpid(child, &status, 0);
    if (!ready) throw std::runtime_error("cannot make the namespaces of " + name_);

    {
        const Visit visit = enter();
        control_ = Fd(checked(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
    }
    set_up("lo");
}

std::string Namespace::run(const std::vector<std::string>& command) const {
    Process process(*this, command);
    const int status = process.wait(Deadline(Milliseconds(10'000)));
    if (status != 0) {
        std::string text = name_ + ":";
        for (const std::string& word : command) text += " " + word;
        throw std::runtime_error(text + ": status " + std::to_string(status) + "\n" +
                                 process.output());
    }
    return process.output();
}

Namespace::Visit::Visit(int network_fd)
    : home_(checked(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), "own network")) {
    checked(::setns(network_fd, CLONE_NEWNET), "setns");
}

Namespace::Visit::~Visit() {
    if (::setns(home_.get(), CLONE_NEWNET) != 0) {
        std::perror("back to the own network namespace");
        std::abort();  // whatever the thread did next would happen on another host
    }
}

void Namespace::set_up(const std::string& device, bool up) const {
    ifreq request = request_for(device);
    checked(::ioctl(control_.get(), SIOCGIFFLAGS, &request), device.c_str());
    if (up) {
        request.ifr_flags |= IFF_UP;
    } else {
        request.ifr_flags = static_cast<short>(request.ifr_flags & ~IFF_UP);
    }
    checked(::ioctl(control_.get(), SIOCSIFFLAGS, &request), device.c_str());
}

bool Namespace::is_up(const std::string& device) const {
    ifreq request = request_for(device);
    checked(::ioctl(control_.get(), SIOCGIFFLAGS, &request), device.c_str());
    return (request.ifr_flags & IFF_UP) != 0;
}

int Namespace::ifindex(const std::string& device) const {
    ifreq request = request_for(device);
    return ::ioctl(control_.get(), SIOCGIFINDEX, &request) == 0 ? request.ifr_ifindex : 0;
}

std::string Namespace::mac(const std::string& device) const {
    ifreq request = request_for(device);
    checked(::ioctl(control_.get(), SIOCGIFHWADDR, &request), device.c_str());
    char text[18];
    const auto* octet = reinterpret_cast<const unsigned char*>(request.ifr_hwaddr.sa_data);
    std::snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", octet[0], octet[1], octet[2],
                  octet[3], octet[4], octet[5]);
    return text;
}

}  // namespace lab
