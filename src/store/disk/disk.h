/* disk: the disk tier. Segments in a log on one or several devices, an index in RAM, a purge journal, a snapshot.
 *
 *   workers: disk_lookup (index, one read on the worker's own door, checks)      disk_offer, disk_forget, disk_hit
 *   one keeper thread a device: append -> seal -> reclaim; snapshot; sweep; purge journal; recovery
 *
 *   segment: FREE --open--> FILLING --seal--> SEALED --reclaim--> FREE        FILLING, SEALED --write or reads fail--> BAD
 *
 * The tier keeps complete objects that another tier (tiered.c) hands over, and hands back what it read for that tier to
 * keep. It never fails a request: what cannot be read is a miss, what cannot be written is not stored; a device that
 * keeps failing goes offline with all that lies on it.
 *
 * Threads: as each call says. Opening and closing block; nothing else does, but on the keepers' own threads. */
#ifndef WARP_STORE_DISK_DISK_H
#define WARP_STORE_DISK_DISK_H

#include "store/evict.h"
#include "store/storage.h"

#define DISK_DEVICES_MAX 16u

/* name, word: warp_disk_errors_total{kind} */
#define DISK_ERRORS(X)                                                                        \
    X(READ, "read")         /* the device failed a read */                                    \
    X(WRITE, "write")       /* or a write or flush */                                         \
    X(CORRUPT, "corrupt")   /* a checksum, length or place was wrong */                       \
    X(OPEN, "open")         /* a store could not be used when WARP started */                 \
    X(FORMATTED, "formatted") /* a damaged store was formatted anew */                        \
    X(OFFLINE, "offline")   /* a device failed too often and was taken out */                 \
    X(JOURNAL, "journal")   /* a purge could not be made durable */                           \
    X(SNAPSHOT, "snapshot") /* the index could not be saved, or a saved one not be used */
enum disk_error {
#define X(name, word) DISK_ERROR_##name,
    DISK_ERRORS(X)
#undef X
        DISK_ERROR_COUNT
};

/* name, word: warp_disk_written_bytes_total{cause} */
#define DISK_CAUSES(X)                                                        \
    X(OBJECTS, "objects")   /* objects written for the first time */          \
    X(UPDATES, "updates")   /* metadata after a 304 */                        \
    X(RECLAIM, "reclaim")   /* objects moved out of a segment that is reused */ \
    X(FOOTERS, "footers")                                                     \
    X(SNAPSHOT, "snapshot")                                                   \
    X(JOURNAL, "journal")                                                     \
    X(SUPER, "superblock")
enum disk_cause {
#define X(name, word) DISK_CAUSE_##name,
    DISK_CAUSES(X)
#undef X
        DISK_CAUSE_COUNT
};

/* How the owner of the metadata writes it shorter; both NULL: as it is. Any thread. */
struct disk_codec {
    size_t (*packed_bytes)(slice meta);            /* 0: cannot be packed, is stored as it is */
    void (*pack)(slice meta, char *to);            /* as many bytes as packed_bytes said */
    size_t (*unpacked_bytes)(slice packed);        /* 0: damaged */
    bool (*unpack)(slice packed, char *to);        /* to: 8-byte aligned */
};

struct purge_log;
struct disk_config {
    const char *paths[DISK_DEVICES_MAX]; /* directories (the store is DIR/warp.store) or block devices */
    unsigned path_count;
    uint64_t size_bytes;    /* of all plain files together; block devices are used whole */
    uint32_t segment_bytes; /* 0: by the size; for tests */
    uint64_t write_bytes_per_s; /* budget of each device; 0: none */
    uint64_t probation_bytes;   /* what RAM keeps of objects not yet asked for again; 0: unknown */
    uint64_t snapshot_ns;   /* time between snapshots; 0: five minutes */
    bool buffered;          /* never O_DIRECT; for tests */
    struct disk_codec codec;
    struct purge_log *purges; /* the tiers'; given back what the journals hold before disk_open returns */
};

struct disk;
struct stored; /* store/object.h */

/* Opens, locks, and where needed formats each store; those that cannot be used are left out, each with a line in the log
 * (disk_notes). On an error there is a disk
 * all the same, that has nothing and takes nothing; ERR_NOT_FOUND: none of the stores can be used. Blocks; one thread, before any other call. */
MUST_USE err disk_open(const struct disk_config *config, struct disk **ret_disk);
/* Keepers have stopped: no object of the tier above is held any more. */
void disk_let_go(struct disk *disk);
/* The same, and the memory. Blocks. NULL is fine. */
struct disk *disk_free(struct disk *disk);

/* HASH_SECRET_BYTES, of all keys: the same after a restart. */
const uint8_t *disk_secret(const struct disk *disk);

/* ---- keepers: one a device; each has a loop of its own, which runs from begin until is_ended ---------------------- */

