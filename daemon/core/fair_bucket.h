/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The daemon's rate limit: one token bucket that all clients share, fairly. In C, and without a
 * clock or memory of its own, because the eBPF programs compute the same on the same state: this is
 * the one place that decides whether a datagram may leave now.
 *
 * The bucket is in the GCRA form (ITU-T I.371): instead of a level that needs refilling it keeps the
 * time at which it would be full again. Taking a token moves that on by one interval; the bucket is
 * empty when it lies a whole depth ahead. So over any time T no more than burst + rate * T tokens
 * are given, whoever asks. All that follows is about who gets them:
 *
 *  - A client is active while it has asked lately: in this epoch (0.27 s) or the one before, or it
 *    waits for a token that was not to be had earlier. Each epoch knows how many are.
 *  - For each client that has a socket and is not active one token is held back, together at most a
 *    quarter of the bucket. Such a client's first datagram may take it, whoever floods.
 *  - Active clients get equal shares. `mean` is what each has been given on the average, `given`
 *    what this one has. Who is ahead of the mean leaves as many tokens as that lying, for the
 *    others to take first. It is never counted as more than a few tokens ahead or behind, so that
 *    what some leave unused the others get, and nobody pays for long for having taken it.
 *
 * Times are whole nanoseconds of CLOCK_MONOTONIC; amounts of tokens are the time they take to come.
 */
#ifndef IMPNET_FAIR_BUCKET_H
#define IMPNET_FAIR_BUCKET_H

#include <linux/types.h>

/* In a program nothing may be called while the lock is held. */
#ifdef __bpf__
#define IMPNET_INLINE static __attribute__((always_inline)) inline
#else
#define IMPNET_INLINE static inline
#endif

#define IMPNET_EPOCH_SHIFT 28  /* an epoch is 2^28 ns */
#define IMPNET_EPOCHS 8        /* that are known: the present one and what is to come */
#define IMPNET_NEVER (~0ULL)   /* no time is enough: more than the bucket ever holds */
#define IMPNET_LONGEST (1ULL << 61) /* no interval or depth is longer: sums do not overflow */

/* What the administrator wants. */
struct impnet_limit {
    __u64 interval;  /* one token; 0: unlimited */
    __u64 depth;     /* a full bucket, a whole number of tokens */
    __u64 held_most; /* the most that is held back for clients that are not active */
    __u64 lead_most; /* the most that a client counts as ahead of the mean, or behind */
};

struct impnet_epoch {
    __u32 number;
    __u32 active; /* clients */
};

/* What all clients share. All zeros: full. */
struct impnet_bucket {
    __u64 full_at;
    __u64 mean;
    __u64 mean_rest; /* of its last division, so that nothing drifts */
    struct impnet_epoch epochs[IMPNET_EPOCHS];
};

/* What a client has of it. All zeros: a client that never asked. */
struct impnet_share {
    __u64 given;
    __u64 own_full_at;  /* of its own bucket, if it has a limit of its own */
    __u32 active_until; /* the last epoch that counts it */
    __u32 may_go_first; /* it was not active, and was given nothing since */
};

IMPNET_INLINE __u64 impnet_later(__u64 a, __u64 b)
{
    return a > b ? a : b;
}

IMPNET_INLINE __u32 impnet_epoch_of(__u64 time)
{
    return (__u32)(time >> IMPNET_EPOCH_SHIFT);
}

/* Clients that are active in an epoch. */
IMPNET_INLINE __u32 impnet_active(const struct impnet_bucket *bucket, __u32 epoch)
{
    const struct impnet_epoch *known = &bucket->epochs[epoch % IMPNET_EPOCHS];
    return known->number == epoch ? known->active : 0;
}

/* The client counts as active in this epoch and in so many that follow, as far as they are known. */
IMPNET_INLINE void impnet_attend(struct impnet_bucket *bucket, struct impnet_share *share,
                                 __u32 epoch, __u64 following)
{
    __u32 until = epoch + (following < IMPNET_EPOCHS ? (__u32)following : IMPNET_EPOCHS - 1);
    __u32 next = epoch;
    int i;

    if ((__s32)(share->active_until - epoch) >= 0)
        next = share->active_until + 1;
    for (i = 0; i < IMPNET_EPOCHS && (__s32)(until - next) >= 0; i++, next++) {
        struct impnet_epoch *known = &bucket->epochs[next % IMPNET_EPOCHS];
        if (known->number != next) {
            known->number = next;
            known->active = 0;
        }
        known->active++;
        share->active_until = next;
    }
}

