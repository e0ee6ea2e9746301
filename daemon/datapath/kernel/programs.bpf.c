// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the kernel does with every datagram of a socket that impnetd handed out, whoever holds it:
// the socket is of the control group that these programs are attached to. The rules are those of
// core/datagram_policy (judge.bpf.h) and core/fair_bucket; what they decide on is in state.h.
//
//  sendmsg4    looks at a datagram's destination and at the rate limit while its sender can still be
//              told by an errno what is wrong. It takes nothing: what it passes may fail later.
//  egress      sees every packet that leaves, however it was made, just before it does. What gets
//              by here is right in every respect; it takes the token.
//  ingress     passes what is for us, from our subnet.
//  connect4, bind4, setsockopt
//              the holder may not change what the socket is.
//  getsockopt  tells how long to wait for the rate limit.
//
// A socket without orders may do nothing. The daemon is the only one who has such sockets: it sets
// them up before it gives them orders, so options are free until then.
#include <linux/bpf.h>

#include <linux/errno.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "datapath/kernel/judge.bpf.h"
#include "datapath/kernel/state.h"
#include "kernel.h"

struct shared_bucket {
    struct bpf_spin_lock lock;
    struct impnet_limit limit; /* that it counts in */
    struct impnet_bucket bucket;
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct impnet_settings);
} settings SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, IMPNET_INTERFACES);
    __type(key, __u32);
    __type(value, struct impnet_interface);
} interfaces SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct shared_bucket);
} bucket SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, IMPNET_CLIENTS);
    __type(key, __u32);
    __type(value, struct impnet_share);
} shares SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct impnet_orders);
} orders SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct impnet_account);
} accounts SEC(".maps");

/* Room for 2730. The daemon looks itself for what did not fit. */
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 64 * 1024);
} events SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, IMPNET_TALLIES);
    __type(key, __u32);
    __type(value, __u64);
} tallies SEC(".maps");

INLINE void count(__u64 *counter)
{
    __sync_fetch_and_add(counter, 1);
}

INLINE void tally(__u32 which)
{
    __u64 *counter = bpf_map_lookup_elem(&tallies, &which);

    if (counter)
        count(counter);
}

INLINE struct impnet_settings *the_settings(void)
{
    __u32 zero = 0;

    return bpf_map_lookup_elem(&settings, &zero);
}

INLINE int is_dead(const struct impnet_orders *order, const struct impnet_account *account)
{
    return (order->flags & IMPNET_REVOKED) || (VOLATILE(account->flags) & IMPNET_DEAD);
}

INLINE struct impnet_facts *facts_of(const struct impnet_orders *order)
{
    __u32 slot = order->interface;
    struct impnet_interface *known = bpf_map_lookup_elem(&interfaces, &slot);
    __u32 current;

    if (!known)
        return 0;
    current = VOLATILE(known->current) % IMPNET_VERSIONS;
    return &known->versions[current];
}

/* Whether a daemon could take the socket back. By the time of the last tick, which costs next to
 * nothing: reading the clock is the dearest part of all that is done about a datagram. */
INLINE int is_daemon_alive(const struct impnet_settings *set)
{
    __u64 alive_at = VOLATILE(set->alive_at);
    __u64 now = bpf_ktime_get_coarse_ns();

    return now < alive_at || now - alive_at < IMPNET_DAEMON_SILENCE;
}

/* The limit was changed: the bucket lacks as many tokens as it did (full_at_after_change() in
 * core/fair_bucket.cpp). The first datagram after the change brings it about. */
INLINE void follow_limit(struct shared_bucket *shared, const struct impnet_limit *limit, __u64 now)
{
    __u64 full_at = shared->bucket.full_at, tokens;

    if (shared->limit.interval == limit->interval && shared->limit.depth == limit->depth)
        return;
    if (full_at > now && shared->limit.interval && limit->interval) {
        tokens = (full_at - now + shared->limit.interval - 1) / shared->limit.interval;
        shared->bucket.full_at = tokens >= limit->depth / limit->interval
                                     ? now + limit->depth
                                     : now + tokens * limit->interval;
    }
    shared->limit = *limit;
}

