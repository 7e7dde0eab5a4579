/* The RAM tier: shards of an index with their eviction, one budget over all. Purge and sweep are in
 * ram_purge.c.
 *
 * Lock order: a shard's lock alone, or a body's lock alone; never two. Room is made before a lock is taken.
 */
#include "store/ram_own.h"

#include "base/log.h"

#include <stdlib.h>

#define SHARDS_DEFAULT 64u
#define SHARDS_MAX     4096u
#define WINDOW_DEFAULT (1024u * 1024)
#define WINDOW_MIN     (16u * 1024)
#define MAX_BYTES_MIN  (1024u * 1024)
#define SLAB_FROM_DEFAULT (64u * 1024)
#define OFTEN_HITS     16u /* and at each power of two: an object's slabs become huge pages */
#define ROUNDS_MAX     8u /* over all shards, when room is made: enough for every `use` to run down */

/* ---- index ------------------------------------------------------------------------------------------- */

void ram_remove(struct ram *ram, struct ram_shard *shard, struct stored *stored)
{
    INVARIANT(stored_is_indexed(stored));
    index_remove(&shard->index, stored);
    s3fifo_remove(&shard->queues, stored);
    stored_set_indexed(stored, false);
    if (stored->seen.kind == STORE_ANSWER)
        atomic_fetch_sub_explicit(&ram->tenant_objects[stored->seen.tenant], 1, memory_order_relaxed);
    else if (stored->seen.kind == STORE_SLICE)
        shard->slices--;
}

static void ram_added(struct ram *ram, struct ram_shard *shard, struct stored *stored)
{
    stored_ref(stored, 1);
    stored_set_indexed(stored, true);
    if (stored->seen.kind == STORE_ANSWER)
        atomic_fetch_add_explicit(&ram->tenant_objects[stored->seen.tenant], 1, memory_order_relaxed);
    else if (stored->seen.kind == STORE_SLICE)
        shard->slices++;
}

static size_t table_bytes(uint32_t homes)
{
    return index_slot_count(homes) * sizeof(uint64_t) +
           (homes / S3_GHOST_WAYS) * S3_GHOST_WAYS * sizeof(uint32_t);
}

/* Slots, and the ghosts behind them in the same allocation. */
static uint64_t *table_take(struct ram *ram, uint32_t homes, uint64_t near_hi)
{
    uint64_t charge = store_charge(table_bytes(homes)), *slots;

    if (!store_budget_take(&ram->budget, STORE_TENANT_NONE, charge, (hash128){0, near_hi}))
        return NULL;
    slots = calloc(1, table_bytes(homes));
    if (slots == NULL)
        store_budget_give(&ram->budget, STORE_TENANT_NONE, charge);
    else
        atomic_fetch_add_explicit(&ram->index_bytes, charge, memory_order_relaxed);
    return slots;
}

static void table_give(struct ram *ram, uint64_t *slots, uint32_t homes)
{
    uint64_t charge = store_charge(table_bytes(homes));

    free(slots);
    store_budget_give(&ram->budget, STORE_TENANT_NONE, charge);
    atomic_fetch_sub_explicit(&ram->index_bytes, charge, memory_order_relaxed);
}

static void shard_set_ghosts(struct ram_shard *shard)
{
    uint32_t homes = shard->index.homes;

    s3fifo_set_ghosts(&shard->queues, (uint32_t *)(void *)(shard->index.slots + index_slot_count(homes)),
                      homes / S3_GHOST_WAYS);
}

/* Without the lock. False: no room for a larger one now. */
static bool shard_grow(struct ram *ram, struct ram_shard *shard, uint64_t near_hi)
{
    pthread_mutex_lock(&shard->mutex);
    uint32_t homes = index_next_homes(&shard->index), old_homes = shard->index.homes;
    pthread_mutex_unlock(&shard->mutex);
    uint64_t *slots = table_take(ram, homes, near_hi);
    if (slots == NULL)
        return false;
    pthread_mutex_lock(&shard->mutex);
    uint64_t *old = NULL;
    if (shard->index.homes == old_homes) {
        old = index_regrow(&shard->index, slots, homes);
        if (old != NULL)
            shard_set_ghosts(shard);
    }
    pthread_mutex_unlock(&shard->mutex);
    if (old != NULL)
        table_give(ram, old, old_homes);
    else
        table_give(ram, slots, homes); /* another thread was faster */
    return true;
}

