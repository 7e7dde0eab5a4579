/* The life of a fill: fetch, then (admit.c) what becomes of the answer, then the body. */
#include "cache/forward.h"
#include "cache/validate.h"
#include "fill/cut.h"
#include "fill/filler.h"
#include "tenant/edit.h"

#include <stdio.h>
#include <stdlib.h>

#define UNREAD_NS         UINT64_C(5000000000)
#define PEEK_SLICES       4u
#define TRACE_BYTES       24u
#define FILL_ARENA_BYTES  (512u << 10)

static void fill_fetch(struct fill *fill);

/* ---- making one --------------------------------------------------------------------------------------------- */

err fill_fields_copy(struct arena *arena, const struct fields *from, struct fields *ret_fields)
{
    fields_init(ret_fields, arena);
    TRY(fields_reserve(ret_fields, from->count + 4u, from->text_len + 256));
    for (unsigned i = 0; i < from->count; i++)
        TRY(fields_copy(ret_fields, from, i));
    return ERR_OK;
}

err fill_request_copy(struct arena *arena, const struct request *request, struct request *ret_request)
{
    struct request copy = *request;

    copy.method = METHOD_GET;
    copy.method_name = SLICE("GET");
    copy.body = BODY_NONE;
    copy.length_bytes = 0;
    copy.target = arena_copy(arena, request->target);
    copy.authority = arena_copy(arena, request->authority);
    ENSURE(copy.target.data != NULL && copy.authority.data != NULL, MEMORY);
    TRY(fill_fields_copy(arena, &request->fields, &copy.fields));

    *ret_request = copy;
    return ERR_OK;
}

err fill_forward_build(struct arena *arena, const struct fill_start *start, const struct request *request, struct fields *ret_fields)
{
    uint8_t trace[TRACE_BYTES];
    struct forward_options options = {
        .client_ip = start->client_ip,
        .trusted_for = start->trusted_for,
        .https = request->https,
        .node = start->context->node,
        .request_id = start->request_id,
        .origin_host = slice_str(start->policy->tenant->origins->host_override),
        .trace_random = trace,
        .is_fill = true,
    };

    os_entropy(trace, sizeof(trace));
    fields_init(ret_fields, arena);
    TRY(forward_build(request, &options, ret_fields));
    return edit_request_fields(start->policy, arena, ret_fields);
}

struct policy fill_policy_of(const struct policy *policy)
{
    struct policy copy = *policy;

    copy.location = copy.target = copy.key_extra = copy.device = SLICE_NONE;
    return copy;
}

struct freshness_rule fill_freshness_rule(const struct policy *policy, unsigned status)
{
    return (struct freshness_rule){.ttl_s = policy_ttl_s(policy, status), .override_ = policy->ttl_override};
}

/* The same fields with the validator of what is stored, or with a range where nothing is. */
static err fill_add_conditions(struct fill *fill)
{
    const struct stored *stored;
    struct fields view;

    if (fill->has_ask) {
        TRY(fill_fields_copy(fill->arena, &fill->forward, &fill->conditional));
        return slice_ask_add(&fill->ask, &fill->conditional);
    }
    if (fill->stale == NULL)
        return ERR_OK;
    TRY(stored_view(fill->stale->meta, &view, &stored));
    TRY(fill_fields_copy(fill->arena, &fill->forward, &fill->conditional));
    return validate_add_conditions(&view, stored, &fill->conditional, &fill->validating);
}

static void fill_abandon(struct mail *mail)
{
    struct fill *fill = container_of(mail, struct fill, abandon);

    fill->abandoned = true;
    if (fill->step == FILL_ENDED) {
        fill_end(fill);
        return;
    }
    pthread_mutex_lock(&fill->shard->lock);
    bool again = !list_is_empty(&fill->waiters);
    if (again)
        fill->abandoning = false; /* somebody has joined since */
    pthread_mutex_unlock(&fill->shard->lock);
    if (again) {
        fill->abandoned = false;
        return;
    }
    if (fill->step == FILL_FETCH && !fill->resolved) {
        /* somebody on another thread may join just now: no failure of the origin's */
        fill_resolve(fill, &(struct fill_result){.outcome = FILL_LOOK_AGAIN});
        fill_end(fill);
    }
}

static err fill_prepare(struct fill *fill, const struct fill_start *start)
{
    fill->primary_key = arena_copy(fill->arena, start->primary_key);
    fill->slot_key = arena_copy(fill->arena, start->slot_key);
    ENSURE(fill->primary_key.data != NULL && fill->slot_key.data != NULL, MEMORY);
    TRY(fill_request_copy(fill->arena, start->request, &fill->request));
    TRY(fill_forward_build(fill->arena, start, &fill->request, &fill->forward));
    TRY(fill_add_conditions(fill));
    return label_set_build(fill->arena, fill->tenant, fill->primary_key, NULL, &fill->url_labels);
}

