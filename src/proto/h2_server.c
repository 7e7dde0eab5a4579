/* h2_server: HTTP/2 connections of clients (RFC 9113). A connection that is idle is its struct, nghttp2's session and no
 * buffer: bytes arrive in the thread's own, and leave from blocks that are taken when there are some. */
#include "proto/h2_own.h"

#include "base/log.h"

#include <stdlib.h>

#define KEEP_CONNS       1024u
#define KEEP_STREAMS     4096u
#define KEEP_BLOCKS      1024u
#define BODY_BLOCK_BYTES 4096u
#define GOODBYE_MS       1000u /* between the two GOAWAYs of a drain: what was on its way arrives (RFC 9113 6.8) */

static enum conn_state shown_state(enum h2_state state)
{
    switch (state) {
    case H2_STATE_IDLE:
        return CONN_idle;
    case H2_STATE_BUSY:
        return CONN_active;
    case H2_STATE_LINGER:
    case H2_STATE_CLOSING:
        break;
    }
    return CONN_closing;
}

static void conn_set_state(struct h2_conn *conn, enum h2_state state)
{
    server_count_connection(conn->h2->server, shown_state((enum h2_state)conn->state), shown_state(state));
    conn->state = (uint8_t)state;
}

static bool conn_is_open(const struct h2_conn *conn)
{
    return conn->state == H2_STATE_IDLE || conn->state == H2_STATE_BUSY;
}

static void conn_deadline(struct h2_conn *conn, uint32_t ms)
{
    loop_timer_set(h2_loop(conn), &conn->timer, loop_now_ns(h2_loop(conn)) + ms * H2_MS);
}

static void conn_receive(struct h2_conn *conn)
{
    if (conn->receiving)
        return;
    conn->receiving = true;
    net_recv(conn->session.net, NULL, 0);
}

/* ---- ends --------------------------------------------------------------------------------------------------------- */

static void conn_drop_head(struct h2_conn *conn)
{
    if (conn->head == NULL)
        return;
    h2_head_done(conn->head);
    pool_put(&conn->h2->head_pool, conn->head);
    conn->head = NULL;
    conn->head_stream = NULL;
}

/* nghttp2 is asked nothing more; streams are ended when the socket is closed. */
static void conn_end_session(struct h2_conn *conn, enum stream_end end)
{
    conn->end = (uint8_t)end;
    loop_timer_stop(h2_loop(conn), &conn->timer);
    h2_session_end(&conn->session);
    conn_drop_head(conn);
    LIST_FOREACH(&conn->streams, it)
        h2_reader_cut(&container_of(it, struct h2_stream, link)->reader);
}

void h2_conn_close(struct h2_conn *conn, bool reset, enum stream_end end)
{
    if (conn->state == H2_STATE_CLOSING)
        return;
    if (conn_is_open(conn))
        conn_end_session(conn, end);
    conn_set_state(conn, H2_STATE_CLOSING);
    loop_timer_stop(h2_loop(conn), &conn->timer);
    net_close(conn->session.net, reset);
}

/* The GOAWAY is out: read on for a moment, and while what was sent before is still being taken, so that a reset does not
 * overtake it. */
static void conn_linger(struct h2_conn *conn)
{
    if (conn->fin) { /* nothing is to come that an RST could answer */
        h2_conn_close(conn, false, (enum stream_end)conn->end);
        return;
    }
    conn_end_session(conn, (enum stream_end)conn->end);
    conn_set_state(conn, H2_STATE_LINGER);
    net_shutdown(conn->session.net);
    conn->linger = (struct server_linger){0};
    conn_deadline(conn, SERVER_LINGER_MS);
    conn_receive(conn);
}

void h2_conn_terminate(struct h2_conn *conn, uint32_t code, enum stream_end end)
{
    if (!conn_is_open(conn))
        return;
    conn->end = (uint8_t)end;
    if (!conn->is_leaving) {
        conn->is_leaving = true;
        conn->moved_before = conn->session.moved_bytes;
        conn_deadline(conn, conn->h2->server->config.limits->send_idle_ms);
    }
    conn->session.failed = false; /* what was wrong with reading is no reason not to say so */
    nghttp2_session_terminate_session(conn->session.ng, code);
    h2_session_wake(&conn->session);
}

bool h2_conn_charge_reset(struct h2_conn *conn, struct h2_stream *stream)
{
    if (stream != NULL && stream->was_charged)
        return true;
    if (stream != NULL)
        stream->was_charged = true;
    return h2_budget_take(&conn->budget, H2_BUDGET_H2_RESETS_CAUSED, loop_now_ns(h2_loop(conn)));
}

