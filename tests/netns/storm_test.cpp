// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Devices, cables and addresses that come and go as fast as the kernel can: in the end the daemon
// has what the kernel has, has told every difference, and holds no more than before.
#include <algorithm>
#include <csignal>
#include <cstdint>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "lab/connected.hpp"
#include "lab/footprint.hpp"
#include "lab/kernel_batch.hpp"
#include "lab/lab.hpp"
#include "lab/raw_client.hpp"

using namespace std::chrono_literals;
using impnet::State;
using lab::Steps;

namespace {

constexpr auto soon = 5s;
constexpr auto a_second = lab::sanitized ? 5s : 1s;
constexpr int pairs = 250;                     // of devices: 500
constexpr std::size_t memory_noise = 2 << 20;  // bytes

using Interfaces = std::map<std::string, std::map<std::string, sdbus::Variant>>;
using Managed = std::map<sdbus::ObjectPath, Interfaces>;
/// The daemon's interfaces: NII to device and MAC.
using View = std::map<std::string, std::string>;

std::string near_name(int number) {
    return "a" + std::to_string(number);
}
std::string far_name(int number) {
    return "b" + std::to_string(number);
}

/// A daemon that has a rule for every device of the storm, and a client that follows what it tells.
class Stormy {
  public:
    Stormy() {
        client.manager()
            .uponSignal("InterfacesAdded")
            .onInterface("org.freedesktop.DBus.ObjectManager")
            .call([this](const sdbus::ObjectPath& path, const Interfaces&) { told.insert(path); });
        client.manager()
            .uponSignal("InterfacesRemoved")
            .onInterface("org.freedesktop.DBus.ObjectManager")
            .call([this](const sdbus::ObjectPath& path, const std::vector<std::string>&) {
                told.erase(path);
            });
        client.manager().finishRegistration();
    }

    void make(int first, int last) {
        for (int number = first; number < last; ++number)
            batch.add_pair(near_name(number), far_name(number));
        CHECK(batch.run() == 0);
    }
    /// All of them come and go, `rounds` times.
    void blow(int rounds) {
        for (int round = 0; round < rounds; ++round) {
            make(0, pairs);
            batch.remove_group();
            CHECK(batch.run() == 0);
        }
    }

    View kernel() const {
        View out;
        for (int number = 0; number < pairs; ++number) {
            const auto device = near_name(number);
            if (host.ifindex(device) == 0) continue;
            auto mac = host.mac(device);
            std::erase(mac, ':');
            out["/org/impnet1/interface/eth" + std::to_string(number)] =
                std::string(device).append(" ").append(mac);
        }
        return out;
    }
    View daemons() {
        Managed managed;
        client.manager()
            .callMethod("GetManagedObjects")
            .onInterface("org.freedesktop.DBus.ObjectManager")
            .storeResultsTo(managed);
        View out;
        for (auto& [path, interfaces] : managed) {
            auto& properties = interfaces["org.impnet1.Interface"];
            if (properties.empty()) continue;
            out[path] = properties["Device"].get<std::string>() + " " +
                        properties["MacAddress"].get<std::string>();
        }
        return out;
    }
    bool told_all(const View& view) const {
        return std::equal(view.begin(), view.end(), told.begin(), told.end(),
                          [](const auto& entry, const auto& path) { return entry.first == path; });
    }
    /// Within `limit`; the daemon is asked, and its signals are heard, as often as that takes.
    bool agrees(lab::Milliseconds limit) {
        const auto expected = kernel();
        const lab::Deadline deadline(limit);
        do {
            client.until(10ms, [] { return false; });
            if (daemons() == expected && told_all(expected)) return true;
        } while (!deadline.passed());
        return false;
    }
    /// What the daemon's rtnetlink sockets have lost, by the kernel's own count.
    std::size_t lost() const {
        std::istringstream table(host.run({"cat", "/proc/net/netlink"}));
        std::size_t sum = 0;
        std::string line;
        std::getline(table, line);
        while (std::getline(table, line)) {
            std::istringstream fields(line);
            std::vector<std::string> words(std::istream_iterator<std::string>(fields), {});
            if (words.at(1) == "0" && std::stoul(words.at(3), nullptr, 16) != 0)
                sum += std::stoul(words.at(8));
        }
        return sum;
    }

