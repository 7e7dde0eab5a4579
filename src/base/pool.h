/* pool: blocks of one size for one thread, kept on a free list up to a bound. No locks.
 * An empty pool takes from malloc; beyond keep_max, freed blocks go back to malloc. */
#ifndef WARP_BASE_POOL_H
#define WARP_BASE_POOL_H

#include "base/base.h"

struct pool {
    void *free_list;
    uint32_t block_bytes;
    uint32_t kept, keep_max; /* blocks on the free list; at most */
    uint64_t in_use;         /* blocks handed out */
    uint64_t mallocs;        /* calls of malloc so far: a test counts that the hit path makes none */
};

/* block_bytes >= sizeof(void *). */
void pool_init(struct pool *pool, uint32_t block_bytes, uint32_t keep_max);
void pool_done(struct pool *pool);
/* Not cleared; NULL when memory ends. */
MUST_USE void *pool_get(struct pool *pool);
/* NULL is fine. */
void pool_put(struct pool *pool, void *block);

#endif
