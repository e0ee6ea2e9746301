# SPDX-License-Identifier: LGPL-2.1-or-later
"""The wall clock is nobody's business."""

import time
import unittest

import lab
from machine import eventually, run


class Clock(lab.Case):
    def setUp(self):
        super().setUp()
        self.addCleanup(lambda: run(f"date --set=@{int(time.time())}"))

    def test_a_clock_that_jumps_a_year_changes_nothing(self):
        with lab.echo() as echo:
            echo.await_output("echoing on port 2001")
            before = echo.output()
            lease = {name: lab.read(name) for name in ("State", "Address", "Gateway")}
            pid = lab.main_pid()
            for jump in "+1 year", "-2 years":
                with self.subTest(jump=jump):
                    run(f"date --set='{jump}'")
                    # After this answer, all that the jump set off has been told.
                    self.assertEqual(lab.echoed(lease["Address"], jump), jump)
                    self.assertEqual({name: lab.read(name) for name in lease}, lease)
            eventually(lambda: echo.output().count("bytes from") == 2)
            steps = [line for line in echo.output().splitlines() if "bytes from" not in line]
            self.assertEqual(steps, before.splitlines())
            self.assertEqual(lab.main_pid(), pid)


if __name__ == "__main__":
    unittest.main()
