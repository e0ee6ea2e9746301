/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What kernel_model_test.cpp and its programs share: what is to be computed, and what came of it.
 */
#ifndef IMPNET_COMPARISON_H
#define IMPNET_COMPARISON_H

#include "datapath/kernel/state.h"

#define COMPARISON_BATCH 1024
#define COMPARISON_CLIENTS 6

/* Somebody asks for tokens, or takes some; and the whole state after that. */
struct comparison_event {
    __u64 now;
    __u64 tokens;
    __u32 client;
    __u32 clients; /* that have a socket */
    __u32 take;
    __u32 limited; /* by a limit of its own, too */
    __u64 wait;
    struct impnet_bucket bucket;
    struct impnet_share share;
};

struct comparison_limits {
    struct impnet_limit shared;
    struct impnet_limit own;
};

/* A datagram that is to be judged. */
struct comparison_datagram {
    struct impnet_facts facts;
    __u32 to;
    __u32 port;
    __u32 verdict;
    struct impnet_orders orders;
};

#endif
