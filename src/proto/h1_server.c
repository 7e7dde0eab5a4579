#include "proto/server_own.h"
#include "base/log.h"
#include "http/h1_write.h"
#include "proto/h1_reader.h"
#include "proto/h1_writer.h"

#include <stdlib.h>

#define HEAD_BUFFER_BYTES  4096u
#define PIPELINE_BYTES_MAX (64u << 10) /* of one connection, received ahead of their turn */
#define RATE_CHECK_NS      UINT64_C(10000000000)
#define MS                 UINT64_C(1000000)

enum h1_state { H1_STATE_IDLE, H1_STATE_HEAD, H1_STATE_BUSY, H1_STATE_LINGER, H1_STATE_CLOSING };

struct h1_conn;

/* What a connection has only while a request is under way. One that waits for its answer is this and no more, which
 * counts where thousands wait for one fill. */
struct h1_exchange {
    struct server_stream stream;
    struct h1_conn *conn;
    struct h1_reader *reader; /* NULL: the request has no body (and is no tunnel) */
    struct h1_writer *writer; /* NULL: nothing was sent yet */
    struct source *answer; /* owned; NULL: none */
    uint64_t moved_before; /* bytes moved at the last rate check */
    uint32_t slow_checks;  /* in a row */
    enum stream_end end;   /* why, once the connection is closing */
    bool http10, keep_alive, expects_continue, responded, tunnel, refused;
};

struct h1_conn {
    struct net_stream *net;
    struct server *server;
    struct h1_exchange *exchange;
    struct h1_inbuf in;
    struct h1_finder finder;
    struct list link; /* in server->conns */
    struct timer timer;
    uint64_t head_begun_ns;
    struct server_linger linger;
    uint8_t state;
    bool receiving; /* a receive of the connection's own, not of the body's reader */
    bool fin;
    bool served; /* a request was begun: too late for the preface of HTTP/2 */
};

struct h1_server {
    struct server *server;
    struct list conns;
    struct pool conn_pool, exchange_pool, reader_pool, writer_pool, head_pool, iov_pool;
};

static void conn_next(struct h1_conn *conn);
static void conn_close(struct h1_conn *conn, bool reset);

static enum conn_state shown_state(enum h1_state state)
{
    switch (state) {
    case H1_STATE_IDLE:
        return CONN_idle;
    case H1_STATE_HEAD:
    case H1_STATE_BUSY:
        return CONN_active;
    case H1_STATE_LINGER:
    case H1_STATE_CLOSING:
        break;
    }
    return CONN_closing;
}

static void conn_set_state(struct h1_conn *conn, enum h1_state state)
{
    server_count_connection(conn->server, shown_state((enum h1_state)conn->state), shown_state(state));
    conn->state = (uint8_t)state;
}

static void conn_deadline(struct h1_conn *conn, uint32_t ms)
{
    loop_timer_set(conn->server->config.loop, &conn->timer, loop_now_ns(conn->server->config.loop) + ms * MS);
}

static struct loop *conn_loop(const struct h1_conn *conn)
{
    return conn->server->config.loop;
}

/* ---- the exchange: writing ---------------------------------------------------------------------------- */

static struct h1_exchange *exchange_of(struct server_stream *stream)
{
    return container_of(stream, struct h1_exchange, stream);
}

static bool body_is_complete(const struct h1_exchange *exchange)
{
    return exchange->reader == NULL || exchange->reader->complete;
}

static bool body_is_receiving(const struct h1_exchange *exchange)
{
    return exchange->reader != NULL && exchange->reader->receiving;
}

static bool answer_is_sending(const struct h1_exchange *exchange)
{
    return exchange->writer != NULL && exchange->writer->sending;
}

static bool answer_is_waiting(const struct h1_exchange *exchange)
{
    return exchange->writer != NULL && exchange->writer->waiting;
}

static uint64_t exchange_moved_bytes(const struct h1_exchange *exchange)
{
    return (exchange->writer != NULL ? exchange->writer->moved_bytes : 0) +
           (exchange->reader != NULL ? exchange->reader->moved_bytes : 0);
}

