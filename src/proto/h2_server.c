/* h2_server: HTTP/2 connections of clients (RFC 9113). A connection that is idle is its struct, nghttp2's session and no
 * buffer: bytes arrive in the thread's own, and leave from blocks that are taken when there are some. */
#include "proto/h2_own.h"

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

void h2_conn_set_state(struct h2_conn *conn, enum h2_state state)
{
    server_count_connection(conn->h2->server, shown_state((enum h2_state)conn->state), shown_state(state));
    conn->state = (uint8_t)state;
}

static bool conn_is_open(const struct h2_conn *conn)
{
    return conn->state == H2_STATE_IDLE || conn->state == H2_STATE_BUSY;
}

void h2_conn_deadline(struct h2_conn *conn, uint32_t ms)
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

void h2_conn_drop_head(struct h2_conn *conn)
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
    h2_conn_drop_head(conn);
    LIST_FOREACH(&conn->streams, it)
        h2_reader_cut(&container_of(it, struct h2_stream, link)->reader);
}

void h2_conn_close(struct h2_conn *conn, bool reset, enum stream_end end)
{
    if (conn->state == H2_STATE_CLOSING)
        return;
    if (conn_is_open(conn))
        conn_end_session(conn, end);
    h2_conn_set_state(conn, H2_STATE_CLOSING);
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
    h2_conn_set_state(conn, H2_STATE_LINGER);
    net_shutdown(conn->session.net);
    conn->linger = (struct server_linger){0};
    h2_conn_deadline(conn, SERVER_LINGER_MS);
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
        h2_conn_deadline(conn, conn->h2->server->config.limits->send_idle_ms);
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
    h2_conn_set_state(conn, H2_STATE_IDLE);
    conn->linger = (struct server_linger){0};
    h2_conn_deadline(conn, conn->h2->server->config.limits->idle_ms);
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
    h2_conn_drop_head(conn); /* it will not end */
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
    h2_conn_deadline(conn, limits->send_idle_ms);
}

static void conn_waited_idle(struct h2_conn *conn)
{
    struct server *server = conn->h2->server;

    if (server_client_takes(server, conn->session.net, &conn->linger, server->config.limits->idle_ms)) {
        h2_conn_deadline(conn, server->config.limits->idle_ms);
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
            h2_conn_deadline(conn, SERVER_LINGER_MS);
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
    h2->callbacks = h2_events_callbacks();
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
    h2_conn_deadline(conn, h2->server->config.limits->head_ms);
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
            h2_conn_deadline(conn, GOODBYE_MS);
        }
    }
}

void h2_server_stop(struct h2_server *h2)
{
    LIST_FOREACH_SAFE(&h2->conns, it)
        h2_conn_close(container_of(it, struct h2_conn, link), true, STREAM_END_SHUTDOWN);
}