static void shard_grow_if_crowded(struct ram *ram, struct ram_shard *shard, uint64_t near_hi)
{
    pthread_mutex_lock(&shard->mutex);
    bool is_crowded = index_is_crowded(&shard->index);
    pthread_mutex_unlock(&shard->mutex);
    if (is_crowded)
        (void)shard_grow(ram, shard, near_hi); /* else it is fuller than it should be for a while */
}

/* ---- making room ------------------------------------------------------------------------------------- */

static bool shard_evict(struct ram *ram, struct ram_shard *shard)
{
    pthread_mutex_lock(&shard->mutex);
    struct stored *victim = s3fifo_victim(&shard->queues);
    if (victim != NULL) {
        shard->evictions++;
        shard->evicted_bytes += (uint64_t)victim->charge_units * STORED_UNIT_BYTES;
        ram_remove(ram, shard, victim);
    }
    pthread_mutex_unlock(&shard->mutex);
    if (victim == NULL)
        return false;
    store_object_unref(&victim->seen);
    return true;
}

/* Nothing that is spared goes, but a tenant's own for what is new of it: who is below its guarantee may always store. */
static bool ram_make_room(struct store_budget *budget, uint32_t tenant, uint64_t bytes, hash128 near)
{
    struct ram *ram = container_of(budget, struct ram, budget);
    struct ram_shard *shard = ram_shard_of(ram, near.hi);
    bool freed = false;

    for (unsigned i = 0; i < ram->shard_count * ROUNDS_MAX; i++) {
        uint64_t used = atomic_load_explicit(&budget->used, memory_order_relaxed);
        if (bytes <= budget->max && used <= budget->max - bytes)
            return true;
        if (shard_evict(ram, shard))
            freed = true;
        unsigned next = atomic_fetch_add_explicit(&ram->next_victim, 1, memory_order_relaxed);
        shard = &ram->shards[next & (ram->shard_count - 1)];
    }
    if (freed || ram_near_empty(ram))
        return true;
    return tenant != STORE_TENANT_NONE && ram_make_own_room(budget, (uint16_t)tenant, bytes, near);
}

/* ---- lookup ------------------------------------------------------------------------------------------ */

enum purge_verdict ram_verdict(const struct ram *ram, const struct store_object *object)
{
    enum purge_verdict verdict = purge_log_check(ram->storage.purges, object->seq, object->tenant,
                                                 store_object_labels(object), object->label_count);
    const struct stored *stored = stored_of_const(object);

    if (verdict == PURGE_NONE && stored_has_flag(stored, STORED_SOFT))
        return PURGE_SOFT;
    return verdict;
}

static bool object_is_over(const struct store_lookup *lookup, const struct store_object *object)
{
    if (object->expires_ms != 0)
        return ram_is_expired(lookup, object);
    /* An updated object does not hear of the end of the fill it shares a body with. */
    return store_object_is_failed(object) ||
           (object->body != NULL &&
            atomic_load_explicit(&object->body->window, memory_order_acquire) == BODY_START_GONE);
}

/* The verdict is asked for under the lock: while an object is in the index, no purge that matches it has
 * retired. near: the thread's table, NULL: none. */
static enum store_status shard_lookup(struct ram *ram, struct store_near *near, struct store_lookup *lookup)
{
    struct ram_shard *shard = ram_shard_of(ram, lookup->key.hash.hi);
    enum purge_verdict verdict = PURGE_NONE;
    struct stored *gone = NULL;
    uint32_t near_units = 0;

    pthread_mutex_lock(&shard->mutex);
    struct stored *stored = index_find(&shard->index, lookup->key.hash, lookup->key.full);
    if (stored != NULL) {
        verdict = ram_verdict(ram, &stored->seen);
        if (verdict == PURGE_HARD || object_is_over(lookup, &stored->seen)) {
            ram_remove_over(ram, shard, stored);
            gone = stored;
            stored = NULL;
        } else {
            stored_ref(stored, 1);
            near_units = near != NULL && !lookup->peek ? ram_near_units(ram, stored) : 0;
        }
    }
    if (!lookup->peek)
        *(stored != NULL ? &shard->lookup_hits : &shard->misses) += 1;
    pthread_mutex_unlock(&shard->mutex);
    if (gone != NULL)
        store_object_unref(&gone->seen);
    if (stored == NULL)
        return STORE_DONE;
    if (!lookup->peek) {
        uint32_t hits = atomic_fetch_add_explicit(&stored->hits, 1, memory_order_relaxed) + 1;
        s3fifo_used(stored);
        if (UNLIKELY(hits >= OFTEN_HITS && (hits & (hits - 1)) == 0) && stored->seen.body != NULL)
            body_promote(stored->seen.body, hits);
    }
    if (near_units > 0)
        near_keep(near, stored, near_units, atomic_load_explicit(&ram->near_units_max, memory_order_relaxed));
    lookup->object = &stored->seen;
    lookup->found = verdict == PURGE_SOFT ? STORE_HIT_SOFT : STORE_HIT;
    return STORE_DONE;
}