    lab::Namespace host{"host"};
    lab::Bus bus;
    lab::Daemon daemon{host, bus, rules(), {"--log-level=info"}};
    lab::RawClient client{bus};
    lab::KernelBatch batch{host};
    std::set<std::string> told;

  private:
    static std::string rules() {
        std::string out;
        for (int number = 0; number < pairs; ++number)
            out += "[interfaces.eth" + std::to_string(number) + "]\ndevice = \"" +
                   near_name(number) + "\"\n";
        return out;
    }
};

/// Each report begins where the one before it ended.
bool is_a_chain(const Steps& steps) {
    for (std::size_t at = 1; at < steps.size(); ++at)
        if (steps[at].previous != steps[at - 1].state) return false;
    return true;
}

bool has_zombies(pid_t pid) {
    const auto children = lab::children_of(pid);
    return std::any_of(children.begin(), children.end(),
                       [](const auto& child) { return child.zombie; });
}

}  // namespace

TEST_CASE("500 devices that come and go leave the daemon with what the kernel has", "[storm]") {
    Stormy stormy;
    stormy.blow(1);  // what it allocates once
    REQUIRE(stormy.agrees(10s));
    const auto descriptors = lab::descriptors_of(stormy.daemon.pid());
    const auto memory = lab::memory_of(stormy.daemon.pid());

    for (int round = 0; round < 2; ++round) {
        stormy.blow(1);
        stormy.make(0, pairs);
        for (int number = 0; number < pairs; number += 2)
            stormy.batch.remove(stormy.host.ifindex(near_name(number)));
        CHECK(stormy.batch.run() == 0);
        CHECK(stormy.agrees(a_second));
        CHECK(stormy.daemons().size() == pairs / 2);
        stormy.batch.remove_group();
        CHECK(stormy.batch.run() == 0);
        CHECK(stormy.agrees(a_second));
        CHECK(stormy.told.empty());
    }
    CHECK(lab::has_at_most(descriptors, stormy.daemon.pid()));
    if (!lab::sanitized) CHECK(lab::memory_of(stormy.daemon.pid()) < memory + memory_noise);
}

TEST_CASE("a daemon that overran reads the kernel's tables again, and has them within a second",
          "[storm]") {
    Stormy stormy;
    stormy.make(0, pairs);
    REQUIRE(stormy.agrees(10s));
    stormy.daemon.process().kill(SIGSTOP);
    const auto before = stormy.lost();
    stormy.batch.remove_group();
    CHECK(stormy.batch.run() == 0);
    const lab::Deadline deadline(30s);
    while (stormy.lost() == before && !deadline.passed()) stormy.blow(1);
    REQUIRE(stormy.lost() > before);
    // What is there at the end was made when nothing was heard any more.
    stormy.make(100, 200);
    const auto so_far = stormy.daemon.log().size();
    stormy.daemon.process().kill(SIGCONT);
    CHECK(stormy.agrees(a_second));
    CHECK(stormy.daemons().size() == 100);
    CHECK_THAT(stormy.daemon.log().substr(so_far), Catch::Contains("netlink_overrun"));
    CHECK_THAT(stormy.daemon.log().substr(so_far), Catch::Contains("netlink_resynchronised"));

    // And it listens again.
    stormy.make(0, 1);
    CHECK(stormy.agrees(a_second));
}

TEST_CASE("calls are answered while devices come and go", "[storm]") {
    Stormy stormy;
    lab::Fork storm([&](const lab::Fork::Say& say) {
        for (;;) {
            stormy.blow(1);
            say("blown");
        }
    });
    std::uint64_t longest = 0;
    int calls = 0;
    for (int round = 0; round < 5; ++round) {
        storm.hear(lab::Deadline(20s));
        for (int call = 0; call < 50; ++call, ++calls) {
            const auto asked = lab::monotonic_usec();
            const auto outcome = lab::outcome_of([&] { stormy.client.open("wl0"); });
            longest = std::max(longest, lab::monotonic_usec() - asked);
            REQUIRE(outcome == "NotSupported");
        }
    }
    INFO("longest of " << calls << ": " << longest << " us");
    CHECK(longest < 1'000'000);
    storm.kill(SIGKILL);
    storm.wait(lab::Deadline(soon));
    CHECK(stormy.agrees(a_second));
}

