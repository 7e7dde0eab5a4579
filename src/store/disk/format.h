/* format: what lies on a device of the disk tier, to the bit (docs/formats/disk.md draws it).
 *
 *   0        superblock A, one block          segments_at + i * segment_bytes: segment i
 *   64 KiB   superblock B, the same           segment: header 64 B | records, 64 B aligned ... | footer | trailer 64 B
 *   journal, snapshot 0, snapshot 1           record:  head 56 B | key | labels | meta | body checksums | body
 *
 * All integers are little-endian (the platforms are; pinned below). A block is DISK_BLOCK bytes: the unit of writing.
 * Everything read from a device passes one of the functions here before anything else looks at it: they check magic,
 * CRC32C, every length and offset, and that it is of this store, segment, generation and place. What fails is
 * ERR_CORRUPT; only a superblock of another version under a valid checksum is ERR_UNSUPPORTED, and left alone.
 * Pure: no I/O. Threads: any. */
#ifndef WARP_STORE_DISK_FORMAT_H
#define WARP_STORE_DISK_FORMAT_H

#include "base/err.h"
#include "base/hash.h"
#include "store/disk/index.h"
#include "store/storage.h"

#define DISK_BLOCK           4096u
#define DISK_VERSION         1u
#define DISK_SUPER_A         0u
#define DISK_SUPER_B         65536u
#define DISK_AREAS_AT        131072u
#define DISK_SIZE_MIN        (16u << 20)
#define DISK_SEGMENT_MIN     (512u * 1024)
#define DISK_SEGMENT_MAX     (64u << 20)
#define DISK_SEGMENTS_SHARE  32u /* a segment is at most 1/32 of the store */
#define DISK_MOUNTS_MAX      (1u << 23) /* the sequence of writes begins at mounts << 40; with as many a device is formatted anew (I14) */
#define DISK_CRC_BLOCK       65536u /* of a body: what one checksum covers */
#define DISK_KEY_BYTES_MAX   65535u
#define DISK_META_BYTES_MAX  (256u * 1024)

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "integers on a device are little-endian");

struct disk_id {
    uint8_t bytes[16];
};

/* ---- superblock ----------------------------------------------------------------------------------------------- */

struct disk_super {
    uint64_t magic;
    uint32_t version;
    uint32_t crc;          /* of the block with this zero; magic, version and crc are here in every version */
    uint64_t generation;   /* the higher of two valid copies counts */
    struct disk_id store;  /* this device's */
    struct disk_id set;    /* of all devices that are one store */
    uint8_t secret[HASH_SECRET_BYTES]; /* of keys' hashes; the set's */
    uint32_t device, devices; /* number of this one, of all */
    uint64_t size_bytes;
    uint32_t segment_bytes, segments;
    uint64_t journal_at, journal_bytes;
    uint64_t snapshot_at[2], snapshot_bytes;
    uint64_t segments_at;
    uint64_t mounts; /* times it was opened */
    uint64_t out;    /* bits: devices of the set that failed since they were opened: not to be trusted with what they hold */
    uint64_t is_begun; /* 1: its journal is there; 0: nothing was ever stored */
    uint32_t pid;      /* of the process that has it open; for messages */
    uint32_t is_clean; /* 1: closed in order */
};
static_assert(sizeof(struct disk_super) == 16 + 8 + 32 + 192 + 8 + 8 + 8 + 16 + 24 + 8 + 8 + 16 + 8, "docs/formats/disk.md");

/* The layout of a device of that size. ERR_LIMIT: too small. segment_bytes 0: what fits, a power of two. */
MUST_USE err disk_super_layout(uint64_t size_bytes, uint32_t segment_bytes, struct disk_super *ret_super);
void disk_super_write(const struct disk_super *super, void *block);
/* ERR_NOT_FOUND: no superblock (never one); ERR_CORRUPT: a damaged one; ERR_UNSUPPORTED. */
MUST_USE err disk_super_read(const void *block, struct disk_super *ret_super);

/* ---- places --------------------------------------------------------------------------------------------------- */

