#include "store/tiered.h"

#include "store/near.h"
#include "store/object.h"
#include "store/purge.h"
#include "store/ram.h"
#include "store/storage_ops.h"

#include <stdlib.h>

struct tiered {
    struct storage storage;
    struct storage *ram;
    struct disk *disk;
    bool is_ram_off; /* it keeps what is on its way to the disk, and nothing else */
    struct storage below; /* the disk as a tier of its own: for names and numbers */
};

static struct tiered *tiered_of(const struct storage *storage)
{
    return (struct tiered *)(uintptr_t)container_of(storage, struct tiered, storage);
}

/* ---- hits ----------------------------------------------------------------------------------------------------- */

/* Has the disk something to learn from this hit? */
static inline bool is_news(const struct stored *stored)
{
    uint8_t flags = atomic_load_explicit(&stored->flags, memory_order_relaxed);

    return flags & STORED_ON_DISK ? (flags & STORED_TOLD) != STORED_TOLD : !(flags & STORED_OFFERED);
}

static void offer(struct tiered *tiered, struct stored *stored, bool was_used, bool is_update)
{
    if (stored->seen.kind == STORE_NOTE || disk_offer(tiered->disk, stored, was_used, is_update))
        stored_set_flag(stored, STORED_OFFERED);
}

/* Told three times at most: the disk counts no further. Two threads may tell the same hit: it then counts twice. */
static __attribute__((noinline)) void tell_hit(struct tiered *tiered, struct stored *stored)
{
    if (!stored_has_flag(stored, STORED_ON_DISK)) {
        if (store_object_is_complete(&stored->seen))
            offer(tiered, stored, true, false);
        return;
    }
    disk_hit(tiered->disk, stored->seen.hash);
    uint8_t flags = atomic_load_explicit(&stored->flags, memory_order_relaxed);
    if ((flags & STORED_TOLD) != STORED_TOLD)
        (void)atomic_compare_exchange_strong(&stored->flags, &flags, (uint8_t)(flags + STORED_TOLD_ONE));
}

/* ---- lookup --------------------------------------------------------------------------------------------------- */

static bool look_in_ram(void *host, struct store_lookup *lookup)
{
    struct tiered *tiered = host;

    (void)tiered->ram->ops->lookup(tiered->ram, lookup);
    if (lookup->found == STORE_MISS)
        return false;
    if (UNLIKELY(is_news(stored_of(lookup->object))) && !lookup->peek)
        tell_hit(tiered, stored_of(lookup->object));
    return true;
}

static enum store_status tiered_lookup(struct storage *storage, struct store_lookup *lookup)
{
    struct tiered *tiered = tiered_of(storage);

    if (look_in_ram(tiered, lookup) || lookup->at_hand)
        return STORE_DONE;
    return disk_lookup(tiered->disk, lookup);
}

static bool tiered_has(struct storage *storage, const struct store_key *key)
{
    struct tiered *tiered = tiered_of(storage);

    return storage_has(tiered->ram, key) || disk_has(tiered->disk, key->hash);
}

static struct store_object *found_in_ram(struct tiered *tiered, const struct store_fill *fill, enum store_found *ret_found)
{
    struct store_lookup lookup = {.key = fill->key, .peek = true};

    (void)tiered->ram->ops->lookup(tiered->ram, &lookup);
    *ret_found = lookup.found;
    return lookup.object;
}

/* Kinds without a body are in RAM at once, and have to be looked for there: this one, or what has come since. */
static struct store_object *found_whole(struct tiered *tiered, const struct store_fill *fill, enum store_found *ret_above)
{
    struct store_object *object = found_in_ram(tiered, fill, ret_above);

    if (object != NULL && object->seq == fill->seq && stored_has_flag(stored_of(object), STORED_ON_DISK))
        *ret_above = STORE_MISS;
    return object;
}

/* A complete object of RAM; where RAM, or its tenant there, has no room for it, one for this reader alone; where something came into RAM while the
 * disk was read (newer, or by another's read), that. */
static struct store_object *found_put(struct tiered *tiered, struct store_fill *fill, slice body, enum store_found *ret_above)
{
    struct store_object *object;

    (void)storage_get_miss_handler(tiered->ram, fill);
    if (fill->result.code == ERR_EXISTS)
        return found_in_ram(tiered, fill, ret_above);
    if ((fill->result.code == ERR_LIMIT || fill->over_quota) && !fill->private_copy) {
        fill->private_copy = true;
        return found_put(tiered, fill, body, ret_above);
    }
    if (!err_is_ok(fill->result))
        return NULL;
    if (fill->miss_handler == NULL)
        return found_whole(tiered, fill, ret_above);
    object = miss_handler_object(fill->miss_handler);
    if (miss_handler_write(fill->miss_handler, body) == body.len) {
        miss_handler_finish(fill->miss_handler);
        return object;
    }
    miss_handler_drop(fill->miss_handler); /* memory ended in the middle */
    store_object_unref(object);
    return NULL;
}

