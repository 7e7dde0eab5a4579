/* One request of an HTTP/2 client, and its answer. */
#include "proto/h2_own.h"

#include "base/log.h"
#include "proto/h2_fields.h"

#include <stdlib.h>

#define LENGTH_DIGITS 20u

static struct h2_stream *stream_of(struct server_stream *stream)
{
    return container_of(stream, struct h2_stream, stream);
}

static nghttp2_session *ng_of(const struct h2_stream *stream)
{
    return stream->conn->session.ng;
}

/* Nothing can be sent of it any more. */
static bool is_over(const struct h2_stream *stream)
{
    return stream->closed || ng_of(stream) == NULL;
}

/* ---- ends ----------------------------------------------------------------------------------------------------- */

void h2_stream_reset(struct h2_stream *stream, uint32_t code, enum stream_end end)
{
    if (is_over(stream))
        return;
    if (stream->end == STREAM_END_COUNT)
        stream->end = (uint8_t)end;
    nghttp2_submit_rst_stream(ng_of(stream), NGHTTP2_FLAG_NONE, stream->id, code);
    if (h2_is_charged(code))
        (void)h2_conn_charge_reset(stream->conn, stream); /* conn_after ends what has had too many */
    h2_session_wake(&stream->conn->session);
}

static void head_free(struct h2_stream *stream)
{
    if (stream->head == NULL)
        return;
    if (stream->head_bytes <= H2_HEAD_BYTES)
        pool_put(&stream->conn->h2->head_pool, stream->head);
    else
        free(stream->head);
    stream->head = NULL;
}

void h2_stream_head_sent(struct h2_stream *stream, const nghttp2_headers *headers)
{
    if (headers->nvlen > 0 && (char *)headers->nva[0].value == stream->head)
        head_free(stream);
}

/* A body that nobody waits for any more is in the way (RFC 9113 8.1). */
void h2_stream_answered(struct h2_stream *stream)
{
    stream->answered = true;
    if (!stream->reader.ended)
        h2_stream_reset(stream, NGHTTP2_NO_ERROR, STREAM_END_COMPLETE);
}

void h2_stream_closed(struct h2_stream *stream)
{
    stream->closed = true;
    h2_reader_cut(&stream->reader);
    if (stream->conn->head_stream == stream)
        stream->conn->head_stream = NULL;
    h2_conn_work(stream->conn, stream);
}

void h2_stream_fin(struct h2_stream *stream)
{
    bool is_left = stream->stream.leave_on_fin && stream->sender.waiting;

    if (!stream->reader.ended || is_left)
        h2_stream_reset(stream, NGHTTP2_CANCEL, STREAM_END_CLIENT_LEFT);
}

static enum stream_end end_of(const struct h2_stream *stream)
{
    if (stream->answered)
        return STREAM_END_COMPLETE;
    if (stream->sender.failed)
        return STREAM_END_BODY_FAILED;
    if (stream->end != STREAM_END_COUNT)
        return (enum stream_end)stream->end;
    return (enum stream_end)stream->conn->end;
}

void h2_stream_end(struct h2_stream *stream)
{
    struct h2_conn *conn = stream->conn;

    stream->answer = source_close(stream->answer);
    stream->stream.sent_bytes = stream->sender.sent_bytes;
    if (stream->stream.user != NULL)
        conn->h2->server->config.events->ended(stream->stream.user, end_of(stream));
    h2_reader_done(&stream->reader); /* ended() is the last to look at the request's body */
    head_free(stream);
    list_remove(&stream->link);
    list_remove(&stream->work);
    conn->stream_count--;
    pool_put(&conn->h2->stream_pool, stream);
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

static void answer_ready(void *reader)
{
    struct h2_stream *stream = reader;

    if (!is_over(stream))
        h2_sender_ready(&stream->sender);
}

static slice status_text(uint16_t status, char digits[3])
{
    digits[0] = (char)('0' + status / 100);
    digits[1] = (char)('0' + status / 10 % 10);
    digits[2] = (char)('0' + status % 10);
    return slice_of(digits, 3);
}

static slice length_text(uint64_t length, char *digits)
{
    unsigned at = LENGTH_DIGITS;

    do {
        digits[--at] = (char)('0' + length % 10);
        length /= 10;
    } while (length != 0);
    return slice_of(digits + at, LENGTH_DIGITS - at);
}

/* Without what belongs to HTTP/1's own handshake. */
static void list_drop(struct h2_list *list, slice name)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < list->count; i++)
        if (!slice_eq(slice_of((const char *)list->list[i].name, list->list[i].namelen), name))
            list->list[kept++] = list->list[i];
    list->count = kept;
}

