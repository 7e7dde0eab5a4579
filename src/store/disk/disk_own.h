/* What the files of the disk tier share. */
#ifndef WARP_STORE_DISK_DISK_OWN_H
#define WARP_STORE_DISK_DISK_OWN_H

#include "store/disk/disk.h"
#include "store/disk/format.h"
#include "store/disk/journal.h"
#include "store/evict.h"
#include "store/object.h"
#include "store/purge.h"
#include "store/quota.h"

#include <errno.h>
#include <pthread.h>

#define DISK_BUFFER_BYTES   (2u << 20) /* the largest write, and room for any record */
#define DISK_FLUSH_NS       UINT64_C(400000000)
#define DISK_NO_SEGMENT     UINT32_MAX
#define DISK_PATH_MAX       4096u
#define DISK_DESKS          64u
#define DISK_DESK_LISTS     32u

static_assert(DISK_BUFFER_BYTES >= STORE_SLICE_BYTES + DISK_META_BYTES_MAX + DISK_KEY_BYTES_MAX + 8192, "room for any record");

/* ---- segments: a table over all devices ----------------------------------------------------------------------- */

enum segment_state { SEGMENT_UNKNOWN, SEGMENT_FREE, SEGMENT_FILLING, SEGMENT_SEALED, SEGMENT_BAD };

/* Written by its keeper; readers pin first, then look at state and generation. A pinned segment is not opened. */
struct disk_segment {
    _Atomic uint64_t generation; /* of what lies in it: its first wseq; 0: nothing */
    _Atomic uint32_t pins;
    _Atomic uint32_t live_units; /* DISK_OFFSET_UNIT: as the index's size classes say */
    _Atomic uint8_t state;
    uint8_t log;     /* enum evict_log */
    bool is_new;     /* opened since the start */
    uint8_t errors;
    uint32_t used;   /* bytes of records, and what lies before them */
    uint32_t next;   /* in its log, the older first; DISK_NO_SEGMENT: the last */
    uint64_t last_wseq;     /* of what recovery found sealed */
    uint64_t purge_seq_min; /* the oldest check against the purge log of any record in it */
};

#ifndef DISK_LOOK_STEP /* a test's: where its keeper may come between */
#define DISK_LOOK_STEP() ((void)0)
#endif

/* State and generation as they were at one moment, for threads that are not its keeper: it opens a segment between two looks.
 * Generations only rise, and a new one is there before the state that comes with it. */
static inline enum segment_state disk_segment_look(const struct disk_segment *segment, uint64_t *ret_generation)
{
    uint64_t generation = atomic_load(&segment->generation), before;
    enum segment_state state;

    do {
        before = generation;
        DISK_LOOK_STEP();
        state = (enum segment_state)atomic_load(&segment->state);
        DISK_LOOK_STEP();
        generation = atomic_load(&segment->generation);
    } while (generation != before);
    *ret_generation = generation;
    return state;
}

/* ---- one open segment of a log ---------------------------------------------------------------------------------- */

/* A record that lies in a buffer and is not in the index yet. */
struct disk_pending {
    struct disk_entry entry;
    uint64_t hash;
    struct stored *stored;       /* a reference; NULL: a copy of what lies at from_* */
    uint32_t from_segment, from_offset;
    bool is_charged;             /* it counts for its tenant: a copy counts where it lies */
};

#define DISK_PENDING_BITS 4096u

struct disk_footer {
    char *bytes; /* os_file_memory: room for what a seal writes */
    uint32_t size, room, entries;
    uint64_t last_wseq, purge_seq_min, purge_seq_max;
};

struct disk_stream {
    struct disk_device *device;
    enum evict_log log;
    uint32_t segment; /* over all devices; DISK_NO_SEGMENT: none is open */
    uint32_t flushed; /* bytes of it that are on the device; whole blocks */
    uint32_t filled;  /* bytes in the buffer: they belong behind what is flushed */
    uint32_t copied, updated; /* of the buffer: records that lay elsewhere before; heads after a 304 */
    char *buffer;     /* DISK_BUFFER_BYTES */
    struct disk_pending *pending;
    unsigned pending_count, pending_room;
    uint64_t pending_keys[DISK_PENDING_BITS / 64]; /* a bit for each that is new, by its hash: not here, not pending */
    uint64_t first_ns; /* when the oldest of them came */
    struct disk_footer footer;
};

/* The sealed segments of a log, the oldest first. */
struct disk_chain {
    uint32_t first, last;
    uint64_t count;
};

/* ---- devices ------------------------------------------------------------------------------------------------------ */

enum keeper_state { KEEPER_OPEN, KEEPER_RECOVERING, KEEPER_RUNNING, KEEPER_ENDED };

struct disk_offer_entry {
    struct stored *stored;
    uint64_t bytes; /* as counted in offer_bytes */
    bool was_used, is_update;
};