/* A window that nobody reads has no purpose; those it was promised to had time to open it. */
static void fill_unread(struct timer *timer)
{
    struct fill *fill = container_of(timer, struct fill, unread);

    if (!miss_handler_has_readers(fill->miss))
        fill_end(fill);
}

struct arena *fill_arena_new(void)
{
    struct arena *arena = malloc(sizeof(*arena));

    if (arena != NULL)
        arena_init(arena, NULL, 0, FILL_ARENA_BYTES);
    return arena;
}

struct arena *fill_arena_free(struct arena *arena)
{
    if (arena != NULL)
        arena_done(arena);
    free(arena);
    return NULL;
}

struct fill *fill_new(const struct fill_start *start, hash128 hash)
{
    struct fill *fill = calloc(1, sizeof(*fill));
    struct arena *arena = fill_arena_new();

    if (fill == NULL || arena == NULL) {
        free(fill);
        fill_arena_free(arena);
        return NULL;
    }
    fill->arena = arena;
    fill->has_ask = start->ask != NULL && start->stale == NULL;
    if (fill->has_ask)
        fill->ask = *start->ask;
    timer_init(&fill->unread, fill_unread);
    fill->context = start->context;
    fill->hash = hash;
    fill->view = tenant_view_enter(start->view);
    fill->policy = fill_policy_of(start->policy);
    fill->tenant = start->policy->tenant->id;
    fill->abandon.run = fill_abandon;
    list_init(&fill->slot);
    list_init(&fill->waiters);
    fill->stale = start->stale != NULL ? store_object_ref(start->stale) : NULL;
    /* before anything is asked of the origin: what is purged from now on is newer than this fill */
    fill->seq = storage_pin_seq(fill->context->storage);
    list_push_back(&fill->context->fills, &fill->link);
    fill->context->count++;
    if (!err_is_ok(fill_prepare(fill, start))) {
        fill_end(fill);
        return NULL;
    }
    return fill;
}

void fill_unpin(struct fill *fill)
{
    if (fill->seq != 0)
        storage_unpin_seq(fill->context->storage, fill->seq);
    fill->seq = 0;
}

void fill_end(struct fill *fill)
{
    fill->step = FILL_ENDED;
    fill->body = NULL; /* the fetch's */
    fill->fetch = origin_fetch_finish(fill->fetch);
    if (fill->miss != NULL)
        miss_handler_drop(fill->miss);
    fill->miss = NULL;
    fill_unpin(fill);
    loop_timer_stop(fill->context->loop, &fill->unread);
    if (list_is_linked(&fill->link)) {
        list_remove(&fill->link);
        fill->context->count--;
    }
    if (fill->abandoning && !fill->abandoned)
        return; /* its mail is under way and comes back here */
    fill->stale = store_object_unref(fill->stale);
    fill_arena_free(fill->arena);
    tenant_view_leave(fill->view);
    free(fill);
}

void fill_context_stop(struct fill_context *context)
{
    while (!list_is_empty(&context->fills)) {
        struct fill *fill = container_of(list_first(&context->fills), struct fill, link);
        if (!fill->resolved)
            fill_resolve(fill, &(struct fill_result){.outcome = FILL_FAILED, .failure = CLIENT_FAILURE_CLOSED});
        fill_end(fill);
    }
    while (!list_is_empty(&context->fillers))
        filler_end(container_of(list_first(&context->fillers), struct filler, own), FILLER_BROKEN);
    cut_stop(context);
}

/* ---- fetch ------------------------------------------------------------------------------------------------------ */

/* No answer: the stale object where the rules allow it, else an error for all who wait. */
static void fetch_failed(void *user, enum client_failure failure, const char *detail)
{
    struct fill *fill = user;
    struct fill_result result = {.outcome = FILL_FAILED, .failure = failure};

    (void)detail; /* the origin's health log has it */
    fill->fetch = NULL;
    if (fill_may_serve_stale(fill, loop_wall_ms(fill->context->loop))) {
        result.outcome = FILL_STALE;
        result.object = fill->stale;
    }
    fill_resolve(fill, &result);
    fill_end(fill);
}

static void fetch_interim(void *user, struct response *response)
{
    fill_tell_interim(user, response);
}

static void fetch_head(void *user, struct response *response)
{
    struct fill *fill = user;

    fill->fetch_ns = loop_now_ns(fill->context->loop) - origin_fetch_begun_ns(fill->fetch);
    fill->body = origin_fetch_body(fill->fetch);
    fill_admit(fill, response);
}

