/* stored: the whole of a store_object, and the budget its bytes come from. For tiers (store/, remote/).
 *
 * One allocation holds: struct stored, the body's head (kinds with a body), labels, meta (8-byte aligned), key, and
 * the body itself where its length is known to be at most STORED_INLINE_BYTES. The allocator rounds up to its next
 * size, a tenth on average. Where that is much, the object is of the size below, full to its last byte:
 *
 *   struct stored | store_body | labels | meta | key | the body's first bytes | pointer to the tail: all others
 *
 * An object made by update_meta shares the body of the one it came from and holds a reference to it.
 * References: the index holds one, a running fill one, every caller the ones it was given, and threads' near tables
 * some taken in advance (near.h). */
#ifndef WARP_STORE_OBJECT_H
#define WARP_STORE_OBJECT_H

#include "store/body.h"
#include "store/quota.h"
#include "store/storage.h"

#define STORED_INLINE_BYTES (16u * 1024)

/* The hard cap of a tier: every allocation is taken from it first and given back after it is freed. */
struct store_budget {
    _Atomic uint64_t used;
    uint64_t max; /* UINT64_MAX: counted only */
    /* Frees at least bytes from the tier's own objects, as far as it can; for whom: a tenant, or STORE_TENANT_NONE;
     * near: a hash whose shard goes first. False when nothing could be freed. Called without locks. */
    bool (*make_room)(struct store_budget *budget, uint32_t tenant, uint64_t bytes, hash128 near);
    /* The same of the tenant's own objects alone, which is at its hard quota. */
    bool (*make_own_room)(struct store_budget *budget, uint16_t tenant, uint64_t bytes, hash128 near);
    struct store_share *shares; /* store_shares_new; NULL: nobody's bytes are counted */
    struct slabs *slabs;            /* where its large bodies lie; NULL: in memory of malloc */
};
#define STORE_TENANT_NONE UINT32_MAX /* nobody's: index tables, what is one reader's alone */
MUST_USE bool store_budget_take(struct store_budget *budget, uint32_t tenant, uint64_t bytes, hash128 near);
void store_budget_give(struct store_budget *budget, uint32_t tenant, uint64_t bytes);
/* What was taken for nobody is a tenant's from now on; false: it may have no more. */
MUST_USE bool store_budget_pass(struct store_budget *budget, uint16_t to, uint64_t bytes);
/* The same; its own objects make room. Without locks. */
MUST_USE bool store_budget_charge(struct store_budget *budget, uint16_t to, uint64_t bytes, hash128 near);
void store_budget_discharge(struct store_budget *budget, uint16_t to, uint64_t bytes); /* nobody's again */
/* Has the tenant room left for that under its hard quota? */
bool store_budget_fits(const struct store_budget *budget, uint16_t tenant, uint64_t bytes);
/* What an allocation of that size really costs: the allocator's size classes and its own bytes. */
uint64_t store_charge(size_t size);
/* The largest size not above this one that costs what it is; of at least 16. */
size_t store_charge_floor(size_t size);

/* The order of members keeps it at 112 bytes: the test counts them. */
struct stored {
    struct store_object seen; /* what others see; first */
    struct list link;         /* in a queue of the eviction; guarded by the shard */
    struct store_budget *budget;
    _Atomic uint32_t refs;
    uint32_t charge_units;   /* STORED_UNIT_BYTES: what the queues count for it; set when it enters one */
    _Atomic uint32_t hits;   /* all of them, for people */
    _Atomic uint8_t use;     /* 0..3, for the eviction */
    uint8_t queue;           /* s3fifo.h; guarded by the shard */
    _Atomic uint8_t flags;   /* enum stored_flag */
    _Atomic uint8_t is_indexed; /* written under the shard's lock; near tables read it without */
};
#define STORED_UNIT_BYTES 16u

