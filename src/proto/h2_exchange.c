/* One request and its answer on an HTTP/2 connection to an origin.
 *
 *   new --HEADERS--> [interim...] --final head--> body --END_STREAM--> complete        any --finish--> gone
 *    |                                |
 *    +-- failed() before the head     +-- the body fails behind it; never complete without END_STREAM
 *
 * Whatever the user is told may end the exchange: it is the last thing that is done with it. */
#include "proto/h2_client_own.h"

#include "http/token.h"

#include <stdio.h>
#include <stdlib.h>

#define MS            UINT64_C(1000000)
#define UPLOAD_SLICES 8u

static void exchange_deadline(struct h2_exchange *exchange, uint32_t ms)
{
    struct loop *loop = exchange->h2->of->config.loop;
    loop_timer_set(loop, &exchange->timer, loop_now_ns(loop) + ms * MS);
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static void exchange_forget_upload(struct h2_exchange *exchange)
{
    if (exchange->request.body != NULL)
        source_set_reader(exchange->request.body, NULL, NULL);
    exchange->request.body = NULL;
}

static void exchange_drop_head(struct h2_exchange *exchange)
{
    h2_head_done(exchange->head);
    pool_put(&exchange->h2->shared->head_pool, exchange->head);
    exchange->head = NULL;
}

/* A stream that the origin still has something to do with is reset; nobody is told. */
static void exchange_free(struct h2_exchange *exchange, uint32_t error_code)
{
    struct h2_client *h2 = exchange->h2;
    struct client_shared *shared = h2->shared;

    exchange_forget_upload(exchange);
    exchange_drop_head(exchange);
    h2_inbox_done(&exchange->inbox, &shared->block_pool);
    loop_timer_stop(h2->of->config.loop, &exchange->timer);
    list_remove(&exchange->link);
    if (exchange->is_open) {
        (void)nghttp2_session_set_stream_user_data(h2->session.ng, exchange->id, NULL);
        if (!exchange->is_complete || !exchange->is_uploaded) {
            (void)nghttp2_submit_rst_stream(h2->session.ng, NGHTTP2_FLAG_NONE, exchange->id, error_code);
            h2_session_wake(&h2->session);
        }
    }
    pool_put(&shared->exchange_pool, exchange);
}

static void exchange_finish(struct client_stream *stream)
{
    struct h2_exchange *exchange = container_of(stream, struct h2_exchange, stream);
    struct h2_client *h2 = exchange->h2;

    exchange_free(exchange, NGHTTP2_CANCEL);
    h2_client_changed(h2);
}

/* Before the head: the user is told and forgotten. */
static void exchange_fail(struct h2_exchange *exchange, enum client_failure failure, const char *detail, uint32_t error_code)
{
    const struct client_events *events = exchange->stream.events;
    void *user = exchange->stream.user;
    struct h2_client *h2 = exchange->h2;
    bool sent = exchange->is_sent || exchange->is_body_taken;

    exchange_free(exchange, error_code);
    events->failed(user, failure, sent, detail);
    h2_client_changed(h2);
}

/* Behind it: whoever reads the body sees it fail, after what has come. */
static void exchange_fail_body(struct h2_exchange *exchange, uint32_t error_code)
{
    struct h2_client *h2 = exchange->h2;

    exchange->is_failed = true;
    exchange_forget_upload(exchange);
    if (exchange->is_open && error_code != NGHTTP2_NO_ERROR) {
        (void)nghttp2_submit_rst_stream(h2->session.ng, NGHTTP2_FLAG_NONE, exchange->id, error_code);
        h2_session_wake(&h2->session);
    }
    if (exchange->body.on_ready != NULL)
        exchange->body.on_ready(exchange->body.reader);
}

static void exchange_break(struct h2_exchange *exchange, enum client_failure failure, const char *detail, uint32_t error_code)
{
    if (!exchange->is_answered)
        exchange_fail(exchange, failure, detail, error_code);
    else if (!exchange->is_complete && !exchange->is_failed)
        exchange_fail_body(exchange, error_code);
}

void h2_exchange_lost(struct h2_exchange *exchange, enum client_failure failure, const char *detail)
{
    exchange->is_open = false;
    if (exchange->interims > 0 && detail == NULL)
        detail = "in the middle of the answer";
    exchange_forget_upload(exchange);
    exchange_break(exchange, failure, detail, NGHTTP2_NO_ERROR);
}

/* The stream is closed on both sides, or reset by one of them. */
void h2_exchange_closed(struct h2_exchange *exchange, uint32_t error_code)
{
    char detail[64];

    exchange->is_open = false;
    if (exchange->has_upload_failed) {
        exchange_break(exchange, CLIENT_FAILURE_REQUEST_BODY, NULL, NGHTTP2_NO_ERROR);
        return;
    }
    if (!exchange->is_answered && (!exchange->is_sent || error_code == NGHTTP2_REFUSED_STREAM)) {
        /* RFC 9113 8.7: not processed; GOAWAY's last stream comes here, too */
        exchange->is_sent = false;
        exchange_fail(exchange, CLIENT_FAILURE_CLOSED, "stream refused", NGHTTP2_NO_ERROR);
        return;
    }
    snprintf(detail, sizeof(detail), "stream reset: %s", nghttp2_http2_strerror(error_code));
    exchange_forget_upload(exchange); /* an answer that is complete stays so (RFC 9113 8.1) */
    exchange_break(exchange, CLIENT_FAILURE_CLOSED, detail, NGHTTP2_NO_ERROR);
}

/* ---- the request ---------------------------------------------------------------------------------------------------- */

static bool names_reserve(struct client_shared *shared, size_t count, size_t bytes)
{
    if (count > shared->nv_cap) {
        nghttp2_nv *nv = realloc(shared->nv, count * sizeof(*nv));
        if (nv == NULL)
            return false;
        shared->nv = nv;
        shared->nv_cap = count;
    }
    if (bytes > shared->names_cap) {
        char *names = realloc(shared->names, bytes);
        if (names == NULL)
            return false;
        shared->names = names;
        shared->names_cap = bytes;
    }
    return true;
}

static nghttp2_nv nv_of(slice name, slice value, uint8_t flags)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.data, (uint8_t *)(uintptr_t)value.data, name.len, value.len, flags};
}

