/* limits: token buckets. A bucket is one number: the time at which it would be full again if nothing more came (the generic
 * cell rate algorithm), so that it costs nothing while nobody asks.
 *
 * Buckets of client addresses lie in one table of fixed size: LIMITS_SETS sets of LIMITS_WAYS; where a set has no free
 * bucket, the one that will be full first is given up: under a flood of addresses a client may be let through more often
 * than its rate, never less. Threads: any. */
#ifndef WARP_TENANT_LIMITS_H
#define WARP_TENANT_LIMITS_H

#include "base/err.h"
#include "conf/settings.h"

#include <stdatomic.h>

#define LIMITS_SETS 16384u
#define LIMITS_WAYS 4u

struct limit {
    uint64_t every_ns; /* a request's share of the rate; 0: no limit */
    uint64_t depth_ns; /* how far the bucket may be drawn: burst times every_ns */
};
struct limit limit_of(const struct conf_rate *rate, uint32_t burst);

struct bucket {
    _Atomic uint64_t full_ns;
};
/* Takes one request from it; false: it has none left, and *ret_wait_ns says when it will. */
MUST_USE bool bucket_take(struct bucket *bucket, const struct limit *limit, uint64_t now_ns, uint64_t *ret_wait_ns);

struct client_buckets;
MUST_USE err client_buckets_new(struct client_buckets **ret_buckets);
struct client_buckets *client_buckets_ref(struct client_buckets *buckets);
struct client_buckets *client_buckets_unref(struct client_buckets *buckets);
/* whose: which limit, of which tenant. IPv6 counts by /64. */
MUST_USE bool client_buckets_take(struct client_buckets *buckets, uint64_t whose, const uint8_t address[16], const struct limit *limit,
                                  uint64_t now_ns, uint64_t *ret_wait_ns);
/* The same without taking: would there be one? */
MUST_USE bool client_buckets_look(struct client_buckets *buckets, uint64_t whose, const uint8_t address[16], const struct limit *limit,
                                  uint64_t now_ns, uint64_t *ret_wait_ns);

#endif
