/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The daemon's rate limit: one token bucket that all clients share, fairly. In C, and without a
 * clock or memory of its own, because the eBPF programs compute the same on the same state: this is
 * the one place that decides whether a datagram may leave now.
 *
 * The bucket is in the GCRA form (ITU-T I.371): instead of a level that needs refilling it keeps
 * the time at which it would be full again. Taking a token moves that on by one interval; the
 * bucket is empty when it lies a whole depth ahead. So over any time T no more than burst + rate *
 * T tokens are given, whoever asks. All that follows is about who gets them:
 *
 *  - A client is active while it is given tokens or waits for one that was not to be had: in this
 *    epoch (0.27 s), the next, and those that its wait lasts. Each epoch knows how many are.
 *  - For each client that has a socket and is not active one token is held back, together at most a
 *    quarter of the bucket. Such a client's first datagram may take it, whoever floods; but not if
 *    the client had its share already: who pauses between datagrams has no more than who does not.
 *  - Active clients get equal shares. `mean` is what each has been given on the average, `given`
 *    what this one has. Who is at the mean leaves `lead_most` lying; who is ahead of it leaves more
 *    by as much, and who is behind less, so that the one who had least goes first even if it asks
 *    more slowly than the others take. Nobody falls further behind or gets further ahead than
 *    `lead_most`: what some leave unused the others get, and nobody pays for long for having taken
 *    it. One who would get further ahead takes the mean along, which keeps the differences between
 *    those who do want more.
 *
 * Times are whole nanoseconds of CLOCK_MONOTONIC; amounts of tokens are the time they take to come.
 * Who looks at the clock before it locks the state may bring a time that is a little older than the
 * last one: nothing is given away by that.
 */
#ifndef IMPNET_FAIR_BUCKET_H
#define IMPNET_FAIR_BUCKET_H

#include <linux/types.h>

#define IMPNET_EPOCH_SHIFT 28       /* an epoch is 2^28 ns */
#define IMPNET_EPOCHS 8             /* that are known: the present one and what is to come */
#define IMPNET_NEVER (~0ULL)        /* no time is enough: more than the bucket ever has for it */
#define IMPNET_LONGEST (1ULL << 61) /* no interval or depth is longer: sums do not overflow */

/* What the compiler of BPF programs is not to think about, and what it is to unroll. */
#ifdef __bpf__
#define IMPNET_OPAQUE(value) __asm__ volatile("" : "+r"(value))
#define IMPNET_UNROLLED _Pragma("unroll")
#else
#define IMPNET_OPAQUE(value)
#define IMPNET_UNROLLED
#endif

/* Inline in earnest: a BPF program that holds a lock may not call, not even itself. */
#define IMPNET_INLINE static inline __attribute__((always_inline, unused))

/* What the administrator wants. */
struct impnet_limit {
    __u64 interval;  /* one token; 0: unlimited */
    __u64 depth;     /* a full bucket, a whole number of tokens */
    __u64 held_most; /* the most that is held back for clients that are not active */
    __u64 lead_most; /* the most that a client counts as ahead of the mean, or behind. One token,
                        what is held and twice this fit into the bucket, if that has two at all */
};

struct impnet_epoch {
    __u64 number;
    __u64 active; /* clients */
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
    __u64 active_until; /* the last epoch that counts it */
    __u64 goes_first;   /* it came when it was not active, and waits for its first token since */
    __u64 seen;         /* when it was last given a token or told to wait */
};

/* How a client stands at some time. */
struct impnet_standing {
    __u64 active; /* clients, with this one */
    __s64 lead;   /* over the mean */
    __u64 goes_first;
};

IMPNET_INLINE __u64 impnet_later(__u64 a, __u64 b) {
    return a > b ? a : b;
}

/* Counted from 1: 0 is no epoch. */
IMPNET_INLINE __u64 impnet_epoch_of(__u64 time) {
    return (time >> IMPNET_EPOCH_SHIFT) + 1;
}

/* Clients that are active in an epoch. */
IMPNET_INLINE __u64 impnet_active(const struct impnet_bucket* bucket, __u64 epoch) {
    const struct impnet_epoch* known = &bucket->epochs[epoch % IMPNET_EPOCHS];
    return known->number == epoch ? known->active : 0;
}

/* All ones if the number is negative, or else all zeros. */
IMPNET_INLINE __u64 impnet_if_negative(__s64 number) {
    __u64 mask = (__u64)(number >> 63);

    IMPNET_OPAQUE(mask);
    return mask;
}

/* The client counts as active in this epoch and in so many that follow, as far as they are known.
 * Without a branch for each, since the verifier of a BPF program would follow every way through
 * them. */
