#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The virtual machine of the tests: Debian with systemd, on no network.

    machine.py start | run COMMAND... | stop

Its folder is $IMPNET_VM: `share` is /lab in the machine, read-only there, with what the build in
$IMPNET_BUILD installs; `console` is what the machine said. It ends with `stop`, or with whoever started
it (ctest, or a shell), whatever becomes of the tests. Its disk is a copy of the image, in a file without a
name: a reboot keeps it, and the next start does not.
"""

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("IMPNET_BUILD", os.path.join(HERE, "../../build/dev"))
FOLDER = os.environ.get("IMPNET_VM", os.path.join(BUILD, "tests/vm"))

BOOT_LIMIT = 90  # seconds; it took 9 to 36 on two cores with much else to do
PR_SET_PDEATHSIG = 1


class Failure(Exception):
    """A command did not do what it should have done."""


def connect(name):
    """To a socket in FOLDER, of which the path may be longer than an address can be."""
    folder = os.open(FOLDER, os.O_PATH)
    try:
        line = socket.socket(socket.AF_UNIX)
        line.connect(f"/proc/self/fd/{folder}/{name}")
        return line
    finally:
        os.close(folder)


def send(line, command, timeout):
    """Sends a request; its id."""
    request = {"id": uuid.uuid4().hex, "command": command, "timeout": timeout}
    line.sendall(json.dumps(request).encode() + b"\n")
    return request["id"]


def ask(command, timeout):
    """Has the agent run a command of bash; it may have to boot first. The answer as agent.py says."""
    with connect("agent") as line:
        line.settimeout(timeout + 5)
        ours = send(line, command, timeout)
        for text in line.makefile():
            answer = json.loads(text)
            if answer["id"] == ours:  # and not what somebody before us did not wait for
                return answer
    raise Failure("the machine has ended")


def attempt(command, timeout=60):
    """Runs a command of bash in the machine, as root: status, stdout, stderr."""
    answer = ask(command, timeout)
    if answer["status"] is None:
        raise Failure(f"{command}: not done in {timeout} s\n{answer['stdout']}{answer['stderr']}")
    return subprocess.CompletedProcess(
        command, answer["status"], answer["stdout"], answer["stderr"])


def run(command, timeout=60):
    """What the command prints, without the last line's end. A status other than 0 is a Failure."""
    done = attempt(command, timeout)
    if done.returncode != 0:
        raise Failure(f"{command}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.rstrip("\n")


def eventually(check, limit=10, what=""):
    """The first answer of check() that is true. What it raises as a Failure counts as not yet."""
    deadline = time.monotonic() + limit
    while True:
        try:
            last = check()
            if last:
                return last
        except Failure as failure:
            last = failure
        if time.monotonic() > deadline:
            raise Failure(f"not within {limit} s: {what}\nlast: {last}")
        time.sleep(0.05)


def reboot():
    """Restarts the machine, and returns when it answers again."""
    with connect("agent") as line:
        line.settimeout(BOOT_LIMIT)
        send(line, "systemctl reboot", timeout=30)
        while line.recv(4096):  # until it has ended
            pass
    eventually(answers, BOOT_LIMIT, "the machine is back")


def answers():
    """False: there is no machine yet."""
    try:
        return ask("true", BOOT_LIMIT)["status"] == 0
    except (FileNotFoundError, ConnectionError):
        return False


# --- Starting and stopping ----------------------------------------------------------------------------


def qemu(image, disk):
    """A boot of the machine; it ends with status 0 when the machine restarts."""
    return [
        "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max",
        "-smp", "2", "-m", "1024", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-kernel", f"{image}/vmlinux", "-initrd", f"{image}/initrd",
        "-append", "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check net.ifnames=0 "
                   "random.trust_cpu=on systemd.show_status=no",
        "-serial", "file:console",
        "-drive", f"file=/proc/self/fd/{disk},format=raw,if=none,id=root,cache=unsafe",
        "-device", "virtio-blk-pci,drive=root",
        "-fsdev", "local,id=lab,path=share,security_model=none,readonly=on",
        "-device", "virtio-9p-pci,fsdev=lab,mount_tag=lab",
        "-device", "virtio-rng-pci",
        "-device", "virtio-serial-pci",
        "-chardev", "socket,id=agent,path=agent,server=on,wait=off",
        "-device", "virtserialport,chardev=agent,name=impnet.lab",
    ]  # fmt: skip


def keep(image, owner):
    """Runs the machine until somebody connects to `keeper`, the owner (a process id) ends, or it fails.

    A restart is a new process of QEMU with the same disk: Linux does not always survive a reset under TCG.
    """
    os.chdir(FOLDER)
    owner = os.pidfd_open(owner)
    disk = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600)
    subprocess.run(["cp", f"{image}/root.ext4", f"/proc/self/fd/{disk}"], check=True, pass_fds=[disk])
    with contextlib.suppress(FileNotFoundError):
        os.unlink("keeper")
    stopped = socket.socket(socket.AF_UNIX)
    stopped.bind("keeper")
    stopped.listen()
    restarts = True
    while restarts:
        machine = subprocess.Popen(
            qemu(image, disk), stdin=subprocess.DEVNULL, pass_fds=[disk],
            preexec_fn=lambda: ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        ended = os.pidfd_open(machine.pid)
        ready, _, _ = select.select([owner, stopped, ended], [], [])
        if ready != [ended]:
            machine.kill()
        os.close(ended)
        restarts = machine.wait() == 0


def boot(image):
    """True: the machine answers."""
    keeper = [sys.executable, __file__, "keep", image, str(os.getppid())]
    with open(os.path.join(FOLDER, "log"), "w") as log:
        process = subprocess.Popen(
            keeper, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        eventually(lambda: process.poll() is not None or answers(), BOOT_LIMIT)
        return process.poll() is None
    except (Failure, OSError):
        return False


def fill(share):
    """Puts into the shared folder what the machine needs of the sources and of the build."""
    shutil.rmtree(share, ignore_errors=True)
    shutil.copytree(os.path.join(HERE, "guest"), os.path.join(share, "guest"))
    project = os.path.join(share, "project")
    subprocess.run(
        ["cmake", "--install", BUILD, "--strip"], check=True, stdout=subprocess.DEVNULL,
        env=os.environ | {"DESTDIR": os.path.join(project, "root")})
    shutil.copy(os.path.join(BUILD, "client-lib/examples/echo"), project)


def start():
    stop()
    image = subprocess.run(
        [os.path.join(HERE, "image")], check=True, stdout=subprocess.PIPE, text=True)
    fill(os.path.join(FOLDER, "share"))
    begun = time.monotonic()
    for _ in range(2):  # the one thing that may be tried again
        if boot(image.stdout.strip()):
            print(f"the machine is up after {time.monotonic() - begun:.1f} s")
            return
        stop()
        for name in "log", "console":
            with open(os.path.join(FOLDER, name), errors="replace") as file:
                print(f"--- {name}", file.read()[-4000:], sep="\n", file=sys.stderr)
    sys.exit("the machine does not come up")


def stop():
    """Ends the machine, if there is one."""
    try:
        keeper = connect("keeper")
    except OSError:
        return
    with keeper, contextlib.suppress(ConnectionError):
        keeper.recv(1)  # which comes when it has gone


def main():
    match sys.argv[1:]:
        case ["start"]:
            start()
        case ["stop"]:
            stop()
        case ["run", *command]:
            done = attempt(" ".join(command), timeout=60)
            sys.stdout.write(done.stdout)
            sys.stderr.write(done.stderr)
            sys.exit(done.returncode)
        case ["keep", image, owner]:
            keep(image, int(owner))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
