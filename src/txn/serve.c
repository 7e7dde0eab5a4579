/* serve: an answer from a stored object: 200, 206, 304, 412, 416. */
#include "cache/validate.h"
#include "txn/txn_internal.h"

#include "http/date.h"
#include "tenant/edit.h"

#define SCRATCH_BYTES 8192u

/* What serve works out before it answers; gone when the answer's head is written, so that a transaction that
 * waits for the rest of a body holds none of it. */
struct serving {
    struct arena scratch;
    const struct stored *stored;
    struct fields view;
    struct fields added;
    struct reply reply;
    struct source *body;
};

/* Fields of the stored answer that say nothing about a 304 (RFC 9110 15.4.5), or are another message's. */
static bool is_left_out_of_304(enum field_id id)
{
    return id == F_CONTENT_TYPE || id == F_CONTENT_ENCODING || id == F_CONTENT_LANGUAGE || id == F_CONTENT_RANGE;
}

static err copy_without(struct arena *arena, const struct fields *from, bool (*left_out)(enum field_id), struct fields *ret)
{
    fields_init(ret, arena);
    TRY(fields_reserve(ret, from->count, from->text_len));
    for (unsigned i = 0; i < from->count; i++)
        if (!left_out((enum field_id)from->list[i].id))
            TRY(fields_copy(ret, from, i));
    return ERR_OK;
}

static bool is_content_type(enum field_id id)
{
    return id == F_CONTENT_TYPE;
}

/* Replaces the stored fields of the reply by a copy without some. */
static bool serve_without(struct serving *serving, bool (*left_out)(enum field_id))
{
    struct fields *copy = arena_alloc(&serving->scratch, sizeof(*copy));

    if (copy == NULL || !err_is_ok(copy_without(&serving->scratch, &serving->view, left_out, copy)))
        return false;
    serving->reply.stored = copy;
    return true;
}

static enum step_result serve_no_memory(struct txn *txn)
{
    return txn_synth(txn, 503, "no-memory", "The server is short of memory.");
}

/* The body cannot be given from its start: a window has moved past it (this request asks the origin itself), or
 * the fill has failed. Nothing was sent yet. */
static enum step_result serve_lost(struct txn *txn, struct source *body)
{
    bool is_behind = txn->serve.hit.is_behind;

    source_close(body);
    txn->is_serving = false;
    txn->object = store_object_unref(txn->object);
    txn->facts.hit = txn->facts.stored = txn->facts.has_ttl = txn->facts.collapsed = false;
    txn->facts.age_s = -1;
    if (!is_behind)
        return txn_synth_failure(txn, CLIENT_FAILURE_CLOSED);
    txn->facts.reason = "window-behind";
    txn->facts.outcome = OUTCOME_bypass;
    return txn_goto(txn, STEP_PASS);
}

/* Answers with that body, once it is sure that it can begin. */
static enum step_result serve_body(struct txn *txn, const struct serving *serving, struct source *body)
{
    slice shown;
    unsigned count;

    if (!txn->is_sliced && source_peek(body, &shown, 1, &count) == SOURCE_FAILED)
        return serve_lost(txn, body);
    if (txn->is_sliced)
        serve_slices_give(txn);
    return txn_reply(txn, &serving->reply, body);
}

static enum step_result serve_bodiless(struct txn *txn, struct serving *serving, uint16_t status)
{
    serving->reply.status = status;
    serving->reply.no_body = true;
    serving->reply.length_bytes = status == 304 ? -1 : 0;
    if (status == 304 && !serve_without(serving, is_left_out_of_304))
        return serve_no_memory(txn);
    if (status == 412)
        serving->reply.stored = NULL;
    return txn_reply(txn, &serving->reply, NULL);
}

/* The client's Range as it applies to this object; false: the whole answer. */
static bool serve_ranges(struct txn *txn, const struct serving *serving, int64_t length, struct range_set *ret_set,
                         enum range_result *ret_result)
{
    struct range_request asked;

    if (txn->request.method != METHOD_GET || serving->stored->status != 200 || length < 0 ||
        !range_parse(&txn->request.fields, &asked) ||
        !client_if_range(&txn->request, &serving->view, serving->stored, loop_wall_ms(txn->context->loop) / 1000))
        return false;
    *ret_result = range_resolve(&asked, (uint64_t)length, ret_set);
    return *ret_result != RANGE_FULL;
}