INLINE const struct impnet_limit *the_limit(const struct impnet_settings *set)
{
    return &set->limits[VOLATILE(set->current_limit) % IMPNET_VERSIONS];
}

/* The limiter need not be asked: a call less. */
INLINE int is_unlimited(const struct impnet_settings *set, const struct impnet_orders *order)
{
    return !the_limit(set)->interval && !order->own_limit.interval;
}

/* Takes so many tokens, or asks for one: 0, or how long to wait. */
SEPARATE __u64 limited(struct impnet_settings *set, struct impnet_orders *order, __u32 take)
{
    struct impnet_limit limit, own;
    struct shared_bucket *shared;
    struct impnet_share *share;
    __u32 zero = 0, client, clients;
    __u64 now, wait;

    if (!set || !order)
        return IMPNET_NEVER;
    limit = *the_limit(set);
    own = order->own_limit;
    client = order->client;
    clients = VOLATILE(set->clients);
    shared = bpf_map_lookup_elem(&bucket, &zero);
    share = bpf_map_lookup_elem(&shares, &client);
    if (!shared || !share)
        return IMPNET_NEVER;
    now = bpf_ktime_get_ns();
    bpf_spin_lock(&shared->lock);
    follow_limit(shared, &limit, now);
    wait = impnet_decide(&limit, clients, &own, &shared->bucket, share, now, take, take != 0);
    bpf_spin_unlock(&shared->lock);
    return wait;
}

/* Whether there is enough for everybody, and was so at the last tick: then there is no need to ask
 * before the token is taken. */
INLINE int is_plentiful(const struct impnet_settings *set, const struct impnet_orders *order)
{
    const struct impnet_limit *limit = the_limit(set);
    struct shared_bucket *shared;
    __u64 now, full_at, most;
    __u32 zero = 0;

    if (order->own_limit.interval)
        return 0;
    shared = bpf_map_lookup_elem(&bucket, &zero);
    if (!shared || VOLATILE(shared->limit.interval) != limit->interval)
        return 0;
    now = bpf_ktime_get_coarse_ns();
    full_at = VOLATILE(shared->bucket.full_at);
    most = limit->interval + limit->held_most + 2 * limit->lead_most;
    return (full_at > now ? full_at - now : 0) + most <= limit->depth;
}

/* The socket is dead from now on, and the daemon hears of it. */
INLINE void kill(const struct impnet_orders *order, struct impnet_account *account, __u32 address,
                 __u32 port)
{
    struct impnet_event *event;

    if (__sync_fetch_and_or(&account->flags, IMPNET_DEAD) & IMPNET_DEAD)
        return;
    account->forbidden_address = address;
    account->forbidden_port = port;
    event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
    if (!event) {
        tally(IMPNET_LOST_EVENTS);
        return;
    }
    event->id = order->id;
    event->address = address;
    event->port = port;
    bpf_ringbuf_submit(event, 0);
}

INLINE int refuse(int error)
{
    bpf_set_retval(-error);
    return 0;
}

SEC("cgroup/sendmsg4")
int impnet_sendmsg4(struct bpf_sock_addr *ctx)
{
    struct impnet_settings *set = the_settings();
    struct bpf_sock *sk = ctx->sk;
    struct impnet_account *account;
    struct impnet_orders *order;
    struct impnet_facts *facts;
    __u32 to = ctx->user_ip4;
    enum verdict verdict;
    __u32 port = bpf_ntohs(ctx->user_port);

    if (!sk || !set)
        return 0;
    order = bpf_sk_storage_get(&orders, sk, 0, 0);
    account = bpf_sk_storage_get(&accounts, sk, 0, 0);
    if (!order || !account) {
        tally(IMPNET_REFUSALS);
        return refuse(EPERM);
    }
    if (order->flags & IMPNET_PROBE)
        return 1;
    facts = facts_of(order);
    if (!facts)
        return refuse(EPIPE);

    verdict = judge(set, order, facts, to, port);
    if (is_dead(order, account))
        /* sendmmsg() does not tell the errno of a datagram that is not its first: who asks again
         * hears the same. */
        return refuse(verdict == FORBIDDEN_ADDRESS ? EACCES : EPIPE);
    switch (verdict) {
    case FORBIDDEN_ADDRESS:
        count(&account->denied);
        kill(order, account, to, port);
        return refuse(EACCES);
    case FORBIDDEN_PORT:
        count(&account->denied);
        return refuse(EINVAL);
    case NOT_CONNECTED:
        count(&account->not_connected);
        return refuse(ENETUNREACH);
    case PASS:
        break;
    }
    /* Its device was replaced by another, or its holder has disconnected it, which takes the device
     * from it: the packet would be refused. */
    if (sk->bound_dev_if != facts->ifindex || !is_daemon_alive(set)) {
        count(&account->not_connected);
        return refuse(ENETUNREACH);
    }
    if (!is_unlimited(set, order) && !is_plentiful(set, order) && limited(set, order, 0)) {
        count(&account->rate_limited);
        return refuse(EAGAIN);
    }
    /* Of several addresses of the device the interface's own is the sender. */
    ctx->msg_src_ip4 = facts->address;
    return 1;
}

