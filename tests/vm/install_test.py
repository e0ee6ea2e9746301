# SPDX-License-Identifier: LGPL-2.1-or-later
"""Brings the project into the machine as the README says, and checks that it is one."""

import unittest

import lab
from machine import attempt, run


class Installing(unittest.TestCase):
    def setUp(self):
        run("cp /lab/guest/lan.service /etc/systemd/system && systemctl daemon-reload && "
            "systemctl enable --now --quiet lan")

    def test_impnetd_is_installed_and_enabled_on_a_running_system(self):
        run("cp --recursive --no-target-directory /lab/project/root /")  # cmake --install
        run("ldconfig && systemd-sysusers && journalctl --update-catalog")
        run("systemctl daemon-reload && systemctl reload dbus")
        run("useradd member && usermod --append --groups impnet member && useradd other")

        # Nothing has started it, and until it is enabled nothing does.
        self.assertEqual(lab.show("ActiveState")["ActiveState"], "inactive")
        self.assertNotEqual(attempt(lab.OPEN).returncode, 0)
        self.assertEqual(lab.show("ActiveState")["ActiveState"], "inactive")

        run("systemctl enable --now --quiet impnetd")
        self.assertEqual(lab.show("ActiveState")["ActiveState"], "active")
        self.assertIn("/org/impnet1", run("busctl tree --list org.impnet1").splitlines())


if __name__ == "__main__":
    unittest.main()
