/* store_body: the bytes of an object, written once by one fill while any number of readers follow.
 *
 *   FILLING --miss_handler_finish--> COMPLETE        FILLING --miss_handler_drop--> FAILED
 *
 * Where the bytes lie: a known length of at most STORED_INLINE_BYTES with the object's own head (object.h); otherwise
 * in a chain of chunks: slabs (slab.h) for a large body that is kept whole, else memory of malloc. `written` grows with release order: what lies below it never changes. A reader of a
 * complete body takes no lock; one that follows a fill takes a short one where it goes from chunk to chunk or
 * waits.
 *
 * Window: a body larger than its share, or one that the budget has no room for in the middle, keeps its last
 * window_bytes only. The fastest reader sets the pace: nothing is written beyond its position + window. When
 * the first chunk goes, the object leaves the index; a reader whose next byte is gone fails with is_behind. A
 * chunk that a reader has peeked at stays until it moves on (pins).
 *
 * Threads: readers any, the writer one. Locks: one of a fixed set, by the body's address, never held across a
 * call to the outside. Memory of the writer goes when nothing of it is in the mail. */
#ifndef WARP_STORE_BODY_H
#define WARP_STORE_BODY_H

#include "store/storage.h"

enum body_state {
    BODY_FILLING,
    BODY_COMPLETE,
    BODY_FAILED
};

enum body_window {
    BODY_WHOLE,
    BODY_WINDOW /* its start is still there */,
    BODY_START_GONE
};

struct body_chunk;
struct store_budget;
struct stored;

struct store_body {
    _Atomic uint64_t written;
    union {
        struct miss_handler *fill; /* FILLING; under the body's lock */
        struct body_chunk *chunks; /* afterwards; NULL for an inline body */
    };
    _Atomic uint8_t state;  /* enum body_state */
    _Atomic uint8_t window; /* enum body_window */
    uint8_t is_inline;
    uint16_t inline_bytes; /* room for them with the object */
    uint16_t tail_bytes;   /* of these: in the object's second allocation (object.h) */
};

/* What the tier wants to know of a fill; called on the writer's thread without locks. Either may be NULL. */
struct body_host {
    void (*finished)(struct storage *storage, struct stored *object); /* complete, every byte there */
    void (*leave)(struct storage *storage, struct stored *object); /* out of the index: window or dropped */
};

struct body_config {
    struct storage *storage;
    const struct body_host *host;
    uint64_t share_bytes; /* larger bodies keep a window */
    uint64_t window_bytes;
    uint64_t slab_from_bytes; /* bodies of at least that lie in slabs, where the budget has any */
    uint64_t slab_bytes;      /* of each that is used */
};

/* A writer for the object's own body; length_bytes -1 unknown. Takes a reference to the object. ret_miss is
 * NULL on error: ERR_LIMIT when there is no room for the first bytes. */
MUST_USE err body_fill_new(struct stored *object, const struct body_config *config,
                           const struct store_fill *fill, struct miss_handler **ret_miss);

/* It is asked for often: see slab_promote. Nothing unless it is complete. */
void body_promote(struct store_body *body, uint32_t hits);
/* Bytes of its chunks as charged. */
uint64_t body_chunk_bytes(struct store_body *body);
/* With the last reference to the object. */
void body_done(struct stored *owner);

#endif