SEC("cgroup_skb/egress")
int impnet_egress(struct __sk_buff *skb)
{
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    struct impnet_settings *set = the_settings();
    struct impnet_account *account;
    struct impnet_orders *order;
    struct impnet_facts *facts;
    struct iphdr *ip = data;
    struct udphdr *udp = data + sizeof(*ip);
    struct bpf_sock *sk = skb->sk;
    __u32 packets;

    if (!sk || !set)
        return 0;
    order = bpf_sk_storage_get(&orders, sk, 0, 0);
    account = bpf_sk_storage_get(&accounts, sk, 0, 0);
    if (!order || !account || (order->flags & IMPNET_PROBE)) {
        tally(IMPNET_REFUSALS);
        return 0;
    }
    if (is_dead(order, account))
        return 0;
    facts = facts_of(order);
    packets = skb->gso_segs ? skb->gso_segs : 1;
    if (data + sizeof(*ip) + sizeof(*udp) > end || !facts || ip->version != 4 || ip->ihl != 5 ||
        ip->protocol != IPPROTO_UDP || ip->ttl != set->ttl || skb->ifindex != facts->ifindex ||
        ip->saddr != facts->address || !is_daemon_alive(set) ||
        judge(set, order, facts, ip->daddr, bpf_ntohs(udp->dest)) != PASS) {
        count(&account->denied);
        return 0;
    }
    if (!is_unlimited(set, order) && limited(set, order, packets)) {
        /* Of several, those that are then sent one by one count by themselves. */
        if (packets == 1)
            count(&account->rate_limited);
        return 0;
    }
    __sync_fetch_and_add(&account->sent, packets);
    if (VOLATILE(account->flags) & IMPNET_UNSENT)
        __sync_fetch_and_and(&account->flags, ~IMPNET_UNSENT);
    return 1;
}

SEC("cgroup_skb/ingress")
int impnet_ingress(struct __sk_buff *skb)
{
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    const struct impnet_facts *facts;
    struct impnet_account *account;
    struct impnet_orders *order;
    struct iphdr *ip = data;
    struct bpf_sock *sk = skb->sk;
    __u32 network;

    if (!sk)
        return 0;
    order = bpf_sk_storage_get(&orders, sk, 0, 0);
    account = bpf_sk_storage_get(&accounts, sk, 0, 0);
    if (!order || !account)
        return 0;
    facts = facts_of(order);
    if (data + sizeof(*ip) > end || !facts || is_dead(order, account) ||
        (VOLATILE(account->flags) & IMPNET_UNSENT) || !facts->connected ||
        skb->ifindex != facts->ifindex)
        goto unheard;
    /* As admits_ingress() in core/datagram_policy.cpp. */
    network = facts->address & facts->netmask;
    if (!in_network(ip->saddr, network, facts->netmask) || ip->saddr == facts->address)
        goto unheard;
    if (facts->broadcast && (ip->saddr == facts->broadcast || ip->saddr == network))
        goto unheard;
    if (ip->daddr != facts->address && ip->daddr != 0xffffffff &&
        !(facts->broadcast && ip->daddr == facts->broadcast))
        goto unheard;
    if (order->destinations_count) {
        __be16 from = 0;
        if (bpf_skb_load_bytes(skb, ip->ihl * 4, &from, sizeof(from)) ||
            !is_allowed_by_rules(order, ip->saddr, bpf_ntohs(from)))
            goto unheard;
    }
    count(&account->received);
    return 1;

unheard:
    count(&account->unheard);
    return 0;
}