static struct store_object *tiered_found(void *host, const struct disk_found *found, enum store_found *ret_above)
{
    struct tiered *tiered = host;
    struct store_fill fill = {.key = storage_key(&tiered->storage, found->key),
                              .tenant = found->tenant,
                              .kind = (uint8_t)found->kind,
                              .seq = found->seq,
                              .meta = found->meta,
                              .labels = found->labels,
                              .label_count = found->label_count,
                              .length_bytes = (int64_t)found->body.len,
                              .stored_ms = found->stored_ms,
                              .private_copy = tiered->is_ram_off && found->kind != STORE_VARY, /* markers have no reader */
                              .if_absent = true,
                              .is_soft = found->is_soft,
                              .is_below = true};

    return found_put(tiered, &fill, found->body, ret_above);
}

static void tiered_not_found(void *host, struct store_object *object)
{
    struct tiered *tiered = host;

    /* not storage_drop: what the disk has under the key by now is another object */
    stored_set_flag(stored_of(object), STORED_OVER);
    ram_let_go(tiered->ram, stored_of(object));
}

/* ---- what RAM tells ------------------------------------------------------------------------------------------- */

static void ram_stored(void *watcher, struct stored *stored)
{
    struct tiered *tiered = watcher;

    if (stored_has_flag(stored, STORED_ON_DISK) || stored->seen.kind == STORE_NOTE)
        return;
    bool was_seen = disk_missed(tiered->disk, stored->seen.hash, stored_bytes(stored));
    if (was_seen || (disk_is_open(tiered->disk, stored->seen.hash) && !disk_is_over_soft(tiered->disk, stored->seen.tenant)))
        offer(tiered, stored, was_seen, false);
}

static void disk_settled(void *host, struct stored *stored)
{
    struct tiered *tiered = host;

    if (tiered->is_ram_off)
        ram_let_go(tiered->ram, stored);
}

static void ram_updated(void *watcher, struct stored *stored)
{
    struct tiered *tiered = watcher;

    disk_renew(tiered->disk, stored->seen.hash); /* else the old metadata came back when this leaves RAM early */
    offer(tiered, stored, true, true);
}

static void ram_over(void *watcher, hash128 hash)
{
    disk_forget(((struct tiered *)watcher)->disk, hash);
}

/* What is hot in RAM has told all its hits: it tells them again, or is offered again. */
static void disk_moved(void *host, uint64_t hash, bool is_gone)
{
    unsigned flags = is_gone ? STORED_TOLD | STORED_ON_DISK | STORED_OFFERED : STORED_TOLD;

    ram_clear_flags(((struct tiered *)host)->ram, hash, flags);
}

/* ---- the other calls ------------------------------------------------------------------------------------------ */

static enum store_status tiered_get_miss_handler(struct storage *storage, struct store_fill *fill)
{
    return tiered_of(storage)->ram->ops->get_miss_handler(tiered_of(storage)->ram, fill);
}

static enum store_status tiered_update_meta(struct storage *storage, struct store_update *update)
{
    return tiered_of(storage)->ram->ops->update_meta(tiered_of(storage)->ram, update);
}

/* Of what a purge matches on the disk nothing is known but whether it may have the keys. Where there are others, the first
 * is no answer, but leads to them. */
static uint64_t count_below(const struct tiered *tiered, const struct store_purge *purge)
{
    uint64_t count = purge->other_count == 0 && disk_has(tiered->disk, purge->key.hash);

    for (unsigned i = 0; i < purge->other_count; i++)
        count += disk_has(tiered->disk, purge->others[i]);
    return count;
}

/* The index knows tenants, if by their bytes alone: as many of its objects as the tenant has of its bytes. */
static uint64_t guess_below(const struct tiered *tiered, uint16_t tenant, const struct store_stats *stats)
{
    double share = 1;

    if (tenant != STORE_TENANT_ALL)
        share = stats->size_bytes > 0 ? (double)disk_tenant_bytes(tiered->disk, tenant) / (double)stats->size_bytes : 0;
    return (uint64_t)(share * (double)stats->objects);
}

/* RAM counts exactly. What it has counted is mostly on the disk as well. */
static void count_with_disk(struct tiered *tiered, struct store_purge *purge, const struct store_stats *before)
{
    bool has_key = (purge->key.hash.lo | purge->key.hash.hi) != 0;

    if (purge->kind == STORE_LABEL_TENANT)
        purge->matched = MAX(purge->matched, guess_below(tiered, purge->tenant, before));
    else if (has_key)
        purge->matched = MAX(purge->matched, count_below(tiered, purge));
    else
        purge->matched_is_least = true;
    purge->matched_is_exact = false;
    purge_log_counted(tiered->storage.purges, purge->seq, purge->matched, false);
}

static enum store_status tiered_purge(struct storage *storage, struct store_purge *purge)
{
    struct tiered *tiered = tiered_of(storage);
    struct disk_stats stats;

