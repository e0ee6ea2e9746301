# SPDX-License-Identifier: LGPL-2.1-or-later
"""The stored configuration of the installed service: in its sandbox, and with the real polkitd."""

import unittest

import lab
from machine import attempt, eventually, run

STATIC = lab.call("SetStaticNetworkConfiguration",
                  "'a{sv}' 5 interface s eth0 ip s 10.77.1.60 netmask s 255.255.255.0 "
                  "gateway s 10.77.1.1 dns as 1 10.77.1.1")
PROXY = lab.call("SetProxy", "'a{sv}' 5 type s http address s 10.77.1.1 port q 3128 username s lab "
                             "password s over-the-hills")
ADMIN = [
    STATIC,
    PROXY,
    lab.call("SetInterfaceEnabled", "sb eth0 true"),
    lab.call("SetWifiConfiguration", "'a{sv}' 2 ssid s lab key s over-the-hills"),
    lab.call("SetWifiHints", "ssi wl0 020000000001 6"),
    lab.call("SetCellularConfiguration", "'a{sv}' 1 apn s lab"),
    lab.call("SetServerInterfaces", "as 1 eth0"),
    lab.call("GetCurrentConfiguration"),
    lab.call("ClearConfiguration", "as 1 all"),
]


class Stored(lab.Case):
    def setUp(self):
        super().setUp()
        self.addCleanup(run, lab.call("SetServerInterfaces", "as 0"))
        self.addCleanup(run, lab.call("SetInterfaceEnabled", "sb eth0 true"))
        self.addCleanup(run, lab.call("ClearConfiguration", "as 1 all"))

    def await_address(self, address):
        eventually(lambda: lab.read("Address") == address, 15, f"eth0 has {address}")

    def test_a_static_address_outlives_restarts_crashes_and_programs(self):
        run(STATIC)
        self.assertEqual(run("stat --format='%a %U %n' /var/lib/impnet/configuration.toml "
                             "/var/lib/impnet/device-key").splitlines(), [
            "600 impnet /var/lib/impnet/configuration.toml",
            "600 impnet /var/lib/impnet/device-key",
        ])
        for again in "systemctl restart impnetd", "systemctl kill --signal=KILL impnetd", "true":
            with self.subTest(again=again), lab.echo() as echo:
                echo.await_output("echoing on port 2001")
                self.await_address("10.77.1.60")
                run(again)
                eventually(lambda: attempt(lab.call("GetInfo")).returncode == 0, 15)
                self.await_address("10.77.1.60")
                self.assertEqual(lab.read("StateName"), "CONNECTED")

    def test_a_disabled_interface_stays_so(self):
        run(lab.call("SetInterfaceEnabled", "sb eth0 false"))
        for again in "true", "systemctl restart impnetd":
            run(again)
            self.assertFalse(lab.read("Enabled"))
            self.assertIn("disabled", attempt(lab.OPEN).stderr)
        run(lab.call("SetInterfaceEnabled", "sb ethernet true"))
        self.assertRegex(run(lab.OPEN), "^o ")

    def test_administration_is_for_root_and_whom_polkit_lets(self):
        for method in ADMIN:
            for user in "member", "other", "nobody":
                with self.subTest(user=user, method=method):
                    refused = attempt(lab.as_user(user, method))
                    self.assertIn("org.impnet1.configure: polkit says no", refused.stderr)
        self.assertFalse(attempt("grep -r 10.77.1.60 /var/lib/impnet").stdout)
        rule = "/etc/polkit-1/rules.d/10-impnet.rules"
        self.addCleanup(run, f"rm {rule}")
        run(f"""cat >{rule} <<'END'
polkit.addRule(function(action, subject) {{
    if (action.id == "org.impnet1.configure" && subject.user == "member") return polkit.Result.YES;
}});
END""")
        eventually(lambda: attempt(lab.as_user("member", ADMIN[0])).returncode == 0)
        for method in ADMIN:
            with self.subTest(method=method):
                run(lab.as_user("member", method))
                run(method)

    def test_the_key_may_be_a_credential(self):
        run("systemctl stop impnetd && mv /var/lib/impnet/device-key /run/impnetd-key")
        self.addCleanup(run, "mv /run/impnetd-key /var/lib/impnet/device-key && systemctl restart impnetd")
        self.drop_in("[Service]\nLoadCredential=impnetd-key:/run/impnetd-key")
        run("systemctl start impnetd")
        run(PROXY)
        self.assertNotEqual(attempt("test -e /var/lib/impnet/device-key").returncode, 0)
        self.assertFalse(attempt("grep -r over-the-hills /var/lib/impnet").stdout)
        self.assertFalse(attempt("journalctl --boot --unit=impnetd | grep over-the-hills").stdout)
        shown = run(lab.call("GetCurrentConfiguration"))
        self.assertIn('"password" ay ', shown)
        self.assertNotIn("over-the-hills", shown)

    def test_no_secret_is_on_the_disk_or_in_the_journal(self):
        # None of other cases': who becomes another user to call has his command line in the journal.
        secrets = ["under-the-bridge", "far-and-away", "through-the-woods", "down-the-river"]
        run(PROXY.replace("over-the-hills", secrets[0]))
        run(lab.call("SetWifiConfiguration", f"'a{{sv}}' 2 ssid s lab key s {secrets[1]}"))
        run(lab.call("SetCellularConfiguration", f"'a{{sv}}' 3 apn s lab username s lab password s {secrets[2]}"))
        run(f"rm -rf /run/raw && mkdir /run/raw && echo {secrets[3]} >/run/raw/password && "
            "chown --recursive member /run/raw")
        with lab.Program("/usr/bin/env python3 /lab/guest/raw /run/raw/fifo /run/raw/password") as raw:
            raw.await_output("acquired")
            for number, again in enumerate(["restart", "kill --signal=KILL"], start=1):
                run(f"systemctl {again} impnetd", timeout=40)
                run("echo resume >/run/raw/fifo")
                eventually(lambda: raw.output().count("resumed") == number, 30, "the session goes on")
            lab.await_state("CONNECTED")
        any_of = " ".join(f"-e {secret}" for secret in secrets)
        for there, where in (("10.77.1.1", "/var/lib/impnet /run/impnet /etc/impnet"),
                             ("STATE_NAME=CONNECTED", "<(journalctl --boot --all --output=export)")):
            search = "grep --recursive --text --fixed-strings"
            self.assertIn(there, attempt(f"{search} {there} {where}").stdout)
            self.assertEqual(attempt(f"{search} {any_of} {where}").stdout, "")

    def test_the_daemon_leaves_no_core(self):
        pattern = "/proc/sys/kernel/core_pattern"
        cores = "/var/lib/impnet/core.*"
        self.addCleanup(run, f"echo '{run(f'cat {pattern}')}' >{pattern}; rm -f {cores}")
        run(f"echo /var/lib/impnet/core.%e >{pattern}")
        self.drop_in("[Service]\nLimitCORE=infinity")
        run("systemctl restart impnetd")
        with lab.echo() as echo:
            echo.await_output("echoing on port 2001")
            children = run(f"cat /proc/{lab.main_pid()}/task/*/children")
            run(f"for pid in {children}; do [[ $(cat /proc/$pid/comm) != udhcpc ]] || kill -SEGV $pid; done")
            left = eventually(lambda: attempt(f"ls {cores}").stdout, 15, "another process leaves one")
            for signal in "SEGV", "ABRT":
                pid = lab.main_pid()
                run(f"kill -{signal} {pid}")
                lab.await_another(pid)
        self.assertEqual(run(f"ls {cores}"), left.rstrip())

    def test_ipv6_is_off_while_somebody_has_the_interface(self):
        switch = "cat /proc/sys/net/ipv6/conf/lan0/disable_ipv6"
        before = run(switch)
        with lab.echo() as echo:
            echo.await_output("echoing on port 2001")
            self.assertEqual(run(switch), "1")
            self.assertEqual(run("ip -6 address show dev lan0"), "")
        eventually(lambda: lab.read("StateName") == "UNKNOWN", 15, "eth0 is powered down")
        eventually(lambda: run(switch) == before, 15, "IPv6 is as it was")


if __name__ == "__main__":
    unittest.main()
