/* Purge in the RAM tier: in effect at once by comparison; here is the counting, and the sweep that frees what
 * was purged and lets entries retire. */
#include "store/ram_own.h"

#define COUNT_OBJECTS_MAX 10000u /* as many are looked at to count what a purge matches: about a millisecond's worth */
#define STRETCH_SLOTS     128u    /* under one lock */
#define TURN_SLOTS        4096u   /* in one turn */

/* ---- counting ---------------------------------------------------------------------------------------- */

struct count {
    const struct ram *ram;
    const struct store_purge *purge;
    uint64_t before; /* the last hard purge of the same label */
    uint64_t matched, looked_at;
};

static bool has_label(const struct store_object *object, struct store_label label)
{
    for (unsigned i = 0; i < object->label_count; i++)
        if (store_object_labels(object)[i].hash == label.hash)
            return true;
    return false;
}

/* Does this purge, and none before it, hit the object? */
static bool is_matched(const struct count *count, const struct store_object *object)
{
    const struct store_purge *purge = count->purge;

    if (object->kind != STORE_ANSWER || object->tenant != purge->tenant || object->seq >= purge->seq ||
        object->seq < count->before || !has_label(object, purge->label))
        return false;
    return purge_log_check_except(count->ram->storage.purges, object->seq, object->tenant, store_object_labels(object),
                                  object->label_count, purge->label) != PURGE_HARD;
}

static uint64_t shard_count_stretch(struct count *count, struct ram_shard *shard, uint64_t cursor)
{
    uint32_t from, to;

    pthread_mutex_lock(&shard->mutex);
    cursor = index_stretch(&shard->index, cursor, STRETCH_SLOTS, &from, &to);
    for (uint32_t i = from; i < to; i++) {
        if (shard->index.slots[i] == 0)
            continue;
        count->looked_at++;
        if (is_matched(count, &index_at(&shard->index, i)->seen))
            count->matched++;
    }
    pthread_mutex_unlock(&shard->mutex);
    return cursor;
}

static uint64_t ram_objects(struct ram *ram)
{
    uint64_t objects = 0;

    for (unsigned i = 0; i < ram->shard_count; i++) {
        pthread_mutex_lock(&ram->shards[i].mutex);
        objects += ram->shards[i].index.count;
        pthread_mutex_unlock(&ram->shards[i].mutex);
    }
    return objects;
}

/* Looks at all objects where there are few, else at some shards of them: hashes have no order, so what is
 * true of some is about true of all. */
static void count_by_scan(struct ram *ram, struct store_purge *purge, uint64_t before)
{
    struct count count = {ram, purge, before, 0, 0};
    uint64_t objects = ram_objects(ram);

    for (unsigned i = 0; i < ram->shard_count && count.looked_at < COUNT_OBJECTS_MAX; i++) {
        uint64_t cursor = 0;
        do {
            cursor = shard_count_stretch(&count, &ram->shards[i], cursor);
        } while (cursor != 0);
    }
    purge->matched = count.matched;
    purge->matched_is_exact = objects < COUNT_OBJECTS_MAX;
    if (!purge->matched_is_exact && count.looked_at > 0)
        purge->matched = (uint64_t)((double)count.matched * (double)objects / (double)count.looked_at);
}

/* ---- by key ------------------------------------------------------------------------------------------ */

/* The object of that hash, if the purge is what has hit it. Its memory comes free now rather than with the sweep. */
static void take_by_hash(struct count *count, struct ram *ram, hash128 hash)
{
    struct ram_shard *shard = ram_shard_of(ram, hash.hi);

    pthread_mutex_lock(&shard->mutex);
    struct stored *stored = index_next(&shard->index, hash.hi);
    if (stored != NULL && hash128_eq(stored->seen.hash, hash)) {
        count->matched += is_matched(count, &stored->seen);
        if (ram_verdict(ram, &stored->seen) == PURGE_HARD)
            ram_remove_over(ram, shard, stored);
        else
            stored = NULL;
    } else {
        stored = NULL;
    }
    pthread_mutex_unlock(&shard->mutex);
    if (stored != NULL)
        store_object_unref(&stored->seen);
}

static bool has_key(const struct store_purge *purge)
{
    return (purge->key.hash.lo | purge->key.hash.hi) != 0;
}

/* Whoever purges a URL knows what is stored under it: a walk over all objects would cost more than all the rest. */
static void count_by_key(struct ram *ram, struct store_purge *purge, uint64_t before)
{
    struct count count = {ram, purge, before, 0, 0};

    take_by_hash(&count, ram, purge->key.hash);
    for (unsigned i = 0; i < purge->other_count; i++)
        take_by_hash(&count, ram, purge->others[i]);
    purge->matched = count.matched;
    purge->matched_is_exact = purge->keys_are_all;
    purge->matched_is_least = !purge->keys_are_all;
}

/* ---- purge ------------------------------------------------------------------------------------------- */

/* The table of labels is full: the purge has taken everything of the tenant. */
static bool is_overflow(const struct purge_log *log, const struct store_purge *purge)
{
    return purge_log_check(log, purge->seq - 1, purge->tenant, NULL, 0) != PURGE_NONE;
}