/* Nanoseconds until a bucket holds so much, which is no more than its depth. */
IMPNET_INLINE __u64 impnet_filled_in(__u64 full_at, __u64 depth, __u64 now, __u64 amount)
{
    __u64 lacking = full_at > now ? full_at - now : 0;
    __u64 there = lacking < depth ? depth - lacking : 0;

    return there >= amount ? 0 : amount - there;
}

/* How far a client is ahead of the mean. */
IMPNET_INLINE __u64 impnet_lead(const struct impnet_limit *limit,
                                const struct impnet_bucket *bucket,
                                const struct impnet_share *share)
{
    __s64 lead = (__s64)(share->given - bucket->mean);

    if (lead <= 0)
        return 0;
    return (__u64)lead < limit->lead_most ? (__u64)lead : limit->lead_most;
}

/* Whether a client may take so many tokens now: 0, or the nanoseconds until it may if nobody else
 * takes any, or IMPNET_NEVER. Takes none. `clients`: how many have a socket. `own`: its own limit
 * under the shared one, null or unlimited: none. */
IMPNET_INLINE __u64 impnet_ask(const struct impnet_limit *limit, __u32 clients,
                               const struct impnet_limit *own, struct impnet_bucket *bucket,
                               struct impnet_share *share, __u64 now, __u64 tokens)
{
    __u32 epoch = impnet_epoch_of(now);
    __u64 needed, wait;
    __u32 active;

    if (own && own->interval) {
        if (tokens > 1 && tokens > own->depth / own->interval)
            return IMPNET_NEVER;
        wait = impnet_filled_in(share->own_full_at, own->depth, now, tokens * own->interval);
        if (wait)
            return wait;
    }
    if (!limit->interval)
        return 0;
    if (tokens > 1 && tokens > limit->depth / limit->interval)
        return IMPNET_NEVER;

    active = impnet_active(bucket, epoch);
    if ((__s32)(share->active_until - epoch) < 0) {
        share->may_go_first = 1;
        share->given = bucket->mean;
        active++;
    }
    needed = tokens * limit->interval;
    if (!share->may_go_first || tokens > 1) {
        if (clients > active) {
            __u64 held = (__u64)(clients - active) * limit->interval;
            needed += held < limit->held_most ? held : limit->held_most;
        }
        if (active > 1)
            needed += impnet_lead(limit, bucket, share);
    }
    wait = impnet_filled_in(bucket->full_at, limit->depth, now, needed);
    impnet_attend(bucket, share, epoch, wait ? (wait >> IMPNET_EPOCH_SHIFT) + 2 : 1);
    return wait;
}

/* Takes the tokens if it may: as impnet_ask. */
IMPNET_INLINE __u64 impnet_take(const struct impnet_limit *limit, __u32 clients,
                                const struct impnet_limit *own, struct impnet_bucket *bucket,
                                struct impnet_share *share, __u64 now, __u64 tokens)
{
    __u64 wait = impnet_ask(limit, clients, own, bucket, share, now, tokens);
    __u64 cost;
    __u32 active;

    if (wait)
        return wait;
    if (own && own->interval)
        share->own_full_at = impnet_later(share->own_full_at, now) + tokens * own->interval;
    if (!limit->interval)
        return 0;

    cost = tokens * limit->interval;
    /* After a change of limits it may lie further ahead than the bucket is deep. */
    if (bucket->full_at > now + limit->depth)
        bucket->full_at = now + limit->depth;
    bucket->full_at = impnet_later(bucket->full_at, now) + cost;
    share->may_go_first = 0;
    active = impnet_active(bucket, impnet_epoch_of(now));
    if (active > 1) {
        share->given += cost;
        bucket->mean_rest += cost;
        bucket->mean += bucket->mean_rest / active;
        bucket->mean_rest %= active;
        if ((__s64)(share->given - bucket->mean) > (__s64)limit->lead_most)
            share->given = bucket->mean + limit->lead_most;
        if ((__s64)(bucket->mean - share->given) > (__s64)limit->lead_most)
            share->given = bucket->mean - limit->lead_most;
    } else {
        share->given = bucket->mean;
    }
    return 0;
}

#endif
