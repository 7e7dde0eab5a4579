/* The life of a filler: its request, what the answer must be, and the slices. */
#include "fill/filler.h"

#include <stdlib.h>

#define TICK_NS      UINT64_C(1000000000)
#define UNREAD_TICKS 5u  /* those who were promised it had time to come */
#define STARVED_MAX  10u /* ticks without memory for the next slice */

static void filler_store(struct filler *filler);

/* ---- making one -------------------------------------------------------------------------------------- */

static void filler_tick(struct timer *timer);

static void filler_put_done(struct store_op *op);

static struct filler *filler_new(struct fill_context *context, struct tenant_view *view, const struct policy *policy, struct arena *arena)
{
    struct filler *filler = calloc(1, sizeof(*filler));

    if (filler == NULL)
        return NULL;
    filler->context = context;
    filler->arena = arena;
    filler->view = tenant_view_enter(view);
    filler->policy = fill_policy_of(policy);
    filler->mail.run = filler_mailed;
    list_init(&filler->followers);
    timer_init(&filler->tick, filler_tick);
    filler->pin = storage_pin_seq(context->storage);
    filler->seq = filler->pin;
    filler->ahead = MIN(MAX(context->ahead_bytes / context->slice_bytes, 1), FILLER_AHEAD_MAX);
    list_push_back(&context->fillers, &filler->own);
    context->count++;
    return filler;
}

static void filler_unpin(struct filler *filler)
{
    if (filler->pin != 0)
        storage_unpin_seq(filler->context->storage, filler->pin);
    filler->pin = 0;
}

static void filler_free(struct filler *filler)
{
    store_object_unref(filler->head);
    fill_arena_free(filler->arena);
    tenant_view_leave(filler->view);
    free(filler);
}

/* Key and tag are the filler's own: the head they come from may go. */
static err filler_describe(struct filler *filler, const struct sliced *body, uint64_t first, uint64_t limit)
{
    char *key = arena_alloc(filler->arena, body->key.len + SLICE_KEY_MORE);

    ENSURE(key != NULL, MEMORY);
    filler->body = *body;
    filler->body.key = arena_copy(filler->arena, body->key);
    ENSURE(filler->body.key.data != NULL, MEMORY);
    if (body->etag.data != NULL) {
        filler->body.etag = arena_copy(filler->arena, body->etag);
        ENSURE(filler->body.etag.data != NULL, MEMORY);
    }
    filler->slice_key = slice_key_write(&filler->body, first, key);
    filler->first = filler->ring_from = filler->ring_to = first;
    filler->limit = limit;
    return ERR_OK;
}

/* ---- the end ----------------------------------------------------------------------------------------- */

/* Without a strong validator: whole or not at all. */
static void filler_forget(struct filler *filler)
{
    struct storage *storage = filler->context->storage;

    if (filler->head != NULL)
        storage_drop(storage, filler->head);
    for (uint64_t i = filler->first; i < filler->ring_to; i++) {
        slice_key_set(filler->slice_key, i);
        storage_drop_hash(storage, storage_key(storage, filler->slice_key).hash);
    }
}

void filler_end(struct filler *filler, enum filler_end end)
{
    bool is_whole = filler->is_done && filler->limit == sliced_count(&filler->body);

    INVARIANT(!filler->is_ended);
    filler->is_ended = true;
    if (filler->is_putting)
        storage_cancel(&filler->put.op);
    loop_timer_stop(filler->context->loop, &filler->tick);
    miss_handler_drop(filler->miss);
    filler->miss = NULL;
    filler->source = NULL; /* the fetch's */
    filler->fetch = origin_fetch_finish(filler->fetch);
    filler_unpin(filler);
    if (filler->shard != NULL && filler->body.etag.data == NULL && !is_whole)
        filler_forget(filler);
    if (filler->shard != NULL)
        filler_leave(filler, end);
    list_remove(&filler->own);
    filler->context->count--;
    if (!filler->is_mailed) /* by nobody any more: it is out of the table */
        filler_free(filler);
}

/* All it was to write is there. It stays as long as somebody reads what it holds. */
static void filler_done(struct filler *filler)
{
    slice shown;
    unsigned count;

    if (filler->source != NULL)
        (void)source_peek(filler->source, &shown, 1, &count); /* its end: the connection can be used again */
    filler->source = NULL;
    filler->fetch = origin_fetch_finish(filler->fetch);
    filler_unpin(filler);
    filler_complete(filler);
    if (!filler_is_wanted(filler))
        filler_end(filler, FILLER_AGAIN);
}

