/* What the files of disk_index share: buckets, their locks, and where an entry belongs.
 *
 * A key's hash gives a group (its low bits) and a tag. Its second group is the first one XOR something of the tag, so
 * that either of them and the tag, which an entry has, give the other. The bucket of a group and a tag: the table begins
 * with one bucket a group; each doubling takes one more bit of the tag and splits group by group, the first one first,
 * each into twice as many. New buckets are always appended:
 *
 *   doubling   bits of the tag used   number of the bucket that group g's bucket t becomes
 *   (start)    0                      g
 *   b          b + 1                  (groups << b) + (g << b) + (t - (1 << b)), where 1 << b is the highest bit of t
 *
 * So a bucket's number says its group for good, whatever the size of the table. As the two groups of a key are as good
 * as independent, one of them is often split where the other is not yet: entries that find no room move there, and
 * the table is evenly loaded at every size.
 *
 * Readers (bucket_collect) see a bucket whole or try again: version, words, version. The words are read with acquire and
 * written with release: whoever has read a new word sees that the version had become odd before; so no fence is needed,
 * and the thread sanitizer understands it.
 *
 * DISK_STEP and DISK_WAIT are for test_disk_index_steps.c, which runs other threads there. */
#ifndef WARP_STORE_DISK_INDEX_OWN_H
#define WARP_STORE_DISK_INDEX_OWN_H

#include "os/os.h"
#include "store/disk/index.h"

#include <pthread.h>
#include <stdatomic.h>

#ifndef DISK_STEP
#define DISK_STEP()      ((void)0)
#define DISK_WAIT(tries) disk_wait(tries)
#endif

#define TAG_BITS        19u
#define FIRST_BITS_MIN  2u
#define FIRST_BITS_MAX  32u
#define DOUBLINGS_MAX   8u
#define LOAD_PERCENT    87u /* of all slots; above it the table grows */
#define WORDS           3u

struct disk_bucket {
    _Atomic uint32_t version; /* odd: a writer has it; a reader that sleeps through 2^31 changes of it is not expected */
    _Atomic uint32_t words[DISK_INDEX_BUCKET_ENTRIES][WORDS];
} __attribute__((aligned(DISK_INDEX_BUCKET_BYTES)));
static_assert(sizeof(struct disk_bucket) == DISK_INDEX_BUCKET_BYTES, "one cache line, and a bucket of a snapshot");
static_assert(DISK_WALKS_MAX == 32, "a bit each");

struct disk_index {
    struct disk_bucket *buckets;
    uint64_t reserved; /* addresses, in buckets */
    uint64_t buckets_max;
    unsigned first_bits;
    _Alignas(64) _Atomic uint64_t count; /* of buckets in use; only grows, but for disk_index_reshape */
    _Alignas(64) _Atomic uint64_t entries;
    _Atomic uint64_t lost;
    pthread_mutex_t growth; /* who splits or holds */
    unsigned holds;
    _Atomic uint32_t walks;                   /* bits: numbers of walks that are taken */
    _Atomic uint64_t walk_at[DISK_WALKS_MAX]; /* buckets below it were walked; 0: none yet, or no such walk */
};

/* ---- words of an entry ------------------------------------------------------------------------------------------ */

/* As in a bucket and in a snapshot:
 *   word 0: tag 19 | kind 3 | hits 2 | size class 8     (from the highest bit on)
 *   word 1: segment 20 | offset, its higher 12 bits
 *   word 2: offset, its lower 8 bits | tenant 16 | expiry 8 */
struct disk_words {
    uint32_t word[WORDS];
};

static inline uint32_t words_tag(const struct disk_words *words)
{
    return words->word[0] >> 13;
}

static inline unsigned words_kind(const struct disk_words *words)
{
    return words->word[0] >> 10 & 7;
}

static inline unsigned words_hits(const struct disk_words *words)
{
    return words->word[0] >> 8 & 3;
}

