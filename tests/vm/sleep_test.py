# SPDX-License-Identifier: LGPL-2.1-or-later
"""The host sleeps and wakes up: the real kernel, the real systemd-logind."""

import unittest

import lab
from machine import eventually, run


class Sleep(lab.Case):
    def test_a_lease_is_confirmed_after_waking_up(self):
        with lab.echo() as echo:
            echo.await_output("echoing on port 2001")
            steps = echo.output()
            address = lab.read("Address")
            # A machine without hardware has nothing to wake it up. The kernel's own test of sleeping
            # (Documentation/power/basic-pm-debugging.rst) freezes all programs, and lets them go on after
            # 5 s; to logind and to us it is the same.
            run("echo freezer >/sys/power/pm_test")
            run("systemctl suspend")
            journal = "journalctl --no-pager --unit=impnetd --lines=50"
            eventually(lambda: "host_woke_up" in run(journal), 60)
            eventually(lambda: lab.echoed(address, "awake") == "awake", 30)
            self.assertEqual(lab.read("State"), 1)
            self.assertEqual(echo.output()[:len(steps)], steps)


if __name__ == "__main__":
    unittest.main()