/* The head in memory of the stream's. False: no memory, or more fields than fit. */
static bool answer_list(struct h2_stream *stream, const struct reply *reply, struct h2_list *list)
{
    size_t bytes = 3 + LENGTH_DIGITS + h2_fields_bytes(reply->stored) + h2_fields_bytes(reply->added);
    char *text;

    stream->head_bytes = (uint32_t)bytes;
    stream->head = bytes <= H2_HEAD_BYTES ? pool_get(&stream->conn->h2->head_pool) : malloc(bytes);
    if (stream->head == NULL)
        return false;
    text = stream->head;
    h2_list_add(list, SLICE(":status"), status_text(reply->status, text));
    text += 3 + LENGTH_DIGITS;
    if (!h2_list_copy(list, reply->stored, &text) || !h2_list_copy(list, reply->added, &text) || list->count == H2_FIELDS_MAX)
        return false;
    if (stream->is_tunnel)
        list_drop(list, SLICE("sec-websocket-accept"));
    else if (reply->length_bytes >= 0 && reply->status != 204)
        h2_list_add(list, SLICE("content-length"), length_text((uint64_t)reply->length_bytes, stream->head + 3));
    return true;
}

/* Only ever for a stream that is there: nghttp2 is told of no other. */
static void priority_apply(struct h2_stream *stream)
{
    nghttp2_extpri extpri = {
        .urgency = MIN(MAX(stream->priority.urgency, stream->low.urgency), stream->high.urgency),
        .inc = stream->priority.incremental ? stream->high.incremental : stream->low.incremental,
    };

    if (!is_over(stream))
        nghttp2_session_change_extpri_stream_priority(ng_of(stream), stream->id, &extpri, 0);
}

void h2_stream_reprioritize(struct h2_stream *stream, struct priority priority)
{
    stream->priority = priority;
    stream->was_updated = true;
    priority_apply(stream);
}

/* RFC 9218 8: the origin may know better than the client how urgent its answer is. */
static void answer_priority(struct h2_stream *stream, const struct reply *reply)
{
    const struct fields *sets[] = {reply->stored, reply->added};

    for (unsigned i = 0; i < ARRAY_LEN(sets); i++)
        if (sets[i] != NULL) {
            priority_read(sets[i], stream->arena, &stream->low);
            priority_read(sets[i], stream->arena, &stream->high);
        }
    priority_apply(stream);
}

static void answer_submit(struct h2_stream *stream, const struct reply *reply, struct source *body)
{
    bool bodiless = !stream->is_tunnel && (reply->no_body || body == NULL || (reply->length_bytes == 0 && body->ops->trailers == NULL));
    struct h2_list list;
    nghttp2_data_provider provider;

    list.count = 0;
    if (bodiless && body != NULL)
        stream->answer = source_close(body);
    if (!answer_list(stream, reply, &list)) {
        h2_stream_reset(stream, NGHTTP2_INTERNAL_ERROR, STREAM_END_BODY_FAILED);
        return;
    }
    answer_priority(stream, reply);
    if (!bodiless) {
        h2_sender_init(&stream->sender, &stream->conn->session, stream->id, body, stream->is_tunnel ? -1 : reply->length_bytes);
        provider = h2_sender_provider(&stream->sender);
        source_set_reader(body, answer_ready, stream);
    }
    if (nghttp2_submit_response(ng_of(stream), stream->id, list.list, list.count, bodiless ? NULL : &provider) != 0)
        h2_stream_reset(stream, NGHTTP2_INTERNAL_ERROR, STREAM_END_BODY_FAILED);
    h2_session_wake(&stream->conn->session);
}

/* RFC 8441 5: 200 says that the tunnel is there. An origin's 101 becomes that only when it has understood; another 2xx
 * would be taken for one. */
