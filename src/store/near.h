/* near: what one thread found lately. Finding it again takes no lock and writes nothing that other threads
 * use.
 *
 * The table. Sets of two entries, one set a cache line, the thread's own. An entry has an object, references
 * to it taken in advance (credit), and the hits that the object has not been told of.
 *
 *   found by the shard --keep--> ENTRY --take: a reference out of the credit--> caller --give: back into
 * it--> ENTRY --let go: left the index | not asked for lately | another took its place | memory is short-->
 * free
 *
 * References have no names: each is one in object->refs, whoever holds it. So one that was handed out of the
 * credit may be let go anywhere, and what any thread lets go where there is an entry for the object becomes
 * credit there. refs itself is written when an entry comes, goes, or its credit runs out (NEAR_BATCH at a
 * time). Invariant: an entry keeps at least one credit, its own, so the object it points to is there.
 *
 * May it still be handed out? The shard decides under its lock; a near table decides like this:
 *
 *   who removes it (evicted, replaced, updated, dropped, swept), under the shard's lock:
 *       W1  out of the index       W2  is_indexed = 0 (release)
 *   who purges:
 *       P1  label or epoch in the log (release)   P2  the tenant's `latest` (release)   P3  answers
 *   the sweep, for what a purge matched:
 *       S1  W1, W2, or is_soft = 1    S2  the purge retires: its label goes, `latest` = 0 (release)
 *   who looks:
 *       L1  the log (acquire)         L2  is_indexed, is_soft (acquire)           in this order
 *
 * Looked after P3: L1 sees P2, or the S2 that took it back. In the second case S1 came before the S2 that L1
 * has read, so L2 sees S1. The other way round, L2 before L1, the sweep fits between the two, and an object
 * that was purged long ago is handed out: tests/unit/store/test_near.c sees it.
 * Looked after W2: L2 sees it. What is removed between L2 and the answer was there when the lookup began.
 *
 * What stays true: the cap (an object is charged until it is freed), and that room can be made: all tables
 * together hold at most 1/NEAR_SHARE of the tier (nothing above NEAR_OBJECT_BYTES), and eviction passes over
 * what is held, which is what was used in the last half second; where nothing can be freed, the tables are
 * emptied. An object that left the index goes with the next turn (100 ms), with the next reference given
 * back, or at once when it is asked for again. `use`, for the eviction, is raised with the hit; `hits`, for
 * people, with the turn.
 *
 * Thread: a table is its owner's. Only `found` is read by others. */
#ifndef WARP_STORE_NEAR_H
#define WARP_STORE_NEAR_H

#include "store/object.h"

#define NEAR_WAYS         2u
#define NEAR_SETS         512u
#define NEAR_BATCH        1024u /* references taken in advance */
#define NEAR_HEAT_MAX     15u
#define NEAR_SHARE        8u
#define NEAR_OBJECT_BYTES (64u * 1024) /* sending more than this costs so much that a lock does not show */

struct near_entry {
    struct stored *stored; /* NULL: free */
    uint64_t checked;      /* no purge hits it up to this `latest` of its tenant */
    uint32_t tag;          /* of its hash */
    uint32_t credit, hits;
    uint16_t units; /* STORED_UNIT_BYTES it may hold back */
    uint8_t heat;   /* rises with each hit, halved each turn: the cooler gives way */
};
static_assert(sizeof(struct near_entry) == 32, "a set is one cache line");

struct store_near {
    struct storage *storage;
    struct list link; /* the tier's, under its lock */
    uint64_t units;
    uint32_t count, emptied;             /* entries; the tier's call to empty that was followed last */
    uint32_t hand;                       /* the set that makes room next */
    _Alignas(64) _Atomic uint64_t found; /* lookups answered from here */
    struct {
        _Alignas(64) struct near_entry ways[NEAR_WAYS];
    } sets[NEAR_SETS];
};

/* The calling thread's; NULL: none, everything goes the common way. */
extern _Thread_local struct store_near *near_here;

/* The entry's references and what it counted go back; the object may be freed by it. */
void near_let_go(struct store_near *near, struct near_entry *entry);
void near_let_go_all(struct store_near *near);
/* The caller holds a reference, which stays its own. units_max: for all of the table. */
void near_keep(struct store_near *near, struct stored *stored, uint32_t units, uint64_t units_max);
/* Lets go of what has left the index or was not asked for lately; tells hits. */
void near_turn(struct store_near *near);
/* The credit has run down to the entry's own, or is twice the batch. */
void near_refill(struct near_entry *entry);
void near_spill(struct near_entry *entry);

static inline struct near_entry *near_set_of(struct store_near *near, hash128 hash)
{
    return near->sets[hash.lo % NEAR_SETS].ways;
}

static inline uint32_t near_tag(hash128 hash)
{
    return (uint32_t)(hash.lo >> 32);
}

/* Its hash is about the one asked for: the key is still to be compared. */
static inline struct near_entry *near_find(struct store_near *near, hash128 hash)
{
    struct near_entry *set = near_set_of(near, hash);

    for (unsigned i = 0; i < NEAR_WAYS; i++)
        if (set[i].tag == near_tag(hash) && set[i].stored != NULL)
            return &set[i];
    return NULL;
}

static inline struct near_entry *near_entry_of(struct store_near *near, const struct stored *stored)
{
    struct near_entry *set = near_set_of(near, stored->seen.hash);

    for (unsigned i = 0; i < NEAR_WAYS; i++)
        if (set[i].stored == stored)
            return &set[i];
    return NULL;
}

static inline void near_take(struct near_entry *entry)
{
    if (UNLIKELY(entry->credit == 1))
        near_refill(entry);
    entry->credit--;
}

/* The reference is the table's now. */
static inline void near_give(struct store_near *near, struct near_entry *entry)
{
    entry->credit++;
    if (UNLIKELY(!stored_is_indexed(entry->stored)))
        near_let_go(near, entry);
    else if (UNLIKELY(entry->credit >= 2 * NEAR_BATCH))
        near_spill(entry);
}

#endif
