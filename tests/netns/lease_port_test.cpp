// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch.hpp>
#include <sched.h>
#include <sys/capability.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "addressing/udhcpc.hpp"
#include "lab/cable.hpp"
#include "lab/deadline.hpp"
#include "lab/dhcp_server.hpp"
#include "lab/fd.hpp"
#include "lab/loop_wait.hpp"
#include "lab/namespace.hpp"
#include "lab/process.hpp"
#include "lab/strange_dhcp_server.hpp"
#include "lab/world.hpp"
#include "loop/loop.hpp"
#include "netns/built_programs.hpp"
#include "ports/lease_cases.hpp"

namespace {

using namespace ports;
using impnetd::Loop;
using impnetd::MacAddress;
using impnetd::Udhcpc;
using impnetd::UdhcpcPrograms;

/// As /proc writes the set of these two.
constexpr const char* net_raw_and_net_bind_service = "0000000000002400";

std::string status_field(const std::string& pid, const std::string& name) {
    std::ifstream status("/proc/" + pid + "/status");
    std::string line;
    while (std::getline(status, line)) {
        if (!line.starts_with(name + ":\t")) continue;
        return line.substr(name.size() + 2);
    }
    return "";
}

/// Our children of this name, oldest first.
std::vector<pid_t> children(const std::string& name) {
    std::vector<pid_t> out;
    const auto self = std::to_string(getpid());
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const auto pid = entry.path().filename().string();
        if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
        if (status_field(pid, "PPid") != self || status_field(pid, "Name") != name) continue;
        out.push_back(static_cast<pid_t>(std::stol(pid)));
    }
    std::sort(out.begin(), out.end());
    return out;
}

/// A host on a cable, whose addresses follow its leases as the daemon's would.
class Host : private LeasePort::Observer {
  public:
    explicit Host(LeaseLog& log, UdhcpcPrograms programs = built_programs())
        : log_(log), port(loop, *this, std::move(programs)) {
        host.set_up("lan0");
    }

    LeaseRequest request() const {
        return LeaseRequest{"lan0", *MacAddress::parse(host.mac("lan0")), "lab-host", std::nullopt};
    }
    bool reported(std::size_t count, Milliseconds limit) {
        return lab::run_until(loop, limit, [&] { return log_.reports.size() >= count; });
    }

  private:
    void lease_obtained(const Lease& lease) override {
        if (!assigned_ || assigned_ != lease.network) {
            host.run({"ip", "address", "flush", "dev", "lan0"});
            host.run({"ip", "address", "add", lease.network.text(), "dev", "lan0"});
            assigned_ = lease.network;
        }
        log_.lease_obtained(lease);
    }
    void lease_lost(const std::string& reason) override { log_.lease_lost(reason); }
    void lease_refused(const std::string& reason) override { log_.lease_refused(reason); }

    LeaseLog& log_;
    std::optional<Ipv4Network> assigned_;

  public:
    lab::Namespace host{"host"};
    lab::Namespace server{"server"};
    lab::Cable cable{host, "lan0", server, "srv0"};
    lab::Namespace::Visit visit = host.enter();
    Loop loop{[](std::string_view what) { FAIL_CHECK("fault in the loop: " << what); }};
    Udhcpc port;
};

class RealScene final : public LeaseScene {
  public:
    LeasePort& port() override { return host_.port; }
    LeaseRequest request() const override { return host_.request(); }
    Lease lease(Ipv4 address) const override {
        const Ipv4 server(10, 77, 1, 1);
        Lease lease;
        lease.network = Ipv4Network{address, 24};
        lease.broadcast = Ipv4(10, 77, 1, 255);
        lease.gateway = server;
        lease.server = server;
        lease.dns = {server};
        lease.seconds = 3600;
        return lease;
    }

