# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the service may do, and what it may not."""

import re
import unittest

import lab
from machine import run


def status(pid):
    """/proc/PID/status, as a dictionary."""
    lines = run(f"cat /proc/{pid}/status").splitlines()
    return dict(re.split(r":\s*", line, maxsplit=1) for line in lines)


def capabilities(*numbers):
    return f"{sum(1 << number for number in numbers):016x}"


NET_BIND_SERVICE, NET_ADMIN, NET_RAW, PERFMON, BPF = 10, 12, 13, 38, 39


class Sandbox(lab.Case):
    def test_the_unit_is_well_formed(self):
        self.assertEqual(run("systemd-analyze verify impnetd.service 2>&1"), "")

    def test_systemd_rates_its_exposure_at_2_5_or_less(self):
        run("systemd-analyze security --no-pager --threshold=25 impnetd.service")

    def test_the_daemon_has_its_user_and_five_capabilities(self):
        daemon = status(lab.main_pid())
        uid = run("id -u impnet")
        self.assertEqual(daemon["Uid"].split(), [uid] * 4)
        self.assertNotEqual(uid, "0")
        self.assertEqual(daemon["NoNewPrivs"], "1")
        self.assertEqual(daemon["Seccomp"], "2")
        for kind in "CapEff", "CapPrm", "CapBnd", "CapAmb":
            self.assertEqual(
                daemon[kind], capabilities(NET_BIND_SERVICE, NET_ADMIN, NET_RAW, PERFMON, BPF), kind)

    def test_the_dhcp_client_has_two_capabilities_and_real_time_priority(self):
        with lab.echo() as echo:
            echo.await_output("echoing on port 2001")
            children = run(f"cat /proc/{lab.main_pid()}/task/*/children").split()
            pid, client = next((pid, status(pid)) for pid in children
                               if status(pid)["Name"] == "udhcpc")
            for kind in "CapEff", "CapPrm", "CapAmb":
                self.assertEqual(client[kind], capabilities(NET_BIND_SERVICE, NET_RAW), kind)
            self.assertIn("SCHED_FIFO", run(f"chrt --pid {pid}"))

    def test_what_it_keeps_is_its_own(self):
        modes = run("stat --format='%a %U %G %n' /var/lib/impnet /run/impnet /etc/impnet")
        self.assertEqual(modes.splitlines(), [
            "700 impnet impnet /var/lib/impnet",
            "700 impnet impnet /run/impnet",
            "755 root root /etc/impnet",
        ])


if __name__ == "__main__":
    unittest.main()
