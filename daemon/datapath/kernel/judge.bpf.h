/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where a datagram may go, as core/datagram_policy has it, for eBPF programs: those that decide,
 * and one by which a test compares both.
 */
#ifndef IMPNET_JUDGE_BPF_H
#define IMPNET_JUDGE_BPF_H

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "datapath/kernel/state.h"

#define INLINE static __always_inline
/* A function that the verifier looks at once, by itself, whoever calls it: else loading takes it
 * several times as long. It may be given anything, so pointers are checked. */
#define SEPARATE __attribute__((noinline))
#define VOLATILE(x) (*(volatile typeof(x)*)&(x))

#define DHCP_SERVER 67
#define DHCP_CLIENT 68

INLINE int in_network(__u32 address, __u32 network, __u32 netmask) {
    return (address & netmask) == network;
}

SEPARATE __u32 is_extra_network(struct impnet_settings* set, __u32 address) {
    const struct impnet_widening* more;
    __u32 i;

    if (!set) return 0;
    more = &set->widenings[VOLATILE(set->current_widening) % IMPNET_VERSIONS];
    for (i = 0; i < IMPNET_EXTRA_NETWORKS; i++) {
        if (i >= more->count) break;
        if (in_network(address, more->networks[i].network, more->networks[i].netmask)) return 1;
    }
    return 0;
}

INLINE int is_local_space(struct impnet_settings* set, __u32 address) {
    __u32 host = bpf_ntohl(address);

    return (host >> 24) == 10 || (host >> 20) == 0xac1 || (host >> 16) == 0xc0a8 ||
           is_extra_network(set, address);
}

/* Whether the socket's own rules let it send there: the first that fits decides. */
SEPARATE __u32 is_allowed_by_rules(struct impnet_orders* order, __u32 to, __u32 port) {
    __u32 i;

    if (!order) return 0;
    for (i = 0; i < IMPNET_DESTINATIONS; i++) {
        const struct impnet_destination* about = &order->destinations[i];
        if (i >= order->destinations_count) break;
        if (in_network(to, about->network, about->netmask) && port >= about->first_port &&
            port <= about->last_port)
            return about->allow;
    }
    return 1;
}

enum verdict { PASS, NOT_CONNECTED, FORBIDDEN_ADDRESS, FORBIDDEN_PORT };

/* As judge_egress() in core/datagram_policy.cpp. */
SEPARATE enum verdict judge(struct impnet_settings* set, struct impnet_orders* order,
                            struct impnet_facts* facts, __u32 to, __u32 port) {
    if (!set || !order || !facts) return NOT_CONNECTED;
    if (to != 0xffffffff && !is_local_space(set, to)) return FORBIDDEN_ADDRESS;
    if (facts->connected && facts->broadcast && to == (facts->address & facts->netmask))
        return FORBIDDEN_ADDRESS;
    if (order->destinations_count && !is_allowed_by_rules(order, to, port))
        return FORBIDDEN_ADDRESS;
    if (port == 0 || port == DHCP_SERVER || port == DHCP_CLIENT) return FORBIDDEN_PORT;
    if (!facts->connected || to == facts->address) return NOT_CONNECTED;
    if (to != 0xffffffff && !in_network(to, facts->address & facts->netmask, facts->netmask))
        return NOT_CONNECTED;
    return PASS;
}

#endif