/* The rates are looked at while bytes wait for the client, and only then (security.md section 3). */
static void conn_watch_rates(struct h1_conn *conn)
{
    struct h1_exchange *exchange = conn->exchange;

    exchange->moved_before = exchange_moved_bytes(exchange);
    loop_timer_set(conn_loop(conn), &conn->timer, loop_now_ns(conn_loop(conn)) + RATE_CHECK_NS);
}

/* Notices a client that leaves, and takes in what it sends early; holds no buffer until then. */
static void conn_watch_client(struct h1_conn *conn)
{
    if (conn->receiving || body_is_receiving(conn->exchange) || conn->fin || conn->in.end > conn->in.start ||
        !body_is_complete(conn->exchange))
        return;
    conn->receiving = true;
    net_recv(conn->net, NULL, 0);
}

static void exchange_drop_writer(struct h1_exchange *exchange)
{
    struct h1_writer *writer = exchange->writer;

    if (writer == NULL)
        return;
    exchange->stream.sent_bytes = writer->sent_bytes;
    if (writer->head.bytes != NULL)
        writer->head_done(writer);
    h1_writer_done(writer);
    pool_put(&exchange->conn->server->h1->writer_pool, writer);
    exchange->writer = NULL;
}

/* Nothing of it is under way at the socket any more. */
static void exchange_end(struct h1_exchange *exchange, enum stream_end end)
{
    struct h1_conn *conn = exchange->conn;
    struct server *server = conn->server;
    void *user = exchange->stream.user;

    exchange->answer = source_close(exchange->answer);
    exchange_drop_writer(exchange);
    conn->exchange = NULL;
    server->config.events->ended(user, end);
    pool_put(&server->h1->reader_pool, exchange->reader); /* ended() is the last to look at the request's body */
    pool_put(&server->h1->exchange_pool, exchange);
}

static void conn_linger(struct h1_conn *conn)
{
    conn_set_state(conn, H1_STATE_LINGER);
    h1_inbuf_done(&conn->in);
    net_shutdown(conn->net);
    conn->linger = (struct server_linger){0};
    conn_deadline(conn, SERVER_LINGER_MS);
    if (!conn->receiving) {
        conn->receiving = true;
        net_recv(conn->net, NULL, 0);
    }
}

/* The answer is out. A body that was not read to its end is in the way of the next request: close
 * (security.md rule 3), reading on for a moment so that a reset does not overtake the answer. */
static void exchange_complete(struct h1_exchange *exchange)
{
    struct h1_conn *conn = exchange->conn;
    bool unread = !body_is_complete(exchange) || exchange->refused;
    bool close = unread || !exchange->keep_alive || conn->fin || conn->server->draining;

    if (body_is_receiving(exchange) && !net_recv_cancel(conn->net)) {
        exchange->end = STREAM_END_COMPLETE;
        conn_close(conn, false);
        return;
    }
    exchange_end(exchange, STREAM_END_COMPLETE);
    if (!close)
        conn_next(conn);
    else if (unread && !conn->fin)
        conn_linger(conn);
    else
        conn_close(conn, false);
}

/* Ended in the middle: the client must see that. The rest follows when the socket is closed. */
static void exchange_failed(struct h1_exchange *exchange, enum stream_end end)
{
    if (exchange->conn->state == H1_STATE_CLOSING)
        return;
    exchange->end = end;
    conn_close(exchange->conn, true);
}

static void writer_done(struct h1_writer *writer, enum h1_write_end end)
{
    struct h1_exchange *exchange = writer->owner;

    switch (end) {
    case H1_WRITE_COMPLETE:
        exchange_complete(exchange);
        break;
    case H1_WRITE_NET_FAILED:
        exchange_failed(exchange, STREAM_END_CLIENT_LEFT);
        break;
    case H1_WRITE_BODY_FAILED:
        exchange_failed(exchange, STREAM_END_BODY_FAILED);
        break;
    }
}

static void head_done(struct h1_writer *writer)
{
    struct h1_exchange *exchange = writer->owner;
    char *bytes = (char *)(uintptr_t)writer->head.bytes;

    if (writer->head.len <= HEAD_BUFFER_BYTES)
        pool_put(&exchange->conn->server->h1->head_pool, bytes);
    else
        free(bytes);
    writer->head.bytes = NULL;
}

