#include "tenant/limits.h"

#include "base/hash.h"

#include <pthread.h>
#include <stdlib.h>

#define NS_PER_S UINT64_C(1000000000)
#define LOCKS    64u
#define DEPTH_NS_MAX (UINT64_C(86400) * NS_PER_S)

struct limit limit_of(const struct conf_rate *rate, uint32_t burst)
{
    struct limit limit = {0};

    if (rate->requests == 0 || rate->per_s == 0)
        return limit;
    limit.every_ns = MAX(UINT64_C(1), rate->per_s * NS_PER_S / rate->requests);
    if (burst == 0)
        burst = MAX(1u, rate->requests / rate->per_s);
    limit.depth_ns = MIN(burst, DEPTH_NS_MAX / limit.every_ns) * limit.every_ns;
    limit.depth_ns = MAX(limit.depth_ns, limit.every_ns);
    return limit;
}

/* The bucket's next state; false: it is empty. */
static bool draw(uint64_t full_ns, const struct limit *limit, uint64_t now_ns, uint64_t *ret_full_ns, uint64_t *ret_wait_ns)
{
    uint64_t next_ns = MAX(full_ns, now_ns) + limit->every_ns;

    if (next_ns - now_ns > limit->depth_ns) {
        *ret_wait_ns = next_ns - now_ns - limit->depth_ns;
        return false;
    }
    *ret_full_ns = next_ns;
    return true;
}

bool bucket_take(struct bucket *bucket, const struct limit *limit, uint64_t now_ns, uint64_t *ret_wait_ns)
{
    uint64_t full_ns = atomic_load_explicit(&bucket->full_ns, memory_order_relaxed), next_ns;

    if (limit->every_ns == 0)
        return true;
    do {
        if (!draw(full_ns, limit, now_ns, &next_ns, ret_wait_ns))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&bucket->full_ns, &full_ns, next_ns, memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* ---- of clients --------------------------------------------------------------------------------------------------- */

struct client_bucket {
    uint64_t whose; /* hash of limit and address; 0: free */
    uint64_t full_ns;
};

struct client_buckets {
    _Atomic unsigned refs;
    pthread_mutex_t locks[LOCKS];
    struct client_bucket sets[LIMITS_SETS][LIMITS_WAYS];
};

err client_buckets_new(struct client_buckets **ret_buckets)
{
    struct client_buckets *buckets = calloc(1, sizeof(*buckets));

    ENSURE(buckets != NULL, MEMORY);
    atomic_init(&buckets->refs, 1);
    for (unsigned i = 0; i < LOCKS; i++)
        pthread_mutex_init(&buckets->locks[i], NULL);
    *ret_buckets = buckets;
    return ERR_OK;
}

struct client_buckets *client_buckets_ref(struct client_buckets *buckets)
{
    atomic_fetch_add_explicit(&buckets->refs, 1, memory_order_relaxed);
    return buckets;
}

struct client_buckets *client_buckets_unref(struct client_buckets *buckets)
{
    if (buckets == NULL || atomic_fetch_sub_explicit(&buckets->refs, 1, memory_order_acq_rel) > 1)
        return NULL;
    for (unsigned i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&buckets->locks[i]);
    free(buckets);
    return NULL;
}

static bool is_mapped_ipv4(const uint8_t address[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(address, mapped, sizeof(mapped)) == 0;
}

/* Its own, or the one that will be full first: a free one always is. */
static struct client_bucket *client_bucket_of(struct client_bucket *set, uint64_t whose)
{
    struct client_bucket *first = &set[0];

    for (unsigned i = 0; i < LIMITS_WAYS; i++) {
        if (set[i].whose == whose)
            return &set[i];
        if (set[i].full_ns < first->full_ns)
            first = &set[i];
    }
    *first = (struct client_bucket){.whose = whose};
    return first;
}

static bool buckets_draw(struct client_buckets *buckets, uint64_t whose, const uint8_t address[16], const struct limit *limit,
                         uint64_t now_ns, bool is_look, uint64_t *ret_wait_ns)
{
    uint64_t hash = hash64(slice_of(address, is_mapped_ipv4(address) ? 16 : 8), whose) | 1, full_ns;
    unsigned at = (unsigned)(hash >> 32) % LIMITS_SETS;
    struct client_bucket *bucket;
    bool drawn;

    if (limit->every_ns == 0)
        return true;
    pthread_mutex_lock(&buckets->locks[at % LOCKS]);
    bucket = client_bucket_of(buckets->sets[at], hash);
    drawn = draw(bucket->full_ns, limit, now_ns, &full_ns, ret_wait_ns);
    if (drawn && !is_look)
        bucket->full_ns = full_ns;
    pthread_mutex_unlock(&buckets->locks[at % LOCKS]);
    return drawn;
}

bool client_buckets_take(struct client_buckets *buckets, uint64_t whose, const uint8_t address[16], const struct limit *limit,
                         uint64_t now_ns, uint64_t *ret_wait_ns)
{
    return buckets_draw(buckets, whose, address, limit, now_ns, false, ret_wait_ns);
}

bool client_buckets_look(struct client_buckets *buckets, uint64_t whose, const uint8_t address[16], const struct limit *limit,
                         uint64_t now_ns, uint64_t *ret_wait_ns)
{
    return buckets_draw(buckets, whose, address, limit, now_ns, true, ret_wait_ns);
}
