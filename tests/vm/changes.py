# SPDX-License-Identifier: LGPL-2.1-or-later
"""What programs in the machine change about the network, as the kernel sees it: each request of rtnetlink, of the
ioctls for devices, and each write below /proc/sys, with the program that makes it. Probes in the kernel tell who;
a capture of netlink (nlmon) does not, as few programs sign their messages."""

import collections
import re

from machine import Failure, run

TRACING = "/sys/kernel/tracing"
PROBES = [
    "rtnetlink rtnetlink_rcv_msg number=+4($arg2):u16 device=+20($arg2):u32",  # nlmsg_type, ifi_index or ifa_index
    "ioctl dev_ioctl number=$arg2:u32 device=\\0:u32",
    "ioctl_inet devinet_ioctl number=$arg2:u32 device=\\0:u32",
    "sysctl proc_sys_write number=\\0:u32 device=\\0:u32",
]
RTM_BASE = 16
RTM_NEWROUTE = 24  # and from there on no device is where it is in those before
LOOPBACK = 1
READS = 2  # RTM_GET... of each four
RTM = {16: "NEWLINK", 17: "DELLINK", 19: "SETLINK", 20: "NEWADDR", 21: "DELADDR", 24: "NEWROUTE", 25: "DELROUTE"}
SIOC = {0x8914: "SIFFLAGS", 0x8916: "SIFADDR", 0x891A: "SIFBRDADDR", 0x891C: "SIFNETMASK", 0x8922: "SIFMTU",
        0x8923: "SIFNAME", 0x8924: "SIFHWADDR"}


def change(kind, number, device):
    """What it is called; None: it only reads, or is about the loopback device, which all care for."""
    match kind:
        case "rtnetlink":
            reads = number < RTM_BASE or number % 4 == READS
            loopback = number < RTM_NEWROUTE and device == LOOPBACK
            return None if reads or loopback else RTM.get(number, f"rtnetlink {number}")
        case "sysctl":
            return "sysctl"
        case _:
            return SIOC.get(number)


class Changes:
    """Those since the last begin()."""

    def __init__(self):
        probes = "\n".join(f"p:impnet/{probe} by=$comm" for probe in PROBES)
        run(f"set -e; mountpoint --quiet {TRACING} || mount -t tracefs tracefs {TRACING}\n"
            f"cat >{TRACING}/kprobe_events <<'END'\n{probes}\nEND\n"
            f"echo 1 >{TRACING}/events/impnet/enable")
        self.begin()

    def begin(self):
        run(f"echo >{TRACING}/trace")

    def end(self):
        run(f"echo 0 >{TRACING}/events/impnet/enable && echo >{TRACING}/kprobe_events")

    def by_program(self):
        """By the name of the program, how often it made which change."""
        text = run(f"cat {TRACING}/trace")
        held, written = re.search(r"entries-in-buffer/entries-written: (\d+)/(\d+)", text).groups()
        if held != written:
            raise Failure(f"of {written} requests only {held} were kept")
        changes = collections.defaultdict(collections.Counter)
        for kind, number, device, program in re.findall(
                r": (\w+): \(.*\) number=(\d+) device=(\d+) by=\"(.*)\"", text):
            if what := change(kind, int(number), int(device)):
                changes[program][what] += 1
        return dict(changes)