    void serve(Ipv4 address) override {
        lab::DhcpServer::Options options;
        options.first = options.last = address.text();
        if (dhcp_)
            dhcp_->start(options, lab::DhcpServer::Leases::forget);
        else
            dhcp_.emplace(host_.server, "srv0", options);
    }
    void resume() override { dhcp_->start(); }
    void silence() override { dhcp_->stop(); }
    void kill_client() override {
        const auto clients = children("udhcpc");
        REQUIRE(clients.size() == 1);
        ::kill(clients.front(), SIGKILL);
    }
    bool reported(std::size_t count, Milliseconds limit) override {
        return host_.reported(count, limit);
    }

    Host& host() { return host_; }
    lab::DhcpServer& dhcp() { return *dhcp_; }

  private:
    Host host_{log};
    std::optional<lab::DhcpServer> dhcp_;
};

/// A server of a host's far end, served by the host's loop.
class StrangeServer : public lab::StrangeDhcpServer {
  public:
    explicit StrangeServer(Host& host)
        : StrangeDhcpServer(host.server, "srv0"), poll_(host.loop, fd(), [this](int) { serve(); }) {
        poll_.watch(impnetd::Poll::readable);
    }

  private:
    impnetd::Poll poll_;
};

std::size_t clients() {
    return children("udhcpc").size() + children("impnet-udhcpc-e").size();
}

