/* The wrappers around a tier's calls: they start each call from clean results, and see to deadlines. */
#include "store/near.h"
#include "store/purge.h"
#include "store/storage_ops.h"

struct store_key storage_key(const struct storage *storage, slice full)
{
    return (struct store_key){hash128_keyed(full, storage->secret), full};
}

/* Tenant and kind are part of the seed: labels of two tenants or kinds meet only by chance. */
struct store_label store_label_of(uint16_t tenant, enum store_label_kind kind, slice text)
{
    uint64_t hash = hash64(text, ((uint64_t)tenant << 8 | (uint64_t)kind) + 1);

    return (struct store_label){(uint32_t)(hash ^ hash >> 32)};
}

const char *purge_source_word(enum purge_source source)
{
    static const char *const words[] = {
#define X(name, word) word,
        PURGE_SOURCES(X)
#undef X
    };
    return (unsigned)source < PURGE_SOURCE_COUNT ? words[source] : "unknown";
}

const char *store_label_kind_word(enum store_label_kind kind)
{
    static const char *const words[] = {
        [STORE_LABEL_TENANT] = "tenant", [STORE_LABEL_URL] = "url", [STORE_LABEL_HOST] = "host",
        [STORE_LABEL_PREFIX] = "prefix", [STORE_LABEL_TAG] = "tag", [STORE_LABEL_GROUP] = "group"};

    return (unsigned)kind < ARRAY_LEN(words) ? words[kind] : "unknown";
}

/* ---- deadlines --------------------------------------------------------------------------------------- */

static void op_begin(struct storage *storage, struct store_op *op, void (*fire)(struct timer *timer))
{
    list_init(&op->link);
    op->storage = storage;
    op->pending = false;
    op->late = false;
    timer_init(&op->timer, fire);
}

static enum store_status op_submitted(struct store_op *op, enum store_status status)
{
    if (status == STORE_DONE)
        return STORE_DONE;
    INVARIANT(op->loop != NULL);
    INVARIANT(op->done != NULL);
    op->pending = true;
    if (op->deadline_ns != 0)
        loop_timer_set(op->loop, &op->timer, op->deadline_ns);
    return STORE_PENDING;
}

void storage_complete(struct store_op *op)
{
    INVARIANT(op->pending);
    op->pending = false;
    loop_timer_stop(op->loop, &op->timer);
    op->done(op);
}

void storage_cancel(struct store_op *op)
{
    if (!op->pending)
        return;
    op->pending = false;
    loop_timer_stop(op->loop, &op->timer);
    op->storage->ops->cancel(op->storage, op);
}

static struct store_op *op_late(struct timer *timer)
{
    struct store_op *op = container_of(timer, struct store_op, timer);

    INVARIANT(op->pending);
    op->pending = false;
    op->late = true;
    op->storage->ops->cancel(op->storage, op);
    return op;
}

static void lookup_late(struct timer *timer)
{
    struct store_op *op = op_late(timer);
    struct store_lookup *lookup = container_of(op, struct store_lookup, op);

    lookup->found = STORE_LATE;
    lookup->object = NULL;
    op->done(op);
}

static void fill_late(struct timer *timer)
{
    struct store_op *op = op_late(timer);
    struct store_fill *fill = container_of(op, struct store_fill, op);

    fill->result = ERR(TIMEOUT);
    fill->miss_handler = NULL;
    op->done(op);
}

static void update_late(struct timer *timer)
{
    struct store_op *op = op_late(timer);
    struct store_update *update = container_of(op, struct store_update, op);

    update->result = ERR(TIMEOUT);
    update->updated = NULL;
    op->done(op);
}

static void purge_late(struct timer *timer)
{
    struct store_op *op = op_late(timer);
    struct store_purge *purge = container_of(op, struct store_purge, op);

    purge->durable = false;
    purge->matched_is_exact = false;
    op->done(op);
}

/* ---- calls ------------------------------------------------------------------------------------------- */

enum store_status storage_lookup(struct storage *storage, struct store_lookup *lookup)
{
    op_begin(storage, &lookup->op, lookup_late);
    lookup->found = STORE_MISS;
    lookup->object = NULL;
    lookup->is_below = false;
    return op_submitted(&lookup->op, storage->ops->lookup(storage, lookup));
}

bool storage_has(struct storage *storage, const struct store_key *key)
{
    struct store_lookup lookup = {.op.done = store_op_ignored, .key = *key, .peek = true};

    if (storage->ops->has != NULL)
        return storage->ops->has(storage, key);
    op_begin(storage, &lookup.op, lookup_late);
    if (storage->ops->lookup(storage, &lookup) == STORE_PENDING) {
        storage->ops->cancel(storage, &lookup.op);
        return false;
    }
    store_object_unref(lookup.object);
    return lookup.found == STORE_HIT || lookup.found == STORE_HIT_SOFT;
}

