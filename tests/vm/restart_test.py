# SPDX-License-Identifier: LGPL-2.1-or-later
"""Another impnetd takes over from the last: programs see nothing of it."""

import unittest

import lab
from machine import eventually, run


class Restart(lab.Case):
    def check_unnoticed(self, end):
        """A program with a session and a socket is served on, by another process, with the same lease."""
        with lab.echo() as echo:
            echo.await_output("echoing on port 2001")
            steps = echo.output()
            address = lab.read("Address")
            pid = lab.main_pid()
            run(end)
            lab.await_another(pid)
            eventually(lambda: lab.echoed(address, "still") == "still", 30)
            self.assertEqual(lab.read("Address"), address)
            self.assertTrue(echo.output().startswith(steps))
            # The library's own lines tell of it; steps of the interface, in capitals, there are none.
            since = echo.output()[len(steps):]
            self.assertIn("the session goes on", since)
            self.assertNotRegex(since, "eth0: [A-Z]")

    def test_a_restart_is_noticed_by_no_program(self):
        self.check_unnoticed("systemctl restart impnetd")

    def test_a_crash_is_noticed_by_no_program(self):
        self.check_unnoticed(f"kill -KILL {lab.main_pid()}")

    def test_a_fault_is_noticed_by_no_program(self):
        self.check_unnoticed(f"kill -SEGV {lab.main_pid()}")

    def test_a_restart_of_the_bus_is_noticed_by_no_program(self):
        with lab.echo() as echo:
            echo.await_output("echoing on port 2001")
            steps = echo.output()
            address = lab.read("Address")
            pid = lab.main_pid()
            run("systemctl restart dbus")
            eventually(lambda: "the session goes on" in echo.output(), 30)
            self.assertEqual(lab.echoed(address, "still"), "still")
            self.assertEqual(lab.main_pid(), pid)
            self.assertNotRegex(echo.output()[len(steps):], "eth0: [A-Z]")

    def test_a_stop_ends_what_was_handed_out(self):
        with lab.echo() as echo:
            echo.await_output("echoing on port 2001")
            address = lab.read("Address")
            run("systemctl stop impnetd")
            self.assertEqual(run("ss --udp --numeric --listening --no-header sport = 2001").strip(), "")
            self.assertIn(address, run("ip -4 -brief address show lan0"))

    def test_a_stop_takes_an_interface_down_if_it_is_told_to(self):
        lab.configure(lab.MANAGED + 'always-on = true\non-stop = "down"\n')
        run("systemctl restart impnetd")
        lab.await_state("CONNECTED")
        run("systemctl restart impnetd")
        self.assertIn("UP", run("ip -brief link show lan0"))
        run("systemctl stop impnetd")
        self.assertNotIn("UP", run("ip -brief link show lan0"))
        self.assertEqual(run("ip -4 -brief address show lan0").split()[2:], [])


if __name__ == "__main__":
    unittest.main()
