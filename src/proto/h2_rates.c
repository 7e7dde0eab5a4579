/* Looked at every few seconds while there are streams: heads that do not end, bodies that do not come, answers that are
 * not taken. Time counts only against who is waited for. */
#include "proto/h2_own.h"

#define CHECK_MS      5000u
#define STILL_MS      10000u /* an answer's bytes wait and the client opens no window at all */
#define IS_LONG(checks, ms) ((uint64_t)(checks) * CHECK_MS >= (ms))

void h2_rates_watch(struct h2_conn *conn)
{
    conn->checked_ns = loop_now_ns(h2_loop(conn));
    conn->moved_before = conn->session.moved_bytes;
    conn->framed_before = conn->framed_bytes;
    loop_timer_set(h2_loop(conn), &conn->timer, conn->checked_ns + CHECK_MS * H2_MS);
}

static bool is_below(uint64_t bytes, uint32_t bytes_per_s)
{
    return bytes < (uint64_t)bytes_per_s * CHECK_MS / 1000;
}

static uint32_t send_min(const struct h2_conn *conn)
{
    return conn->h2->server->config.limits->send_min_bytes_per_s;
}

/* Bytes wait and the client's windows hold them back: not other streams, which take all that it lets through. */
static bool is_held_back(const struct h2_stream *stream)
{
    const struct h2_conn *conn = stream->conn;
    nghttp2_session *ng = conn->session.ng;

    if (stream->closed || !stream->responded || stream->answered || stream->sender.body == NULL || stream->sender.waiting)
        return false;
    if (nghttp2_session_get_stream_remote_window_size(ng, stream->id) <= 0)
        return true;
    return nghttp2_session_get_remote_window_size(ng) <= 0 && is_below(conn->framed_bytes - conn->framed_before, send_min(conn));
}

static bool has_held_back(const struct h2_conn *conn)
{
    LIST_FOREACH(&conn->streams, it)
        if (is_held_back(container_of(it, struct h2_stream, link)))
            return true;
    return false;
}

/* The network takes nothing, or next to nothing. A look at which windows hold everything back says nothing about the network:
 * neither way of not taking bytes pardons the other. */
static bool connection_is_slow(struct h2_conn *conn)
{
    if (!is_below(conn->session.moved_bytes - conn->moved_before, send_min(conn)))
        conn->slow_checks = 0;
    else if (conn->session.sending)
        conn->slow_checks++;
    else if (!has_held_back(conn))
        conn->slow_checks = 0;
    return IS_LONG(conn->slow_checks, conn->h2->server->config.limits->send_idle_ms);
}

static void stream_check_send(struct h2_stream *stream)
{
    const struct server_limits *limits = stream->conn->h2->server->config.limits;
    uint64_t moved = stream->sender.sent_bytes - stream->sent_before;

    stream->sent_before = stream->sender.sent_bytes;
    if (moved > 0)
        stream->still_checks = 0;
    if (!is_below(moved, limits->send_min_bytes_per_s))
        stream->send_checks = 0;
    if (stream->conn->session.sending)
        return; /* the network's turn: connection_is_slow */
    if (!is_held_back(stream)) {
        stream->send_checks = stream->still_checks = 0;
        return;
    }
    stream->still_checks += moved == 0;
    stream->send_checks += is_below(moved, limits->send_min_bytes_per_s);
    if (stream->is_tunnel) {
        if (IS_LONG(stream->still_checks, limits->tunnel_idle_ms))
            h2_stream_reset(stream, NGHTTP2_CANCEL, STREAM_END_CLIENT_SLOW);
    } else if (IS_LONG(stream->still_checks, STILL_MS)) {
        server_count_limit(stream->conn->h2->server, STREAM_LIMIT_H2_WINDOW);
        h2_stream_reset(stream, NGHTTP2_ENHANCE_YOUR_CALM, STREAM_END_CLIENT_SLOW);
    } else if (IS_LONG(stream->send_checks, limits->send_idle_ms)) {
        server_count_limit(stream->conn->h2->server, STREAM_LIMIT_SEND_RATE);
        h2_stream_reset(stream, NGHTTP2_ENHANCE_YOUR_CALM, STREAM_END_CLIENT_SLOW);
    }
}

/* A call's messages, and what flows both ways, come when they come. */
static bool has_rate(const struct h2_stream *stream)
{
    return !stream->is_tunnel && !stream->is_call && (!stream->responded || stream->reader.left_bytes > 0);
}

static void stream_check_body(struct h2_stream *stream)
{
    const struct server_limits *limits = stream->conn->h2->server->config.limits;
    uint64_t moved = stream->reader.moved_bytes - stream->read_before;
    bool rate = has_rate(stream);

    stream->read_before = stream->reader.moved_bytes;
    if (!h2_reader_is_waiting(&stream->reader) || !is_below(moved, rate ? limits->body_min_bytes_per_s : 1)) {
        stream->read_checks = 0;
        return;
    }
    stream->read_checks++;
    if (!IS_LONG(stream->read_checks, rate ? limits->body_idle_ms : limits->tunnel_idle_ms))
        return;
    server_count_limit(stream->conn->h2->server, rate ? STREAM_LIMIT_BODY_RATE : STREAM_LIMIT_TUNNEL_TIME);
    h2_stream_reset(stream, NGHTTP2_ENHANCE_YOUR_CALM, STREAM_END_CLIENT_SLOW);
}

void h2_rates_check(struct h2_conn *conn)
{
    const struct server_limits *limits = conn->h2->server->config.limits;

    if (conn->head != NULL && loop_now_ns(h2_loop(conn)) - conn->head_begun_ns >= limits->head_ms * H2_MS) {
        server_count_limit(conn->h2->server, STREAM_LIMIT_HEAD_TIME);
        h2_conn_terminate(conn, NGHTTP2_ENHANCE_YOUR_CALM, STREAM_END_CLIENT_SLOW);
        return;
    }
    if (connection_is_slow(conn)) {
        server_count_limit(conn->h2->server, STREAM_LIMIT_SEND_RATE);
        h2_conn_close(conn, true, STREAM_END_CLIENT_SLOW);
        return;
    }
    LIST_FOREACH_SAFE(&conn->streams, it)
    {
        struct h2_stream *stream = container_of(it, struct h2_stream, link);
        if (stream->closed)
            continue;
        stream_check_send(stream);
        stream_check_body(stream);
        if (conn->fin)
            h2_stream_fin(stream); /* an event stream may have come to a stop since */
    }
    h2_rates_watch(conn);
}
