/* What workers do with the store: look up, fill, renew, drop, purge. Each in the middle of others. */
#include "tests/sim/store_run.h"

#include <stdio.h>
#include <stdlib.h>

#define ACTS_MAX 48u

enum act_kind { ACT_LOOKUP, ACT_FILL, ACT_UPDATE, ACT_PURGE, ACT_SOON };

struct act {
    struct list link;
    enum act_kind kind;
    unsigned worker;
    uint32_t key, number; /* number: what is stored, or the purge */
    struct timer timer;
    union {
        struct store_lookup lookup;
        struct store_fill fill;
        struct store_update update;
        struct store_purge purge;
    };
    struct store_object *object;
    struct miss_handler *miss;
    uint64_t seq;
    bool is_pinned, will_drop;
    uint32_t written, drop_at;
    struct store_label labels[16];
    char meta[META_MAX];
};

static struct list acts;
static unsigned act_count;
static struct timer timers[WORKERS_MAX];
static unsigned left;
static bool is_stopped;
static char body[65536];

static struct loop *loop_of(const struct act *act)
{
    return node.loops[act->worker];
}

static void act_free(struct act *act)
{
    loop_timer_stop(loop_of(act), &act->timer);
    if (act->is_pinned)
        storage_unpin_seq(node.storage, act->seq);
    store_object_unref(act->object);
    list_remove(&act->link);
    act_count--;
    free(act);
}

static struct act *act_new(enum act_kind kind, unsigned worker, uint32_t key, void (*fire)(struct timer *timer))
{
    struct act *act = calloc(1, sizeof(*act));

    INVARIANT(act != NULL);
    act->kind = kind;
    act->worker = worker;
    act->key = key;
    timer_init(&act->timer, fire);
    list_push_back(&acts, &act->link);
    act_count++;
    return act;
}

static void act_wait(struct act *act, uint64_t ns)
{
    loop_timer_set(loop_of(act), &act->timer, loop_now_ns(loop_of(act)) + ns);
}

static void act_pin(struct act *act)
{
    act->seq = storage_pin_seq(node.storage);
    act->is_pinned = true;
}

static void act_unpin(struct act *act)
{
    storage_unpin_seq(node.storage, act->seq);
    act->is_pinned = false;
}

/* ---- fills ------------------------------------------------------------------------------------------------------ */

static void fill_room(void *writer)
{
    act_wait(writer, between(0, NS_MS));
}

static void purge_soon(unsigned worker, uint32_t key);

static void fill_end(struct act *act)
{
    if (act->will_drop) {
        counts.fills_dropped++;
        run_trace("object %u: dropped at %u", act->number, act->written);
        miss_handler_drop(act->miss);
    } else {
        run_trace("object %u: complete", act->number);
        miss_handler_finish(act->miss);
        if (!is_stopped && chance(3)) /* while it waits in a buffer of the disk's */
            purge_soon(act->worker, act->key);
    }
    act->miss = NULL;
    act_free(act);
}

/* Some of the body. */
static void fill_write(struct act *act)
{
    uint32_t length = model_made(act->number)->length, until = act->will_drop ? act->drop_at : length;
    uint64_t most = between(1, 300000);

    while (act->written < until && most > 0) {
        size_t n = MIN(MIN(sizeof(body), until - act->written), most), taken;
        model_body(act->number, act->written, body, n);
        taken = miss_handler_write(act->miss, slice_of(body, n));
        act->written += (uint32_t)taken;
        most -= MIN(most, n);
        if (taken == n)
            continue;
        if (miss_handler_is_window(act->miss) && !miss_handler_has_readers(act->miss)) { /* nobody wants it */
            act->will_drop = true;
            fill_end(act);
        }
        return; /* else fill_room is called */
    }
    if (act->written == until)
        fill_end(act);
    else
        act_wait(act, between(0, 3 * NS_MS));
}

static void fill_answered(struct act *act)
{
    act_unpin(act);
    if (!err_is_ok(act->fill.result)) {
        counts.fills_refused += act->fill.result.code == ERR_REFUSED && !act->fill.over_quota;
        counts.fills_over_quota += act->fill.over_quota;
        run_trace("object %u: %s", act->number, err_text(act->fill.result));
        model_keys[act->key].kept = MADE_NONE; /* what was there is out of date all the same */
        if (act->fill.result.code != ERR_REFUSED && act->fill.result.code != ERR_LIMIT)
            run_failed("I8: a fill fails: %s", err_text(act->fill.result));
        act_free(act);
        return;
    }
    if (model_is_purged(act->number))
        run_failed("I2: object %u is stored, and was purged since its fill began", act->number);
    model_published(act->number);
    act->miss = act->fill.miss_handler;
    if (act->miss == NULL)
        act_free(act);
    else
        act_wait(act, between(0, NS_MS));
}

