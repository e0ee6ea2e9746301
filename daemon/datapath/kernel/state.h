/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the daemon and its eBPF programs share: the values of the maps. Addresses and networks are
 * in network byte order, as they lie in a packet; ports and all else in the host's.
 *
 * The maps outlive the daemon, and so do the programs of sockets that it handed out. A daemon that
 * comes after uses the maps of the one before if they are of its own layout: whatever changes here
 * or in the meaning of it changes IMPNET_LAYOUT, too.
 */
#ifndef IMPNET_KERNEL_STATE_H
#define IMPNET_KERNEL_STATE_H

#include <linux/types.h>

#include "core/fair_bucket.h"

#define IMPNET_LAYOUT "1"

#define IMPNET_INTERFACES 300   /* slots of interfaces: a hundred of each class */
#define IMPNET_CLIENTS 1024     /* slots of clients */
#define IMPNET_DESTINATIONS 16  /* rules of a socket about destinations */
#define IMPNET_EXTRA_NETWORKS 8 /* local address space beside RFC 1918's */

/* Without a sign of life from a daemon for so long nothing is sent: nobody could take a socket
 * back. */
#define IMPNET_DAEMON_SILENCE (90ULL * 1000 * 1000 * 1000)

/* A value that the daemon changes while programs read it: they look at `current` once and then at
 * the version it names, and the daemon writes another one before it names that. */
#define IMPNET_VERSIONS 4

struct impnet_facts {
    __u32 ifindex; /* 0: there is no device */
    __u32 connected;
    __u32 address;
    __u32 netmask;
    __u32 broadcast; /* 0: the subnet has none, and no all-zero address either */
};

struct impnet_interface {
    __u32 current;
    struct impnet_facts versions[IMPNET_VERSIONS];
};

struct impnet_network {
    __u32 network;
    __u32 netmask;
};

struct impnet_widening {
    __u32 count;
    struct impnet_network networks[IMPNET_EXTRA_NETWORKS];
};

/* What holds for all sockets. One of its kind; memory-mapped by the daemon. */
struct impnet_settings {
    __u64 alive_at; /* when the daemon last said so */
    __u32 ttl;
    __u32 clients; /* that have a socket */
    __u32 current_limit;
    __u32 current_widening;
    struct impnet_limit limits[IMPNET_VERSIONS];
    struct impnet_widening widenings[IMPNET_VERSIONS];
};

struct impnet_destination {
    __u32 network;
    __u32 netmask;
    __u16 first_port;
    __u16 last_port;
    __u32 allow;
};

/* Of a socket: what the daemon says. Replaced as a whole. A socket without it may do nothing. */
struct impnet_orders {
    __u64 id; /* the socket's number */
    __u32 interface;
    __u32 client;
    __u32 flags;
    __u32 destinations_count;
    struct impnet_limit own_limit;
    struct impnet_destination destinations[IMPNET_DESTINATIONS];
};

#define IMPNET_REVOKED 1U  /* taken back: dead for whoever holds it */
#define IMPNET_ACQUIRED 2U /* a client has the descriptor */
#define IMPNET_PROBE 4U    /* the daemon's own: only its egress program is asked, and refuses */

/* Of a socket: what the programs make of it. The daemon only creates and reads it. */
struct impnet_account {
    __u32 flags;
    __u32 forbidden_address; /* what it died of */
    __u32 forbidden_port;
    __u32 unused;
    __u64 sent;
    __u64 received;
    __u64 rate_limited;
    __u64 not_connected;
    __u64 denied;
    __u64 unheard; /* arrived, and was none of its business */
};

#define IMPNET_UNSENT 1U /* not in force before its first datagram */
#define IMPNET_DEAD 2U   /* it aimed at a forbidden address */

/* What is counted of all together. */
#define IMPNET_REFUSALS 0U    /* packets and calls of sockets without orders */
#define IMPNET_LOST_EVENTS 1U /* for which there was no room */
#define IMPNET_TALLIES 2

/* Told to the daemon, once a socket: it is dead. */
struct impnet_event {
    __u64 id;
    __u32 address;
    __u32 port;
};

#endif
