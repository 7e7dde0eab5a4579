#include "store/disk/index_own.h"

#include <stdlib.h>

#define PUT_TRIES_MAX 16u /* others may take the room that was made */

/* ---- size classes --------------------------------------------------------------------------------------------------- */

/* Units less one, as a number of which the highest four bits count: below 16 exactly, then eight steps a doubling. */
uint8_t disk_size_class(uint64_t size)
{
    uint64_t rest = size > 0 ? (size - 1) / DISK_OFFSET_UNIT : 0;
    unsigned shift = rest >= 16 ? log2_of(rest) - 3 : 0;

    INVARIANT(size <= DISK_SIZE_CLASS_MAX);
    return (uint8_t)(shift * 8 + (rest >> shift));
}

uint64_t disk_size_of_class(uint8_t size_class)
{
    unsigned shift = size_class >= 16 ? size_class / 8 - 1 : 0;

    return ((size_class - shift * 8 + UINT64_C(1)) << shift) * DISK_OFFSET_UNIT;
}

/* ---- life ------------------------------------------------------------------------------------------------------------- */

static uint64_t buckets_for(uint64_t entries)
{
    uint64_t a_hundred = DISK_INDEX_BUCKET_ENTRIES * LOAD_PERCENT;

    return (entries * 100 + a_hundred - 1) / a_hundred;
}

err disk_index_new(const struct disk_index_config *config, struct disk_index **ret_index)
{
    struct disk_index *index;
    unsigned first_bits = FIRST_BITS_MIN;
    void *memory;

    ENSURE(config->entries_first <= config->entries_max && config->entries_max <= UINT64_C(1) << 48, INVALID);
    while (UINT64_C(1) << first_bits < buckets_for(config->entries_first))
        first_bits++;
    uint64_t buckets = MAX(buckets_for(config->entries_max), UINT64_C(1) << first_bits);
    ENSURE(first_bits <= FIRST_BITS_MAX && buckets <= UINT64_C(1) << (first_bits + DOUBLINGS_MAX), INVALID);
    index = aligned_alloc(_Alignof(struct disk_index), sizeof(*index));
    ENSURE(index != NULL, MEMORY);
    *index = (struct disk_index){.reserved = buckets, .buckets_max = buckets, .first_bits = first_bits};
    atomic_init(&index->count, UINT64_C(1) << first_bits);
    err reserved = os_memory_reserve(buckets * sizeof(struct disk_bucket), &memory);
    if (!err_is_ok(reserved)) {
        free(index);
        return reserved;
    }
    index->buckets = memory;
    pthread_mutex_init(&index->growth, NULL);
    *ret_index = index;
    return ERR_OK;
}

struct disk_index *disk_index_free(struct disk_index *index)
{
    if (index == NULL)
        return NULL;
    INVARIANT(index->holds == 0 && atomic_load(&index->walks) == 0);
    pthread_mutex_destroy(&index->growth);
    os_memory_release(index->buckets, index->reserved * sizeof(struct disk_bucket));
    free(index);
    return NULL;
}

void disk_index_stats(const struct disk_index *index, struct disk_index_stats *ret_stats)
{
    uint64_t buckets = atomic_load_explicit(&index->count, memory_order_relaxed);

    *ret_stats = (struct disk_index_stats){
        .entries = atomic_load_explicit(&index->entries, memory_order_relaxed),
        .lost = atomic_load_explicit(&index->lost, memory_order_relaxed),
        .buckets = buckets,
        .bytes = buckets * sizeof(struct disk_bucket) + sizeof(*index),
    };
}

/* ---- find ------------------------------------------------------------------------------------------------------------- */

static inline uint32_t version_now(const struct disk_bucket *bucket)
{
    DISK_STEP();
    return atomic_load_explicit(&bucket->version, memory_order_acquire);
}

/* Behind words that were read with acquire: no earlier than they. */
static inline bool version_is(const struct disk_bucket *bucket, uint32_t version)
{
    DISK_STEP();
    return atomic_load_explicit(&bucket->version, memory_order_relaxed) == version;
}

static inline uint32_t word_now(const struct disk_bucket *bucket, unsigned slot, unsigned word)
{
    DISK_STEP();
    return atomic_load_explicit(&bucket->words[slot][word], memory_order_acquire);
}

static unsigned bucket_collect(const struct disk_bucket *bucket, uint32_t tag, unsigned kinds, struct disk_entry *ret_entries)
{
    unsigned count = 0;

    for (unsigned slot = 0; slot < DISK_INDEX_BUCKET_ENTRIES; slot++) {
        struct disk_words words = {{word_now(bucket, slot, 0)}};
        if (words_tag(&words) != tag || (kinds >> words_kind(&words) & 1) == 0)
            continue;
        words.word[1] = word_now(bucket, slot, 1);
        words.word[2] = word_now(bucket, slot, 2);
        ret_entries[count++] = words_entry(&words);
    }
    return count;
}