/* What checksums of heads are bound to: a record is only itself where it was written. */
struct disk_place {
    struct disk_id store;
    uint32_t segment;    /* of the device, from 0 */
    uint64_t generation; /* the segment's first_wseq: no two openings of any segment have the same */
    uint32_t offset;     /* bytes from the segment's start */
};

/* ---- segment -------------------------------------------------------------------------------------------------- */

#define DISK_SEGMENT_HEAD_BYTES 64u
#define DISK_TRAILER_BYTES      64u

struct disk_segment_head {
    uint32_t magic, crc;
    struct disk_id store;
    uint64_t first_wseq; /* records of it have at least that; it is also the segment's generation, and never 0 */
    uint64_t opened_ms;
    uint32_t segment;
    uint8_t log; /* enum evict_log */
    uint8_t reserved[19];
};
static_assert(sizeof(struct disk_segment_head) == DISK_SEGMENT_HEAD_BYTES, "docs/formats/disk.md");

void disk_segment_head_write(struct disk_segment_head *head);
MUST_USE err disk_segment_head_read(const void *bytes, const struct disk_id *store, uint32_t segment, struct disk_segment_head *ret_head);

/* ---- record --------------------------------------------------------------------------------------------------- */

struct disk_record_head {
    uint32_t magic;     /* 24 bits, the kind above them */
    uint32_t crc;       /* of the place, and of all from the head (this zero) to the body's checksums */
    uint64_t wseq;      /* order of writing, over all devices */
    uint64_t body_id;   /* of DISK_WHOLE: the wseq of its first writing; DISK_HEAD names its body's, DISK_BODY has its own */
    uint64_t purge_seq; /* no purge up to it hits this; soft ones: see kind */
    int64_t stored_ms;  /* wall clock of the fill */
    uint32_t body_bytes;
    uint32_t meta_bytes;
    uint16_t key_bytes, label_count, tenant;
    uint16_t flags; /* DISK_RECORD_PACKED */
};
static_assert(sizeof(struct disk_record_head) == 56, "docs/formats/disk.md");

#define DISK_RECORD_PACKED 1u /* the metadata is as disk_codec wrote it */

/* A record to be written, or one that was read; slices point into the bytes. */
struct disk_record {
    enum disk_kind kind;
    uint64_t wseq, body_id, purge_seq;
    int64_t stored_ms;
    uint16_t tenant;
    bool is_packed;
    slice key, meta;
    const void *labels; /* label_count times 4 bytes, not aligned */
    unsigned label_count;
    uint32_t body_bytes;
    slice body; /* only what was read of it */
    const void *crcs; /* not aligned */
};

/* Bytes on the device, a multiple of DISK_OFFSET_UNIT; 0: cannot be written (too large in some part). */
uint64_t disk_record_bytes(size_t key_bytes, unsigned labels, size_t meta_bytes, uint64_t body_bytes);
/* Writes all but the body and its checksums to at, and says where those go: the caller copies the body to *ret_body, then
 * seals. at: as many bytes as disk_record_bytes. */
void disk_record_begin(const struct disk_record *record, char *at, char **ret_meta, char **ret_body);
/* The body is there: its checksums and the head's; the padding becomes zeros. */
void disk_record_seal(char *at, const struct disk_place *place);
/* Reads a record's head, key, labels, meta and checksums from bytes at that place; body is what of it lies within size.
 * *ret_bytes: of the whole record. ERR_LIMIT: it goes on beyond size: so many bytes are needed (*ret_bytes) to check it. */
MUST_USE err disk_record_read(const char *bytes, size_t size, const struct disk_place *place, struct disk_record *ret_record,
                              uint64_t *ret_bytes);
/* Checks the body's blocks that lie wholly within record->body. */
MUST_USE err disk_record_check_body(const struct disk_record *record);
/* A record's label number i. */
static inline struct store_label disk_label(const void *labels, unsigned i)
{
    struct store_label label;

    memcpy(&label, (const char *)labels + i * sizeof(label), sizeof(label));
    return label;
}

/* ---- footer --------------------------------------------------------------------------------------------------- */

