/* What ram.c and ram_purge.c share. */
#ifndef WARP_STORE_RAM_OWN_H
#define WARP_STORE_RAM_OWN_H

#include "store/index.h"
#include "store/purge.h"
#include "store/s3fifo.h"
#include "store/slab.h"
#include "store/storage_ops.h"

#include <pthread.h>

struct ram_shard {
    _Alignas(64) pthread_mutex_t mutex;
    struct store_index index;
    struct s3fifo queues;
    uint64_t lookup_hits, misses, inserts, evictions, evicted_bytes; /* under the lock */
};

struct ram {
    struct storage storage;
    struct store_budget budget;
    struct body_config body;
    struct ram_shard *shards;
    unsigned shard_count, shard_bits;
    bool is_off;
    _Atomic unsigned next_victim; /* the shard that makes room next */
    _Atomic uint64_t purge_attempts;
    _Atomic uint32_t *tenant_objects; /* STORE_ANSWER in the index */
    _Atomic uint64_t index_bytes;
    /* the sweep; one thread */
    unsigned sweep_shard;
    uint64_t sweep_cursor, sweep_up_to, sweep_seq; /* the sequence when it began */
    bool is_sweeping;
    _Atomic uint64_t sweeps_done;
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
enum purge_verdict ram_verdict(const struct ram *ram, const struct store_object *object);

/* ram_purge.c */
enum store_status ram_purge(struct storage *storage, struct store_purge *purge);
void ram_turn(struct storage *storage, int64_t wall_ms);

#endif
