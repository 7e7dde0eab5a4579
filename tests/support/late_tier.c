#include "tests/support/late_tier.h"

#include "store/storage_ops.h"

#include <stdlib.h>

enum call_kind {
    CALL_LOOKUP,
    CALL_FILL,
    CALL_UPDATE,
    CALL_PURGE
};

/* Beside the op, because op.link alone cannot say what the op is. */
struct call {
    struct list link;
    struct store_op *op;
    enum call_kind kind;
};

struct late_tier {
    struct storage storage;
    struct storage *inner;
    struct list calls;
    unsigned pending, cancelled;
    uint64_t seed;
    unsigned delays; /* enum late_calls */
    bool early, held;
};

static struct late_tier *late_of(const struct storage *storage)
{
    return (struct late_tier *)(uintptr_t)container_of(storage, struct late_tier, storage);
}

static void call_run(struct late_tier *late, const struct call *call)
{
    struct storage *inner = late->inner;
    enum store_status status = STORE_DONE;

    switch (call->kind) {
    case CALL_LOOKUP:
        status = inner->ops->lookup(inner, container_of(call->op, struct store_lookup, op));
        break;
    case CALL_FILL:
        status = inner->ops->get_miss_handler(inner, container_of(call->op, struct store_fill, op));
        break;
    case CALL_UPDATE:
        status = inner->ops->update_meta(inner, container_of(call->op, struct store_update, op));
        break;
    case CALL_PURGE:
        status = inner->ops->purge(inner, container_of(call->op, struct store_purge, op));
        break;
    }
    INVARIANT(status == STORE_DONE); /* the inner tier is one that never waits */
}

static enum store_status call_add(struct storage *storage, struct store_op *op, enum call_kind kind)
{
    static const unsigned delayed_by[] = {
        [CALL_LOOKUP] = LATE_LOOKUPS, [CALL_FILL] = LATE_WRITES, [CALL_UPDATE] = LATE_WRITES, [CALL_PURGE] = LATE_PURGES};
    struct late_tier *late = late_of(storage);
    struct call *call;

    if (!(late->delays & delayed_by[kind])) {
        call_run(late, &(struct call){.op = op, .kind = kind});
        return STORE_DONE;
    }
    call = malloc(sizeof(*call));
    INVARIANT(call != NULL);
    *call = (struct call){.op = op, .kind = kind};
    list_push_back(&late->calls, &call->link);
    late->pending++;
    if (late->early)
        call_run(late, call);
    return STORE_PENDING;
}

static enum store_status late_lookup(struct storage *storage, struct store_lookup *lookup)
{
    return call_add(storage, &lookup->op, CALL_LOOKUP);
}

static enum store_status late_get_miss_handler(struct storage *storage, struct store_fill *fill)
{
    return call_add(storage, &fill->op, CALL_FILL);
}

static enum store_status late_update_meta(struct storage *storage, struct store_update *update)
{
    return call_add(storage, &update->op, CALL_UPDATE);
}

static enum store_status late_purge(struct storage *storage, struct store_purge *purge)
{
    return call_add(storage, &purge->op, CALL_PURGE);
}

static void results_let_go(const struct call *call)
{
    switch (call->kind) {
    case CALL_LOOKUP: {
        struct store_lookup *lookup = container_of(call->op, struct store_lookup, op);
        lookup->object = store_object_unref(lookup->object);
        break;
    }
    case CALL_FILL: {
        struct store_fill *fill = container_of(call->op, struct store_fill, op);
        miss_handler_drop(fill->miss_handler);
        fill->miss_handler = NULL;
        break;
    }
    case CALL_UPDATE: {
        struct store_update *update = container_of(call->op, struct store_update, op);
        update->updated = store_object_unref(update->updated);
        break;
    }
    case CALL_PURGE:
        break;
    }
}

static void call_remove(struct late_tier *late, struct call *call)
{
    list_remove(&call->link);
    late->pending--;
}

static void late_cancel(struct storage *storage, struct store_op *op)
{
    struct late_tier *late = late_of(storage);

    LIST_FOREACH_SAFE (&late->calls, it) {
        struct call *call = container_of(it, struct call, link);
        if (call->op != op)
            continue;
        call_remove(late, call);
        if (late->early)
            results_let_go(call);
        late->cancelled++;
        free(call);
        return;
    }
    INVARIANT(!"a call that is not pending was cancelled");
}

static struct call *call_next(struct late_tier *late)
{
    unsigned skip = 0;
    struct list *it = late->calls.next;