static void fill_fire(struct timer *timer)
{
    struct act *act = container_of(timer, struct act, timer);

    if (act->miss != NULL) {
        fill_write(act);
        return;
    }
    const struct made *made = model_made(act->number);
    bool is_known = chance(70);
    act->fill = (struct store_fill){.op.loop = loop_of(act),
                                    .key = storage_key(node.storage, model_key_of(act->key)),
                                    .tenant = model_keys[act->key].tenant,
                                    .kind = model_keys[act->key].kind,
                                    .seq = act->seq,
                                    .meta = model_meta(act->number, act->meta),
                                    .labels = act->labels,
                                    .label_count = model_labels(act->number, act->labels),
                                    .length_bytes = is_known ? (int64_t)made->length : -1,
                                    .on_room = fill_room,
                                    .writer = act};
    counts.fills++;
    counts.fills_unknown += !is_known;
    counts.vary += act->fill.kind == STORE_VARY;
    counts.slices += act->fill.kind == STORE_SLICE;
    counts.empty_bodies += made->length == 0;
    INVARIANT(storage_get_miss_handler(node.storage, &act->fill) == STORE_DONE);
    fill_answered(act);
}

static void fill_begin(unsigned worker, uint32_t key)
{
    struct act *act = act_new(ACT_FILL, worker, key, fill_fire);

    act->number = model_make(key, MADE_NONE);
    act_pin(act);
    if (chance(5)) {
        act->will_drop = true;
        act->drop_at = (uint32_t)between(0, model_made(act->number)->length);
    }
    run_trace("object %u: of key %u, %u bytes", act->number, key, model_made(act->number)->length);
    act_wait(act, chance(90) ? between(0, 10 * NS_MS) : between(0, 1500 * NS_MS));
}

/* ---- updates ---------------------------------------------------------------------------------------------------- */

static void update_fire(struct timer *timer)
{
    struct act *act = container_of(timer, struct act, timer);

    act->update = (struct store_update){.op.loop = loop_of(act),
                                        .object = act->object,
                                        .meta = model_meta(act->number, act->meta),
                                        .labels = act->labels,
                                        .label_count = model_labels(act->number, act->labels),
                                        .seq = act->seq};
    counts.updates++;
    INVARIANT(storage_update_meta(node.storage, &act->update) == STORE_DONE);
    act_unpin(act);
    run_trace("object %u: renews %u: %s", act->number, model_made(act->number)->before, err_text(act->update.result));
    if (err_is_ok(act->update.result)) {
        if (model_is_purged(act->number))
            run_failed("I2: object %u is stored by new metadata, and was purged", act->number);
        model_published(act->number);
    } else {
        counts.updates_refused++;
    }
    store_object_unref(act->update.updated);
    act_free(act);
}

static void update_begin(unsigned worker, uint32_t key, struct store_object *object)
{
    struct act *act = act_new(ACT_UPDATE, worker, key, update_fire);

    act->object = store_object_ref(object);
    act->number = model_make(key, model_number_of(object->meta));
    act_pin(act);
    act_wait(act, chance(80) ? between(0, 10 * NS_MS) : between(0, 800 * NS_MS));
}

/* ---- lookups ---------------------------------------------------------------------------------------------------- */

static void lookup_missed(struct act *act)
{
    if (!is_stopped && chance(75))
        fill_begin(act->worker, act->key);
}

static void lookup_found(struct act *act)
{
    struct store_object *object = act->lookup.object;
    bool is_soft = act->lookup.found == STORE_HIT_SOFT;

    counts.hits++;
    counts.disk_hits += act->lookup.is_below;
    counts.soft_hits += is_soft;
    run_trace("key %u: object %u%s%s", act->key, model_number_of(object->meta), is_soft ? ", soft" : "", act->lookup.is_below ? ", from the disk" : "");
    model_check(&act->lookup, act->key, loop_of(act));
    if (is_stopped)
        return;
    if (object->kind == STORE_ANSWER && chance(is_soft ? 50 : 8))
        update_begin(act->worker, act->key, object);
    else if (chance(2)) {
        run_trace("key %u: object %u is dropped", act->key, model_number_of(object->meta));
        counts.drops++;
        storage_drop(node.storage, object);
        model_dropped(act->key, model_number_of(object->meta));
    } else if (chance(3))
        fill_begin(act->worker, act->key);
}

static void lookup_answered(struct act *act)
{
    counts.late += act->lookup.found == STORE_LATE;
    if (act->lookup.object == NULL)
        lookup_missed(act);
    else
        lookup_found(act);
    store_object_unref(act->lookup.object);
    act_free(act);
}

static void lookup_done(struct store_op *op)
{
    lookup_answered(container_of(op, struct act, lookup.op));
}

/* The client has gone. */
static void lookup_fire(struct timer *timer)
{
    struct act *act = container_of(timer, struct act, timer);

    counts.cancelled++;
    storage_cancel(&act->lookup.op);
    act_free(act);
}

