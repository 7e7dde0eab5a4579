/* What nghttp2 tells of a client's connection, and what that means for its streams. None of it sends: what is to go out leaves
 * behind the batch. */
#include "proto/h2_own.h"

#include "base/log.h"

static struct h2_conn *conn_of(void *user)
{
    return ((struct h2_session *)user)->owner;
}

static struct h2_stream *stream_of(nghttp2_session *ng, int32_t id)
{
    return nghttp2_session_get_stream_user_data(ng, id);
}

/* For a stream that nobody listens to any more. One that opens is remembered. */
static bool is_late(struct h2_conn *conn, const nghttp2_frame_hd *head)
{
    struct h2_stream *stream;

    if (head->type != NGHTTP2_DATA && head->type != NGHTTP2_HEADERS)
        return false;
    stream = stream_of(conn->session.ng, head->stream_id);
    if (stream != NULL)
        return stream->closed || stream->end != STREAM_END_COUNT;
    if (head->stream_id <= conn->priorities.last_id)
        return true;
    conn->priorities.last_id = head->stream_id;
    return false;
}

static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *head, void *user)
{
    struct h2_conn *conn = conn_of(user);

    (void)ng;
    return h2_budget_frame(&conn->budget, head, is_late(conn, head), loop_now_ns(h2_loop(conn))) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static void head_begin(struct h2_conn *conn, struct h2_stream *stream, enum h2_head_kind kind, const struct h1_limits *limits)
{
    void *block = pool_get(&conn->h2->head_pool);

    conn->head_begun_ns = loop_now_ns(h2_loop(conn));
    if (block == NULL) {
        /* not processed (RFC 9113 8.7), or at the origin already */
        h2_stream_reset(stream, kind == H2_HEAD_REQUEST ? NGHTTP2_REFUSED_STREAM : NGHTTP2_INTERNAL_ERROR, STREAM_END_ABORTED);
        return;
    }
    conn->head = h2_head_init(block, H2_HEAD_BYTES, kind, limits);
    conn->head_stream = stream;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct h2_conn *conn = conn_of(user);
    struct h2_stream *stream;
    struct priority priority;

    h2_conn_drop_head(conn);
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        stream = stream_of(ng, frame->hd.stream_id);
        if (stream != NULL && stream->asked)
            head_begin(conn, stream, H2_HEAD_TRAILERS, &h2_trailer_limits);
        return 0;
    }
    stream = h2_stream_new(conn, frame->hd.stream_id);
    if (stream == NULL) {
        nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
        return h2_conn_charge_reset(conn, NULL) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    nghttp2_session_set_stream_user_data(ng, frame->hd.stream_id, stream);
    if (h2_priority_open(&conn->priorities, frame->hd.stream_id, &priority))
        h2_stream_reprioritize(stream, priority);
    if (conn->state == H2_STATE_IDLE) {
        h2_conn_set_state(conn, H2_STATE_BUSY);
        h2_rates_watch(conn);
    }
    head_begin(conn, stream, H2_HEAD_REQUEST, &conn->h2->server->config.limits->head);
    return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, nghttp2_rcbuf *name, nghttp2_rcbuf *value,
                     uint8_t flags, void *user)
{
    struct h2_conn *conn = conn_of(user);
    nghttp2_vec n, v;

    (void)ng, (void)frame, (void)flags;
    if (conn->head == NULL)
        return 0;
    n = nghttp2_rcbuf_get_buf(name);
    v = nghttp2_rcbuf_get_buf(value);
    h2_head_add(conn->head, slice_of((const char *)n.base, n.len), slice_of((const char *)v.base, v.len));
    return 0;
}

static void headers_received(struct h2_conn *conn, const nghttp2_frame *frame)
{
    struct h2_stream *stream = conn->head_stream;
    struct h2_head *head = conn->head;
    bool end_stream = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

    if (head == NULL || stream == NULL) {
        h2_conn_drop_head(conn);
        return;
    }
    conn->head = NULL; /* ours, whatever the request leads to */
    conn->head_stream = NULL;
    if (head->kind == H2_HEAD_REQUEST)
        h2_stream_ask(stream, head, end_stream);
    else
        h2_stream_trailers(stream, head, end_stream);
    h2_head_done(head);
    pool_put(&conn->h2->head_pool, head);
}

/* RFC 9113 10.5: frames that carry nothing. */
static int data_received(struct h2_conn *conn, const nghttp2_frame *frame)
{
    struct h2_stream *stream = stream_of(conn->session.ng, frame->hd.stream_id);
    bool end_stream = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

    if (!end_stream && frame->hd.length == frame->data.padlen &&
        !h2_budget_take(&conn->budget, H2_BUDGET_H2_EMPTY, loop_now_ns(h2_loop(conn))))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (end_stream && stream != NULL)
        h2_stream_data_end(stream);
    return 0;
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct h2_conn *conn = conn_of(user);

    (void)ng;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        headers_received(conn, frame);
        return 0;
    case NGHTTP2_DATA:
        return data_received(conn, frame);
    case NGHTTP2_SETTINGS:
        if (!conn->greeted && conn->state == H2_STATE_IDLE && !conn->is_leaving)
            h2_conn_deadline(conn, conn->h2->server->config.limits->idle_ms);
        conn->greeted = true;
        return 0;
    default:
        return 0;
    }
}

/* nghttp2 ends the connection itself when it is told of more streams than the client was allowed, once the client knew;
 * before that, and for errors of a stream, it has a reset in its queue now. */