static enum store_status ram_lookup(struct storage *storage, struct store_lookup *lookup)
{
    struct store_near *near = near_here;

    if (UNLIKELY(near == NULL || near->storage != storage))
        return shard_lookup(ram_of(storage), NULL, lookup);
    if (ram_near_lookup(ram_of(storage), near, lookup))
        return STORE_DONE;
    return shard_lookup(ram_of(storage), near, lookup);
}

static bool ram_has(struct storage *storage, const struct store_key *key)
{
    struct store_lookup lookup = {.key = *key, .peek = true};
    struct ram *ram = ram_of(storage);
    struct ram_shard *shard = ram_shard_of(ram, key->hash.hi);

    pthread_mutex_lock(&shard->mutex);
    const struct stored *stored = index_find(&shard->index, key->hash, key->full);
    bool has = stored != NULL && ram_verdict(ram, &stored->seen) != PURGE_HARD && !object_is_over(&lookup, &stored->seen);
    pthread_mutex_unlock(&shard->mutex);
    return has;
}

/* ---- fill -------------------------------------------------------------------------------------------- */

/* How an object comes into the index. */
struct ram_place {
    bool is_whole;                       /* has no body of its own to be written */
    bool if_absent;                      /* what is there stays */
    const struct store_object *replaces; /* the only one that may go for it, or was evicted; NULL: any */
};

static bool may_take_place(const struct ram_place *place, const struct stored *old)
{
    if (place->replaces != NULL && old == NULL)
        return !stored_has_flag(stored_of_const(place->replaces), STORED_OVER);
    if (place->replaces != NULL)
        return &old->seen == place->replaces;
    return old == NULL || !place->if_absent;
}

/* What is known of the use of one object is true of that which takes its place. */
static void stored_take_use(struct stored *stored, const struct stored *old)
{
    atomic_store_explicit(&stored->use, atomic_load_explicit(&old->use, memory_order_relaxed), memory_order_relaxed);
    atomic_store_explicit(&stored->hits, atomic_load_explicit(&old->hits, memory_order_relaxed), memory_order_relaxed);
}

/* Puts the object into the index in the place of what was there. */
static err ram_put(struct ram *ram, struct stored *stored, const struct ram_place *place)
{
    struct ram_shard *shard = ram_shard_of(ram, stored->seen.hash.hi);
    struct stored *old;
    err result = ERR_OK;
    uint64_t bytes = place->is_whole ? stored_bytes(stored) : 0;

    pthread_mutex_lock(&shard->mutex);
    old = index_find(&shard->index, stored->seen.hash, store_object_key(&stored->seen));
    if (ram_verdict(ram, &stored->seen) == PURGE_HARD) {
        result = ERR(REFUSED);
        old = NULL;
    } else if (!may_take_place(place, old)) {
        result = ERR(EXISTS);
        old = NULL;
    } else {
        if (place->replaces != NULL)
            stored_take_use(stored, stored_of_const(place->replaces));
        if (old != NULL)
            ram_remove_over(ram, shard, old);
        if (!index_put(&shard->index, stored))
            result = ERR(LIMIT);
    }
    if (err_is_ok(result)) {
        ram_added(ram, shard, stored);
        if (place->is_whole) {
            s3fifo_push(&shard->queues, stored, bytes);
            shard->inserts++;
        }
    }
    pthread_mutex_unlock(&shard->mutex);
    if (old != NULL)
        store_object_unref(&old->seen);
    return result;
}

