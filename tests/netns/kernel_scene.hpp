// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The scene of the data path cases with the kernel path on its host, and a client that holds
// nothing but the descriptor of a UDP socket.
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <bpf/bpf.h>
#include <catch2/catch.hpp>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "core/fair_bucket.hpp"
#include "datapath/kernel/kernel_path.hpp"
#include "netns/built_programs.hpp"
#include "netns/cable_scene.hpp"

namespace ports {

using impnetd::KernelPath;
using impnetd::UniqueFd;

/// What the table of the bus API says of an errno.
inline Outcome outcome_of(int error, std::uint16_t port) {
    switch (error) {
        case 0:
            return Outcome::sent;
        case EAGAIN:
            return Outcome::would_block;
        case EACCES:
            return Outcome::address_not_allowed;
        case EINVAL:
            return port == 0 || port == 67 || port == 68 ? Outcome::invalid_port
                                                         : Outcome::not_connected;
        case EMSGSIZE:
            return Outcome::too_large;
        case EPIPE:
            return Outcome::closed;
        default:
            return Outcome::not_connected;
    }
}

class SocketClient final : public DataPathClient {
  public:
    explicit SocketClient(UniqueFd fd) : fd_(std::move(fd)) {}

    void send(Ipv4 to, std::uint16_t port, const Bytes& data) override {
        outcomes_.push_back(outcome_of(send_raw(to, port, data), port));
    }
    /// 0 or the errno.
    int send_raw(Ipv4 to, std::uint16_t port, const Bytes& data) const {
        const auto address = impnetd::socket_address(to, port);
        return ::sendto(fd_.get(), data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                        reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0
                   ? errno
                   : 0;
    }
    const std::vector<Outcome>& outcomes() override { return outcomes_; }
    std::optional<Datagram> receive() override {
        Bytes data(impnetd::max_payload + 1);
        sockaddr_in from{};
        iovec part{data.data(), data.size()};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(in_pktinfo))> control{};
        msghdr message{};
        message.msg_name = &from;
        message.msg_namelen = sizeof(from);
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        const ssize_t size = ::recvmsg(fd_.get(), &message, MSG_DONTWAIT);
        if (size < 0) return std::nullopt;
        in_pktinfo info{};
        const cmsghdr* entry = CMSG_FIRSTHDR(&message);
        if (entry == nullptr) throw std::logic_error("a datagram without IP_PKTINFO");
        std::memcpy(&info, CMSG_DATA(entry), sizeof(info));
        data.resize(static_cast<std::size_t>(size));
        sockaddr_in local{};
        socklen_t length = sizeof(local);
        ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&local), &length);
        return Datagram{Ipv4::from_network_order(from.sin_addr.s_addr), ntohs(from.sin_port),
                        Ipv4::from_network_order(info.ipi_addr.s_addr), ntohs(local.sin_port),
                        std::move(data)};
    }
    bool closed() override {
        pollfd state{.fd = fd_.get(), .events = 0, .revents = 0};
        return ::poll(&state, 1, 0) == 1 && (state.revents & POLLHUP) != 0;
    }
    int fd() const { return fd_.get(); }

  private:
    UniqueFd fd_;
    std::vector<Outcome> outcomes_;
};

class KernelScene final : public CableScene {
  public:
    /// A token in 40 s, where the cases speak of one in 40 ms: none comes by itself.
    static constexpr impnetd::RateLimit slow{.burst = 100, .rate = 0.025};

    explicit KernelScene(impnetd::RateLimit limit = slow) : limit_(limit) {
        auto made = KernelPath::make(
            loop(), {.limit = limit, .ttl = 1, .socket_source = built_socket_source(), .maps = {}});
        if (!made) FAIL(made.error().message);
        path_ = std::move(*made);
        connect();
    }

    KernelPath& path() override { return *path_; }
    bool counts_all_denials() const override { return false; }
    /// A thousand times as long: the time is taken from the bucket itself.
    void elapse(Milliseconds time) override {
        struct {
            std::uint64_t lock;
            impnet_limit limit;
            impnet_bucket bucket;
        } value{};
        const std::uint32_t zero = 0;
        REQUIRE(::bpf_map_lookup_elem(map("bucket"), &zero, &value) == 0);
        const auto passed =
            static_cast<std::uint64_t>(std::chrono::nanoseconds(time).count()) * 1'000;
        value.bucket.full_at -= std::min<std::uint64_t>(value.bucket.full_at, passed);
        REQUIRE(::bpf_map_update_elem(map("bucket"), &zero, &value, BPF_ANY) == 0);
    }
    std::unique_ptr<DataPathClient> acquire(DataSocket& socket) override {
        return acquire_socket(socket);
    }
    static std::unique_ptr<SocketClient> acquire_socket(DataSocket& socket) {
        auto fd = socket.acquire();
        REQUIRE(fd);
        return std::make_unique<SocketClient>(std::move(*fd));
    }
    int map(const std::string& name) const {
        for (const auto& [known, fd] : path_->maps())
            if (known == name) return fd;
        FAIL("no map is called " << name);
        return -1;
    }

  private:
    impnetd::RateLimit limit_;
    std::unique_ptr<KernelPath> path_;
};

/// A socket that was bound to port 2001 is dead for who holds it: nothing leaves, nothing arrives,
/// nothing can be had from it any more. `error`: of a send to the peer. `sent`: what the peer has
/// not read yet.
inline void check_dead(CableScene& scene, SocketClient& client, int error = EPIPE,
                       std::size_t sent = 0) {
    const auto send = [&] {
        return client.send_raw(DataPathScene::peer(), DataPathScene::peer_port, payload(3));
    };
    CHECK(client.closed());
    CHECK(send() == error);
    CHECK(send() == error);
    CHECK_FALSE(client.receive());
    // Its port is free, and what comes there is the next one's.
    const auto next = scene.open(2001);
    const auto before = scene.log.datagrams.size();
    scene.peer_sends(0, DataPathScene::ours(), 2001, payload(5));
    REQUIRE(scene.received(before + 1));
    CHECK_FALSE(client.receive());
    // To be disconnected does not bring it to life.
    const sockaddr nothing{.sa_family = AF_UNSPEC, .sa_data = {}};
    static_cast<void>(::connect(client.fd(), &nothing, sizeof(nothing)));
    CHECK(send() == error);
    scene.peer_sends(0, DataPathScene::ours(), 2001, payload(7));
    REQUIRE(scene.received(before + 2));
    CHECK_FALSE(client.receive());
    CHECK(client.closed());
    CHECK(scene.peer_counts() == sent);
}

}  // namespace ports
