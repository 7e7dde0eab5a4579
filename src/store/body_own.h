/* What body.c and hit.c share. */
#ifndef WARP_STORE_BODY_OWN_H
#define WARP_STORE_BODY_OWN_H

#include "store/object.h"
#include "store/slab.h"

#include <pthread.h>

#define BODY_SKIP 32u

struct body_chunk {
    struct body_chunk *next, *skip;
    uint64_t at; /* of its first byte in the body */
    char *_Atomic bytes; /* behind the chunk, or a slab; of a complete body it may become another one, with the same bytes */
    /* What the body may have in it. A slab with no more room is cut short, before the next chunk has a byte: who has
     * seen that byte (`written`) sees the size. */
    _Atomic uint32_t size;
    uint32_t room; /* the writer's: memory taken, at most size */
    bool is_slab;
    bool is_cut;   /* out of the chain; the last pin frees it */
    uint32_t pins; /* readers on it while the body is being filled or is a window; under the lock */
};

static inline uint64_t chunk_end(const struct body_chunk *chunk)
{
    return chunk->at + atomic_load_explicit(&chunk->size, memory_order_relaxed);
}

/* The writer, and what a body needs only while it is being filled. */
struct miss_handler {
    struct stored *object; /* a reference */
    struct store_budget *budget;
    uint32_t payer;
    struct store_body *body;
    pthread_mutex_t *lock;
    struct body_config config;
    struct loop *loop;
    void (*on_room)(void *writer);
    void *writer;
    int64_t length;
    uint64_t written; /* the writer's own copy */
    struct body_chunk *skip_from;
    unsigned chunk_count;
    bool is_private, has_left;
    /* under the lock; the writer alone changes the chain, so it reads that without */
    struct body_chunk *first, *last;
    struct list waiting; /* hit_handlers with nothing to read */
    uint64_t fastest;    /* where the fastest reader is or was, as far as it was told */
    unsigned readers;
    bool wants_room, is_mailed, is_ended;
    struct mail mail;
};

pthread_mutex_t *body_lock_of(const struct store_body *body);
void body_chunk_free(struct stored *owner, struct body_chunk *chunk);
/* Under the lock. */
void hit_mark_mailed(struct hit_handler *hit);
/* Under the lock: true when the caller is to post miss->mail behind the lock. */
MUST_USE bool miss_mark_mailed(struct miss_handler *miss);

/* Under the lock, or of a complete body. */
static inline struct body_chunk *body_first(struct store_body *body)
{
    return atomic_load_explicit(&body->state, memory_order_acquire) == BODY_FILLING ? body->fill->first
                                                                                    : body->chunks;
}

#endif