/* One record of the segment, and its labels behind it. */
struct disk_footer_entry {
    uint64_t hash; /* of the key */
    uint64_t purge_seq;
    uint32_t offset; /* units of DISK_OFFSET_UNIT */
    uint32_t units;  /* of DISK_OFFSET_UNIT */
    uint32_t wseq;   /* from the segment's first_wseq on */
    uint16_t tenant, label_count;
    uint8_t kind, reserved[3];
};
static_assert(sizeof(struct disk_footer_entry) == 40, "docs/formats/disk.md");

struct disk_trailer {
    uint32_t magic, crc; /* crc: of the place and the trailer */
    uint32_t footer_at, footer_bytes, footer_crc, entries;
    uint64_t last_wseq;
    uint64_t purge_seq_min, purge_seq_max; /* over the records */
    uint8_t reserved[16];
};
static_assert(sizeof(struct disk_trailer) == DISK_TRAILER_BYTES, "docs/formats/disk.md");

/* Bytes at a segment's end for a footer of that size with its trailer: whole blocks. */
uint32_t disk_footer_room(uint64_t footer_bytes);
/* Into room bytes (disk_footer_room) that end where the segment ends; footer may be where they begin. */
void disk_footer_write(char *room_at, uint32_t segment_bytes, const char *footer, struct disk_trailer *trailer,
                       const struct disk_place *place);
/* last: the segment's last DISK_BLOCK. */
MUST_USE err disk_trailer_read(const char *last, uint32_t segment_bytes, const struct disk_place *place, struct disk_trailer *ret_trailer);
MUST_USE err disk_footer_check(const char *footer, const struct disk_trailer *trailer);
/* The entry at *at of a checked footer, which moves behind it; false at the end. ERR_CORRUPT cannot be: lengths were
 * checked by disk_footer_check. */
bool disk_footer_next(const char *footer, const struct disk_trailer *trailer, uint32_t *at, struct disk_footer_entry *ret_entry,
                      const void **ret_labels);

/* ---- snapshot ------------------------------------------------------------------------------------------------- */

#define DISK_CHUNK_BYTES   (1u << 20)
#define DISK_CHUNK_BUCKETS (DISK_CHUNK_BYTES / DISK_INDEX_BUCKET_BYTES - 1)

/* The first block of a snapshot's area; written last. Behind it a word for each segment, whole blocks, then chunks of
 * buckets. The word: the segment's generation, with DISK_WORD_SEALED where nothing was written to it any more; 0: free. */
#define DISK_WORD_SEALED (1ull << 63)
struct disk_snapshot_head {
    uint64_t magic;
    uint32_t crc; /* of the block with this zero */
    uint32_t words_crc;
    struct disk_id set;
    uint64_t number;    /* the higher one is the newer */
    uint64_t swept_seq; /* purges up to it have left the index */
    uint64_t seq;       /* the purge sequence when it began: what was written since has at least that */
    uint64_t wseq;      /* the same of records */
    uint64_t entries;
    struct disk_index_shape shape;
    uint32_t segments; /* of all devices */
    uint32_t chunks;
};
struct disk_chunk_head {
    uint64_t magic;
    uint32_t crc; /* of the chunk with this zero */
    uint32_t number;
    struct disk_id set;
    uint64_t snapshot; /* its number */
    uint64_t buckets;
    uint8_t reserved[16];
};
static_assert(sizeof(struct disk_chunk_head) == 64, "docs/formats/disk.md");

uint64_t disk_snapshot_bytes(const struct disk_snapshot_head *head); /* of the whole area used */
uint64_t disk_chunk_buckets(const struct disk_snapshot_head *head, uint32_t number); /* of that chunk: the last one has the rest */
uint32_t disk_chunk_bytes(const struct disk_snapshot_head *head, uint32_t number); /* whole blocks, at most DISK_CHUNK_BYTES */
void disk_snapshot_head_write(const struct disk_snapshot_head *head, void *block);
MUST_USE err disk_snapshot_head_read(const void *block, const struct disk_id *set, struct disk_snapshot_head *ret_head);
void disk_chunk_write(void *chunk, const struct disk_id *set, uint64_t snapshot, uint32_t number, uint64_t buckets);
MUST_USE err disk_chunk_read(const void *chunk, const struct disk_id *set, uint64_t snapshot, uint32_t number, uint64_t *ret_buckets);

#endif
