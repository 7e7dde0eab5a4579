#include "store/index.h"

#define PAD_SLOTS 32u

/* The 32 bits below those that chose the shard. */
static uint64_t rest_of(const struct store_index *index, uint64_t hi)
{
    return (hi << index->shard_bits) >> 32;
}

static uint32_t home_of(const struct store_index *index, uint64_t hi)
{
    return (uint32_t)((rest_of(index, hi) * index->homes) >> 32);
}

static uint64_t tag_of(hash128 hash)
{
    return hash.lo & 0xffff;
}

static uint64_t slot_of(const struct stored *stored)
{
    uintptr_t address = (uintptr_t)stored;

    INVARIANT(address >> 48 == 0);
    return (uint64_t)address | tag_of(stored->seen.hash) << 48;
}

uint32_t index_slot_count(uint32_t homes)
{
    return homes + PAD_SLOTS;
}

void index_init(struct store_index *index, unsigned shard_bits, uint64_t *slots, uint32_t homes)
{
    *index = (struct store_index){slots, homes, index_slot_count(homes), 0, (uint8_t)shard_bits};
}

bool index_is_crowded(const struct store_index *index)
{
    return (uint64_t)(index->count + 1) * 100 > (uint64_t)index->homes * 85;
}

uint32_t index_next_homes(const struct store_index *index)
{
    return index->homes + index->homes * 2 / 5;
}

/* Where the object is; slot_count when it is not. */
static uint32_t slot_find(const struct store_index *index, const struct stored *stored)
{
    uint64_t slot = slot_of(stored);

    for (uint32_t i = home_of(index, stored->seen.hash.hi); i < index->slot_count && index->slots[i] != 0;
         i++)
        if (index->slots[i] == slot)
            return i;
    return index->slot_count;
}

struct stored *index_find(const struct store_index *index, hash128 hash, slice full_key)
{
    uint64_t tag = tag_of(hash);

    for (uint32_t i = home_of(index, hash.hi); i < index->slot_count && index->slots[i] != 0; i++) {
        if (index->slots[i] >> 48 != tag)
            continue;
        struct stored *stored = index_at(index, i);
        if (hash128_eq(stored->seen.hash, hash) && slice_eq(store_object_key(&stored->seen), full_key))
            return stored;
    }
    return NULL;
}

bool index_put(struct store_index *index, struct stored *stored)
{
    uint32_t i = home_of(index, stored->seen.hash.hi);

    while (i < index->slot_count && index->slots[i] != 0)
        i++;
    /* The last slot stays empty, so that every run ends inside the table. */
    if (i + 1 >= index->slot_count)
        return false;
    index->slots[i] = slot_of(stored);
    index->count++;
    return true;
}

uint64_t *index_regrow(struct store_index *index, uint64_t *slots, uint32_t homes)
{
    struct store_index grown;

    index_init(&grown, index->shard_bits, slots, homes);
    for (uint32_t i = 0; i < index->slot_count; i++)
        if (index->slots[i] != 0 && !index_put(&grown, index_at(index, i)))
            return NULL;
    slots = index->slots;
    *index = grown;
    return slots;
}

void index_remove(struct store_index *index, const struct stored *stored)
{
    uint32_t hole = slot_find(index, stored);

    INVARIANT(hole < index->slot_count);
    for (uint32_t i = hole + 1; i < index->slot_count && index->slots[i] != 0; i++) {
        if (home_of(index, index_at(index, i)->seen.hash.hi) > hole)
            continue;
        index->slots[hole] = index->slots[i];
        hole = i;
    }
    index->slots[hole] = 0;
    index->count--;
}

void index_replace(struct store_index *index, const struct stored *old, struct stored *stored)
{
    uint32_t i = slot_find(index, old);

    INVARIANT(i < index->slot_count);
    index->slots[i] = slot_of(stored);
}

/* The cursor is the smallest rest of a hash whose home lies at or behind the slot: it outlives growth. */
static uint64_t cursor_of(const struct store_index *index, uint32_t slot)
{
    return slot >= index->homes ? 0 : (((uint64_t)slot << 32) + index->homes - 1) / index->homes;
}

uint64_t index_stretch(const struct store_index *index, uint64_t cursor, uint32_t min, uint32_t *ret_from,
                       uint32_t *ret_to)
{
    uint32_t from = (uint32_t)((cursor * index->homes) >> 32), to = from;

    while (to < index->slot_count && (to - from < min || index->slots[to] != 0))
        to++;
    *ret_from = from;
    *ret_to = to;
    return cursor_of(index, to);
}

struct stored *index_next(const struct store_index *index, uint64_t from)
{
    struct stored *best = NULL;

    for (uint32_t i = home_of(index, from); i < index->slot_count; i++) {
        if (index->slots[i] == 0 && best != NULL)
            return best;
        if (index->slots[i] == 0)
            continue;
        struct stored *stored = index_at(index, i);
        if (stored->seen.hash.hi >= from && (best == NULL || stored->seen.hash.hi < best->seen.hash.hi))
            best = stored;
    }
    return best;
}