/* RFC 9113 8.2.2: what concerns an HTTP/1 connection; framing is this one's own. */
static bool is_left_out(enum field_id id)
{
    switch (id) {
    case F_HOST: case F_CONNECTION: case F_KEEP_ALIVE: case F_PROXY_CONNECTION: case F_TRANSFER_ENCODING: case F_UPGRADE:
    case F_HTTP2_SETTINGS: case F_TE: case F_CONTENT_LENGTH:
        return true;
    default:
        return false;
    }
}

/* Requests of many clients share one compression context: what must not be guessed by its size is never indexed
 * (RFC 7541 7.1.3). */
static uint8_t nv_flags_of(enum field_id id)
{
    return id == F_AUTHORIZATION || id == F_COOKIE || id == F_PROXY_AUTHORIZATION ? NGHTTP2_NV_FLAG_NO_INDEX
                                                                                   : NGHTTP2_NV_FLAG_NONE;
}

/* From *at on; names go to shared->names in lower case. */
static void nv_add_fields(struct client_shared *shared, const struct fields *fields, size_t *at)
{
    char *name = shared->names;

    for (unsigned i = 0; i < fields->count; i++) {
        enum field_id id = (enum field_id)fields->list[i].id;
        slice given = field_name(fields, i);

        if (is_left_out(id))
            continue;
        for (size_t c = 0; c < given.len; c++)
            name[c] = (char)ascii_lower((unsigned char)given.data[c]);
        shared->nv[(*at)++] = nv_of(slice_of(name, given.len), field_value(fields, i), nv_flags_of(id));
        name += given.len;
    }
}

static bool nv_begin(struct client_shared *shared, const struct fields *fields, size_t more)
{
    return names_reserve(shared, fields->count + more, fields->text_len + 1u);
}

