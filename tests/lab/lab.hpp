// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The lab: hosts, cables, a DHCP server, a bus, the daemon and witnesses, all real, in namespaces
// that belong to the test alone.
//
//     lab::Namespace host("host"), server("server");
//     lab::Cable cable(host, "lan0", server, "srv0");
//     lab::DhcpServer dhcp(server, "srv0");
//     lab::Bus bus;
//     lab::Daemon daemon(host, bus, "[interfaces.eth0]\ndevice = \"lan0\"\nmanaged = true\n");
//     cable.pull();
//
// What the hosts have in common is /run (and /etc, read-only by custom). Problems are exceptions
// and so fail the test; nothing waits without a deadline.
#pragma once

#include "bus.hpp"
#include "cable.hpp"
#include "capture.hpp"
#include "daemon.hpp"
#include "deadline.hpp"
#include "dhcp_server.hpp"
#include "fork.hpp"
#include "lan.hpp"
#include "namespace.hpp"
#include "peer.hpp"
#include "process.hpp"
#include "service.hpp"
#include "world.hpp"