static err add_content_range(struct serving *serving, const struct content_range *range)
{
    char text[CONTENT_RANGE_BYTES_MAX];
    size_t len = content_range_format(range, text);
    return fields_add(&serving->added, F_CONTENT_RANGE, slice_of(text, len));
}

static enum step_result serve_unsatisfiable(struct txn *txn, struct serving *serving, int64_t length)
{
    struct content_range range = {.length_bytes = (uint64_t)length};

    if (!err_is_ok(add_content_range(serving, &range)))
        return serve_no_memory(txn);
    serving->reply.status = 416;
    serving->reply.stored = NULL;
    serving->reply.length_bytes = 0;
    serving->reply.no_body = true;
    return txn_reply(txn, &serving->reply, NULL);
}

static enum step_result serve_range(struct txn *txn, struct serving *serving, const struct range_set *set, int64_t length)
{
    struct content_range range = {
        .first = set->list[0].first, .last = set->list[0].last, .length_bytes = (uint64_t)length, .satisfied = true};

    if (!err_is_ok(add_content_range(serving, &range)))
        return serve_no_memory(txn);
    if (!txn->is_sliced) /* else it stands there */
        hit_handler_seek(&txn->serve.hit, range.first, range.last + 1);
    serving->reply.status = 206;
    serving->reply.length_bytes = (int64_t)(range.last - range.first + 1);
    return serve_body(txn, serving, serving->body);
}

static void hit_seek(struct txn *txn, uint64_t from, uint64_t to)
{
    hit_handler_seek(&txn->serve.hit, from, to);
}

static enum step_result serve_multipart(struct txn *txn, struct serving *serving, const struct range_set *set, int64_t length)
{
    slice type = fields_get(&serving->view, F_CONTENT_TYPE), own_type;
    uint64_t bytes;
    struct seekable object = txn->is_sliced ? serve_slices_seekable(txn) : (struct seekable){&txn->serve.hit.source, hit_seek};
    struct source *body = multipart_new(txn, object, set, (uint64_t)length, type, &own_type, &bytes);

    if (body == NULL || !serve_without(serving, is_content_type) ||
        !err_is_ok(fields_add(&serving->added, F_CONTENT_TYPE, own_type)))
        return serve_no_memory(txn);
    serving->reply.status = 206;
    serving->reply.length_bytes = (int64_t)bytes;
    return serve_body(txn, serving, body);
}

/* The whole body, or as HEAD. */
static enum step_result serve_whole(struct txn *txn, struct serving *serving, int64_t length)
{
    serving->reply.length_bytes = length;
    serving->reply.no_body = txn->is_head || serving->stored->status == 204 || serving->stored->status == 304;
    if (serving->reply.no_body)
        return txn_reply(txn, &serving->reply, NULL);
    return serve_body(txn, serving, serving->body);
}

/* The source that the client will read. While a fill runs its window may leave a slow reader behind. */
static struct source *serve_source(struct txn *txn, const struct serving *serving)
{
    bool may_resume = (serving->stored->flags & CONTROL_ETAG_STRONG) && !store_object_is_complete(txn->object);

    return may_resume ? resume_source(txn) : &txn->serve.hit.source;
}

static void serve_count(struct txn *txn)
{
    if (!txn->facts.hit)
        return;
    metric_served(txn->context->metrics, (enum tier)txn->tier);
    if (store_object_is_complete(txn->object))
        return;
    txn->facts.collapsed = true; /* it follows the fetch of another request */
    metric_collapsed(txn->context->metrics);
}

/* What the request comes to, with this object. */
struct choice {
    enum cond cond;
    bool is_ranged;
    enum range_result ranges;
    struct range_set set;
    int64_t length;
};

/* The set is written where there is one, and nowhere else: a hit has no time for it. */
static void serve_choose(struct txn *txn, const struct serving *serving, struct choice *choice)
{
    choice->length = serving->stored->is_sliced ? -1 : store_object_length(txn->object);
    if (choice->length < 0)
        choice->length = serving->stored->body_bytes;
    choice->cond = client_precondition(&txn->request, &serving->view, serving->stored, loop_wall_ms(txn->context->loop) / 1000);
    choice->is_ranged =
        choice->cond == COND_PASS && serve_ranges(txn, serving, choice->length, &choice->set, &choice->ranges);
}