/* No more than this: nobody wants it, or it is there already. */
static void filler_stop(struct filler *filler)
{
    if (filler->body.etag.data == NULL || filler->ring_to == filler->first) {
        filler_end(filler, FILLER_AGAIN);
        return;
    }
    filler_done(filler);
}

/* ---- slices ------------------------------------------------------------------------------------------ */

static void count_slice(const struct filler *filler, enum slice_event event)
{
    if (filler->context->metrics != NULL)
        metric_slice(filler->context->metrics, event);
}

static void filler_has_room(void *writer)
{
    filler_store(writer);
}

static enum store_status filler_put(struct filler *filler)
{
    slice_key_set(filler->slice_key, filler->ring_to);
    filler->put = (struct store_fill){
        .op = {.loop = filler->context->loop, .done = filler_put_done},
        .key = storage_key(filler->context->storage, filler->slice_key),
        .tenant = filler->tenant,
        .kind = STORE_SLICE,
        .seq = filler->seq,
        .labels = filler->labels.labels,
        .label_count = filler->labels.count,
        .length_bytes = (int64_t)sliced_bytes(&filler->body, filler->ring_to),
        .private_copy = filler->is_private,
        .on_room = filler_has_room,
        .writer = filler,
    };
    return storage_get_miss_handler(filler->context->storage, &filler->put);
}

/* False: there is no memory now; once more with the next tick. */
static bool filler_opened(struct filler *filler)
{
    filler->is_starved = !err_is_ok(filler->put.result);
    if (filler->is_starved)
        return false;
    filler->ticks_starved = 0;
    filler->miss = filler->put.miss_handler;
    filler_push(filler, miss_handler_object(filler->miss));
    return true;
}

/* False: nothing to go on with now. */
static bool filler_open(struct filler *filler)
{
    for (;;) {
        if (filler_put(filler) == STORE_PENDING) {
            filler->is_putting = true;
            return false;
        }
        if (filler->put.result.code != ERR_REFUSED || filler->is_private)
            return filler_opened(filler);
        filler->is_private = true; /* purged: only for those who waited before */
    }
}

static void filler_put_done(struct store_op *op)
{
    struct filler *filler = container_of(op, struct filler, put.op);

    filler->is_putting = false;
    if (filler->put.result.code == ERR_REFUSED && !filler->is_private)
        filler->is_private = true;
    else
        (void)filler_opened(filler);
    filler_store(filler);
}

/* The next slice: true where there is something to write into now. */
static bool filler_next_slice(struct filler *filler)
{
    struct storage *storage = filler->context->storage;

    if (filler->ring_to > filler->first && filler->body.etag.data != NULL && !filler->is_private && !filler->has_no_ranges) {
        slice_key_set(filler->slice_key, filler->ring_to);
        struct store_key key = storage_key(storage, filler->slice_key);
        if (storage_has(storage, &key)) {
            filler_stop(filler);
            return false;
        }
    }
    switch (filler_may_go_on(filler)) {
    case FILLER_GO:
        return filler_open(filler);
    case FILLER_PAUSE:
        return false;
    case FILLER_STOP:
        break;
    }
    filler_stop(filler);
    return false;
}

static bool slice_is_full(const struct filler *filler)
{
    return miss_handler_written(filler->miss) == sliced_bytes(&filler->body, filler->ring_to - 1);
}

static void slice_finish(struct filler *filler)
{
    miss_handler_finish(filler->miss);
    filler->miss = NULL;
    count_slice(filler, SLICE_FETCHED);
}

/* Where the answer says no length itself, its last slice is not complete before its end has come: a part with too many
 * bytes is none. False: wait, or it is over. */
static bool slice_may_finish(struct filler *filler)
{
    slice shown;
    unsigned count;

    if (filler->has_length || filler->ring_to < filler->limit)
        return true;
    switch (source_peek(filler->source, &shown, 1, &count)) {
    case SOURCE_END:
        return true;
    case SOURCE_WAIT:
        return false;
    case SOURCE_READY:
    case SOURCE_FAILED:
        break;
    }
    filler_end(filler, FILLER_BROKEN);
    return false;
}