void h2_conn_calm(struct h2_conn *conn, enum stream_limit limit)
{
    conn->is_deaf = true;
    server_count_limit(conn->h2->server, limit);
    h2_conn_terminate(conn, NGHTTP2_ENHANCE_YOUR_CALM, STREAM_END_CLIENT_LEFT);
}

/* ---- between nghttp2's work ------------------------------------------------------------------------------------------ */

void h2_conn_work(struct h2_conn *conn, struct h2_stream *stream)
{
    if (!list_is_linked(&stream->work))
        list_push_back(&conn->work, &stream->work);
}

static void conn_tell(struct h2_conn *conn)
{
    for (struct list *link; (link = list_pop_front(&conn->work)) != NULL;) {
        struct h2_stream *stream = container_of(link, struct h2_stream, work);
        if (stream->closed)
            h2_stream_end(stream);
        else
            h2_reader_tell(&stream->reader);
    }
}

static void conn_idle(struct h2_conn *conn)
{
    conn_set_state(conn, H2_STATE_IDLE);
    conn->linger = (struct server_linger){0};
    conn_deadline(conn, conn->h2->server->config.limits->idle_ms);
    if (conn->is_draining || conn->fin)
        h2_conn_terminate(conn, NGHTTP2_NO_ERROR, STREAM_END_COMPLETE);
}

static void conn_after(struct h2_session *session)
{
    struct h2_conn *conn = session->owner;

    if (!conn_is_open(conn))
        return;
    conn_tell(conn);
    if (session->failed) {
        h2_conn_close(conn, true, (enum stream_end)conn->end);
        return;
    }
    if (conn->budget.exceeded != STREAM_LIMIT_COUNT) {
        h2_conn_calm(conn, (enum stream_limit)conn->budget.exceeded);
        conn->budget.exceeded = STREAM_LIMIT_COUNT;
        return; /* the GOAWAY leaves with the task */
    }
    /* An answer that lies in the output is not out: until then the rates are looked at. */
    if (conn->state == H2_STATE_BUSY && conn->stream_count == 0 && session->out_bytes == 0 && !conn->is_leaving)
        conn_idle(conn);
    if (h2_session_is_flushed(session) && !nghttp2_session_want_read(session->ng))
        conn_linger(conn);
}

/* ---- nghttp2's callbacks: none of them sends ------------------------------------------------------------------------- */

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

    conn_drop_head(conn);
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
        conn_set_state(conn, H2_STATE_BUSY);
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
        conn_drop_head(conn);
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
            conn_deadline(conn, conn->h2->server->config.limits->idle_ms);
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

static nghttp2_session_callbacks *callbacks_new(void)
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

/* ---- what the network and the clock say ---------------------------------------------------------------------------- */

/* nghttp2 will not go on: why, for the client and for the counters. */
static void conn_refuse_bytes(struct h2_conn *conn, ssize_t error)
{
    switch (error) {
    case NGHTTP2_ERR_FLOODED:
        h2_conn_calm(conn, STREAM_LIMIT_H2_OUTPUT);
        break;
    case NGHTTP2_ERR_CALLBACK_FAILURE:
        break; /* the budget: conn_after; or a callback has said what is wrong */
    case NGHTTP2_ERR_NOMEM:
        h2_conn_terminate(conn, NGHTTP2_INTERNAL_ERROR, STREAM_END_ABORTED);
        break;
    default:
        h2_conn_terminate(conn, NGHTTP2_PROTOCOL_ERROR, STREAM_END_CLIENT_LEFT);
    }
    conn->is_deaf = true;
}

static void conn_received_open(struct h2_conn *conn, slice bytes)
{
    h2_budget_scan(&conn->budget, bytes);
    if (!h2_session_receive(&conn->session, bytes))
        conn_refuse_bytes(conn, conn->session.error);
    else if (!h2_budget_unseen(&conn->budget, loop_now_ns(h2_loop(conn))))
        conn->is_deaf = true; /* conn_after says why */
    conn_tell(conn);
    h2_session_pump(&conn->session); /* may be its end */
    if (conn_is_open(conn) && !conn->is_deaf)
        conn_receive(conn);
}

/* The client has said all: what it has asked in full is answered, as over HTTP/1 (docs/decisions/0003). */
static void conn_received_fin(struct h2_conn *conn)
{
    if (conn->state == H2_STATE_IDLE) {
        h2_conn_close(conn, false, STREAM_END_CLIENT_LEFT);
        return;
    }
    conn->fin = true;
    conn_drop_head(conn); /* it will not end */
    LIST_FOREACH_SAFE(&conn->streams, it)
        h2_stream_fin(container_of(it, struct h2_stream, link));
    h2_session_pump(&conn->session);
}

