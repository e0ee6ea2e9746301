# SPDX-License-Identifier: LGPL-2.1-or-later
"""The kernel data path in the sandboxed service, on Debian's kernel: programs use their sockets' descriptors
themselves, and the rules hold, whoever is there to watch."""

import json
import re
import unittest

import lab
from machine import attempt, eventually, run

SLOW = "[limiter]\nburst = 100\nrate = 0.001\n"


def data_path():
    answer = run("busctl --json=short get-property org.impnet1 /org/impnet1 org.impnet1.Manager DataPath")
    return json.loads(answer)["data"]


class Raw(lab.Program):
    """A program that holds a descriptor (guest/raw), and the server that gets its datagrams (guest/sink)."""

    def __init__(self):
        super().__init__("/usr/bin/env python3 /lab/guest/raw /run/raw/fifo")
        self._seen = 0

    def __enter__(self):
        run("rm -rf /run/raw && mkdir /run/raw && chown member /run/raw && systemd-run --quiet --collect "
            "--unit=sink ip netns exec lan /lab/guest/sink /run/sink")
        # A session first, so that eth0 is connected before the socket is used.
        super().__enter__()
        self.await_output("acquired")
        lab.await_state("CONNECTED")
        return self

    def __exit__(self, *details):
        super().__exit__(*details)
        attempt("systemctl stop sink; rm -rf /run/raw")

    def ask(self, command, answer):
        """What the program says to the command, which matches `answer`."""
        run(f"echo {command} >/run/raw/fifo")

        def said():
            return re.compile(answer).search(self.output(), self._seen)

        found = eventually(said, 30, f"{command}: {answer}")
        self._seen = found.end()
        return found[0]

    def start(self):
        run("echo steady >/run/raw/fifo")
        eventually(lambda: received() > 5)


def received():
    return int(run("cat /run/sink") or 0)


class KernelPath(lab.Case):
    def groups(self):
        group = lab.show("ControlGroup")["ControlGroup"]
        return run(f"ls -d /sys/fs/cgroup{group}/impnet-*").split()

    def test_the_programs_are_on_a_group_of_the_service(self):
        self.assertEqual(data_path(), "kernel")
        (group,) = self.groups()
        programs = json.loads(run(f"bpftool --json cgroup show {group}"))
        self.assertEqual(
            {program["name"] for program in programs},
            {f"impnet_{name}" for name in ("sendmsg4", "egress", "ingress", "connect4", "bind4",
                                           "setsockopt", "getsockopt")})
        (source,) = run(f"cat {group}/cgroup.procs").split()
        self.assertEqual(run(f"cat /proc/{source}/comm"), "impnet-socket-s")
        self.assertIn("CapEff:\t0000000000000000", run(f"cat /proc/{source}/status"))

    def test_a_program_echoes_datagrams(self):
        with lab.echo() as echo:
            echo.await_output("echoing on port 2001")
            for target in lab.read("Address"), "10.77.1.255", "255.255.255.255":
                with self.subTest(target=target):
                    self.assertEqual(lab.echoed(target, "hello"), "hello")

    def test_a_service_without_sockets_of_its_own_has_ours(self):
        confined = "RestrictAddressFamilies=AF_UNIX", "NoNewPrivileges=yes"  # as README.md says
        options = " ".join(f"--property={one}" for one in confined)
        own = attempt(f"systemd-run --quiet --wait --pipe --uid=member {options} "
                      "python3 -c 'import socket; socket.socket(type=socket.SOCK_DGRAM)'")
        self.assertNotEqual(own.returncode, 0)
        self.assertIn("Address family not supported", own.stderr)
        with lab.echo(confined) as echo:
            echo.await_output("echoing on port 2001")
            self.assertEqual(lab.echoed(lab.read("Address"), "hello"), "hello")

    def test_a_forbidden_address_ends_the_socket(self):
        with Raw() as raw:
            raw.ask(f"send {lab.SERVER} 1", "sent 1 OK")
            raw.ask("send 192.0.2.1 1", "sent 0 EACCES")
            raw.ask(f"send {lab.SERVER} 1", "sent 0 EPIPE")
            journal = "journalctl --no-pager --unit=impnetd --lines=20"
            eventually(lambda: "address 192.0.2.1 is not allowed" in run(journal))

    def test_a_restart_and_a_crash_are_noticed_by_no_datagram(self):
        with Raw() as raw:
            raw.start()
            for end in "systemctl restart impnetd", "kill -KILL {pid}":
                with self.subTest(end=end):
                    pid = lab.main_pid()
                    before = received()
                    run(end.format(pid=pid), timeout=40)
                    lab.await_another(pid, 20)
                    raw.ask("resume", "resumed")
                    eventually(lambda: received() > before + 10)
                    self.assertEqual(data_path(), "kernel")
            self.assertEqual(len(self.groups()), 1)
            said = raw.ask("halt", r"steady \d+ .*")
            sent = int(said.split()[1])
            self.assertEqual(said, f"steady {sent} []")
            eventually(lambda: received() == sent, what=f"{sent} datagrams")
            raw.ask("statistics", rf"counted {sent}\b")

    def test_a_daemon_that_hangs_or_is_gone_changes_no_rule(self):
        with Raw() as raw:
            run(f"kill -STOP {lab.main_pid()}")
            raw.ask(f"send {lab.SERVER} 1", "sent 1 OK")
            raw.ask("send 192.0.2.1 1", "sent 0 EACCES")
            raw.ask(f"send {lab.SERVER} 1", "sent 0 EPIPE")
            run(f"kill -CONT {lab.main_pid()}")

    def test_a_stop_ends_what_was_handed_out_at_once(self):
        with Raw() as raw:
            raw.ask(f"send {lab.SERVER} 1", "sent 1 OK")
            run("systemctl stop impnetd", timeout=40)
            raw.ask(f"send {lab.SERVER} 1", "sent 0 EPIPE")