static err ram_publish(struct ram *ram, struct stored *stored, const struct ram_place *place)
{
    struct ram_shard *shard = ram_shard_of(ram, stored->seen.hash.hi);
    err result;

    shard_grow_if_crowded(ram, shard, stored->seen.hash.hi);
    result = ram_put(ram, stored, place);
    /* The last run has reached the end of the pad. */
    if (result.code == ERR_LIMIT && shard_grow(ram, shard, stored->seen.hash.hi))
        result = ram_put(ram, stored, place);
    if (!place->if_absent && result.code != ERR_EXISTS)
        ram_tell_over(ram, stored->seen.hash);
    if (err_is_ok(result) && place->is_whole && ram->watch.stored != NULL)
        ram->watch.stored(ram->watch.watcher, stored);
    return result;
}

static void ram_finished(struct storage *storage, struct stored *stored)
{
    struct ram *ram = ram_of(storage);
    struct ram_shard *shard = ram_shard_of(ram, stored->seen.hash.hi);
    uint64_t bytes = stored_bytes(stored);

    pthread_mutex_lock(&shard->mutex);
    bool is_indexed = stored_is_indexed(stored);
    if (is_indexed && stored->queue == S3_NONE)
        s3fifo_push(&shard->queues, stored, bytes);
    shard->inserts++;
    pthread_mutex_unlock(&shard->mutex);
    if (is_indexed && ram->watch.stored != NULL)
        ram->watch.stored(ram->watch.watcher, stored);
}

static void ram_take_out(struct storage *storage, struct stored *stored, bool is_over)
{
    struct ram *ram = ram_of(storage);
    struct ram_shard *shard = ram_shard_of(ram, stored->seen.hash.hi);

    pthread_mutex_lock(&shard->mutex);
    bool was_indexed = stored_is_indexed(stored);
    if (was_indexed && is_over)
        ram_remove_over(ram, shard, stored);
    else if (was_indexed)
        ram_remove(ram, shard, stored);
    pthread_mutex_unlock(&shard->mutex);
    if (was_indexed)
        store_object_unref(&stored->seen);
}

static void ram_leave(struct storage *storage, struct stored *stored)
{
    ram_take_out(storage, stored, true);
}

void ram_clear_flags(struct storage *storage, uint64_t hash_hi, unsigned flags)
{
    struct ram *ram = ram_of(storage);
    struct ram_shard *shard = ram_shard_of(ram, hash_hi);

    pthread_mutex_lock(&shard->mutex);
    struct stored *stored = index_next(&shard->index, hash_hi);
    if (stored != NULL && stored->seen.hash.hi == hash_hi)
        atomic_fetch_and(&stored->flags, (uint8_t)~flags);
    pthread_mutex_unlock(&shard->mutex);
}

void ram_let_go(struct storage *storage, struct stored *stored)
{
    ram_take_out(storage, stored, false);
}

static void ram_drop(struct storage *storage, struct store_object *object)
{
    ram_leave(storage, stored_of(object));
    stored_set_flag(stored_of(object), STORED_OVER); /* it may have been evicted before */
    ram_tell_over(ram_of(storage), object->hash);
}

static void ram_drop_hash(struct storage *storage, hash128 hash)
{
    struct ram *ram = ram_of(storage);
    struct ram_shard *shard = ram_shard_of(ram, hash.hi);
    struct stored *stored;

    pthread_mutex_lock(&shard->mutex);
    stored = index_next(&shard->index, hash.hi);
    if (stored != NULL && hash128_eq(stored->seen.hash, hash))
        ram_remove_over(ram, shard, stored);
    else
        stored = NULL;
    pthread_mutex_unlock(&shard->mutex);
    ram_tell_over(ram, hash);
    if (stored != NULL)
        store_object_unref(&stored->seen);
}

static const struct body_host ram_host = {ram_finished, ram_leave};

static struct stored_seed seed_of_fill(const struct store_fill *fill)
{
    int64_t now_ms = fill->op.loop != NULL ? loop_wall_ms(fill->op.loop) : os_wall_ms();
    bool has_body = fill->kind == STORE_ANSWER || fill->kind == STORE_SLICE;
    bool is_inline = has_body && fill->length_bytes >= 0 && fill->length_bytes <= STORED_INLINE_BYTES;

    return (struct stored_seed){.key = fill->key,
                                .meta = fill->meta,
                                .labels = fill->labels,
                                .label_count = fill->label_count,
                                .seq = fill->seq,
                                .stored_ms = fill->stored_ms > 0 ? fill->stored_ms : now_ms,
                                .expires_ms = fill->kind == STORE_NOTE ? now_ms + MAX(fill->ttl_ms, 1) : 0,
                                .tenant = fill->tenant,
                                .kind = fill->kind,
                                .has_body = has_body,
                                .is_private = fill->private_copy,
                                .inline_bytes = is_inline ? (size_t)fill->length_bytes : 0};
}

