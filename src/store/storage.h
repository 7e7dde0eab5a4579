/* storage: what every tier is to the rest of WARP. Knows no HTTP beyond opaque metadata.
 *
 *   lookup(key) -> object or nothing        hit_handler: reads an object's body, seeks, follows a fill
 *   get_miss_handler(key, meta) -> writer   miss_handler: takes the body as it arrives, finish or drop
 *   update_meta(object, meta)               purge(label)
 *
 * Every call is submit and complete: it returns STORE_DONE with the results filled in (the RAM tier always
 * does), or STORE_PENDING and calls op.done() later on op.loop's thread; it can be cancelled; a deadline ends
 * it with STORE_LATE. The wrappers below (storage.c) see to deadlines, so that a tier need not.
 *
 * Objects are immutable and counted. A purge is a log, not a search: every object carries the sequence at the
 * start of its fill and its labels; one that is older than a matching purge is never handed out (purge.h).
 *
 * Threads: any, unless a call says otherwise. A thread that looks up much has a near table (below). No call blocks on a device. */
#ifndef WARP_STORE_STORAGE_H
#define WARP_STORE_STORAGE_H

#include "base/err.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/source.h"
#include "loop/loop.h"

#include <stdatomic.h>

#define STORE_LABELS_MAX 300u
#define STORE_PROBATION_PERCENT 25u /* of a RAM tier: objects that were not asked for again yet */
#define STORE_PROBATION_OVER_DISK_PERCENT 75u /* of one over a disk: what leaves the rest is found there (docs/eviction.md) */
/* Larger bodies are cut into slices of that size before they come here: no tier holds a larger piece on a device. */
#define STORE_SLICE_BYTES (1u << 20)
#define STORE_SLICE_SLAB_BYTES (2u << 20) /* one that fills a slab of the RAM tier: no disk holds it */

struct storage;
struct purge_log;
struct store_body; /* store/body.h */
struct body_chunk;

/* ---- keys and labels -------------------------------------------------------------------------------------- */

/* full: the whole key (cache/key.h builds it); it is compared before an object is handed out. */
struct store_key {
    hash128 hash;
    slice full;
};
struct store_key storage_key(const struct storage *storage, slice full);

enum store_label_kind { STORE_LABEL_TENANT, STORE_LABEL_URL, STORE_LABEL_HOST, STORE_LABEL_PREFIX, STORE_LABEL_TAG, STORE_LABEL_GROUP };

struct store_label {
    uint32_t hash; /* a false match costs one miss */
};
struct store_label store_label_of(uint16_t tenant, enum store_label_kind kind, slice text);

/* In the place of a tenant's id, with STORE_LABEL_TENANT: everything of everybody. */
#define STORE_TENANT_ALL 0u

/* How a purge came about: name, word */
#define PURGE_SOURCES(X)                                                                                     \
    X(API, "api")         /* somebody asked for it */                                                        \
    X(METHOD, "method")   /* PURGE on the data listener */                                                   \
    X(REQUEST, "request") /* an unsafe request's answer made something invalid */                            \
    X(WARP, "warp")       /* the journal was full: everything of the tenant instead */

enum purge_source {
#define X(name, word) PURGE_BY_##name,
    PURGE_SOURCES(X)
#undef X
        PURGE_SOURCE_COUNT
};
const char *purge_source_word(enum purge_source source);
const char *store_label_kind_word(enum store_label_kind kind);

/* What the purge log shows of a purge beside what it does; copied. */
struct purge_note {
    slice who, what;
    uint8_t source; /* enum purge_source */
};

/* ---- objects ---------------------------------------------------------------------------------------------- */

enum store_kind {
    STORE_ANSWER, /* meta and body of a stored response */
    STORE_VARY,   /* no body: meta names the request fields that select a variant (cache/vary.h) */
    STORE_NOTE,   /* no body: remembers that the answer is not shareable; lives for ttl_ms; in RAM only */
    STORE_SLICE,  /* a piece of a large body (fill/slices.h); meta is its owner's */
};

#define STORE_KEY_BYTES_MAX ((1u << 24) - 1)

