#include "store/s3fifo.h"

#define LOOKS_MAX  128
#define SPARED_MAX 8 /* of MAIN one after the other: SMALL gives the victim then, where it has any */

void s3fifo_init(struct s3fifo *q)
{
    *q = (struct s3fifo){.small_percent = S3_SMALL_PERCENT};
    list_init(&q->small);
    list_init(&q->main);
}

/* ---- ghosts ------------------------------------------------------------------------------------------ */

void s3fifo_set_ghosts(struct s3fifo *q, uint32_t *ghosts, uint32_t sets)
{
    q->ghosts = ghosts;
    q->ghost_sets = sets;
}

static uint32_t *ghost_set(const struct s3fifo *q, hash128 hash)
{
    return q->ghosts + ((hash.lo >> 32) * q->ghost_sets >> 32) * S3_GHOST_WAYS;
}

static uint32_t ghost_print(hash128 hash)
{
    uint32_t print = (uint32_t)hash.lo;

    return print != 0 ? print : 1;
}

static void ghost_add(struct s3fifo *q, hash128 hash)
{
    if (q->ghost_sets == 0)
        return;
    uint32_t *set = ghost_set(q, hash);
    memmove(set + 1, set, (S3_GHOST_WAYS - 1) * sizeof(*set));
    set[0] = ghost_print(hash);
}

static bool ghost_take(struct s3fifo *q, hash128 hash)
{
    if (q->ghost_sets == 0)
        return false;
    uint32_t *set = ghost_set(q, hash);
    for (unsigned i = 0; i < S3_GHOST_WAYS; i++) {
        if (set[i] == ghost_print(hash)) {
            memmove(set + i, set + i + 1, (S3_GHOST_WAYS - 1 - i) * sizeof(*set));
            set[S3_GHOST_WAYS - 1] = 0;
            return true;
        }
    }
    return false;
}

bool s3fifo_was_seen(struct s3fifo *q, hash128 hash)
{
    if (q->ghost_sets == 0)
        return true; /* nothing is remembered, so nothing can be asked for */
    const uint32_t *set = ghost_set(q, hash);
    for (unsigned i = 0; i < S3_GHOST_WAYS; i++)
        if (set[i] == ghost_print(hash))
            return true;
    ghost_add(q, hash);
    return false;
}

/* ---- queues ------------------------------------------------------------------------------------------ */

static void queue_join(struct s3fifo *q, struct stored *stored, enum s3_queue queue)
{
    INVARIANT(stored->queue == S3_NONE);
    stored->queue = (uint8_t)queue;
    if (queue == S3_SMALL) {
        list_push_back(&q->small, &stored->link);
        q->small_units += stored->charge_units;
    } else {
        list_push_back(&q->main, &stored->link);
        q->main_units += stored->charge_units;
    }
}

void s3fifo_remove(struct s3fifo *q, struct stored *stored)
{
    if (stored->queue == S3_SMALL)
        q->small_units -= stored->charge_units;
    else if (stored->queue == S3_MAIN)
        q->main_units -= stored->charge_units;
    stored->queue = S3_NONE;
    list_remove(&stored->link);
}

static uint32_t units_of(uint64_t bytes)
{
    return (uint32_t)MIN((bytes + STORED_UNIT_BYTES - 1) / STORED_UNIT_BYTES, UINT32_MAX);
}

void s3fifo_push(struct s3fifo *q, struct stored *stored, uint64_t bytes)
{
    stored->charge_units = units_of(bytes);
    queue_join(q, stored, ghost_take(q, stored->seen.hash) ? S3_MAIN : S3_SMALL);
}

void s3fifo_replace(struct s3fifo *q, struct stored *old, struct stored *stored, uint64_t bytes)
{
    struct list *before = old->link.prev;
    enum s3_queue queue = old->queue;

    INVARIANT(queue != S3_NONE);
    stored->charge_units = units_of(bytes);
    queue_join(q, stored, queue);
    list_remove(&stored->link);
    list_insert_between_(&stored->link, before, before->next);
    s3fifo_remove(q, old);
}

static bool is_admitted(const struct stored *stored, uint8_t use)
{
    return use >= ((uint64_t)stored->charge_units * STORED_UNIT_BYTES > S3_LARGE_BYTES ? 2 : 1);
}

/* One look at the oldest of a queue: a victim, or it goes where it belongs. */
static struct stored *queue_look(struct s3fifo *q, struct stored *stored, unsigned *spared)
{
    uint8_t use = atomic_load_explicit(&stored->use, memory_order_relaxed);
    enum s3_queue queue = stored->queue;

    s3fifo_remove(q, stored);
    if (stored_is_spared(stored)) {
        *spared += queue == S3_MAIN;
        queue_join(q, stored, S3_MAIN);
        return NULL;
    }
    *spared = 0;
    if (queue == S3_SMALL && is_admitted(stored, use)) {
        atomic_store_explicit(&stored->use, 0, memory_order_relaxed);
        queue_join(q, stored, S3_MAIN);
    } else if (queue == S3_MAIN && use > 0) {
        atomic_store_explicit(&stored->use, (uint8_t)(use - 1), memory_order_relaxed);
        queue_join(q, stored, S3_MAIN);
    } else if (atomic_load_explicit(&stored->refs, memory_order_acquire) > 1) {
        queue_join(q, stored, queue);
    } else {
        if (queue == S3_SMALL)
            ghost_add(q, stored->seen.hash);
        return stored;
    }
    return NULL;
}

struct stored *s3fifo_victim(struct s3fifo *q)
{
    unsigned spared = 0;

    for (unsigned looks = 0; looks < LOOKS_MAX; looks++) {
        bool is_small_over = q->small_units * 100 > (q->small_units + q->main_units) * q->small_percent;
        bool is_small_next = is_small_over || spared >= SPARED_MAX;
        struct list *queue = (is_small_next && !list_is_empty(&q->small)) || list_is_empty(&q->main) ? &q->small : &q->main;
        struct list *oldest = list_first(queue);
        if (oldest == NULL)
            return NULL;
        struct stored *victim = queue_look(q, container_of(oldest, struct stored, link), &spared);
        if (victim != NULL)
            return victim;
    }
    return NULL;
}
