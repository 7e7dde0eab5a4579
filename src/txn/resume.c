/* A reader that a window has left behind goes on by a range request of its own, under the strong validator
 * its bytes so far have; what does not fit exactly ends it visibly. */
#include "txn/txn_internal.h"

struct resume {
    struct source source;
    struct txn *txn;
    slice etag;
    int64_t length_bytes; /* of the whole representation; -1: not known */
    struct fields fields;
    struct origin_fetch *fetch;
    struct source *body; /* of the fetch, once its head fits */
    bool failed;
};

static void resume_wake(void *reader)
{
    struct resume *resume = reader;
    if (resume->source.on_ready != NULL)
        resume->source.on_ready(resume->source.reader);
}

static void resume_failed(void *user, enum client_failure failure, const char *detail)
{
    struct resume *resume = user;

    (void)failure;
    (void)detail;
    resume->fetch = NULL;
    resume->failed = true;
    resume_wake(resume);
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
        source_set_reader(resume->body, resume_wake, resume);
    resume_wake(resume);
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

static bool resume_begin(struct resume *resume)
{
    static const struct origin_events events = {resume_interim, resume_head, resume_failed};
    struct txn *txn = resume->txn;
    struct origin_request request = {
        .request = {.method = METHOD_GET,
                    .method_name = SLICE("GET"),
                    .target = txn->request.target,
                    .fields = &resume->fields,
                    .body_bytes = -1,
                    .arena = &txn->arena},
        .group = txn->context->group,
        .events = &events,
        .user = resume,
    };

    if (!err_is_ok(resume_fields(resume)))
        return false;
    resume->fetch = origin_fetch_start(txn->context->origins, &request);
    return resume->fetch != NULL;
}

static enum source_state resume_peek(struct source *source, slice *ret_slices, unsigned max, unsigned *ret_count)
{
    struct resume *resume = container_of(source, struct resume, source);
    struct hit_handler *hit = &resume->txn->serve.hit;
    enum source_state state;

    if (resume->failed)
        return SOURCE_FAILED;
    if (resume->body != NULL)
        return source_peek(resume->body, ret_slices, max, ret_count);
    if (resume->fetch != NULL)
        return SOURCE_WAIT;
    source_set_reader(&hit->source, resume_wake, resume);
    state = source_peek(&hit->source, ret_slices, max, ret_count);
    if (state != SOURCE_FAILED || !hit->is_behind)
        return state;
    resume->failed = !resume_begin(resume);
    return resume->failed ? SOURCE_FAILED : SOURCE_WAIT;
}

static void resume_consume(struct source *source, size_t n)
{
    struct resume *resume = container_of(source, struct resume, source);
    source_consume(resume->body != NULL ? resume->body : &resume->txn->serve.hit.source, n);
}

static void resume_close(struct source *source)
{
    struct resume *resume = container_of(source, struct resume, source);

    resume->body = source_close(resume->body);
    resume->fetch = origin_fetch_finish(resume->fetch);
    source_close(&resume->txn->serve.hit.source);
}

struct source *resume_new(struct txn *txn, slice etag, int64_t length_bytes)
{
    static const struct source_ops ops = {resume_peek, resume_consume, resume_close, NULL};
    struct resume *resume = arena_zalloc(&txn->arena, sizeof(*resume));

    if (resume == NULL)
        return NULL;
    resume->source.ops = &ops;
    resume->txn = txn;
    resume->etag = etag;
    resume->length_bytes = length_bytes;
    return &resume->source;
}
