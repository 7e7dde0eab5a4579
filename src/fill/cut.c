#include "fill/cut.h"

#include "cache/slices.h"
#include "fill/fill_internal.h"

#include <stdlib.h>

struct cut {
    struct fill_context *context;
    struct list link; /* in context->cuts */
    struct arena *arena; /* owned */
    struct hit_handler hit;
    struct store_object *object; /* a reference */
    struct sliced body;
    slice slice_key, meta; /* in the arena */
    uint64_t pin, next;    /* slices below it are written */
    bool is_done;
};

/* ---- life ---------------------------------------------------------------------------------------------- */

/* What is of no use without its head. */
static void cut_forget_slices(struct cut *cut)
{
    struct storage *storage = cut->context->storage;

    for (uint64_t i = 0; i < cut->next; i++) {
        slice_key_set(cut->slice_key, i);
        storage_drop_hash(storage, storage_key(storage, cut->slice_key).hash);
    }
}

static void cut_end(struct cut *cut)
{
    if (!cut->is_done)
        cut_forget_slices(cut);
    storage_unpin_seq(cut->context->storage, cut->pin);
    source_close(&cut->hit.source); /* of a complete body: no mail is under way */
    store_object_unref(cut->object);
    fill_arena_free(cut->arena);
    list_remove(&cut->link);
    cut->context->count--;
    free(cut);
}

/* Where the slices are, and the head that says so. */
static err cut_describe(struct cut *cut, const struct stored *stored, const struct fields *view)
{
    const struct store_object *object = cut->object;
    struct storage *storage = cut->context->storage;
    struct stored_slices slices = {.slice_bytes = cut->context->slice_bytes};
    int64_t length_bytes = store_object_length(object);
    slice key = store_object_key(object), etag = strong_etag_of(view), text;
    char *buffer;

    ENSURE(stored->status == 200 && !stored->is_sliced && length_bytes > (int64_t)slices.slice_bytes, INVALID);
    TRY(slice_id_text(cut->arena, key, etag, (uint64_t)length_bytes, object->seq, &text));
    slices.is_strong = etag.data != NULL;
    slices.id = storage_key(storage, text).hash;
    if (!slices.is_strong) /* this copy's alone */
        os_entropy(&slices.id, sizeof(slices.id));
    cut->body = (struct sliced){.key = key, .etag = etag, .id = slices.id, .length_bytes = (uint64_t)length_bytes, .slice_bytes = slices.slice_bytes};
    TRY(stored_set_slices(cut->arena, object->meta, &slices, &cut->meta));
    stored_set_body_bytes((char *)(uintptr_t)cut->meta.data, length_bytes);
    buffer = arena_alloc(cut->arena, key.len + SLICE_KEY_MORE);
    ENSURE(buffer != NULL, MEMORY);
    cut->slice_key = slice_key_write(&cut->body, 0, buffer);
    return ERR_OK;
}

/* Purges that came before the pin have been looked for here; what comes after it is found when slices and head are put. */
static bool is_in_store(struct fill_context *context, const struct store_object *object)
{
    struct store_lookup lookup = {.key = {object->hash, store_object_key(object)}, .peek = true, .at_hand = true};

    lookup.op.loop = context->loop;
    lookup.op.done = store_op_ignored;
    if (storage_lookup(context->storage, &lookup) == STORE_PENDING) {
        storage_cancel(&lookup.op);
        return false;
    }
    store_object_unref(lookup.object);
    return lookup.found == STORE_HIT && lookup.object == object;
}

static void cut_wake(struct fill_context *context)
{
    if (context->cut_is_mailed)
        return;
    context->cut_is_mailed = true;
    loop_post(context->loop, &context->cut_mail);
}