/* True: go on. */
static bool filler_move(struct filler *filler, slice bytes)
{
    size_t n, moved;

    if (filler->skip_bytes > 0) {
        n = (size_t)MIN(filler->skip_bytes, bytes.len);
        filler->skip_bytes -= n;
        source_consume(filler->source, n);
        return true;
    }
    n = (size_t)MIN(bytes.len, sliced_bytes(&filler->body, filler->ring_to - 1) - miss_handler_written(filler->miss));
    moved = miss_handler_write(filler->miss, slice_of(bytes.data, n));
    if (moved > 0)
        source_consume(filler->source, moved);
    if (moved == n)
        return true;
    /* memory has ended in the middle, and nobody will make room by reading */
    if (!miss_handler_has_readers(filler->miss))
        filler_end(filler, FILLER_BROKEN);
    return false;
}

static bool filler_step(struct filler *filler)
{
    slice shown;
    unsigned count;

    if (filler->miss == NULL && filler->ring_to == filler->limit) {
        filler_done(filler);
        return false;
    }
    if (filler->miss == NULL)
        return filler_next_slice(filler);
    if (slice_is_full(filler)) {
        if (!slice_may_finish(filler))
            return false;
        slice_finish(filler);
        return true;
    }
    switch (source_peek(filler->source, &shown, 1, &count)) {
    case SOURCE_READY:
        return filler_move(filler, shown);
    case SOURCE_WAIT:
        return false;
    case SOURCE_END:
    case SOURCE_FAILED:
        break;
    }
    filler_end(filler, FILLER_BROKEN);
    return false;
}

static void filler_store(struct filler *filler)
{
    if (filler->is_done || filler->is_putting || filler->source == NULL)
        return;
    while (filler_step(filler))
        ;
}

static void filler_source_ready(void *reader)
{
    filler_store(reader);
}

/* ---- from outside ------------------------------------------------------------------------------------ */

/* A follower has moved, come or left. */
static void filler_look(struct filler *filler)
{
    bool is_wanted = filler_is_wanted(filler);

    if (filler->is_done && !is_wanted)
        filler_end(filler, FILLER_AGAIN);
    else if (!filler->is_done && !is_wanted && filler->source != NULL && filler_may_go_on(filler) == FILLER_STOP)
        filler_end(filler, FILLER_AGAIN); /* in the middle of a slice, or before one */
    else
        filler_store(filler);
}

void filler_mailed(struct mail *mail)
{
    struct filler *filler = container_of(mail, struct filler, mail);
    bool is_ended = filler->is_ended;

    if (is_ended) {
        filler_free(filler);
        return;
    }
    pthread_mutex_lock(&filler->shard->lock);
    filler->is_mailed = false;
    pthread_mutex_unlock(&filler->shard->lock);
    filler_look(filler);
}

/* What is pinned holds up the end of purges: no longer than a tick. */
static void filler_renew_pin(struct filler *filler)
{
    struct storage *storage = filler->context->storage;
    uint64_t pin = storage_pin_seq(storage);

    if (storage_is_purged(storage, filler->seq, filler->tenant, filler->labels.labels, filler->labels.count))
        filler->is_private = true;
    storage_unpin_seq(storage, filler->pin);
    filler->pin = pin;
}

static void filler_tick_begin(struct filler *filler)
{
    loop_timer_set(filler->context->loop, &filler->tick, loop_now_ns(filler->context->loop) + TICK_NS);
}

static void filler_tick(struct timer *timer)
{
    struct filler *filler = container_of(timer, struct filler, tick);

    if (filler->is_starved && ++filler->ticks_starved > STARVED_MAX) {
        filler_end(filler, FILLER_BROKEN);
        return;
    }
    if (filler->pin != 0)
        filler_renew_pin(filler);
    filler_tick_begin(filler);
    if (++filler->ticks == UNREAD_TICKS && filler_give_up(filler))
        filler_look(filler);
    else if (filler->is_starved)
        filler_store(filler);
}

/* ---- of a fill --------------------------------------------------------------------------------------- */

