#include "proto/h2_inbox.h"

static uint32_t block_room(const struct pool *pool)
{
    return pool->block_bytes - (uint32_t)sizeof(struct h2_inbox_block);
}

static struct h2_inbox_block *inbox_room(struct h2_inbox *inbox, struct pool *pool)
{
    struct h2_inbox_block *block = inbox->last;

    if (block != NULL && block->end < block_room(pool))
        return block;
    block = pool_get(pool);
    if (block == NULL)
        return NULL;
    block->next = NULL;
    block->start = block->end = 0;
    if (inbox->last != NULL)
        inbox->last->next = block;
    else
        inbox->first = block;
    inbox->last = block;
    return block;
}

bool h2_inbox_put(struct h2_inbox *inbox, struct pool *pool, slice bytes)
{
    while (bytes.len > 0) {
        struct h2_inbox_block *block = inbox_room(inbox, pool);
        size_t n;

        if (block == NULL)
            return false;
        n = MIN(bytes.len, (size_t)(block_room(pool) - block->end));
        memcpy(block->bytes + block->end, bytes.data, n);
        block->end += (uint32_t)n;
        inbox->bytes += n;
        bytes = slice_from(bytes, n);
    }
    return true;
}

unsigned h2_inbox_peek(const struct h2_inbox *inbox, slice *ret_slices, unsigned max)
{
    unsigned count = 0;

    for (const struct h2_inbox_block *block = inbox->first; block != NULL && count < max; block = block->next)
        ret_slices[count++] = slice_of(block->bytes + block->start, block->end - block->start);
    return count;
}

void h2_inbox_drop(struct h2_inbox *inbox, struct pool *pool, size_t n)
{
    INVARIANT(n <= inbox->bytes);
    inbox->bytes -= n;
    while (n > 0) {
        struct h2_inbox_block *block = inbox->first;
        uint32_t part = (uint32_t)MIN(n, (size_t)(block->end - block->start));

        block->start += part;
        n -= part;
        if (block->start < block->end)
            return;
        inbox->first = block->next;
        if (inbox->first == NULL)
            inbox->last = NULL;
        pool_put(pool, block);
    }
}

void h2_inbox_done(struct h2_inbox *inbox, struct pool *pool)
{
    h2_inbox_drop(inbox, pool, inbox->bytes);
}