static void answer_websocket(struct h2_stream *stream, const struct reply *reply, struct source *body)
{
    struct reply own = *reply;

    if (reply->status == 101) {
        stream->stream.body = &stream->reader.source;
        stream->is_tunnel = body != NULL && h2_websocket_is_accepted(stream->websocket_key, reply);
        own.status = 200;
    }
    if (!stream->is_tunnel && own.status < 300) {
        stream->reader.failed = true;
        stream->answer = source_close(body);
        own = (struct reply){.status = 502, .no_body = true};
        body = NULL;
    }
    answer_submit(stream, &own, body);
}

static void stream_respond_h2(struct server_stream *server_stream, const struct reply *reply, struct source *body)
{
    struct h2_stream *stream = stream_of(server_stream);

    INVARIANT(!stream->responded);
    INVARIANT(body != NULL || reply->no_body || reply->length_bytes == 0 || reply->status == 101);
    stream->responded = true;
    stream->answer = body;
    if (is_over(stream)) {
        if (reply->status == 101)
            server_stream->body = &stream->reader.source;
        return; /* its end is on the way */
    }
    if (stream->is_websocket)
        answer_websocket(stream, reply, body);
    else
        answer_submit(stream, reply, body);
}

static void stream_interim_h2(struct server_stream *server_stream, uint16_t status, const struct fields *fields)
{
    struct h2_stream *stream = stream_of(server_stream);
    struct h2_list list;
    char text[4096], *at = text + 3;

    list.count = 0;
    if (stream->responded || status == 101 || is_over(stream))
        return;
    if (status == 100)
        stream->expects_continue = false;
    h2_list_add(&list, SLICE(":status"), status_text(status, text));
    if (h2_fields_bytes(fields) > sizeof(text) - 3 || !h2_list_copy(&list, fields, &at)) {
        log_debug("a %u answer did not fit and was dropped", status);
        return;
    }
    for (unsigned i = 0; i < list.count; i++)
        list.list[i].flags = NGHTTP2_NV_FLAG_NONE; /* copied: the text is gone before it is compressed */
    nghttp2_submit_headers(ng_of(stream), NGHTTP2_FLAG_NONE, stream->id, NULL, list.list, list.count, NULL);
    h2_session_wake(&stream->conn->session);
}

static void stream_abort_h2(struct server_stream *stream)
{
    h2_stream_reset(stream_of(stream), NGHTTP2_INTERNAL_ERROR, STREAM_END_ABORTED);
}

/* ---- the request -------------------------------------------------------------------------------------------------- */

/* The body is wanted: a client that waits for 100 is told to go on (RFC 9110 10.1.1). */
static void body_first_pull(struct h2_reader *reader)
{
    struct h2_stream *stream = reader->owner;

    if (stream->expects_continue)
        stream_interim_h2(&stream->stream, 100, NULL);
}

struct h2_stream *h2_stream_new(struct h2_conn *conn, int32_t id)
{
    static const struct server_stream_ops ops = {stream_interim_h2, stream_respond_h2, stream_abort_h2};
    struct server *server = conn->h2->server;
    struct h2_stream *stream;

    if (conn->stream_count >= H2_STREAMS_MAX) {
        server_count_limit(server, STREAM_LIMIT_H2_STREAMS);
        return NULL;
    }
    stream = pool_get(&conn->h2->stream_pool);
    if (stream == NULL)
        return NULL;
    memset(stream, 0, sizeof(*stream));
    stream->conn = conn;
    stream->id = id;
    stream->end = STREAM_END_COUNT;
    stream->priority = PRIORITY_DEFAULT;
    stream->low = (struct priority){0, false};
    stream->high = (struct priority){7, true};
    stream->stream = (struct server_stream){
        .ops = &ops,
        .loop = server->config.loop,
        .net = conn->session.net,
        .begun_ns = loop_now_ns(server->config.loop),
        .is_h2 = true,
    };
    h2_reader_init(&stream->reader, &conn->session, &conn->h2->body_pool, id, -1);
    stream->reader.owner = stream;
    list_push_back(&conn->streams, &stream->link);
    list_init(&stream->work);
    conn->stream_count++;
    return stream;
}

static bool is_call(const struct fields *fields)
{
    slice type = fields_get(fields, F_CONTENT_TYPE);

    return type.len >= 16 && slice_eq_nocase(slice_of(type.data, 16), SLICE("application/grpc"));
}