/* Read only for everybody but the store; valid while a reference is held. It points at the metadata alone, 8-byte aligned:
 * the labels lie before it, the whole key behind it. */
struct store_object {
    hash128 hash;
    slice meta;
    uint64_t seq;         /* the purge sequence when its fill began */
    int64_t stored_ms;    /* wall clock */
    int64_t expires_ms;   /* STORE_NOTE: gone after this; 0 never */
    struct store_body *body; /* NULL for STORE_VARY and STORE_NOTE */
    uint16_t label_count;
    uint16_t tenant;
    uint32_t kind : 8;
    uint32_t key_bytes : 24;
};

/* As many as keep what is behind them aligned. */
static inline unsigned store_label_room(unsigned count)
{
    return (count + 1) & ~1u;
}

static inline const struct store_label *store_object_labels(const struct store_object *object)
{
    return (const struct store_label *)(const void *)object->meta.data - store_label_room(object->label_count);
}

static inline slice store_object_key(const struct store_object *object)
{
    return slice_of(object->meta.data + object->meta.len, object->key_bytes);
}

struct store_object *store_object_ref(struct store_object *object);
struct store_object *store_object_unref(struct store_object *object); /* NULL is fine; returns NULL */
/* -1 while a fill of unknown length runs. */
int64_t store_object_length(const struct store_object *object);
bool store_object_is_complete(const struct store_object *object);
bool store_object_is_failed(const struct store_object *object); /* its fill was dropped */

/* ---- calls ------------------------------------------------------------------------------------------------ */

enum store_status { STORE_DONE, STORE_PENDING };

/* A tier's own part of a call that is pending; first member of it. */
struct store_op;
struct store_pending {
    void (*cancel)(struct store_pending *pending); /* as storage_cancel */
};

/* First member of every call. done and loop may be left NULL only where the caller never sees STORE_PENDING
 * (RAM only). Owned by the caller until DONE, done() or cancel. */
struct store_op {
    struct list link; /* the tier's while pending */
    struct loop *loop;
    void (*done)(struct store_op *op);
    uint64_t deadline_ns; /* loop time; 0: none */
    struct timer timer;   /* storage.c's */
    struct storage *storage;
    struct store_pending *tier; /* the tier's while pending */
    bool pending, late;
};

/* done() of a call whose result nobody waits for: one that is cancelled when it is not complete at once. */
static inline void store_op_ignored(struct store_op *op)
{
    (void)op;
}

enum store_found {
    STORE_MISS,
    STORE_HIT,
    STORE_HIT_SOFT, /* softly purged: is stale from now on */
    STORE_LATE,     /* the deadline passed: treat as a miss */
};

struct store_lookup {
    struct store_op op;
    struct store_key key;      /* in; full stays valid until done */
    bool peek;                 /* in: do not count as a use (browse, explain, double check) */
    bool at_hand;              /* in: only what needs no device: never STORE_PENDING */
    bool is_below;             /* out: it was read from the tier below for this lookup */
    enum store_found found;    /* out */
    struct store_object *object; /* out: a reference, the caller's */
};

/* One object to be written. */
struct store_fill {
    struct store_op op;
    /* in: stay valid until done; the store copies key, meta and labels */
    struct store_key key;
    uint16_t tenant;
    uint8_t kind;
    uint64_t seq;
    slice meta;
    const struct store_label *labels;
    unsigned label_count;
    int64_t length_bytes; /* of the body; -1 unknown */
    int64_t ttl_ms;       /* STORE_NOTE */
    int64_t stored_ms;    /* of an object that comes from another tier; 0: now */
    const struct store_object *replaces; /* only in the place of this one (also where it was evicted), else ERR_EXISTS; NULL: of whatever is there */
    bool if_absent;       /* what is there already stays: ERR_EXISTS */
    bool is_soft;         /* softly purged before */
    bool is_below;        /* it comes from the tier below, which keeps it */
    bool private_copy;    /* never in the index: only those who are given the object read it */
    /* Called on op.loop's thread when miss_handler_room had none and there is some again, or when nobody
     * reads a window any more (miss_handler_has_readers). May be NULL when room is always taken as it comes. */
    void (*on_room)(void *writer);
    void *writer;
    /* out */
    err result; /* ERR_LIMIT: no memory for it now; ERR_REFUSED: purged meanwhile, or over_quota, and not stored */
    bool over_quota; /* its tenant may have no more, or only what is asked for twice */
    struct miss_handler *miss_handler; /* NULL on error and for kinds without a body */
};

