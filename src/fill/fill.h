/* fill: one fetch into the store, with no client of its own. Every client, the first included, reads the
 * object through a hit handler, so that one who leaves or stops reading slows nobody.
 *
 *   (join or start) -> FETCH -> ADMIT -> STORE -> end
 *                        |        |
 *                        |        +-- not storable: released; who started the fill is handed the answer,
 *                        |            the others ask the origin themselves, in parallel
 *                        +-- failed: waiters get the stale object where that is allowed, else an error
 *
 * One fill per key across all threads (fill_table, sharded). The fill belongs to the thread that started it;
 * waiters are told by mail. A waiter that leaves does not stop a fill that others wait for, nor one whose
 * answer is already being stored.
 *
 * Purge: a fill carries the sequence at its start. Nobody joins a fill that is older than a matching purge:
 * a new one takes its place, and the old one's object is handed only to those who waited already. */
#ifndef WARP_FILL_FILL_H
#define WARP_FILL_FILL_H

#include "base/pool.h"
#include "cache/reuse.h"
#include "cache/slices.h"
#include "cache/storable.h"
#include "origin/origin.h"
#include "store/storage.h"
#include "tenant/view.h"

#include <stdatomic.h>

struct fill_table;
struct fill;

/* What all threads share. */
MUST_USE err fill_table_new(struct fill_table **ret_table);
struct fill_table *fill_table_free(struct fill_table *table);

/* How a wait for a fill ends: name, word */
#define FILL_OUTCOMES(X)                                                                                     \
    X(OBJECT, "object")       /* read it: it follows the fill while that runs */                             \
    X(VALIDATED, "validated") /* the stored object was confirmed by the origin (304): read it */             \
    X(STALE, "stale")         /* the origin failed; the stored object may be served stale */                 \
    X(LOOK_AGAIN, "look-again") /* the store has something newer than the waiter saw */                      \
    X(RELEASED, "released")   /* not shareable: ask the origin yourself */                                   \
    X(HANDED, "handed")       /* not shareable, and yours: the answer is handed over */                      \
    X(FAILED, "failed")       /* no answer from the origin */

enum fill_outcome {
#define X(name, word) FILL_##name,
    FILL_OUTCOMES(X)
#undef X
        FILL_OUTCOME_COUNT
};

/* The answer that is handed over, with the memory its head lies in. */
struct fill_handed {
    struct origin_fetch *fetch;
    struct response response;
    struct arena *arena; /* owned */
};

/* Embedded in a transaction while it waits. out: written before done(). */
struct fill_waiter {
    struct list link;
    struct fill *fill;
    struct fill_shard *shard;
    struct loop *loop;
    void (*done)(struct fill_waiter *waiter);
    void (*interim)(struct fill_waiter *waiter, struct response *response); /* the leader's only; may be NULL */
    void (*gone)(struct fill_waiter *waiter);
    struct mail mail;
    struct store_object *object;   /* out, of OBJECT, VALIDATED, STALE: a reference, the waiter's */
    struct fill_handed *handed;    /* out, of HANDED: the waiter's; fill_handed_free */
    uint64_t fetch_ns;             /* out: how long the fetch took to its head; 0: none */
    uint64_t seq;                  /* the purge sequence when it joined */
    uint8_t state;
    bool is_leader;                /* started the fill (else: collapsed onto it) */
    uint8_t outcome;               /* out: enum fill_outcome */
    uint8_t failure;               /* out, of FAILED, STALE: enum client_failure, COUNT: an error status came */
    uint8_t reason;                /* out, of RELEASED, HANDED: enum not_stored */
    uint16_t status;               /* out: the origin's; 0 none */
};

/* What one thread's fills work with; outlives them. */
struct fill_context {
    /* set by the owner */
    struct loop *loop;
    struct fill_table *table;
    struct storage *storage;
    struct origin_pool *pool;
    int64_t note_ms;    /* how long an unshareable answer is remembered */
    uint32_t node;      /* this node's id, for CDN-Loop */
    unsigned fills_max;
    uint32_t slice_bytes; /* larger bodies of a known length are stored in slices of that size; 0: none is */
    bool has_device;      /* which takes no piece above slice_bytes: longer bodies of unknown length are cut (cut.h) */
    uint64_t ahead_bytes; /* how far a fetch may run ahead of those who read it */
    struct metrics_block *metrics; /* of this thread; NULL: not counted */
    /* fill_context_init */
    struct list fills, fillers, cuts;
    struct mail cut_mail;
    bool cut_is_mailed;
    unsigned count;
    struct pool readers; /* slices.h */
};
void fill_context_init(struct fill_context *context);
void fill_context_done(struct fill_context *context);
/* Ends every fill of this thread (the end of a drain). */
void fill_context_stop(struct fill_context *context);

/* What a fill is started with; copied. */
struct fill_start {
    struct fill_context *context;
    const struct request *request; /* the first client's; its conditions and Range are left out */
    slice primary_key;             /* cache/key.h */
    slice slot_key;                /* the primary key, or the variant's where the marker is known: one fill each */
    struct tenant_view *view;      /* of this thread */
    const struct policy *policy;   /* of the first client's request; copied, without its slices */
    slice client_ip, trusted_for;  /* the peer, and the hops before it that it may speak of */
    slice request_id;
    struct store_object *stale;    /* validate this one; may be NULL; a reference is taken */
    const struct slice_ask *ask;   /* a range of what is not known yet, in whole slices; NULL: the whole */
    bool alone;                    /* nobody joins: answers for this key were not shareable lately */
};

enum fill_joined { FILL_JOINED_STARTED, FILL_JOINED_RUNNING, FILL_JOINED_FULL };

/* Joins the fill of that slot, or starts one. The waiter's done() is called later, on its thread. waiter NULL:
 * a background revalidation, started unless one is running. FILL_JOINED_FULL: too many fills or no memory, the
 * waiter is not waiting. */
MUST_USE enum fill_joined fill_join(const struct fill_start *start, struct fill_waiter *waiter);
/* The waiter leaves; gone() is called when its memory may go: at once where no mail is under way. */
void fill_leave(struct fill_waiter *waiter, void (*gone)(struct fill_waiter *waiter));
struct fill_handed *fill_handed_free(struct fill_handed *handed);

/* The key under which an unshareable answer is remembered (STORE_NOTE): apart for requests with credentials. */
MUST_USE err fill_note_key(struct arena *arena, slice slot_key, bool has_authorization, slice *ret_key);

/* How stored answers may be used, by the tenant's rules. */
static inline struct reuse_policy fill_reuse_of(const struct policy *policy)
{
    return (struct reuse_policy){
        .honour_client_directives = policy->client_directives, .stale_limit_s = policy->sie_s, .swr_default_s = policy->swr_s};
}

/* Labels of an answer (response NULL: those of the URL alone), at most STORE_LABELS_MAX, in the arena. */
struct label_set {
    struct store_label *labels;
    unsigned count;
    bool too_many;
};
MUST_USE err label_set_build(struct arena *arena, uint16_t tenant, slice primary_key, const struct fields *response,
                             struct label_set *ret_set);

#endif
