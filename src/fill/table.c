/* Who waits for what: the slots of all threads' fills, joining, leaving, telling. */
#include "fill/cut.h"
#include "fill/fill_internal.h"
#include "fill/slices.h"

#include <stdlib.h>

#define READERS_KEPT 256u /* of large bodies, per thread: memory for so many stays */

enum waiter_state { WAITER_NONE, WAITER_WAITING, WAITER_TOLD, WAITER_LEFT };

err fill_table_new(struct fill_table **ret_table)
{
    struct fill_table *table = calloc(1, sizeof(*table));

    ENSURE(table != NULL, MEMORY);
    for (unsigned i = 0; i < FILL_SHARDS; i++) {
        pthread_mutex_init(&table->shards[i].lock, NULL);
        for (unsigned j = 0; j < FILL_BUCKETS; j++)
            list_init(&table->shards[i].buckets[j]);
    }
    for (unsigned i = 0; i < FILLER_SHARDS; i++) {
        pthread_mutex_init(&table->filler_shards[i].lock, NULL);
        list_init(&table->filler_shards[i].fillers);
    }
    *ret_table = table;
    return ERR_OK;
}

struct fill_table *fill_table_free(struct fill_table *table)
{
    if (table == NULL)
        return NULL;
    for (unsigned i = 0; i < FILL_SHARDS; i++)
        pthread_mutex_destroy(&table->shards[i].lock);
    for (unsigned i = 0; i < FILLER_SHARDS; i++)
        pthread_mutex_destroy(&table->filler_shards[i].lock);
    free(table);
    return NULL;
}

void fill_context_init(struct fill_context *context)
{
    list_init(&context->fills);
    list_init(&context->fillers);
    list_init(&context->cuts);
    context->cut_mail.run = cut_mailed;
    context->cut_is_mailed = false;
    context->count = 0;
    pool_init(&context->readers, slices_block_bytes(), READERS_KEPT);
}

void fill_context_done(struct fill_context *context)
{
    pool_done(&context->readers);
}

static struct list *shard_bucket(struct fill_shard *shard, hash128 hash)
{
    return &shard->buckets[(hash.hi >> 8) % FILL_BUCKETS];
}

static struct fill *shard_find(struct fill_shard *shard, hash128 hash, slice slot_key)
{
    LIST_FOREACH(shard_bucket(shard, hash), it)
    {
        struct fill *fill = container_of(it, struct fill, slot);
        if (hash128_eq(fill->hash, hash) && slice_eq(fill->slot_key, slot_key))
            return fill;
    }
    return NULL;
}

static void shard_take_out(struct fill *fill)
{
    if (fill->in_table)
        list_remove(&fill->slot);
    fill->in_table = false;
}

/* ---- joining ------------------------------------------------------------------------------------------------- */

static void waiter_add(struct fill *fill, struct fill_waiter *waiter, bool is_leader)
{
    if (waiter == NULL)
        return;
    waiter->fill = fill;
    waiter->shard = fill->shard;
    waiter->state = WAITER_WAITING;
    waiter->is_leader = is_leader;
    waiter->object = NULL;
    waiter->handed = NULL;
    waiter->fetch_ns = 0;
    waiter->seq = storage_seq(fill->context->storage);
    waiter->status = 0;
    list_push_back(&fill->waiters, &waiter->link);
}

/* A fill that runs and may be joined; one that a purge has overtaken leaves its slot to a new one. */
static struct fill *shard_joinable(struct fill_shard *shard, const struct fill_start *start, hash128 hash)
{
    struct fill *fill = shard_find(shard, hash, start->slot_key);

    if (fill == NULL)
        return NULL;
    if (!storage_is_overtaken(start->context->storage, fill->seq, fill->tenant, fill->url_labels.labels,
                           fill->url_labels.count))
        return fill;
    shard_take_out(fill);
    return NULL;
}

enum fill_joined fill_join(const struct fill_start *start, struct fill_waiter *waiter)
{
    struct fill_context *context = start->context;
    hash128 hash = storage_key(context->storage, start->slot_key).hash;
    struct fill_shard *shard = &context->table->shards[hash.hi % FILL_SHARDS];
    struct fill *fill, *fresh;

    if (!start->alone) {
        pthread_mutex_lock(&shard->lock);
        fill = shard_joinable(shard, start, hash);
        if (fill != NULL)
            waiter_add(fill, waiter, false);
        pthread_mutex_unlock(&shard->lock);
        if (fill != NULL)
            return FILL_JOINED_RUNNING;
    }
    fresh = context->count < context->fills_max ? fill_new(start, hash) : NULL;
    if (fresh == NULL)
        return FILL_JOINED_FULL;
    fresh->shard = shard;
    fresh->is_background = waiter == NULL;
    pthread_mutex_lock(&shard->lock);
    fill = start->alone ? NULL : shard_joinable(shard, start, hash); /* somebody may have been faster */
    if (fill == NULL && !start->alone) {
        list_push_back(shard_bucket(shard, hash), &fresh->slot);
        fresh->in_table = true;
    }
    waiter_add(fill != NULL ? fill : fresh, waiter, fill == NULL);
    pthread_mutex_unlock(&shard->lock);
    if (fill != NULL) {
        fill_end(fresh);
        return FILL_JOINED_RUNNING;
    }
    fill_begin(fresh);
    return FILL_JOINED_STARTED;
}