static void request_priority(struct h2_stream *stream, const struct request *request)
{
    if (stream->was_updated || !fields_has(&request->fields, F_PRIORITY))
        return;
    priority_read(&request->fields, stream->arena, &stream->priority);
    priority_apply(stream);
}

static void request_body(struct h2_stream *stream, const struct request *request, bool end_stream)
{
    stream->reader.ended = end_stream;
    stream->reader.first_pull = body_first_pull;
    stream->expects_continue = request->expect_continue;
    stream->is_websocket = request->upgrade_websocket;
    stream->is_call = is_call(&request->fields);
    if (request->body == BODY_LENGTH || (request->body == BODY_NONE && !stream->is_websocket))
        stream->reader.left_bytes = (int64_t)request->length_bytes;
    if (request->body != BODY_NONE)
        stream->stream.body = &stream->reader.source;
}

void h2_stream_ask(struct h2_stream *stream, struct h2_head *head, bool end_stream)
{
    struct h2_conn *conn = stream->conn;
    const struct server_config *config = &conn->h2->server->config;
    struct h2_request_options options = {.https = stream->stream.net->scheme == NET_TLS, .end_stream = end_stream};
    struct request request;
    enum h2_error error;

    stream->asked = true;
    stream->stream.user = config->events->begin(config->context, &stream->stream, &stream->arena);
    if (stream->stream.user == NULL) {
        h2_stream_reset(stream, NGHTTP2_REFUSED_STREAM, STREAM_END_ABORTED);
        return;
    }
    if (config->websocket && head->pseudo[H2_PSEUDO_PROTOCOL].data != NULL) {
        h2_websocket_key(stream->websocket_key);
        options.websocket_key = slice_of(stream->websocket_key, sizeof(stream->websocket_key));
    }
    error = h2_request_end(head, &options, stream->arena, &request);
    if (error != H2_OK) {
        stream->reader.ended = end_stream;
        config->events->refused(stream->stream.user, error, h2_error_status(error), h2_error_word(error), h2_error_text(error));
        return;
    }
    request_body(stream, &request, end_stream);
    request_priority(stream, &request);
    config->events->request(stream->stream.user, &request);
}

/* ---- its body ------------------------------------------------------------------------------------------------------ */

void h2_stream_data(struct h2_stream *stream, slice data)
{
    struct h2_session *session = &stream->conn->session;
    size_t before = stream->reader.inbox.bytes;

    if (stream->answered || stream->end != STREAM_END_COUNT || stream->stream.user == NULL) {
        nghttp2_session_consume(session->ng, stream->id, data.len); /* nobody reads it */
        return;
    }
    if (h2_reader_add(&stream->reader, data)) {
        h2_conn_work(stream->conn, stream);
        return;
    }
    /* what was put is for the reader to give back */
    nghttp2_session_consume(session->ng, stream->id, data.len - (stream->reader.inbox.bytes - before));
    stream->reader.failed = true;
    h2_stream_reset(stream, NGHTTP2_PROTOCOL_ERROR, STREAM_END_CLIENT_LEFT);
    h2_conn_work(stream->conn, stream);
}

void h2_stream_data_end(struct h2_stream *stream)
{
    if (!h2_reader_end(&stream->reader)) {
        stream->reader.failed = true;
        h2_stream_reset(stream, NGHTTP2_PROTOCOL_ERROR, STREAM_END_CLIENT_LEFT);
    }
    h2_conn_work(stream->conn, stream);
}

/* What trailers are not allowed to be ends the stream: what it carried is not complete. */
void h2_stream_trailers(struct h2_stream *stream, struct h2_head *head, bool end_stream)
{
    struct fields fields, *kept;

    if (stream->stream.user == NULL || stream->end != STREAM_END_COUNT)
        return;
    if (!end_stream || h2_trailers_end(head, stream->arena, &fields) != H2_OK) {
        stream->reader.failed = true;
        h2_stream_reset(stream, NGHTTP2_PROTOCOL_ERROR, STREAM_END_CLIENT_LEFT);
        h2_conn_work(stream->conn, stream);
        return;
    }
    kept = fields.count > 0 ? arena_alloc(stream->arena, sizeof(*kept)) : NULL;
    if (kept != NULL) {
        *kept = fields;
        stream->reader.trailers = kept;
    }
    h2_stream_data_end(stream);
}
