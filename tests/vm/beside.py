# SPDX-License-Identifier: LGPL-2.1-or-later
"""impnetd beside a program that configures a network, too: on an interface that is the program's, on one that it
leaves alone by the README's lines, and on one that both of them have."""

import os
import re

import lab
from changes import Changes
from machine import HERE, eventually, run

OBSERVED = """
[interfaces.eth0]
device = "lan0"
"""
CONTENDED = "fa273ba0b73e44e09762a755cac6fe7f"  # interface_contended, as in impnetd.catalog


def lines_of_readme(folder):
    """What makes the program leave lan0 alone: a file in its folder of /etc, the lines in it, and a command."""
    with open(os.path.join(HERE, "../../README.md")) as file:
        readme = file.read()
    path, lines, command = re.search(
        rf"`(/etc/{folder}/\S+)`[^`]*```ini\n(.*?)```\n\n    sudo (.*?)\n", readme, re.DOTALL).groups()
    return path, lines.replace("enp3s0", "lan0"), command


def addresses():
    return re.findall(r"inet (\S+)/24", run("ip -4 address show lan0"))


def settings():
    """What impnetd sets on a managed device."""
    return run("cd /proc/sys/net && grep . ipv6/conf/lan0/disable_ipv6 "
               "ipv4/conf/lan0/{arp_ignore,arp_announce,rp_filter}")


def contentions():
    """How often this impnetd has told of another program."""
    invocation = lab.show("InvocationID")["InvocationID"]
    return len(run("journalctl --no-pager --output=cat "
                   f"_SYSTEMD_INVOCATION_ID={invocation} MESSAGE_ID={CONTENDED}").splitlines())


class Beside:
    """The cases of each of the programs, which is set up to get lan0 an address and does not run yet."""

    def setUp(self):
        self.changes = Changes()
        self.addCleanup(self.changes.end)
        super().setUp()
        fresh = "ip address flush dev lan0 && ip -n lan link set srv0 up"
        run(fresh)  # NetworkManager leaves a device alone that somebody has given an address
        self.addCleanup(run, fresh)
        self.configure()
        self.addCleanup(self.forget)
        self.addCleanup(self.stop)

    def stop(self):
        run(f"systemctl stop {self.units}")

    def made(self, program):
        """Its changes."""
        return self.changes.by_program().get(program, {})

    def settled(self, program):
        """The same, once it stays so for some looks."""
        looks = []

        def look():
            looks.append(self.made(program))
            return len(looks) >= 8 and all(made == looks[-1] for made in looks[-8:])
        eventually(look, 60, f"{program} changes nothing more")
        return looks[-1]

    def await_echo(self, echo, times):
        """The times-th address with which it echoes, and that it does."""
        eventually(lambda: echo.output().count("echoing on port 2001") == times, 60, f"it echoes, {times}")
        return self.check_echo()

    def check_echo(self):
        address = lab.read("Address")
        self.assertIn(address, addresses())
        self.assertEqual(lab.echoed(address, "hello"), "hello")
        return address

    def test_an_observed_interface_follows_it_and_nothing_is_changed(self):
        lab.configure(OBSERVED)
        self.changes.begin()
        run("systemctl restart impnetd")
        with lab.echo() as echo:
            echo.await_output("the device is down")
            self.start()
            before = self.await_echo(echo, 1)

            self.renumber()
            after = eventually(lambda: sorted(set(addresses()) - {before}), 60, "it has another address")[0]
            echo.await_output(f"CONNECTED (address {after}/24)")
            self.check_echo()

            run("ip -n lan link set srv0 down")
            echo.await_output("no carrier")
            run("ip -n lan link set srv0 up")
            self.await_echo(echo, 2)

            self.let_go()
            echo.await_output(self.gone)
            self.take()
            lab.await_state("CONNECTED", 60)
            self.assertEqual(addresses(), [lab.read("Address")])
        self.assertGreater(self.made(self.program)["NEWADDR"], 1)
        self.assertEqual(self.changes.by_program().keys(), {self.program, "ip"}, self.changes.by_program())

    def test_a_managed_interface_is_left_alone_with_the_lines_of_the_readme(self):
        self.start()
        eventually(addresses, 60, "it manages lan0")
        path, lines, command = lines_of_readme(self.folder)
        self.addCleanup(run, f"rm {path}")
        run(f"cat >{path} <<'END'\n{lines}END\n{command}")
        eventually(lambda: self.state() == "unmanaged", 30, "it lets go")

        # As from the next boot on: NetworkManager undoes one more of its settings when it ends.
        self.stop()
        self.changes.begin()
        with lab.echo() as echo:
            address = self.await_echo(echo, 1)
            ours = settings()
            self.assertRegex(ours, r"disable_ipv6:1\n.*arp_ignore:1")
            self.start()
            eventually(lambda: self.state() == "unmanaged", 60, "it runs")
            run("ip -n lan link set srv0 down")
            echo.await_output("carrier lost")
            run("ip -n lan link set srv0 up")
            self.assertEqual(self.await_echo(echo, 2), address)
            self.assertEqual(addresses(), [address])
            self.assertEqual(settings(), ours)
        self.assertEqual(self.state(), "unmanaged")
        self.assertEqual(self.made(self.program), {})
        for what in "NEWLINK", "NEWADDR", "sysctl":
            self.assertGreater(self.made("impnetd")[what], 0)
        self.assertEqual(contentions(), 0)

    def test_a_managed_interface_that_it_configures_too_is_told_of_once_and_not_fought_over(self):
        with lab.echo() as echo:
            ours = self.await_echo(echo, 1)
            self.start()
            self.take()
            eventually(lambda: contentions() > 0 and ours in addresses(), 60, "it is told of")
            lab.await_state("CONNECTED")
            settled = self.settled("impnetd")
            self.assertNotIn("DELADDR", settled)
            for number in range(3):
                before = self.made(self.program)["NEWADDR"]
                self.readdress(number)
                eventually(lambda: self.made(self.program)["NEWADDR"] > before, 30, "it has an address anew")
            self.assertEqual(self.check_echo(), ours)
            self.assertEqual(self.made("impnetd"), settled)
            self.assertEqual(contentions(), 1)
