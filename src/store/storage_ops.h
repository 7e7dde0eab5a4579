/* What a tier implements; for store/, remote/ and test tiers. */
#ifndef WARP_STORE_STORAGE_OPS_H
#define WARP_STORE_STORAGE_OPS_H

#include "store/storage.h"

struct purge_log;

struct storage_ops {
    enum store_status (*lookup)(struct storage *, struct store_lookup *);
    /* NULL: a lookup that peeks stands in, where it completes at once. */
    bool (*has)(struct storage *, const struct store_key *);
    enum store_status (*get_miss_handler)(struct storage *, struct store_fill *);
    enum store_status (*update_meta)(struct storage *, struct store_update *);
    enum store_status (*purge)(struct storage *, struct store_purge *);
    void (*cancel)(struct storage *, struct store_op *);
    void (*drop)(struct storage *, struct store_object *);
    void (*drop_hash)(struct storage *, hash128);
    void (*stats)(const struct storage *, struct store_stats *);
    uint64_t (*tenant_bytes)(const struct storage *, uint16_t tenant);
    void (*quota_set)(struct storage *, uint16_t tenant, const struct store_quota *);
    uint64_t (*browse)(struct storage *, uint64_t, unsigned,
                       void (*)(void *, const struct store_object *, uint64_t), void *);
    void (*turn)(struct storage *, int64_t wall_ms);
    uint64_t (*tend)(struct storage *); /* this and the next: NULL where there is nothing to tend */
    bool (*on_work)(struct storage *, void (*wake)(void *), void *arg);
    const struct storage *(*tier)(const struct storage *, unsigned i); /* NULL: it is one */
    void (*free)(struct storage *);
    /* May be NULL: then no thread has a near table. */
    struct store_near *(*near_new)(struct storage *);
    void (*near_turn)(struct store_near *);
    void (*near_free)(struct store_near *);
};

struct storage {
    const struct storage_ops *ops;
    const char *name;
    struct purge_log *purges;
    uint8_t secret[HASH_SECRET_BYTES];
};

/* A tier calls this when a pending call is complete; on op->loop's thread. */
void storage_complete(struct store_op *op);

#endif
