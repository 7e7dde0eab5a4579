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

void purge_batch_start(struct purge_batch *batch, void (*done)(void *arg, const struct purge_batch_result *result), void *arg)
{
    batch->done = done;
    batch->arg = arg;
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
