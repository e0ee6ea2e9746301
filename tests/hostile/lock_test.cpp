// SPDX-License-Identifier: LGPL-2.1-or-later
//
// While a corked send copies its data, the kernel holds the socket's lock; and whoever can make a
// page come slowly (by a file system in user space, say) can make that last. The daemon must not
// wait for that lock, or one client would hold up all.
#include <csignal>
#include <thread>

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "hostile/scene.hpp"

namespace {

using namespace hostile;

/// A page that nobody ever gets to read.
void* page_that_never_comes(int device, int& faults) {
    constexpr std::size_t size = 4096;
    void* page = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    faults = lab::checked(::ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC), "userfaultfd");
    uffdio_api api{.api = UFFD_API, .features = 0, .ioctls = 0};
    lab::checked(::ioctl(faults, UFFDIO_API, &api), "UFFDIO_API");
    uffdio_register range{.range = {reinterpret_cast<std::uint64_t>(page), size},
                          .mode = UFFDIO_REGISTER_MODE_MISSING,
                          .ioctls = 0};
    lab::checked(::ioctl(faults, UFFDIO_REGISTER, &range), "UFFDIO_REGISTER");
    return page;
}

/// Says "holds" when it holds the lock of the socket.
void hold_lock(const lab::Attacker::Line& line) {
    const int socket = line.take();
    const int device = line.take();
    int faults = -1;
    void* page = page_that_never_comes(device, faults);
    std::thread sender([&] {
        const auto to = address(peer, peer_port);
        ::sendto(socket, page, 100, MSG_MORE, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
    });
    uffd_msg fault{};
    lab::checked(::read(faults, &fault, sizeof(fault)), "fault");
    line.say("holds");
    sender.join();
}

/// How long it took, while `attacker` held a lock; it lets go after 3 s.
Milliseconds duration(const lab::Attacker& attacker, const std::function<void()>& work) {
    const lab::Fork release([&](const lab::Fork::Say&) {
        ::poll(nullptr, 0, 3'000);
        ::kill(attacker.pid(), SIGKILL);
    });
    const auto began = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration_cast<Milliseconds>(std::chrono::steady_clock::now() - began);
}

}  // namespace

TEST_CASE("The daemon does not wait for a socket whose holder keeps its lock",
          "[hostile][kernel]") {
    Scene scene("kernel");
    const lab::Fd device(::open("/dev/userfaultfd", O_RDWR | O_CLOEXEC));
    if (!device) {
        WARN("not tested: this kernel has no /dev/userfaultfd");
        return;
    }
    auto victim = scene.victim();
    auto& socket = victim.first;
    scene.clear();
    lab::Attacker attacker(scene.foreign, hold_lock);
    attacker.give(victim.second.get());
    attacker.give(device.get());
    victim.second.reset();
    REQUIRE(scene.hear(attacker) == "holds");
    CHECK(duration(attacker, [&] {
              CHECK(socket->send(Ipv4::parse(peer).value(), peer_port, {1}) ==
                    impnetd::SendResult::would_block);
          }) < Milliseconds(1'000));
    CHECK(duration(attacker, [&] { socket.reset(); }) < Milliseconds(1'000));
    // The port is free when the lock is.
    ::kill(attacker.pid(), SIGKILL);
    CHECK(attacker.wait() == 128 + SIGKILL);
    const lab::Deadline deadline(Milliseconds(5'000));
    bool free = false;
    while (!free && !deadline.passed()) {
        lab::run_for(scene.loop, Milliseconds(5));
        free = scene.path()
                   .open(scene.request(attackers_port, Delivery::signal, 1002), scene.heard)
                   .has_value();
    }
    CHECK(free);
    scene.check_honest();
    CHECK_THAT(scene.forbidden(), Catch::Equals(""));
}
