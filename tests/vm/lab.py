# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the cases in the machine have in common: impnetd as an installed service, one interface `eth0` on a
local network that is in the machine, too (guest/lan), and what asks them."""

import json
import shlex
import unittest

from machine import attempt, eventually, run

SERVER = "10.77.1.1"  # as in guest/lan
MANAGED = """
[interfaces.eth0]
device = "lan0"
managed = true
"""


def as_user(user, command):
    return f"runuser -u {user} -- {command}"


def call(method, arguments=""):
    """The command that calls a method of the manager."""
    return f"busctl call org.impnet1 /org/impnet1 org.impnet1.Manager {method} {arguments}"


OPEN = call("Open", "'a{sv}' 1 interface s eth0")


def read(name):
    """A property of eth0, as impnetd says."""
    answer = run("busctl --json=short get-property org.impnet1 /org/impnet1/interface/eth0 "
                 f"org.impnet1.Interface {name}")
    return json.loads(answer)["data"]


def await_state(name, limit=30):
    eventually(lambda: read("StateName") == name, limit, f"eth0 is {name}")


def configure(text):
    """The configuration beside the one that was installed; in force from the next start or reload on."""
    run(f"mkdir -p /etc/impnet/conf.d && cat >/etc/impnet/conf.d/lab.toml <<'END'\n{text}\nEND")


def show(*names, unit="impnetd"):
    """Properties of a unit, as systemd says."""
    options = " ".join(f"--property={name}" for name in names)
    lines = run(f"systemctl show {options} {unit}").splitlines()
    return dict(line.split("=", 1) for line in lines)


def main_pid():
    return int(show("MainPID")["MainPID"])


def await_another(pid, limit=15):
    """Another impnetd than that one, which has come so far that it says it is ready."""
    def another():
        state = show("ActiveState", "MainPID")
        return state["ActiveState"] == "active" and int(state["MainPID"]) not in (0, pid)

    eventually(another, limit, "another impnetd runs")


class Program:
    """A program in the machine, in a unit of its own, until the end of a `with`."""

    count = 0

    def __init__(self, command, user="member", properties=()):
        Program.count += 1
        self._properties = "".join(f"--property={one} " for one in properties)
        self._unit = f"program-{Program.count}"
        self._command = command
        self._user = user

    def __enter__(self):
        run(f"systemd-run --quiet --collect --unit={self._unit} --uid={self._user} "
            f"--property=StandardOutput=truncate:/run/{self._unit} "
            f"--property=StandardError=inherit {self._properties}{self._command}")
        return self

    def __exit__(self, *_):
        attempt(f"systemctl stop {self._unit}")

    def output(self):
        return run(f"cat /run/{self._unit}")

    def await_output(self, text, limit=30):
        eventually(lambda: text in self.output(), limit, f"{self._command} prints: {text}")


def echo(properties=()):
    """The example, installed."""
    return Program("/lab/project/echo eth0 2001", properties=properties)


def echoed(address, text):
    """What comes back to the network's server when it sends the text to port 2001 of the address."""
    return run(f"ip netns exec lan /lab/guest/say {address} {shlex.quote(text)}")


class Case(unittest.TestCase):
    """Each case begins with impnetd just started, by the configuration `config`."""

    config = MANAGED

    def setUp(self):
        configure(self.config)
        run("systemctl stop impnetd && ip link set lan0 down && systemctl start impnetd")

    def run(self, result=None):
        failed = len(result.errors) + len(result.failures)
        super().run(result)
        if len(result.errors) + len(result.failures) > failed:
            print(attempt("journalctl --no-pager --output=short-monotonic --lines=40").stdout)

    def drop_in(self, text):
        """More lines for the unit, until the end of the case."""
        folder = "/run/systemd/system/impnetd.service.d"
        self.addCleanup(run, f"rm -r {folder} && systemctl daemon-reload")
        run(f"mkdir -p {folder} && cat >{folder}/lab.conf <<'END'\n{text}\nEND\n"
            "systemctl daemon-reload")
