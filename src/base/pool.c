#include "base/pool.h"

#include <stdlib.h>

void pool_init(struct pool *pool, uint32_t block_bytes, uint32_t keep_max)
{
    INVARIANT(block_bytes >= sizeof(void *));
    *pool = (struct pool){.block_bytes = block_bytes, .keep_max = keep_max};
}

void pool_done(struct pool *pool)
{
    while (pool->free_list != NULL) {
        void *block = pool->free_list;
        pool->free_list = *(void **)block;
        free(block);
    }
    pool->kept = 0;
}

void *pool_get(struct pool *pool)
{
    void *block = pool->free_list;

    if (LIKELY(block != NULL)) {
        pool->free_list = *(void **)block;
        pool->kept--;
    } else {
        block = malloc(pool->block_bytes);
        if (block == NULL)
            return NULL;
        pool->mallocs++;
    }
    pool->in_use++;
    return block;
}

void pool_put(struct pool *pool, void *block)
{
    if (block == NULL)
        return;
    INVARIANT(pool->in_use > 0);
    pool->in_use--;
    if (pool->kept >= pool->keep_max) {
        free(block);
        return;
    }
    *(void **)block = pool->free_list;
    pool->free_list = block;
    pool->kept++;
}
