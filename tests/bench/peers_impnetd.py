# SPDX-License-Identifier: LGPL-2.1-or-later
"""impnetd's row for the comparison of network managers (`peers.py --add`, which gives Peer, write, changed and DEV).

The program is the one that IMPNETD names, for example in a build tree, or else the installed one.
"""
import os, subprocess

NAME, ROOT = 'org.impnet1', '/org/impnet1'
INTERFACE = ROOT + '/interface/eth0'


class Impnetd(Peer):
    name, packages, program = 'impnetd', 'impnetd', os.environ.get('IMPNETD', '/usr/sbin/impnetd')
    note = 'always on, without a client; udhcpc is its child'

    def configure(self):
        write('/etc/impnet/impnetd.toml', f'''
            [interfaces.eth0]
            device = "{DEV}"
            managed = true
            always-on = true''')
        for d in ('/var/lib/impnet', '/run/impnet'):             # its unit makes them
            os.makedirs(d, exist_ok=True)
    def command(self): return [self.program]
    def read(self):
        return NAME, INTERFACE, 'org.freedesktop.DBus.Properties', 'Get', 'ss', (NAME + '.Interface', 'State')
    def step(self, s):
        """The state that this signal reports."""
        if s.path == INTERFACE and s.interface == NAME + '.Interface' and s.member == 'StateChanged': return s.body[0]
    def lost(self, s):
        if self.step(s) == 204: return 'Interface StateChanged 204 (ETHERNET_STOPPED_NO_LINK)'
    def connected(self, s): return self.step(s) == 1
    def version(self):
        return subprocess.run([self.program, '--version'], capture_output=True, text=True).stdout.strip() or '?'
