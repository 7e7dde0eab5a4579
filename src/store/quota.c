#include "store/quota.h"

#include <stdlib.h>

struct store_share *store_shares_new(void)
{
    return calloc(STORE_TENANTS, sizeof(struct store_share));
}

void store_share_set(struct store_share *share, const struct store_quota *quota)
{
    atomic_store_explicit(&share->guaranteed, quota->guaranteed_bytes, memory_order_relaxed);
    atomic_store_explicit(&share->not_soft, ~quota->soft_bytes, memory_order_relaxed);
    atomic_store_explicit(&share->not_hard, ~quota->hard_bytes, memory_order_relaxed);
}

/* One addition where there is no hard quota; else two threads must not both take the last of it. */
bool store_share_take(struct store_share *share, uint64_t bytes)
{
    uint64_t hard = ~atomic_load_explicit(&share->not_hard, memory_order_relaxed), now;

    if (LIKELY(hard == UINT64_MAX)) {
        atomic_fetch_add_explicit(&share->bytes, bytes, memory_order_relaxed);
        return true;
    }
    now = store_share_bytes(share);
    do {
        if (now > hard || bytes > hard - now)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&share->bytes, &now, now + bytes, memory_order_relaxed, memory_order_relaxed));
    return true;
}

void store_share_give(struct store_share *share, uint64_t bytes)
{
    uint64_t before = atomic_fetch_sub_explicit(&share->bytes, bytes, memory_order_relaxed);

    INVARIANT(before >= bytes);
}
