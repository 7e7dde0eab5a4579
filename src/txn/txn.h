/* txn: one request of a client, from its head to its access record, as a straight line of steps.
 *
 *   [ACME ->] ROUTE -> KEY -> LOOKUP -+-> SERVE -> REPLY -> FINISH      from the store, or following a fill
 *                    ^      +-> WAIT (a fill) -> SERVE | PASS | LOOKUP | SYNTH
 *                    |      +-> PASS -> FINISH                straight through, both directions at once
 *                    +------+-> SYNTH -> FINISH               an answer of WARP's own
 *   ROUTE -> PURGE -> SYNTH -> FINISH                              PURGE on the data listener
 *
 * A step returns NEXT (txn->step says where to), WAIT (something named in waiting_on will run it again from
 * its first line) or DONE. Only txn_goto moves the step; every path ends in FINISH.
 *
 * Thread: its connection's loop. Memory: one block, and an arena that goes with it. */
#ifndef WARP_TXN_TXN_H
#define WARP_TXN_TXN_H

#include "base/pool.h"
#include "cache/cache_status.h"
#include "cache/reuse.h"
#include "cache/stored.h"
#include "fill/fill.h"
#include "origin/origin.h"
#include "proto/stream.h"
#include "stat/access.h"
#include "stat/metrics.h"
#include "store/purge_history.h"
#include "store/storage.h"
#include "tenant/view.h"

/* What one thread's transactions work with; outlives them. */
struct txn_context {
    struct loop *loop;
    unsigned thread;
    struct storage *storage;
    struct fill_context *fills;
    struct origin_pool *origins;
    struct tenant_view *view; /* the current one: txn_context_use */
    struct metrics_block *metrics;
    struct access_log *access; /* NULL: off */
    /* May that client purge for the tenant, with that bearer (data NULL: none was sent)? 0: yes; else the status of the refusal,
     * 403 or 429, which comes with *ret_retry_after_s. ret_who: whose bearer it is, for the log. For PURGE; NULL: nobody may. */
    uint16_t (*may_purge)(void *arg, slice bearer, const struct tenant_client *client, const struct tenant *tenant,
                          char ret_who[PURGE_WHO_BYTES + 1], uint32_t *ret_retry_after_s);
    void *may_purge_arg;
    const char *acme_dir;      /* answers to ACME challenges; NULL: none */
    uint32_t node;
    bool websocket, https, status_key;
    /* txn_context_init */
    struct pool pool;
    struct arena_pools chunks;
    uint64_t id_seed, id_next;
};
void txn_context_init(struct txn_context *context);
void txn_context_done(struct txn_context *context);
/* On the context's thread: transactions that begin from now on see this one, which is the context's then. */
void txn_context_use(struct txn_context *context, struct tenant_view *view);

/* May that peer say on whose behalf it asks? context: struct txn_context. */
bool txn_trusts(void *context, const struct os_peer *peer);
/* The listener's events; the server's context is a struct txn_context. */
extern const struct server_events txn_events;

/* Bytes of a transaction that needs no more than its own block. */
size_t txn_block_bytes(void);

#endif