struct store_update {
    struct store_op op;
    struct store_object *object; /* in: the one looked up; its body is kept */
    slice meta;                  /* in: the new metadata */
    const struct store_label *labels;
    unsigned label_count;
    uint64_t seq;                /* in: when the validation began */
    err result;                  /* ERR_REFUSED: purged meanwhile; ERR_NOT_FOUND: replaced meanwhile */
    struct store_object *updated; /* out: a reference, the caller's; also on ERR_REFUSED and ERR_NOT_FOUND (then
                                     outside the index: for those who already waited), NULL on ERR_LIMIT */
};

struct store_purge {
    struct store_op op;
    uint16_t tenant;
    enum store_label_kind kind;
    struct store_label label; /* STORE_LABEL_TENANT: everything of the tenant */
    struct store_key key;     /* STORE_LABEL_URL with a key: its object is freed at once and counted, and no other is
                                 looked for; hash zero: none */
    const hash128 *others;    /* with a key: hashes of further objects that may have the label */
    unsigned other_count;
    bool keys_are_all;        /* with a key: no other object can have the label */
    struct purge_note note;   /* for the purge log */
    bool soft;
    bool is_counted;  /* in: the caller has counted: what it matches is the next two */
    bool count_is_exact;
    uint64_t count;
    bool uncounted;   /* in: do not count what it matches (invalidation by a request: costs no walk) */
    uint64_t seq;     /* out */
    int64_t wall_ms;  /* out: when */
    uint64_t matched; /* out: objects known to match; not exact: about, or at least, so many */
    bool matched_is_exact;
    bool matched_is_least; /* not exact, and there may be any number more: not all that it matches can be found now */
    bool durable;     /* survives a restart (or nothing does that it concerns) */
};

enum store_status storage_lookup(struct storage *storage, struct store_lookup *lookup);
enum store_status storage_get_miss_handler(struct storage *storage, struct store_fill *fill);
enum store_status storage_update_meta(struct storage *storage, struct store_update *update);
enum store_status storage_purge(struct storage *storage, struct store_purge *purge);
/* Is there an object with that key, as far as can be said at once: no device is asked. A hint: it may be gone, or come,
 * a moment later, and false also stands for "not known here". Not counted as a use. */
bool storage_has(struct storage *storage, const struct store_key *key);
/* done() will not be called; results already there are released. Safe when not pending. */
void storage_cancel(struct store_op *op);

/* Takes one object out of the index (a variant too many, an answer that turned out wrong). */
void storage_drop(struct storage *storage, struct store_object *object);
void storage_drop_hash(struct storage *storage, hash128 hash);

/* The log of all purges, for reading it (purge.h). */
struct purge_log *storage_purges(const struct storage *storage);
/* The sequence now. */
uint64_t storage_seq(const struct storage *storage);
/* The sequence now, held: a fill or a validation pins it before it sends its request, uses it as its seq, and
 * unpins it when get_miss_handler or update_meta has completed or it gives up. Without the pin, a purge that
 * came after could retire before the object is published. */
uint64_t storage_pin_seq(struct storage *storage);
void storage_unpin_seq(struct storage *storage, uint64_t seq);
/* Has a purge hit an object of this age and labels, hard? (join, publication) Exact while seq is pinned or the
 * object is in the index. */
bool storage_is_purged(const struct storage *storage, uint64_t seq, uint16_t tenant, const struct store_label *labels,
                       unsigned label_count);
/* The same for any purge, soft ones too: who asks now may not be given what was asked of the origin before it. */
bool storage_is_overtaken(const struct storage *storage, uint64_t seq, uint16_t tenant, const struct store_label *labels,
                          unsigned label_count);

/* ---- reading: hit_handler ----------------------------------------------------------------------------------- */

/* Reads the bytes [at, end) of an object's body as a source, following its fill. Embedded in the reader; a few
 * dozen bytes; no memory is taken. Belongs to the thread of loop.
 * peek fails when the fill was dropped, and when a window has moved past `at` (is_behind tells). */