/* ---- telling ------------------------------------------------------------------------------------------------- */

static void waiter_release_result(struct fill_waiter *waiter)
{
    waiter->object = store_object_unref(waiter->object);
    waiter->handed = fill_handed_free(waiter->handed);
}

/* On the waiter's thread. Its state is its own by now: the fill has let go of it. */
static void waiter_mail(struct mail *mail)
{
    struct fill_waiter *waiter = container_of(mail, struct fill_waiter, mail);

    if (waiter->state == WAITER_LEFT) {
        waiter_release_result(waiter);
        waiter->state = WAITER_NONE;
        waiter->gone(waiter);
        return;
    }
    waiter->state = WAITER_NONE;
    waiter->fill = NULL;
    waiter->done(waiter);
}

/* Only the answer says what tags and groups it has: one who came after a purge of them asks anew. */
static bool is_overtaken_for(const struct fill *fill, const struct fill_waiter *waiter, const struct store_object *object)
{
    return object != NULL && waiter->seq > fill->seq &&
           storage_is_overtaken(fill->context->storage, fill->seq, fill->tenant, store_object_labels(object), object->label_count);
}

/* What this waiter gets of the result. */
static enum fill_outcome outcome_for(const struct fill *fill, const struct fill_waiter *waiter,
                                     const struct fill_result *result, bool takes)
{
    if ((result->outcome == FILL_HANDED && !takes) || (result->leader_only && !waiter->is_leader))
        return FILL_RELEASED;
    return is_overtaken_for(fill, waiter, result->object) ? FILL_LOOK_AGAIN : result->outcome;
}

static void waiter_tell(struct fill *fill, struct fill_waiter *waiter, const struct fill_result *result,
                        struct fill_handed **handed)
{
    /* Only whose request it answers: it may be meant for nobody else. The leader is of the fill's thread. */
    bool takes = *handed != NULL && waiter->is_leader;

    enum fill_outcome outcome = outcome_for(fill, waiter, result, takes);

    waiter->outcome = (uint8_t)outcome;
    waiter->failure = (uint8_t)result->failure;
    waiter->reason = (uint8_t)result->reason;
    waiter->status = result->status;
    waiter->fetch_ns = fill->fetch_ns;
    waiter->object = result->object != NULL && outcome == result->outcome ? store_object_ref(result->object) : NULL;
    waiter->handed = takes ? *handed : NULL;
    if (takes)
        *handed = NULL;
    waiter->mail.run = waiter_mail;
    loop_post(waiter->loop, &waiter->mail);
}

bool fill_resolve(struct fill *fill, const struct fill_result *result)
{
    struct list waiters = LIST_INIT(waiters);
    struct fill_handed *handed = result->handed;

    INVARIANT(!fill->resolved);
    fill->resolved = true;
    pthread_mutex_lock(&fill->shard->lock);
    shard_take_out(fill);
    LIST_FOREACH(&fill->waiters, it)
        container_of(it, struct fill_waiter, link)->state = WAITER_TOLD;
    list_splice_back(&waiters, &fill->waiters);
    /* Told under the lock: a waiter that leaves now sees TOLD and waits for its mail. */
    for (struct list *it; (it = list_pop_front(&waiters)) != NULL;)
        waiter_tell(fill, container_of(it, struct fill_waiter, link), result, &handed);
    pthread_mutex_unlock(&fill->shard->lock);
    return handed == NULL;
}

void fill_tell_interim(struct fill *fill, struct response *response)
{
    struct fill_waiter *leader = NULL;

    /* The leader alone: nobody knows yet whether the answer is for others. It is of this thread and cannot go
     * away while this runs; no lock is held while it sends. */
    pthread_mutex_lock(&fill->shard->lock);
    LIST_FOREACH(&fill->waiters, it)
    {
        struct fill_waiter *waiter = container_of(it, struct fill_waiter, link);
        if (waiter->is_leader && waiter->interim != NULL)
            leader = waiter;
    }
    pthread_mutex_unlock(&fill->shard->lock);
    if (leader != NULL)
        leader->interim(leader, response);
}

/* ---- leaving -------------------------------------------------------------------------------------------------- */

void fill_leave(struct fill_waiter *waiter, void (*gone)(struct fill_waiter *waiter))
{
    struct fill *fill = waiter->fill;
    bool told;

    waiter->gone = gone;
    if (waiter->shard == NULL) {
        gone(waiter);
        return;
    }
    pthread_mutex_lock(&waiter->shard->lock);
    told = waiter->state == WAITER_TOLD;
    if (told) {
        waiter->state = WAITER_LEFT;
    } else if (waiter->state == WAITER_WAITING) {
        list_remove(&waiter->link);
        waiter->state = WAITER_NONE;
        if (list_is_empty(&fill->waiters) && !fill->is_background && !fill->abandoning) {
            fill->abandoning = true;
            loop_post(fill->context->loop, &fill->abandon);
        }
    }
    pthread_mutex_unlock(&waiter->shard->lock);
    if (!told)
        gone(waiter);
}

struct fill_handed *fill_handed_free(struct fill_handed *handed)
{
    if (handed == NULL)
        return NULL;
    origin_fetch_finish(handed->fetch);
    arena_done(handed->arena);
    free(handed->arena);
    free(handed);
    return NULL;
}