struct disk_reclaim;
struct disk_recovery;
struct disk_sweep;
struct disk_snapshot;

struct disk_device {
    struct disk *disk;
    unsigned number; /* of its path: its place in the set */
    bool is_fresh;   /* formatted by this start */
    err found;       /* what its superblock was before */
    char path[DISK_PATH_MAX];
    struct os_file file;
    struct disk_super super;
    uint32_t base; /* its first segment in the table */
    _Atomic bool is_offline;
    bool is_cleared; /* offline, and none of its entries is left */
    bool began_full; /* no segment was free when it had recovered */
    _Atomic uint8_t keeper_state;
    _Atomic bool are_heads_known, has_recovered;
    _Atomic bool was_memory_short;
    _Atomic uint32_t failures; /* of the device itself: with too many it goes offline */
    struct loop *loop;
    struct timer timer;
    struct mail wake, end;
    _Atomic bool is_woken, is_ending;
    struct disk_stream streams[EVICT_LOGS];
    struct disk_chain chains[EVICT_LOGS];
    uint32_t *free_segments; /* a ring of super.segments */
    uint32_t free_first;
    _Atomic uint32_t free_count;
    _Atomic uint32_t bad_count;
    struct evict *evict;
    _Atomic bool is_open; /* evict_is_open, for other threads */
    char *scratch;        /* DISK_BUFFER_BYTES, the keeper's for one step */
    /* what is offered; under the mutex */
    pthread_mutex_t mutex;
    struct disk_offer_entry *offers; /* a ring */
    uint32_t offer_first, offer_count;
    uint64_t offer_bytes;
    struct list commits; /* struct disk_commit_part */
    bool commits_closed;
    /* lookups under way, in two epochs: what left the index before an epoch's end is read by none after it */
    _Atomic uint32_t epoch;
    _Atomic uint32_t reading[2];
    struct journal *journal;
    enum journal_state journal_state; /* as it was found */
    unsigned sweeper; /* of the purge log */
    struct disk_reclaim *reclaim;
    struct disk_recovery *recovery;
    struct disk_sweep *sweep;
    struct disk_snapshot *snapshot;
    _Atomic uint64_t swept_seq; /* purges up to it have left the index */
    uint64_t swept_at_ns;
    /* of the first device: */
    uint64_t snapshot_number, snapshot_swept; /* the highest number there is; swept_seq of the last one that is whole */
    unsigned snapshot_area; /* where that one lies: the next one goes into the other area */
    uint64_t snapshot_at_ns;
    uint64_t spared_debt; /* bytes copied because they are guaranteed, less what may be of as many segments */
    bool is_excess_lap, is_excess_met; /* of a walk over all of the index */
    uint64_t excess_bucket;
    uint64_t own_bucket; /* where it looks next for what a tenant at its hard quota gives up */
};

/* A worker's reads under way, by their keys' hashes: a lookup of a key that is being read waits for that read. */
struct disk_desk {
    struct loop *_Atomic loop; /* the worker's */
    struct list reads[DISK_DESK_LISTS];
};

struct disk {
    struct disk_config config;
    struct disk_index *index;
    struct disk_segment *segments;
    uint32_t segment_count;
    struct disk_device devices[DISK_DEVICES_MAX];
    unsigned device_count;
    struct disk_host host;
    struct purge_log *purges;
    uint8_t secret[HASH_SECRET_BYTES];
    struct disk_id set;
    uint64_t mounts, out; /* before this start, as the set's superblocks have them */
    _Atomic uint64_t out_now; /* bits: devices that have failed since, and whose failure the others have on record */
    _Atomic uint64_t next_wseq;
    _Atomic uint64_t forget_seq; /* journals need not remember purges up to it */
    /* the snapshot that the start goes on from; words NULL: there is none */
    uint64_t *words;
    struct disk_snapshot_head snapshot;
    uint64_t snapshot_at; /* on the first device */
    _Atomic bool is_loaded;
    /* changed.c */
    _Atomic bool notes_changes;
    pthread_mutex_t changed_mutex;
    uint64_t *changed;
    _Atomic bool is_off;
    struct store_share *shares; /* of tenants; in bytes as size classes say, an eighth more than they are at most; with what waits in buffers */
    _Atomic bool has_excess; /* a tenant may be above its hard quota */
    _Atomic bool has_guarantees; /* a quota that guarantees something was ever set */
    _Atomic uint32_t in_use_1024ths;     /* of the segments: those of devices that are in use */
    _Atomic uint64_t spared_lost_bytes; /* of records that were guaranteed, and could not be kept */
    _Atomic uint64_t live_bytes;
    _Atomic uint64_t errors[DISK_ERROR_COUNT], written[DISK_CAUSE_COUNT];
    _Atomic uint64_t lookup_hits, misses, inserts, evictions, evicted_bytes, purge_attempts;
    _Atomic uint64_t reads, reads_false, offers_refused, too_large;
    struct disk_desk desks[DISK_DESKS];
    pthread_mutex_t note_mutex;
    char *notes[2 * DISK_DEVICES_MAX];
    unsigned note_count;
};