struct hit_handler {
    struct source source;
    struct store_object *object; /* a reference */
    struct loop *loop;
    uint64_t at, end; /* end UINT64_MAX: the object's end */
    struct body_chunk *chunk; /* where `at` is, body.c's */
    void (*gone)(struct hit_handler *hit);
    struct list waiting;
    struct mail mail;
    uint8_t state; /* shared with the writer, under the body's lock */
    uint8_t own;   /* of the reader's thread */
    bool is_behind;
};

/* Takes over the caller's reference. */
void hit_handler_open(struct hit_handler *hit, struct store_object *object, struct loop *loop);
/* Before the first peek or after any consume. to UINT64_MAX: the end. */
void hit_handler_seek(struct hit_handler *hit, uint64_t from, uint64_t to);
/* source_close(&hit->source) lets go. A close while a wake-up is in the mail is safe: memory of hit must stay
 * until `gone` is called, at once where nothing is in the mail. source_close is this with no `gone`: where hit's
 * memory does not outlive the loop's next turn of mail, use hit_handler_close. */
void hit_handler_close(struct hit_handler *hit, void (*gone)(struct hit_handler *hit));

/* ---- writing: miss_handler ---------------------------------------------------------------------------------- */

/* Belongs to the thread of store_fill.op.loop. Nothing partial is ever visible as whole.
 * A body larger than its share (1/8 of the tier) keeps a window of 1 MiB: nobody new joins, the fastest reader
 * sets the pace, slower ones fall behind. */
struct miss_handler;

/* Where the next bytes of the body go: *ret_bytes of at least 1 byte, or false: wait for on_room. */
MUST_USE bool miss_handler_room(struct miss_handler *miss, char **ret_at, size_t *ret_bytes);
void miss_handler_wrote(struct miss_handler *miss, size_t n);
/* As many bytes of s as there is room for. */
MUST_USE size_t miss_handler_write(struct miss_handler *miss, slice s);
struct store_object *miss_handler_object(struct miss_handler *miss); /* a new reference */
uint64_t miss_handler_written(const struct miss_handler *miss);
bool miss_handler_is_window(const struct miss_handler *miss);
bool miss_handler_has_readers(const struct miss_handler *miss);
/* The body is complete. Frees the handler. */
void miss_handler_finish(struct miss_handler *miss);
/* It never will be: out of the index, readers fail visibly. Frees the handler. NULL is fine. */
void miss_handler_drop(struct miss_handler *miss);

/* ---- numbers, browsing ---------------------------------------------------------------------------------------- */

/* Counters of one tier; names as in docs/reference/metrics.md (warp_cache_<name>_total, or gauges). */
#define STORE_COUNTERS(X)                                                                                    \
    X(lookup_hits, "Lookups that found an object")                                                           \
    X(misses, "Lookups that found nothing")                                                                  \
    X(inserts, "Objects written")                                                                            \
    X(purge_attempts, "Purges asked for")                                                                    \
    X(evictions, "Objects removed to make room")                                                             \
    X(evicted_bytes, "Bytes removed to make room")                                                           \
    X(slab_moves, "Slabs and ready extents that were made one huge page")                                    \
    X(slab_move_failures, "Attempts at it that failed: sockets held pages, or the kernel had none")
#define STORE_GAUGES(X)                                                                                      \
    X(size_bytes, "Bytes in use: bodies, metadata, keys, padding and object structures")                     \
    X(objects, "Objects in the index, without slices")                                                                       \
    X(slices, "Slices of large bodies in the index")                                                         \
    X(index_bytes, "Bytes of the index")                                                                     \
    X(max_bytes, "The cap on size and index together")                                                       \
    X(slabs, "Slabs that large bodies lie in, of up to 2 MiB")                                               \
    X(slab_bytes, "Bytes of these slabs")                                                                    \
    X(slab_huge, "Slabs that are one huge page")                                                             \
    X(slab_rounding_bytes, "Bytes of slabs that hold nothing: the ends of bodies, rounded up")      \
    X(slab_ready_bytes, "Bytes of huge pages ready for the next large body")

