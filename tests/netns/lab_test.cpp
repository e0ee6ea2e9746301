// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The lab itself: what the other tests rely on.
#include "lab/lab.hpp"

#include <algorithm>

#include <catch2/catch.hpp>
#include <linux/if.h>
#include <linux/rtnetlink.h>

using namespace std::chrono_literals;

TEST_CASE("a program on a host of the lab sees that host's devices only", "[lab]") {
    lab::Namespace host("host");
    lab::Namespace server("server");
    lab::Cable cable(host, "lan0", server, "srv0");
    CHECK(host.run({"sh", "-c", "ls /sys/class/net | xargs"}) == "lan0 lo\n");
    CHECK(server.run({"sh", "-c", "ls /sys/class/net | xargs"}) == "lo srv0\n");
    CHECK_FALSE(host.is_up("lan0"));
    CHECK(server.is_up("srv0"));
}

TEST_CASE("nothing of the lab writes the host's resolver", "[lab]") {
    lab::Namespace host("host");
    host.run({"sh", "-c", "echo nameserver 10.77.1.1 >/etc/resolv.conf"});
    CHECK(host.run({"cat", "/etc/resolv.conf"}) == "nameserver 10.77.1.1\n");
    CHECK(host.run({"cat", "/run/lab/resolv.conf"}) == "nameserver 10.77.1.1\n");
    CHECK(host.run({"hostname"}) == "lab\n");
}

TEST_CASE("a command that fails is told with its output", "[lab]") {
    lab::Namespace host("host");
    CHECK_THROWS_WITH(host.run({"sh", "-c", "echo so it is; exit 3"}),
                      Catch::Contains("status 3") && Catch::Contains("so it is"));
    CHECK_THROWS_WITH(host.run({"no-such-program"}), Catch::Contains("status 127"));
}

TEST_CASE("pulling the far end takes the carrier of the near end at once", "[lab]") {
    lab::Namespace host("host");
    lab::Namespace server("server");
    lab::Cable cable(host, "lan0", server, "srv0");
    host.set_up("lan0");
    lab::NetlinkCapture changes(host);
    const int index = host.ifindex("lan0");
    const auto carrier_is = [&](bool wanted) {
        const auto& seen = changes.changes();
        const auto last = std::find_if(seen.rbegin(), seen.rend(), [&](const auto& change) {
            return change.type == RTM_NEWLINK && change.ifindex == index;
        });
        return last != seen.rend() && ((last->flags & IFF_LOWER_UP) != 0) == wanted;
    };
    cable.pull();
    CHECK(lab::eventually(
        lab::Deadline(500ms), {changes.fd()}, [&] { return carrier_is(false); }, [] {}));
    cable.plug();
    CHECK(lab::eventually(
        lab::Deadline(500ms), {changes.fd()}, [&] { return carrier_is(true); }, [] {}));
}

TEST_CASE("a device that was taken away comes back with its hardware address", "[lab]") {
    lab::Namespace host("host");
    lab::Namespace server("server");
    lab::Cable cable(host, "lan0", server, "srv0");
    const std::string mac = host.mac("lan0");
    cable.remove();
    CHECK(host.ifindex("lan0") == 0);
    CHECK(server.ifindex("srv0") == 0);
    cable.restore();
    CHECK(host.mac("lan0") == mac);
}

TEST_CASE("the DHCP server serves, falls silent and serves again", "[lab]") {
    lab::Namespace host("host");
    lab::Namespace server("server");
    lab::Cable cable(host, "lan0", server, "srv0");
    host.set_up("lan0");
    lab::DhcpServer dhcp(server, "srv0");
    const std::vector<std::string> client = {"busybox", "udhcpc", "-n",       "-q", "-f",
                                             "-t",      "2",      "-T",       "1",  "-i",
                                             "lan0",    "-s",     "/bin/true"};
    CHECK_THAT(host.run(client), Catch::Contains("obtained from 10.77.1.1"));
    CHECK_THAT(dhcp.log(), Catch::Contains("DHCPACK(srv0) 10.77.1."));
    dhcp.stop();
    CHECK_FALSE(dhcp.running());
    CHECK_THROWS_WITH(host.run(client), Catch::Contains("no lease"));
    dhcp.start();
    CHECK_THAT(host.run(client), Catch::Contains("obtained from 10.77.1.1"));
}

TEST_CASE("the brief DHCP server gives leases of seconds", "[lab]") {
    lab::Namespace host("host");
    lab::Namespace server("server");
    lab::Cable cable(host, "lan0", server, "srv0");
    host.set_up("lan0");
    lab::BriefDhcpServer dhcp(server, "srv0", 12);
    CHECK_THAT(host.run({"busybox", "udhcpc", "-n", "-q", "-f", "-i", "lan0", "-s", "/bin/true"}),
               Catch::Contains("obtained from 10.77.1.1, lease time 12"));
}

TEST_CASE("a peer tells who sent what to which address, and a capture saw it pass", "[lab]") {
    lab::Namespace host("host");
    lab::Namespace server("server");
    lab::Cable cable(host, "lan0", server, "srv0");
    host.set_up("lan0");
    host.run({"ip", "address", "add", "10.77.1.2/24", "broadcast", "+", "dev", "lan0"});
    server.run({"ip", "address", "add", "10.77.1.1/24", "broadcast", "+", "dev", "srv0"});
    lab::Capture wire(server, "srv0");
    lab::Peer near(host, 0, "lan0");
    lab::Peer far(server, 2001, "srv0");

    const std::string to = GENERATE("10.77.1.1", "10.77.1.255", "255.255.255.255");
    near.send(to, 2001, lab::pattern(3'000));
    const auto received = far.receive(lab::Deadline(2s));
    REQUIRE(received);
    CHECK(received->from == "10.77.1.2");
    CHECK(received->from_port == near.port());
    CHECK(received->to == to);
    CHECK(received->data == lab::pattern(3'000));
    CHECK(wire.udp_to(2001) == 1);
    CHECK(wire.lost() == 0);
}

TEST_CASE("the bus is there, goes and comes back", "[lab]") {
    lab::Namespace host("host");
    lab::Bus bus;
    const std::vector<std::string> list = {"busctl", "--address=" + bus.address(), "list"};
    CHECK_THAT(host.run(list), Catch::Contains("org.freedesktop.DBus"));
    CHECK(bus.wait_owned("org.freedesktop.DBus", lab::Deadline(1s)));
    CHECK_FALSE(bus.wait_owned("org.impnet1", lab::Deadline(50ms)));
    bus.stop();
    CHECK_THROWS(host.run(list));
    bus.start();
    CHECK_THAT(host.run(list), Catch::Contains("org.freedesktop.DBus"));
}