static err fill_over_quota(struct store_fill *fill)
{
    fill->over_quota = true;
    return ERR(REFUSED);
}

/* Of the tier, or under its tenant's hard quota. */
static err no_room(const struct ram *ram, struct store_fill *fill)
{
    uint64_t bytes = (uint64_t)MAX(fill->length_bytes, 0) + fill->meta.len + fill->key.full.len + sizeof(struct stored_with_body);

    if (fill->private_copy || store_budget_fits(&ram->budget, fill->tenant, MIN(bytes, ram->body.share_bytes)))
        return ERR(LIMIT);
    return fill_over_quota(fill);
}

static enum store_status ram_get_miss_handler(struct storage *storage, struct store_fill *fill)
{
    struct ram *ram = ram_of(storage);
    struct stored_seed seed;
    struct stored *stored;

    fill->private_copy = fill->private_copy || ram->is_off;
    seed = seed_of_fill(fill);
    if (!fill->private_copy &&
        storage_is_purged(storage, fill->seq, fill->tenant, fill->labels, fill->label_count)) {
        fill->result = ERR(REFUSED);
        return STORE_DONE;
    }
    if (!fill->private_copy && !ram_is_wanted(ram, fill)) {
        fill->result = fill_over_quota(fill);
        return STORE_DONE;
    }
    stored = stored_new(&ram->budget, &seed);
    if (stored == NULL) {
        fill->result = no_room(ram, fill);
        return STORE_DONE;
    }
    if (fill->is_soft)
        stored_set_flag(stored, STORED_SOFT);
    if (fill->is_below)
        stored_set_flag(stored, STORED_ON_DISK);
    if (seed.has_body)
        fill->result = body_fill_new(stored, &ram->body, fill, &fill->miss_handler);
    if (fill->result.code == ERR_LIMIT)
        fill->result = no_room(ram, fill);
    if (err_is_ok(fill->result) && !fill->private_copy)
        fill->result = ram_publish(ram, stored, &(struct ram_place){!seed.has_body, fill->if_absent, fill->replaces});
    if (!err_is_ok(fill->result) && fill->miss_handler != NULL) {
        miss_handler_drop(fill->miss_handler);
        fill->miss_handler = NULL;
    }
    store_object_unref(&stored->seen);
    return STORE_DONE;
}

/* ---- update ------------------------------------------------------------------------------------------ */

static struct stored *stored_of_update(struct ram *ram, const struct store_update *update)
{
    const struct store_object *old = update->object;
    struct stored_seed seed = {.key = {old->hash, store_object_key(old)},
                               .meta = update->meta,
                               .labels = update->labels,
                               .label_count = update->label_count,
                               .seq = update->seq,
                               .stored_ms =
                                   update->op.loop != NULL ? loop_wall_ms(update->op.loop) : os_wall_ms(),
                               .tenant = old->tenant,
                               .kind = old->kind,
                               .share = old->body != NULL ? stored_of_body(old->body) : NULL};

    return stored_new(&ram->budget, &seed);
}

/* A purge of the old object between its fill and the validation has hit the body that both share. */
static bool update_is_purged(const struct ram *ram, const struct store_object *old,
                             const struct store_object *updated)
{
    return ram_verdict(ram, old) == PURGE_HARD || ram_verdict(ram, updated) == PURGE_HARD;
}

/* A copy of what the tier below has, for its readers alone: what renews it goes there by way of the index. */
static bool is_of_below(const struct ram *ram, const struct stored *old)
{
    return ram->watch.updated != NULL && stored_has_flag(old, STORED_ON_DISK) && !stored_has_flag(old, STORED_OVER);
}

/* The body of such a copy counts for nobody: from now on it is its tenant's. */
MUST_USE static bool body_is_paid(struct ram *ram, const struct stored *stored)
{
    struct stored *owner = stored->seen.body != NULL ? stored_of_body(stored->seen.body) : NULL;

    if (owner == NULL || !stored_has_flag(owner, STORED_PRIVATE))
        return true;
    uint64_t bytes = stored_bytes(owner);
    if (!store_budget_charge(&ram->budget, stored->seen.tenant, bytes, stored->seen.hash))
        return false;
    if ((atomic_fetch_and(&owner->flags, (uint8_t)~STORED_PRIVATE) & STORED_PRIVATE) == 0)
        store_budget_discharge(&ram->budget, stored->seen.tenant, bytes); /* another one was faster */
    return true;
}

