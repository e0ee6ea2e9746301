# SPDX-License-Identifier: LGPL-2.1-or-later
"""impnetd beside systemd-networkd."""

import unittest

import lab
from beside import Beside, addresses, contentions
from machine import eventually, run


class Networkd(Beside, lab.Case):
    program = "systemd-network"  # as much of its name as the kernel keeps
    units = "systemd-networkd.socket systemd-networkd.service"
    folder = "systemd"
    gone = "the device is down"

    def configure(self, more=""):
        run("mkdir -p /run/systemd/network && cat >/run/systemd/network/50-lab.network <<'END'\n"
            f"[Match]\nName=lan0\n\n[Network]\nDHCP=ipv4\n\n{more}\nEND")

    def forget(self):
        run("rm -r /run/systemd/network")

    def start(self):
        run("systemctl start systemd-networkd")

    def state(self):
        return run("networkctl --no-pager --no-legend list lan0").split()[-1]

    def renumber(self):
        self.configure("[DHCPv4]\nClientIdentifier=mac")
        run("networkctl reload")

    def readdress(self, _):
        run("networkctl renew lan0")

    def let_go(self):
        run("ip link set lan0 down")

    def take(self):
        run("ip link set lan0 up")

    def test_what_goes_and_comes_back_with_the_cable_is_told_of_once(self):
        with lab.echo() as echo:
            ours = self.await_echo(echo, 1)
            self.start()
            theirs = eventually(lambda: set(addresses()) - {ours}, 60, "it has an address, too")
            run("ip -n lan link set srv0 down")
            eventually(lambda: not theirs & set(addresses()), 30, "it takes its address away")
            run("ip -n lan link set srv0 up")
            self.await_echo(echo, 2)
            eventually(lambda: theirs < set(addresses()), 60, "both have an address")
            self.check_echo()
            self.assertEqual(contentions(), 1)


if __name__ == "__main__":
    unittest.main()