SEC("cgroup/connect4")
int impnet_connect4(struct bpf_sock_addr *ctx)
{
    return 0;
}

SEC("cgroup/bind4")
int impnet_bind4(struct bpf_sock_addr *ctx)
{
    struct bpf_sock *sk = ctx->sk;

    return sk && !bpf_sk_storage_get(&orders, sk, 0, 0);
}

/* Options of the receiving side that harm nobody (asm-generic/socket.h; some architectures that we
 * do not run on have other numbers). */
INLINE int is_harmless(int level, int option)
{
    if (level != 1 /* SOL_SOCKET */)
        return 0;
    switch (option) {
    case 7:  /* SO_SNDBUF */
    case 8:  /* SO_RCVBUF */
    case 20: /* SO_RCVTIMEO */
    case 21: /* SO_SNDTIMEO */
    case 29: /* SO_TIMESTAMP */
    case 35: /* SO_TIMESTAMPNS */
    case 40: /* SO_RXQ_OVFL */
    case 63: /* SO_TIMESTAMP_NEW */
    case 64: /* SO_TIMESTAMPNS_NEW */
    case 66: /* SO_RCVTIMEO_NEW */
    case 67: /* SO_SNDTIMEO_NEW */
        return 1;
    }
    return 0;
}

SEC("cgroup/setsockopt")
int impnet_setsockopt(struct bpf_sockopt *ctx)
{
    const char *value = ctx->optval, *end = ctx->optval_end;
    struct bpf_sock *sk = ctx->sk;
    struct impnet_account *account;
    struct impnet_orders *order;

    if (!sk)
        return 0;
    order = bpf_sk_storage_get(&orders, sk, 0, 0);
    account = bpf_sk_storage_get(&accounts, sk, 0, 0);
    if (!order || !account)
        return 1;
    /* Of a dead one the daemon takes the port, by binding it to the loopback device and by letting
     * others have it as well. Nobody else gains anything by doing so. */
    if (is_dead(order, account)) {
        if (ctx->level != 1 /* SOL_SOCKET */ || value + 2 > end)
            return 0;
        if (ctx->optname == 2 /* SO_REUSEADDR */)
            return ctx->optlen == 4 && value + 4 <= end &&
                   (value[0] || value[1] || value[2] || value[3]);
        return ctx->optname == 25 /* SO_BINDTODEVICE */ && ctx->optlen == 2 && value[0] == 'l' &&
               value[1] == 'o';
    }
    return is_harmless(ctx->level, ctx->optname);
}

SEC("cgroup/getsockopt")
int impnet_getsockopt(struct bpf_sockopt *ctx)
{
    struct impnet_settings *set;
    struct bpf_sock *sk = ctx->sk;
    struct impnet_account *account;
    struct impnet_orders *order;
    __u64 *value = ctx->optval;

    if (ctx->level != IMPNET_SOL || ctx->optname != IMPNET_SO_WAIT)
        return 1;
    set = the_settings();
    if (!sk || !set || (void *)(value + 1) > ctx->optval_end)
        return 1;
    order = bpf_sk_storage_get(&orders, sk, 0, 0);
    account = bpf_sk_storage_get(&accounts, sk, 0, 0);
    if (!order || !account)
        return 1;
    /* Asking counts as wanting to send; the slot of a dead one's client may be another's now. */
    *value = is_dead(order, account) ? IMPNET_NEVER : limited(set, order, 0);
    /* One store for both would be no access that the verifier knows. */
    VOLATILE(ctx->optlen) = sizeof(*value);
    VOLATILE(ctx->retval) = 0;
    return 1;
}

char LICENSE[] SEC("license") = "GPL";
