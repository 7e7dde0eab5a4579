/* admin: the operator's listener: health, metrics, statistics, what is stored, purges.
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
#include "store/storage.h"
#include "tenant/tenant.h"
#include "tenant/tokens.h"

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
    struct tokens *tokens; /* besides `token`, which may everything */
    const char *token;
    const char *version;
    struct refresher *refresher; /* for soft purges; NULL: nothing is fetched again */
    struct list walks;           /* of purges, over what is stored: see admin_open */
    unsigned walk_count;
    _Atomic uint64_t walks_refused;
    const char *const *notes; /* sentences for /readyz: what is degraded */
    unsigned note_count;
    int64_t started_ms;
    unsigned workers;
    unsigned uring_refused; /* of them: on epoll because io_uring was refused */
    bool is_loopback, is_unix; /* where it listens */
    _Atomic int readiness; /* enum admin_readiness */
};

/* Before the first request, and behind the last one. */
void admin_open(struct admin_context *context);
void admin_close(struct admin_context *context);

extern const struct server_events admin_events;
/* Collector for what the store, the origins and the process know. arg: struct admin_context. */
void admin_collect(void *arg, enum metric metric, struct metrics_writer *writer);

#endif
