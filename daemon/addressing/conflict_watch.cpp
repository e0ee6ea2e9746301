// SPDX-License-Identifier: LGPL-2.1-or-later
#include "addressing/conflict_watch.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <span>
#include <string>
#include <system_error>

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/socket.h>

#include "addressing/arp.hpp"
#include "log/log.hpp"

namespace impnetd {

namespace {

/// What is done for a new address, and how long after the step before it. The numbers of probes and
/// announcements are those of RFC 5227, 1.1; a switch may lose what is sent just after the link
/// came up.
struct Step {
    Milliseconds pause;
    bool probe = false;
    bool announce = false;
};
constexpr std::array steps{
    Step{.pause = Milliseconds(0), .probe = true},
    Step{.pause = Milliseconds(100), .announce = true},
    Step{.pause = Milliseconds(900), .probe = true},
    Step{.pause = Milliseconds(1'000), .probe = true, .announce = true},
    Step{.pause = Milliseconds(1'000)},  // time for the last answer
};

tl::unexpected<Error> failed(const char* what) {
    return fail(ErrorCode::failed,
                std::string(what) + ": " + std::generic_category().message(errno));
}

std::string name_of(int ifindex) {
    std::array<char, IF_NAMESIZE> name{};
    ::if_indextoname(static_cast<unsigned>(ifindex), name.data());
    return name.data();
}

// Where things are in an ARP message.
constexpr std::uint32_t lengths_at = 4;
constexpr std::uint32_t sender_mac_at = 8;
constexpr std::uint32_t sender_at = 14;
constexpr std::uint32_t lengths_of_ipv4 = 0x0604;

}  // namespace

ConflictWatch::ConflictWatch(Loop& loop, ConflictPort::Observer& observer)
    : loop_(loop), observer_(observer), timer_(loop, [this] { next_step(); }) {}

void ConflictWatch::watch(const AddressClaim& claim) {
    stop();
    claim_ = claim;
    watching_ = true;
    step_ = claim.probe ? 0 : steps.size();
    timer_.start(Milliseconds(0));
}

void ConflictWatch::announce() {
    if (watching_) send(ArpMessage::announcement(claim_.mac, claim_.address));
}

void ConflictWatch::stop() {
    timer_.stop();
    if (!watching_) return;
    watching_ = false;
    if (!poll_) return;
    poll_->watch(0);
    static_cast<void>(filter(true));
}

/// The first time, when nothing has been done yet, it also begins to listen.
void ConflictWatch::next_step() {
    if (step_ == 0 || step_ == steps.size()) {
        if (const auto done = listen(); !done) {
            // The address is used all the same; it is not watched.
            log::warning("conflict_watch_failed",
                         {{"device", name_of(claim_.ifindex)}, {"reason", done.error().message}});
            return;
        }
        if (step_ == steps.size()) return;
    }
    const auto& step = steps.at(step_++);
    if (step.probe) send(ArpMessage::probe(claim_.mac, claim_.address));
    if (step.announce) announce();
    if (step_ == steps.size()) return observer_.address_proven();
    timer_.start(steps.at(step_).pause);
}

Result<> ConflictWatch::listen() {
    if (!socket_) {
        socket_.reset(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (!socket_) return failed("packet socket");
        poll_ = std::make_unique<Poll>(loop_, socket_.get(), [this](int) { readable(); });
    }
    drain();  // of another address
    if (auto done = filter(false); !done) return done;
    if (bound_to_ != claim_.ifindex) {
        sockaddr_ll here{};
        here.sll_family = AF_PACKET;
        here.sll_protocol = htons(ETH_P_ARP);
        here.sll_ifindex = claim_.ifindex;
        if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&here), sizeof(here)) != 0)
            return failed("binding the packet socket");
        bound_to_ = claim_.ifindex;
    }
    poll_->watch(Poll::readable);
    return {};
}

/// Lets through what another host says as the owner of our address. (Who only asks for it is
/// answered by the kernel.)
Result<> ConflictWatch::filter(bool deaf) const {
    const auto& mac = claim_.mac.octets;
    const std::uint32_t front = mac[0] << 8 | mac[1];
    const std::uint32_t back = std::uint32_t{mac[2]} << 24 | mac[3] << 16 | mac[4] << 8 | mac[5];
    std::array code{
        sock_filter BPF_STMT(BPF_LD | BPF_H | BPF_ABS, lengths_at),
        sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, lengths_of_ipv4, 0, 7),
        sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, sender_at),
        sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, claim_.address.bits(), 0, 5),
        sock_filter BPF_STMT(BPF_LD | BPF_H | BPF_ABS, sender_mac_at),
        sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, front, 0, 2),
        sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, sender_mac_at + 2),
        sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, back, 1, 0),
        sock_filter BPF_STMT(BPF_RET | BPF_K, ArpMessage::size),
        sock_filter BPF_STMT(BPF_RET | BPF_K, 0),
    };
    sock_fprog program{code.size(), code.data()};
    if (deaf) program = {1, &code.back()};
    if (::setsockopt(socket_.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) != 0)
        return failed("filter of the packet socket");
    return {};
}

void ConflictWatch::drain() const {
    std::uint8_t octet = 0;
    constexpr int most = 1'000;  // more than wait in its buffer
    for (int count = 0; count < most; ++count) {
        if (::recv(socket_.get(), &octet, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN) return;
    }
}

void ConflictWatch::readable() {
    std::array<std::uint8_t, ArpMessage::size> bytes{};
    const auto size = ::recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (size < 0) return;  // the device went down, which is told once
    const auto message = read_arp(std::span(bytes).first(static_cast<std::size_t>(size)));
    if (!message || message->sender != claim_.address || message->sender_mac == claim_.mac) return;
    // What comes in one burst is one conflict.
    drain();
    observer_.address_claimed(message->sender_mac, step_ < steps.size());
}

void ConflictWatch::send(const ArpMessage& message) const {
    if (!socket_) return;
    sockaddr_ll everybody{};
    everybody.sll_family = AF_PACKET;
    everybody.sll_protocol = htons(ETH_P_ARP);
    everybody.sll_ifindex = claim_.ifindex;
    everybody.sll_halen = ETH_ALEN;
    std::fill_n(std::begin(everybody.sll_addr), ETH_ALEN, static_cast<unsigned char>(0xff));
    const auto bytes = write_arp(message);
    // What is lost is sent again, or is no worse than what a switch loses.
    static_cast<void>(::sendto(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT,
                               reinterpret_cast<const sockaddr*>(&everybody), sizeof(everybody)));
}

}  // namespace impnetd
