// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What sockets of impnetd cost, compared with a bare one: the kernel path and the relay, through
// libimpnet-client, with a limiter that is off (rate 0) and one that is on (a million a second), in
// turns of some hundredths of a second that follow each other in random order, in each round anew.
// All of it on hosts of the lab, one for each way, with a veth to a server. As root:
//
//     cmake --preset release -DIMPNET_BENCH=ON && cmake --build --preset release
//     build/release/tests/bench-data-path [--runs N] [--quick]
//
// What is measured runs on the last processor, what belongs to the other end on the first; the
// relay's daemon beside the program when it receives, beside the other end when it sends. CPU is
// that of the program and of the daemon, and of what the kernel does in their name: all of sending,
// up to the far end of the cable. Of receiving a part is done in the sender's name, so there is a
// second number, "all": it adds what the sender's calls cost beyond those whose datagrams are
// dropped when they come off the cable.
//
// Some rows are there to tell parts apart: "descriptor" are plain calls on the kernel path's
// descriptor, and so without the library; "bare, epoll" is a bare socket that is waited for with
// epoll(7), as a program does that waits for other things as well, and as the library does: the
// kernel looks for who waits with each datagram, also with those that are sent.
#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <sys/resource.h>
#include <unistd.h>

#include "bench/far_end.hpp"
#include "bench/samples.hpp"
#include "bench/way.hpp"
#include "lab/lab.hpp"
#include "lab/program.hpp"

using namespace std::chrono_literals;

