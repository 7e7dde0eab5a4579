/* admin: the operator's listener: health, metrics, statistics, what is stored, purges, tenants, tokens, configuration.
 *
 * Thread: worker 0's loop. Every handler is short; what it reads of other threads are counters. */
#ifndef WARP_ADMIN_ADMIN_H
#define WARP_ADMIN_ADMIN_H

#include "admin/control.h"
#include "fill/refresh.h"
#include "origin/origin.h"
#include "proto/stream.h"
#include "stat/access.h"
#include "stat/metrics.h"
#include "store/disk/disk.h"
#include "store/purge_history.h"
#include "store/storage.h"
#include "tenant/tenant.h"
#include "tenant/tokens.h"

/* Why somebody was not let in: name, word for the metric. */
#define ADMIN_REFUSALS(X)                                                                                              \
    X(NO_TOKEN, "no-token")                                                                                            \
    X(WRONG_TOKEN, "wrong-token") /* or one that has expired */                                                        \
    X(THROTTLED, "throttled")     /* too many wrong ones from that address */                                          \
    X(FORBIDDEN, "forbidden")     /* without that right, or not for that tenant */                                     \
    X(CHANGES, "too-many-changes") /* of a tenant, by its owners */                                                    \
    X(LOOP, "loop")               /* sent by this node itself: some tenant's origin leads here */

enum admin_refusal {
#define X(name, word) ADMIN_REFUSED_##name,
    ADMIN_REFUSALS(X)
#undef X
    ADMIN_REFUSAL_COUNT
};

enum admin_readiness { ADMIN_STARTING, ADMIN_READY, ADMIN_DRAINING };

struct admin_context {
    struct loop *loop;
    struct storage *storage;
    const struct disk *disk; /* NULL: there is none */
    struct metrics *metrics;
    struct metrics_block *block; /* of the loop's thread */
    struct access_log *access;   /* NULL: off */
    struct tenants *tenants; /* the current set */
    const struct control_ops *control;
    void *control_arg;
    struct tokens *tokens; /* besides `token`, which may everything; admin_open makes it */
    const char *token;
    const char *version;
    struct refresher *refresher; /* for soft purges; NULL: nothing is fetched again */
    struct list walks;           /* of purges, over what is stored: see admin_open */
    unsigned walk_count;
    _Atomic uint64_t walks_refused;
    const char *const *notes; /* sentences for /readyz: what is degraded */
    unsigned note_count;
    int64_t started_ms;
    uint32_t node; /* this node's id in CDN-Loop */
    unsigned workers;
    unsigned uring_refused; /* of them: on epoll because io_uring was refused */
    bool is_loopback, is_unix; /* where it listens */
    _Atomic int readiness; /* enum admin_readiness */
    /* admin_open's */
    struct client_buckets *failures; /* wrong tokens by address, and changes of owners by tenant */
    _Atomic uint64_t refused[ADMIN_REFUSAL_COUNT];
    int64_t tokens_written_ms;
    struct list token_changes; /* the first is under way; see admin_open */
    bool tokens_are_written;   /* now: by the control's thread */
    unsigned changes_under_way; /* whose clients wait */
    bool tokens_are_damaged; /* their file says nothing that can be understood: it is left alone */
};

/* Before the first request, and behind the last one. */
MUST_USE err admin_open(struct admin_context *context);
/* When the control is there: reads the tokens. */
MUST_USE err admin_start(struct admin_context *context);
void admin_close(struct admin_context *context);
/* PURGE on a data listener: may that client, with that token (data NULL: none), for the tenant? 0: yes; else 403 or 429, with the
 * seconds to wait. ret_who: "token NAME" or "admin". Wrong tokens count together with those of the admin listener. Any thread. */
MUST_USE uint16_t admin_purge_refused(struct admin_context *context, slice bearer, const struct tenant_client *client,
                                      const struct tenant *tenant, char ret_who[PURGE_WHO_BYTES + 1], uint32_t *ret_retry_after_s);

extern const struct server_events admin_events;
/* Collector for what the store, the origins and the process know. arg: struct admin_context. */
void admin_collect(void *arg, enum metric metric, struct metrics_writer *writer);

#endif