static void answer_ready(void *reader)
{
    struct h1_exchange *exchange = reader;
    struct h1_conn *conn = exchange->conn;

    if (conn->state == H1_STATE_CLOSING)
        return;
    h1_writer_pump(exchange->writer); /* at the end of a raw body the exchange is gone after this */
    if (conn->exchange == exchange && answer_is_sending(exchange) && !timer_is_set(&conn->timer))
        conn_watch_rates(conn);
}

/* False: no memory. */
static bool exchange_need_writer(struct h1_exchange *exchange)
{
    struct server *server = exchange->conn->server;

    if (exchange->writer != NULL)
        return true;
    exchange->writer = pool_get(&server->h1->writer_pool);
    if (exchange->writer == NULL)
        return false;
    h1_writer_init(exchange->writer, exchange->conn->net, &server->h1->iov_pool);
    exchange->writer->owner = exchange;
    exchange->writer->done = writer_done;
    exchange->writer->head_done = head_done;
    return true;
}

/* False: no memory. A body of kind BODY_NONE is complete at once. */
static bool exchange_need_reader(struct h1_exchange *exchange, enum body_kind kind, uint64_t length_bytes,
                                 struct arena *arena)
{
    struct h1_conn *conn = exchange->conn;

    if (exchange->reader == NULL)
        exchange->reader = pool_get(&conn->server->h1->reader_pool);
    if (exchange->reader == NULL)
        return false;
    h1_reader_init(exchange->reader, conn->net, &conn->in, kind, length_bytes, arena);
    exchange->reader->owner = exchange;
    return true;
}

static enum h1_body answer_body(const struct h1_exchange *exchange, const struct reply *reply,
                                const struct source *body)
{
    if (reply->status == 101)
        return H1_BODY_RAW;
    if (reply->no_body || body == NULL)
        return H1_BODY_NONE;
    if (reply->length_bytes >= 0)
        return H1_BODY_LENGTH;
    return exchange->http10 ? H1_BODY_RAW : H1_BODY_CHUNKED;
}

/* The framing fields of an answer. One without a body still announces the length it would have. */
static struct h1_framing answer_fields(const struct h1_exchange *exchange, const struct reply *reply,
                                       enum h1_body framing)
{
    struct h1_framing wire = {.body = BODY_NONE, .connection = H1_CONNECTION_DEFAULT};

    if (framing == H1_BODY_CHUNKED) {
        wire.body = BODY_CHUNKED;
    } else if (reply->length_bytes >= 0 && reply->status >= 200 && reply->status != 204) {
        wire.body = BODY_LENGTH;
        wire.length_bytes = (uint64_t)reply->length_bytes;
    }
    if (framing == H1_BODY_RAW && reply->status == 101)
        wire.connection = H1_CONNECTION_WEBSOCKET;
    else if (!exchange->keep_alive)
        wire.connection = H1_CONNECTION_CLOSE;
    else if (exchange->http10)
        wire.connection = H1_CONNECTION_KEEP_ALIVE;
    return wire;
}

/* Writes the head into memory that head_done gives back; data NULL when there is none. */
static slice answer_head(struct h1_exchange *exchange, const struct reply *reply, enum h1_body framing)
{
    struct server *server = exchange->conn->server;
    struct h1_framing wire = answer_fields(exchange, reply, framing);
    char *buffer = pool_get(&server->h1->head_pool);
    size_t len;

    if (buffer == NULL)
        return SLICE_NONE;
    len = h1_write_response(buffer, HEAD_BUFFER_BYTES, reply->status, reply->stored, reply->added, &wire);
    if (len <= HEAD_BUFFER_BYTES)
        return slice_of(buffer, len);
    pool_put(&server->h1->head_pool, buffer);
    buffer = malloc(len);
    if (buffer == NULL)
        return SLICE_NONE;
    len = h1_write_response(buffer, len, reply->status, reply->stored, reply->added, &wire);
    return slice_of(buffer, len);
}