unsigned disk_device_count(const struct disk *disk);
/* All of them before the first of the loops runs. Begins to recover at once. */
void disk_keeper_begin(struct disk *disk, unsigned device, struct loop *loop);
/* Any thread: writes what was offered, the snapshot, closes in order; then loop_stop. */
void disk_keeper_end(struct disk *disk, unsigned device);
bool disk_keeper_is_ended(const struct disk *disk, unsigned device);

/* ---- lookups ---------------------------------------------------------------------------------------------------- */

/* What was found, valid during disk_found alone. */
struct disk_found {
    enum store_kind kind;
    bool is_soft;
    uint64_t seq;
    int64_t stored_ms;
    uint16_t tenant;
    slice key, meta; /* meta: unpacked, 8-byte aligned */
    const struct store_label *labels;
    unsigned label_count;
    slice body;
};

/* The tier above: keeps what was found. On lookup's thread. */
struct disk_host {
    /* Returns a reference to the object made of it, or NULL. *ret_above: STORE_MISS; or, where the tier above has an object
     * of that key by now, which is returned then, how it is found there. */
    struct store_object *(*found)(void *host, const struct disk_found *found, enum store_found *ret_above);
    /* What was made of it is not to be kept after all: it left the index meanwhile. */
    void (*not_found)(void *host, struct store_object *object);
    /* The disk is done with what was offered: it has it now, or does not want it. On a keeper's thread; may be NULL. */
    void (*settled)(void *host, struct stored *stored);
    /* The record of a key with that half of its hash was copied (is_gone false: its hits count anew), or left the
     * disk. On a keeper's thread; may be NULL. */
    void (*moved)(void *host, uint64_t hash, bool is_gone);
    /* Finds it in the tier above. NULL: what it makes of a record is for one reader. */
    bool (*look)(void *host, struct store_lookup *lookup);
    void *host;
};
void disk_set_host(struct disk *disk, const struct disk_host *host);

/* As storage_lookup: DONE with a miss, or PENDING and storage_complete later (op.tier takes it back). Any thread
 * with a loop. */
enum store_status disk_lookup(struct disk *disk, struct store_lookup *lookup);

/* ---- what the tier above tells; any thread ------------------------------------------------------------------------ */

/* Is everything wanted on the device that takes that key, or only what was used since it came? */
bool disk_is_open(struct disk *disk, hash128 hash);
/* An object that no tier had has come from the origin. True: it was here, or asked for, not long ago: offer it as used.
 * Once an object. */
bool disk_missed(struct disk *disk, hash128 hash, uint64_t bytes);
/* A complete object; a reference is taken while it waits. was_used: asked for again since it came. is_update: its
 * metadata changed, its body is the one on disk. False: the queue is full, or the disk is off. */
bool disk_offer(struct disk *disk, struct stored *stored, bool was_used, bool is_update);
/* The key's object was replaced or dropped. */
void disk_forget(struct disk *disk, hash128 hash);
/* The key's metadata was replaced, and is offered next: what is here is not found any more, but a new head may name its body. */
void disk_renew(struct disk *disk, hash128 hash);
/* It was hit in the tier above. */
void disk_hit(struct disk *disk, hash128 hash);
/* May the disk have it? (cheap, may be wrong either way) */
bool disk_has(const struct disk *disk, hash128 hash);

/* Writes the purge (in effect already: purge->seq) to the journal of every device in use: PENDING until it is durable, then purge->durable
 * says whether it is. Cancelled: it is written all the same. */
enum store_status disk_purge(struct disk *disk, struct store_purge *purge);

/* ---- numbers ------------------------------------------------------------------------------------------------------ */

struct disk_stats {
    struct store_stats store;
    uint64_t errors[DISK_ERROR_COUNT];
    uint64_t written_bytes[DISK_CAUSE_COUNT];
    uint64_t segments, segments_free, segments_bad;
    uint64_t offers_refused; /* the queue was full */
    uint64_t too_large;      /* no segment holds them */
    uint64_t spared_lost_bytes; /* guaranteed, and not kept: no segment was free to copy them to, or the device has too much of it */
    uint64_t reads, reads_false; /* reads of the device; those that brought another key's record */
    uint64_t index_lost;
    uint64_t decisions[EVICT_DECISION_COUNT];
    uint64_t small_log_bytes; /* what the border gives it */
    unsigned devices, devices_offline, recovering;
    bool is_off; /* a purge could not be made durable: nothing of the disk is served until a restart */
};
void disk_stats(const struct disk *disk, struct disk_stats *ret_stats);
uint64_t disk_tenant_bytes(const struct disk *disk, uint16_t tenant);
/* As storage_quota_set. What waits in write buffers counts as well. Where devices are out of use, less is guaranteed by as much
 * as they would hold. */
void disk_quota_set(struct disk *disk, uint16_t tenant, const struct store_quota *quota);
/* Is the tenant above its soft quota? */
bool disk_is_over_soft(const struct disk *disk, uint16_t tenant);
/* What is wrong, in words for /readyz; NULL behind the last. Valid until disk_free. */
const char *disk_note(const struct disk *disk, unsigned i);

#endif