static inline uint64_t disk_hash(hash128 hash)
{
    return hash.hi;
}

static inline struct disk_device *disk_device_of_segment(struct disk *disk, uint32_t segment)
{
    unsigned i = disk->device_count - 1;

    while (segment < disk->devices[i].base)
        i--;
    return &disk->devices[i];
}

static inline uint64_t disk_at(const struct disk_device *device, uint32_t segment, uint32_t offset)
{
    return device->super.segments_at + (uint64_t)(segment - device->base) * device->super.segment_bytes + offset;
}

struct disk_place disk_place_of(const struct disk_device *device, uint32_t segment, uint64_t generation, uint32_t offset);

/* disk.c */
/* The tier above hears that it is done with, and the reference goes. */
void disk_settle(struct disk *disk, struct stored *stored);
void disk_count(struct disk *disk, enum disk_error kind);
/* Memory is short, WARP's or the kernel's: no fault of a device. */
static inline bool disk_is_memory(err e)
{
    return e.code == ERR_MEMORY || (e.code == ERR_SYSTEM && e.sys == ENOMEM);
}
/* What could not be done for it, and is done later, or not at all; logs the first time. */
void disk_memory_short(struct disk_device *device, const char *what);
/* The device itself failed (I/O error): counts, logs, takes it offline when that happens too often; not where memory is short. */
void disk_failed(struct disk_device *device, enum disk_error kind, const char *what, err e);
/* Out of use from now on; why: "failed 4 times". Any thread. */
void disk_device_out(struct disk_device *device, const char *why);
uint64_t disk_devices_out(const struct disk *disk); /* those that were opened and are out of use, a bit each */
bool disk_is_in_use(const struct disk *disk);       /* at least one of them is */
void disk_note_add(struct disk *disk, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Index and accounts together. */
void disk_entry_put(struct disk *disk, uint64_t hash, const struct disk_entry *entry);
/* A record newer than what the key has. A new head leaves the body where it is: a whole record becomes one, before the head
 * can be found. What is whole needs no other body. */
void disk_entry_take_place(struct disk *disk, uint64_t hash, const struct disk_entry *entry);
/* What the index has at that place; false: it has nothing of that key there any more. */
bool disk_entry_find(const struct disk *disk, uint64_t hash, uint32_t segment, uint32_t offset, struct disk_entry *ret_entry);
bool disk_entry_remove(struct disk *disk, uint64_t hash, uint32_t segment, uint32_t offset);
void disk_entry_gone(struct disk *disk, const struct disk_entry *entry);
void disk_entry_came(struct disk *disk, const struct disk_entry *entry);
MUST_USE err disk_write_now(struct disk_device *device, void *bytes, uint32_t size, uint64_t at, enum disk_cause cause);
/* The epoch's lookups have ended: call until true. */
unsigned disk_epoch_turn(struct disk_device *device);
bool disk_epoch_may_turn(const struct disk_device *device);

/* device.c */
/* First all are opened and looked at, then each is taken on or formatted. */
MUST_USE err disk_device_open(struct disk_device *device, const char *path, uint64_t size_bytes);
bool disk_super_is_worn_out(const struct disk_super *super); /* its counters are near their end */
bool disk_device_is_good(const struct disk_device *device); /* it was found to be gone on with, and is not formatted */
MUST_USE err disk_device_take(struct disk_device *device, uint64_t missing); /* missing: devices of the set, a bit each */
MUST_USE err disk_device_tell(struct disk_device *device, uint64_t missing); /* the same, of one that was taken */
MUST_USE err disk_super_store(struct disk_device *device);
/* Formats one that was taken, before its keeper begins: nothing that lies on it can be found any more. */
MUST_USE err disk_device_wipe(struct disk_device *device);

/* log.c; the keeper's thread */
/* Where a record for that log goes: its metadata and its body. False: no segment to be had, none that holds it, or the write failed. */
struct disk_append {
    enum evict_log log;
    uint64_t hash;
    struct disk_record record; /* key, labels, meta (data NULL: packed later), body_bytes; wseq is given here */
    struct disk_entry entry;   /* kind, tenant, expiry, hits */
    struct stored *stored;     /* as in disk_pending */
    uint32_t from_segment, from_offset;
};
MUST_USE bool disk_append_begin(struct disk_device *device, struct disk_append *append, char **ret_meta, char **ret_body);
bool disk_append_end(struct disk_device *device, struct disk_append *append);
/* All that lies in buffers is on the device afterwards, and in the index; false: a write failed. */
bool disk_flush(struct disk_device *device, enum evict_log log);
/* Nothing new of that key waits in a buffer afterwards: a copy of its old record must not get the higher sequence. */
void disk_flush_key(struct disk_device *device, uint64_t hash);
void disk_flush_due(struct disk_device *device, uint64_t now_ns);
void disk_seal(struct disk_device *device, enum evict_log log);
MUST_USE err disk_footer_add(struct disk_footer *footer, const struct disk_record *record, uint64_t hash, uint32_t offset_bytes, uint64_t bytes,
                             uint64_t first_wseq);
void disk_chain_push(struct disk *disk, struct disk_chain *chain, uint32_t segment);
void disk_segment_free_push(struct disk_device *device, uint32_t segment);
bool disk_free_are_pinned(const struct disk_device *device); /* there are some, and all of them have readers */
void disk_pending_drop(struct disk_stream *stream); /* records on their way are not written */
MUST_USE err disk_streams_open(struct disk_device *device);
void disk_streams_close(struct disk_device *device);

/* keeper.c */
void disk_keeper_wake(struct disk_device *device);
/* Nothing that was offered, or is on its way, is held any more. */
void disk_offers_drop(struct disk_device *device);

/* quota.c */
bool disk_is_spared(const struct disk *disk, uint16_t tenant);
/* A new record counts for its tenant from now on, as much as its size class says; at its hard quota some of its own go. False: they
 * are not enough. Given back when the record is in the index, which counts it then, or is not written. */
MUST_USE bool disk_quota_take(struct disk_device *device, uint16_t tenant, uint64_t bytes);
void disk_quota_give(struct disk *disk, uint16_t tenant, uint64_t bytes);
/* Who is above its hard quota, which was lowered, comes down to it: some buckets of the index at a time. */
bool disk_excess_step(struct disk_device *device);
void disk_excess_look(struct disk *disk);
void disk_excess_give_up(struct disk_device *device); /* another one goes on */

/* reclaim.c: one step; true: more to do. */
bool disk_reclaim_step(struct disk_device *device);
/* Nothing new is written now: the last free segment is for what is guaranteed and has to be kept. */
bool disk_reclaim_goes_first(const struct disk_device *device);
void disk_reclaim_close(struct disk_device *device);
/* The checked footer of a sealed segment, to be freed. ERR_MEMORY: not now; else it cannot be read, and was counted. */
MUST_USE err disk_segment_footer_read(struct disk_device *device, uint32_t segment, struct disk_trailer *ret_trailer, char **ret_footer);
/* The same; NULL on any error. */
char *disk_segment_footer(struct disk_device *device, uint32_t segment, struct disk_trailer *ret_trailer);
/* The device is offline: its entries leave the index, once. */
bool disk_offline_step(struct disk_device *device);
/* A sealed segment's footer cannot be read: it leaves its chain, its entries the index, and it is free. */
void disk_segment_unreadable(struct disk_device *device, uint32_t segment);
/* Entries of the segment from that offset on (units) leave the index. */
void disk_segment_cut(struct disk_device *device, uint32_t number, uint32_t offset);
/* A segment is not to be used any more: its entries leave the index. */
void disk_segment_bad(struct disk_device *device, uint32_t segment);

/* recover.c, snapshot.c, sweep.c: one step each; true: call again soon. */
void disk_snapshot_find(struct disk_device *device); /* when it is opened */
bool disk_recover_step(struct disk_device *device);
void disk_recover_close(struct disk_device *device);
bool disk_snapshot_step(struct disk_device *device, bool wanted);
void disk_snapshot_drop(struct disk_device *device); /* one that is under way */
void disk_snapshot_close(struct disk_device *device);
bool disk_sweep_step(struct disk_device *device);
void disk_sweep_close(struct disk_device *device);
/* Entries of all devices are there, or will not come. */
bool disk_all_recovered(const struct disk *disk);

/* changed.c: what was changed while the index is recovered. */
MUST_USE err disk_changed_open(struct disk *disk);
void disk_changed_close(struct disk *disk); /* every device has recovered */
/* What older records say of that key does not count any more. Before the index is changed; any thread. */
void disk_changed(struct disk *disk, uint64_t hash);
/* Recovery's: locked while it asks and puts. */
void disk_changed_lock(struct disk *disk);
void disk_changed_unlock(struct disk *disk);
bool disk_was_changed(const struct disk *disk, uint64_t sight);

/* commit.c: purges to the journal. */
void disk_commit_step(struct disk_device *device);
MUST_USE err disk_journal_flush(struct disk_device *device);
void disk_journal_reserve(struct disk_device *device);
/* When it is opened: what the journals hold comes back into the purge log. */
MUST_USE err disk_journals_open(struct disk *disk);
void disk_commits_fail(struct disk_device *device);

#endif
