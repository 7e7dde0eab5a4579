/* quota: what one tenant has of one tier, and what it may have (storage_quota_set).
 *
 *   0 ---- spared ---- guaranteed ---- evicted in its turn ---- soft ---- only what is asked for twice ---- hard: no more
 *
 * Threads: any; quotas change while others read them: each number is a whole by itself. */
#ifndef WARP_STORE_QUOTA_H
#define WARP_STORE_QUOTA_H

#include "store/storage.h"

#define STORE_TENANTS 65536u

/* Zero pages until used: limits are kept inverted, so that zero is no limit. */
struct store_share {
    _Atomic uint64_t bytes;
    _Atomic uint64_t guaranteed, not_soft, not_hard;
};

struct store_share *store_shares_new(void); /* STORE_TENANTS of them; free() */
void store_share_set(struct store_share *share, const struct store_quota *quota);
/* False: it would be above its hard quota. */
MUST_USE bool store_share_take(struct store_share *share, uint64_t bytes);
void store_share_give(struct store_share *share, uint64_t bytes);

static inline uint64_t store_share_bytes(const struct store_share *share)
{
    return atomic_load_explicit(&share->bytes, memory_order_relaxed);
}

/* Nobody else's objects take the place of its own. */
static inline bool store_share_is_spared(const struct store_share *share)
{
    return store_share_bytes(share) <= atomic_load_explicit(&share->guaranteed, memory_order_relaxed);
}

/* The same where that many 1024ths are left of the tier. */
static inline bool store_share_is_spared_in(const struct store_share *share, uint32_t left)
{
    uint64_t guaranteed = atomic_load_explicit(&share->guaranteed, memory_order_relaxed);

    return store_share_bytes(share) <= guaranteed / 1024 * left + guaranteed % 1024 * left / 1024;
}

static inline bool store_share_is_over_soft(const struct store_share *share)
{
    return store_share_bytes(share) > ~atomic_load_explicit(&share->not_soft, memory_order_relaxed);
}

/* What has to go before that many bytes fit; a quota that was lowered is above by itself. */
static inline uint64_t store_share_excess(const struct store_share *share, uint64_t bytes)
{
    uint64_t hard = ~atomic_load_explicit(&share->not_hard, memory_order_relaxed), now = store_share_bytes(share);

    if (bytes > hard)
        return UINT64_MAX;
    return now > hard - bytes ? now - (hard - bytes) : 0;
}

static inline bool store_share_fits(const struct store_share *share, uint64_t bytes)
{
    return store_share_excess(share, bytes) == 0;
}

#endif