/* False: somebody wrote meanwhile. An entry that changed buckets while we read them changed the version of both: so the
 * first one's is looked at again behind the second; one that a split took, the count before it. */
static bool pair_collect(const struct disk_index *index, struct disk_home home, unsigned kinds, struct disk_entry *ret_entries,
                         unsigned *ret_count)
{
    uint64_t count = count_now(index);
    struct disk_pair pair = pair_of(index, count, home);
    const struct disk_bucket *first = &index->buckets[pair.bucket[0]], *second = &index->buckets[pair.bucket[1]];

    __builtin_prefetch(second);
    uint32_t first_version = version_now(first);
    if (first_version & 1)
        return false;
    *ret_count = bucket_collect(first, home.tag, kinds, ret_entries);
    uint32_t second_version = version_now(second);
    if (second_version & 1)
        return false;
    *ret_count += bucket_collect(second, home.tag, kinds, ret_entries + *ret_count);
    return version_is(second, second_version) && version_is(first, first_version) && count_now(index) == count;
}

unsigned disk_index_find(const struct disk_index *index, uint64_t hash, unsigned kinds, struct disk_entry *ret_entries)
{
    struct disk_home home = home_of_hash(index, hash);
    unsigned count = 0;

    kinds &= ~(1u << DISK_NONE);
    for (unsigned tries = 0; !pair_collect(index, home, kinds, ret_entries, &count); tries++)
        DISK_WAIT(tries);
    return count;
}

/* ---- under the lock --------------------------------------------------------------------------------------------------- */

struct place {
    struct disk_bucket *bucket;
    unsigned slot;
    struct disk_words words;
};

static struct disk_pair home_lock(struct disk_index *index, struct disk_home home)
{
    for (;;) {
        struct disk_pair pair = pair_of(index, count_now(index), home), now;
        pair_lock(index, &pair);
        now = pair_of(index, count_now(index), home); /* with both locked it stays as it is now */
        if (pair.bucket[0] == now.bucket[0] && pair.bucket[1] == now.bucket[1])
            return pair;
        pair_unlock(index, &pair, false);
    }
}

/* The next entry of that tag from *at on, 0 at first. */
static bool pair_next(struct disk_index *index, const struct disk_pair *pair, uint32_t tag, unsigned *at, struct place *ret_place)
{
    while (*at < 2 * DISK_INDEX_BUCKET_ENTRIES) {
        struct place place = {.bucket = &index->buckets[pair->bucket[*at / DISK_INDEX_BUCKET_ENTRIES]],
                              .slot = *at % DISK_INDEX_BUCKET_ENTRIES};
        place.words = slot_read(place.bucket, place.slot);
        ++*at;
        if (words_kind(&place.words) != DISK_NONE && words_tag(&place.words) == tag) {
            *ret_place = place;
            return true;
        }
    }
    return false;
}

static bool pair_find_at(struct disk_index *index, const struct disk_pair *pair, uint32_t tag, uint32_t segment, uint32_t offset,
                         struct place *ret_place)
{
    for (unsigned at = 0; pair_next(index, pair, tag, &at, ret_place);)
        if (words_is_at(&ret_place->words, segment, offset))
            return true;
    return false;
}

static bool is_body(const struct disk_words *words)
{
    return words_kind(words) == DISK_BODY;
}

static bool pair_find_like(struct disk_index *index, const struct disk_pair *pair, const struct disk_words *words, struct place *ret_place)
{
    for (unsigned at = 0; pair_next(index, pair, words_tag(words), &at, ret_place);)
        if (is_body(&ret_place->words) == is_body(words))
            return true;
    return false;
}

/* A free slot in the emptier one. */
static bool pair_find_free(struct disk_index *index, const struct disk_pair *pair, struct place *ret_place)
{
    struct place places[2];
    unsigned used[2], emptier;

    for (unsigned i = 0; i < 2; i++) {
        places[i] = (struct place){.bucket = &index->buckets[pair->bucket[i]]};
        places[i].slot = bucket_free_slot(places[i].bucket, &used[i]);
    }
    emptier = used[1] < used[0] ? 1 : 0;
    *ret_place = places[emptier];
    return used[emptier] < DISK_INDEX_BUCKET_ENTRIES;
}

static void place_write(const struct place *place, const struct disk_words *words)
{
    slot_write(place->bucket, place->slot, words);
}

static struct disk_entry place_clear(struct disk_index *index, const struct place *place)
{
    static const struct disk_words nothing;