enum store_status storage_get_miss_handler(struct storage *storage, struct store_fill *fill)
{
    op_begin(storage, &fill->op, fill_late);
    fill->result = ERR_OK;
    fill->miss_handler = NULL;
    fill->over_quota = false;
    return op_submitted(&fill->op, storage->ops->get_miss_handler(storage, fill));
}

enum store_status storage_update_meta(struct storage *storage, struct store_update *update)
{
    op_begin(storage, &update->op, update_late);
    update->result = ERR_OK;
    update->updated = NULL;
    return op_submitted(&update->op, storage->ops->update_meta(storage, update));
}

enum store_status storage_purge(struct storage *storage, struct store_purge *purge)
{
    op_begin(storage, &purge->op, purge_late);
    purge->seq = 0;
    purge->wall_ms = os_wall_ms();
    purge->matched = 0;
    purge->matched_is_exact = purge->matched_is_least = false;
    purge->durable = false;
    enum store_status status = storage->ops->purge(storage, purge);
    if (status == STORE_DONE) /* else the tier says so when it knows */
        purge_log_settled(storage->purges, purge->seq, purge->durable);
    return op_submitted(&purge->op, status);
}

struct purge_log *storage_purges(const struct storage *storage)
{
    return storage->purges;
}

void storage_drop_hash(struct storage *storage, hash128 hash)
{
    storage->ops->drop_hash(storage, hash);
}

void storage_drop(struct storage *storage, struct store_object *object)
{
    storage->ops->drop(storage, object);
}

uint64_t storage_seq(const struct storage *storage)
{
    return purge_log_seq(storage->purges);
}

uint64_t storage_pin_seq(struct storage *storage)
{
    return purge_log_pin(storage->purges);
}

void storage_unpin_seq(struct storage *storage, uint64_t seq)
{
    purge_log_unpin(storage->purges, seq);
}

bool storage_is_purged(const struct storage *storage, uint64_t seq, uint16_t tenant,
                       const struct store_label *labels, unsigned label_count)
{
    return purge_log_check(storage->purges, seq, tenant, labels, label_count) == PURGE_HARD;
}

bool storage_is_overtaken(const struct storage *storage, uint64_t seq, uint16_t tenant,
                          const struct store_label *labels, unsigned label_count)
{
    return purge_log_check(storage->purges, seq, tenant, labels, label_count) != PURGE_NONE;
}

const struct storage *storage_tier(const struct storage *storage, unsigned i)
{
    if (storage->ops->tier != NULL)
        return storage->ops->tier(storage, i);
    return i == 0 ? storage : NULL;
}

const char *storage_name(const struct storage *storage)
{
    return storage->name;
}

void storage_stats(const struct storage *storage, struct store_stats *ret_stats)
{
    *ret_stats = (struct store_stats){0};
    storage->ops->stats(storage, ret_stats);
}

uint64_t storage_tenant_bytes(const struct storage *storage, uint16_t tenant)
{
    return storage->ops->tenant_bytes(storage, tenant);
}

void storage_quota_set(struct storage *storage, unsigned tier, uint16_t tenant, const struct store_quota *quota)
{
    const struct storage *one = storage_tier(storage, tier);

    if (one != NULL)
        one->ops->quota_set((struct storage *)(uintptr_t)one, tenant, quota);
}

uint64_t storage_browse(struct storage *storage, uint64_t cursor, unsigned limit,
                        void (*visit)(void *arg, const struct store_object *object, uint64_t hits), void *arg)
{
    return storage->ops->browse(storage, cursor, limit, visit, arg);
}

void storage_turn(struct storage *storage, int64_t wall_ms)
{
    storage->ops->turn(storage, wall_ms);
}

struct store_near *storage_near_new(struct storage *storage)
{
    return storage->ops->near_new != NULL ? storage->ops->near_new(storage) : NULL;
}

void store_near_enter(struct store_near *near)
{
    near_here = near;
}

void store_near_turn(struct store_near *near)
{
    if (near != NULL)
        near->storage->ops->near_turn(near);
}

struct store_near *store_near_free(struct store_near *near)
{
    if (near == NULL)
        return NULL;
    if (near_here == near)
        near_here = NULL;
    near->storage->ops->near_free(near);
    return NULL;
}

uint64_t storage_tend(struct storage *storage)
{
    return storage->ops->tend != NULL ? storage->ops->tend(storage) : UINT64_MAX;
}

bool storage_on_work(struct storage *storage, void (*wake)(void *arg), void *arg)
{
    return storage->ops->on_work != NULL && storage->ops->on_work(storage, wake, arg);
}

struct storage *storage_free(struct storage *storage)
{
    if (storage != NULL)
        storage->ops->free(storage);
    return NULL;
}