enum stored_flag {
    STORED_SOFT = 1,    /* a soft purge that has retired matched it */
    STORED_ON_DISK = 2, /* what the disk tier has under its key is this */
    STORED_OVER = 4,    /* replaced or dropped: not to be found again in any tier */
    STORED_OFFERED = 8, /* to the tier below */
    STORED_TOLD = 48,   /* two bits: hits the tier below was told of, up to three */
    STORED_PRIVATE = 64, /* never in the index: no tenant's quota counts it */
};
#define STORED_TOLD_ONE 16u

struct stored_with_body {
    struct stored stored;
    struct store_body body;
};

/* Without the lock: after the purge log was asked, never before it (near.h). */
static inline bool stored_is_indexed(const struct stored *stored)
{
    return atomic_load_explicit(&stored->is_indexed, memory_order_acquire) != 0;
}

/* Under the shard's lock. */
static inline void stored_set_indexed(struct stored *stored, bool is_indexed)
{
    atomic_store_explicit(&stored->is_indexed, is_indexed, memory_order_release);
}

static inline bool stored_has_flag(const struct stored *stored, enum stored_flag flag)
{
    return (atomic_load_explicit(&stored->flags, memory_order_acquire) & (unsigned)flag) != 0;
}

static inline void stored_set_flag(struct stored *stored, enum stored_flag flag)
{
    atomic_fetch_or(&stored->flags, (uint8_t)flag);
}

/* Whose bytes it is made of. */
static inline uint32_t stored_payer(const struct stored *stored)
{
    return UNLIKELY(stored_has_flag(stored, STORED_PRIVATE)) ? STORE_TENANT_NONE : stored->seen.tenant;
}

/* While its tenant has no more than it is guaranteed, others do not take its place. */
static inline bool stored_is_spared(const struct stored *stored)
{
    const struct store_share *shares = stored->budget->shares;

    return shares != NULL && store_share_is_spared(&shares[stored->seen.tenant]);
}

/* What a new object is made of; copied. */
struct stored_seed {
    struct store_key key;
    slice meta;
    const struct store_label *labels;
    unsigned label_count;
    uint64_t seq;
    int64_t stored_ms, expires_ms;
    uint16_t tenant;
    uint8_t kind;
    bool has_body;        /* its own */
    bool is_private;      /* STORED_PRIVATE */
    size_t inline_bytes;  /* of the body, 0: none inside */
    struct stored *share; /* the object whose body it uses, NULL: none */
};
/* One reference, the caller's. NULL when the budget or memory has no room, or the key is too long for any object. */
struct stored *stored_new(struct store_budget *budget, const struct stored_seed *seed);
/* Past the thread's near table. */
static inline void stored_ref(struct stored *stored, uint32_t count)
{
    atomic_fetch_add_explicit(&stored->refs, count, memory_order_relaxed);
}
void stored_unref(struct stored *stored, uint32_t count);
/* Bytes of the object with its body as it is now: what leaves with it. */
uint64_t stored_bytes(const struct stored *stored);
/* The object in whose allocation a body lies. */
static inline struct stored *stored_of_body(struct store_body *body)
{
    return &container_of(body, struct stored_with_body, body)->stored;
}

/* Of an inline body: the bytes in the object's own piece, where they lie, and where the others do, if any. */
static inline size_t stored_inline_first(const struct store_body *body)
{
    return (size_t)body->inline_bytes - body->tail_bytes;
}

static inline char *stored_inline_data(struct store_body *body)
{
    slice key = store_object_key(&stored_of_body(body)->seen);

    return (char *)(uintptr_t)(key.data + key.len);
}

static inline char *stored_inline_tail(struct store_body *body)
{
    char *tail;

    memcpy(&tail, stored_inline_data(body) + stored_inline_first(body), sizeof(tail));
    return tail;
}

static inline struct stored *stored_of(struct store_object *object)
{
    return container_of(object, struct stored, seen);
}

static inline const struct stored *stored_of_const(const struct store_object *object)
{
    return container_of(object, struct stored, seen);
}

#endif
