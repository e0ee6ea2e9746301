# SPDX-License-Identifier: LGPL-2.1-or-later
"""The journal of the machine."""

import unittest

import lab
from machine import eventually, run


class Log(lab.Case):
    def test_a_step_of_an_interface_is_found_by_its_fields_and_explained(self):
        with lab.echo() as echo:
            echo.await_output("echoing on port 2001")
            address = lab.read("Address")
            query = "journalctl --no-pager --unit=impnetd INTERFACE=eth0 STATE=1 --catalog --lines=1"
            found = eventually(lambda: address in run(query) and run(query))
        self.assertIn("Defined-By: impnetd", found)


if __name__ == "__main__":
    unittest.main()
