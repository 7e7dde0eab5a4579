/* Room: entries move to their other bucket, and buckets split. */
#include "store/disk/index_own.h"

/* Chains of at most three moves: two buckets and what lies one and two moves from them. With two moves 0.06 % of what
 * is put while a table grows 256-fold at that load found no room (up to 0.4 % at its worst sizes), with one 7 %; with
 * three none of 36 million did. An entry costs 3.8 looks at another bucket on average. */
#define NODES_MAX 62u
#define NO_NODE   UINT8_MAX

/* ---- moving ------------------------------------------------------------------------------------------------------------ */

/* Whoever walks has seen the one but not the other. Both are locked: a walk that has locked the lower one before has let
 * us see how far it is. */
static bool is_behind_walk(const struct disk_index *index, uint64_t from, uint64_t to)
{
    uint32_t walks = atomic_load_explicit(&index->walks, memory_order_relaxed);

    for (unsigned i = 0; walks >> i != 0; i++) {
        uint64_t at = atomic_load_explicit(&index->walk_at[i], memory_order_relaxed);
        if (to < at && from >= at)
            return true;
    }
    return false;
}

static unsigned slot_of(const struct disk_bucket *bucket, const struct disk_words *words)
{
    for (unsigned slot = 0; slot < DISK_INDEX_BUCKET_ENTRIES; slot++) {
        struct disk_words here = slot_read(bucket, slot);
        if (words_kind(&here) != DISK_NONE && words_is_same(&here, words))
            return slot;
    }
    return DISK_INDEX_BUCKET_ENTRIES;
}

/* Do the buckets of an entry still lie there? With both locked the answer stays true. */
static bool is_pair(const struct disk_index *index, uint64_t from, uint64_t to, uint32_t tag)
{
    uint64_t count = count_now(index), group = group_of(index, from);

    return bucket_of(index, count, group, tag) == from && bucket_of(index, count, group_other(index, group, tag), tag) == to;
}

static bool entry_shift_locked(struct disk_index *index, uint64_t from, uint64_t to, const struct disk_words *words)
{
    static const struct disk_words nothing;
    struct disk_bucket *source = &index->buckets[from], *target = &index->buckets[to];
    unsigned used, slot = slot_of(source, words), free_slot = bucket_free_slot(target, &used);
    struct disk_words now;

    if (slot == DISK_INDEX_BUCKET_ENTRIES || free_slot == DISK_INDEX_BUCKET_ENTRIES)
        return false;
    if (!is_pair(index, from, to, words_tag(words)) || is_behind_walk(index, from, to))
        return false;
    now = slot_read(source, slot);
    slot_write(target, free_slot, &now);
    slot_write(source, slot, &nothing);
    return true;
}

static bool entry_shift(struct disk_index *index, uint64_t from, uint64_t to, const struct disk_words *words)
{
    struct disk_pair pair = {{from, to}};
    bool has_moved;

    pair_lock(index, &pair);
    has_moved = entry_shift_locked(index, from, to, words);
    pair_unlock(index, &pair, has_moved);
    return has_moved;
}

/* ---- searching ------------------------------------------------------------------------------------------------------------ */

/* A bucket that would be free of one entry if words, which lies in the bucket of node from, moved there. */
struct room_node {
    uint64_t bucket;
    struct disk_words words;
    uint8_t from;
};

struct room_search {
    struct room_node nodes[NODES_MAX];
    unsigned count;
    uint64_t buckets;
};

/* The last move first, so that each finds the room the one before it made. */
static bool chain_run(struct disk_index *index, const struct room_search *search, unsigned node, uint64_t to, struct disk_words words)
{
    for (;;) {
        const struct room_node *at = &search->nodes[node];
        if (!entry_shift(index, at->bucket, to, &words))
            return false;
        if (at->from == NO_NODE)
            return true;
        to = at->bucket;
        words = at->words;
        node = at->from;
    }
}

enum room_found { ROOM_NO, ROOM_MADE, ROOM_GONE };