/* Before the purge: what there is of the tenant, or of all of them. */
static void count_tenant(const struct ram *ram, struct store_purge *purge)
{
    bool is_all = purge->tenant == STORE_TENANT_ALL;

    purge->matched_is_exact = true;
    for (unsigned i = is_all ? 0 : purge->tenant; i < (is_all ? STORE_TENANTS : purge->tenant + 1u); i++) {
        purge->matched += atomic_load_explicit(&ram->tenant_objects[i], memory_order_relaxed);
        if (purge_log_is_active(ram->storage.purges, (uint16_t)i))
            purge->matched_is_exact = false; /* some may be purged already and not swept */
    }
}

/* In effect already. */
static void count_label(struct ram *ram, struct store_purge *purge, uint64_t before)
{
    if (is_overflow(ram->storage.purges, purge)) {
        purge->matched_is_exact = false; /* it took everything of the tenant, and was counted so */
    } else if (has_key(purge)) {
        count_by_key(ram, purge, before);
    } else if (purge->is_counted) {
        purge->matched = purge->count;
        purge->matched_is_exact = purge->count_is_exact;
    } else if (!purge->uncounted) {
        count_by_scan(ram, purge, before);
    }
}

enum store_status ram_purge(struct storage *storage, struct store_purge *purge)
{
    struct ram *ram = ram_of(storage);
    bool is_tenant = purge->kind == STORE_LABEL_TENANT;
    struct purge_entry entry = {.wall_ms = purge->wall_ms,
                                .tenant = purge->tenant,
                                .kind = (uint8_t)purge->kind,
                                .label = is_tenant ? 0 : purge->label.hash,
                                .soft = purge->soft};
    uint64_t before;

    atomic_fetch_add_explicit(&ram->purge_attempts, 1, memory_order_relaxed);
    if (is_tenant || !purge->uncounted)
        count_tenant(ram, purge);
    purge->seq = purge_log_append(storage->purges, &entry, &purge->note, &before);
    purge->durable = true; /* nothing outlives the process, so nothing purged can come back */
    if (!is_tenant)
        count_label(ram, purge, before);
    purge_log_counted(storage->purges, purge->seq, purge->matched, purge->matched_is_exact);
    return STORE_DONE;
}

/* ---- sweep ------------------------------------------------------------------------------------------- */

/* Under the lock: takes what is over out of [from, to) into gone; the rest remembers that it was softly
 * purged, because the entry that says so may retire. Backwards, because removing moves only what lies behind.
 */
static void sweep_slots(struct ram *ram, struct ram_shard *shard, uint32_t from, uint32_t to, int64_t wall_ms,
                        struct list *gone)
{
    for (uint32_t i = to; i-- > from;) {
        if (shard->index.slots[i] == 0)
            continue;
        struct stored *stored = index_at(&shard->index, i);
        enum purge_verdict verdict = ram_verdict(ram, &stored->seen);
        bool is_expired = stored->seen.expires_ms != 0 && stored->seen.expires_ms <= wall_ms;
        if (verdict == PURGE_HARD || is_expired) {
            ram_remove_over(ram, shard, stored);
            list_push_back(gone, &stored->link);
        } else if (verdict == PURGE_SOFT) {
            stored_set_flag(stored, STORED_SOFT);
        }
    }
}

static uint32_t sweep_stretch(struct ram *ram, int64_t wall_ms)
{
    struct ram_shard *shard = &ram->shards[ram->sweep_shard];
    struct list gone = LIST_INIT(gone), *link;
    uint32_t from, to;

    pthread_mutex_lock(&shard->mutex);
    ram->sweep_cursor = index_stretch(&shard->index, ram->sweep_cursor, STRETCH_SLOTS, &from, &to);
    sweep_slots(ram, shard, from, to, wall_ms, &gone);
    pthread_mutex_unlock(&shard->mutex);
    while ((link = list_pop_front(&gone)) != NULL)
        store_object_unref(&container_of(link, struct stored, link)->seen);
    if (ram->sweep_cursor == 0)
        ram->sweep_shard++;
    return to - from;
}

static bool sweep_begin(struct ram *ram)
{
    uint64_t seq = purge_log_seq(ram->storage.purges), up_to = purge_log_sweep_begin(ram->storage.purges);

    if (seq == ram->sweep_seq && up_to == ram->sweep_up_to)
        return false; /* nothing to free, nothing that could retire */
    ram->sweep_seq = seq;
    ram->sweep_up_to = up_to;
    ram->sweep_shard = 0;
    ram->sweep_cursor = 0;
    ram->is_sweeping = true;
    return true;
}

static void sweep_turn(struct ram *ram, int64_t wall_ms)
{
    uint32_t slots = 0;

    if (!ram->is_sweeping && !sweep_begin(ram))
        return;
    while (slots < TURN_SLOTS && ram->sweep_shard < ram->shard_count)
        slots += sweep_stretch(ram, wall_ms);
    if (ram->sweep_shard < ram->shard_count)
        return;
    purge_log_swept(ram->storage.purges, ram->sweeper, ram->sweep_up_to);
    ram->is_sweeping = false;
    atomic_fetch_add_explicit(&ram->sweeps_done, 1, memory_order_relaxed);
}

void ram_turn(struct storage *storage, int64_t wall_ms)
{
    ram_excess_turn(ram_of(storage));
    sweep_turn(ram_of(storage), wall_ms);
}
