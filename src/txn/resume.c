/* A reader that a window has left behind goes on by a range request of its own, under the strong validator
 * its bytes so far have; what does not fit exactly ends it visibly. */
#include "txn/txn_internal.h"

/* The reader's own fetch; there only once it is needed, for a follower must cost little. */
struct resume {
    struct txn *txn;
    slice etag;
    int64_t length_bytes; /* of the whole representation; -1: not known */
    struct fields fields;
    struct origin_fetch *fetch;
    struct source *body; /* of the fetch, once its head fits */
    bool failed;
};

static struct txn *txn_of(struct source *source)
{
    return container_of(source, struct txn, serve.source);
}

static void resume_wake(void *reader)
{
    struct txn *txn = reader;
    if (txn->serve.source.on_ready != NULL)
        txn->serve.source.on_ready(txn->serve.source.reader);
}

static void resume_failed(void *user, enum client_failure failure, const char *detail)
{
    struct resume *resume = user;

    (void)failure;
    (void)detail;
    resume->fetch = NULL;
    resume->failed = true;
    resume_wake(resume->txn);
}

static void resume_interim(void *user, struct response *response)
{
    (void)user;
    (void)response;
}

/* 206 with the very bytes and the very tag asked for, nothing else. */
static bool resume_fits(const struct resume *resume, const struct response *response)
{
    const struct hit_handler *hit = &resume->txn->serve.hit;
    slice value = fields_get(&response->fields, F_CONTENT_RANGE);
    struct content_range range;

    if (response->status != 206 || value.data == NULL || !content_range_parse(value, &range) || !range.satisfied)
        return false;
    if (resume->length_bytes >= 0 && range.length_bytes != (uint64_t)resume->length_bytes)
        return false; /* another representation, whatever its tag says */
    return range.first == hit->at && range.last == (hit->end != UINT64_MAX ? hit->end : range.length_bytes) - 1 &&
           slice_eq(fields_get(&response->fields, F_ETAG), resume->etag);
}

static void resume_head(void *user, struct response *response)
{
    struct resume *resume = user;

    if (resume_fits(resume, response)) {
        resume->body = origin_fetch_body(resume->fetch);
        resume->failed = resume->body == NULL;
    } else {
        resume->failed = true;
    }
    if (resume->body != NULL)
        source_set_reader(resume->body, resume_wake, resume->txn);
    resume_wake(resume->txn);
}

static err resume_fields(struct resume *resume)
{
    struct txn *txn = resume->txn;
    const struct hit_handler *hit = &txn->serve.hit;

    TRY(txn_forward_fields(txn, true, &resume->fields));
    TRY(fields_add(&resume->fields, F_IF_RANGE, resume->etag));
    if (hit->end == UINT64_MAX)
        return fields_addf(&resume->fields, F_RANGE, "bytes=%llu-", (unsigned long long)hit->at);
    return fields_addf(&resume->fields, F_RANGE, "bytes=%llu-%llu", (unsigned long long)hit->at,
                       (unsigned long long)hit->end - 1);
}

/* NULL: the object's head is damaged, or memory has ended. */
static struct resume *resume_new(struct txn *txn)
{
    struct resume *resume = arena_zalloc(&txn->arena, sizeof(*resume));
    const struct stored *stored;
    struct fields view;

    if (resume == NULL || !err_is_ok(stored_view(txn->object->meta, &view, &stored)))
        return NULL;
    resume->txn = txn;
    resume->etag = stored_etag(&view, stored);
    resume->length_bytes = stored->body_bytes;
    return resume->etag.data != NULL ? resume : NULL;
}

static bool resume_begin(struct txn *txn)
{
    static const struct origin_events events = {resume_interim, resume_head, resume_failed};
    struct resume *resume = resume_new(txn);
    struct origin_request request = {
        .request = {.method = METHOD_GET,
                    .method_name = SLICE("GET"),
                    .target = txn->request.target,
                    .body_bytes = -1,
                    .arena = &txn->arena},
        .group = txn->policy->tenant->origins,
        .events = &events,
        .user = resume,
    };

    if (resume == NULL || !err_is_ok(resume_fields(resume)))
        return false;
    request.request.fields = &resume->fields;
    resume->fetch = origin_fetch_start(txn->context->origins, &request);
    if (resume->fetch != NULL)
        txn->serve.resume = resume;
    return resume->fetch != NULL;
}

static enum source_state resume_peek(struct source *source, slice *ret_slices, unsigned max, unsigned *ret_count)
{
    struct txn *txn = txn_of(source);
    struct resume *resume = txn->serve.resume;
    enum source_state state;

    if (resume != NULL) {
        if (resume->failed)
            return SOURCE_FAILED;
        return resume->body != NULL ? source_peek(resume->body, ret_slices, max, ret_count) : SOURCE_WAIT;
    }
    source_set_reader(&txn->serve.hit.source, resume_wake, txn);
    state = source_peek(&txn->serve.hit.source, ret_slices, max, ret_count);
    if (state != SOURCE_FAILED || !txn->serve.hit.is_behind)
        return state;
    return resume_begin(txn) ? SOURCE_WAIT : SOURCE_FAILED;
}

static void resume_consume(struct source *source, size_t n)
{
    struct txn *txn = txn_of(source);
    source_consume(txn->serve.resume != NULL ? txn->serve.resume->body : &txn->serve.hit.source, n);
}

static void resume_close(struct source *source)
{
    struct txn *txn = txn_of(source);

    if (txn->serve.resume != NULL) {
        txn->serve.resume->body = source_close(txn->serve.resume->body);
        txn->serve.resume->fetch = origin_fetch_finish(txn->serve.resume->fetch);
    }
    source_close(&txn->serve.hit.source);
}

struct source *resume_source(struct txn *txn)
{
    static const struct source_ops ops = {resume_peek, resume_consume, resume_close, NULL};

    txn->serve.source = (struct source){.ops = &ops};
    txn->serve.resume = NULL;
    return &txn->serve.source;
}