static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *user)
{
    struct h2_conn *conn = conn_of(user);

    if (frame->hd.type == NGHTTP2_HEADERS && conn->stream_count >= H2_STREAMS_MAX)
        server_count_limit(conn->h2->server, STREAM_LIMIT_H2_STREAMS);
    log_debug("HTTP/2: frame of type %u on stream %d: %s", frame->hd.type, (int)frame->hd.stream_id, nghttp2_strerror(error));
    if (frame->hd.stream_id == 0)
        return 0;
    return h2_conn_charge_reset(conn, stream_of(ng, frame->hd.stream_id)) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *user)
{
    struct h2_stream *stream = stream_of(ng, id);

    (void)flags, (void)user;
    if (stream == NULL)
        nghttp2_session_consume(ng, id, len);
    else
        h2_stream_data(stream, slice_of((const char *)data, len));
    return 0;
}

/* nghttp2's own resets, of which it says nothing before (DATA beyond the window): one for a stream that is there. */
static void reset_sent(struct h2_conn *conn, struct h2_stream *stream, uint32_t code)
{
    if (stream != NULL && h2_is_charged(code) && !h2_conn_charge_reset(conn, stream))
        h2_session_wake(&conn->session); /* conn_after ends it */
}

/* Bytes that window updates and pings may answer. A frame that is short because there was no more of the body (a gRPC message) may
 * have a window update for the stream, one for the connection and a ping all the same; one that is short because the window was, may not. */
static uint64_t data_worth(nghttp2_session *ng, const nghttp2_frame *frame)
{
    bool was_open = nghttp2_session_get_stream_remote_window_size(ng, frame->hd.stream_id) > 0 &&
                    nghttp2_session_get_remote_window_size(ng) > 0;

    return was_open ? MAX(frame->hd.length, MAX((size_t)2 * H2_WINDOW_BYTES, (size_t)H2_PING_BYTES)) : frame->hd.length;
}

static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct h2_conn *conn = conn_of(user);
    struct h2_stream *stream;

    switch (frame->hd.type) {
    case NGHTTP2_RST_STREAM:
        reset_sent(conn, stream_of(ng, frame->hd.stream_id), frame->rst_stream.error_code);
        return 0;
    case NGHTTP2_DATA:
        conn->framed_bytes += frame->hd.length;
        conn->budget.sent_bytes += data_worth(ng, frame);
        break;
    case NGHTTP2_HEADERS:
        break;
    default:
        return 0;
    }
    if (frame->hd.type == NGHTTP2_DATA && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
        return 0;
    stream = stream_of(ng, frame->hd.stream_id);
    if (stream == NULL)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS)
        h2_stream_head_sent(stream, &frame->headers);
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
        h2_stream_answered(stream);
    return 0;
}

/* A head or trailers that are too large for nghttp2, or cannot be compressed: nobody may wait for them. Of a stream that is
 * over already nothing is sent, and that is as it should be. */
static int on_frame_not_send(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *user)
{
    struct h2_stream *stream = stream_of(ng, frame->hd.stream_id);
    bool is_over = error == NGHTTP2_ERR_STREAM_CLOSED || error == NGHTTP2_ERR_STREAM_CLOSING ||
                   error == NGHTTP2_ERR_STREAM_SHUT_WR || error == NGHTTP2_ERR_SESSION_CLOSING;

    (void)user;
    if (frame->hd.type == NGHTTP2_HEADERS && stream != NULL && !is_over)
        h2_stream_reset(stream, NGHTTP2_INTERNAL_ERROR, STREAM_END_BODY_FAILED);
    return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user)
{
    struct h2_stream *stream = stream_of(ng, id);

    (void)code, (void)user;
    if (stream != NULL)
        h2_stream_closed(stream);
    return 0;
}

static int on_extension_chunk(nghttp2_session *ng, const nghttp2_frame_hd *head, const uint8_t *data, size_t len, void *user)
{
    (void)ng;
    if (head->type == NGHTTP2_PRIORITY_UPDATE)
        h2_priority_chunk(&conn_of(user)->priorities, slice_of((const char *)data, len));
    return 0;
}

/* PRIORITY_UPDATE is all the extensions there are; of others it counts that they come. */
static int on_extension(nghttp2_session *ng, void **ret_payload, const nghttp2_frame_hd *head, void *user)
{
    struct h2_conn *conn = conn_of(user);
    struct priority priority;
    struct h2_stream *stream;
    int32_t id;

    *ret_payload = NULL;
    if (head->type != NGHTTP2_PRIORITY_UPDATE)
        return NGHTTP2_ERR_CANCEL;
    switch (h2_priority_end(&conn->priorities, head->stream_id, &id, &priority)) {
    case H2_PRIORITY_IS:
        stream = stream_of(ng, id);
        if (stream != NULL)
            h2_stream_reprioritize(stream, priority);
        break;
    case H2_PRIORITY_IGNORED:
        break;
    case H2_PRIORITY_SHORT:
        h2_conn_terminate(conn, NGHTTP2_FRAME_SIZE_ERROR, STREAM_END_CLIENT_LEFT);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    case H2_PRIORITY_INVALID:
        h2_conn_terminate(conn, NGHTTP2_PROTOCOL_ERROR, STREAM_END_CLIENT_LEFT);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
}

nghttp2_session_callbacks *h2_events_callbacks(void)
{
    nghttp2_session_callbacks *callbacks = h2_session_callbacks();

    if (callbacks == NULL)
        return NULL;
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_extension_chunk_recv_callback(callbacks, on_extension_chunk);
    nghttp2_session_callbacks_set_unpack_extension_callback(callbacks, on_extension);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, h2_sender_send_data);
    return callbacks;
}
