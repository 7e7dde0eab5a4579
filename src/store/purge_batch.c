#include "store/purge_batch.h"

#include <stdlib.h>

struct part {
    struct store_purge purge;
    struct purge_batch *batch;
};

struct purge_batch {
    struct storage *storage;
    struct loop *loop;
    slice who;
    enum purge_source source;
    void (*done)(void *arg, const struct purge_batch_result *result);
    void *arg;
    unsigned count, max, pending;
    bool is_started; /* all have been asked for */
    struct part parts[];
};

struct purge_batch *purge_batch_new(struct storage *storage, struct loop *loop, unsigned max, slice who, enum purge_source source)
{
    struct purge_batch *batch = calloc(1, sizeof(*batch) + max * sizeof(batch->parts[0]));

    if (batch == NULL)
        return NULL;
    batch->storage = storage;
    batch->loop = loop;
    batch->max = max;
    batch->who = who;
    batch->source = source;
    return batch;
}

static void batch_step(struct purge_batch *batch)
{
    struct purge_batch_result result = {.matched_is_exact = true, .durable = true};

    if (!batch->is_started || batch->pending > 0)
        return;
    for (unsigned i = 0; i < batch->count; i++) {
        const struct store_purge *purge = &batch->parts[i].purge;
        result.seq = MAX(result.seq, purge->seq);
        result.matched += purge->matched;
        result.matched_is_exact &= purge->matched_is_exact;
        result.matched_is_least |= purge->matched_is_least;
        result.durable &= purge->durable;
    }
    batch->done(batch->arg, &result);
    free(batch);
}

static void part_done(struct store_op *op)
{
    struct purge_batch *batch = container_of(op, struct part, purge.op)->batch;

    batch->pending--;
    batch_step(batch);
}

struct store_purge *purge_batch_add(struct purge_batch *batch, uint16_t tenant, enum store_label_kind kind, slice text, bool soft)
{
    struct part *part = &batch->parts[batch->count++];

    INVARIANT(batch->count <= batch->max);
    part->batch = batch;
    part->purge = (struct store_purge){.tenant = tenant,
                                       .kind = kind,
                                       .label = store_label_of(tenant, kind, text),
                                       .soft = soft,
                                       .note = {batch->who, text, (uint8_t)batch->source}};
    part->purge.op.loop = batch->loop;
    part->purge.op.done = part_done;
    part->purge.op.deadline_ns = loop_now_ns(batch->loop) + PURGE_BATCH_DURABLE_NS;
    return &part->purge;
}

/* ---- counting for many -------------------------------------------------------------------------------------------- */

#define STRETCH 128u /* objects in one go: a shard is locked meanwhile */

struct wanted {
    uint32_t hash;
    unsigned part;
};

struct census {
    struct purge_batch *batch;
    struct wanted *wanted; /* ascending */
    uint64_t looked;
};

static int wanted_order(const void *a, const void *b)
{
    const struct wanted *x = a, *y = b;

    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->part < y->part ? -1 : x->part > y->part;
}

/* The first of the batch's purges that has that label; the count: none. */
static unsigned part_with(const struct census *census, uint32_t hash)
{
    unsigned low = 0, high = census->batch->count;

    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (census->wanted[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low < census->batch->count && census->wanted[low].hash == hash ? census->wanted[low].part : census->batch->count;
}

static void census_visit(void *arg, const struct store_object *object, uint64_t hits)
{
    struct census *census = arg;
    struct purge_batch *batch = census->batch;
    unsigned first = batch->count;

    (void)hits;
    census->looked++;
    if (object->kind != STORE_ANSWER || object->tenant != batch->parts[0].purge.tenant)
        return;
    for (unsigned i = 0; i < object->label_count; i++)
        first = MIN(first, part_with(census, store_object_labels(object)[i].hash));
    if (first < batch->count)
        batch->parts[first].purge.count++;
}

/* Hashes have no order, so what is true of some objects is about true of all. */
static void census_scale(const struct census *census)
{
    struct purge_batch *batch = census->batch;
    struct store_stats stats;

    storage_stats(batch->storage, &stats);
    for (unsigned i = 0; i < batch->count; i++) {
        struct store_purge *purge = &batch->parts[i].purge;
        purge->count = (uint64_t)((double)purge->count * (double)MAX(stats.objects, census->looked) / (double)census->looked);
        purge->count_is_exact = false;
    }
}

/* Before any of them acts: all are of one tenant. Without memory nothing is counted. */
static void count_together(struct purge_batch *batch)
{
    struct census census = {batch, malloc(batch->count * sizeof(struct wanted)), 0};
    uint64_t cursor = 0;

    for (unsigned i = 0; i < batch->count; i++) {
        batch->parts[i].purge.is_counted = true;
        batch->parts[i].purge.count_is_exact = census.wanted != NULL;
    }
    if (census.wanted == NULL)
        return;
    for (unsigned i = 0; i < batch->count; i++)
        census.wanted[i] = (struct wanted){batch->parts[i].purge.label.hash, i};
    qsort(census.wanted, batch->count, sizeof(*census.wanted), wanted_order);
    do {
        cursor = storage_browse(batch->storage, cursor, STRETCH, census_visit, &census);
    } while (cursor != 0 && census.looked < PURGE_BATCH_LOOKS_MAX);
    if (cursor != 0)
        census_scale(&census);
    free(census.wanted);
}

/* ---- all of them -------------------------------------------------------------------------------------------------- */

void purge_batch_start(struct purge_batch *batch, void (*done)(void *arg, const struct purge_batch_result *result), void *arg)
{
    batch->done = done;
    batch->arg = arg;
    if (batch->count > PURGE_BATCH_APART_MAX)
        count_together(batch);
    for (unsigned i = 0; i < batch->count; i++)
        if (storage_purge(batch->storage, &batch->parts[i].purge) == STORE_PENDING)
            batch->pending++;
    batch->is_started = true;
    batch_step(batch);
}

void purge_batch_abandon(struct purge_batch *batch)
{
    if (batch == NULL)
        return;
    for (unsigned i = 0; i < batch->count; i++)
        storage_cancel(&batch->parts[i].purge.op);
    free(batch);
}