static inline bool words_is_at(const struct disk_words *words, uint32_t segment, uint32_t offset)
{
    return words->word[1] == (segment << 12 | offset >> 8) && words->word[2] >> 24 == (offset & 0xff);
}

/* The same record, whatever its hits are now. */
static inline bool words_is_same(const struct disk_words *a, const struct disk_words *b)
{
    return words_tag(a) == words_tag(b) && a->word[1] == b->word[1] && a->word[2] >> 24 == b->word[2] >> 24;
}

static inline struct disk_words words_of(const struct disk_entry *entry, uint32_t tag)
{
    INVARIANT(entry->segment < DISK_SEGMENTS_MAX && entry->offset < 1u << 20);
    INVARIANT(entry->kind != DISK_NONE && entry->kind <= DISK_SLICE && entry->hits <= DISK_HITS_MAX);
    return (struct disk_words){{tag << 13 | (uint32_t)entry->kind << 10 | (uint32_t)entry->hits << 8 | entry->size_class,
                                entry->segment << 12 | entry->offset >> 8,
                                (entry->offset & 0xff) << 24 | (uint32_t)entry->tenant << 8 | entry->expiry}};
}

static inline struct disk_entry words_entry(const struct disk_words *words)
{
    return (struct disk_entry){.segment = words->word[1] >> 12,
                               .offset = (words->word[1] & 0xfff) << 8 | words->word[2] >> 24,
                               .tenant = (uint16_t)(words->word[2] >> 8),
                               .size_class = (uint8_t)words->word[0],
                               .expiry = (uint8_t)words->word[2],
                               .kind = (uint8_t)words_kind(words),
                               .hits = (uint8_t)words_hits(words)};
}

/* ---- where an entry belongs --------------------------------------------------------------------------------------- */

struct disk_home {
    uint64_t group;
    uint32_t tag;
};

struct disk_pair {
    uint64_t bucket[2]; /* always two different ones */
};

static inline struct disk_home home_of_hash(const struct disk_index *index, uint64_t hash)
{
    return (struct disk_home){hash & ((UINT64_C(1) << index->first_bits) - 1), (uint32_t)(hash >> (64 - TAG_BITS))};
}

static inline uint64_t group_other(const struct disk_index *index, uint64_t group, uint32_t tag)
{
    uint64_t mask = tag * UINT64_C(0x9e3779b97f4a7c15) >> (64 - index->first_bits);

    return group ^ (mask != 0 ? mask : 1);
}

static inline unsigned log2_of(uint64_t n)
{
    return 63 - (unsigned)__builtin_clzll(n);
}

/* t: as many bits of the tag as are in use there. */
static inline uint64_t bucket_number(const struct disk_index *index, uint64_t group, uint64_t t)
{
    if (t == 0)
        return group;
    unsigned b = log2_of(t);
    return (UINT64_C(1) << (index->first_bits + b)) + (group << b) + (t - (UINT64_C(1) << b));
}

/* In a table of count buckets. */
static inline uint64_t bucket_of(const struct disk_index *index, uint64_t count, uint64_t group, uint32_t tag)
{
    unsigned doublings = log2_of(count) - index->first_bits;
    uint64_t top = UINT64_C(1) << doublings, bucket;

    if ((tag & top) != 0) {
        bucket = (top << index->first_bits) + (group << doublings) + (tag & (top - 1));
        if (bucket < count)
            return bucket;
    }
    return bucket_number(index, group, tag & (top - 1));
}

static inline uint64_t group_of(const struct disk_index *index, uint64_t bucket)
{
    if (bucket >> index->first_bits == 0)
        return bucket;
    unsigned b = log2_of(bucket) - index->first_bits;
    return (bucket - (UINT64_C(1) << (index->first_bits + b))) >> b;
}