bool filler_of_fill(struct fill *fill, const struct sliced *body, const struct label_set *labels, uint64_t first,
                    uint64_t limit, uint64_t skip_bytes, bool has_length, struct filler **ret_filler)
{
    struct filler *filler = filler_new(fill->context, fill->view, &fill->policy, fill->arena);
    bool entered;

    if (filler == NULL)
        return false;
    filler->seq = fill->seq; /* pinned as long as the fill has it */
    filler->tenant = fill->tenant;
    filler->labels = *labels;
    filler->skip_bytes = skip_bytes;
    filler->has_length = has_length;
    filler->request_ms = fill->request_ms;
    filler->is_private = storage_is_purged(fill->context->storage, filler->seq, filler->tenant, labels->labels, labels->count);
    if (!err_is_ok(filler_describe(filler, body, first, limit)))
        goto fail;
    entered = filler_enter(filler, NULL);
    INVARIANT(entered);
    if (!filler_open(filler) && !filler->is_putting)
        goto fail;
    filler->fetch = fill->fetch;
    filler->source = fill->body;
    fill->fetch = NULL;
    fill->body = NULL;
    *ret_filler = filler;
    return true;
fail:
    filler->arena = NULL; /* still the fill's */
    filler_end(filler, FILLER_BROKEN);
    return false;
}

void filler_begin(struct filler *filler, struct store_object *head)
{
    filler->head = store_object_ref(head);
    filler_tick_begin(filler);
    source_set_reader(filler->source, filler_source_ready, filler);
    filler_store(filler);
}

/* ---- of a reader: a range ---------------------------------------------------------------------------- */

/* RFC 9111 3.4: the fields of a part are newer than those of the head that it completes. */
static void head_renew(struct filler *filler, const struct response *response)
{
    struct store_update update = {.object = filler->head, .seq = filler->seq};
    enum not_stored reason = NOT_STORED_NONE;
    struct label_set labels;

    if (filler->is_private ||
        !err_is_ok(fill_merge(filler->arena, filler->head, filler->body.key, response, filler->request_ms,
                              loop_wall_ms(filler->context->loop), &filler->policy, &update.meta, &labels, &reason)))
        return;
    if (reason != NOT_STORED_NONE) { /* for those who have begun, and for nobody after them */
        storage_drop(filler->context->storage, filler->head);
        filler->is_private = true;
        return;
    }
    update.op.loop = filler->context->loop;
    update.op.done = store_op_ignored;
    update.labels = labels.labels;
    update.label_count = labels.count;
    if (storage_update_meta(filler->context->storage, &update) == STORE_PENDING)
        storage_cancel(&update.op);
    else
        store_object_unref(update.updated);
}

/* Is it about the version that we have parts of? */
static bool is_same_version(const struct filler *filler, const struct response *response)
{
    return slice_eq(strong_etag_of(&response->fields), filler->body.etag);
}

/* The very bytes asked for, or all of them (an origin that knows no ranges); of that version, and no other. */
static bool answer_fits(struct filler *filler, const struct response *response)
{
    struct slice_ask ask = slice_ask_of(&filler->body, filler->first, filler->limit);
    struct content_range range;

    filler->has_length = response->body == BODY_LENGTH;
    if (response->status == 200) {
        if (!is_same_version(filler, response) || (filler->has_length && response->length_bytes != filler->body.length_bytes))
            return false;
        filler_rewind(filler);
        return true;
    }
    return part_read(response, &range) && slice_ask_fits(&ask, &range) && range.length_bytes == filler->body.length_bytes &&
           is_same_version(filler, response);
}

/* What says that the version is gone: the precondition failed, the range lies outside, another answer altogether. Other
 * refusals concern this request, and may be over with the next one. */
static bool is_changed(uint16_t status)
{
    return status == 200 || status == 206 || status == 404 || status == 410 || status == 412 || status == 416;
}

static void range_head(void *user, struct response *response)
{
    struct filler *filler = user;
    bool may_fit = response->status == 200 || response->status == 206;

    if (!may_fit || !answer_fits(filler, response)) {
        if (is_changed(response->status))
            storage_drop(filler->context->storage, filler->head);
        filler_end(filler, is_changed(response->status) ? FILLER_CHANGED : FILLER_BROKEN);
        return;
    }
    filler->source = origin_fetch_body(filler->fetch);
    if (filler->source == NULL) {
        filler_end(filler, FILLER_BROKEN);
        return;
    }
    head_renew(filler, response);
    source_set_reader(filler->source, filler_source_ready, filler);
    filler_look(filler);
}

