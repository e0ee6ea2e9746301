# SPDX-License-Identifier: LGPL-2.1-or-later
"""Started by the bus when somebody calls."""

import unittest

import lab
from machine import attempt, run


class Activation(lab.Case):
    def setUp(self):
        super().setUp()
        run("systemctl stop impnetd")

    def test_a_call_of_anybody_starts_the_service(self):
        self.assertIn('"ethernet"', run(lab.as_user("nobody", lab.call("GetInfo"))))
        self.assertEqual(lab.show("ActiveState")["ActiveState"], "active")

    def test_a_disabled_service_is_not_started_by_a_call(self):
        run("systemctl disable --quiet impnetd")
        self.addCleanup(run, "systemctl enable --quiet impnetd")
        self.assertNotEqual(attempt(lab.call("GetInfo")).returncode, 0)
        self.assertEqual(lab.show("ActiveState")["ActiveState"], "inactive")


if __name__ == "__main__":
    unittest.main()