IMPNET_INLINE void impnet_attend(struct impnet_bucket* bucket, struct impnet_share* share,
                                 __u64 epoch, __u64 following) {
    __u64 until = epoch + (following < IMPNET_EPOCHS ? following : IMPNET_EPOCHS - 1);
    __u64 next = share->active_until >= epoch ? share->active_until + 1 : epoch;
    __u64 i;

    if (next > until) return;
    share->active_until = until;
    IMPNET_UNROLLED
    for (i = 0; i < IMPNET_EPOCHS; i++) {
        struct impnet_epoch* known = &bucket->epochs[i];
        /* The epoch that has this place next; whether it counts; whether it is known already. */
        __u64 number = next + (i - next) % IMPNET_EPOCHS;
        __u64 counts = ~impnet_if_negative((__s64)(until - number));
        __u64 differs = known->number ^ number;
        __u64 same, active = known->active;

        known->number ^= differs & counts;
        same = impnet_if_negative((__s64)differs - 1);
        known->active = active + (((active & same) + 1 - active) & counts);
        IMPNET_OPAQUE(next); /* one place after the other: there are few registers */
    }
}

/* Nanoseconds until a bucket has so much. An amount beyond its depth is there when it has been full
 * for the rest. */
IMPNET_INLINE __u64 impnet_filled_in(__u64 full_at, __u64 depth, __u64 now, __u64 amount) {
    return full_at + amount > now + depth ? full_at + amount - (now + depth) : 0;
}

/* Whether a bucket of this limit never has so many tokens. */
IMPNET_INLINE int impnet_too_many(const struct impnet_limit* limit, __u64 tokens) {
    if (tokens <= 1) return limit->interval > limit->depth;
    return tokens > limit->depth / limit->interval;
}

IMPNET_INLINE struct impnet_standing impnet_stand(const struct impnet_limit* limit,
                                                  const struct impnet_bucket* bucket,
                                                  const struct impnet_share* share, __u64 now) {
    __s64 most = (__s64)limit->lead_most;
    __u64 epoch = impnet_epoch_of(now);
    struct impnet_standing standing;

    standing.active = impnet_active(bucket, epoch);
    standing.lead = (__s64)(share->given - bucket->mean);
    standing.goes_first = share->goes_first;
    if (share->active_until < epoch) {
        /* It has been away. What it had too much of it has made up for when the others have been
         * given as much meanwhile, or could have been; what it left it has left. */
        __u64 away = impnet_later(now, share->seen) - share->seen;

        standing.active++;
        if (standing.lead < 0 || away / standing.active >= (__u64)standing.lead) standing.lead = 0;
        standing.goes_first = standing.lead == 0;
    }
    if (standing.active == 0) standing.active = 1;
    if (standing.lead > most) standing.lead = most;
    if (standing.lead < -most) standing.lead = -most;
    return standing;
}

/* How long so many tokens, which are not too many, have to be waited for. */
IMPNET_INLINE __u64 impnet_wait(const struct impnet_limit* limit, __u64 clients,
                                const struct impnet_bucket* bucket,
                                const struct impnet_standing* standing, __u64 now, __u64 tokens) {
    __u64 needed = tokens * limit->interval;

    if (!standing->goes_first || tokens > 1) {
        if (clients > standing->active) {
            __u64 quiet = clients - standing->active;

            /* The product may not fit into 64 bits. */
            if (quiet > limit->held_most / limit->interval)
                needed += limit->held_most;
            else
                needed += quiet * limit->interval;
            if (tokens > 1 && needed > limit->depth) return IMPNET_NEVER;
        }
        if (standing->active > 1) {
            needed += limit->lead_most + (__u64)standing->lead;
            /* One token always finds room for that (or, where the bucket has only one, time). */
            if (tokens > 1 && needed > limit->depth) needed = limit->depth;
        }
    }
    return impnet_filled_in(bucket->full_at, limit->depth, now, needed);
}

/* The client has to wait, as it stands. */
IMPNET_INLINE void impnet_refuse(const struct impnet_bucket* bucket, struct impnet_share* share,
                                 const struct impnet_standing* standing, __u64 now) {
    share->given = bucket->mean + (__u64)standing->lead;
    share->goes_first = standing->goes_first;
    share->seen = now;
}

/* The client is given so many tokens, as it stands. */
IMPNET_INLINE void impnet_charge(const struct impnet_limit* limit, struct impnet_bucket* bucket,
                                 struct impnet_share* share, const struct impnet_standing* standing,
                                 __u64 now, __u64 tokens) {
    __u64 cost = tokens * limit->interval;

    bucket->full_at = impnet_later(bucket->full_at, now) + cost;
    share->goes_first = 0;
    share->seen = now;
    share->given = bucket->mean + (__u64)standing->lead;
    if (standing->active > 1) {
        share->given += cost;
        bucket->mean_rest += cost;
        bucket->mean += bucket->mean_rest / standing->active;
        bucket->mean_rest %= standing->active;
        if ((__s64)(share->given - bucket->mean) > (__s64)limit->lead_most)
            bucket->mean = share->given - limit->lead_most;
    } else {
        share->given = bucket->mean; /* from nobody */
    }
}