void cut_begin(struct fill_context *context, struct store_object *object)
{
    struct cut *cut = context->count < context->fills_max ? calloc(1, sizeof(*cut)) : NULL;
    const struct stored *stored;
    struct fields view;

    if (cut == NULL)
        return;
    cut->context = context;
    cut->arena = fill_arena_new();
    cut->object = store_object_ref(object);
    cut->pin = storage_pin_seq(context->storage);
    hit_handler_open(&cut->hit, store_object_ref(object), context->loop);
    list_push_back(&context->cuts, &cut->link);
    context->count++;
    if (cut->arena == NULL || !is_in_store(context, object) || !err_is_ok(stored_view(object->meta, &view, &stored)) ||
        !err_is_ok(cut_describe(cut, stored, &view))) {
        cut_end(cut);
        return;
    }
    cut_wake(context);
}

void cut_stop(struct fill_context *context)
{
    while (!list_is_empty(&context->cuts))
        cut_end(container_of(list_first(&context->cuts), struct cut, link));
}

/* ---- copying ------------------------------------------------------------------------------------------- */

static struct store_fill cut_put_of(const struct cut *cut, slice key)
{
    const struct store_object *object = cut->object;
    struct store_fill put = {
        .key = storage_key(cut->context->storage, key),
        .tenant = object->tenant,
        .seq = object->seq,
        .labels = store_object_labels(object),
        .label_count = object->label_count,
        .stored_ms = object->stored_ms,
    };

    put.op.loop = cut->context->loop;
    put.op.done = store_op_ignored;
    return put;
}

static struct miss_handler *cut_open(const struct cut *cut, struct store_fill *put)
{
    if (storage_get_miss_handler(cut->context->storage, put) == STORE_PENDING) {
        storage_cancel(&put->op);
        return NULL;
    }
    return err_is_ok(put->result) ? put->miss_handler : NULL;
}

/* False: memory has ended in the middle. */
static bool cut_copy(struct cut *cut, struct miss_handler *miss, uint64_t n)
{
    slice shown;
    unsigned count;

    while (n > 0) {
        enum source_state state = source_peek(&cut->hit.source, &shown, 1, &count);
        INVARIANT(state == SOURCE_READY);
        size_t want = (size_t)MIN(n, shown.len), moved = miss_handler_write(miss, slice_of(shown.data, want));
        if (moved > 0)
            source_consume(&cut->hit.source, moved);
        if (moved < want)
            return false;
        n -= moved;
    }
    return true;
}

static bool cut_slice(struct cut *cut)
{
    struct store_fill put;
    struct miss_handler *miss;

    slice_key_set(cut->slice_key, cut->next);
    put = cut_put_of(cut, cut->slice_key);
    put.kind = STORE_SLICE;
    put.length_bytes = (int64_t)sliced_bytes(&cut->body, cut->next);
    miss = cut_open(cut, &put);
    if (miss == NULL)
        return false;
    if (!cut_copy(cut, miss, (uint64_t)put.length_bytes)) {
        miss_handler_drop(miss);
        return false;
    }
    miss_handler_finish(miss);
    cut->next++;
    return true;
}

static bool cut_put_head(struct cut *cut)
{
    struct store_fill put = cut_put_of(cut, cut->body.key);
    struct miss_handler *miss;

    put.kind = STORE_ANSWER;
    put.meta = cut->meta;
    put.replaces = cut->object;
    miss = cut_open(cut, &put);
    if (miss == NULL)
        return false;
    miss_handler_finish(miss);
    return true;
}

/* True: there is more. */
static bool cut_step(struct cut *cut)
{
    if (cut->next < sliced_count(&cut->body))
        return cut_slice(cut);
    cut->is_done = cut_put_head(cut);
    return false;
}

void cut_mailed(struct mail *mail)
{
    struct fill_context *context = container_of(mail, struct fill_context, cut_mail);

    context->cut_is_mailed = false;
    if (list_is_empty(&context->cuts))
        return;
    struct cut *cut = container_of(list_first(&context->cuts), struct cut, link);
    if (!cut_step(cut))
        cut_end(cut);
    if (!list_is_empty(&context->cuts))
        cut_wake(context);
}