static void stream_respond_h1(struct server_stream *stream, const struct reply *reply, struct source *body)
{
    struct h1_exchange *exchange = exchange_of(stream);
    struct h1_conn *conn = exchange->conn;
    enum h1_body framing = answer_body(exchange, reply, body);
    slice head;

    INVARIANT(!exchange->responded);
    INVARIANT(body != NULL || reply->no_body || reply->length_bytes == 0 || reply->status == 101);
    exchange->responded = true;
    exchange->tunnel = reply->status == 101;
    INVARIANT(!exchange->tunnel || exchange->reader != NULL); /* it was asked for: conn_request */
    if (exchange->tunnel)
        stream->body = &exchange->reader->source;
    if (conn->state == H1_STATE_CLOSING || !exchange_need_writer(exchange)) {
        exchange->answer = body;
        exchange_failed(exchange, STREAM_END_BODY_FAILED); /* unless the end is under way already and will be told */
        return;
    }
    /* An answer that comes before the request's body was read: nothing says that the rest will come soon. */
    if (reply->close || conn->server->draining || conn->fin || !body_is_complete(exchange) || exchange->tunnel ||
        (framing == H1_BODY_RAW && exchange->http10))
        exchange->keep_alive = exchange->tunnel;
    exchange->answer = body;
    head = answer_head(exchange, reply, framing);
    if (head.data == NULL) {
        loop_defer(conn_loop(conn), &exchange->writer->failed); /* no memory: the client sees a reset */
        return;
    }
    if (exchange->tunnel) {
        exchange->keep_alive = false;
        h1_reader_make_raw(exchange->reader);
        if (conn->receiving && net_recv_cancel(conn->net))
            conn->receiving = false;
    }
    if (framing == H1_BODY_NONE && body != NULL)
        exchange->answer = source_close(body);
    if (exchange->answer != NULL)
        source_set_reader(exchange->answer, answer_ready, exchange);
    exchange->writer->head_room = head.len < HEAD_BUFFER_BYTES ? HEAD_BUFFER_BYTES - (uint32_t)head.len : 0;
    h1_writer_begin(exchange->writer, head, exchange->answer, framing,
                    framing == H1_BODY_LENGTH ? (uint64_t)reply->length_bytes : 0);
    if (answer_is_waiting(exchange))
        conn_watch_client(conn);
    conn_watch_rates(conn);
}

static void stream_interim_h1(struct server_stream *stream, uint16_t status, const struct fields *fields)
{
    struct h1_exchange *exchange = exchange_of(stream);
    char head[4096];
    size_t len;

    if (exchange->http10 || exchange->responded || exchange->conn->state == H1_STATE_CLOSING)
        return;
    if (status == 100)
        exchange->expects_continue = false;
    len = h1_write_response(head, sizeof(head), status, NULL, fields, &(struct h1_framing){.body = BODY_NONE});
    if (len <= sizeof(head) &&
        (!exchange_need_writer(exchange) || !h1_writer_interim(exchange->writer, slice_of(head, len))))
        log_debug("a %u answer did not fit and was dropped", status);
}

static void stream_abort_h1(struct server_stream *stream)
{
    exchange_failed(exchange_of(stream), STREAM_END_ABORTED);
}

/* The body is wanted: a client that waits for 100 is told to go on (RFC 9110 10.1.1). */
static void body_first_pull(struct h1_reader *reader)
{
    struct h1_exchange *exchange = reader->owner;

    if (exchange->conn->state == H1_STATE_CLOSING)
        return;
    conn_watch_rates(exchange->conn); /* from now on the client is waited for */
    if (exchange->expects_continue && !exchange->responded)
        stream_interim_h1(&exchange->stream, 100, NULL);
}

/* All of the request is here: from now on a client that leaves is noticed at once, not when it is answered. */
static void body_at_end(struct h1_reader *reader)
{
    struct h1_exchange *exchange = reader->owner;

    if (exchange->conn->state == H1_STATE_BUSY && !exchange->responded && !exchange->tunnel && !reader->fin)
        conn_watch_client(exchange->conn);
}

/* ---- the connection: heads ------------------------------------------------------------------------------ */