namespace bench {

namespace {

struct Settings {
    int runs = 16;
    bool quick = false;
};

constexpr std::array<std::size_t, 3> sizes{32, 512, 1400};
constexpr std::array<double, 3> rates{50'000, 150'000, 300'000};
constexpr Time turn = 40ms;
constexpr Time warming = 5ms;
constexpr rlim_t descriptors = 100'000;  // of a process, if that many may be had

double processor_seconds(clockid_t clock) {
    timespec now{};
    ::clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

double processor_seconds_of(pid_t pid) {
    clockid_t clock{};
    return ::clock_getcpuclockid(pid, &clock) == 0 ? processor_seconds(clock) : 0;
}

double now_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

/// Seconds that all processors of the machine have worked.
double machine_seconds() {
    std::ifstream file("/proc/stat");
    std::string name;
    std::array<double, 8> spent{};  // user nice system idle iowait irq softirq steal
    file >> name;
    for (auto& part : spent) file >> part;
    return (spent[0] + spent[1] + spent[2] + spent[5] + spent[6] + spent[7]) /
           static_cast<double>(::sysconf(_SC_CLK_TCK));
}

/// A host with a connected interface and a server; and a daemon, unless it is the bare one.
class Host {
  public:
    explicit Host(const std::string& configuration) {
        lan_.host.run({"ip", "address", "add", std::string(host_address) + "/24", "broadcast", "+",
                       "dev", "lan0"});
        lan_.host.set_up("lan0");
        // Nobody asks for an address while something is measured.
        set_neighbour(lan_.host, "lan0", server_address, lan_.server.mac("srv0"));
        set_neighbour(lan_.server, "srv0", host_address, lan_.host.mac("lan0"));
        put_sink(lan_.server, "srv0");
        if (configuration.empty()) return;
        daemon_ = std::make_unique<lab::Daemon>(
            lan_.host, lan_.bus,
            lan_.observed(configuration + "[limits]\nsockets-per-uid = 65536\n"),
            std::vector<std::string>{"--log-level", "warning"});
    }

    lab::Lan& lan() { return lan_; }
    lab::Daemon& daemon() { return *daemon_; }
    /// 0: there is none.
    pid_t daemon_pid() const { return daemon_ ? daemon_->pid() : 0; }

  private:
    static void set_neighbour(const lab::Namespace& where, const char* device, const char* address,
                              const std::string& mac) {
        where.run({"ip", "neighbour", "replace", address, "lladdr", mac, "dev", device, "nud",
                   "permanent"});
    }

    lab::Lan lan_;
    std::unique_ptr<lab::Daemon> daemon_;
};

std::string path_setting(const std::string& path, int rate) {
    return "[datapath]\npath = \"" + path +
           "\"\n[limiter]\nburst = 1000000\nrate = " + std::to_string(rate) + "\n";
}

/// A program with an interface that is connected.
struct Connected {
    explicit Connected(Host& host) : program(host.lan().bus) {
        interface = program.open("eth0", diary);
        if (!program.until(5s, [&] { return diary.is(impnet::State::connected); }))
            throw std::runtime_error("the interface is not connected\n" + host.daemon().log());
    }

    lab::Program program;
    lab::Diary diary;
    impnet::Interface interface;
};

/// A row of the tables: who sends and receives, and where.
struct Row {
    std::string name;
    std::size_t host = 0;
    std::unique_ptr<Way> way;
    bool when_sending = true;
    bool when_receiving = true;
};

struct Turn {
    Samples rate;  // datagrams a second
    Samples cpu;   // microseconds a datagram: the program and its daemon
    Samples all;   // the same, with the kernel's part that the sender paid for
    Samples lost;  // of a datagram
    Samples p50;   // microseconds
    Samples p99;
};

class DataPaths {
  public:
    DataPaths() {
        for (const auto& setting :
             {std::string(), path_setting("kernel", 0), path_setting("kernel", 1'000'000),
              path_setting("relay", 0), path_setting("relay", 1'000'000)})
            hosts_.push_back(std::make_unique<Host>(setting));
        std::vector<const lab::Namespace*> servers;
        for (auto& host : hosts_) {
            servers.push_back(&host->lan().server);
            echoes_.push_back(start_echo(host->lan().server));
        }
        put_sink(hosts_[0]->lan().host, "lan0");
        generator_ = std::make_unique<Generator>(servers);
        furnish();
    }

    void run_round();
    void print() const;
    /// How much of the machine others had, 0 to 1.
    double others() const { return others_; }
    void note_start() {
        started_ = now_seconds();
        machine_ = machine_seconds();
        own_ = own_seconds();
    }
    void note_end() {
        const double time = now_seconds() - started_;
        others_ = std::max(0.0, machine_seconds() - machine_ - (own_seconds() - own_)) / time /
                  static_cast<double>(::sysconf(_SC_NPROCESSORS_ONLN));
    }
    void check_arrival() const;

  private:
    enum class What : std::uint8_t { send_one, send_batch, receive, round_trip };
    using Key = std::tuple<What, std::size_t, double, std::size_t>;  // size, rate, row

    void furnish();
    void add(std::string name, std::size_t host, std::unique_ptr<Way> way, bool when_sending = true,
             bool when_receiving = true);
    double own_seconds() const;
    void place_daemons(void (*where)(pid_t));
    void send(What what, std::size_t size, std::size_t row);
    void receive(std::size_t size, double rate, std::size_t row);
    void round_trip(std::size_t size, std::size_t row);
    double cost_of_sending(std::size_t size, double rate);
    void print_table(What what, double rate) const;
    void print_row(What what, double rate, std::size_t row) const;
    bool takes_part(What what, std::size_t row) const;
    const Turn& at(What what, std::size_t size, double rate, std::size_t row) const {
        return turns_.at({what, size, rate, row});
    }

    std::vector<std::unique_ptr<Host>> hosts_;
    std::vector<std::unique_ptr<lab::Fork>> echoes_;
    std::unique_ptr<Generator> generator_;
    std::vector<lab::Fd> plain_;
    std::vector<std::unique_ptr<Connected>> connected_;
    std::vector<impnet::UdpSocket> raw_;
    std::vector<Row> rows_;
    std::map<Key, Turn> turns_;
    std::vector<std::uint64_t> sent_ = std::vector<std::uint64_t>(8);
    std::mt19937 random_{std::random_device{}()};
    double started_ = 0;
    double machine_ = 0;
    double own_ = 0;
    double others_ = 0;
};

void DataPaths::add(std::string name, std::size_t host, std::unique_ptr<Way> way, bool when_sending,
                    bool when_receiving) {
    rows_.push_back({.name = std::move(name),
                     .host = host,
                     .way = std::move(way),
                     .when_sending = when_sending,
                     .when_receiving = when_receiving});
}

void DataPaths::furnish() {
    for (const auto waiting : {Waiting::in_receive, Waiting::by_epoll}) {
        const auto visit = hosts_[0]->lan().host.enter();
        plain_.push_back(plain_socket("lan0"));
        add(waiting == Waiting::in_receive ? "bare" : "bare, epoll", 0,
            std::make_unique<PlainWay>(plain_.back().get(), waiting));
    }
    const std::array<const char*, 4> names{"kernel", "kernel, limited", "relay", "relay, limited"};
    for (std::size_t host = 1; host <= names.size(); ++host) {
        const std::string name = names[host - 1];
        const bool limited = host % 2 == 0;
        auto& connected = *connected_.emplace_back(std::make_unique<Connected>(*hosts_[host]));
        add(name, host,
            std::make_unique<LibraryWay>(connected.program.client(), connected.interface), true,
            !limited);
        if (host > 2) continue;
        impnet::UdpOptions options;
        options.raw = true;
        auto raw = connected.interface.open_udp(options);
        if (!raw) throw std::runtime_error(raw.error().message());
        raw_.push_back(std::move(*raw));
        if (raw_.back().path() != "kernel") throw std::runtime_error("not the kernel path");
        add(limited ? "  descriptor, limited" : "  descriptor", host,
            std::make_unique<PlainWay>(raw_.back().fd(), Waiting::in_receive), true, !limited);
        // Its port is in force from the first datagram.
        if (rows_.back().way->send_one(1) != 1) throw std::runtime_error("a send failed");
    }
}

double DataPaths::own_seconds() const {
    double out = processor_seconds(CLOCK_PROCESS_CPUTIME_ID);
    for (const auto& host : hosts_)
        if (host->daemon_pid() != 0) out += processor_seconds_of(host->daemon_pid());
    for (const auto& echo : echoes_) out += processor_seconds_of(echo->pid());
    return out + processor_seconds_of(generator_->pid());
}

void DataPaths::place_daemons(void (*where)(pid_t)) {
    for (const auto& host : hosts_)
        if (host->daemon_pid() != 0) where(host->daemon_pid());
}

bool DataPaths::takes_part(What what, std::size_t row) const {
    switch (what) {
        case What::send_one:
        case What::send_batch:
            return rows_[row].when_sending;
        case What::receive:
            return rows_[row].when_receiving;
        case What::round_trip:
            break;
    }
    return true;
}

/// The rate is the median of that of each 64, so that it does not matter who else gets the
/// processor for a while.
void DataPaths::send(What what, std::size_t size, std::size_t row) {
    Way& way = *rows_[row].way;
    const pid_t daemon = hosts_[rows_[row].host]->daemon_pid();
    const auto some = [&] {
        return what == What::send_one ? way.send_one(size) : way.send_batch(size);
    };
    const auto cpu = [&] {
        return processor_seconds(CLOCK_PROCESS_CPUTIME_ID) +
               (daemon != 0 ? processor_seconds_of(daemon) : 0);
    };
    std::uint64_t accepted = 0;
    for (int i = 0; i < 8; ++i) accepted += some();
    const double cpu_before = cpu();
    const double before = now_seconds();
    const double end = before + std::chrono::duration<double>(turn).count();
    std::uint64_t count = 0;
    Samples rates;
    for (double now = before; now < end;) {
        std::size_t accepted_now = 0;
        for (int i = what == What::send_one ? batch : 1; i > 0; --i) accepted_now += some();
        const double after = now_seconds();
        rates.push_back(static_cast<double>(accepted_now) / (after - now));
        count += accepted_now;
        now = after;
    }
    const double spent = cpu() - cpu_before;
    sent_[rows_[row].host] += accepted + count;
    auto& out = turns_[{what, size, 0, row}];
    out.rate.push_back(median(rates));
    out.cpu.push_back(spent / static_cast<double>(count) * 1e6);
}

/// Microseconds that the generator spends on a datagram that goes no further than the cable.
double DataPaths::cost_of_sending(std::size_t size, double rate) {
    generator_->start(0, sink_port, size, rate);
    const auto sleep = [](Time time) {
        const timespec span{.tv_sec = 0, .tv_nsec = std::chrono::nanoseconds(time).count()};
        ::clock_nanosleep(CLOCK_MONOTONIC, 0, &span, nullptr);
    };
    sleep(warming);
    const auto before = generator_->sent();
    sleep(turn);
    const auto after = generator_->sent();
    generator_->stop();
    return (after.seconds - before.seconds) /
           static_cast<double>(after.datagrams - before.datagrams) * 1e6;
}

void DataPaths::receive(std::size_t size, double rate, std::size_t row) {
    Way& way = *rows_[row].way;
    const auto host = rows_[row].host;
    const pid_t daemon = hosts_[host]->daemon_pid();
    const auto cpu = [&] {
        return processor_seconds(CLOCK_PROCESS_CPUTIME_ID) +
               (daemon != 0 ? processor_seconds_of(daemon) : 0);
    };
    const double sending = cost_of_sending(size, rate);
    generator_->start(host, way.port(), size, rate);
    way.receive(warming);
    const auto sent_before = generator_->sent();
    const double cpu_before = cpu();
    const double before = now_seconds();
    const std::size_t count = way.receive(turn);
    const double time = now_seconds() - before;
    const double spent = cpu() - cpu_before;
    const auto sent = generator_->sent();
    generator_->stop();
    const auto offered = static_cast<double>(sent.datagrams - sent_before.datagrams);
    const auto received = static_cast<double>(count);
    auto& out = turns_[{What::receive, size, rate, row}];
    out.rate.push_back(received / time);
    out.cpu.push_back(spent / received * 1e6);
    out.all.push_back(out.cpu.back() + (sent.seconds - sent_before.seconds) / offered * 1e6 -
                      sending);
    out.lost.push_back(std::max(0.0, 1 - received / offered));
}

void DataPaths::round_trip(std::size_t size, std::size_t row) {
    const auto times = rows_[row].way->round_trips(size, turn);
    auto& out = turns_[{What::round_trip, size, 0, row}];
    out.p50.push_back(quantile(times, 0.5));
    out.p99.push_back(quantile(times, 0.99));
}

void DataPaths::run_round() {
    std::vector<std::size_t> order(rows_.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    const auto each = [&](What what, const std::function<void(std::size_t)>& measure) {
        std::shuffle(order.begin(), order.end(), random_);
        for (const auto row : order)
            if (takes_part(what, row)) measure(row);
    };
    place_daemons(run_on_first_processor);
    for (const auto size : sizes)
        for (const auto what : {What::send_one, What::send_batch})
            each(what, [&](std::size_t row) { send(what, size, row); });
    place_daemons(run_on_last_processor);
    for (const auto size : sizes) {
        for (const auto rate : rates)
            each(What::receive, [&](std::size_t row) { receive(size, rate, row); });
        each(What::round_trip, [&](std::size_t row) { round_trip(size, row); });
    }
}

/// What was accepted has left: else all that was measured is worth nothing.
void DataPaths::check_arrival() const {
    for (std::size_t i = 0; i < hosts_.size(); ++i) {
        const auto there = arrived(hosts_[i]->lan().server, "srv0");
        if (there < sent_[i])
            throw std::runtime_error(std::to_string(sent_[i]) + " datagrams were accepted and " +
                                     std::to_string(there) + " arrived");
    }
}

std::string format(const char* pattern, double value) {
    if (!std::isfinite(value)) return "-";
    std::array<char, 32> out{};
    std::snprintf(out.data(), out.size(), pattern, value);
    return out.data();
}

/// A median and its quartiles.
std::string spread(const Samples& samples) {
    return format("%.2f", median(samples)) + " (" + format("%.2f", quantile(samples, 0.25)) + "-" +
           format("%.2f", quantile(samples, 0.75)) + ")";
}

void DataPaths::print_row(What what, double rate, std::size_t row) const {
    std::printf("%-22s", rows_[row].name.c_str());
    for (const auto size : sizes) {
        const Turn& turn = at(what, size, rate, row);
        const Turn& bare = at(what, size, rate, 0);
        std::string text;
        if (what == What::round_trip) {
            text = row == 0 ? format("%.1f us", median(turn.p50)) + ", p99 " +
                                  format("%.1f us", median(turn.p99))
                            : spread(ratios(turn.p50, bare.p50)) + ", p99 " +
                                  format("%.2f", median(ratios(turn.p99, bare.p99)));
        } else if (what == What::receive) {
            text = row == 0 ? format("%.2f us", median(turn.cpu)) + ", all " +
                                  format("%.2f us", median(turn.all))
                            : spread(ratios(turn.cpu, bare.cpu)) + ", all " +
                                  format("%.2f", median(ratios(turn.all, bare.all)));
            if (median(turn.lost) > 0.001)
                text += ", lost " + format("%.1f%%", 100 * median(turn.lost));
        } else {
            text = row == 0 ? format("%.0f k/s", median(turn.rate) / 1000) + ", CPU " +
                                  format("%.2f us", median(turn.cpu))
                            : spread(ratios(turn.rate, bare.rate)) + ", CPU " +
                                  format("%.2f", median(ratios(turn.cpu, bare.cpu)));
        }
        std::printf("  %-30s", text.c_str());
    }
    std::printf("\n");
}

void DataPaths::print_table(What what, double rate) const {
    std::string title;
    switch (what) {
        case What::send_one:
            title = "send, single calls";
            break;
        case What::send_batch:
            title = "send, batches of " + std::to_string(batch);
            break;
        case What::receive:
            title = "receive " + format("%.0f k/s", rate / 1000) + ", CPU";
            break;
        case What::round_trip:
            title = "round trip";
            break;
    }
    std::printf("\n%-22s", title.c_str());
    for (const auto size : sizes) std::printf("  %-30s", (std::to_string(size) + " bytes").c_str());
    std::printf("\n");
    for (std::size_t row = 0; row < rows_.size(); ++row)
        if (takes_part(what, row)) print_row(what, rate, row);
}

void DataPaths::print() const {
    print_table(What::send_one, 0);
    print_table(What::send_batch, 0);
    for (const auto rate : rates) print_table(What::receive, rate);
    print_table(What::round_trip, 0);
    Samples noise;
    for (const auto size : sizes) {
        const auto& bare = at(What::send_one, size, 0, 0).rate;
        noise.push_back(quantile(bare, 0.9) / quantile(bare, 0.1));
    }
    std::printf(
        "\nNoise: the bare socket's own rate of single sends, 90th by 10th percentile of the "
        "runs: %.2f; others had %.0f %% of the machine.\n",
        median(noise), 100 * others_);
}

// --- Opening -----------------------------------------------------------------------------------

void print_opening(int rounds) {
    std::map<std::string, std::array<Samples, 4>> times;  // open, open_udp, first datagram, all
    std::map<std::string, std::unique_ptr<Host>> hosts;
    std::vector<std::unique_ptr<Connected>> keep;  // so that the interface stays up
    for (const std::string path : {"kernel", "relay"}) {
        hosts[path] = std::make_unique<Host>(path_setting(path, 0));
        keep.push_back(std::make_unique<Connected>(*hosts[path]));
    }
    for (int round = 0; round < rounds; ++round) {
        for (auto& [path, host] : hosts) {
            lab::Program program(host->lan().bus);
            lab::Diary diary;
            std::array<double, 4> at{now_seconds()};
            auto interface = program.open("eth0", diary);
            at[1] = now_seconds();
            auto socket = interface.open_udp({});
            if (!socket) throw std::runtime_error(socket.error().message());
            at[2] = now_seconds();
            const auto sent = socket->send(server_address, sink_port, "first");
            at[3] = now_seconds();
            if (!sent || *sent != impnet::SendResult::sent)
                throw std::runtime_error("a first datagram was not sent");
            for (std::size_t i = 0; i < 3; ++i)
                times[path][i].push_back((at[i + 1] - at[i]) * 1000);
            times[path][3].push_back((at[3] - at[0]) * 1000);
        }
    }
    std::printf(
        "\nOpen + OpenUdp + first datagram, on a connected interface (ms, median of %d, and "
        "quartiles)\n",
        rounds);
    for (auto& [path, parts] : times)
        std::printf("%-22s  %s = %.2f + %.2f + %.3f\n", path.c_str(), spread(parts[3]).c_str(),
                    median(parts[0]), median(parts[1]), median(parts[2]));
}

// --- Memory ------------------------------------------------------------------------------------

double resident_kib(pid_t pid) {
    std::ifstream in("/proc/" + std::to_string(pid) + "/status");
    for (std::string line; std::getline(in, line);)
        if (line.starts_with("VmRSS:")) return std::stod(line.substr(6));
    return nothing;
}

/// Memory of the kernel that sockets may be made of: those of its object caches that files on a
/// disk have no part in, which others use all the time.
double kernel_kib() {
    double out = 0;
    std::ifstream file("/proc/slabinfo");
    for (std::string line; std::getline(file, line);) {
        std::istringstream fields(line);
        std::string name;
        double active = 0;
        double all = 0;
        double size = 0;
        if (!(fields >> name >> active >> all >> size)) continue;
        const bool counts = name == "UDP" || name == "sock_inode_cache" || name == "filp" ||
                            name.starts_with("UNIX") || name.starts_with("kmalloc-") ||
                            name.starts_with("eventpoll") || name.starts_with("skbuff");
        if (counts) out += active * size / 1024;
    }
    return out;
}

/// The relay's daemon has two descriptors for each.
int most_sockets() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    return static_cast<int>((std::min(limit.rlim_cur, descriptors) - 500) / 2);
}

void print_memory_row(const std::string& name, int count, double daemon, double daemon_each,
                      double program_each, double kernel_each) {
    std::printf("%-22s %8d  %12s  %12s  %12s  %12s\n", name.c_str(), count,
                format("%.0f KiB", daemon).c_str(), format("%.2f KiB", daemon_each).c_str(),
                format("%.2f KiB", program_each).c_str(), format("%.2f KiB", kernel_each).c_str());
}

/// More and more sockets of one kind: the memory that they take.
void print_memory_of(const std::string& path, const std::vector<int>& counts) {
    Host host(path.empty() ? "" : path_setting(path, 0));
    std::unique_ptr<Connected> connected;
    if (!path.empty()) connected = std::make_unique<Connected>(host);
    std::vector<lab::Fd> plain;
    std::vector<impnet::UdpSocket> sockets;
    const auto add = [&] {
        if (!connected) {
            plain.push_back(plain_socket("lan0"));
            return;
        }
        auto socket = connected->interface.open_udp({});
        if (!socket) throw std::runtime_error(socket.error().message());
        sockets.push_back(std::move(*socket));
    };
    const auto daemon = [&] { return connected ? resident_kib(host.daemon_pid()) : nothing; };
    const double daemon_before = daemon();
    const double own_before = resident_kib(::getpid());
    const double kernel_before = kernel_kib();
    for (const int wanted : counts) {
        const int count = std::min(wanted, most_sockets());
        const auto visit = host.lan().host.enter();
        while (plain.size() + sockets.size() < static_cast<std::size_t>(count)) add();
        const double now = daemon();
        print_memory_row(path.empty() ? "bare" : path, count, now, (now - daemon_before) / count,
                         (resident_kib(::getpid()) - own_before) / count,
                         count < 100 ? nothing : (kernel_kib() - kernel_before) / count);
    }
    if (connected) connected->interface.close();
}

void print_memory(bool quick) {
    std::printf("\n%-22s %8s  %12s  %12s  %12s  %12s\n", "memory", "sockets", "daemon",
                "+ a socket", "program", "kernel");
    for (const char* path : {"", "kernel", "relay"})
        print_memory_of(path, {1, 100, quick ? 1'000 : 10'000});
}

int measure(const Settings& settings) {
    rlimit limit{descriptors, descriptors};
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) {  // in a container, perhaps
        ::getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
    // Others may build something meanwhile.
    if (::setpriority(PRIO_PROCESS, 0, -5) != 0) std::perror("setpriority");
    run_on_last_processor(0);
    {
        DataPaths paths;
        paths.note_start();
        for (int round = 0; round < settings.runs; ++round) paths.run_round();
        paths.note_end();
        paths.check_arrival();
        std::printf("%d runs. Ratios to the bare socket: median (quartiles).\n", settings.runs);
        paths.print();
    }
    print_opening(20);
    print_memory(settings.quick);
    return 0;
}

std::optional<Settings> read(int argc, char** argv) {
    Settings out;
    bool runs_given = false;
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        if (word == "--quick") {
            out.quick = true;
        } else if (word == "--runs" && i + 1 < argc) {
            const std::string_view number = argv[++i];
            const auto* const end = number.data() + number.size();
            if (std::from_chars(number.data(), end, out.runs).ptr != end || out.runs < 1)
                return std::nullopt;
            runs_given = true;
        } else {
            return std::nullopt;
        }
    }
    if (out.quick && !runs_given) out.runs = 2;
    return out;
}

}  // namespace

}  // namespace bench

int main(int argc, char** argv) {
    const auto settings = bench::read(argc, argv);
    if (!settings) {
        std::fprintf(stderr, "usage: bench-data-path [--runs N] [--quick]\n");
        return 2;
    }
    return lab::in_own_world([&] {
        try {
            return bench::measure(*settings);
        } catch (const std::exception& e) {
            std::fprintf(stderr, "bench-data-path: %s\n", e.what());
            return 1;
        }
    });
}
