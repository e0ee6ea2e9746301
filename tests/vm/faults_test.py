# SPDX-License-Identifier: LGPL-2.1-or-later
"""What goes wrong with the daemon, and how it comes back by itself."""

import unittest

import lab
from machine import attempt, eventually, run


class Faults(lab.Case):
    def test_a_daemon_that_is_killed_always_comes_back(self):
        self.assertEqual(lab.show("StartLimitIntervalUSec")["StartLimitIntervalUSec"], "0")
        for _ in range(3):
            pid = lab.main_pid()
            run(f"kill -KILL {pid}")
            lab.await_another(pid)
        self.assertEqual(lab.show("NRestarts")["NRestarts"], "3")
        with lab.echo() as echo:
            echo.await_output("echoing on port 2001")

    def test_a_daemon_that_hangs_is_replaced_by_the_watchdog(self):
        self.assertEqual(lab.show("WatchdogUSec")["WatchdogUSec"], "30s")
        self.drop_in("[Service]\nWatchdogSec=2\nLimitCORE=0")
        run("systemctl restart impnetd")
        pid = lab.main_pid()
        run(f"kill -STOP {pid}")
        lab.await_another(pid)
        self.assertIn("Watchdog timeout", run("journalctl --no-pager --unit=impnetd --lines=20"))

    def test_a_daemon_that_is_well_lives_on_under_the_watchdog(self):
        self.drop_in("[Service]\nWatchdogSec=2")
        run("systemctl restart impnetd")
        pid = lab.main_pid()
        for _ in range(3):
            fed = lab.show("WatchdogTimestamp")
            eventually(lambda: lab.show("WatchdogTimestamp") != fed, 10, "it is fed again")
        self.assertEqual(lab.main_pid(), pid)

    def test_nothing_is_left_of_a_stopped_daemon(self):
        with lab.echo() as echo:
            echo.await_output("echoing on port 2001")
            group = lab.show("ControlGroup")["ControlGroup"]
            pids = run(f"cat /sys/fs/cgroup{group}/cgroup.procs").split()
            self.assertEqual(len(pids), 2)  # the daemon and udhcpc
            run("systemctl stop impnetd")
            self.assertEqual(lab.show("Result", "ActiveState"),
                             {"Result": "success", "ActiveState": "inactive"})
            self.assertNotEqual(attempt(f"ls /sys/fs/cgroup{group}").returncode, 0)
            self.assertNotEqual(attempt("ls /run/impnet").returncode, 0)

    def test_a_bad_configuration_is_told_and_not_tried_again(self):
        run("systemctl stop impnetd")
        lab.configure(lab.MANAGED + "colour = 3\n")
        self.assertNotEqual(attempt("systemctl start impnetd").returncode, 0)
        eventually(lambda: lab.show("ActiveState")["ActiveState"] == "failed")
        self.assertIn("lab.toml:5", run("journalctl --no-pager --unit=impnetd --lines=20"))


if __name__ == "__main__":
    unittest.main()
