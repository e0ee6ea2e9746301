# SPDX-License-Identifier: LGPL-2.1-or-later
"""systemctl reload."""

import unittest

import lab
from machine import attempt, eventually, run


class Reload(lab.Case):
    def test_a_new_limit_is_in_force_at_once(self):
        with lab.echo() as echo:
            echo.await_output("echoing on port 2001")
            pid = lab.main_pid()
            run(lab.as_user("member", lab.OPEN))  # a second session of the same user
            lab.configure(lab.MANAGED + "[limits]\nsessions-per-uid = 1\n")
            run("systemctl reload impnetd")
            member = lab.as_user("member", lab.OPEN)
            eventually(lambda: "sessions" in attempt(member).stderr)
            self.assertEqual(lab.main_pid(), pid)
            self.assertEqual(lab.echoed(lab.read("Address"), "still"), "still")

    def test_a_bad_file_is_told_and_changes_nothing(self):
        with lab.echo() as echo:
            echo.await_output("echoing on port 2001")
            before = echo.output()
            pid = lab.main_pid()
            lab.configure(lab.MANAGED + "always-on = perhaps\n")
            self.assertNotEqual(attempt("systemctl reload impnetd").returncode, 0)
            run(f"kill -HUP {pid}")  # past the check that systemd makes
            journal = "journalctl --no-pager --unit=impnetd --lines=20"
            eventually(lambda: run(journal).count("lab.toml:5") >= 2)
            self.assertEqual(lab.show("ActiveState")["ActiveState"], "active")
            self.assertEqual(lab.main_pid(), pid)
            self.assertEqual(lab.echoed(lab.read("Address"), "still"), "still")
            self.assertTrue(echo.output().startswith(before))


if __name__ == "__main__":
    unittest.main()