MUST_USE static err update_put(struct ram *ram, struct ram_shard *shard, struct stored *stored)
{
    ENSURE(body_is_paid(ram, stored), NOT_FOUND);
    shard_grow_if_crowded(ram, shard, stored->seen.hash.hi);
    err result = ram_put(ram, stored, &(struct ram_place){.is_whole = true, .if_absent = true});

    return result.code == ERR_EXISTS || result.code == ERR_LIMIT ? ERR(NOT_FOUND) : result;
}

static enum store_status ram_update_meta(struct storage *storage, struct store_update *update)
{
    struct ram *ram = ram_of(storage);
    struct stored *old = stored_of(update->object), *stored = stored_of_update(ram, update);
    struct ram_shard *shard = ram_shard_of(ram, old->seen.hash.hi);

    if (stored == NULL) {
        update->result = ERR(LIMIT);
        return STORE_DONE;
    }
    update->updated = &stored->seen;
    uint64_t bytes = stored_bytes(stored);
    pthread_mutex_lock(&shard->mutex);
    if (update_is_purged(ram, &old->seen, &stored->seen)) {
        update->result = ERR(REFUSED);
    } else if (!stored_is_indexed(old)) {
        update->result = ERR(NOT_FOUND);
    } else {
        stored_take_use(stored, old);
        index_replace(&shard->index, old, stored);
        if (old->queue != S3_NONE)
            s3fifo_replace(&shard->queues, old, stored, bytes);
        else
            s3fifo_push(&shard->queues, stored, bytes);
        stored_set_flag(old, STORED_OVER);
        stored_set_indexed(old, false);
        stored_ref(stored, 1);
        stored_set_indexed(stored, true);
    }
    bool was_replaced = err_is_ok(update->result);
    pthread_mutex_unlock(&shard->mutex);
    if (update->result.code == ERR_NOT_FOUND && is_of_below(ram, old))
        update->result = update_put(ram, shard, stored);
    if (err_is_ok(update->result) && ram->watch.updated != NULL)
        ram->watch.updated(ram->watch.watcher, stored);
    if (was_replaced)
        store_object_unref(&old->seen);
    return STORE_DONE;
}

/* ---- numbers ----------------------------------------------------------------------------------------- */

static void slab_numbers(struct slabs *slabs, struct store_stats *stats)
{
    struct slab_stats slab;

    slabs_stats(slabs, &slab);
    stats->slab_moves = slab.moved;
    stats->slab_move_failures = slab.move_failures;
    stats->slabs = slab.used;
    stats->slab_bytes = slab.used_bytes;
    stats->slab_huge = slab.huge;
    stats->slab_rounding_bytes = slab.rounding_bytes;
    stats->slab_ready_bytes = slab.held_bytes;
    stats->index_bytes += slab.table_bytes;
}

static void ram_stats(const struct storage *storage, struct store_stats *stats)
{
    struct ram *ram = ram_of(storage);

    for (unsigned i = 0; i < ram->shard_count; i++) {
        struct ram_shard *shard = &ram->shards[i];
        pthread_mutex_lock(&shard->mutex);
        stats->lookup_hits += shard->lookup_hits;
        stats->misses += shard->misses;
        stats->inserts += shard->inserts;
        stats->evictions += shard->evictions;
        stats->evicted_bytes += shard->evicted_bytes;
        stats->objects += shard->index.count - shard->slices;
        stats->slices += shard->slices;
        pthread_mutex_unlock(&shard->mutex);
    }
    stats->lookup_hits += ram_near_found(ram);
    stats->purge_attempts = atomic_load_explicit(&ram->purge_attempts, memory_order_relaxed);
    stats->index_bytes = atomic_load_explicit(&ram->index_bytes, memory_order_relaxed);
    uint64_t used = atomic_load_explicit(&ram->budget.used, memory_order_relaxed);
    if (ram->budget.slabs != NULL)
        slab_numbers(ram->budget.slabs, stats);
    uint64_t other = stats->index_bytes + stats->slab_ready_bytes;
    stats->size_bytes = used > other ? used - other : 0;
    stats->max_bytes = ram->is_off ? 0 : ram->budget.max;
}