static enum room_found node_look(struct disk_index *index, struct room_search *search, unsigned node)
{
    uint64_t bucket = search->nodes[node].bucket, group = group_of(index, bucket);
    unsigned used;

    for (unsigned slot = 0; slot < DISK_INDEX_BUCKET_ENTRIES; slot++) {
        struct disk_words words = slot_read(&index->buckets[bucket], slot);
        uint64_t other = bucket_of(index, search->buckets, group_other(index, group, words_tag(&words)), words_tag(&words));
        if (words_kind(&words) == DISK_NONE || is_behind_walk(index, bucket, other))
            continue; /* emptied just now, in a bucket that was full: the next search will see it */
        if (bucket_free_slot(&index->buckets[other], &used) < DISK_INDEX_BUCKET_ENTRIES)
            return chain_run(index, search, node, other, words) ? ROOM_MADE : ROOM_GONE;
        if (search->count < NODES_MAX)
            search->nodes[search->count++] = (struct room_node){other, words, (uint8_t)node};
    }
    return ROOM_NO;
}

bool disk_index_make_room(struct disk_index *index, const struct disk_pair *pair)
{
    struct room_search search = {.count = 2, .buckets = count_now(index)};
    enum room_found found = ROOM_NO;

    search.nodes[0] = (struct room_node){.bucket = pair->bucket[0], .from = NO_NODE};
    search.nodes[1] = (struct room_node){.bucket = pair->bucket[1], .from = NO_NODE};
    for (unsigned node = 0; node < search.count && found == ROOM_NO; node++)
        found = node_look(index, &search, node);
    return found != ROOM_NO; /* of a chain that broke some moves may be done: worth another look */
}

/* ---- growing -------------------------------------------------------------------------------------------------------------- */

/* What the next bucket takes entries from, and the bit of the tag that they have. */
static uint64_t split_source(const struct disk_index *index, uint64_t count, uint32_t *ret_bit)
{
    unsigned doublings = log2_of(count) - index->first_bits;
    uint64_t rest = count - (UINT64_C(1) << log2_of(count));

    *ret_bit = 1u << doublings;
    return bucket_number(index, rest >> doublings, rest & (*ret_bit - 1));
}

/* The new bucket is filled before anybody knows of it, and known before an entry leaves the old one, which is locked
 * until then. */
static void bucket_split(struct disk_index *index)
{
    static const struct disk_words nothing;
    uint64_t count = atomic_load_explicit(&index->count, memory_order_relaxed);
    uint32_t bit;
    struct disk_bucket *source = &index->buckets[split_source(index, count, &bit)], *target = &index->buckets[count];
    bool goes[DISK_INDEX_BUCKET_ENTRIES] = {false};
    unsigned filled = 0;

    bucket_lock(source);
    for (unsigned slot = 0; slot < DISK_INDEX_BUCKET_ENTRIES; slot++) {
        struct disk_words words = slot_read(source, slot);
        goes[slot] = words_kind(&words) != DISK_NONE && (words_tag(&words) & bit) != 0;
        if (goes[slot])
            slot_write(target, filled++, &words);
    }
    DISK_STEP();
    atomic_store_explicit(&index->count, count + 1, memory_order_release);
    for (unsigned slot = 0; slot < DISK_INDEX_BUCKET_ENTRIES; slot++)
        if (goes[slot])
            slot_write(source, slot, &nothing);
    bucket_unlock(source, filled > 0);
}

static bool is_crowded(const struct disk_index *index)
{
    uint64_t count = atomic_load_explicit(&index->count, memory_order_relaxed);

    return count < index->buckets_max &&
           atomic_load_explicit(&index->entries, memory_order_relaxed) * 100 > count * DISK_INDEX_BUCKET_ENTRIES * LOAD_PERCENT;
}

void disk_index_grow(struct disk_index *index)
{
    if (!is_crowded(index))
        return;
    pthread_mutex_lock(&index->growth);
    /* One is enough in the long run; two catch up with what was put while the index was held. */
    for (unsigned i = 0; i < 2 && index->holds == 0 && is_crowded(index); i++)
        bucket_split(index);
    pthread_mutex_unlock(&index->growth);
}
