/* disk_index: where on the disks a key's record lies, 12 bytes an entry.
 *
 * A bucket is one cache line: a version word and five entries. A key has two buckets; for an entry that finds both full
 * others move on to their other bucket, in a chain of at most three; where that fails too, an entry is lost and counted:
 * a miss, never a wrong answer. The index never knows a whole key: whoever finds an entry reads the record and compares.
 *
 *   entry: segment 20 | offset 20 (64 B units) | tag 19 | tenant 16 | size class 8 | expiry 8 | kind 3 | hits 2 = 96 bits
 *
 * Growth: linear hashing, a bucket at a time at a load of 87 % (14.7 bytes an entry), in address space that is reserved at
 * the start and touched as it is used. Where a bucket's entries belong is in its number and their tags, so that a split
 * and a move need nothing from the disk. Each doubling takes one bit of the tag; a false match costs one read. With as
 * many buckets as there may be it gets fuller, until entries are lost as above (the first one at 98 %).
 *
 * Reading (disk_index_find) takes no lock and writes nothing: version, entries, version again. Writers take a bucket
 * by making its version odd, two in the order of their addresses. tests/unit/store/test_disk_index_steps.c runs the
 * interleavings of the protocol's steps.
 *
 * Threads: any, for everything but _new, _free and disk_index_reshape. */
#ifndef WARP_STORE_DISK_INDEX_H
#define WARP_STORE_DISK_INDEX_H

#include "base/err.h"
#include "base/hash.h"

#define DISK_INDEX_BUCKET_BYTES   64u
#define DISK_INDEX_BUCKET_ENTRIES 5u
#define DISK_INDEX_FIND_MAX       10u
#define DISK_SEGMENTS_MAX         (1u << 20)
#define DISK_OFFSET_UNIT          64u
#define DISK_HITS_MAX             3u

/* What an entry points to. SOFT: softly purged, and the purge has retired. A key has at most one entry that is not
 * DISK_BODY, and at most one DISK_BODY beside a DISK_HEAD (format.h). */
enum disk_kind {
    DISK_NONE,
    DISK_WHOLE,
    DISK_WHOLE_SOFT,
    DISK_HEAD,
    DISK_HEAD_SOFT,
    DISK_BODY,
    DISK_VARY,
    DISK_SLICE,
};
#define DISK_KINDS_BUT_BODY ((1u << DISK_WHOLE) | (1u << DISK_WHOLE_SOFT) | (1u << DISK_HEAD) | (1u << DISK_HEAD_SOFT) | (1u << DISK_VARY) | (1u << DISK_SLICE))

struct disk_entry {
    uint32_t segment; /* below DISK_SEGMENTS_MAX, over all devices */
    uint32_t offset;  /* in units of DISK_OFFSET_UNIT from the segment's start, below 1 << 20 */
    uint16_t tenant;
    uint8_t size_class; /* disk_size_class */
    uint8_t expiry;     /* coarse; 0: unknown */
    uint8_t kind;       /* enum disk_kind */
    uint8_t hits;       /* 0..DISK_HITS_MAX */
};

static inline bool disk_entry_is_at(const struct disk_entry *entry, uint32_t segment, uint32_t offset)
{
    return entry->segment == segment && entry->offset == offset;
}

/* The smallest class that holds size bytes, and what a class holds: a multiple of DISK_OFFSET_UNIT, at most an eighth more
 * than the multiple that size needs. Classes reach from 64 B to 1 TiB. */
#define DISK_SIZE_CLASS_MAX (UINT64_C(1) << 40)
uint8_t disk_size_class(uint64_t size);
uint64_t disk_size_of_class(uint8_t size_class);

struct disk_index;
struct disk_index_config {
    uint64_t entries_first; /* room at the start; rounded up to a power of two of buckets. Where it is to grow, at least 1,000:
                             * a doubling makes two tables of as many groups, each with a load of its own */
    uint64_t entries_max;   /* address space for them is reserved; at most 256 times the first (ERR_INVALID) */
};
MUST_USE err disk_index_new(const struct disk_index_config *config, struct disk_index **ret_index);
struct disk_index *disk_index_free(struct disk_index *index);

/* hash: any 64 bits of the key's keyed hash that are used for nothing else in the same call chain; the same for all
 * calls about a key. kinds: a bit for each enum disk_kind wanted. Entries that may be the key's, at most
 * DISK_INDEX_FIND_MAX; returns their number. A key that is there throughout the call is found. */
unsigned disk_index_find(const struct disk_index *index, uint64_t hash, unsigned kinds, struct disk_entry *ret_entries);