/* Content-Length: 0 where the method usually has a body (RFC 9110 8.6). */
static int64_t length_of(const struct client_request *request)
{
    if (request->body != NULL)
        return request->body_bytes;
    return request->method == METHOD_POST || request->method == METHOD_PUT || request->method == METHOD_PATCH ? 0 : -1;
}

static size_t nv_of_request(struct h2_client *h2, const struct client_request *request, char length_text[24])
{
    struct client_shared *shared = h2->shared;
    slice authority = fields_get(request->fields, F_HOST);
    int64_t length = length_of(request);
    size_t count = 0;

    shared->nv[count++] = nv_of(SLICE(":method"), request->method_name, 0);
    shared->nv[count++] = nv_of(SLICE(":scheme"), h2->net->scheme == NET_TLS ? SLICE("https") : SLICE("http"), 0);
    if (authority.data != NULL)
        shared->nv[count++] = nv_of(SLICE(":authority"), authority, 0);
    shared->nv[count++] = nv_of(SLICE(":path"), request->target, 0);
    nv_add_fields(shared, request->fields, &count);
    if (fields_has(request->fields, F_TE)) /* nothing but "trailers" is forwarded (RFC 9113 8.2.2) */
        shared->nv[count++] = nv_of(SLICE("te"), SLICE("trailers"), 0);
    if (length >= 0) {
        int len = snprintf(length_text, 24, "%lld", (long long)length);
        shared->nv[count++] = nv_of(SLICE("content-length"), slice_of(length_text, (size_t)len), 0);
    }
    return count;
}

static void upload_ready(void *reader)
{
    struct h2_exchange *exchange = reader;

    exchange->is_upload_waiting = false;
    if (exchange->is_open && nghttp2_session_resume_data(exchange->h2->session.ng, exchange->id) == 0)
        h2_session_wake(&exchange->h2->session);
}

