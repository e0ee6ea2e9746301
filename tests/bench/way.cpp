// SPDX-License-Identifier: LGPL-2.1-or-later
#include "way.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <stdexcept>
#include <string>

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/time.h>

#include "far_end.hpp"

namespace bench {

namespace {

volatile sig_atomic_t time_is_up = 0;
impnet::Client* to_be_stopped = nullptr;

void on_alarm(int) {
    time_is_up = 1;
    if (to_be_stopped != nullptr) to_be_stopped->stop();
}

/// Ends a system call that waits, or a client's `run()`, after a while, and says so. For a system
/// call it goes on ringing, should the first time have been just before the call.
class Alarm {
  public:
    explicit Alarm(Time time, impnet::Client* client = nullptr) {
        time_is_up = 0;
        to_be_stopped = client;
        struct sigaction action {};
        action.sa_handler = on_alarm;  // and no SA_RESTART
        ::sigaction(SIGALRM, &action, nullptr);
        constexpr auto million = std::chrono::microseconds(std::chrono::seconds(1)).count();
        const auto usec = std::chrono::microseconds(time).count();
        set({{0, client == nullptr ? 1'000 : 0}, {usec / million, usec % million}});
    }
    ~Alarm() {
        set({});
        to_be_stopped = nullptr;
    }
    Alarm(const Alarm&) = delete;
    Alarm& operator=(const Alarm&) = delete;

  private:
    static void set(const itimerval& when) { ::setitimer(ITIMER_REAL, &when, nullptr); }
};

sockaddr_in at_server(std::uint16_t port) {
    sockaddr_in out{};
    out.sin_family = AF_INET;
    out.sin_port = htons(port);
    ::inet_pton(AF_INET, server_address, &out.sin_addr);
    return out;
}

double now_usec() {
    return std::chrono::duration<double, std::micro>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

const impnet::Ipv4 server(10, 77, 1, 1);

}  // namespace

lab::Fd plain_socket(const char* device) {
    lab::Fd fd(lab::checked(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
    const int on = 1;
    lab::checked(::setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, device,
                              static_cast<socklen_t>(std::strlen(device))),
                 "SO_BINDTODEVICE");
    lab::checked(::setsockopt(fd.get(), IPPROTO_IP, IP_PKTINFO, &on, sizeof on), "IP_PKTINFO");
    lab::checked(::setsockopt(fd.get(), SOL_SOCKET, SO_BROADCAST, &on, sizeof on), "SO_BROADCAST");
    sockaddr_in any{};
    any.sin_family = AF_INET;
    lab::checked(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any), "bind");
    return fd;
}

struct PlainWay::Messages {
    std::array<mmsghdr, batch> headers{};
    std::array<iovec, batch> parts{};
    std::array<sockaddr_in, batch> names{};
    struct Control {
        alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(in_pktinfo))> bytes{};
    };
    std::array<Control, batch> controls{};
    std::vector<std::byte> data = std::vector<std::byte>(batch * largest);

    Messages() {
        for (std::size_t i = 0; i < batch; ++i) {
            parts[i] = {&data[i * largest], largest};
            auto& header = headers[i].msg_hdr;
            header.msg_iov = &parts[i];
            header.msg_iovlen = 1;
            header.msg_name = &names[i];
            header.msg_namelen = sizeof names[i];
        }
    }
};

PlainWay::PlainWay(int fd, Waiting waiting)
    : fd_(fd),
      data_(largest),
      sink_(at_server(sink_port)),
      echo_(at_server(echo_port)),
      outgoing_(std::make_unique<Messages>()),
      incoming_(std::make_unique<Messages>()) {
    lab::checked(::fcntl(fd_, F_SETFL, 0), "F_SETFL");
    outgoing_->names.fill(sink_);
    if (waiting == Waiting::in_receive) return;
    epoll_ = lab::Fd(lab::checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
    epoll_event event{};
    event.events = EPOLLIN;
    lab::checked(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd_, &event), "epoll_ctl");
}

PlainWay::~PlainWay() = default;

std::size_t PlainWay::send_one(std::size_t size) {
    return ::sendto(fd_, data_.data(), size, 0, reinterpret_cast<const sockaddr*>(&sink_),
                    sizeof sink_) >= 0
               ? 1
               : 0;
}

std::size_t PlainWay::send_batch(std::size_t size) {
    for (auto& part : outgoing_->parts) part.iov_len = size;
    const int sent = ::sendmmsg(fd_, outgoing_->headers.data(), batch, 0);
    return sent > 0 ? static_cast<std::size_t>(sent) : 0;
}

/// 0: a signal came.
std::size_t PlainWay::read_some() {
    for (std::size_t i = 0; i < batch; ++i) {  // the kernel overwrote them
        auto& header = incoming_->headers[i].msg_hdr;
        header.msg_namelen = sizeof(sockaddr_in);
        header.msg_control = incoming_->controls[i].bytes.data();
        header.msg_controllen = sizeof incoming_->controls[i];
    }
    int count = 0;
    if (epoll_.get() >= 0) {
        epoll_event ready{};
        if (::epoll_wait(epoll_.get(), &ready, 1, -1) <= 0) return 0;
        count = ::recvmmsg(fd_, incoming_->headers.data(), batch, MSG_DONTWAIT, nullptr);
    } else {
        count = ::recvmmsg(fd_, incoming_->headers.data(), batch, MSG_WAITFORONE, nullptr);
    }
    for (int i = 0; i < count; ++i) {
        auto& header = incoming_->headers[static_cast<std::size_t>(i)].msg_hdr;
        for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr;
             part = CMSG_NXTHDR(&header, part)) {
            if (part->cmsg_level != IPPROTO_IP || part->cmsg_type != IP_PKTINFO) continue;
            in_pktinfo info{};
            std::memcpy(&info, CMSG_DATA(part), sizeof info);
            to_ = info.ipi_addr;
        }
    }
    return count > 0 ? static_cast<std::size_t>(count) : 0;
}

std::size_t PlainWay::receive(Time time) {
    const Alarm alarm(time);
    std::size_t count = 0;
    while (time_is_up == 0) count += read_some();
    return count;
}

std::vector<double> PlainWay::round_trips(std::size_t size, Time time) {
    while (::recv(fd_, nullptr, 0, MSG_DONTWAIT) >= 0) continue;  // late answers
    const Alarm alarm(time);
    std::vector<double> out;
    while (time_is_up == 0) {
        const double before = now_usec();
        if (::sendto(fd_, data_.data(), size, 0, reinterpret_cast<const sockaddr*>(&echo_),
                     sizeof echo_) < 0)
            continue;
        if (read_some() > 0) out.push_back(now_usec() - before);
    }
    return out;
}

std::uint16_t PlainWay::port() const {
    sockaddr_in own{};
    socklen_t size = sizeof own;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&own), &size);
    return ntohs(own.sin_port);
}

LibraryWay::LibraryWay(impnet::Client& client, impnet::Interface& interface)
    : client_(client), data_(largest) {
    auto opened = interface.open_udp({});
    if (!opened) throw std::runtime_error(opened.error().message());
    socket_ = std::move(*opened);
    if (send_one(1) != 1) throw std::runtime_error("a first datagram could not be sent");
    port_ = socket_.local_port();
}

std::size_t LibraryWay::send_one(std::size_t size) {
    const auto result = socket_.send(server, sink_port, std::span(data_).first(size));
    return result && *result == impnet::SendResult::sent ? 1 : 0;
}

std::size_t LibraryWay::send_batch(std::size_t size) {
    std::array<impnet::OutgoingDatagram, batch> datagrams;
    for (auto& datagram : datagrams)
        datagram = {.to = server, .port = sink_port, .data = std::span(data_).first(size)};
    const auto results = socket_.send_batch(datagrams);
    return static_cast<std::size_t>(std::count_if(
        results.begin(), results.end(),
        [](const auto& result) { return result && *result == impnet::SendResult::sent; }));
}

/// Late answers, without a callback, are dropped.
void LibraryWay::drain() {
    pollfd asked{.fd = client_.fd(), .events = POLLIN, .revents = 0};
    while (::poll(&asked, 1, 0) > 0) static_cast<void>(client_.dispatch());
}

std::size_t LibraryWay::receive(Time time) {
    std::size_t count = 0;
    socket_.on_datagram([&count](const impnet::Datagram&) { ++count; });
    {
        const Alarm alarm(time, &client_);
        static_cast<void>(client_.run());
    }
    socket_.on_datagram({});
    return count;
}

std::vector<double> LibraryWay::round_trips(std::size_t size, Time time) {
    drain();
    std::vector<double> out;
    double before = 0;
    const auto send = [&] {
        before = now_usec();
        static_cast<void>(socket_.send(server, echo_port, std::span(data_).first(size)));
    };
    socket_.on_datagram([&](const impnet::Datagram&) {
        out.push_back(now_usec() - before);
        send();
    });
    {
        const Alarm alarm(time, &client_);
        send();
        static_cast<void>(client_.run());
    }
    socket_.on_datagram({});
    return out;
}

}  // namespace bench
