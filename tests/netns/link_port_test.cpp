// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>
#include <array>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <catch2/catch.hpp>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "lab/cable.hpp"
#include "lab/kernel_batch.hpp"
#include "lab/loop_wait.hpp"
#include "lab/namespace.hpp"
#include "lab/process.hpp"
#include "lab/world.hpp"
#include "loop/loop.hpp"
#include "netlink/links.hpp"
#include "ports/link_cases.hpp"

namespace {

using namespace ports;
using impnetd::LinkCounters;
using impnetd::Loop;
using impnetd::MacAddress;
using impnetd::netlink::Links;
using Milliseconds = std::chrono::milliseconds;

constexpr Milliseconds limit{5'000};

/// A host in whose network the test runs, with a loop, and another host to plug cables into.
struct Hosts {
    lab::Namespace host{"host"};
    lab::Namespace far{"far"};
    lab::Namespace::Visit visit = host.enter();
    Loop loop{[](std::string_view what) { FAIL_CHECK("fault in the loop: " << what); }};

    void ip(const std::string& words) const {
        std::vector<std::string> command = {"ip"};
        std::istringstream in(words);
        for (std::string word; in >> word;) command.push_back(word);
        host.run(command);
    }
    bool until(const std::function<bool()>& predicate, Milliseconds within = limit) {
        return lab::run_until(loop, within, predicate);
    }
    /// Until the port has told all that the kernel had said by now.
    void settle(LinkPort& port) {
        bool settled = false;
        port.withdraw(0x7fffffff, {Ipv4(10, 99, 99, 99), 32},
                      [&](const Result<>&) { settled = true; });
        REQUIRE(until([&] { return settled; }));
    }
};

class KernelScene final : public LinkScene {
  public:
    LinkPort& port() override { return links_; }

    int add(const std::string& name) override {
        auto cable = std::make_unique<lab::Cable>(hosts_.host, name, hosts_.far,
                                                  "far" + std::to_string(++count_));
        const int ifindex = hosts_.host.ifindex(name);
        // As systemd sets it for every host; else a network that is new has what the machine has.
        std::ofstream("/proc/sys/net/ipv4/conf/" + name + "/promote_secondaries") << 1;
        devices_[ifindex] = {name, std::move(cable)};
        return ifindex;
    }
    void remove(int ifindex) override { hosts_.ip("link delete " + name(ifindex)); }
    void move_away(int ifindex) override {
        hosts_.ip("link set " + name(ifindex) + " netns /proc/" + std::to_string(::getpid()) +
                  "/fd/" + std::to_string(hosts_.far.network_fd()));
    }
    void rename(int ifindex, const std::string& name) override {
        hosts_.ip("link set " + this->name(ifindex) + " name " + name);
        devices_.at(ifindex).name = name;
    }
    void pull(int ifindex) override { devices_.at(ifindex).cable->pull(); }
    void plug(int ifindex) override { devices_.at(ifindex).cable->plug(); }
    void power(int ifindex, bool up) override { hosts_.host.set_up(name(ifindex), up); }
    void add_address(int ifindex, const Ipv4Network& network) override {
        hosts_.ip("address add " + network.text() + " dev " + name(ifindex));
    }
    void remove_address(int ifindex, const Ipv4Network& network) override {
        hosts_.ip("address delete " + network.text() + " dev " + name(ifindex));
    }
    void set_gateway(int ifindex, std::optional<Ipv4> gateway) override {
        if (gateway)
            hosts_.ip("route replace default via " + gateway->text() + " dev " + name(ifindex));
        else
            hosts_.ip("route delete default dev " + name(ifindex));
    }

    bool until(const std::function<bool()>& predicate) override { return hosts_.until(predicate); }

  private:
    struct Device {
        std::string name;
        std::unique_ptr<lab::Cable> cable;
    };
    const std::string& name(int ifindex) const { return devices_.at(ifindex).name; }

    Hosts hosts_;
    std::map<int, Device> devices_;
    int count_ = 0;
    Links links_{hosts_.loop};
};

/// All that a port says, for comparison with another.
std::string view_of(const LinkPort& port) {
    std::ostringstream out;
    for (const auto& link : port.links()) {
        out << link.ifindex << " " << link.name << " " << link.mac.text() << " " << link.ethernet
            << link.up << link.carrier << " " << link.kind << " " << link.path;
        for (const auto& address : port.addresses(link.ifindex)) {
            out << " " << address.network.text() << (address.secondary ? "s" : "");
            if (address.broadcast) out << " brd " << address.broadcast->text();
        }
        if (const auto gateway = port.gateway(link.ifindex)) out << " via " << gateway->text();
        out << "\n";
    }
    return out.str();
}

/// The same by a new reading of the kernel's tables.
std::string kernel_view(Loop& loop) {
    const Links fresh(loop);
    return view_of(fresh);
}

/// Causes as much as it hears of.
class Restless final : public LinkPort::Observer {
  public:
    explicit Restless(const Hosts& hosts)
        : batch_(hosts.host), ifindex_(hosts.host.ifindex("lan0")) {}
    void link_changed(const Link&) override {}
    void link_removed(int) override {}
    void addresses_changed(int) override {
        if (++changes > most) return;
        if (changes % 2 == 0)
            batch_.remove_address(ifindex_, "10.0.0.5", 24);
        else
            batch_.add_address(ifindex_, "10.0.0.5", 24);
        batch_.run();
    }
    static constexpr int most = 20'000;
    int changes = 0;

  private:
    lab::KernelBatch batch_;
    int ifindex_;
};

/// Repeats a port's view from nothing but its notices, and counts those that told no difference.
class Shadow final : public LinkPort::Observer {
  public:
    explicit Shadow(LinkPort& port) : port_(port) {
        for (const auto& link : port.links()) {
            links_[link.ifindex] = link;
            addresses_[link.ifindex] = addresses(link.ifindex);
        }
        port.observe(this);
    }

    void link_changed(const Link& link) override {
        ++notices;
        const auto [at, is_new] = links_.emplace(link.ifindex, link);
        if (!is_new && at->second == link) ++idle_notices;
        at->second = link;
        if (is_new) addresses_[link.ifindex] = "";
    }
    void link_removed(int ifindex) override {
        ++notices;
        if (links_.erase(ifindex) == 0) ++idle_notices;
        addresses_.erase(ifindex);
    }
    void addresses_changed(int ifindex) override {
        ++notices;
        auto now = addresses(ifindex);
        if (addresses_.at(ifindex) == now) ++idle_notices;
        addresses_.at(ifindex) = std::move(now);
    }

    bool agrees() const {
        if (port_.links().size() != links_.size()) return false;
        const auto links = port_.links();
        return std::all_of(links.begin(), links.end(), [this](const Link& link) {
            const auto at = links_.find(link.ifindex);
            return at != links_.end() && at->second == link &&
                   addresses_.at(link.ifindex) == addresses(link.ifindex);
        });
    }

    int notices = 0;
    int idle_notices = 0;

  private:
    std::string addresses(int ifindex) const {
        std::string out;
        for (const auto& address : port_.addresses(ifindex)) {
            out += address.network.text() + (address.secondary ? "s " : " ");
        }
        if (const auto gateway = port_.gateway(ifindex)) out.append("via ").append(gateway->text());
        return out;
    }

    LinkPort& port_;
    std::map<int, Link> links_;
    std::map<int, std::string> addresses_;
};

/// A file of commands for `ip -batch`.
std::string batch_of(const std::vector<std::string>& commands) {
    auto path = lab::fresh_path(".batch");
    std::ofstream out(path);
    for (const auto& command : commands) out << command << "\n";
    return path;
}

/// 250 pairs of devices, made and then all deleted: 500 come and 500 go.
std::vector<std::string> flood() {
    std::vector<std::string> out;
    for (int i = 0; i < 250; ++i) {
        const auto number = std::to_string(i);
        auto& command = out.emplace_back("link add a");
        command.append(number).append(" group 7 type veth peer name b").append(number);
    }
    out.emplace_back("link delete group 7");
    return out;
}

}  // namespace

TEST_CASE("the kernel does what link ports do", "[link]") {
    ports::link_cases([] { return std::make_unique<KernelScene>(); });
}

TEST_CASE("a port knows from the start what there is", "[link]") {
    Hosts hosts;
    const lab::Cable cable(hosts.host, "lan0", hosts.far, "far0");
    hosts.ip("link set lan0 up");
    hosts.ip("address add 10.0.0.5/24 brd + dev lan0");
    hosts.ip("route add default via 10.0.0.1 dev lan0 metric 50");
    hosts.ip("route add default via 10.0.0.2 dev lan0 metric 20");

    const Links links(hosts.loop);
    const int lan0 = hosts.host.ifindex("lan0");
    const Ipv4Network home{Ipv4(10, 0, 0, 5), 24};
    Link expected;
    expected.ifindex = lan0;
    expected.name = "lan0";
    expected.mac = *MacAddress::parse(hosts.host.mac("lan0"));
    expected.ethernet = expected.up = expected.carrier = true;
    expected.kind = "veth";
    expected.mtu = 1500;
    expected.max_mtu = 65535;
    expected.carrier_losses =
        links.link(lan0)->carrier_losses;  // how veth counts is its own affair
    REQUIRE(links.links().size() == 2);
    CHECK(links.links().at(0).name == "lo");
    CHECK_FALSE(links.links().at(0).ethernet);
    CHECK(links.links().at(1) == expected);
    CHECK(links.addresses(lan0) == std::vector<LinkAddress>{{lan0, home, home.broadcast(), false}});
    CHECK(links.gateway(lan0) == Ipv4(10, 0, 0, 2));
}

TEST_CASE("after each change by others the view is what a new reading would be", "[link]") {
    Hosts hosts;
    const lab::Cable first(hosts.host, "lan0", hosts.far, "far0");
    const lab::Cable second(hosts.host, "lan1", hosts.far, "far1");
    Links links(hosts.loop);
    Shadow shadow(links);
    const auto promote = GENERATE(0, 1);
    for (const auto* device : {"lan0", "lan1"}) {
        std::ofstream("/proc/sys/net/ipv4/conf/" + std::string(device) + "/promote_secondaries")
            << promote;
    }
    for (const std::string command : {
             "link set lan0 up",
             "link set lan1 up",
             "address add 10.0.0.5/24 brd + dev lan0",
             "address add 10.0.0.6/24 dev lan0",
             "address add 10.0.0.7/24 dev lan0",
             "address add 10.2.0.5/24 scope link dev lan0",
             "address add 10.1.0.5/24 dev lan1",
             "address add 10.64.0.1 peer 10.64.0.2/32 dev lan1",
             "address add 10.64.0.1 peer 10.64.0.3/32 dev lan1",
             "route add default via 10.0.0.1 dev lan0",
             "route add default via 10.0.0.2 dev lan0 metric 50",
             "route append default via 10.0.0.3 dev lan0",
             "route prepend default via 10.0.0.4 dev lan0",
             "route replace default via 10.0.0.9 dev lan0",
             "route add default via 10.1.0.1 dev lan1 metric 60 src 10.0.0.7",
             "route append default via 10.1.0.1 dev lan1 metric 60 src 10.1.0.5",
             "route add default metric 40 nexthop via 10.0.0.8 dev lan0 nexthop via 10.1.0.8",
             "route add unreachable default metric 4000",
             "route add default via 10.0.0.1 dev lan0 table 100",
             "address delete 10.0.0.7/24 dev lan0",
             "address delete 10.64.0.1 peer 10.64.0.3/32 dev lan1",
             "link set lan0 down",
             "link set lan0 up",
             "link set lan1 down",
             "link set lan1 up",
             "address delete 10.0.0.5/24 dev lan0",
             "address replace 10.0.0.5/24 dev lan0",
             "route add default via 10.0.0.1 dev lan0",
             "route replace default via 10.1.0.1 dev lan1",
             "route replace unreachable default",
             "route replace default via 10.0.0.1 dev lan0",
             "route delete default",
             "nexthop add id 5 via 10.0.0.1 dev lan0",
             "nexthop add id 6 via 10.1.0.1 dev lan1",
             "route add default nhid 5",
             "route append default nhid 6",
             "nexthop replace id 5 via 10.0.0.2 dev lan0",
             "nexthop delete id 5",
             "link set lan1 down",
             "link set lan1 up",
             "route add default via 10.0.0.1 dev lan0",
             "address flush dev lan0",
             "address add 10.0.0.5/24 dev lan0",
             "link set lan0 address 02:00:00:00:00:77",
             "link delete lan0",
         }) {
        INFO("ip " << command);
        hosts.ip(command);
        hosts.settle(links);
        CHECK(view_of(links) == kernel_view(hosts.loop));
        CHECK(shadow.agrees());
    }
    CHECK(shadow.notices > 30);
    CHECK(shadow.idle_notices == 0);
}

TEST_CASE("a port tells of what there was by an answer, however much there is to come", "[link]") {
    Hosts hosts;
    const lab::Cable cable(hosts.host, "lan0", hosts.far, "far0");
    Links links(hosts.loop);
    Restless restless(hosts);
    links.observe(&restless);
    restless.addresses_changed(0);
    REQUIRE(hosts.until([&] { return restless.changes > 10; }));
    hosts.settle(links);
    CHECK(restless.changes < Restless::most / 2);
    restless.changes = Restless::most;
}

TEST_CASE("a port that overran reads everything again and tells only the difference", "[link]") {
    // Room for two messages or so, or for more than are taken in within one turn of the loop.
    const std::size_t room = GENERATE(4'096U, 524'288U);
    Hosts hosts;
    const lab::Cable changed(hosts.host, "lan0", hosts.far, "far0");
    auto lost = std::make_unique<lab::Cable>(hosts.host, "lan1", hosts.far, "far1");
    const lab::Cable same(hosts.host, "lan2", hosts.far, "far2");
    hosts.ip("link set lan0 up");
    hosts.ip("address add 10.0.0.5/24 dev lan0");
    hosts.ip("route add default via 10.0.0.1 dev lan0");

    Links links(hosts.loop, room);
    Shadow shadow(links);
    const int lan0 = hosts.host.ifindex("lan0");
    hosts.ip("-batch " + batch_of(flood()));
    hosts.ip("address add 10.0.7.5/24 dev lan0");
    hosts.ip("route replace default via 10.0.0.2 dev lan0");
    hosts.ip("link set lan0 name house");
    lost.reset();
    const lab::Cable fresh(hosts.host, "lan3", hosts.far, "far3");

    REQUIRE(hosts.until([&] { return links.link(lan0)->name == "house"; }));
    hosts.settle(links);
    CHECK(view_of(links) == kernel_view(hosts.loop));
    CHECK(links.addresses(lan0).size() == 2);
    CHECK(links.gateway(lan0) == Ipv4(10, 0, 0, 2));
    CHECK(shadow.agrees());
    CHECK(shadow.idle_notices == 0);
    // Of the thousand notices of the flood none is told, also of those that had room.
    CHECK(shadow.notices < 30);

    // And it listens again.
    hosts.ip("address add 10.0.8.5/24 dev lan2");
    CHECK(hosts.until([&] { return links.addresses(hosts.host.ifindex("lan2")).size() == 1; }));
}

TEST_CASE("a port that overruns again and again ends up right", "[link]") {
    Hosts hosts;
    const lab::Cable cable(hosts.host, "lan0", hosts.far, "far0");
    Links links(hosts.loop, 4096);
    Shadow shadow(links);
    auto commands = flood();
    for (int i = 1; i <= 100; ++i) {
        const auto number = std::to_string(i);
        commands.push_back("address add 10.0." + number + ".5/24 dev lan0");
        if (i % 2 == 0) commands.push_back("address delete 10.0." + number + ".5/24 dev lan0");
    }
    lab::Process ip(hosts.host, {"ip", "-batch", batch_of(commands)});
    bool ended = false;
    impnetd::Poll end(hosts.loop, ip.fd(), [&](int) {
        ended = true;
        end.watch(0);
    });
    end.watch(impnetd::Poll::readable);
    // The loop goes on beside it: now it keeps up, now it loses.
    REQUIRE(hosts.until([&] { return ended; }, Milliseconds(30'000)));
    CHECK(ip.wait(lab::Deadline(limit)) == 0);
    CHECK(hosts.until([&] { return view_of(links) == kernel_view(hosts.loop); }));
    CHECK(links.addresses(hosts.host.ifindex("lan0")).size() == 50);
    CHECK(shadow.agrees());
    CHECK(shadow.idle_notices == 0);
}

TEST_CASE(
    "whatever happens to devices, addresses and routes at random, the view is right in a second",
    "[link]") {
    const std::size_t room = GENERATE(4'096U, 65'536U, Links::default_receive_buffer);
    Hosts hosts;
    Links links(hosts.loop, room);
    Shadow shadow(links);
    lab::KernelBatch batch(hosts.host);
    std::mt19937 random(static_cast<unsigned>(room));
    const auto below = [&](int bound) {
        return static_cast<int>(random() % static_cast<unsigned>(bound));
    };
    int names = 0;
    const auto fresh_name = [&] { return "n" + std::to_string(++names); };
    // Any device that is or was there: what the kernel then refuses is no change. Most often one of
    // a few, so that they come to have something.
    const auto any = [&] {
        const auto now = links.links();
        const auto from = below(4) == 0 ? now.size() : std::min<std::size_t>(now.size(), 5);
        return now[static_cast<std::size_t>(below(static_cast<int>(from)))].ifindex + below(2);
    };
    const auto newest = [&] { return links.links().back().ifindex - below(20); };
    const auto address = [&] { return "10.0." + std::to_string(below(4)) + ".5"; };
    const auto route = [&] {
        const std::uint16_t how = std::array{0, NLM_F_APPEND, NLM_F_REPLACE}[random() % 3];
        const auto gateway = "10.0." + std::to_string(below(4)) + ".1";
        batch.add_default_route(any(), gateway, random() % 3, how);
    };
    const auto change = [&] {
        switch (below(11)) {
            case 0:
            case 1:
                return batch.add_pair(fresh_name(), fresh_name());
            case 2:
                return batch.remove(below(8) == 0 ? any() : newest());
            case 3:
                return batch.rename(any(), fresh_name());
            case 4:
                return batch.set_up(any(), true);
            case 5:
                return batch.set_up(any(), below(3) > 0);
            case 6:
                return batch.add_address(any(), address(), 24);
            case 7:
            case 8:
                return route();
            case 9:
                return batch.remove_default_route(random() % 3);
            default:
                return batch.remove_address(any(), address(), 24);
        }
    };
    int routed = 0;
    for (int round = 0; round < 20; ++round) {
        for (int count = 0; count < 40; ++count) change();
        batch.run();
        if (view_of(links).find(" via ") != std::string::npos) ++routed;
        for (int turn = below(4); turn > 0; --turn) uv_run(hosts.loop.raw(), UV_RUN_NOWAIT);
    }
    CHECK(hosts.until([&] { return view_of(links) == kernel_view(hosts.loop); },
                      Milliseconds(1'000)));
    CHECK(links.links().size() > 20);
    CHECK(shadow.agrees());
    CHECK(shadow.idle_notices == 0);
    CHECK(shadow.notices > (room == 4'096 ? 20 : 200));
    // (With less room the view is behind when it is looked at.)
    if (room == Links::default_receive_buffer) CHECK(routed > 0);
    batch.remove_group();
    CHECK(batch.run() == 0);
    CHECK(hosts.until([&] { return links.links().size() == 1; }));
    CHECK(shadow.agrees());
}

TEST_CASE("the default buffer holds a flood without loss", "[link]") {
    Hosts hosts;
    Links links(hosts.loop);
    Shadow shadow(links);
    hosts.ip("-batch " + batch_of(flood()));
    hosts.settle(links);
    CHECK(shadow.notices >= 1000);
    CHECK(shadow.idle_notices == 0);
    CHECK(view_of(links) == kernel_view(hosts.loop));
}

TEST_CASE("an address whose lifetime is over is told as gone", "[link]") {
    Hosts hosts;
    const lab::Cable cable(hosts.host, "lan0", hosts.far, "far0");
    Links links(hosts.loop);
    const int lan0 = hosts.host.ifindex("lan0");
    LinkLog log;
    log.watch(links);
    links.assign(lan0, {{Ipv4(10, 0, 0, 5), 24}, std::nullopt, 1}, nullptr);
    REQUIRE(hosts.until([&] { return log.lines.size() == 2; }));
    CHECK(log.lines == std::vector<std::string>{"lan0: 10.0.0.5/24", "lan0: no address"});
}

TEST_CASE("an address assigned again lives as long as the last word says", "[link]") {
    Hosts hosts;
    const lab::Cable cable(hosts.host, "lan0", hosts.far, "far0");
    Links links(hosts.loop);
    const int lan0 = hosts.host.ifindex("lan0");
    const Ipv4Network home{Ipv4(10, 0, 0, 5), 24};
    const auto lifetime = [&] {
        hosts.settle(links);
        const auto text = hosts.host.run({"ip", "address", "show", "dev", "lan0"});
        const auto at = text.find("valid_lft ", text.find("inet 10.0.0.5"));
        return text.substr(at, text.find('\n', at) - at);
    };
    links.assign(lan0, {home, std::nullopt, 5'000}, nullptr);
    CHECK(lifetime().find("000sec preferred_lft") != std::string::npos);
    links.assign(lan0, {home, std::nullopt, 90'000}, nullptr);
    CHECK(lifetime().find("90000sec preferred_lft 90000sec") != std::string::npos);
    links.assign(lan0, {home, std::nullopt, std::nullopt}, nullptr);
    CHECK(lifetime() == "valid_lft forever preferred_lft forever");
}

TEST_CASE("a failure names the device, the operation and the reason", "[link]") {
    Hosts hosts;
    const lab::Cable cable(hosts.host, "lan0", hosts.far, "far0");
    Links links(hosts.loop);
    std::vector<std::string> errors;
    const auto note = [&](const Result<>& result) {
        errors.push_back(result ? "" : result.error().message);
    };
    const int lan0 = hosts.host.ifindex("lan0");
    links.assign(lan0, {{Ipv4(10, 0, 0, 5), 24}, std::nullopt, 0}, note);
    links.set_up(4'000, true, note);
    REQUIRE(hosts.until([&] { return errors.size() == 2; }));
    // What stands in brackets is the kernel's, and differs from one to the next.
    CHECK_THAT(errors.at(0),
               Catch::StartsWith("lan0: adding address 10.0.0.5/24: Invalid argument"));
    CHECK_THAT(errors.at(1), Catch::StartsWith("device 4000: turning it on: No such device"));
}

TEST_CASE("counters are as of now", "[link]") {
    Hosts hosts;
    const lab::Cable cable(hosts.host, "lan0", hosts.far, "far0");
    hosts.ip("link set lan0 up");
    hosts.ip("address add 10.0.0.5/24 brd + dev lan0");
    const Links links(hosts.loop);
    const int lan0 = hosts.host.ifindex("lan0");

    const impnetd::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    REQUIRE(::setsockopt(socket.get(), SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)) == 0);
    sockaddr_in everyone{};
    everyone.sin_family = AF_INET;
    everyone.sin_port = htons(2001);
    everyone.sin_addr.s_addr = Ipv4(10, 0, 0, 255).network_order();
    const LinkCounters before = links.counters(lan0);
    for (int i = 0; i < 10; ++i) {
        REQUIRE(::sendto(socket.get(), "0123456789", 10, 0,
                         reinterpret_cast<const sockaddr*>(&everyone), sizeof(everyone)) == 10);
    }
    const LinkCounters after = links.counters(lan0);
    CHECK(after.tx_packets - before.tx_packets >= 10);
    CHECK(after.tx_bytes - before.tx_bytes >= std::uint64_t{10} * (14 + 20 + 8 + 10));
    CHECK(after.tx_bytes - before.tx_bytes < 5'000);
}
