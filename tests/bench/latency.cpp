// SPDX-License-Identifier: LGPL-2.1-or-later
//
// How long things take, and what the daemon costs at rest: medians over rounds on a veth with a
// real DHCP server, through libimpnet-client. Times count from the moment at which the kernel's own
// message about the link wakes this program, to the client's callback. As root:
//
//     build/release/tests/bench-latency [rounds] [idle seconds]
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "lab/lab.hpp"
#include "lab/program.hpp"

using namespace std::chrono_literals;

namespace {

/// Says when the kernel has told of a change of the carrier.
class CarrierWatch {
  public:
    explicit CarrierWatch(const lab::Namespace& host) {
        const auto visit = host.enter();
        fd_ = lab::Fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
        sockaddr_nl address{};
        address.nl_family = AF_NETLINK;
        address.nl_groups = RTMGRP_LINK;
        if (::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
            throw std::runtime_error("cannot watch the links");
    }

    int fd() const { return fd_.get(); }

    /// The carrier as last told, and when.
    struct Told {
        bool carrier = false;
        std::uint64_t usec = 0;
    };
    std::optional<Told> read() const {
        std::optional<Told> out;
        const auto now = lab::monotonic_usec();
        alignas(nlmsghdr) std::array<char, 16384> buffer{};
        while (::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT) > 0) {
            const auto* header = reinterpret_cast<const nlmsghdr*>(buffer.data());
            if (header->nlmsg_type != RTM_NEWLINK) continue;
            const auto* link = static_cast<const ifinfomsg*>(NLMSG_DATA(header));
            if (!out) out = Told{(link->ifi_flags & IFF_LOWER_UP) != 0, now};
        }
        return out;
    }

  private:
    lab::Fd fd_;
};

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const auto middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

void print(const char* what, const std::vector<double>& values, const char* unit) {
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    std::printf("%-44s %8.3f %s  (%.3f-%.3f, n=%zu)\n", what, median(values), unit, *least, *most,
                values.size());
}

/// A number out of /proc/PID/status.
long status_field(pid_t pid, const std::string& name) {
    std::ifstream in("/proc/" + std::to_string(pid) + "/status");
    for (std::string line; std::getline(in, line);)
        if (line.rfind(name + ":", 0) == 0) return std::atol(line.c_str() + name.size() + 1);
    throw std::runtime_error("no " + name);
}

/// From the kernel's word of the carrier to the callback with `state`, in milliseconds.
double follow(lab::Program& program, lab::Diary& diary, const CarrierWatch& watch, bool carrier,
              impnet::State state) {
    std::uint64_t told = 0;
    const auto pump = [&] {
        if (told == 0)
            if (const auto news = watch.read(); news && news->carrier == carrier) told = news->usec;
        program.turn();
    };
    const auto done = lab::eventually(
        lab::Deadline(20s), {watch.fd(), program.client().fd()},
        [&] { return told != 0 && diary.is(state); }, pump);
    if (!done) throw std::runtime_error("a change of the carrier was not reported");
    return (static_cast<double>(diary.last().told_usec) - static_cast<double>(told)) / 1000;
}

int measure(int rounds, int idle_seconds) {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0");
    lab::Daemon daemon(lan.host, lan.bus, lan.managed("always-on = true\n"),
                       {"--log-level", "info"});
    lab::Program program(lan.bus);

    std::vector<double> opens;
    lab::Diary diary;
    for (int round = 0; round < rounds; ++round) {
        diary.clear();
        const auto before = lab::monotonic_usec();
        auto eth0 = program.open("eth0", diary);
        opens.push_back(static_cast<double>(lab::monotonic_usec() - before) / 1000);
    }

    diary.clear();
    auto eth0 = program.open("eth0", diary);
    if (!program.until(20s, [&] { return diary.is(impnet::State::connected); }))
        throw std::runtime_error("the interface did not connect");
    const CarrierWatch watch(lan.host);
    std::vector<double> pulls;
    std::vector<double> plugs;
    for (int round = 0; round < rounds; ++round) {
        lan.cable.pull();
        pulls.push_back(
            follow(program, diary, watch, false, impnet::State::ethernet_stopped_no_link));
        lan.cable.plug();
        plugs.push_back(follow(program, diary, watch, true, impnet::State::connected));
    }

    const auto switches = [&] {
        return status_field(daemon.pid(), "voluntary_ctxt_switches") +
               status_field(daemon.pid(), "nonvoluntary_ctxt_switches");
    };
    program.idle(1s);  // what the last change has set in motion
    const long before = switches();
    program.idle(std::chrono::seconds(idle_seconds));
    const long idle = switches() - before;

    print("Open -> reply", opens, "ms");
    print("cable pulled -> the client's callback", pulls, "ms");
    print("cable put back -> CONNECTED in the client", plugs, "ms");
    std::printf("%-44s %8ld KiB\n", "resident, one client, without udhcpc",
                status_field(daemon.pid(), "VmRSS"));
    std::printf("%-44s %8ld in %d s\n", "wake-ups at rest", idle, idle_seconds);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const int rounds = argc > 1 ? std::atoi(argv[1]) : 20;
    const int idle_seconds = argc > 2 ? std::atoi(argv[2]) : 60;
    return lab::in_own_world([&] {
        try {
            return measure(rounds, idle_seconds);
        } catch (const std::exception& e) {
            std::fprintf(stderr, "bench-latency: %s\n", e.what());
            return 1;
        }
    });
}
