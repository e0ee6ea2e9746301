#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The tests' end in the machine: runs what comes on the line from outside, one command at a time.

A request is a line of JSON: id, command (for bash), timeout in seconds. So is the answer: id, status
(null: killed, its time was over), stdout, stderr.
"""

import json
import os
import select
import signal
import subprocess
import tempfile

PORT = "/dev/virtio-ports/impnet.lab"


def perform(request):
    # Files, not pipes: what the command leaves running may keep them.
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            ["bash", "-c", request["command"]],
            stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True)
        try:
            status = process.wait(request["timeout"])
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            status = None
        answer = {"id": request["id"], "status": status}
        for name, file in ("stdout", stdout), ("stderr", stderr):
            file.seek(0)
            answer[name] = file.read().decode(errors="replace")
        return answer


def main():
    while not os.path.exists(PORT):  # udev has yet to name it
        select.select([], [], [], 0.02)
    port = os.open(PORT, os.O_RDWR)
    readable = select.poll()
    readable.register(port, select.POLLIN)
    received = b""
    while True:
        events = readable.poll()[0][1]
        if not events & select.POLLIN:
            # Nobody is at the other end, and the kernel does not tell when somebody is.
            select.select([], [], [], 0.02)
            continue
        received += os.read(port, 65536)
        *lines, received = received.split(b"\n")
        for line in lines:
            left = json.dumps(perform(json.loads(line))).encode() + b"\n"
            while left:
                left = left[os.write(port, left):]


main()