static ssize_t upload_fail(struct h2_exchange *exchange)
{
    exchange->has_upload_failed = true; /* told when nghttp2 has reset the stream */
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* The source has ended: as long as was said? */
static ssize_t upload_end(struct h2_exchange *exchange, size_t n, uint32_t *data_flags)
{
    const struct fields *trailers = source_trailers(exchange->request.body);
    struct client_shared *shared = exchange->h2->shared;
    size_t count = 0;

    if (exchange->request.body_bytes >= 0 && exchange->uploaded_bytes != (uint64_t)exchange->request.body_bytes)
        return upload_fail(exchange);
    *data_flags |= NGHTTP2_DATA_FLAG_EOF;
    if (trailers == NULL || trailers->count == 0)
        return (ssize_t)n;
    if (!nv_begin(shared, trailers, 0))
        return upload_fail(exchange);
    nv_add_fields(shared, trailers, &count);
    if (count == 0)
        return (ssize_t)n;
    if (nghttp2_submit_trailer(exchange->h2->session.ng, exchange->id, shared->nv, count) != 0)
        return upload_fail(exchange);
    *data_flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    return (ssize_t)n;
}

static size_t upload_copy(struct h2_exchange *exchange, const slice *slices, unsigned count, uint8_t *into, size_t room)
{
    size_t n = 0;

    for (unsigned i = 0; i < count && n < room; i++) {
        size_t part = MIN(slices[i].len, room - n);
        memcpy(into + n, slices[i].data, part);
        n += part;
    }
    exchange->is_body_taken = true;
    exchange->uploaded_bytes += n;
    source_consume(exchange->request.body, n);
    return n;
}

static ssize_t upload_read(nghttp2_session *session, int32_t id, uint8_t *into, size_t room, uint32_t *data_flags,
                           nghttp2_data_source *source, void *user)
{
    struct h2_exchange *exchange = nghttp2_session_get_stream_user_data(session, id);
    slice slices[UPLOAD_SLICES];
    unsigned count = 0;
    size_t n = 0;

    (void)source, (void)user;
    if (exchange == NULL || exchange->request.body == NULL)
        return NGHTTP2_ERR_DEFERRED; /* it was left: the reset is under way */
    for (;;) {
        switch (source_peek(exchange->request.body, slices, UPLOAD_SLICES, &count)) {
        case SOURCE_READY:
            if (n == room)
                return (ssize_t)n;
            n += upload_copy(exchange, slices, count, into + n, room - n);
            if (exchange->request.body_bytes >= 0 && exchange->uploaded_bytes > (uint64_t)exchange->request.body_bytes)
                return upload_fail(exchange);
            break;
        case SOURCE_WAIT:
            if (n > 0)
                return (ssize_t)n;
            exchange->is_upload_waiting = true;
            return NGHTTP2_ERR_DEFERRED;
        case SOURCE_END:
            return upload_end(exchange, n, data_flags);
        case SOURCE_FAILED:
            return upload_fail(exchange);
        }
    }
}

void h2_exchange_sent(struct h2_exchange *exchange, bool end_stream)
{
    exchange->is_sent = true;
    if (!end_stream)
        return;
    exchange->is_uploaded = true;
    if (!exchange->is_answered)
        exchange_deadline(exchange, exchange->h2->of->config.first_byte_ms); /* the origin's time begins here */
}

/* ---- the answer's body -------------------------------------------------------------------------------------------- */

static struct h2_exchange *exchange_of_body(struct source *source)
{
    return container_of(source, struct h2_exchange, body);
}

static enum source_state body_peek(struct source *source, slice *ret_slices, unsigned max, unsigned *ret_count)
{
    struct h2_exchange *exchange = exchange_of_body(source);

    *ret_count = h2_inbox_peek(&exchange->inbox, ret_slices, max);
    if (*ret_count > 0)
        return SOURCE_READY;
    if (exchange->is_failed)
        return SOURCE_FAILED;
    if (exchange->is_complete)
        return SOURCE_END;
    if (!exchange->is_asking) {
        exchange->is_asking = true;
        exchange->asked_ns = loop_now_ns(exchange->h2->of->config.loop);
        exchange_deadline(exchange, exchange->between_ms);
    }
    return SOURCE_WAIT;
}

static void body_consume(struct source *source, size_t n)
{
    struct h2_exchange *exchange = exchange_of_body(source);

    h2_inbox_drop(&exchange->inbox, &exchange->h2->shared->block_pool, n);
    if (!exchange->is_open || exchange->is_complete)
        return;
    (void)nghttp2_session_consume_stream(exchange->h2->session.ng, exchange->id, n);
    h2_session_wake(&exchange->h2->session);
}

static void body_close(struct source *source)
{
    source_set_reader(source, NULL, NULL); /* it is the exchange's */
}

static const struct fields *body_trailers(struct source *source)
{
    return exchange_of_body(source)->trailers;
}

static void exchange_tell_reader(struct h2_exchange *exchange)
{
    if (exchange->is_asking)
        exchange->waited_ns += loop_now_ns(exchange->h2->of->config.loop) - exchange->asked_ns;
    exchange->is_asking = false;
    if (exchange->body.on_ready != NULL)
        exchange->body.on_ready(exchange->body.reader);
}

/* Bytes come, but so few that the body would take for ever. Only waiting for them counts. */
static bool body_is_slow(const struct h2_exchange *exchange)
{
    uint32_t slow_ms = exchange->h2->of->config.slow_body_ms;
    uint64_t waited_ms = exchange->waited_ns / MS;

    return !exchange->is_endless && slow_ms > 0 && waited_ms > slow_ms &&
           exchange->received_bytes < waited_ms / 1000 * CLIENT_BODY_MIN_BYTES_PER_S;
}

void h2_exchange_data(struct h2_exchange *exchange, slice bytes)
{
    if (!exchange->is_answered) {
        exchange_fail(exchange, CLIENT_FAILURE_INVALID, "DATA before the head", NGHTTP2_PROTOCOL_ERROR);
        return;
    }
    if (exchange->is_failed)
        return; /* its reset is on the way */
    exchange->received_bytes += bytes.len;
    if (exchange->is_bodiless || (exchange->has_length && exchange->received_bytes > exchange->length_bytes)) {
        exchange_fail_body(exchange, NGHTTP2_PROTOCOL_ERROR);
        return;
    }
    if (!h2_inbox_put(&exchange->inbox, &exchange->h2->shared->block_pool, bytes) || body_is_slow(exchange)) {
        exchange_fail_body(exchange, NGHTTP2_CANCEL);
        return;
    }
    exchange_tell_reader(exchange);
}

/* END_STREAM: the only way in which an answer is complete (RFC 9113 8.1), with all the bytes that were announced. */
void h2_exchange_end(struct h2_exchange *exchange)
{
    if (!exchange->is_answered) {
        exchange_fail(exchange, CLIENT_FAILURE_INVALID, "an end before the head", NGHTTP2_PROTOCOL_ERROR);
        return;
    }
    if (exchange->is_failed)
        return;
    if (exchange->has_length && !exchange->is_bodiless && exchange->received_bytes != exchange->length_bytes) {
        exchange_fail_body(exchange, NGHTTP2_PROTOCOL_ERROR);
        return;
    }
    exchange->is_complete = true;
    loop_timer_stop(exchange->h2->of->config.loop, &exchange->timer);
    exchange_tell_reader(exchange);
}

/* ---- heads and trailers ----------------------------------------------------------------------------------------------- */

int h2_exchange_begin_headers(struct h2_exchange *exchange)
{
    static const struct h1_limits limits = {CLIENT_HEAD_BYTES_MAX, 65535, 0, CLIENT_HEAD_FIELDS_MAX};
    void *block;

    exchange_drop_head(exchange);
    block = pool_get(&exchange->h2->shared->head_pool);
    if (block == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    exchange->head = h2_head_init(block, H2_HEAD_BLOCK_BYTES, exchange->is_answered ? H2_HEAD_TRAILERS : H2_HEAD_RESPONSE,
                                  exchange->is_answered ? &h2_trailer_limits : &limits);
    return 0;
}

void h2_exchange_header(struct h2_exchange *exchange, slice name, slice value)
{
    if (exchange->head != NULL)
        h2_head_add(exchange->head, name, value);
}

static void exchange_interim(struct h2_exchange *exchange, struct response *response)
{
    if (++exchange->interims > CLIENT_INTERIM_MAX)
        exchange_fail(exchange, CLIENT_FAILURE_INTERIM, NULL, NGHTTP2_ENHANCE_YOUR_CALM);
    else if (response->status != 100) /* ours: the client's 100 is sent when its body is first read */
        exchange->stream.events->interim(exchange->stream.user, response);
}

static void exchange_answered(struct h2_exchange *exchange, struct response *response, bool end_stream)
{
    exchange->is_answered = true;
    exchange->is_endless = client_is_endless(response);
    exchange->between_ms = exchange->is_endless ? CLIENT_EVENT_STREAM_IDLE_MS : exchange->h2->of->config.between_ms;
    exchange->is_bodiless = response->body == BODY_NONE;
    exchange->has_length = response->has_length && !exchange->is_bodiless;
    exchange->length_bytes = response->length_bytes;
    exchange->is_complete = end_stream;
    exchange->stream.body = end_stream || exchange->is_bodiless ? NULL : &exchange->body;
    if (end_stream)
        loop_timer_stop(exchange->h2->of->config.loop, &exchange->timer);
    else
        exchange_deadline(exchange, exchange->between_ms);
    exchange->stream.events->head(exchange->stream.user, response);
}

static void exchange_response(struct h2_exchange *exchange, bool end_stream)
{
    struct response response;
    enum h2_error error = h2_response_end(exchange->head, exchange->request.method, end_stream, exchange->request.arena, &response);

    exchange_drop_head(exchange);
    if (error != H2_OK)
        exchange_fail(exchange, CLIENT_FAILURE_INVALID, h2_error_text(error), NGHTTP2_PROTOCOL_ERROR);
    else if (response.status < 200)
        exchange_interim(exchange, &response);
    else
        exchange_answered(exchange, &response, end_stream);
}

static void exchange_trailers(struct h2_exchange *exchange, bool end_stream)
{
    struct fields *trailers = arena_zalloc(exchange->request.arena, sizeof(*trailers));
    bool is_good = end_stream && trailers != NULL &&
                   h2_trailers_end(exchange->head, exchange->request.arena, trailers) == H2_OK;

    exchange_drop_head(exchange);
    if (exchange->is_failed)
        return;
    if (!is_good) {
        exchange_fail_body(exchange, NGHTTP2_PROTOCOL_ERROR);
        return;
    }
    exchange->trailers = trailers;
    h2_exchange_end(exchange);
}

void h2_exchange_headers(struct h2_exchange *exchange, bool end_stream)
{
    if (exchange->head == NULL)
        return;
    if (exchange->is_answered)
        exchange_trailers(exchange, end_stream);
    else
        exchange_response(exchange, end_stream);
}

/* ---- time ------------------------------------------------------------------------------------------------------------- */

static void exchange_timer(struct timer *timer)
{
    struct h2_exchange *exchange = container_of(timer, struct h2_exchange, timer);

    if (exchange->is_complete || exchange->is_failed)
        return;
    if (!exchange->is_answered) {
        /* an upload that moves, or one that waits for its client, is not the origin's delay */
        if (!exchange->is_uploaded &&
            (exchange->uploaded_bytes != exchange->uploaded_before || exchange->is_upload_waiting)) {
            exchange->uploaded_before = exchange->uploaded_bytes;
            exchange_deadline(exchange, exchange->h2->of->config.first_byte_ms);
            return;
        }
    } else if (!exchange->is_asking) {
        exchange_deadline(exchange, exchange->between_ms); /* our reader is slow, not the origin */
        return;
    }
    exchange->h2->is_retired = true; /* what else it carries may go on, but nothing new begins on it */
    exchange_break(exchange, CLIENT_FAILURE_TIMEOUT, NULL, NGHTTP2_CANCEL);
}

/* ---- the beginning ---------------------------------------------------------------------------------------------------- */

static bool exchange_submit(struct h2_exchange *exchange)
{
    const struct client_request *request = &exchange->request;
    struct h2_client *h2 = exchange->h2;
    nghttp2_data_provider upload = {.read_callback = upload_read};
    char length_text[24];
    size_t count;

    if (!nv_begin(h2->shared, request->fields, 6))
        return false;
    count = nv_of_request(h2, request, length_text);
    exchange->id = nghttp2_submit_request(h2->session.ng, NULL, h2->shared->nv, count, request->body != NULL ? &upload : NULL,
                                          exchange);
    return exchange->id > 0;
}

static void exchange_tunnel(struct client_stream *stream, struct source *from_client)
{
    (void)stream, (void)from_client;
    INVARIANT(!"there is no 101 in HTTP/2");
}

struct h2_exchange *h2_exchange_new(struct h2_client *h2, const struct client_request *request,
                                    const struct client_events *events, void *user)
{
    static const struct client_stream_ops ops = {exchange_finish, exchange_tunnel};
    static const struct source_ops body_ops = {body_peek, body_consume, body_close, body_trailers};
    struct h2_exchange *exchange = pool_get(&h2->shared->exchange_pool);

    if (exchange == NULL)
        return NULL;
    *exchange = (struct h2_exchange){
        .stream = {.ops = &ops, .events = events, .user = user}, .h2 = h2, .request = *request, .body = {.ops = &body_ops}};
    list_init(&exchange->link);
    timer_init(&exchange->timer, exchange_timer);
    if (!exchange_submit(exchange)) {
        pool_put(&h2->shared->exchange_pool, exchange);
        return NULL;
    }
    exchange->is_open = true;
    exchange->is_uploaded = request->body == NULL;
    if (request->body != NULL)
        source_set_reader(request->body, upload_ready, exchange);
    list_push_back(&h2->exchanges, &exchange->link);
    exchange_deadline(exchange, h2->of->config.first_byte_ms);
    h2_session_wake(&h2->session);
    return exchange;
}
