/* s3fifo: what a shard evicts. Two queues and a memory of what left the first one.
 *
 *   new --> SMALL (probation, 25 %) --used--> MAIN --not used since it came round--> gone
 *                |                             ^
 *                '--not used--> gone, ghost ---'  (comes back while its ghost is there)
 *
 * Size-aware: what is larger than S3_LARGE_BYTES needs two uses to leave SMALL. A hit only raises `use`
 * (0..3); nothing moves. An object that somebody still holds moves on as it was used, and is
 * passed over where it would be the victim: its memory would not come free.
 * Threads: the shard's lock; `use` is atomic. */
#ifndef WARP_STORE_S3FIFO_H
#define WARP_STORE_S3FIFO_H

#include "store/object.h"

#define S3_SMALL_PERCENT STORE_PROBATION_PERCENT /* unless it is told another */
#define S3_LARGE_BYTES   (256u * 1024)
#define S3_GHOST_WAYS    4u

enum s3_queue {
    S3_NONE,
    S3_SMALL,
    S3_MAIN
};

struct s3fifo {
    struct list small, main;          /* the oldest first */
    uint64_t small_units, main_units; /* of STORED_UNIT_BYTES */
    unsigned small_percent;           /* SMALL gives a victim only when it is over it */
    uint32_t *ghosts;                 /* fingerprints, in sets of S3_GHOST_WAYS, the newest first; 0: none */
    uint32_t ghost_sets;
};

void s3fifo_init(struct s3fifo *q);
/* ghosts: zeroed, S3_GHOST_WAYS * sets; may be NULL with 0. What was remembered is forgotten. */
void s3fifo_set_ghosts(struct s3fifo *q, uint32_t *ghosts, uint32_t sets);

/* A new object of that many bytes: into SMALL, or MAIN if it left not long ago. */
void s3fifo_push(struct s3fifo *q, struct stored *stored, uint64_t bytes);
/* stored takes old's place. */
void s3fifo_replace(struct s3fifo *q, struct stored *old, struct stored *stored, uint64_t bytes);
/* Has it left, or been asked for, not long ago? If not, it has been now. */
bool s3fifo_was_seen(struct s3fifo *q, hash128 hash);
/* Safe when it is in no queue. */
void s3fifo_remove(struct s3fifo *q, struct stored *stored);
/* Takes the next victim out of its queue; NULL when some hundred looks found none. What is spared (object.h) is passed over:
 * it goes to the end of MAIN. */
struct stored *s3fifo_victim(struct s3fifo *q);

static inline void s3fifo_used(struct stored *stored)
{
    uint8_t use = atomic_load_explicit(&stored->use, memory_order_relaxed);

    if (use < 3)
        atomic_store_explicit(&stored->use, (uint8_t)(use + 1), memory_order_relaxed);
}

#endif