class Limit(lab.Case):
    config = lab.MANAGED + SLOW

    def test_there_is_one_bucket_also_after_a_restart(self):
        with Raw() as raw:
            raw.ask(f"send {lab.SERVER} 60", "sent 60 OK")
            run("systemctl restart impnetd", timeout=40)
            raw.ask("resume", "resumed")
            raw.ask(f"send {lab.SERVER} 100", "sent 40 EAGAIN")
            raw.ask("statistics", r"counted 100\b")
            self.assertEqual(received(), 100)


class Choice(lab.Case):
    no_bpf = "[Service]\nCapabilityBoundingSet=~CAP_BPF\nAmbientCapabilities=~CAP_BPF"

    def journal(self):
        return run("journalctl --no-pager --unit=impnetd --lines=20")

    def test_the_relay_can_be_chosen(self):
        lab.configure(lab.MANAGED + '[datapath]\npath = "relay"\n')
        run("systemctl restart impnetd", timeout=40)
        self.assertEqual(data_path(), "relay")
        with lab.echo() as echo:
            echo.await_output("echoing on port 2001")
            self.assertEqual(lab.echoed(lab.read("Address"), "hello"), "hello")

    def test_without_the_capability_there_is_the_relay(self):
        self.drop_in(self.no_bpf)
        run("systemctl restart impnetd", timeout=40)
        self.assertEqual(data_path(), "relay")
        self.assertIn("kernel_path_unavailable", self.journal())
        with lab.echo() as echo:
            echo.await_output("echoing on port 2001")
            self.assertEqual(lab.echoed(lab.read("Address"), "hello"), "hello")

    def test_without_the_capability_a_service_that_must_have_it_does_not_start(self):
        self.drop_in(self.no_bpf + "\nRestart=no")
        lab.configure(lab.MANAGED + '[datapath]\npath = "kernel"\n')
        self.assertNotEqual(attempt("systemctl restart impnetd", timeout=40).returncode, 0)
        self.assertIn("kernel_path_unavailable", self.journal())


if __name__ == "__main__":
    unittest.main()
