# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests beside other programs rely on."""

import unittest

from changes import Changes
from machine import run


class Sight(unittest.TestCase):
    def test_each_way_to_change_a_device_is_seen(self):
        changes = Changes()
        self.addCleanup(changes.end)
        run("ip link set lan0 mtu 1400 && busybox ifconfig lan0 mtu 1500 && "
            "busybox ifconfig lan0 192.168.9.9 && busybox ifconfig lan0 0.0.0.0 down && "
            "echo 0 >/proc/sys/net/ipv4/conf/lan0/arp_notify")
        made = changes.by_program()
        self.assertEqual(set(made["ip"]), {"NEWLINK"})
        self.assertEqual(set(made["busybox"]), {"SIFMTU", "SIFADDR", "SIFFLAGS"})
        self.assertEqual(set(made["bash"]), {"sysctl"})


if __name__ == "__main__":
    unittest.main()