static bool choice_has_body(const struct txn *txn, const struct choice *choice)
{
    return choice->cond == COND_PASS && !txn->is_head && !(choice->is_ranged && choice->ranges == RANGE_UNSATISFIABLE);
}

/* The first bytes of a body in slices; NEXT: they are there. */
static enum step_result serve_open_slices(struct txn *txn, const struct choice *choice)
{
    uint64_t from = choice->is_ranged ? choice->set.list[0].first : 0;
    uint64_t to = choice->is_ranged ? choice->set.list[0].last + 1 : (uint64_t)choice->length;

    switch (serve_slices_open(txn, from, to)) {
    case SLICES_READY:
        break;
    case SLICES_WAIT:
        return txn_wait(txn, WAIT_SLICE);
    case SLICES_LOST:
        (void)serve_slices_lost(txn);
        return STEP_DONE; /* with this step, not with the request */
    }
    return STEP_NEXT;
}

static void serve_age(struct txn *txn, const struct serving *serving)
{
    if (txn->facts.has_ttl || !(txn->facts.stored || txn->facts.hit))
        return;
    txn->facts.age_s = freshness_current_age(serving->stored->initial_age_s, serving->stored->response_time_ms,
                                             loop_wall_ms(txn->context->loop));
    txn->facts.ttl_s = serving->stored->lifetime_s - txn->facts.age_s;
    txn->facts.has_ttl = txn->facts.hit;
}

static void serve_open(struct txn *txn, struct serving *serving)
{
    if (txn->is_sliced) {
        serving->body = slices_source(txn->serve.slices);
        return;
    }
    hit_handler_open(&txn->serve.hit, store_object_ref(txn->object), txn->context->loop);
    txn->is_serving = true;
    serving->body = serve_source(txn, serving);
}

static enum step_result serve_chosen(struct txn *txn, struct serving *serving, const struct choice *choice)
{
    switch (choice->cond) {
    case COND_PASS:
        break;
    case COND_NOT_MODIFIED:
        return serve_bodiless(txn, serving, 304);
    case COND_FAILED:
        return serve_bodiless(txn, serving, 412);
    }
    if (choice->is_ranged && choice->ranges == RANGE_UNSATISFIABLE)
        return serve_unsatisfiable(txn, serving, choice->length);
    if (txn->is_sliced || !serving->stored->is_sliced)
        serve_open(txn, serving);
    if (!choice->is_ranged)
        return serve_whole(txn, serving, choice->length);
    if (choice->set.count == 1)
        return serve_range(txn, serving, &choice->set, choice->length);
    return serve_multipart(txn, serving, &choice->set, choice->length);
}

static enum step_result serve(struct txn *txn, struct serving *serving)
{
    struct choice choice;

    if (!err_is_ok(stored_view(txn->object->meta, &serving->view, &serving->stored)))
        return txn_synth(txn, 502, "stored-damaged", "The stored answer is damaged.");
    serve_choose(txn, serving, &choice);
    if (serving->stored->is_sliced && choice_has_body(txn, &choice)) {
        enum step_result opened = serve_open_slices(txn, &choice);
        if (opened != STEP_NEXT)
            return opened == STEP_DONE ? STEP_NEXT : opened;
    }
    serve_age(txn, serving);
    serve_count(txn);
    fields_init(&serving->added, &serving->scratch);
    if (!err_is_ok(txn_add_status(txn, &serving->added)))
        return serve_no_memory(txn);
    if (policy_edits_response(txn->policy) && !err_is_ok(edit_response_fields(txn->policy, &serving->scratch, &serving->view)))
        return serve_no_memory(txn);
    serving->reply.status = serving->stored->status;
    serving->reply.stored = &serving->view;
    serving->reply.added = &serving->added;
    return serve_chosen(txn, serving, &choice);
}

enum step_result txn_step_serve(struct txn *txn)
{
    _Alignas(8) char buffer[SCRATCH_BYTES];
    struct serving serving = {.reply = {.length_bytes = -1}};
    enum step_result result;

    arena_init(&serving.scratch, buffer, sizeof(buffer), 0);
    result = serve(txn, &serving);
    arena_done(&serving.scratch);
    return result;
}