    (void)tiered->ram->ops->purge(tiered->ram, purge);
    disk_stats(tiered->disk, &stats);
    if (stats.store.objects > 0)
        count_with_disk(tiered, purge, &stats.store);
    return disk_purge(tiered->disk, purge);
}

static void tiered_cancel(struct storage *storage, struct store_op *op)
{
    (void)storage;
    op->tier->cancel(op->tier);
}

static void tiered_drop(struct storage *storage, struct store_object *object)
{
    tiered_of(storage)->ram->ops->drop(tiered_of(storage)->ram, object);
}

static void tiered_drop_hash(struct storage *storage, hash128 hash)
{
    tiered_of(storage)->ram->ops->drop_hash(tiered_of(storage)->ram, hash);
}

static void tiered_stats(const struct storage *storage, struct store_stats *stats)
{
    storage_stats(tiered_of(storage)->ram, stats);
}

static uint64_t tiered_tenant_bytes(const struct storage *storage, uint16_t tenant)
{
    return storage_tenant_bytes(tiered_of(storage)->ram, tenant);
}

static uint64_t tiered_browse(struct storage *storage, uint64_t cursor, unsigned limit,
                              void (*visit)(void *arg, const struct store_object *object, uint64_t hits), void *arg)
{
    return storage_browse(tiered_of(storage)->ram, cursor, limit, visit, arg);
}

static void tiered_turn(struct storage *storage, int64_t wall_ms)
{
    storage_turn(tiered_of(storage)->ram, wall_ms);
}

static uint64_t tiered_tend(struct storage *storage)
{
    return storage_tend(tiered_of(storage)->ram);
}

static bool tiered_on_work(struct storage *storage, void (*wake)(void *arg), void *arg)
{
    return storage_on_work(tiered_of(storage)->ram, wake, arg);
}

static struct store_near *tiered_near_new(struct storage *storage)
{
    return storage_near_new(tiered_of(storage)->ram);
}

static void tiered_free(struct storage *storage)
{
    struct tiered *tiered = tiered_of(storage);

    disk_let_go(tiered->disk);
    storage_free(tiered->ram);
    free(tiered);
}

/* ---- numbers -------------------------------------------------------------------------------------------------- */

static const struct tiered *tiered_of_below(const struct storage *below)
{
    return (const struct tiered *)(uintptr_t)container_of(below, struct tiered, below);
}

static void below_stats(const struct storage *storage, struct store_stats *stats)
{
    struct disk_stats disk;

    disk_stats(tiered_of_below(storage)->disk, &disk);
    *stats = disk.store;
}

static uint64_t below_tenant_bytes(const struct storage *storage, uint16_t tenant)
{
    return disk_tenant_bytes(tiered_of_below(storage)->disk, tenant);
}

static void below_quota_set(struct storage *storage, uint16_t tenant, const struct store_quota *quota)
{
    disk_quota_set(tiered_of_below(storage)->disk, tenant, quota);
}

static const struct storage *tiered_tier(const struct storage *storage, unsigned i)
{
    const struct tiered *tiered = tiered_of(storage);

    return i == 0 ? tiered->ram : i == 1 ? &tiered->below : NULL;
}

/* ---- life ----------------------------------------------------------------------------------------------------- */

static const struct storage_ops tiered_ops = {
    .lookup = tiered_lookup,
    .has = tiered_has,
    .get_miss_handler = tiered_get_miss_handler,
    .update_meta = tiered_update_meta,
    .purge = tiered_purge,
    .cancel = tiered_cancel,
    .drop = tiered_drop,
    .drop_hash = tiered_drop_hash,
    .stats = tiered_stats,
    .tenant_bytes = tiered_tenant_bytes,
    .browse = tiered_browse,
    .turn = tiered_turn,
    .tend = tiered_tend,
    .on_work = tiered_on_work,
    .tier = tiered_tier,
    .free = tiered_free,
    .near_new = tiered_near_new,
};

static const struct storage_ops below_ops = {.stats = below_stats, .tenant_bytes = below_tenant_bytes, .quota_set = below_quota_set};

err store_tiered_new(struct storage *ram, struct disk *disk, bool is_ram_off, struct storage **ret_storage)
{
    struct tiered *tiered = calloc(1, sizeof(*tiered));

    ENSURE(tiered != NULL, MEMORY);
    tiered->ram = ram;
    tiered->disk = disk;
    tiered->is_ram_off = is_ram_off;
    tiered->storage.ops = &tiered_ops;
    tiered->storage.name = "tiered";
    tiered->storage.purges = ram->purges;
    memcpy(tiered->storage.secret, ram->secret, HASH_SECRET_BYTES);
    tiered->below.ops = &below_ops;
    tiered->below.name = "disk";
    tiered->below.purges = ram->purges;
    disk_set_host(disk, &(struct disk_host){tiered_found, tiered_not_found, disk_settled, disk_moved, is_ram_off ? NULL : look_in_ram, tiered});
    ram_watch(ram, &(struct ram_watch){ram_stored, ram_updated, ram_over, tiered});
    *ret_storage = &tiered->storage;
    return ERR_OK;
}
