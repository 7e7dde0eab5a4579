#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ARENA_LIMIT_DEFAULT_BYTES (1u << 20)

struct arena_chunk {
    struct arena_chunk *next;
    struct pool *pool; /* NULL: malloc's */
    max_align_t bytes[];
};

static size_t round_up8(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

void arena_init(struct arena *arena, void *buffer, size_t size, uint32_t limit_bytes)
{
    char *at = buffer;
    size_t skew = (size_t)(-(uintptr_t)at & 7);

    *arena = (struct arena){.limit_bytes = limit_bytes != 0 ? limit_bytes : ARENA_LIMIT_DEFAULT_BYTES};
    if (at != NULL && size > skew) {
        arena->at = at + skew;
        arena->end = at + size;
    }
}

void arena_pools_init(struct arena_pools *pools, uint32_t keep_max)
{
    pool_init(&pools->small, ARENA_SMALL_CHUNK_BYTES, keep_max);
    pool_init(&pools->large, ARENA_CHUNK_BYTES, keep_max);
}

void arena_pools_done(struct arena_pools *pools)
{
    pool_done(&pools->small);
    pool_done(&pools->large);
}

void arena_use_pools(struct arena *arena, struct arena_pools *pools)
{
    INVARIANT(arena->chunks == NULL);
    arena->pools = pools;
}

void arena_done(struct arena *arena)
{
    struct arena_chunk *chunk = arena->chunks;

    while (chunk != NULL) {
        struct arena_chunk *next = chunk->next;
        if (chunk->pool != NULL)
            pool_put(chunk->pool, chunk);
        else
            free(chunk);
        chunk = next;
    }
    *arena = (struct arena){.limit_bytes = arena->limit_bytes, .pools = arena->pools};
}

/* The pool whose chunks hold size bytes, small ones first; NULL: malloc's business. */
static struct pool *arena_pool_for(const struct arena *arena, size_t size)
{
    if (arena->pools == NULL || size > ARENA_CHUNK_BYTES - sizeof(struct arena_chunk))
        return NULL;
    if (arena->chunks == NULL && size <= ARENA_SMALL_CHUNK_BYTES - sizeof(struct arena_chunk))
        return &arena->pools->small;
    return &arena->pools->large;
}

static bool arena_add_chunk(struct arena *arena, size_t size)
{
    struct pool *pool = arena_pool_for(arena, size);
    size_t want = pool != NULL ? pool->block_bytes - sizeof(struct arena_chunk)
                               : MAX(size, ARENA_CHUNK_BYTES - sizeof(struct arena_chunk));
    struct arena_chunk *chunk;

    if (want > arena->limit_bytes - MIN(arena->taken_bytes, arena->limit_bytes))
        return false;
    chunk = pool != NULL ? pool_get(pool) : malloc(sizeof(*chunk) + want);
    if (chunk == NULL)
        return false;
    chunk->next = arena->chunks;
    chunk->pool = pool;
    arena->chunks = chunk;
    arena->taken_bytes += (uint32_t)want;
    arena->at = (char *)chunk->bytes;
    arena->end = arena->at + want;
    return true;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size_t need = round_up8(size != 0 ? size : 1);
    void *block;

    if (need < size)
        return NULL;
    if ((size_t)(arena->end - arena->at) < need && !arena_add_chunk(arena, need))
        return NULL;
    block = arena->at;
    arena->at += need;
    return block;
}

void *arena_zalloc(struct arena *arena, size_t size)
{
    void *block = arena_alloc(arena, size);
    if (block != NULL)
        memset(block, 0, size);
    return block;
}

void *arena_grow(struct arena *arena, void *old, size_t old_size, size_t new_size)
{
    size_t old_need = round_up8(old_size != 0 ? old_size : 1);
    size_t extra = round_up8(new_size) - MIN(old_need, round_up8(new_size));
    void *block;

    if (new_size > UINT32_MAX)
        return NULL; /* beyond any limit, and rounded up it may have wrapped */
    if (old != NULL && (char *)old + old_need == arena->at && (size_t)(arena->end - arena->at) >= extra) {
        arena->at += extra;
        return old;
    }
    block = arena_alloc(arena, new_size);
    if (block != NULL && old_size > 0)
        memcpy(block, old, MIN(old_size, new_size));
    return block;
}

void arena_shrink(struct arena *arena, void *block, size_t old_size, size_t new_size)
{
    size_t old_need = round_up8(old_size != 0 ? old_size : 1), new_need = round_up8(new_size != 0 ? new_size : 1);

    INVARIANT(new_size <= old_size);
    if ((char *)block + old_need == arena->at)
        arena->at = (char *)block + new_need;
}

slice arena_copy(struct arena *arena, slice s)
{
    char *bytes;

    if (s.len == 0)
        return SLICE("");
    bytes = arena_alloc(arena, s.len);
    if (bytes == NULL)
        return SLICE_NONE;
    memcpy(bytes, s.data, s.len);
    return slice_of(bytes, s.len);
}

slice arena_concat(struct arena *arena, const slice *parts, unsigned count)
{
    size_t len = 0;
    char *bytes, *at;

    for (unsigned i = 0; i < count; i++)
        len += parts[i].len;
    at = bytes = arena_alloc(arena, MAX(len, 1u));
    if (bytes == NULL)
        return SLICE_NONE;
    for (unsigned i = 0; i < count; i++) {
        if (parts[i].len > 0)
            memcpy(at, parts[i].data, parts[i].len);
        at += parts[i].len;
    }
    return slice_of(bytes, len);
}

slice arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;
    int len;
    char *text;

    va_start(args, format);
    len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0)
        return SLICE_NONE;
    text = arena_alloc(arena, (size_t)len + 1);
    if (text == NULL)
        return SLICE_NONE;
    va_start(args, format);
    vsnprintf(text, (size_t)len + 1, format, args);
    va_end(args);
    return slice_of(text, (size_t)len);
}