bool no_clients_left(Loop& loop) {
    return lab::run_until(loop, Milliseconds(1'000), [] { return clients() == 0; });
}

}  // namespace

TEST_CASE("udhcpc does what lease ports do", "[lease]") {
    ports::lease_cases([] { return std::make_unique<RealScene>(); });
}

TEST_CASE("The DHCP client says who it is, the same each time, and what it had", "[lease]") {
    LeaseLog log;
    Host host(log);
    StrangeServer server(host);
    auto request = host.request();
    request.previous = Ipv4(10, 77, 1, 42);
    host.port.start(request);
    REQUIRE(host.reported(1, Milliseconds(5'000)));

    REQUIRE(server.seen.size() == 2);
    auto& discover = server.seen[0];
    CHECK(discover.type == StrangeServer::discover);
    std::string identifier(1, 1);
    for (const auto octet : request.mac.octets) identifier += static_cast<char>(octet);
    CHECK(discover.options[StrangeServer::client_identifier] == identifier);
    CHECK(discover.options[StrangeServer::host_name] == "lab-host");
    CHECK(discover.options[StrangeServer::requested_address] ==
          StrangeServer::octets("10.77.1.42"));
    CHECK(discover.options[StrangeServer::parameter_list] == "\x01\x03\x06\x1a\x79");
    CHECK(server.seen[1].options[StrangeServer::client_identifier] == identifier);
}

TEST_CASE("A host name that is none is not sent, and keeps nobody from a lease", "[lease]") {
    LeaseLog log;
    Host host(log);
    StrangeServer server(host);
    auto request = host.request();
    request.hostname = GENERATE(std::string(300, 'x'), std::string("two words"), std::string(""));
    host.port.start(request);
    REQUIRE(host.reported(1, Milliseconds(5'000)));
    CHECK(log.reports[0].kind == LeaseReport::Kind::obtained);
    CHECK_FALSE(server.seen[0].options.contains(StrangeServer::host_name));
}

TEST_CASE("A lease is lost when its time has passed, and not when the client gives up", "[lease]") {
    LeaseLog log;
    Host host(log);
    StrangeServer server(host);
    const auto started = lab::monotonic_usec();
    host.port.start(host.request());
    REQUIRE(host.reported(1, Milliseconds(5'000)));
    REQUIRE(log.reports[0].lease.seconds == 30);
    const auto obtained = lab::monotonic_usec();
    server.to_discover = server.to_request = StrangeServer::Answer::none;

    // udhcpc stops asking for this lease, and searches, after 19 s.
    REQUIRE(host.reported(2, Milliseconds(35'000)));
    // It was obtained at some time between the two.
    const auto lost = lab::monotonic_usec();
    CHECK(log.reports[1].kind == LeaseReport::Kind::lost);
    CHECK(log.reports[1].reason == "the lease expired");
    CHECK(std::chrono::microseconds(lost - started) >= Milliseconds(30'000));
    CHECK(std::chrono::microseconds(lost - obtained) < Milliseconds(31'000));
    CHECK(server.seen.back().type == StrangeServer::discover);

    server.to_discover = server.to_request = StrangeServer::Answer::acknowledge;
    REQUIRE(host.reported(3, Milliseconds(3'000)));
    CHECK(log.reports[2].kind == LeaseReport::Kind::obtained);
}

TEST_CASE("A server that says no, or nothing after its offer, is told of, and asked again",
          "[lease]") {
    LeaseLog log;
    Host host(log);
    StrangeServer server(host);
    std::string reason;
    SECTION("no") {
        server.to_request = StrangeServer::Answer::refuse;
        reason = "the DHCP server refused: not for you";
    }
    SECTION("nothing") {
        server.to_request = StrangeServer::Answer::none;
        reason = "the DHCP server offered an address and then stayed silent";
    }
    host.port.start(host.request());
    REQUIRE(host.reported(1, Milliseconds(6'000)));
    CHECK(log.reports[0].kind == LeaseReport::Kind::refused);
    CHECK(log.reports[0].reason == reason);
    server.to_request = StrangeServer::Answer::acknowledge;
    REQUIRE(host.reported(2, Milliseconds(6'000)));
    CHECK(log.reports[1].kind == LeaseReport::Kind::obtained);
}

TEST_CASE("A lease that makes no sense is refused, and another one is found", "[lease]") {
    LeaseLog log;
    Host host(log);
    StrangeServer server(host);
    std::string reason;
    SECTION("a mask with gaps") {
        server.options[StrangeServer::subnet_mask] = StrangeServer::octets("255.0.255.0");
        reason = "unusable lease: netmask \"255.0.255.0\" has gaps";
    }
    SECTION("a loopback address") {
        server.offers = "127.0.0.1";
        reason = "unusable lease: address \"127.0.0.1\" is no host's";
    }
    SECTION("the broadcast address") {
        server.offers = "10.77.1.255";
        reason =
            "unusable lease: address \"10.77.1.255/24\" is its subnet's own or broadcast address";
    }
    host.port.start(host.request());
    REQUIRE(host.reported(1, Milliseconds(5'000)));
    CHECK(log.reports[0].kind == LeaseReport::Kind::refused);
    CHECK(log.reports[0].reason == reason);
    server.be_honest();
    const auto is_lease = [&] { return log.reports.back().kind == LeaseReport::Kind::obtained; };
    CHECK(lab::run_until(host.loop, Milliseconds(5'000), is_lease));
}

TEST_CASE("A client that cannot run is told of, and tried again", "[lease]") {
    LeaseLog log;
    auto programs = built_programs();
    std::string reason;
    SECTION("udhcpc is not there") {
        programs.udhcpc = "/nowhere/udhcpc";
        reason =
            "udhcpc ended with status 127: impnet-udhcpc-exec: cannot run /nowhere/udhcpc: No such "
            "file or directory";
    }
    SECTION("our own program is not there") {
        programs.exec = "/nowhere/impnet-udhcpc-exec";
        reason = "/nowhere/impnet-udhcpc-exec: no such file or directory";
    }
    Host host(log, programs);
    const auto started = lab::monotonic_usec();
    host.port.start(host.request());
    CHECK(log.reports.empty());  // never from inside the call
    REQUIRE(host.reported(3, Milliseconds(5'000)));
    for (const auto& report : log.reports) {
        CHECK(report.kind == LeaseReport::Kind::refused);
        CHECK(report.reason == reason);
    }
    // The pauses grow: 0.2 s, 0.4 s.
    CHECK(std::chrono::microseconds(lab::monotonic_usec() - started) >= Milliseconds(600));
}

TEST_CASE("A device that goes takes the client along, and its return brings a lease", "[lease]") {
    LeaseLog log;
    Host host(log);
    host.port.start(host.request());
    REQUIRE(lab::run_until(host.loop, Milliseconds(1'000), [] { return clients() == 1; }));
    host.cable.remove();
    REQUIRE(host.reported(1, Milliseconds(5'000)));
    CHECK(log.reports[0].kind == LeaseReport::Kind::refused);
    host.cable.restore();
    host.host.set_up("lan0");
    lab::DhcpServer server(host.server, "srv0");
    host.port.renew();
    const auto is_lease = [&] { return log.reports.back().kind == LeaseReport::Kind::obtained; };
    CHECK(lab::run_until(host.loop, Milliseconds(5'000), is_lease));
}

TEST_CASE("No client outlives its port", "[lease]") {
    LeaseLog log;
    Host host(log);
    std::optional<lab::DhcpServer> server;
    SECTION("with a lease") {
        server.emplace(host.server, "srv0");
    }
    SECTION("while it searches") {}
    auto port = std::make_unique<Udhcpc>(host.loop, log, built_programs());
    port->start(host.request());
    REQUIRE(lab::run_until(host.loop, Milliseconds(5'000),
                           [&] { return server ? log.reports.size() == 1 : clients() == 1; }));
    SECTION("that is stopped") {
        port->stop();
        CHECK(no_clients_left(host.loop));
    }
    SECTION("that is destroyed") {
        port.reset();
        CHECK(no_clients_left(host.loop));
    }
    SECTION("that starts another one: there is one in the end") {
        for (int i = 0; i < 5; ++i) port->start(host.request());
        CHECK(lab::run_until(host.loop, Milliseconds(1'000), [] { return clients() == 1; }));
    }
    // Nothing was given back: the server would have said so.
    if (server) CHECK(server->log().find("DHCPRELEASE") == std::string::npos);
}

TEST_CASE("The running client has the two capabilities it needs, and no way to more", "[lease]") {
    RealScene scene;
    scene.serve(Ipv4(10, 77, 1, 100));
    scene.port().start(scene.request());
    REQUIRE(scene.reported(1, Milliseconds(5'000)));
    const auto running = children("udhcpc");
    REQUIRE(running.size() == 1);
    const auto pid = std::to_string(running.front());
    for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
        INFO(set);
        CHECK(status_field(pid, set) == net_raw_and_net_bind_service);
    }
    CHECK(status_field(pid, "NoNewPrivs") == "1");
    CHECK(status_field(pid, "SigBlk") == "0000000000000000");
    // Standard streams, its signal pipe, our report socket: nothing else of the daemon's.
    std::vector<std::string> descriptors;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/" + pid + "/fd"))
        descriptors.push_back(entry.path().filename().string() + " " +
                              std::filesystem::read_symlink(entry).string());
    INFO(Catch::Detail::stringify(descriptors));
    CHECK(descriptors.size() == 6);
}

TEST_CASE("No answer to a renewal is missed", "[lease][alone]") {
    RealScene scene;
    scene.serve(Ipv4(10, 77, 1, 100));
    scene.port().start(scene.request());
    REQUIRE(scene.reported(1, Milliseconds(5'000)));
    const auto client = children("udhcpc");
    REQUIRE(client.size() == 1);
    CHECK(sched_getscheduler(client.front()) == (SCHED_FIFO | SCHED_RESET_ON_FORK));
    for (std::size_t renewal = 1; renewal <= 100; ++renewal) {
        scene.port().renew();
        REQUIRE(scene.reported(1 + renewal, Milliseconds(5'000)));
    }
    // A missed one would have been made good by a new client.
    CHECK(children("udhcpc") == client);
}

TEST_CASE("impnet-udhcpc-exec", "[lease]") {
    lab::Namespace host("host");
    // Where every user can run it.
    const auto program = lab::fresh_path("-exec");
    std::filesystem::copy_file(built_programs().exec, program);
    const auto as_user = [&](const std::string& capabilities) {
        return std::vector<std::string>{"setpriv",
                                        "--reuid=65534",
                                        "--regid=65534",
                                        "--clear-groups",
                                        "--inh-caps=-all" + capabilities,
                                        "--ambient-caps=-all" + capabilities,
                                        program,
                                        "/bin/cat",
                                        "/proc/self/status"};
    };
    const lab::Deadline deadline(Milliseconds(5'000));

    SECTION("keeps the two of a user who has more") {
        lab::Process process(host, as_user(",+net_admin,+net_raw,+net_bind_service"));
        REQUIRE(process.wait(deadline) == 0);
        for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapAmb"}) {
            INFO(set);
            CHECK(process.output().find(std::string(set) + ":\t" + net_raw_and_net_bind_service) !=
                  std::string::npos);
        }
        CHECK(process.output().find("NoNewPrivs:\t1") != std::string::npos);
    }
    SECTION("refuses to run anything if it has not got the two") {
        lab::Process process(host, as_user(",+net_raw"));
        CHECK(process.wait(deadline) == 126);
        CHECK(
            process.output() ==
            "impnet-udhcpc-exec: cannot keep CAP_NET_RAW and CAP_NET_BIND_SERVICE only: Operation "
            "not permitted\n");
    }
    SECTION("refuses to run anything as root if it cannot shrink the bounding set") {
        // A root that lacks the right to: it would get everything back by the next execve.
        lab::Process process(host, {"capsh", "--drop=cap_setpcap", "--", "-c",
                                    program + " /bin/cat /proc/self/status"});
        CHECK(process.wait(deadline) == 126);
        CHECK(
            process.output() ==
            "impnet-udhcpc-exec: cannot shrink the capability bounding set (CAP_SETPCAP is needed "
            "as root): Operation not permitted\n");
    }
    SECTION("says what is wrong with the program") {
        lab::Process process(host, {program, "/nowhere/udhcpc"});
        CHECK(process.wait(deadline) == 127);
        CHECK(process.output() ==
              "impnet-udhcpc-exec: cannot run /nowhere/udhcpc: No such file or directory\n");
    }
    SECTION("dies with its parent, also if that is killed") {
        lab::Process parent(host,
                            {"sh", "-c", program + " /bin/sleep 1000 & echo child $! runs; wait"});
        parent.wait_output("runs", deadline);
        const auto child = static_cast<pid_t>(std::stol(parent.output().substr(6)));
        const lab::Fd handle(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
        REQUIRE(handle);
        // Not before it has become the program.
        while (!deadline.passed() && status_field(std::to_string(child), "Name") != "sleep") {
        }
        parent.kill(SIGKILL);
        CHECK_FALSE(lab::wait_readable({handle.get()}, deadline).empty());
    }
    SECTION("runs nothing if the daemon is gone already") {
        std::array<int, 2> ends{};
        REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) == 0);
        ::close(ends[0]);
        const lab::Fd hung_up(ends[1]);
        Loop loop([](std::string_view what) { FAIL_CHECK("fault in the loop: " << what); });
        std::optional<impnetd::ExitStatus> end;
        const auto child = impnetd::Child::spawn(
            loop, {{program, "/bin/false"}, {}, {-1, -1, -1, -1, -1, hung_up.get()}},
            [&](impnetd::ExitStatus status) { end = status; });
        REQUIRE(child);
        REQUIRE(lab::run_until(loop, Milliseconds(5'000), [&] { return end.has_value(); }));
        CHECK(end->code == 0);  // /bin/false would have been 1
    }
}

TEST_CASE("a lease of the process before that ended meanwhile is lost, and another one is found",
          "[lease]") {
    RealScene scene;
    scene.serve(Ipv4(10, 77, 1, 120));
    auto held = scene.lease(Ipv4(10, 77, 1, 100));
    held.seconds = 1;
    held.obtained_usec = impnetd::boottime_usec() - 2'000'000;
    scene.port().adopt(scene.request(), held);
    REQUIRE(scene.reported(2, Milliseconds(5'000)));
    CHECK(scene.log.reports[0].kind == LeaseReport::Kind::lost);
    CHECK(scene.log.reports[1].lease == scene.lease(Ipv4(10, 77, 1, 120)));
}