    place_write(place, &nothing);
    atomic_fetch_sub_explicit(&index->entries, 1, memory_order_relaxed);
    return words_entry(&place->words);
}

/* ---- put -------------------------------------------------------------------------------------------------------------- */

static bool put_locked(struct disk_index *index, const struct disk_pair *pair, const struct disk_words *words, struct disk_gone *ret_gone)
{
    struct place place;

    if (pair_find_like(index, pair, words, &place)) {
        ret_gone->entries[ret_gone->count++] = words_entry(&place.words);
        place_write(&place, words);
        return true;
    }
    if (!pair_find_free(index, pair, &place))
        return false;
    place_write(&place, words);
    atomic_fetch_add_explicit(&index->entries, 1, memory_order_relaxed);
    return true;
}

/* One of the eleven goes: the one with the fewest hits, rather an old one. */
static void lose_locked(struct disk_index *index, const struct disk_pair *pair, const struct disk_words *words, struct disk_gone *ret_gone)
{
    struct place coldest = {.words = *words};

    for (unsigned i = 0; i < 2 * DISK_INDEX_BUCKET_ENTRIES; i++) {
        struct place place = {.bucket = &index->buckets[pair->bucket[i / DISK_INDEX_BUCKET_ENTRIES]], .slot = i % DISK_INDEX_BUCKET_ENTRIES};
        place.words = slot_read(place.bucket, place.slot);
        if (words_hits(&place.words) < words_hits(&coldest.words) + (coldest.bucket == NULL ? 1u : 0u))
            coldest = place;
    }
    if (coldest.bucket != NULL)
        place_write(&coldest, words);
    ret_gone->entries[ret_gone->count++] = words_entry(&coldest.words);
    ret_gone->is_lost = true;
    atomic_fetch_add_explicit(&index->lost, 1, memory_order_relaxed);
}

void disk_index_put(struct disk_index *index, uint64_t hash, const struct disk_entry *entry, struct disk_gone *ret_gone)
{
    struct disk_home home = home_of_hash(index, hash);
    struct disk_words words = words_of(entry, home.tag);
    bool is_in = false, has_way = true;

    *ret_gone = (struct disk_gone){.count = 0};
    for (unsigned tries = 0; !is_in; tries++) {
        struct disk_pair pair = home_lock(index, home);
        is_in = put_locked(index, &pair, &words, ret_gone);
        if (!is_in && (!has_way || tries == PUT_TRIES_MAX)) {
            lose_locked(index, &pair, &words, ret_gone);
            is_in = true;
        }
        pair_unlock(index, &pair, is_in);
        if (!is_in)
            has_way = disk_index_make_room(index, &pair);
    }
    disk_index_grow(index);
}

/* ---- what is there ---------------------------------------------------------------------------------------------------- */

bool disk_index_remove(struct disk_index *index, uint64_t hash, uint32_t segment, uint32_t offset, struct disk_entry *ret_gone)
{
    struct disk_home home = home_of_hash(index, hash);
    struct disk_pair pair = home_lock(index, home);
    struct place place;
    bool is_there = pair_find_at(index, &pair, home.tag, segment, offset, &place);

    if (is_there)
        *ret_gone = place_clear(index, &place);
    pair_unlock(index, &pair, is_there);
    return is_there;
}

void disk_index_remove_all(struct disk_index *index, uint64_t hash, unsigned kinds, struct disk_gone *ret_gone)
{
    struct disk_home home = home_of_hash(index, hash);
    struct disk_pair pair = home_lock(index, home);
    struct place place;

    *ret_gone = (struct disk_gone){.count = 0};
    for (unsigned at = 0; pair_next(index, &pair, home.tag, &at, &place);) {
        if ((kinds >> words_kind(&place.words) & 1) == 0)
            continue;
        INVARIANT(ret_gone->count < ARRAY_LEN(ret_gone->entries)); /* put and load take care of that */
        ret_gone->entries[ret_gone->count++] = place_clear(index, &place);
    }
    pair_unlock(index, &pair, ret_gone->count > 0);
}

bool disk_index_move(struct disk_index *index, uint64_t hash, uint32_t segment, uint32_t offset, const struct disk_entry *entry)
{
    struct disk_home home = home_of_hash(index, hash);
    struct disk_words words = words_of(entry, home.tag);
    struct disk_pair pair = home_lock(index, home);
    struct place place;
    bool is_there = pair_find_at(index, &pair, home.tag, segment, offset, &place) && is_body(&place.words) == is_body(&words);

    if (is_there)
        place_write(&place, &words);
    pair_unlock(index, &pair, is_there);
    return is_there;
}