    if (late->seed != 0) {
        late->seed = late->seed * 6364136223846793005ull + 1442695040888963407ull;
        skip = (unsigned)(late->seed >> 33) % late->pending;
    }
    while (skip-- > 0)
        it = it->next;
    return container_of(it, struct call, link);
}

static void call_complete(struct late_tier *late, struct call *call)
{
    struct call kept = *call;

    call_remove(late, call);
    free(call);
    if (!late->early)
        call_run(late, &kept);
    storage_complete(kept.op);
}

unsigned late_tier_release(struct storage *storage, unsigned n)
{
    struct late_tier *late = late_of(storage);
    unsigned done = 0;

    for (; !late->held && done < n && late->pending > 0; done++)
        call_complete(late, call_next(late));
    return done;
}

/* From a random place on, the next of that loop; NULL: it has none. */
static struct call *call_next_of(struct late_tier *late, const struct loop *loop)
{
    struct list *from = late->pending > 0 ? &call_next(late)->link : &late->calls, *it = from;

    do {
        if (it != &late->calls && container_of(it, struct call, link)->op->loop == loop)
            return container_of(it, struct call, link);
        it = it->next;
    } while (it != from);
    return NULL;
}

unsigned late_tier_release_on(struct storage *storage, const struct loop *loop, unsigned n)
{
    struct late_tier *late = late_of(storage);
    unsigned done = 0;
    struct call *call;

    for (; !late->held && done < n && (call = call_next_of(late, loop)) != NULL; done++)
        call_complete(late, call);
    return done;
}

void late_tier_delays(struct storage *storage, unsigned which)
{
    late_of(storage)->delays = which;
}

unsigned late_tier_pending(const struct storage *storage)
{
    return late_of(storage)->pending;
}

unsigned late_tier_cancelled(const struct storage *storage)
{
    return late_of(storage)->cancelled;
}

void late_tier_shuffle(struct storage *storage, uint64_t seed)
{
    late_of(storage)->seed = seed;
}

void late_tier_hold_forever(struct storage *storage, bool held)
{
    late_of(storage)->held = held;
}

struct storage *late_tier_inner(struct storage *storage)
{
    return late_of(storage)->inner;
}

static void late_drop_hash(struct storage *storage, hash128 hash)
{
    storage_drop_hash(late_of(storage)->inner, hash);
}

static void late_drop(struct storage *storage, struct store_object *object)
{
    storage_drop(late_of(storage)->inner, object);
}

static bool late_has(struct storage *storage, const struct store_key *key)
{
    return storage_has(late_of(storage)->inner, key);
}

static void late_stats(const struct storage *storage, struct store_stats *stats)
{
    storage_stats(late_of(storage)->inner, stats);
}

static uint64_t late_tenant_bytes(const struct storage *storage, uint16_t tenant)
{
    return storage_tenant_bytes(late_of(storage)->inner, tenant);
}

static uint64_t late_browse(struct storage *storage, uint64_t cursor, unsigned limit,
                            void (*visit)(void *, const struct store_object *, uint64_t), void *arg)
{
    return storage_browse(late_of(storage)->inner, cursor, limit, visit, arg);
}

static void late_turn(struct storage *storage, int64_t wall_ms)
{
    storage_turn(late_of(storage)->inner, wall_ms);
}

static void late_free(struct storage *storage)
{
    struct late_tier *late = late_of(storage);

    INVARIANT(late->pending == 0);
    storage_free(late->inner);
    free(late);
}

/* The table is the inner tier's: its lookups are the ones that are answered from it. */
static struct store_near *late_near_new(struct storage *storage)
{
    return storage_near_new(late_of(storage)->inner);
}

static const struct storage_ops late_ops = {
    .lookup = late_lookup,
    .has = late_has,
    .get_miss_handler = late_get_miss_handler,
    .update_meta = late_update_meta,
    .purge = late_purge,
    .cancel = late_cancel,
    .drop = late_drop,
    .drop_hash = late_drop_hash,
    .stats = late_stats,
    .tenant_bytes = late_tenant_bytes,
    .browse = late_browse,
    .turn = late_turn,
    .free = late_free,
    .near_new = late_near_new,
};

struct storage *late_tier_new(struct storage *inner, bool early)
{
    struct late_tier *late = calloc(1, sizeof(*late));

    INVARIANT(late != NULL);
    late->storage = *inner; /* secret and purges are the inner's */
    late->storage.ops = &late_ops;
    late->storage.name = "late";
    late->inner = inner;
    late->early = early;
    late->delays = LATE_LOOKUPS | LATE_WRITES | LATE_PURGES;
    list_init(&late->calls);
    return &late->storage;
}
