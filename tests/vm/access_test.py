# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may do what, by the bus's policy and impnetd's own."""

import unittest

import lab
from machine import attempt, eventually, run


class Access(lab.Case):
    def test_root_may_open(self):
        self.assertRegex(run(lab.OPEN), r'^o "/org/impnet1/session/\d+"$')

    def test_a_member_of_the_group_may_open(self):
        self.assertRegex(run(lab.as_user("member", lab.OPEN)), r'^o "/org/impnet1/session/\d+"$')

    def test_others_may_read_but_not_open(self):
        for user in "other", "nobody":
            with self.subTest(user=user):
                self.assertIn('"ethernet"', run(lab.as_user(user, lab.call("GetInfo"))))
                self.assertIn("StateName", run(lab.as_user(
                    user, "busctl introspect org.impnet1 /org/impnet1/interface/eth0")))
                refused = attempt(lab.as_user(user, lab.OPEN))
                self.assertNotEqual(refused.returncode, 0)
                self.assertIn("not allowed", refused.stderr)
                self.assertEqual(lab.read("Sessions"), 0)

    def test_root_may_reload_and_others_whom_polkit_lets(self):
        run(lab.call("Reload"))
        for user in "member", "nobody":
            with self.subTest(user=user):
                refused = attempt(lab.as_user(user, lab.call("Reload")))
                self.assertIn("org.impnet1.configure: polkit says no", refused.stderr)
        rule = "/etc/polkit-1/rules.d/10-impnet.rules"
        self.addCleanup(run, f"rm {rule}")
        run(f"""cat >{rule} <<'END'
polkit.addRule(function(action, subject) {{
    if (action.id == "org.impnet1.configure" && subject.user == "member") return polkit.Result.YES;
}});
END""")
        eventually(lambda: attempt(lab.as_user("member", lab.call("Reload"))).returncode == 0)
        self.assertNotEqual(attempt(lab.as_user("nobody", lab.call("Reload"))).returncode, 0)

    def test_polkit_knows_the_action_of_administrators(self):
        self.assertRegex(run("pkaction --verbose --action-id org.impnet1.configure"),
                         r"implicit any: +auth_admin\n")

    def test_nobody_else_may_take_the_name(self):
        run("systemctl stop impnetd")
        take = ("busctl call org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus "
                "RequestName su org.impnet1 0")
        self.assertIn("Access denied", attempt(lab.as_user("member", take)).stderr)
        self.assertEqual(run(lab.as_user("impnet", take)), "u 1")


if __name__ == "__main__":
    unittest.main()
