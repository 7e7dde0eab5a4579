/* The RAM tier's quotas: what a tenant at its hard quota gives up, and what is kept of one above its soft quota. Sparing what
 * is guaranteed is s3fifo.c's. */
#include "store/ram_own.h"

#define OWN_LOOKS_MAX 1024u /* objects of anybody: with less than one in as many, a tenant finds nothing of its own */
#define STRETCH_LOOKS 32u   /* under one lock */
#define EXCESS_LOOKS_MAX 4096u /* in a turn */

uint64_t ram_tenant_bytes(const struct storage *storage, uint16_t tenant)
{
    return store_share_bytes(&ram_of(storage)->budget.shares[tenant]);
}

void ram_quota_set(struct storage *storage, uint16_t tenant, const struct store_quota *quota)
{
    struct ram *ram = ram_of(storage);

    store_share_set(&ram->budget.shares[tenant], quota);
    if (store_share_excess(&ram->budget.shares[tenant], 0) > 0)
        atomic_store(&ram->has_excess, true);
}

/* ---- at the hard quota --------------------------------------------------------------------------------------- */

struct own {
    struct ram *ram;
    uint16_t tenant;
    bool is_last_call; /* also what was used lately */
    bool is_excess;    /* of any tenant that is above its hard quota */
    bool is_met;       /* something of such */
    uint64_t cursor, wanted, freed;
    unsigned looks;
    struct list gone;
};

static bool own_is_meant(const struct own *own, const struct stored *stored)
{
    if (own->is_excess)
        return store_share_excess(&own->ram->budget.shares[stored->seen.tenant], 0) > 0;
    return stored->seen.tenant == own->tenant;
}

/* Used lately: it stays this time. */
static bool own_is_victim(struct own *own, struct stored *stored)
{
    uint8_t use = atomic_load_explicit(&stored->use, memory_order_relaxed);

    if (!own_is_meant(own, stored))
        return false;
    own->is_met = true;
    if (stored->queue == S3_NONE || atomic_load_explicit(&stored->refs, memory_order_acquire) > 1)
        return false;
    if (use > 0 && !own->is_last_call) {
        atomic_store_explicit(&stored->use, (uint8_t)(use - 1), memory_order_relaxed);
        return false;
    }
    return true;
}

static void own_evict(struct own *own, struct ram_shard *shard, struct stored *stored)
{
    uint64_t bytes = (uint64_t)stored->charge_units * STORED_UNIT_BYTES;

    shard->evictions++;
    shard->evicted_bytes += bytes;
    own->freed += bytes;
    ram_remove(own->ram, shard, stored);
    list_push_back(&own->gone, &stored->link);
}

/* Some objects of one shard from the cursor on. */
static void own_stretch(struct own *own, struct ram_shard *shard)
{
    unsigned at = (unsigned)(shard - own->ram->shards);
    struct stored *stored = NULL;

    pthread_mutex_lock(&shard->mutex);
    for (unsigned i = 0; i < STRETCH_LOOKS && own->freed < own->wanted; i++) {
        stored = index_next(&shard->index, own->cursor);
        if (stored == NULL)
            break;
        own->looks++;
        own->cursor = stored->seen.hash.hi + 1;
        if (own_is_victim(own, stored))
            own_evict(own, shard, stored);
        if (own->cursor == 0 || ram_shard_of(own->ram, own->cursor) != shard)
            break;
    }
    pthread_mutex_unlock(&shard->mutex);
    if (stored == NULL) /* the shard's end */
        own->cursor = own->ram->shard_bits == 0 ? 0 : (uint64_t)(at + 1) << (64 - own->ram->shard_bits);
}

/* Hashes have no order: what lies behind any place is as good a sample as any. */
static void own_walk(struct own *own, uint64_t from)
{
    unsigned shards = 0;

    own->cursor = from;
    own->looks = 0;
    while (own->looks < OWN_LOOKS_MAX && own->freed < own->wanted && shards <= own->ram->shard_count) {
        struct ram_shard *shard = ram_shard_of(own->ram, own->cursor);
        own_stretch(own, shard);
        shards += ram_shard_of(own->ram, own->cursor) != shard || own->cursor == 0;
    }
}

static void own_let_go(struct own *own)
{
    struct list *link;

    while ((link = list_pop_front(&own->gone)) != NULL)
        store_object_unref(&container_of(link, struct stored, link)->seen);
}

bool ram_make_own_room(struct store_budget *budget, uint16_t tenant, uint64_t bytes, hash128 near)
{
    struct own own = {.ram = container_of(budget, struct ram, budget), .tenant = tenant, .gone = LIST_INIT(own.gone)};
    uint64_t excess = store_share_excess(&budget->shares[tenant], bytes);

    if (excess == UINT64_MAX)
        return false;
    own.wanted = MAX(bytes, excess);
    own_walk(&own, near.hi);
    own.is_last_call = true;
    if (own.freed == 0 && own.is_met)
        own_walk(&own, near.hi);
    own_let_go(&own);
    return own.freed > 0;
}

/* ---- above the hard quota ------------------------------------------------------------------------------------ */

static bool excess_begin(struct ram *ram)
{
    if (ram->is_excess_lap)
        return true;
    if (LIKELY(!atomic_load_explicit(&ram->has_excess, memory_order_relaxed)) || !atomic_exchange(&ram->has_excess, false))
        return false;
    ram->is_excess_lap = true;
    ram->is_excess_met = false;
    ram->excess_cursor = 0;
    return true;
}

/* Each that goes is let go at once, and counts no more: so none goes too many. */
void ram_excess_turn(struct ram *ram)
{
    struct own own = {.ram = ram, .is_excess = true, .gone = LIST_INIT(own.gone)};

    if (!excess_begin(ram))
        return;
    own.cursor = ram->excess_cursor;
    do {
        own.wanted = own.freed + 1;
        own_stretch(&own, ram_shard_of(ram, own.cursor));
        own_let_go(&own);
    } while (own.cursor != 0 && own.looks < EXCESS_LOOKS_MAX);
    ram->excess_cursor = own.cursor;
    ram->is_excess_met |= own.is_met;
    ram->is_excess_lap = own.cursor != 0;
    if (!ram->is_excess_lap && ram->is_excess_met)
        atomic_store(&ram->has_excess, true);
}

/* ---- above the soft quota ------------------------------------------------------------------------------------ */

/* What comes from the tier below was asked for before; slices are wanted as the body is that they are of. */
bool ram_is_wanted(struct ram *ram, const struct store_fill *fill)
{
    if (LIKELY(!store_share_is_over_soft(&ram->budget.shares[fill->tenant])) || fill->kind != STORE_ANSWER || fill->is_below)
        return true;
    struct ram_shard *shard = ram_shard_of(ram, fill->key.hash.hi);
    pthread_mutex_lock(&shard->mutex);
    bool is_wanted = index_find(&shard->index, fill->key.hash, fill->key.full) != NULL || s3fifo_was_seen(&shard->queues, fill->key.hash);
    pthread_mutex_unlock(&shard->mutex);
    return is_wanted;
}