static void conn_received(struct net_stream *net, int32_t result, const char *data)
{
    struct h2_conn *conn = net->owner;

    conn->receiving = false;
    switch ((enum h2_state)conn->state) {
    case H2_STATE_IDLE:
    case H2_STATE_BUSY:
        if (result > 0)
            conn_received_open(conn, slice_of(data, (size_t)result));
        else if (result == 0)
            conn_received_fin(conn);
        else
            h2_conn_close(conn, true, STREAM_END_CLIENT_LEFT);
        break;
    case H2_STATE_LINGER:
        if (server_lingers(&conn->linger, result))
            conn_receive(conn);
        else
            h2_conn_close(conn, false, (enum stream_end)conn->end);
        break;
    case H2_STATE_CLOSING:
        break;
    }
}

static void conn_sent(struct net_stream *net, int32_t result)
{
    struct h2_conn *conn = net->owner;

    if (conn_is_open(conn) && !h2_session_sent(&conn->session, result))
        h2_conn_close(conn, true, STREAM_END_CLIENT_LEFT);
}

static void conn_closed(struct net_stream *net)
{
    struct h2_conn *conn = net->owner;
    struct h2_server *h2 = conn->h2;

    LIST_FOREACH_SAFE(&conn->streams, it)
        h2_stream_end(container_of(it, struct h2_stream, link));
    INVARIANT(conn->stream_count == 0);
    h2_session_done(&conn->session);
    list_remove(&conn->link);
    pool_put(&h2->conn_pool, conn);
    server_connection_gone(h2->server, &net->peer, CONN_closing);
}

static void conn_goodbye(struct h2_conn *conn)
{
    nghttp2_session *ng = conn->session.ng;

    conn->said_goodbye = true;
    nghttp2_submit_goaway(ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(ng), NGHTTP2_NO_ERROR, NULL, 0);
    h2_session_wake(&conn->session);
    h2_rates_watch(conn);
}

/* The last GOAWAY waits behind an answer's bytes. They are no more than fit into the output: this comes to an end. */
static void conn_check_leaving(struct h2_conn *conn)
{
    const struct server_limits *limits = conn->h2->server->config.limits;
    uint64_t moved = conn->session.moved_bytes - conn->moved_before;

    if (moved < (uint64_t)limits->send_min_bytes_per_s * limits->send_idle_ms / 1000) {
        server_count_limit(conn->h2->server, STREAM_LIMIT_SEND_RATE);
        h2_conn_close(conn, true, (enum stream_end)conn->end);
        return;
    }
    conn->moved_before = conn->session.moved_bytes;
    conn_deadline(conn, limits->send_idle_ms);
}

static void conn_waited_idle(struct h2_conn *conn)
{
    struct server *server = conn->h2->server;

    if (server_client_takes(server, conn->session.net, &conn->linger, server->config.limits->idle_ms)) {
        conn_deadline(conn, server->config.limits->idle_ms);
        return;
    }
    server_count_limit(server, STREAM_LIMIT_IDLE_TIME);
    if (conn->greeted)
        h2_conn_terminate(conn, NGHTTP2_NO_ERROR, STREAM_END_COMPLETE);
    else
        h2_conn_close(conn, false, STREAM_END_CLIENT_LEFT);
}

static void conn_timer(struct timer *timer)
{
    struct h2_conn *conn = container_of(timer, struct h2_conn, timer);

    if (conn_is_open(conn) && conn->is_leaving) {
        conn_check_leaving(conn);
        return;
    }
    switch ((enum h2_state)conn->state) {
    case H2_STATE_IDLE:
        conn_waited_idle(conn);
        break;
    case H2_STATE_BUSY:
        if (conn->is_draining && !conn->said_goodbye)
            conn_goodbye(conn);
        else
            h2_rates_check(conn);
        break;
    case H2_STATE_LINGER:
        if (server_client_takes(conn->h2->server, conn->session.net, &conn->linger, SERVER_LINGER_MS))
            conn_deadline(conn, SERVER_LINGER_MS);
        else
            h2_conn_close(conn, false, (enum stream_end)conn->end);
        break;
    case H2_STATE_CLOSING:
        break;
    }
}

/* ---- the server ------------------------------------------------------------------------------------------------------ */

struct h2_server *h2_server_free(struct h2_server *h2)
{
    if (h2 == NULL)
        return NULL;
    nghttp2_session_callbacks_del(h2->callbacks);
    nghttp2_option_del(h2->options);
    h2_memory_done(&h2->memory);
    pool_done(&h2->conn_pool);
    pool_done(&h2->stream_pool);
    pool_done(&h2->head_pool);
    pool_done(&h2->body_pool);
    free(h2);
    return NULL;
}