static uint64_t ram_browse(struct storage *storage, uint64_t cursor, unsigned limit,
                           void (*visit)(void *arg, const struct store_object *object, uint64_t hits),
                           void *arg)
{
    struct ram *ram = ram_of(storage);
    unsigned at = (unsigned)(ram_shard_of(ram, cursor) - ram->shards);

    while (at < ram->shard_count) {
        struct ram_shard *shard = &ram->shards[at];
        struct stored *stored = NULL;
        pthread_mutex_lock(&shard->mutex);
        while (limit > 0 && (stored = index_next(&shard->index, cursor)) != NULL) {
            if (ram_verdict(ram, &stored->seen) != PURGE_HARD) {
                visit(arg, &stored->seen, atomic_load_explicit(&stored->hits, memory_order_relaxed));
                limit--;
            }
            cursor = stored->seen.hash.hi + 1;
            if (cursor == 0 || (unsigned)(ram_shard_of(ram, cursor) - ram->shards) != at)
                break;
        }
        pthread_mutex_unlock(&shard->mutex);
        if (limit == 0)
            return cursor;
        at++;
        cursor = at < ram->shard_count ? (uint64_t)at << (64 - ram->shard_bits) : 0;
    }
    return 0;
}

/* ---- life -------------------------------------------------------------------------------------------- */

static uint64_t ram_tend(struct storage *storage)
{
    struct slabs *slabs = ram_of(storage)->budget.slabs;

    return slabs != NULL ? slabs_tend(slabs) : UINT64_MAX;
}

static bool ram_on_work(struct storage *storage, void (*wake)(void *arg), void *arg)
{
    struct slabs *slabs = ram_of(storage)->budget.slabs;

    if (slabs != NULL)
        slabs_on_work(slabs, wake, arg);
    return slabs != NULL;
}

static void ram_cancel(struct storage *storage, struct store_op *op)
{
    (void)storage;
    (void)op; /* nothing is ever pending */
}

static void shard_done(struct ram *ram, struct ram_shard *shard)
{
    for (uint32_t i = 0; i < shard->index.slot_count; i++) {
        while (shard->index.slots[i] != 0) {
            struct stored *stored = index_at(&shard->index, i);
            ram_remove(ram, shard, stored);
            store_object_unref(&stored->seen);
        }
    }
    table_give(ram, shard->index.slots, shard->index.homes);
    pthread_mutex_destroy(&shard->mutex);
}

static void ram_free(struct storage *storage)
{
    struct ram *ram = ram_of(storage);

    INVARIANT(list_is_empty(&ram->nears));
    for (unsigned i = 0; ram->shards != NULL && i < ram->shard_count; i++)
        if (ram->shards[i].index.slots != NULL)
            shard_done(ram, &ram->shards[i]);
    slabs_free(ram->budget.slabs);
    if (ram->owns_purges)
        purge_log_free(storage->purges);
    pthread_mutex_destroy(&ram->near_mutex);
    free(ram->shards);
    free(ram->budget.shares);
    free(ram->tenant_objects);
    free(ram);
}

static const struct storage_ops ram_ops = {
    .lookup = ram_lookup,
    .has = ram_has,
    .get_miss_handler = ram_get_miss_handler,
    .update_meta = ram_update_meta,
    .purge = ram_purge,
    .cancel = ram_cancel,
    .drop = ram_drop,
    .drop_hash = ram_drop_hash,
    .stats = ram_stats,
    .tenant_bytes = ram_tenant_bytes,
    .quota_set = ram_quota_set,
    .browse = ram_browse,
    .turn = ram_turn,
    .tend = ram_tend,
    .on_work = ram_on_work,
    .free = ram_free,
    .near_new = ram_near_new,
    .near_turn = ram_near_turn,
    .near_free = ram_near_free,
};

/* The table of purges lies outside the cap; it may have one entry for each KiB of it. */
static unsigned purge_labels_max(uint64_t max_bytes)
{
    return (unsigned)MIN(MAX(max_bytes / 1024, 4096), PURGE_LABELS_MAX_DEFAULT);
}