struct store_stats {
#define X(name, text) uint64_t name;
    STORE_COUNTERS(X)
    STORE_GAUGES(X)
#undef X
};
const char *storage_name(const struct storage *storage); /* "ram", "disk", ... : the tier label */
/* The tiers a storage is made of, the first one first; NULL behind the last. For names and numbers alone. */
const struct storage *storage_tier(const struct storage *storage, unsigned i);
void storage_stats(const struct storage *storage, struct store_stats *ret_stats);
uint64_t storage_tenant_bytes(const struct storage *storage, uint16_t tenant);

/* What a tenant may have of a tier (storage_tier), in bytes as storage_tenant_bytes counts them. Without: 0 guaranteed, no
 * limit. Any thread, at any time: what is above a new limit goes soon, some of it with each turn (storage_turn; the disk's keepers).
 *   guaranteed  while it has no more, its objects are not evicted for others'
 *   soft        above it, what is new is only kept when it is asked for a second time
 *   hard        it never has more: its own objects make room, or what is new is not kept */
#define STORE_NO_LIMIT UINT64_MAX
struct store_quota {
    uint64_t guaranteed_bytes, soft_bytes, hard_bytes;
};
void storage_quota_set(struct storage *storage, unsigned tier, uint16_t tenant, const struct store_quota *quota);

/* Calls visit for objects in the index in the order of their hashes, from cursor on, at most limit of them.
 * Returns the next cursor, 0 at the end. visit must not call the store. */
uint64_t storage_browse(struct storage *storage, uint64_t cursor, unsigned limit,
                        void (*visit)(void *arg, const struct store_object *object, uint64_t hits), void *arg);

/* House-keeping: sweep what purges matched, retire purges. Any one thread, about every 100 ms. Bounded work. */
void storage_turn(struct storage *storage, int64_t wall_ms);
/* House-keeping that may take milliseconds: one thread of its own. Does one piece of work; returns when there may be
 * more: nanoseconds from now, 0: at once, UINT64_MAX: when wake is called. */
uint64_t storage_tend(struct storage *storage);
/* Before the first fill; wake: any thread. False: this storage has nothing to tend. */
bool storage_on_work(struct storage *storage, void (*wake)(void *arg), void *arg);

/* ---- a thread's near table ---------------------------------------------------------------------------------- */

/* What a thread found lately, for it alone: a hit on a hot object then takes no lock and writes nothing that other
 * threads use (near.h). Without one all calls are the same, only dearer for others. One thread uses one at a time,
 * and lookups and references go through it whatever tier they are of. */
struct store_near;
struct store_near *storage_near_new(struct storage *storage); /* NULL: the tier has none, or no memory */
void store_near_enter(struct store_near *near);               /* the calling thread's from now on; NULL: none */
void store_near_turn(struct store_near *near);                /* its thread, about every 100 ms; NULL is fine */
/* Its thread, or any after that has ended; before the storage. NULL is fine. */
struct store_near *store_near_free(struct store_near *near);

struct storage *storage_free(struct storage *storage);

/* ---- the RAM tier ------------------------------------------------------------------------------------------ */

struct store_ram_config {
    uint64_t max_bytes;    /* hard cap: bodies, metadata, index; at least 1 MiB; 0 turns storing off: every fill is
                              a private window, lookups miss */
    unsigned shards;       /* power of two; 0: 64 */
    uint64_t window_bytes; /* 0: 1 MiB */
    unsigned small_percent; /* of it for what was not asked for again; 0: 25 */
    const uint8_t *secret; /* HASH_SECRET_BYTES; NULL: from os_entropy */
    struct purge_log *purges; /* shared with other tiers, stays the caller's; NULL: its own */
    bool near_at_once;     /* near tables take what they see for the first time: for tests that ask seldom */
    uint64_t slab_from_bytes; /* bodies of at least that lie in slabs; 0: 64 KiB; UINT64_MAX: none does */
    uint64_t slab_bytes;      /* used of each slab, for tests; 0: all of it, 2 MiB */
};
MUST_USE err store_ram_new(const struct store_ram_config *config, struct storage **ret_storage);

#endif
