# SPDX-License-Identifier: LGPL-2.1-or-later
"""The main job, done by the sandboxed service."""

import unittest

import lab
from machine import eventually, run


class Network(lab.Case):
    def test_a_program_gets_an_address_and_echoes_datagrams(self):
        with lab.echo() as echo:
            echo.await_output("echoing on port 2001")
            address = lab.read("Address")
            self.assertRegex(address, r"^10\.77\.1\.1[0-5]\d$")
            self.assertEqual(lab.read("DhcpServer"), lab.SERVER)
            self.assertIn(f"inet {address}/24", run("ip -4 address show lan0"))
            for target in address, "10.77.1.255", "255.255.255.255":
                with self.subTest(target=target):
                    self.assertEqual(lab.echoed(target, "hello"), "hello")

    def test_a_cable_is_pulled_and_put_back(self):
        with lab.echo() as echo:
            echo.await_output("echoing on port 2001")
            self.addCleanup(run, "ip -n lan link set srv0 up")
            run("ip -n lan link set srv0 down")
            echo.await_output("ETHERNET_STOPPED_NO_LINK")
            run("ip -n lan link set srv0 up")
            eventually(lambda: echo.output().count("echoing on port 2001") == 2, 15)
            self.assertEqual(lab.echoed(lab.read("Address"), "again"), "again")


if __name__ == "__main__":
    unittest.main()