static void range_failed(void *user, enum client_failure failure, const char *detail)
{
    struct filler *filler = user;

    (void)failure;
    (void)detail; /* the origin's health log has it */
    filler->fetch = NULL;
    filler_end(filler, FILLER_BROKEN);
}

static void range_interim(void *user, struct response *response)
{
    (void)user;
    (void)response;
}

/* RFC 9110 13.1.1: If-Match, not If-Range: another version is told in a 412 instead of being sent from its start. */
static err range_prepare(struct filler *filler, const struct fill_start *start)
{
    struct store_object *head = filler->head;
    unsigned count = head->label_count;
    struct request request;

    TRY(fill_request_copy(filler->arena, start->request, &request));
    TRY(fill_forward_build(filler->arena, start, &request, &filler->request));
    TRY(fields_add(&filler->request, F_IF_MATCH, filler->body.etag));
    filler->target = request.target;
    filler->labels.labels = arena_alloc(filler->arena, (count + 1) * sizeof(struct store_label));
    ENSURE(filler->labels.labels != NULL, MEMORY);
    memcpy(filler->labels.labels, store_object_labels(head), count * sizeof(struct store_label));
    filler->labels.count = count;
    return ERR_OK;
}

/* As far as slices are missing. */
static uint64_t limit_by_store(struct filler *filler, uint64_t limit)
{
    struct storage *storage = filler->context->storage;
    uint64_t at = filler->first + 1;

    for (; at < limit; at++) {
        slice_key_set(filler->slice_key, at);
        struct store_key key = storage_key(storage, filler->slice_key);
        if (storage_has(storage, &key))
            break;
    }
    return MIN(at, limit);
}

static bool range_send(struct filler *filler)
{
    static const struct origin_events events = {range_interim, range_head, range_failed};
    struct slice_ask ask = slice_ask_of(&filler->body, filler->first, filler->limit);
    struct origin_request request = {
        .request = {.method = METHOD_GET,
                    .method_name = SLICE("GET"),
                    .target = filler->target,
                    .fields = &filler->request,
                    .body_bytes = -1,
                    .arena = filler->arena},
        .group = filler->policy.tenant->origins,
        .events = &events,
        .user = filler,
    };

    if (!err_is_ok(slice_ask_add(&ask, &filler->request)))
        return false;
    filler->request_ms = loop_wall_ms(filler->context->loop);
    filler->fetch = origin_fetch_start(filler->context->pool, &request);
    if (filler->fetch != NULL)
        count_slice(filler, SLICE_RANGE);
    return filler->fetch != NULL;
}

/* Between the reader's lookup and its place in the table another filler may have written the slice. */
static bool is_there_now(struct filler *filler)
{
    struct storage *storage = filler->context->storage;

    slice_key_set(filler->slice_key, filler->first);
    struct store_key key = storage_key(storage, filler->slice_key);
    return storage_has(storage, &key);
}

bool filler_start(const struct fill_start *start, const struct sliced *body, struct store_object *head, struct follower *follower)
{
    struct fill_context *context = start->context;
    uint64_t first = follower->slice, limit;
    struct arena *arena = context->count < context->fills_max ? fill_arena_new() : NULL;
    struct filler *filler = arena != NULL ? filler_new(context, start->view, start->policy, arena) : NULL;

    if (filler == NULL) {
        fill_arena_free(arena);
        return false;
    }
    filler->tenant = head->tenant;
    filler->head = store_object_ref(head);
    limit = MIN(MAX(follower->wanted, first + 1), first + filler->ahead);
    if (!err_is_ok(filler_describe(filler, body, first, limit)) || !err_is_ok(range_prepare(filler, start))) {
        filler_end(filler, FILLER_BROKEN);
        return false;
    }
    filler->limit = limit_by_store(filler, limit);
    if (!filler_enter(filler, follower)) {
        filler_end(filler, FILLER_AGAIN); /* another one was faster */
        return true;
    }
    filler_tick_begin(filler);
    if (is_there_now(filler))
        filler_end(filler, FILLER_AGAIN);
    else if (!range_send(filler))
        filler_end(filler, FILLER_BROKEN);
    return true;
}