static void ram_configure(struct ram *ram, const struct store_ram_config *config)
{
    uint64_t window = config->window_bytes > 0 ? config->window_bytes : WINDOW_DEFAULT;

    ram->is_off = config->max_bytes == 0;
    ram->near_at_once = config->near_at_once;
    ram->shard_count = config->shards > 0 ? config->shards : SHARDS_DEFAULT;
    ram->shard_bits = (unsigned)__builtin_ctz(ram->shard_count);
    ram->storage.ops = &ram_ops;
    ram->storage.name = "ram";
    ram->storage.purges = config->purges;
    ram->owns_purges = config->purges == NULL;
    ram->budget.max = ram->is_off ? UINT64_MAX : config->max_bytes;
    ram->budget.make_room = ram->is_off ? NULL : ram_make_room;
    ram->budget.make_own_room = ram->is_off ? NULL : ram_make_own_room;
    ram->body = (struct body_config){.storage = &ram->storage, .host = &ram_host};
    ram->body.share_bytes = ram->budget.max / 8;
    ram->body.window_bytes = MAX(MIN(window, ram->body.share_bytes), WINDOW_MIN);
    ram->body.slab_from_bytes = config->slab_from_bytes > 0 ? config->slab_from_bytes : SLAB_FROM_DEFAULT;
    ram->body.slab_bytes = config->slab_bytes > 0 ? config->slab_bytes : SLAB_BYTES;
    if (config->secret != NULL)
        memcpy(ram->storage.secret, config->secret, HASH_SECRET_BYTES);
    else
        os_entropy(ram->storage.secret, HASH_SECRET_BYTES);
}

static err ram_allocate(struct ram *ram, const struct store_ram_config *config)
{
    if (ram->storage.purges == NULL)
        ram->storage.purges = purge_log_new(purge_labels_max(ram->is_off ? 0 : ram->budget.max));
    ram->budget.shares = store_shares_new();
    ram->tenant_objects = calloc(STORE_TENANTS, sizeof(*ram->tenant_objects));
    ENSURE(ram->storage.purges != NULL && ram->budget.shares != NULL && ram->tenant_objects != NULL,
           MEMORY);
    ram->sweeper = purge_log_sweeper_new(ram->storage.purges);
    ram->shards = aligned_alloc(64, ram->shard_count * sizeof(*ram->shards));
    ENSURE(ram->shards != NULL, MEMORY);
    memset(ram->shards, 0, ram->shard_count * sizeof(*ram->shards));
    for (unsigned i = 0; i < ram->shard_count; i++) {
        struct ram_shard *shard = &ram->shards[i];
        uint64_t *slots = table_take(ram, INDEX_HOMES_MIN, 0);
        ENSURE(slots != NULL, MEMORY);
        pthread_mutex_init(&shard->mutex, NULL);
        index_init(&shard->index, ram->shard_bits, slots, INDEX_HOMES_MIN);
        s3fifo_init(&shard->queues);
        if (config->small_percent > 0)
            shard->queues.small_percent = config->small_percent;
        shard_set_ghosts(shard);
    }
    return ERR_OK;
}

/* Without slabs a tier works as well, and copies what it sends. */
static void ram_open_slabs(struct ram *ram)
{
    const struct body_config *body = &ram->body;
    err opened;

    if (ram->is_off || body->slab_from_bytes > body->share_bytes)
        return;
    opened = slabs_new(&ram->budget, (size_t)MIN(body->slab_from_bytes, body->slab_bytes), &ram->budget.slabs);
    if (!err_is_ok(opened) && opened.code != ERR_REFUSED) /* one tier of a process has them */
        log_warn("large bodies are sent by copying them: no memory that sockets can send from: %s", err_text(opened));
}

void ram_watch(struct storage *storage, const struct ram_watch *watch)
{
    ram_of(storage)->watch = *watch;
}

err store_ram_new(const struct store_ram_config *config, struct storage **ret_storage)
{
    struct ram *ram;
    err e;

    ENSURE(config->max_bytes == 0 || config->max_bytes >= MAX_BYTES_MIN, INVALID);
    ENSURE(config->slab_bytes <= SLAB_BYTES && config->slab_bytes % os_page_bytes() == 0, INVALID);
    ENSURE(config->shards <= SHARDS_MAX && (config->shards & (config->shards - 1)) == 0, INVALID);
    ENSURE(config->small_percent <= 100, INVALID);
    ram = aligned_alloc(64, sizeof(*ram));
    ENSURE(ram != NULL, MEMORY);
    memset(ram, 0, sizeof(*ram));
    list_init(&ram->nears);
    pthread_mutex_init(&ram->near_mutex, NULL);
    ram_configure(ram, config);
    e = ram_allocate(ram, config);
    if (!err_is_ok(e)) {
        ram_free(&ram->storage);
        return e;
    }
    ram_open_slabs(ram);
    *ret_storage = &ram->storage;
    return ERR_OK;
}