err h2_server_new(struct server *server, struct h2_server **ret_h2)
{
    struct h2_server *h2 = calloc(1, sizeof(*h2));

    ENSURE(h2 != NULL, MEMORY);
    h2->server = server;
    list_init(&h2->conns);
    h2_memory_init(&h2->memory);
    pool_init(&h2->conn_pool, sizeof(struct h2_conn), KEEP_CONNS);
    pool_init(&h2->stream_pool, sizeof(struct h2_stream), KEEP_STREAMS);
    pool_init(&h2->head_pool, H2_HEAD_BYTES, KEEP_BLOCKS);
    pool_init(&h2->body_pool, BODY_BLOCK_BYTES, KEEP_BLOCKS);
    h2->callbacks = callbacks_new();
    h2->options = h2_session_options();
    if (h2->callbacks == NULL || h2->options == NULL) {
        h2_server_free(h2);
        return ERR(MEMORY);
    }
    *ret_h2 = h2;
    return ERR_OK;
}

static bool conn_greet(struct h2_conn *conn)
{
    const struct server_config *config = &conn->h2->server->config;
    nghttp2_session *ng = conn->session.ng;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, H2_STREAMS_MAX},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, config->limits->head.head_bytes_max},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1}, /* the last: left out where no WebSocket passes */
    };

    return nghttp2_submit_settings(ng, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings) - (config->websocket ? 0 : 1)) == 0 &&
           nghttp2_session_set_local_window_size(ng, NGHTTP2_FLAG_NONE, 0, H2_CONNECTION_WINDOW) == 0;
}

static struct h2_conn *conn_new(struct h2_server *h2, struct net_stream *net)
{
    struct h2_conn *conn = pool_get(&h2->conn_pool);
    struct h2_session_config config = {
        .memory = &h2->memory,
        .net = net,
        .callbacks = h2->callbacks,
        .options = h2->options,
        .is_server = true,
        .owner = conn,
        .after = conn_after,
    };

    if (conn == NULL)
        return NULL;
    memset(conn, 0, sizeof(*conn));
    conn->h2 = h2;
    conn->state = H2_STATE_IDLE;
    conn->end = STREAM_END_CLIENT_LEFT;
    list_init(&conn->link);
    list_init(&conn->streams);
    list_init(&conn->work);
    timer_init(&conn->timer, conn_timer);
    h2_budget_init(&conn->budget, loop_now_ns(h2->server->config.loop));
    if (err_is_ok(h2_session_init(&conn->session, &config)) && conn_greet(conn))
        return conn;
    h2_session_done(&conn->session);
    pool_put(&h2->conn_pool, conn);
    return NULL;
}

void h2_server_adopt(struct h2_server *h2, struct net_stream *stream, slice bytes)
{
    static const struct net_handler handler = {conn_received, conn_sent, NULL, conn_closed};
    struct h2_conn *conn = conn_new(h2, stream);

    if (conn == NULL) {
        server_give_up(h2->server, stream);
        return;
    }
    net_give(stream, &handler, conn);
    list_push_back(&h2->conns, &conn->link);
    conn_deadline(conn, h2->server->config.limits->head_ms);
    if (h2->server->draining) {
        conn->is_draining = true;
        h2_conn_terminate(conn, NGHTTP2_NO_ERROR, STREAM_END_COMPLETE);
    }
    if (bytes.len > 0) {
        conn_received_open(conn, bytes);
        return;
    }
    h2_session_pump(&conn->session);
    conn_receive(conn);
}

void h2_server_drain(struct h2_server *h2)
{
    LIST_FOREACH_SAFE(&h2->conns, it)
    {
        struct h2_conn *conn = container_of(it, struct h2_conn, link);
        conn->is_draining = true;
        if (conn->state == H2_STATE_IDLE) {
            h2_conn_terminate(conn, NGHTTP2_NO_ERROR, STREAM_END_COMPLETE);
        } else if (conn->state == H2_STATE_BUSY && !conn->is_leaving) {
            nghttp2_submit_shutdown_notice(conn->session.ng);
            h2_session_wake(&conn->session);
            conn_deadline(conn, GOODBYE_MS);
        }
    }
}

void h2_server_stop(struct h2_server *h2)
{
    LIST_FOREACH_SAFE(&h2->conns, it)
        h2_conn_close(container_of(it, struct h2_conn, link), true, STREAM_END_SHUTDOWN);
}