/* False: there is none to become it. */
static bool become_body_locked(struct disk_index *index, const struct disk_pair *pair, uint32_t tag, struct disk_gone *ret_gone)
{
    struct place whole = {.bucket = NULL}, place;

    for (unsigned at = 0; pair_next(index, pair, tag, &at, &place);)
        if (words_kind(&place.words) == DISK_WHOLE || words_kind(&place.words) == DISK_WHOLE_SOFT)
            whole = place;
    if (whole.bucket == NULL)
        return false;
    for (unsigned at = 0; pair_next(index, pair, tag, &at, &place);)
        if (is_body(&place.words))
            ret_gone->entries[ret_gone->count++] = place_clear(index, &place);
    struct disk_entry entry = words_entry(&whole.words);
    entry.kind = DISK_BODY;
    struct disk_words words = words_of(&entry, tag);
    place_write(&whole, &words);
    return true;
}

void disk_index_become_body(struct disk_index *index, uint64_t hash, struct disk_gone *ret_gone)
{
    struct disk_home home = home_of_hash(index, hash);
    struct disk_pair pair = home_lock(index, home);

    *ret_gone = (struct disk_gone){.count = 0};
    pair_unlock(index, &pair, become_body_locked(index, &pair, home.tag, ret_gone));
}

/* Without the lock: so that what is hot and has all its hits is only read. */
static bool has_all_hits(const struct disk_index *index, uint64_t hash, uint32_t segment, uint32_t offset)
{
    struct disk_entry entries[DISK_INDEX_FIND_MAX];
    unsigned count = disk_index_find(index, hash, ~0u, entries);

    for (unsigned i = 0; i < count; i++)
        if (disk_entry_is_at(&entries[i], segment, offset))
            return entries[i].hits == DISK_HITS_MAX;
    return true; /* gone */
}

void disk_index_hit(struct disk_index *index, uint64_t hash, uint32_t segment, uint32_t offset)
{
    struct disk_home home = home_of_hash(index, hash);
    struct disk_pair pair;
    struct place place;

    if (has_all_hits(index, hash, segment, offset))
        return;
    pair = home_lock(index, home);
    bool is_to_count = pair_find_at(index, &pair, home.tag, segment, offset, &place) && words_hits(&place.words) < DISK_HITS_MAX;
    if (is_to_count) {
        struct disk_entry entry = words_entry(&place.words);
        entry.hits++;
        place.words = words_of(&entry, home.tag);
        place_write(&place, &place.words);
    }
    pair_unlock(index, &pair, is_to_count);
}

/* ---- from a snapshot -------------------------------------------------------------------------------------------------- */

enum loaded { LOADED, LOAD_REFUSED, LOAD_NO_ROOM };

/* keep is asked last: what it agrees to is taken in. */
static enum loaded load_locked(struct disk_index *index, const struct disk_pair *pair, const struct disk_words *words,
                               bool (*keep)(void *arg, const struct disk_entry *entry), void *arg)
{
    struct disk_entry entry = words_entry(words);
    struct place place;

    if (pair_find_like(index, pair, words, &place))
        return LOAD_REFUSED;
    if (!pair_find_free(index, pair, &place))
        return LOAD_NO_ROOM;
    if (!keep(arg, &entry))
        return LOAD_REFUSED;
    place_write(&place, words);
    atomic_fetch_add_explicit(&index->entries, 1, memory_order_relaxed);
    return LOADED;
}

static bool entry_load(struct disk_index *index, struct disk_home home, const struct disk_words *words,
                       bool (*keep)(void *arg, const struct disk_entry *entry), void *arg)
{
    for (unsigned tries = 0; tries < PUT_TRIES_MAX; tries++) {
        struct disk_pair pair = home_lock(index, home);
        enum loaded loaded = load_locked(index, &pair, words, keep, arg);
        pair_unlock(index, &pair, loaded == LOADED);
        if (loaded != LOAD_NO_ROOM)
            return loaded == LOADED;
        if (!disk_index_make_room(index, &pair))
            break;
    }
    atomic_fetch_add_explicit(&index->lost, 1, memory_order_relaxed);
    return false;
}

unsigned disk_index_load(struct disk_index *index, uint64_t bucket, const void *bytes,
                         bool (*keep)(void *arg, const struct disk_entry *entry), void *arg)
{
    unsigned taken = 0;

    if (bucket >> (index->first_bits + DOUBLINGS_MAX) != 0)
        return 0;
    for (unsigned slot = 0; slot < DISK_INDEX_BUCKET_ENTRIES; slot++) {
        struct disk_words words = disk_bucket_words(bytes, slot);
        struct disk_home home = {group_of(index, bucket), words_tag(&words)};
        if (words_kind(&words) == DISK_NONE || !entry_load(index, home, &words, keep, arg))
            continue;
        taken++;
        disk_index_grow(index);
    }
    return taken;
}