static bool exchange_begin(struct h1_conn *conn, struct arena **ret_arena)
{
    static const struct server_stream_ops ops = {stream_interim_h1, stream_respond_h1, stream_abort_h1};
    struct server *server = conn->server;
    struct h1_exchange *exchange = pool_get(&server->h1->exchange_pool);

    if (exchange == NULL)
        return false;
    exchange->conn = conn;
    exchange->stream = (struct server_stream){
        .ops = &ops,
        .loop = server->config.loop,
        .net = conn->net,
        .begun_ns = conn->head_begun_ns,
    };
    exchange->reader = NULL;
    exchange->writer = NULL;
    exchange->answer = NULL;
    exchange->moved_before = 0;
    exchange->slow_checks = 0;
    exchange->end = STREAM_END_COMPLETE;
    exchange->http10 = exchange->keep_alive = exchange->expects_continue = false;
    exchange->responded = exchange->tunnel = exchange->refused = false;
    exchange->stream.user = server->config.events->begin(server->config.context, &exchange->stream, ret_arena);
    if (exchange->stream.user == NULL) {
        pool_put(&server->h1->exchange_pool, exchange);
        return false;
    }
    conn->exchange = exchange;
    conn_set_state(conn, H1_STATE_BUSY);
    return true;
}

/* The head cannot be accepted: WARP's own answer, then the connection ends. */
static void conn_refuse(struct h1_conn *conn, enum h1_error error)
{
    struct arena *arena;

    if (!exchange_begin(conn, &arena)) {
        conn_close(conn, true);
        return;
    }
    conn->exchange->refused = true;
    conn->server->config.events->refused(conn->exchange->stream.user, error, h1_error_status(error),
                                         h1_error_word(error), h1_error_text(error));
}

static void conn_refuse_timeout(struct h1_conn *conn)
{
    struct arena *arena;

    server_count_limit(conn->server, STREAM_LIMIT_HEAD_TIME);
    if (conn->receiving && net_recv_cancel(conn->net))
        conn->receiving = false;
    if (!exchange_begin(conn, &arena)) {
        conn_close(conn, true);
        return;
    }
    conn->exchange->refused = true;
    conn->server->config.events->refused(conn->exchange->stream.user, stream_refusals_count - 1, 408, "head-timeout",
                                         "The head of the request did not arrive in time.");
}

/* The beginning of HTTP/2's preface, which looks like a head. (RFC 9113 3.4) */
#define H2_PREFACE SLICE("PRI * HTTP/2.0\r\n\r\n")

/* The client speaks HTTP/2 with prior knowledge: the stream changes hands, with all that it brought. */
static void conn_give_to_h2(struct h1_conn *conn, slice head, slice rest)
{
    struct server *server = conn->server;
    struct net_stream *stream = conn->net;
    struct h1_inbuf in = conn->in;
    slice bytes = {head.data, in.bytes != NULL ? in.end - in.start : head.len + rest.len};

    conn->in = (struct h1_inbuf){0};
    loop_timer_stop(conn_loop(conn), &conn->timer);
    conn_set_state(conn, H1_STATE_IDLE);
    list_remove(&conn->link);
    pool_put(&server->h1->conn_pool, conn);
    h2_server_adopt(server->h2, stream, bytes);
    h1_inbuf_done(&in);
}

/* A complete head lies in `head`; what follows it is in the inbuf or not here yet. */
static void conn_request(struct h1_conn *conn, slice head, slice rest)
{
    struct server *server = conn->server;
    struct request request;
    struct h1_exchange *exchange;
    struct arena *arena;
    enum h1_error error;

    if (slice_eq(head, H2_PREFACE) && !conn->served && conn->net->scheme == NET_PLAIN) {
        conn_give_to_h2(conn, head, rest);
        return;
    }
    conn->served = true;
    if (!exchange_begin(conn, &arena)) {
        conn_close(conn, true);
        return;
    }
    exchange = conn->exchange;
    error = h1_parse_request(head, &server->config.limits->head, conn->net->scheme == NET_TLS, arena, &request);
    if (error != H1_OK) {
        exchange->refused = true;
        server->config.events->refused(exchange->stream.user, error, h1_error_status(error), h1_error_word(error),
                                       h1_error_text(error));
        return;
    }
    if (conn->in.end > conn->in.start)
        h1_inbuf_consume(&conn->in, (uint32_t)head.len);
    else if (rest.len > 0 && !h1_inbuf_append(&conn->in, rest, PIPELINE_BYTES_MAX)) {
        stream_abort_h1(&exchange->stream);
        return;
    }
    exchange->http10 = request.minor == 0;
    exchange->keep_alive = request.keep_alive;
    exchange->expects_continue = request.expect_continue;
    if ((request.body != BODY_NONE || request.upgrade_websocket) &&
        !exchange_need_reader(exchange, request.body, request.length_bytes, arena)) {
        stream_abort_h1(&exchange->stream);
        return;
    }
    if (request.body != BODY_NONE) {
        exchange->reader->first_pull = body_first_pull;
        exchange->reader->at_end = body_at_end;
        if (!exchange->reader->complete)
            exchange->stream.body = &exchange->reader->source;
    }
    server->config.events->request(exchange->stream.user, &request);
    if (conn->state == H1_STATE_BUSY && conn->exchange == exchange && !exchange->responded)
        conn_watch_client(conn);
}

