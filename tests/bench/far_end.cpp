// SPDX-License-Identifier: LGPL-2.1-or-later
#include "far_end.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <ctime>
#include <fstream>
#include <new>
#include <stdexcept>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>

namespace bench {

namespace {

/// Sent by one call, when the generator finds itself late.
constexpr std::size_t burst = 16;
/// Later than this it forgets what it is behind: nobody gains from a flood.
constexpr double patience = 0.002;

void run_on(pid_t pid, int processor) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    lab::checked(::sched_setaffinity(pid, sizeof set, &set), "sched_setaffinity");
}

sockaddr_in address(const char* host, std::uint16_t port) {
    sockaddr_in out{};
    out.sin_family = AF_INET;
    out.sin_port = htons(port);
    ::inet_pton(AF_INET, host, &out.sin_addr);
    return out;
}

lab::Fd udp_socket(const lab::Namespace& where, std::uint16_t port) {
    const auto visit = where.enter();
    lab::Fd fd(lab::checked(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
    const auto own = address(server_address, port);
    lab::checked(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own), "bind");
    return fd;
}

double processor_seconds() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

double now_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

}  // namespace

void run_on_first_processor(pid_t pid) {
    run_on(pid, 0);
}

void run_on_last_processor(pid_t pid) {
    run_on(pid, ::get_nprocs() - 1);
}

void put_sink(const lab::Namespace& where, const std::string& device) {
    // Ethernet and an IP header without options, then the UDP header's second number.
    constexpr int port_offset = 14 + 20 + 2;
    const std::array<bpf_insn, 7> program{{
        {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 6, .src_reg = 1, .off = 0, .imm = 0},
        {.code = BPF_LD | BPF_ABS | BPF_H,
         .dst_reg = 0,
         .src_reg = 0,
         .off = 0,
         .imm = port_offset},
        {.code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 2, .imm = sink_port},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 2},
        {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = -1},
        {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
    }};
    const lab::Fd loaded(lab::checked(::bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "sink", "GPL",
                                                      program.data(), program.size(), nullptr),
                                      "the sink's program"));
    const auto visit = where.enter();
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = where.ifindex(device),
                .attach_point = BPF_TC_INGRESS);
    LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = loaded.get());
    if (::bpf_tc_hook_create(&hook) != 0 || ::bpf_tc_attach(&hook, &options) != 0)
        throw std::runtime_error("the sink cannot be attached to " + device);
}

std::uint64_t arrived(const lab::Namespace& where, const std::string& device) {
    return std::stoull(where.run({"cat", "/sys/class/net/" + device + "/statistics/rx_packets"}));
}

std::unique_ptr<lab::Fork> start_echo(const lab::Namespace& server) {
    const auto socket = udp_socket(server, echo_port);
    return std::make_unique<lab::Fork>([&](const lab::Fork::Say&) {
        run_on_first_processor(0);
        std::array<char, 2048> data{};
        for (;;) {
            sockaddr_in from{};
            socklen_t size = sizeof from;
            const ssize_t length = ::recvfrom(socket.get(), data.data(), data.size(), 0,
                                              reinterpret_cast<sockaddr*>(&from), &size);
            if (length < 0) continue;
            // What gets lost the other end notices.
            (void)!::sendto(socket.get(), data.data(), static_cast<std::size_t>(length), 0,
                            reinterpret_cast<const sockaddr*>(&from), size);
        }
    });
}

struct Generator::Order {
    std::size_t server = 0;
    std::size_t size = 0;
    double rate = 0;
    std::uint16_t port = 0;
};

struct Generator::Shared {
    std::atomic<std::uint64_t> datagrams = 0;
    std::atomic<double> seconds = 0;
    std::atomic<bool> wanted = false;
    std::atomic<bool> busy = false;
};

Generator::Generator(const std::vector<const lab::Namespace*>& servers) {
    for (const auto* server : servers) sockets_.push_back(udp_socket(*server, 0));
    void* memory =
        ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    shared_ = new (memory) Shared;
    std::array<int, 2> ends{};
    lab::checked(::pipe2(ends.data(), O_CLOEXEC), "pipe2");
    const lab::Fd orders(ends[0]);
    orders_ = lab::Fd(ends[1]);
    process_ = std::make_unique<lab::Fork>(
        [&](const lab::Fork::Say&) { serve(sockets_, orders.get(), *shared_); });
}

Generator::~Generator() {
    process_.reset();
    ::munmap(shared_, sizeof(Shared));
}

void Generator::serve(const std::vector<lab::Fd>& sockets, int orders, Shared& shared) {
    run_on_first_processor(0);
    Order order;
    std::array<char, 2048> data{};
    iovec part{data.data(), 0};
    sockaddr_in to{};
    std::array<mmsghdr, burst> messages{};
    for (auto& message : messages) {
        message.msg_hdr.msg_name = &to;
        message.msg_hdr.msg_namelen = sizeof to;
        message.msg_hdr.msg_iov = &part;
        message.msg_hdr.msg_iovlen = 1;
    }
    while (::read(orders, &order, sizeof order) == sizeof order) {
        to = address(host_address, order.port);
        part.iov_len = order.size;
        double due_since = now_seconds();
        double sent = 0;
        double cost = shared.seconds;
        while (shared.wanted) {
            const double due = (now_seconds() - due_since) * order.rate - sent;
            if (due < 1) continue;
            const auto count = std::min(static_cast<std::size_t>(due), burst);
            const double before = processor_seconds();
            const int done = ::sendmmsg(sockets[order.server].get(), messages.data(),
                                        static_cast<unsigned>(count), 0);
            cost += processor_seconds() - before;
            if (done <= 0) continue;
            sent += done;
            shared.datagrams += static_cast<std::uint64_t>(done);
            shared.seconds = cost;
            if (due > order.rate * patience + burst) {
                due_since = now_seconds();
                sent = 0;
            }
        }
        shared.busy = false;
    }
}

void Generator::start(std::size_t server, std::uint16_t port, std::size_t size, double rate) {
    const Order order{.server = server, .size = size, .rate = rate, .port = port};
    shared_->wanted = true;
    shared_->busy = true;
    if (::write(orders_.get(), &order, sizeof order) != sizeof order)
        throw std::runtime_error("the generator is gone");
}

void Generator::stop() {
    shared_->wanted = false;
    while (shared_->busy) ::sched_yield();
}

Generator::Sent Generator::sent() const {
    return {.datagrams = shared_->datagrams, .seconds = shared_->seconds};
}

}  // namespace bench
