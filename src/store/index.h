/* store_index: one shard's table from hash to object. Open addressing, homes in the order of the hashes, no
 * wrap.
 *
 * A slot is 8 bytes: the object's address and 16 bits of its hash. An object lies at its home or behind it,
 * with no empty slot between; so an empty slot parts the smaller hashes from the greater ones, and one can
 * walk in order of hashes and find the place again after the table has grown (sweep, browse). Deleting moves
 * the rest of the run back: no tombstones. Threads: the shard's lock. */
#ifndef WARP_STORE_INDEX_H
#define WARP_STORE_INDEX_H

#include "store/object.h"

struct store_index {
    uint64_t *slots;
    uint32_t homes; /* slots that are somebody's home; the pad behind them takes the last run */
    uint32_t slot_count;
    uint32_t count;
    uint8_t shard_bits; /* the highest bits of hash.hi, the same for all in the table */
};

#define INDEX_HOMES_MIN 32u

/* slots: zeroed, index_slot_count(homes) of them; the table's from now on. */
uint32_t index_slot_count(uint32_t homes);
void index_init(struct store_index *index, unsigned shard_bits, uint64_t *slots, uint32_t homes);
bool index_is_crowded(const struct store_index *index); /* time to grow */
uint32_t index_next_homes(const struct store_index *index);
/* Moves all to larger slots; returns the old ones, or NULL when they do not fit (then nothing has changed).
 */
MUST_USE uint64_t *index_regrow(struct store_index *index, uint64_t *slots, uint32_t homes);

struct stored *index_find(const struct store_index *index, hash128 hash, slice full_key);
/* False when the run has reached the end of the pad: grow. The key must not be there. */
MUST_USE bool index_put(struct store_index *index, struct stored *stored);
void index_remove(struct store_index *index, const struct stored *stored);
void index_replace(struct store_index *index, const struct stored *old, struct stored *stored);

/* Whole runs from the cursor on, at least min slots of them where there are as many: slots [from, to) to be
 * walked from the last to the first (so that removing is safe). Returns the next cursor, 0 at the end. */
uint64_t index_stretch(const struct store_index *index, uint64_t cursor, uint32_t min, uint32_t *ret_from,
                       uint32_t *ret_to);
/* The object with the smallest hash.hi that is at least from; NULL: none. */
struct stored *index_next(const struct store_index *index, uint64_t from);

static inline struct stored *index_at(const struct store_index *index, uint32_t slot)
{
    return (struct stored *)(uintptr_t)(index->slots[slot] & 0xffffffffffffull);
}

#endif
