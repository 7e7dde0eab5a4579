/* arena: memory that is given back all at once, at the end of a transaction or a fill.
 *
 * The first bytes may lie inside the owner (arena_init with a buffer), so that a short request takes nothing
 * else; what does not fit comes in chunks, from pools where they are given and from malloc for what is larger. One
 * thread at a time. */
#ifndef WARP_BASE_ARENA_H
#define WARP_BASE_ARENA_H

#include "base/pool.h"
#include "base/slice.h"

#define ARENA_CHUNK_BYTES       2048u
#define ARENA_SMALL_CHUNK_BYTES 512u /* tried first, where pools are given */

struct arena_chunk;

/* One thread's chunks. */
struct arena_pools {
    struct pool small, large;
};
void arena_pools_init(struct arena_pools *pools, uint32_t keep_max);
void arena_pools_done(struct arena_pools *pools);

struct arena {
    char *at, *end;             /* free bytes of the current chunk */
    struct arena_chunk *chunks; /* newest first */
    struct arena_pools *pools;  /* NULL: malloc */
    uint32_t limit_bytes;       /* no more than this in chunks */
    uint32_t taken_bytes;       /* in chunks so far */
};

/* buffer may be NULL; it must outlive the arena. limit_bytes 0 means 1 MiB. arena_use_pools: where chunks
 * come from, before the first one is needed. */
void arena_init(struct arena *arena, void *buffer, size_t size, uint32_t limit_bytes);
void arena_use_pools(struct arena *arena, struct arena_pools *pools);
/* Gives everything back; the arena is then as arena_init left it without a buffer. Safe on a zeroed arena. */
void arena_done(struct arena *arena);

/* 8-byte aligned, not cleared. NULL when the limit or memory ends: the caller answers 503 or gives up. */
MUST_USE void *arena_alloc(struct arena *arena, size_t size);
MUST_USE void *arena_zalloc(struct arena *arena, size_t size);
/* Grows in place when old is the last block, else copies. old may be NULL with old_size 0. */
MUST_USE void *arena_grow(struct arena *arena, void *old, size_t old_size, size_t new_size);
/* Gives back the end of a block when it is the last one; else nothing happens. */
void arena_shrink(struct arena *arena, void *block, size_t old_size, size_t new_size);
/* A copy; data is NULL when memory ended (never for an empty slice: that gives ""). */
MUST_USE slice arena_copy(struct arena *arena, slice s);
/* The parts one after the other; data NULL when memory ended. */
MUST_USE slice arena_concat(struct arena *arena, const slice *parts, unsigned count);
#define ARENA_CONCAT(arena, ...) \
    arena_concat(arena, (const slice[]){__VA_ARGS__}, sizeof((const slice[]){__VA_ARGS__}) / sizeof(slice))
/* printf into the arena; data is NULL when memory ended. NUL-terminated, not counted in len. */
MUST_USE slice arena_printf(struct arena *arena, const char *format, ...) PRINTF(2, 3);

#endif