TEST_CASE("calls are answered, and an interface opens, while addresses come and go", "[storm]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0", lab::DhcpServer::Options::only("10.77.1.100"));
    lab::Cable other(lan.host, "lan1", lan.server, "srv1");
    lab::Daemon daemon(lan.host, lan.bus, lan.managed("[interfaces.eth1]\ndevice = \"lan1\"\n"));
    const int lan1 = lan.host.ifindex("lan1");
    lab::Fork storm([&](const lab::Fork::Say& say) {
        lab::KernelBatch batch(lan.host);
        for (bool first = true;; first = false) {
            for (int i = 0; i < 500; ++i) {
                batch.add_address(lan1, "10.88.0.1", 24);
                batch.remove_address(lan1, "10.88.0.1", 24);
            }
            batch.run();
            if (first) say("blowing");
        }
    });
    storm.hear(lab::Deadline(soon));
    lab::Program program(lan.bus);
    lab::Diary diary;
    std::uint64_t longest = 0;
    for (int round = 0; round < 5; ++round) {
        const auto asked = lab::monotonic_usec();
        auto eth0 = program.open("eth0", diary);
        longest = std::max(longest, lab::monotonic_usec() - asked);
        REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
        diary.clear();
        lan.cable.pull();
        REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_stopped_no_link); }));
        CHECK(lab::monotonic_usec() - diary.last().told_usec < 1'000'000);
        lan.cable.plug();
        REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    }
    INFO("longest: " << longest << " us");
    CHECK(longest < 1'000'000);
}

TEST_CASE("a cable that is pulled and plugged a thousand times is connected in the end",
          "[storm]") {
    lab::Connected connected;
    auto socket = connected.open_udp(2001);
    const auto pid = connected.daemon.pid();
    const auto descriptors = lab::descriptors_of(pid);
    std::size_t memory = 0;
    lab::KernelBatch far(connected.lan.server);
    const int srv0 = connected.lan.server.ifindex("srv0");
    for (int flaps = 0; flaps < 1'000; flaps += 20) {
        for (int i = 0; i < 20; ++i) {
            far.set_up(srv0, false);
            far.set_up(srv0, true);
        }
        CHECK(far.run() == 0);
        connected.program.turn();
        if (flaps == 200) memory = lab::memory_of(pid);
    }
    // The last report, and what the kernel has: both say connected, and stay so.
    const auto settled = [&] {
        return connected.connected() && connected.eth0.state() == State::connected;
    };
    do {
        REQUIRE(connected.program.until(soon, settled));
        connected.program.idle(300ms);
    } while (!settled());
    CHECK(is_a_chain(connected.diary.steps()));
    CHECK(connected.diary.entries().size() > 10);
    CHECK(connected.lan.addresses() == "10.77.1.100/24 ");

    lab::Peer peer(connected.lan.server, 3000, "srv0");
    CHECK(lab::outcome(socket.send("10.77.1.1", 3000, "still here")) == "0");
    CHECK(peer.receive(lab::Deadline(soon)));
    CHECK(lab::has_at_most(descriptors, pid));
    CHECK_FALSE(has_zombies(pid));
    CHECK(lab::children_of(pid, "udhcpc").size() == 1);
    if (!lab::sanitized) CHECK(lab::memory_of(pid) < memory + memory_noise);
}

