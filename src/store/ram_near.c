/* The RAM tier and its threads' near tables: whose they are, and the lookup that asks them first. */
#include "store/ram_own.h"

#include <stdlib.h>

/* ---- life -------------------------------------------------------------------------------------------- */

/* Under the lock. */
static void near_share_out(struct ram *ram)
{
    uint64_t units = ram->budget.max / NEAR_SHARE / STORED_UNIT_BYTES;

    atomic_store_explicit(&ram->near_units_max, units / MAX(ram->near_count, 1u), memory_order_relaxed);
}

/* In a small tier the tables themselves would be what it is full of. */
static bool ram_near_fits(struct ram *ram, uint64_t charge)
{
    pthread_mutex_lock(&ram->near_mutex);
    uint64_t count = ram->near_count + 1;
    pthread_mutex_unlock(&ram->near_mutex);
    return count * charge <= ram->budget.max / NEAR_SHARE;
}

struct store_near *ram_near_new(struct storage *storage)
{
    struct ram *ram = ram_of(storage);
    uint64_t charge = store_charge(sizeof(struct store_near));
    struct store_near *near;

    if (ram->is_off || !ram_near_fits(ram, charge) ||
        !store_budget_take(&ram->budget, STORE_TENANT_NONE, charge, (hash128){0}))
        return NULL;
    near = aligned_alloc(64, sizeof(*near));
    if (near == NULL) {
        store_budget_give(&ram->budget, STORE_TENANT_NONE, charge);
        return NULL;
    }
    memset(near, 0, sizeof(*near));
    near->storage = storage;
    atomic_fetch_add_explicit(&ram->index_bytes, charge, memory_order_relaxed);
    pthread_mutex_lock(&ram->near_mutex);
    list_push_back(&ram->nears, &near->link);
    ram->near_count++;
    near_share_out(ram);
    pthread_mutex_unlock(&ram->near_mutex);
    return near;
}

void ram_near_free(struct store_near *near)
{
    struct ram *ram = ram_of(near->storage);
    uint64_t charge = store_charge(sizeof(*near));

    near_let_go_all(near);
    pthread_mutex_lock(&ram->near_mutex);
    list_remove(&near->link);
    ram->near_count--;
    ram->near_found += atomic_load_explicit(&near->found, memory_order_relaxed);
    near_share_out(ram);
    pthread_mutex_unlock(&ram->near_mutex);
    free(near);
    store_budget_give(&ram->budget, STORE_TENANT_NONE, charge);
    atomic_fetch_sub_explicit(&ram->index_bytes, charge, memory_order_relaxed);
}

uint64_t ram_near_found(struct ram *ram)
{
    pthread_mutex_lock(&ram->near_mutex);
    uint64_t found = ram->near_found;
    LIST_FOREACH (&ram->nears, it)
        found +=
            atomic_load_explicit(&container_of(it, struct store_near, link)->found, memory_order_relaxed);
    pthread_mutex_unlock(&ram->near_mutex);
    return found;
}

/* ---- memory ------------------------------------------------------------------------------------------ */

/* All others follow at their next turn. */
bool ram_near_empty(struct ram *ram)
{
    struct store_near *near = near_here;

    atomic_fetch_add_explicit(&ram->near_empty_calls, 1, memory_order_relaxed);
    if (near == NULL || near->storage != &ram->storage || near->count == 0)
        return false;
    near_let_go_all(near);
    return true;
}

/* A table that holds more than its share was filled when there were fewer of them. */
void ram_near_turn(struct store_near *near)
{
    struct ram *ram = ram_of(near->storage);
    uint32_t calls = atomic_load_explicit(&ram->near_empty_calls, memory_order_relaxed);
    bool is_over = near->units > atomic_load_explicit(&ram->near_units_max, memory_order_relaxed);

    if (near->emptied != calls || is_over)
        near_let_go_all(near);
    near->emptied = calls;
    near_turn(near);
}

/* ---- lookup ------------------------------------------------------------------------------------------ */

/* L1 of near.h. A purge that came since is looked at once. */
static inline enum purge_verdict near_verdict(struct ram *ram, struct near_entry *entry)
{
    const struct store_object *seen = &entry->stored->seen;
    uint64_t latest = purge_log_latest(ram->storage.purges, seen->tenant);
    enum purge_verdict verdict;

    if (LIKELY(latest == entry->checked))
        return PURGE_NONE;
    verdict = purge_log_check(ram->storage.purges, seen->seq, seen->tenant, store_object_labels(seen),
                              seen->label_count);
    if (verdict == PURGE_NONE)
        entry->checked = latest;
    return verdict;
}

static inline void near_count(struct store_near *near, struct near_entry *entry)
{
    uint64_t found = atomic_load_explicit(&near->found, memory_order_relaxed);

    atomic_store_explicit(&near->found, found + 1, memory_order_relaxed);
    entry->hits++;
    if (entry->heat < NEAR_HEAT_MAX)
        entry->heat++;
    s3fifo_used(entry->stored);
}

bool ram_near_lookup(struct ram *ram, struct store_near *near, struct store_lookup *lookup)
{
    struct near_entry *entry = near_find(near, lookup->key.hash);

    if (entry == NULL)
        return false;
    struct stored *stored = entry->stored;
    if (!hash128_eq(stored->seen.hash, lookup->key.hash) ||
        !slice_eq(store_object_key(&stored->seen), lookup->key.full))
        return false;
    enum purge_verdict verdict = near_verdict(ram, entry);
    /* L2, and not before L1 */
    if (!stored_is_indexed(stored) || verdict == PURGE_HARD || ram_is_expired(lookup, &stored->seen)) {
        near_let_go(near, entry);
        return false;
    }
    bool is_soft = verdict == PURGE_SOFT || stored_has_flag(stored, STORED_SOFT);
    near_take(entry);
    if (!lookup->peek)
        near_count(near, entry);
    lookup->object = &stored->seen;
    lookup->found = is_soft ? STORE_HIT_SOFT : STORE_HIT;
    return true;
}

/* Under the shard's lock: what keeping it may hold back, 0: not to be kept. Seen before, so that what is
 * asked for once displaces nothing; complete, so that only its time can make it over; in a queue, so that its
 * size is known. An updated object may hold the older one whose body it shares. */
uint32_t ram_near_units(const struct ram *ram, const struct stored *stored)
{
    const struct store_object *seen = &stored->seen;
    uint64_t units = stored->charge_units;

    if (!ram->near_at_once && atomic_load_explicit(&stored->use, memory_order_relaxed) == 0)
        return 0;
    if (stored->queue == S3_NONE || !store_object_is_complete(seen))
        return 0;
    /* An updated object is not told when the body it shares is complete, or has lost its start. */
    if (seen->body != NULL && atomic_load_explicit(&seen->body->window, memory_order_acquire) != BODY_WHOLE)
        return 0;
    if (seen->body != NULL && stored_of_body(seen->body) != stored) {
        uint64_t written = atomic_load_explicit(&seen->body->written, memory_order_acquire);
        units = MAX(units, written / STORED_UNIT_BYTES) + STORED_INLINE_BYTES / STORED_UNIT_BYTES;
    }
    return units <= NEAR_OBJECT_BYTES / STORED_UNIT_BYTES ? (uint32_t)units : 0;
}
