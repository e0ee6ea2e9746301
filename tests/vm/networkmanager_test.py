# SPDX-License-Identifier: LGPL-2.1-or-later
"""impnetd beside NetworkManager."""

import unittest

import lab
from beside import Beside
from machine import run


class NetworkManager(Beside, lab.Case):
    program = "NetworkManager"
    units = "NetworkManager"
    folder = "NetworkManager"
    gone = "carrier, but no address"

    def configure(self):
        # A veth, as lan0 is one, it leaves alone unless it is told not to.
        run("""umask 077
mkdir -p /run/NetworkManager/{conf.d,system-connections}
cat >/run/NetworkManager/conf.d/lab.conf <<'END'
[main]
dns=none
hostname-mode=none

[device-lab]
match-device=interface-name:lan0
managed=1
END
cat >/run/NetworkManager/system-connections/lab.nmconnection <<'END'
[connection]
id=lab
uuid=5d9b0bd0-7d0f-4c5b-8f4f-1c6c1c8f5a11
type=ethernet
interface-name=lan0
END""")

    def forget(self):
        run("rm -r /run/NetworkManager /var/lib/NetworkManager")

    def start(self):
        run("systemctl start NetworkManager")

    def state(self):
        return run("nmcli --get-values GENERAL.STATE device show lan0").strip("0123456789 ()")

    def renumber(self):
        run("nmcli connection modify lab ipv4.dhcp-client-id lab && nmcli connection up lab")

    def readdress(self, number):
        run(f"nmcli device modify lan0 +ipv4.addresses 192.168.{number}.9/24")

    def let_go(self):
        run("nmcli device disconnect lan0")

    def take(self):
        run("nmcli device connect lan0")


if __name__ == "__main__":
    unittest.main()