/* data: all bytes at hand, the first of them where they began. True when a request (or a refusal) came of it. */
static bool conn_try_head(struct h1_conn *conn, slice data, bool in_inbuf)
{
    enum h1_error error = H1_OK;

    if (conn->state == H1_STATE_IDLE) {
        conn_set_state(conn, H1_STATE_HEAD);
        conn->head_begun_ns = loop_now_ns(conn_loop(conn));
        conn->finder = (struct h1_finder){0};
    }
    switch (h1_head_find(&conn->finder, data, &conn->server->config.limits->head, &error)) {
    case H1_FIND_MORE: /* in all from its first byte, however it drips */
        loop_timer_set(conn_loop(conn), &conn->timer, conn->head_begun_ns + conn->server->config.limits->head_ms * MS);
        return false;
    case H1_FIND_REFUSED:
        conn_refuse(conn, error);
        return true;
    case H1_FIND_FOUND:
        break;
    }
    if (in_inbuf)
        h1_inbuf_consume(&conn->in, conn->finder.begin);
    conn_request(conn, slice_of(data.data + conn->finder.begin, conn->finder.end - conn->finder.begin),
                 in_inbuf ? SLICE_NONE : slice_from(data, conn->finder.end));
    return true;
}

static void conn_receive(struct h1_conn *conn)
{
    if (conn->receiving)
        return;
    conn->receiving = true;
    net_recv(conn->net, NULL, 0);
}

/* Ready for the next request: from bytes already here, else from the client. */
static void conn_next(struct h1_conn *conn)
{
    conn_set_state(conn, H1_STATE_IDLE);
    if (conn->in.end > conn->in.start) {
        if (conn_try_head(conn, h1_inbuf_slice(&conn->in), true))
            return;
    } else {
        conn->linger = (struct server_linger){0};
        conn_deadline(conn, conn->server->config.limits->idle_ms);
    }
    conn_receive(conn);
}

/* ---- what the network and the clock say --------------------------------------------------------------------- */

static void conn_received_head(struct h1_conn *conn, slice data)
{
    if (conn->in.end == conn->in.start) {
        if (conn_try_head(conn, data, false))
            return;
        /* what precedes the head (empty lines) was counted by the scan: keep all, it is bounded */
    }
    bool first = conn->in.end == conn->in.start;
    /* The beginning of a head, and all that one receive can bring with the rest of it. */
    if (!h1_inbuf_append(&conn->in, data, PIPELINE_BYTES_MAX + conn->server->config.limits->head.head_bytes_max)) {
        conn_close(conn, true);
        return;
    }
    if (!first && conn_try_head(conn, h1_inbuf_slice(&conn->in), true))
        return;
    conn_receive(conn);
}

/* During a request: early bytes wait, FIN says that no more requests come, an error that nobody reads. */
static void conn_received_busy(struct h1_conn *conn, int32_t result, const char *data)
{
    if (result < 0) {
        if (answer_is_sending(conn->exchange))
            return; /* the send will say the same */
        exchange_failed(conn->exchange, STREAM_END_CLIENT_LEFT);
    } else if (result == 0) {
        conn->fin = true;
        if (conn->exchange->stream.leave_on_fin && !answer_is_sending(conn->exchange))
            exchange_failed(conn->exchange, STREAM_END_CLIENT_LEFT);
    } else if (!h1_inbuf_append(&conn->in, slice_of(data, (size_t)result), PIPELINE_BYTES_MAX)) {
        conn->fin = true; /* answered, then closed: no memory for what was sent ahead */
    }
}