/* What a change took out of the index; the caller accounts for it. */
struct disk_gone {
    struct disk_entry entries[2];
    unsigned count;
    bool is_lost; /* entries[count - 1] left for want of room; it may be the new one */
};
/* In the place of an entry with the same tag that is, as the new one is, DISK_BODY or not; hits as given. */
void disk_index_put(struct disk_index *index, uint64_t hash, const struct disk_entry *entry, struct disk_gone *ret_gone);
/* Takes out what is still at that place. False: there is none. */
bool disk_index_remove(struct disk_index *index, uint64_t hash, uint32_t segment, uint32_t offset, struct disk_entry *ret_gone);
/* Takes out every entry of one of the kinds that may be the key's. */
void disk_index_remove_all(struct disk_index *index, uint64_t hash, unsigned kinds, struct disk_gone *ret_gone);
/* What is still at that place becomes *entry (a record was copied; its hits may have changed meanwhile: they are taken
 * as given). False: it is not there any more, or has become a DISK_BODY, or *entry is one and it is not. */
bool disk_index_move(struct disk_index *index, uint64_t hash, uint32_t segment, uint32_t offset, const struct disk_entry *entry);
/* The key's whole record becomes the body of a head that is to come: where it is, with the hits it has. A body that was there
 * goes. Nothing happens where it has no whole one. */
void disk_index_become_body(struct disk_index *index, uint64_t hash, struct disk_gone *ret_gone);
/* One hit more, up to DISK_HITS_MAX; writes nothing where it has as many. */
void disk_index_hit(struct disk_index *index, uint64_t hash, uint32_t segment, uint32_t offset);

struct disk_index_stats {
    uint64_t entries, lost, buckets;
    uint64_t bytes; /* of memory that is touched: the buckets and the index's own */
};
void disk_index_stats(const struct disk_index *index, struct disk_index_stats *ret_stats);

/* ---- by buckets: snapshot, recovery, sweeps ---------------------------------------------------------------------- */

uint64_t disk_index_buckets(const struct disk_index *index);

/* Through all buckets in order, in as many calls as one likes. What is there from begin to end is met: entries that move
 * meanwhile only move ahead of a walk, so some are met twice, and up to 0.1 % of what is put find no room. */
#define DISK_WALKS_MAX 32u /* at a time */
struct disk_walk {
    uint64_t next; /* bucket */
    unsigned number;
};
void disk_index_walk_begin(struct disk_index *index, struct disk_walk *ret_walk);
void disk_index_walk_end(struct disk_index *index, struct disk_walk *walk);
/* Calls visit for the entries of the next count buckets; it may change the entry (but not DISK_BODY into another kind or
 * back) or clear it (kind DISK_NONE); it must not call the index. Each bucket is locked meanwhile. False: that was all. */
bool disk_index_walk(struct disk_index *index, struct disk_walk *walk, uint64_t count,
                     void (*visit)(void *arg, struct disk_entry *entry), void *arg);
/* The next count buckets as they are in a snapshot, each whole and consistent by itself, versions zero; little-endian,
 * 64 B each. Returns their number, less than count at the end. */
uint64_t disk_index_copy(struct disk_index *index, struct disk_walk *walk, uint64_t count, void *ret_bytes);
/* hold keeps the index from growing, so that a snapshot has as many buckets at its end as at its beginning (entries may be
 * lost meanwhile); release lets it again. */
void disk_index_hold(struct disk_index *index);
void disk_index_release(struct disk_index *index);
/* All that the index tells keys apart by: keys of the same sight are one to it. As long as its shape is not changed. */
uint64_t disk_index_sight(const struct disk_index *index, uint64_t hash);
/* Clears what of a snapshot's bucket keep does not want; before it is loaded. */
void disk_index_filter(const struct disk_index *index, uint64_t bucket, void *bytes, bool (*keep)(void *arg, uint64_t sight), void *arg);
/* The shape a snapshot was taken in, and taking it on: only where the index is empty and nobody else uses it. ERR_LIMIT: it
 * has no such room; ERR_CORRUPT: no such shape. It then grows to at most 256 times that shape's first buckets. */
struct disk_index_shape {
    uint64_t buckets;
    uint32_t first_bits; /* buckets at the start: 1 << first_bits */
};
void disk_index_shape(const struct disk_index *index, struct disk_index_shape *ret_shape);
MUST_USE err disk_index_reshape(struct disk_index *index, const struct disk_index_shape *shape);
/* Entries of one bucket from a snapshot, after reshape, while others may read, put and remove: what is already there
 * stays and wins (same tag and body or not). keep decides on each entry, and is asked last: what it agrees to is taken in;
 * it must not call the index. What finds no room is lost. Returns the number taken in. */
unsigned disk_index_load(struct disk_index *index, uint64_t bucket, const void *bytes,
                         bool (*keep)(void *arg, const struct disk_entry *entry), void *arg);

#endif