TEST_CASE("a cable that flaps where no server answers leaves one DHCP client, which searches",
          "[storm]") {
    lab::Lan lan;
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_dhcping); }));
    const auto one_client = [&] {
        const auto children = lab::children_of(daemon.pid(), "udhcpc");
        return children.size() == 1 && children[0].name == "udhcpc";
    };
    const auto wait_for_one = [&] {
        const lab::Deadline deadline(soon);
        while (!one_client() && !deadline.passed()) program.idle(20ms);
        return one_client();
    };
    REQUIRE(wait_for_one());
    const auto descriptors = lab::descriptors_of(daemon.pid());
    lab::KernelBatch far(lan.server);
    const int srv0 = lan.server.ifindex("srv0");
    for (int flaps = 0; flaps < 1'000; flaps += 20) {
        for (int i = 0; i < 20; ++i) {
            far.set_up(srv0, false);
            far.set_up(srv0, true);
        }
        CHECK(far.run() == 0);
        program.turn();
    }
    program.idle(300ms);
    REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_dhcping); }));
    CHECK(wait_for_one());
    CHECK(is_a_chain(diary.steps()));
    CHECK(lab::has_at_most(descriptors, daemon.pid()));

    lab::DhcpServer dhcp(lan.server, "srv0");
    CHECK(program.until(soon, [&] { return diary.is(State::connected); }));
}

TEST_CASE("addresses that another program adds and removes a thousand times change nothing of ours",
          "[storm]") {
    lab::Connected connected;
    const int lan0 = connected.lan.host.ifindex("lan0");
    lab::KernelBatch batch(connected.lan.host);
    connected.diary.clear();

    SECTION("others") {
        for (int i = 0; i < 1'000; ++i) {
            const auto address = "10.88." + std::to_string(i % 200) + ".1";
            batch.add_address(lan0, address, 24);
            batch.remove_address(lan0, address, 24);
        }
        CHECK(batch.run() == 0);
        connected.program.idle(200ms);
        CHECK(connected.diary.steps().empty());
    }
    SECTION("ours: it is looked for again, and there in the end") {
        for (int round = 0; round < 10; ++round) {
            for (int i = 0; i < 100; ++i) {
                batch.remove_address(lan0, lab::Connected::address, 24);
                batch.add_address(lan0, lab::Connected::address, 24);
            }
            batch.run();  // it is not alone: the daemon adds it, too
            connected.program.turn();
        }
        batch.remove_address(lan0, lab::Connected::address, 24);
        batch.run();
        connected.program.idle(200ms);
        REQUIRE(connected.program.until(soon, [&] { return connected.connected(); }));
        CHECK(is_a_chain(connected.diary.steps()));
        const auto none_but_these = [](const Steps& steps) {
            return std::all_of(steps.begin(), steps.end(), [](const auto& step) {
                return step == lab::Step{1, 201} || step == lab::Step{201, 1};
            });
        };
        CHECK(none_but_these(connected.diary.steps()));
        CHECK_FALSE(connected.diary.steps().empty());
    }
    CHECK(connected.lan.addresses() == "10.77.1.100/24 ");
    auto socket = connected.open_udp(2001);
    CHECK(lab::outcome(socket.send("10.77.1.1", 3000, "on")) == "0");
    CHECK_FALSE(has_zombies(connected.daemon.pid()));
}

TEST_CASE("a device that is renamed stays connected, and gets its lease renewed by its new name",
          "[storm]") {
    lab::Connected connected;
    auto socket = connected.open_udp(2001);
    lab::RawClient raw(connected.lan.bus);
    lab::Peer peer(connected.lan.server, 3000, "srv0");
    connected.diary.clear();

    lab::KernelBatch batch(connected.lan.host);
    const int lan0 = connected.lan.host.ifindex("lan0");
    for (int i = 0; i < 100; ++i) {
        batch.rename(lan0, "house");
        batch.rename(lan0, "garden");
    }
    CHECK(batch.run() == 0);
    const lab::Deadline deadline(soon);
    while (raw.interface_property<std::string>("eth0", "Device") != "garden" && !deadline.passed())
        continue;
    CHECK(raw.interface_property<std::string>("eth0", "Device") == "garden");
    CHECK(lab::outcome(socket.send("10.77.1.1", 3000, "renamed")) == "0");
    CHECK(peer.receive(lab::Deadline(soon)));
    CHECK(connected.diary.steps().empty());

    connected.lan.cable.pull();
    REQUIRE(connected.program.until(
        soon, [&] { return connected.diary.is(State::ethernet_stopped_no_link); }));
    connected.lan.cable.plug();
    REQUIRE(connected.program.until(soon, [&] { return connected.connected(); }));
    CHECK(connected.diary.steps() == Steps{{1, 204}, {204, 0}, {0, 200}, {200, 201}, {201, 1}});
    // And when the lease has to be renewed, or its client dies.
    const auto client = lab::children_of(connected.daemon.pid(), "udhcpc");
    REQUIRE(client.size() == 1);
    const auto so_far = connected.dhcp.log().size();
    ::kill(client[0].pid, SIGKILL);
    const auto acknowledged = [&] {
        return connected.dhcp.log().find("DHCPACK", so_far) != std::string::npos;
    };
    const lab::Deadline end(soon);
    while (!acknowledged() && !end.passed()) connected.program.idle(50ms);
    CHECK(acknowledged());
    CHECK(connected.diary.entries().size() == 5);
    connected.lan.host.run({"ip", "link", "set", "garden", "name", "lan0"});
}