static void conn_received(struct net_stream *stream, int32_t result, const char *data)
{
    struct h1_conn *conn = stream->owner;

    if (conn->state == H1_STATE_BUSY && body_is_receiving(conn->exchange)) {
        h1_reader_received(conn->exchange->reader, result, data);
        return;
    }
    conn->receiving = false;
    switch ((enum h1_state)conn->state) {
    case H1_STATE_IDLE:
    case H1_STATE_HEAD:
        if (result > 0)
            conn_received_head(conn, slice_of(data, (size_t)result));
        else
            conn_close(conn, result < 0);
        break;
    case H1_STATE_BUSY:
        conn_received_busy(conn, result, data);
        break;
    case H1_STATE_LINGER:
        if (server_lingers(&conn->linger, result))
            conn_receive(conn);
        else
            conn_close(conn, false);
        break;
    case H1_STATE_CLOSING:
        break;
    }
}

static void conn_sent(struct net_stream *stream, int32_t result)
{
    struct h1_conn *conn = stream->owner;

    if (conn->state != H1_STATE_BUSY)
        return;
    h1_writer_sent(conn->exchange->writer, result);
    if (conn->state != H1_STATE_BUSY || !answer_is_waiting(conn->exchange))
        return;
    if (conn->fin && conn->exchange->stream.leave_on_fin)
        exchange_failed(conn->exchange, STREAM_END_CLIENT_LEFT);
    else
        conn_watch_client(conn);
}

static void conn_closed(struct net_stream *stream)
{
    struct h1_conn *conn = stream->owner;
    struct server *server = conn->server;

    if (conn->exchange != NULL)
        exchange_end(conn->exchange, conn->exchange->end);
    h1_inbuf_done(&conn->in);
    list_remove(&conn->link);
    pool_put(&server->h1->conn_pool, conn);
    server_connection_gone(server, &stream->peer, CONN_closing);
}

static void conn_close(struct h1_conn *conn, bool reset)
{
    if (conn->state == H1_STATE_CLOSING)
        return;
    conn_set_state(conn, H1_STATE_CLOSING);
    if (conn->exchange != NULL && conn->exchange->reader != NULL)
        conn->exchange->reader->failed = true; /* whoever pulls the body until ended() asks no closed socket */
    loop_timer_stop(conn_loop(conn), &conn->timer);
    net_close(conn->net, reset);
}

/* Every RATE_CHECK_NS while a request is under way. */
static void conn_check_rates(struct h1_conn *conn)
{
    const struct server_limits *limits = conn->server->config.limits;
    struct h1_exchange *exchange = conn->exchange;
    uint64_t moved = exchange_moved_bytes(exchange) - exchange->moved_before;
    uint64_t seconds = RATE_CHECK_NS / 1000000000;

    if (answer_is_sending(exchange) && moved < limits->send_min_bytes_per_s * seconds) {
        if (++exchange->slow_checks * RATE_CHECK_NS >= limits->send_idle_ms * MS) {
            server_count_limit(conn->server, STREAM_LIMIT_SEND_RATE);
            exchange_failed(exchange, STREAM_END_CLIENT_SLOW);
            return;
        }
    } else if (body_is_receiving(exchange) && !exchange->tunnel && moved < limits->body_min_bytes_per_s * seconds) {
        /* in a row: one check may come right after a pause of the reader's own */
        if (++exchange->slow_checks * RATE_CHECK_NS >= limits->body_idle_ms * MS) {
            server_count_limit(conn->server, STREAM_LIMIT_BODY_RATE);
            exchange_failed(exchange, STREAM_END_CLIENT_SLOW);
            return;
        }
    } else if (exchange->tunnel && moved == 0) {
        if (++exchange->slow_checks * RATE_CHECK_NS >= limits->tunnel_idle_ms * MS) {
            exchange_failed(exchange, STREAM_END_CLIENT_SLOW);
            return;
        }
    } else {
        exchange->slow_checks = 0;
    }
    conn_watch_rates(conn);
}

