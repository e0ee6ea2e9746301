# SPDX-License-Identifier: LGPL-2.1-or-later
"""A boot of the whole machine with an interface that is always on."""

import unittest

import lab
from machine import reboot, run


class Boot(lab.Case):
    config = lab.MANAGED + "always-on = true\n"

    def setUp(self):
        super().setUp()
        reboot()

    def test_an_interface_that_is_always_on_is_connected_without_any_client(self):
        lab.await_state("CONNECTED")
        self.assertEqual(lab.read("Sessions"), 0)
        self.assertIn(f"inet {lab.read('Address')}/24", run("ip -4 address show lan0"))

        # systemd started it, and what needs a network waited for it.
        started = int(lab.show("ActiveEnterTimestampMonotonic")["ActiveEnterTimestampMonotonic"])
        network = lab.show("ActiveEnterTimestampMonotonic", unit="network.target")
        self.assertGreater(started, 0)
        self.assertLess(started, int(network["ActiveEnterTimestampMonotonic"]))
        self.assertEqual(run("systemctl list-units --failed --plain --no-legend"), "")


if __name__ == "__main__":
    unittest.main()