TEST_CASE("a device that is moved to another host's network and back is removed, and returns",
          "[storm]") {
    lab::Connected connected;
    lab::Namespace elsewhere("elsewhere");
    lab::KernelBatch away(connected.lan.host);
    lab::KernelBatch back(elsewhere);
    const auto descriptors = lab::descriptors_of(connected.daemon.pid());
    for (int round = 0; round < 5; ++round) {
        auto socket = connected.open_udp(2001);
        connected.diary.clear();
        away.move(connected.lan.host.ifindex("lan0"), elsewhere);
        CHECK(away.run() == 0);
        const auto is_gone = [&] {
            return connected.diary.is(State::ethernet_stopped) && !socket.is_open();
        };
        REQUIRE(connected.program.until(soon, is_gone));
        CHECK(connected.diary.last().change.reason == "device removed");
        CHECK(lab::outcome(connected.eth0.open_udp(2001)) == "Unavailable");
        back.move(elsewhere.ifindex("lan0"), connected.lan.host);
        CHECK(back.run() == 0);
        REQUIRE(connected.program.until(soon, [&] { return connected.connected(); }));
        CHECK(connected.diary.steps() ==
              Steps{{1, 204}, {204, 202}, {202, 0}, {0, 200}, {200, 201}, {201, 1}});
    }
    CHECK(connected.lan.addresses() == "10.77.1.100/24 ");
    CHECK(lab::children_of(connected.daemon.pid(), "udhcpc").size() == 1);
    CHECK(lab::has_at_most(descriptors, connected.daemon.pid()));
}

TEST_CASE("a device that is deleted and made again fifty times under load is connected in the end",
          "[storm]") {
    lab::Connected connected;
    const auto pid = connected.daemon.pid();
    const auto descriptors = lab::descriptors_of(pid);
    std::size_t memory = 0;
    lab::KernelBatch kernel(connected.lan.host);
    std::size_t closed = 0;
    std::size_t sent = 0;
    for (int round = 0; round < 50; ++round) {
        if (round == 10) memory = lab::memory_of(pid);
        std::vector<impnet::UdpSocket> sockets;
        for (std::uint16_t port = 2001; port < 2004; ++port)
            sockets.push_back(connected.open_udp(port));
        for (auto& socket : sockets) {
            socket.on_closed([&](const std::string&) { ++closed; });
            const auto outcome = lab::outcome(socket.send("10.77.1.1", 3000, "load"));
            if (outcome == "0") ++sent;
        }
        connected.diary.clear();
        kernel.remove(connected.lan.host.ifindex("lan0"));
        CHECK(kernel.run() == 0);
        connected.lan.cable.restore();
        const auto all_closed = [&] { return closed == 3 * (static_cast<std::size_t>(round) + 1); };
        REQUIRE(connected.program.until(soon, all_closed));
        if (round % 10 == 9) connected.dhcp.start();
        if (round % 10 != 9) continue;
        REQUIRE(connected.program.until(soon, [&] { return connected.connected(); }));
        CHECK(is_a_chain(connected.diary.steps()));
        CHECK(connected.lan.addresses() == "10.77.1.100/24 ");
    }
    CHECK(closed == 150);
    CHECK(sent > 0);
    CHECK(lab::has_at_most(descriptors, pid));
    CHECK(lab::children_of(pid, "udhcpc").size() == 1);
    if (!lab::sanitized) CHECK(lab::memory_of(pid) < memory + memory_noise);
}
