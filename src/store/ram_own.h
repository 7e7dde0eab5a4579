/* What ram.c, ram_near.c and ram_purge.c share. */
#ifndef WARP_STORE_RAM_OWN_H
#define WARP_STORE_RAM_OWN_H

#include "store/index.h"
#include "store/near.h"
#include "store/purge.h"
#include "store/ram.h"
#include "store/s3fifo.h"
#include "store/slab.h"
#include "store/storage_ops.h"

#include <pthread.h>

struct ram_shard {
    _Alignas(64) pthread_mutex_t mutex;
    struct store_index index;
    struct s3fifo queues;
    uint64_t lookup_hits, misses, inserts, evictions, evicted_bytes; /* under the lock */
    uint64_t slices; /* of the objects in the index; under the lock */
};

struct ram {
    struct storage storage; /* with what every lookup reads: never written */
    struct ram_shard *shards;
    unsigned shard_count, shard_bits;
    bool is_off, near_at_once;
    bool owns_purges;
    unsigned sweeper; /* of the purge log */
    struct ram_watch watch; /* zero: nobody watches */
    struct body_config body;
    _Atomic uint64_t near_units_max;    /* for each table */
    _Atomic uint32_t near_empty_calls;  /* times memory was so short that near tables had to give way */
    _Alignas(64) struct store_budget budget; /* written by every fill */
    _Atomic unsigned next_victim; /* the shard that makes room next */
    _Atomic uint64_t purge_attempts;
    _Atomic uint32_t *tenant_objects; /* STORE_ANSWER in the index */
    _Atomic uint64_t index_bytes;
    pthread_mutex_t near_mutex; /* the threads' tables come, go, are counted */
    struct list nears;
    unsigned near_count;
    uint64_t near_found; /* by those that have gone */
    /* the sweep; one thread */
    unsigned sweep_shard;
    uint64_t sweep_cursor, sweep_up_to, sweep_seq; /* the sequence when it began */
    bool is_sweeping;
    _Atomic uint64_t sweeps_done;
    /* who is above its hard quota comes down; the same thread */
    _Atomic bool has_excess; /* somebody may be; any thread */
    bool is_excess_lap, is_excess_met;
    uint64_t excess_cursor;
};

static inline struct ram *ram_of(const struct storage *storage)
{
    return (struct ram *)(uintptr_t)container_of(storage, struct ram, storage);
}

static inline struct ram_shard *ram_shard_of(struct ram *ram, uint64_t hash_hi)
{
    return &ram->shards[ram->shard_bits == 0 ? 0 : hash_hi >> (64 - ram->shard_bits)];
}

/* Under the shard's lock: out of the index and the queues. The index's reference is the caller's then, to be
 * let go without the lock. */
void ram_remove(struct ram *ram, struct ram_shard *shard, struct stored *stored);
/* The same of what must not be found again anywhere. Not for evictions: the tier below keeps what it has. */
static inline void ram_remove_over(struct ram *ram, struct ram_shard *shard, struct stored *stored)
{
    stored_set_flag(stored, STORED_OVER);
    ram_remove(ram, shard, stored);
}

static inline void ram_tell_over(const struct ram *ram, hash128 hash)
{
    if (ram->watch.over != NULL)
        ram->watch.over(ram->watch.watcher, hash);
}
enum purge_verdict ram_verdict(const struct ram *ram, const struct store_object *object);

static inline bool ram_is_expired(const struct store_lookup *lookup, const struct store_object *object)
{
    return object->expires_ms != 0 &&
           object->expires_ms <= (lookup->op.loop != NULL ? loop_wall_ms(lookup->op.loop) : os_wall_ms());
}

/* ram_near.c */
struct store_near *ram_near_new(struct storage *storage);
void ram_near_turn(struct store_near *near);
void ram_near_free(struct store_near *near);
bool ram_near_lookup(struct ram *ram, struct store_near *near, struct store_lookup *lookup);
uint32_t ram_near_units(const struct ram *ram, const struct stored *stored);
bool ram_near_empty(struct ram *ram); /* true: something was let go */
uint64_t ram_near_found(struct ram *ram);

/* ram_quota.c */
bool ram_make_own_room(struct store_budget *budget, uint16_t tenant, uint64_t bytes, hash128 near);
uint64_t ram_tenant_bytes(const struct storage *storage, uint16_t tenant);
void ram_quota_set(struct storage *storage, uint16_t tenant, const struct store_quota *quota);
/* Whoever is above its hard quota, which was lowered, comes down to it: some thousand objects are looked at. */
void ram_excess_turn(struct ram *ram);
/* Is what comes from the origin to be kept? Above the soft quota only what was asked for before. */
bool ram_is_wanted(struct ram *ram, const struct store_fill *fill);

/* ram_purge.c */
enum store_status ram_purge(struct storage *storage, struct store_purge *purge);
void ram_turn(struct storage *storage, int64_t wall_ms);

#endif
