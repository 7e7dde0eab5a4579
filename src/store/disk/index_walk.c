/* The index by buckets. */
#include "store/disk/index_own.h"

#include <endian.h>
#include <string.h>

/* ---- a snapshot's bucket: the bucket itself, its version zero ------------------------------------------------------------ */

struct disk_words disk_bucket_words(const void *bytes, unsigned slot)
{
    struct disk_words words;

    memcpy(&words, (const char *)bytes + sizeof(uint32_t) + slot * sizeof(words), sizeof(words));
    for (unsigned i = 0; i < WORDS; i++)
        words.word[i] = le32toh(words.word[i]);
    return words;
}

static void bucket_words_write(void *bytes, unsigned slot, struct disk_words words)
{
    for (unsigned i = 0; i < WORDS; i++)
        words.word[i] = htole32(words.word[i]);
    memcpy((char *)bytes + sizeof(uint32_t) + slot * sizeof(words), &words, sizeof(words));
}

/* ---- walks ----------------------------------------------------------------------------------------------------------------- */

void disk_index_walk_begin(struct disk_index *index, struct disk_walk *ret_walk)
{
    uint32_t walks = atomic_load_explicit(&index->walks, memory_order_relaxed);
    unsigned number;

    do {
        INVARIANT(walks != UINT32_MAX);
        number = (unsigned)__builtin_ctz(~walks);
    } while (!atomic_compare_exchange_weak_explicit(&index->walks, &walks, walks | 1u << number, memory_order_relaxed,
                                                    memory_order_relaxed));
    *ret_walk = (struct disk_walk){.next = 0, .number = number};
}

void disk_index_walk_end(struct disk_index *index, struct disk_walk *walk)
{
    atomic_store_explicit(&index->walk_at[walk->number], 0, memory_order_relaxed);
    atomic_fetch_and_explicit(&index->walks, ~(1u << walk->number), memory_order_release);
}

/* The walk's next bucket, locked: whoever locks it afterwards sees that the walk is past it. NULL: that was the last. */
static struct disk_bucket *walk_step(struct disk_index *index, struct disk_walk *walk)
{
    struct disk_bucket *bucket;

    if (walk->next >= count_now(index))
        return NULL;
    bucket = &index->buckets[walk->next++];
    bucket_lock(bucket);
    atomic_store_explicit(&index->walk_at[walk->number], walk->next, memory_order_relaxed);
    return bucket;
}

static bool slot_visit(struct disk_index *index, struct disk_bucket *bucket, unsigned slot,
                       void (*visit)(void *arg, struct disk_entry *entry), void *arg)
{
    struct disk_words before = slot_read(bucket, slot), after = {{0}};
    struct disk_entry entry = words_entry(&before);

    if (entry.kind == DISK_NONE)
        return false;
    visit(arg, &entry);
    if (entry.kind != DISK_NONE) {
        INVARIANT((entry.kind == DISK_BODY) == (words_kind(&before) == DISK_BODY));
        after = words_of(&entry, words_tag(&before));
    }
    if (memcmp(&before, &after, sizeof(before)) == 0)
        return false;
    slot_write(bucket, slot, &after);
    if (entry.kind == DISK_NONE)
        atomic_fetch_sub_explicit(&index->entries, 1, memory_order_relaxed);
    return true;
}

bool disk_index_walk(struct disk_index *index, struct disk_walk *walk, uint64_t count,
                     void (*visit)(void *arg, struct disk_entry *entry), void *arg)
{
    for (uint64_t i = 0; i < count; i++) {
        struct disk_bucket *bucket = walk_step(index, walk);
        bool has_changed = false;
        if (bucket == NULL)
            return false;
        for (unsigned slot = 0; slot < DISK_INDEX_BUCKET_ENTRIES; slot++)
            has_changed |= slot_visit(index, bucket, slot, visit, arg);
        bucket_unlock(bucket, has_changed);
    }
    return walk->next < count_now(index);
}

uint64_t disk_index_copy(struct disk_index *index, struct disk_walk *walk, uint64_t count, void *ret_bytes)
{
    uint64_t copied = 0;

    for (; copied < count; copied++) {
        struct disk_bucket *bucket = walk_step(index, walk);
        char *bytes = (char *)ret_bytes + copied * DISK_INDEX_BUCKET_BYTES;
        if (bucket == NULL)
            break;
        memset(bytes, 0, sizeof(uint32_t));
        for (unsigned slot = 0; slot < DISK_INDEX_BUCKET_ENTRIES; slot++)
            bucket_words_write(bytes, slot, slot_read(bucket, slot));
        bucket_unlock(bucket, false);
    }
    return copied;
}

/* ---- what it tells keys apart by ------------------------------------------------------------------------------------------- */

/* Both groups of a key give the same. */
static uint64_t home_sight(const struct disk_index *index, struct disk_home home)
{
    return MIN(home.group, group_other(index, home.group, home.tag)) << TAG_BITS | home.tag;
}

uint64_t disk_index_sight(const struct disk_index *index, uint64_t hash)
{
    return home_sight(index, home_of_hash(index, hash));
}

void disk_index_filter(const struct disk_index *index, uint64_t bucket, void *bytes, bool (*keep)(void *arg, uint64_t sight), void *arg)
{
    static const struct disk_words nothing;

    for (unsigned slot = 0; slot < DISK_INDEX_BUCKET_ENTRIES; slot++) {
        struct disk_words words = disk_bucket_words(bytes, slot);
        struct disk_home home = {group_of(index, bucket), words_tag(&words)};
        if (words_kind(&words) != DISK_NONE && !keep(arg, home_sight(index, home)))
            bucket_words_write(bytes, slot, nothing);
    }
}

/* ---- size and shape -------------------------------------------------------------------------------------------------------- */

uint64_t disk_index_buckets(const struct disk_index *index)
{
    return count_now(index);
}

void disk_index_hold(struct disk_index *index)
{
    pthread_mutex_lock(&index->growth);
    index->holds++;
    pthread_mutex_unlock(&index->growth);
}

void disk_index_release(struct disk_index *index)
{
    pthread_mutex_lock(&index->growth);
    INVARIANT(index->holds > 0);
    index->holds--;
    pthread_mutex_unlock(&index->growth);
}

void disk_index_shape(const struct disk_index *index, struct disk_index_shape *ret_shape)
{
    *ret_shape = (struct disk_index_shape){.buckets = disk_index_buckets(index), .first_bits = index->first_bits};
}

err disk_index_reshape(struct disk_index *index, const struct disk_index_shape *shape)
{
    ENSURE(shape->first_bits >= FIRST_BITS_MIN && shape->first_bits <= FIRST_BITS_MAX, CORRUPT);
    ENSURE(shape->buckets >> shape->first_bits >= 1, CORRUPT);
    ENSURE(shape->buckets <= UINT64_C(1) << (shape->first_bits + DOUBLINGS_MAX), CORRUPT);
    ENSURE(shape->buckets <= index->reserved, LIMIT);
    INVARIANT(atomic_load(&index->entries) == 0 && index->holds == 0);
    index->first_bits = shape->first_bits;
    index->buckets_max = MIN(index->reserved, UINT64_C(1) << (shape->first_bits + DOUBLINGS_MAX));
    atomic_store_explicit(&index->count, shape->buckets, memory_order_release);
    return ERR_OK;
}
