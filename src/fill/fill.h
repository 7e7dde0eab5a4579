/* fill: one fetch into the store, with no client of its own. Every client, the first included, reads the
 * object through a hit handler, so that one who leaves or stops reading slows nobody.
 *
 *   (join or start) -> FETCH -> ADMIT -> STORE -> end
 *                        |        |
 *                        |        +-- not storable: released; the first waiter on the fill's thread is handed
 *                        |            the answer, the others ask the origin themselves, in parallel
 *                        +-- failed: waiters get what stale object there is, else an error
 *
 * One fill per key across all threads (fill_table, sharded). The fill belongs to the thread that started it;
 * waiters on other threads are told by mail. A waiter that leaves does not stop a fill that others follow or
 * that is worth finishing.
 *
 * Purge: a fill carries the sequence at its start. Nobody joins a fill that is older than a matching purge:
 * a new one takes its place, and the old one's object is handed only to those who waited already. */
#ifndef WARP_FILL_FILL_H
#define WARP_FILL_FILL_H

#include "cache/freshness.h"
#include "cache/storable.h"
#include "origin/origin.h"
#include "store/storage.h"

struct fill_table;
struct fill;

/* What all threads share. */
MUST_USE err fill_table_new(struct storage *storage, struct fill_table **ret_table);
struct fill_table *fill_table_free(struct fill_table *table);

/* How a wait for a fill ends: name, word */
#define FILL_OUTCOMES(X)                                                                                     \
    X(OBJECT, "object")       /* read it: fresh, or followed while it is filled */                           \
    X(VALIDATED, "validated") /* the stored object was confirmed (304): read it */                           \
    X(STALE, "stale")         /* the origin failed; the stored object may be served stale */                 \
    X(LOOK_AGAIN, "look-again") /* the answer is for another variant */                                      \
    X(RELEASED, "released")   /* not shareable: ask the origin yourself */                                   \
    X(HANDED, "handed")       /* not shareable, and yours: the fetch is handed over */                       \
    X(FAILED, "failed")       /* no answer from the origin */                                                \
    X(FULL, "full")           /* too many fills: ask the origin yourself */

enum fill_outcome {
#define X(name, word) FILL_##name,
    FILL_OUTCOMES(X)
#undef X
        FILL_OUTCOME_COUNT
};

/* The answer that is handed over: the fetch and its head, in an arena that comes with it. */
struct fill_handed {
    struct origin_fetch *fetch;
    struct response *response;
    struct arena arena;
    int64_t request_ms;
};

/* Embedded in a transaction while it waits. */
struct fill_waiter {
    struct list link;
    struct fill *fill; /* NULL when not waiting */
    struct fill_table *table;
    struct loop *loop;
    void (*done)(struct fill_waiter *waiter);
    struct mail mail;
    uint8_t state;
    bool is_leader; /* out: started the fill (else: collapsed onto it) */
    /* out */
    uint8_t outcome;            /* enum fill_outcome */
    uint8_t failure;            /* FILL_FAILED, FILL_STALE: enum client_failure */
    uint16_t reason;            /* FILL_RELEASED, FILL_HANDED: enum not_stored */
    uint16_t status;            /* the origin's */
    struct store_object *object; /* FILL_OBJECT, _VALIDATED, _STALE: a reference, the waiter's */
    struct fill_handed *handed; /* FILL_HANDED: the waiter's; fill_handed_free */
};

/* What a fill is started with; copied. */
struct fill_start {
    const struct request *request; /* the first client's; its conditionals and Range are left out */
    slice full_key;                /* primary key (cache/key.h) */
    hash128 collapse;              /* the slot: the key's hash, or the variant's */
    uint16_t tenant;
    slice client_ip;
    struct store_object *stale;    /* validate this one; may be NULL */
    struct fill_context *context;
};

/* One thread's surroundings of a fill; outlives it. */
struct fill_context {
    struct loop *loop;
    struct fill_table *table;
    struct storage *storage;
    struct origin_pool *pool;
    struct origin_group *group;
    const struct fill_policy *policy;
    uint32_t node; /* this node's id, for CDN-Loop */
    struct list fills;
    unsigned count;
    /* counters, read by any thread */
    _Atomic uint64_t not_stored[64]; /* by enum not_stored */
    _Atomic uint64_t collapsed;
};
void fill_context_init(struct fill_context *context);
/* Ends every fill of this thread at once (the end of a drain). */
void fill_context_stop(struct fill_context *context);

enum fill_joined { FILL_JOINED_STARTED, FILL_JOINED_RUNNING, FILL_JOINED_FULL };

/* Joins the fill of that slot, or starts one. The waiter's done() is called later, on its thread. waiter NULL:
 * a background revalidation, started unless one is running. FILL_JOINED_FULL: waiter is not waiting. */
MUST_USE enum fill_joined fill_join(const struct fill_start *start, struct fill_waiter *waiter);
/* The waiter leaves. Its memory must stay until `gone`, which is called at once where no mail is under way. */
void fill_leave(struct fill_waiter *waiter, void (*gone)(struct fill_waiter *waiter));
struct fill_handed *fill_handed_free(struct fill_handed *handed);

#endif