static void fill_fetch(struct fill *fill)
{
    static const struct origin_events events = {fetch_interim, fetch_head, fetch_failed};
    struct origin_request request = {
        .request = {.method = METHOD_GET,
                    .method_name = SLICE("GET"),
                    .target = fill->request.target,
                    .fields = fill->validating || fill->has_ask ? &fill->conditional : &fill->forward,
                    .body_bytes = -1,
                    .arena = fill->arena},
        .group = fill->policy.tenant->origins,
        .events = &events,
        .user = fill,
    };

    fill->request_ms = loop_wall_ms(fill->context->loop);
    fill->fetch = origin_fetch_start(fill->context->pool, &request);
    if (fill->fetch == NULL)
        fetch_failed(fill, CLIENT_FAILURE_NO_MEMORY, NULL);
}

/* The 304 was about something else, or the range was of no use: once more, without. */
void fill_refetch_whole(struct fill *fill)
{
    fill->fetch = origin_fetch_finish(fill->fetch);
    fill->validating = fill->has_ask = false;
    fill_fetch(fill);
}

/* Between a waiter's lookup and its place in the table another fill may have stored an answer. The slot is
 * taken now, so nobody else can: look once more, and fetch only when there is nothing new. */
static bool store_has_news(struct fill *fill)
{
    struct store_lookup lookup = {.key = storage_key(fill->context->storage, fill->slot_key), .peek = true, .at_hand = true};
    bool news;

    lookup.op.loop = fill->context->loop;

    lookup.op.done = store_op_ignored;
    if (fill->is_background || !fill->in_table)
        return false;
    if (storage_lookup(fill->context->storage, &lookup) == STORE_PENDING) {
        storage_cancel(&lookup.op);
        return false;
    }
    news = lookup.found == STORE_HIT && lookup.object != fill->stale && lookup.object->kind == STORE_ANSWER &&
           (fill->stale == NULL || lookup.object->stored_ms >= fill->stale->stored_ms);
    store_object_unref(lookup.object);
    return news;
}

void fill_begin(struct fill *fill)
{
    if (store_has_news(fill)) {
        fill_resolve(fill, &(struct fill_result){.outcome = FILL_LOOK_AGAIN});
        fill_end(fill);
        return;
    }
    fill_fetch(fill);
}

/* ---- store: the body --------------------------------------------------------------------------------------------- */

/* A length that was not announced may turn out to be more than the tenant wants stored. */
static void fill_drop_too_large(struct fill *fill)
{
    struct store_object *object = miss_handler_object(fill->miss);

    fill_count_not_stored(fill, NOT_STORED_TOO_LARGE);
    storage_drop(fill->context->storage, object);
    store_object_unref(object);
}

/* An answer of unknown length that is too long for a device in one piece. */
static bool is_to_be_cut(const struct fill *fill)
{
    const struct fill_context *context = fill->context;

    return context->has_device && fill->may_be_cut && !miss_handler_is_window(fill->miss) &&
           miss_handler_written(fill->miss) > context->slice_bytes;
}

static void fill_finish(struct fill *fill)
{
    struct store_object *object = is_to_be_cut(fill) ? miss_handler_object(fill->miss) : NULL;

    if (miss_handler_written(fill->miss) > fill->policy.max_object_bytes)
        fill_drop_too_large(fill);
    miss_handler_finish(fill->miss);
    fill->miss = NULL;
    if (object != NULL)
        cut_begin(fill->context, object);
    store_object_unref(object);
    fill_end(fill);
}

/* False: wait for room. */
static bool fill_move(struct fill *fill, const slice *slices, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        size_t moved = miss_handler_write(fill->miss, slices[i]);

        if (moved > 0)
            source_consume(fill->body, moved);
        if (moved < slices[i].len)
            return false;
    }
    return true;
}

void fill_store_body(struct fill *fill)
{
    slice slices[PEEK_SLICES];
    unsigned count;

    for (;;) {
        if (fill->body == NULL) {
            fill_finish(fill);
            return;
        }
        switch (source_peek(fill->body, slices, PEEK_SLICES, &count)) {
        case SOURCE_READY:
            if (!fill_move(fill, slices, count)) {
                if (!miss_handler_has_readers(fill->miss))
                    loop_timer_set(fill->context->loop, &fill->unread,
                                   loop_now_ns(fill->context->loop) + UNREAD_NS);
                return; /* a window: its readers make room */
            }
            break;
        case SOURCE_WAIT:
            return;
        case SOURCE_END:
            fill_finish(fill);
            return;
        case SOURCE_FAILED:
            fill_count_not_stored(fill, NOT_STORED_INCOMPLETE);
            fill_end(fill);
            return;
        }
    }
}