static inline struct disk_pair pair_of(const struct disk_index *index, uint64_t count, struct disk_home home)
{
    return (struct disk_pair){{bucket_of(index, count, home.group, home.tag),
                               bucket_of(index, count, group_other(index, home.group, home.tag), home.tag)}};
}

static inline uint64_t count_now(const struct disk_index *index)
{
    DISK_STEP();
    return atomic_load_explicit(&index->count, memory_order_acquire);
}

/* ---- locks ---------------------------------------------------------------------------------------------------------- */

static inline void disk_wait(unsigned tries)
{
    if (tries % 64 == 63)
        os_thread_yield();
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline void bucket_lock(struct disk_bucket *bucket)
{
    for (unsigned tries = 0;; tries++) {
        DISK_STEP();
        uint32_t version = atomic_load_explicit(&bucket->version, memory_order_relaxed);
        if ((version & 1) == 0 && atomic_compare_exchange_weak_explicit(&bucket->version, &version, version + 1, memory_order_acquire,
                                                                        memory_order_relaxed))
            return;
        DISK_WAIT(tries);
    }
}

/* Without a change readers need not try again. */
static inline void bucket_unlock(struct disk_bucket *bucket, bool has_changed)
{
    uint32_t version = atomic_load_explicit(&bucket->version, memory_order_relaxed);

    DISK_STEP();
    atomic_store_explicit(&bucket->version, has_changed ? version + 1 : version - 1, memory_order_release);
}

/* Two buckets in the order of their addresses. */
static inline void pair_lock(struct disk_index *index, const struct disk_pair *pair)
{
    bucket_lock(&index->buckets[MIN(pair->bucket[0], pair->bucket[1])]);
    bucket_lock(&index->buckets[MAX(pair->bucket[0], pair->bucket[1])]);
}

static inline void pair_unlock(struct disk_index *index, const struct disk_pair *pair, bool has_changed)
{
    bucket_unlock(&index->buckets[pair->bucket[0]], has_changed);
    bucket_unlock(&index->buckets[pair->bucket[1]], has_changed);
}

/* What a lock's holder sees; without the lock, a guess. */
static inline struct disk_words slot_read(const struct disk_bucket *bucket, unsigned slot)
{
    struct disk_words words;

    for (unsigned i = 0; i < WORDS; i++)
        words.word[i] = atomic_load_explicit(&bucket->words[slot][i], memory_order_relaxed);
    return words;
}

/* Locked. All zeros: empty. */
static inline void slot_write(struct disk_bucket *bucket, unsigned slot, const struct disk_words *words)
{
    for (unsigned i = 0; i < WORDS; i++) {
        DISK_STEP();
        atomic_store_explicit(&bucket->words[slot][i], words->word[i], memory_order_release);
    }
}

/* DISK_INDEX_BUCKET_ENTRIES: none is free. */
static inline unsigned bucket_free_slot(const struct disk_bucket *bucket, unsigned *ret_used)
{
    unsigned found = DISK_INDEX_BUCKET_ENTRIES, used = 0;

    for (unsigned slot = DISK_INDEX_BUCKET_ENTRIES; slot-- > 0;) {
        struct disk_words words = {{atomic_load_explicit(&bucket->words[slot][0], memory_order_relaxed)}};
        if (words_kind(&words) == DISK_NONE)
            found = slot;
        else
            used++;
    }
    *ret_used = used;
    return found;
}

/* ---- index_walk.c ------------------------------------------------------------------------------------------------------ */

struct disk_words disk_bucket_words(const void *bytes, unsigned slot); /* of a snapshot's bucket */

/* ---- index_room.c ------------------------------------------------------------------------------------------------------ */

/* Makes a free slot in one of the two by moving others on, which it holds no lock for: somebody else may take it. False:
 * found no way. */
bool disk_index_make_room(struct disk_index *index, const struct disk_pair *pair);
/* As much as one more entry asks for. */
void disk_index_grow(struct disk_index *index);

#endif