/* Nobody has asked for anything, or reads on behind the end, for so long: unless the last answer is still on its way. */
static void conn_waited(struct h1_conn *conn, uint32_t ms)
{
    if (server_client_takes(conn->server, conn->net, &conn->linger, ms)) {
        conn_deadline(conn, ms);
        return;
    }
    if (conn->state == H1_STATE_IDLE)
        server_count_limit(conn->server, STREAM_LIMIT_IDLE_TIME);
    conn_close(conn, false);
}

static void conn_timer(struct timer *timer)
{
    struct h1_conn *conn = container_of(timer, struct h1_conn, timer);

    switch ((enum h1_state)conn->state) {
    case H1_STATE_IDLE:
        conn_waited(conn, conn->server->config.limits->idle_ms);
        break;
    case H1_STATE_HEAD:
        conn_refuse_timeout(conn);
        break;
    case H1_STATE_BUSY:
        conn_check_rates(conn);
        break;
    case H1_STATE_LINGER:
        conn_waited(conn, SERVER_LINGER_MS);
        break;
    case H1_STATE_CLOSING:
        break;
    }
}

/* ---- the server ------------------------------------------------------------------------------------------ */

err h1_server_new(struct server *server, struct h1_server **ret_h1)
{
    struct h1_server *h1 = calloc(1, sizeof(*h1));

    ENSURE(h1 != NULL, MEMORY);
    h1->server = server;
    list_init(&h1->conns);
    pool_init(&h1->conn_pool, sizeof(struct h1_conn), 4096);
    pool_init(&h1->exchange_pool, sizeof(struct h1_exchange), 1024);
    pool_init(&h1->reader_pool, sizeof(struct h1_reader), 1024);
    pool_init(&h1->writer_pool, sizeof(struct h1_writer), 1024);
    pool_init(&h1->head_pool, HEAD_BUFFER_BYTES, 256);
    pool_init(&h1->iov_pool, H1_WRITER_IOV_BYTES, 1024);
    *ret_h1 = h1;
    return ERR_OK;
}

struct h1_server *h1_server_free(struct h1_server *h1)
{
    if (h1 == NULL)
        return NULL;
    pool_done(&h1->conn_pool);
    pool_done(&h1->exchange_pool);
    pool_done(&h1->reader_pool);
    pool_done(&h1->writer_pool);
    pool_done(&h1->head_pool);
    pool_done(&h1->iov_pool);
    free(h1);
    return NULL;
}

void h1_server_adopt(struct h1_server *h1, struct net_stream *stream)
{
    static const struct net_handler handler = {conn_received, conn_sent, NULL, conn_closed};
    struct h1_conn *conn = pool_get(&h1->conn_pool);

    if (conn == NULL) {
        server_give_up(h1->server, stream);
        return;
    }
    memset(conn, 0, sizeof(*conn));
    conn->net = stream;
    conn->server = h1->server;
    conn->state = H1_STATE_IDLE;
    net_give(stream, &handler, conn);
    timer_init(&conn->timer, conn_timer);
    list_push_back(&h1->conns, &conn->link);
    conn_deadline(conn, h1->server->config.limits->idle_ms);
    conn_receive(conn);
}

void h1_server_drain(struct h1_server *h1)
{
    LIST_FOREACH_SAFE(&h1->conns, it)
    {
        struct h1_conn *conn = container_of(it, struct h1_conn, link);
        if (conn->state == H1_STATE_IDLE)
            conn_close(conn, false);
    }
}

void h1_server_stop(struct h1_server *h1)
{
    LIST_FOREACH_SAFE(&h1->conns, it)
    {
        struct h1_conn *conn = container_of(it, struct h1_conn, link);
        if (conn->exchange != NULL)
            exchange_failed(conn->exchange, STREAM_END_SHUTDOWN);
        else
            conn_close(conn, true);
    }
}

size_t h1_server_idle_bytes(void)
{
    return sizeof(struct h1_conn) + sizeof(struct net_tcp);
}
