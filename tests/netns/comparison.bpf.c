// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the programs of the kernel path compute, on input that a test makes up: a batch of it at
// each call of one of these (kernel_model_test.cpp).
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "datapath/kernel/judge.bpf.h"
#include "netns/comparison.h"

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, COMPARISON_BATCH);
    __type(key, __u32);
    __type(value, struct comparison_event);
} asked SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct comparison_limits);
} limits SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct impnet_bucket);
} bucket SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, COMPARISON_CLIENTS);
    __type(key, __u32);
    __type(value, struct impnet_share);
} shares SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, COMPARISON_BATCH);
    __type(key, __u32);
    __type(value, struct comparison_datagram);
} datagrams SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct impnet_settings);
} settings SEC(".maps");

static long ask_next(__u32 index, void *unused)
{
    struct comparison_event *event = bpf_map_lookup_elem(&asked, &index);
    struct comparison_limits *known;
    struct impnet_limit limit, own;
    struct impnet_bucket *state;
    struct impnet_share *share;
    __u32 zero = 0, client;

    if (!event)
        return 1;
    client = event->client;
    known = bpf_map_lookup_elem(&limits, &zero);
    state = bpf_map_lookup_elem(&bucket, &zero);
    share = bpf_map_lookup_elem(&shares, &client);
    if (!known || !state || !share)
        return 1;
    limit = known->shared;
    own = known->own;
    if (!event->limited)
        own.interval = 0;
    if (event->take)
        event->wait = impnet_take(&limit, event->clients, &own, state, share, event->now,
                                  event->tokens);
    else
        event->wait = impnet_ask(&limit, event->clients, &own, state, share, event->now,
                                 event->tokens);
    event->bucket = *state;
    event->share = *share;
    return 0;
}

static long judge_next(__u32 index, void *unused)
{
    struct comparison_datagram *datagram = bpf_map_lookup_elem(&datagrams, &index);
    __u32 zero = 0;
    struct impnet_settings *set = bpf_map_lookup_elem(&settings, &zero);

    if (!datagram || !set)
        return 1;
    datagram->verdict =
        judge(set, &datagram->orders, &datagram->facts, datagram->to, datagram->port);
    return 0;
}

/* Both answer how many they did. */
SEC("syscall")
int compare_limits(void *ctx)
{
    return bpf_loop(COMPARISON_BATCH, ask_next, 0, 0);
}

SEC("syscall")
int compare_judge(void *ctx)
{
    return bpf_loop(COMPARISON_BATCH, judge_next, 0, 0);
}

char LICENSE[] SEC("license") = "GPL";