static void lookup_begin(unsigned worker, uint32_t key)
{
    struct act *act = act_new(ACT_LOOKUP, worker, key, lookup_fire);

    counts.lookups++;
    act->lookup = (struct store_lookup){.op = {.loop = loop_of(act), .done = lookup_done},
                                        .key = storage_key(node.storage, model_key_of(key)),
                                        .peek = chance(5),
                                        .at_hand = chance(3)};
    counts.peeks += act->lookup.peek;
    if (chance(10))
        act->lookup.op.deadline_ns = loop_now_ns(loop_of(act)) + between(1, 5 * NS_MS);
    if (storage_lookup(node.storage, &act->lookup) == STORE_DONE)
        lookup_answered(act);
    else if (chance(5))
        act_wait(act, between(0, 3 * NS_MS));
}

/* ---- purges ----------------------------------------------------------------------------------------------------- */

static void purge_answered(struct act *act)
{
    model_purge_answered(act->number, act->purge.durable);
    act_free(act);
}

static void purge_done(struct store_op *op)
{
    purge_answered(container_of(op, struct act, purge.op));
}

/* key MADE_NONE: of any kind; else of its URL. */
static void purge_begin(unsigned worker, uint32_t key)
{
    struct act *act = act_new(ACT_PURGE, worker, 0, NULL);

    act->purge = (struct store_purge){.op = {.loop = loop_of(act), .done = purge_done}, .uncounted = chance(50)};
    act->number = model_purge(&act->purge, key);
    counts.purges++;
    counts.soft_purges += act->purge.soft;
    counts.tenant_purges += act->purge.kind == STORE_LABEL_TENANT;
    if (act->purge.kind == STORE_LABEL_URL && chance(50))
        act->purge.key = storage_key(node.storage, model_key_of(model_purge_url(act->number)));
    if (storage_purge(node.storage, &act->purge) == STORE_DONE)
        purge_answered(act);
}

/* Purged, and asked for when that has been swept. */
static void soon_fire(struct timer *timer)
{
    struct act *act = container_of(timer, struct act, timer);

    if (act->written++ == 0) {
        purge_begin(act->worker, act->key);
        act_wait(act, between(300 * NS_MS, 1800 * NS_MS));
        return;
    }
    if (!is_stopped)
        lookup_begin(act->worker, act->key);
    act_free(act);
}

static void purge_soon(unsigned worker, uint32_t key)
{
    act_wait(act_new(ACT_SOON, worker, key, soon_fire), between(0, 300 * NS_MS));
}

/* ---- what comes next -------------------------------------------------------------------------------------------- */

/* Some keys much more often than others. */
static uint32_t draw_key(void)
{
    uint64_t n = model_key_count;

    if (chance(40))
        n = MAX(n / 16, 1u);
    else if (chance(40))
        n = MAX(n / 4, 1u);
    return (uint32_t)sim_random(n);
}

static void drop_hash(uint32_t key)
{
    counts.drops++;
    run_trace("key %u: dropped by its hash", key);
    storage_drop_hash(node.storage, storage_key(node.storage, model_key_of(key)).hash);
    model_dropped(key, MADE_NONE);
}

static void work_one(unsigned worker)
{
    unsigned what = (unsigned)sim_random(1000);
    uint32_t key = draw_key();

    if (what < 830)
        lookup_begin(worker, key);
    else if (what < 990)
        fill_begin(worker, key);
    else if (what < 992)
        drop_hash(key);
    else
        purge_begin(worker, MADE_NONE);
}

static void work_fire(struct timer *timer)
{
    unsigned worker = (unsigned)(timer - timers);
    unsigned burst = chance(80) ? 1 : (unsigned)between(1, 6);

    for (unsigned i = 0; i < burst && left > 0 && act_count < ACTS_MAX; i++) {
        left--;
        work_one(worker);
    }
    if (left > 0)
        loop_timer_set(node.loops[worker], timer, loop_now_ns(node.loops[worker]) + (chance(97) ? between(0, 4 * NS_MS) : between(0, NS_S)));
}

void work_begin(unsigned operations)
{
    list_init(&acts);
    act_count = 0;
    left = operations;
    is_stopped = false;
    for (unsigned i = 0; i < run.workers; i++) {
        timer_init(&timers[i], work_fire);
        loop_timer_set(node.loops[i], &timers[i], os_clock_ns() + between(0, 20 * NS_MS));
    }
}

bool work_is_done(void)
{
    return left == 0;
}

bool work_is_over(void)
{
    return left == 0 && act_count == 0;
}

void work_stop(void)
{
    is_stopped = true;
    left = 0;
}

void work_cancel(void)
{
    work_stop();
    for (unsigned i = 0; i < run.workers; i++)
        loop_timer_stop(node.loops[i], &timers[i]);
    LIST_FOREACH_SAFE (&acts, link) {
        struct act *act = container_of(link, struct act, link);
        if (act->kind == ACT_FILL) {
            loop_timer_stop(loop_of(act), &act->timer);
            continue;
        }
        if (act->kind == ACT_LOOKUP)
            storage_cancel(&act->lookup.op);
        if (act->kind == ACT_PURGE)
            storage_cancel(&act->purge.op);
        act_free(act);
    }
}

void work_end(void)
{
    LIST_FOREACH_SAFE (&acts, link) {
        struct act *act = container_of(link, struct act, link);
        miss_handler_drop(act->miss);
        act_free(act);
    }
}