/* The epochs in which a client counts that has to wait so long: until then, and on. */
IMPNET_INLINE __u64 impnet_epochs_of(__u64 wait) {
    return wait ? (wait >> IMPNET_EPOCH_SHIFT) + 2 : 1;
}

/* The wait that the client's own limit wants. A bucket that another limit of the same client has
 * left further from full than this one is deep is waited for, too. */
IMPNET_INLINE __u64 impnet_own_wait(const struct impnet_limit* own,
                                    const struct impnet_share* share, __u64 now, __u64 tokens) {
    if (!own || !own->interval) return 0;
    if (impnet_too_many(own, tokens)) return IMPNET_NEVER;
    return impnet_filled_in(impnet_later(share->own_full_at, now), own->depth, now,
                            tokens * own->interval);
}

/* Asks for so many tokens, or takes them if they may be had: see below. */
IMPNET_INLINE __u64 impnet_decide(const struct impnet_limit* limit, __u64 clients,
                                  const struct impnet_limit* own, struct impnet_bucket* bucket,
                                  struct impnet_share* share, __u64 now, __u64 tokens, int take) {
    struct impnet_standing standing;
    __u64 wait;

    tokens = impnet_later(tokens, 1);
    wait = impnet_own_wait(own, share, now, tokens);
    if (wait) return wait;
    if (limit->interval) {
        if (impnet_too_many(limit, tokens)) return IMPNET_NEVER;
        standing = impnet_stand(limit, bucket, share, now);
        wait = impnet_wait(limit, clients, bucket, &standing, now, tokens);
        if (wait == IMPNET_NEVER || (wait == 0 && !take)) return wait;
        if (wait)
            impnet_refuse(bucket, share, &standing, now);
        else
            impnet_charge(limit, bucket, share, &standing, now, tokens);
        impnet_attend(bucket, share, impnet_epoch_of(now), impnet_epochs_of(wait));
        if (wait) return wait;
    }
    if (take && own && own->interval)
        share->own_full_at = impnet_later(share->own_full_at, now) + tokens * own->interval;
    return 0;
}

/* Whether a client may take so many tokens now: 0, or the nanoseconds until it may if nobody else
 * takes any, or IMPNET_NEVER. Takes none. `clients`: how many have a socket, with this one. `own`:
 * its own limit under the shared one, null or unlimited: none. A datagram costs one token at least:
 * 0 is taken for 1. */
IMPNET_INLINE __u64 impnet_ask(const struct impnet_limit* limit, __u64 clients,
                               const struct impnet_limit* own, struct impnet_bucket* bucket,
                               struct impnet_share* share, __u64 now, __u64 tokens) {
    return impnet_decide(limit, clients, own, bucket, share, now, tokens, 0);
}

/* Takes the tokens if it may: as impnet_ask. */
IMPNET_INLINE __u64 impnet_take(const struct impnet_limit* limit, __u64 clients,
                                const struct impnet_limit* own, struct impnet_bucket* bucket,
                                struct impnet_share* share, __u64 now, __u64 tokens) {
    return impnet_decide(limit, clients, own, bucket, share, now, tokens, 1);
}

/* Puts back tokens that were taken just now and that nobody used: no more than were taken. */
IMPNET_INLINE void impnet_give_back(const struct impnet_limit* limit,
                                    const struct impnet_limit* own, struct impnet_bucket* bucket,
                                    struct impnet_share* share, __u64 now, __u64 tokens) {
    __u64 cost = tokens * limit->interval;
    __u64 active = impnet_active(bucket, impnet_epoch_of(now));

    if (own && own->interval) share->own_full_at -= tokens * own->interval;
    bucket->full_at -= cost;
    if (active > 1) {
        share->given -= cost;
        bucket->mean -= cost / active;
    }
}

/* The client has no socket any more: nobody waits for it as long as it would have waited. In this
 * epoch and the next it still counts, so that it gains nothing by coming back at once. */
IMPNET_INLINE void impnet_leave(struct impnet_bucket* bucket, struct impnet_share* share,
                                __u64 now) {
    __u64 last = impnet_epoch_of(now) + 1;
    int i;

    for (i = 0; i < IMPNET_EPOCHS && share->active_until > last; i++, share->active_until--) {
        struct impnet_epoch* known = &bucket->epochs[share->active_until % IMPNET_EPOCHS];
        if (known->number == share->active_until && known->active > 0) known->active--;
    }
}

#endif
