/* h1_client: an HTTP/1 connection to an origin, one exchange at a time.
 *
 *   IDLE --ask--> HEAD --the final head--> BODY --finish--> IDLE, owner's changed()
 *     |            |                        |
 *     +-- bytes,   +------ anything odd ----+--> CLOSING
 *         or FIN: CLOSING
 *
 * A connection is used again only when both messages were complete, both sides want it and nothing is left
 * over; an idle one must stay silent. */
#include "proto/client_own.h"

#include "http/h1_parse.h"
#include "http/h1_write.h"
#include "http/token.h"
#include "proto/h1_reader.h"
#include "proto/h1_writer.h"

#include <errno.h>
#include <stdlib.h>

#define BEHIND_HEAD_MAX 65536u /* what one receive can bring with its end */
#define MS              UINT64_C(1000000)

enum client_state { CLIENT_IDLE, CLIENT_HEAD, CLIENT_BODY, CLIENT_CLOSING };

struct h1_client {
    struct client *of;
    struct net_stream *net;
    struct client_stream stream;
    struct client_request request; /* while CLIENT_HEAD: the caller's memory */
    struct h1_reader reader;
    struct h1_writer writer;
    struct pool iov_pool; /* one block */
    struct h1_inbuf in;
    struct h1_finder finder;
    struct timer timer;
    char *head; /* of the request, malloc */
    uint64_t moved_before;
    uint32_t between_ms;
    uint8_t state;
    uint8_t interims;
    bool receiving; /* outside the body's reader */
    bool received_any, write_complete, keep_alive, failing;
    bool is_early; /* the answer to an upgrade is here, before the request's last byte was told to be out */
    bool endless; /* an event stream, a tunnel */
    enum client_failure failure;
};

static void client_deadline(struct h1_client *client, uint32_t ms)
{
    loop_timer_set(client->of->config.loop, &client->timer, loop_now_ns(client->of->config.loop) + ms * MS);
}

void h1_client_close(struct h1_client *client)
{
    if (client->state == CLIENT_CLOSING)
        return;
    client->state = CLIENT_CLOSING;
    loop_timer_stop(client->of->config.loop, &client->timer);
    net_close(client->net, true);
}

static void client_closed(struct net_stream *net)
{
    struct h1_client *client = net->owner;
    struct client *of = client->of;

    h1_writer_done(&client->writer);
    pool_done(&client->iov_pool);
    h1_inbuf_done(&client->in);
    free(client->head);
    of->h1 = NULL;
    free(client);
    client_gone(of);
}

/* ---- the end of an exchange ------------------------------------------------------------------------------- */

/* The request's body is the user's and outlives this connection: it must not call here again. */
static void client_forget_body(struct h1_client *client)
{
    if (client->request.body != NULL)
        source_set_reader(client->request.body, NULL, NULL);
    client->request.body = NULL;
}

/* Before the head of the answer: the user is told and forgotten. */
static void client_fail(struct h1_client *client, enum client_failure failure, const char *detail)
{
    const struct client_events *events = client->stream.events;
    void *user = client->stream.user;
    bool sent = client->writer.moved_bytes > 0;

    h1_client_close(client);
    client_forget_body(client);
    client->stream.events = NULL;
    if (events != NULL)
        events->failed(user, failure, sent, detail);
}

/* After it: whoever reads the body sees it fail. */
static void client_fail_body(struct h1_client *client)
{
    client->reader.failed = true;
    if (client->reader.source.on_ready != NULL)
        client->reader.source.on_ready(client->reader.source.reader);
}

static void client_watch_idle(struct h1_client *client)
{
    client->state = CLIENT_IDLE;
    client->receiving = true;
    net_recv(client->net, NULL, 0);
    client_deadline(client, client->of->config.idle_ms);
}

static bool client_is_reusable(const struct h1_client *client)
{
    return client->state == CLIENT_BODY && client->reader.complete && !client->reader.failed && !client->reader.fin &&
           client->reader.kind != BODY_CLOSE && client->write_complete && client->keep_alive &&
           client->in.start == client->in.end && !client->reader.receiving;
}

static void client_finish(struct client_stream *stream)
{
    struct h1_client *client = container_of(stream, struct h1_client, stream);

    stream->events = NULL;
    client_forget_body(client);
    source_set_reader(&client->reader.source, NULL, NULL);
    if (client->state == CLIENT_CLOSING)
        return;
    if (!client_is_reusable(client)) {
        h1_client_close(client);
        return;
    }
    h1_writer_done(&client->writer);
    client_watch_idle(client);
    client->of->config.events->changed(client->of->config.owner);
}

/* ---- the request going out --------------------------------------------------------------------------------- */

static void client_read_heads(struct h1_client *client, slice bytes);

static void request_head_done(struct h1_writer *writer)
{
    struct h1_client *client = container_of(writer, struct h1_client, writer);

    free(client->head);
    client->head = NULL;
}

static void request_done(struct h1_writer *writer, enum h1_write_end end)
{
    struct h1_client *client = container_of(writer, struct h1_client, writer);

    switch (end) {
    case H1_WRITE_COMPLETE:
        client->write_complete = true;
        if (client->state == CLIENT_HEAD)
            client_deadline(client, client->of->config.first_byte_ms); /* the origin's time begins here */
        if (writer->framing == H1_BODY_RAW)
            net_shutdown(client->net); /* a tunnel: the client has finished */
        if (client->is_early && client->state == CLIENT_HEAD)
            client_read_heads(client, SLICE_NONE);
        break;
    case H1_WRITE_NET_FAILED:
        break; /* an answer may have come first: the receive tells */
    case H1_WRITE_BODY_FAILED:
        /* never a clean end of a cut upload: the connection goes */
        if (client->state == CLIENT_HEAD)
            client_fail(client, CLIENT_FAILURE_REQUEST_BODY, NULL);
        else
            client_fail_body(client);
        break;
    }
}

static void request_body_ready(void *reader)
{
    struct h1_client *client = reader;

    if (client->state == CLIENT_HEAD || client->state == CLIENT_BODY)
        h1_writer_pump(&client->writer);
}

static err client_write_head(struct h1_client *client, const struct client_request *request, enum h1_body body)
{
    uint64_t length_bytes = body == H1_BODY_LENGTH && request->body != NULL ? (uint64_t)request->body_bytes : 0;
    struct h1_framing wire = {
        .body = body == H1_BODY_LENGTH ? BODY_LENGTH : body == H1_BODY_CHUNKED ? BODY_CHUNKED : BODY_NONE,
        .length_bytes = length_bytes,
        .connection = request->upgrade                        ? H1_CONNECTION_WEBSOCKET
                      : fields_has(request->fields, F_TE) ? H1_CONNECTION_TE
                                                              : H1_CONNECTION_DEFAULT,
    };
    size_t len = h1_write_request(NULL, 0, request->method_name, request->target, request->fields, &wire);

    client->head = malloc(len);
    ENSURE(client->head != NULL, MEMORY);
    len = h1_write_request(client->head, len, request->method_name, request->target, request->fields, &wire);
    h1_writer_begin(&client->writer, slice_of(client->head, len), request->body, body, length_bytes);
    return ERR_OK;
}

static enum h1_body request_body_of(const struct client_request *request)
{
    if (request->body == NULL)
        /* Content-Length: 0 where the method usually has a body (RFC 9110 8.6) */
        return request->method == METHOD_POST || request->method == METHOD_PUT || request->method == METHOD_PATCH
                   ? H1_BODY_LENGTH
                   : H1_BODY_NONE;
    return request->body_bytes >= 0 ? H1_BODY_LENGTH : H1_BODY_CHUNKED;
}

static void client_finish(struct client_stream *stream);
static void client_tunnel(struct client_stream *stream, struct source *from_client);
static void client_receive_head(struct h1_client *client);

unsigned h1_client_room(const struct h1_client *client)
{
    return client->state == CLIENT_IDLE;
}

struct client_stream *h1_client_begin(struct h1_client *client, const struct client_request *request,
                                    const struct client_events *events, void *user)
{
    static const struct client_stream_ops ops = {client_finish, client_tunnel};

    if (client->state == CLIENT_CLOSING)
        return NULL; /* the origin, or idle_ms, was faster; gone() is still to come */
    INVARIANT(client->state == CLIENT_IDLE);
    if (!net_recv_cancel(client->net) || !net_is_silent(client->net)) {
        h1_client_close(client);
        return NULL;
    }
    client->receiving = false;
    client->state = CLIENT_HEAD;
    client->stream = (struct client_stream){.ops = &ops, .events = events, .user = user};
    client->request = *request;
    client->interims = 0;
    client->is_early = client->received_any = client->write_complete = client->keep_alive = false;
    client->finder = (struct h1_finder){.is_response = true};
    client->between_ms = client->of->config.between_ms;
    h1_writer_init(&client->writer, client->net, &client->iov_pool);
    client->writer.done = request_done;
    client->writer.head_done = request_head_done;
    h1_reader_init(&client->reader, client->net, &client->in, BODY_NONE, 0, request->arena);
    if (request->body != NULL)
        source_set_reader(request->body, request_body_ready, client);
    if (!err_is_ok(client_write_head(client, request, request_body_of(request)))) {
        h1_client_close(client);
        client_forget_body(client);
        return NULL;
    }
    client->moved_before = 0;
    client_deadline(client, client->of->config.first_byte_ms);
    client_receive_head(client);
    return &client->stream;
}

static void client_tunnel(struct client_stream *stream, struct source *from_client)
{
    struct h1_client *client = container_of(stream, struct h1_client, stream);

    INVARIANT(client->state == CLIENT_BODY && client->write_complete);
    client->write_complete = false;
    h1_writer_done(&client->writer);
    h1_writer_init(&client->writer, client->net, &client->iov_pool);
    client->writer.done = request_done;
    client->writer.head_done = request_head_done;
    client->request.body = from_client;
    source_set_reader(from_client, request_body_ready, client);
    h1_writer_begin(&client->writer, SLICE_NONE, from_client, H1_BODY_RAW, 0);
}

/* ---- the answer coming in ------------------------------------------------------------------------------------ */

/* Into the thread's buffer: only what is left of it, a piece of a head or the beginning of a body, is kept. */
static void client_receive_head(struct h1_client *client)
{
    client->receiving = true;
    net_recv(client->net, NULL, 0);
}

MUST_USE static bool client_keep(struct h1_client *client, slice bytes)
{
    if (h1_inbuf_append(&client->in, bytes, CLIENT_HEAD_BYTES_MAX + BEHIND_HEAD_MAX))
        return true;
    client_fail(client, CLIENT_FAILURE_NO_MEMORY, NULL);
    return false;
}

static void client_begin_body(struct h1_client *client, struct response *response)
{
    bool endless = client_is_endless(response);

    client->state = CLIENT_BODY;
    client->keep_alive = response->keep_alive && response->status != 101;
    if (endless)
        client->between_ms = CLIENT_EVENT_STREAM_IDLE_MS;
    client->endless = endless;
    h1_reader_init(&client->reader, client->net, &client->in, response->body, response->length_bytes,
                   client->request.arena);
    if (response->status == 101)
        h1_reader_make_raw(&client->reader);
    client->stream.body = client->reader.complete ? NULL : &client->reader.source;
    client_deadline(client, client->between_ms);
    client->stream.events->head(client->stream.user, response);
}

/* A head is complete; rest: what came behind it. False: no other head is expected, or the exchange is over. */
static bool client_head(struct h1_client *client, slice head, slice rest)
{
    static const struct h1_limits limits = {65536, 65535, 0, 200}; /* H1_LIMITS_RESPONSE */
    struct response response;
    enum h1_error error;

    error = h1_parse_response(head, &limits, client->request.method, client->request.arena, &response);
    if (error != H1_OK) {
        client_fail(client, CLIENT_FAILURE_INVALID, h1_error_text(error));
        return false;
    }
    if (response.status >= 200 || (response.status == 101 && client->request.upgrade && client->write_complete)) {
        if (client_keep(client, rest))
            client_begin_body(client, &response);
        return false;
    }
    if (response.status == 101) {
        client_fail(client, CLIENT_FAILURE_INVALID,
                    client->request.upgrade ? "101 before the request was sent" : "101 that was not asked for");
        return false;
    }
    if (++client->interims > CLIENT_INTERIM_MAX) {
        client_fail(client, CLIENT_FAILURE_INTERIM, NULL);
        return false;
    }
    client->finder = (struct h1_finder){.is_response = true};
    if (response.status != 100) /* ours: the client's 100 is sent when its body is first read */
        client->stream.events->interim(client->stream.user, &response);
    return client->state == CLIENT_HEAD;
}

/* bytes: all since the last head; afterwards, those of a head that is not complete. False: no other is expected. */
static bool client_heads(struct h1_client *client, slice *bytes)
{
    static const struct h1_limits limits = {65536, 65535, 0, 200};
    enum h1_error error = H1_OK;

    while (bytes->len > 0) {
        const struct h1_finder *at = &client->finder;
        slice head;

        switch (h1_head_find(&client->finder, *bytes, &limits, &error)) {
        case H1_FIND_MORE:
            return true;
        case H1_FIND_REFUSED:
            client_fail(client, CLIENT_FAILURE_INVALID, h1_error_text(error));
            return false;
        case H1_FIND_FOUND:
            break;
        }
        head = slice_of(bytes->data + at->begin, at->end - at->begin);
        *bytes = slice_from(*bytes, at->end);
        if (!client_head(client, head, *bytes))
            return false;
    }
    return true;
}

static void client_received_head(struct h1_client *client, int32_t result, const char *data)
{
    slice bytes;

    if (result <= 0) {
        if (result == -EPROTO) /* in TLS 1.3 a refused client certificate is told so late */
            client_fail(client, CLIENT_FAILURE_TLS, "the origin ended TLS with an alert");
        else
            client_fail(client, CLIENT_FAILURE_CLOSED, client->received_any ? "in the middle of the head" : NULL);
        return;
    }
    client->received_any = true;
    bytes = slice_of(data, (size_t)result);
    if (client->request.upgrade && !client->write_complete && client->request.body == NULL) {
        /* faster than we were told that the request is out: what it changes to can begin only then */
        client->is_early = client_keep(client, bytes);
        return;
    }
    client_read_heads(client, bytes);
}

static void client_read_heads(struct h1_client *client, slice bytes)
{
    struct h1_inbuf held = client->in; /* the beginning of a head; the callbacks see what is behind a complete one */

    if (held.bytes != NULL) {
        if (!client_keep(client, bytes))
            return;
        held = client->in;
        bytes = h1_inbuf_slice(&held);
        client->in = (struct h1_inbuf){0};
    }
    if (!client_heads(client, &bytes)) {
        h1_inbuf_done(&held);
        return;
    }
    if (held.bytes != NULL) {
        h1_inbuf_consume(&held, (uint32_t)(held.end - held.start - bytes.len));
        client->in = held;
    } else if (!client_keep(client, bytes)) {
        return;
    }
    client_receive_head(client);
}

/* Bytes come, but so few that the body would take for ever (security.md section 3). Only waiting for them counts. */
static bool client_body_is_slow(const struct h1_client *client)
{
    uint64_t waited_ms = client->reader.waited_ns / MS;

    return !client->endless && client->of->config.slow_body_ms > 0 && waited_ms > client->of->config.slow_body_ms &&
           client->reader.moved_bytes < waited_ms / 1000 * CLIENT_BODY_MIN_BYTES_PER_S;
}

static void client_received(struct net_stream *net, int32_t result, const char *data)
{
    struct h1_client *client = net->owner;

    switch ((enum client_state)client->state) {
    case CLIENT_IDLE:
        h1_client_close(client); /* bytes nobody asked for, or the origin's FIN */
        break;
    case CLIENT_HEAD:
        client->receiving = false;
        client_received_head(client, result, data);
        break;
    case CLIENT_BODY:
        client_deadline(client, client->between_ms);
        if (client_body_is_slow(client))
            result = -ETIMEDOUT;
        h1_reader_received(&client->reader, result, data);
        break;
    case CLIENT_CLOSING:
        break;
    }
}

static void client_sent(struct net_stream *net, int32_t result)
{
    struct h1_client *client = net->owner;

    if (client->state == CLIENT_HEAD || client->state == CLIENT_BODY || client->writer.sending)
        if (client->state != CLIENT_CLOSING)
            h1_writer_sent(&client->writer, result);
}

static void client_timer(struct timer *timer)
{
    struct h1_client *client = container_of(timer, struct h1_client, timer);
    uint64_t moved = client->writer.moved_bytes;

    switch ((enum client_state)client->state) {
    case CLIENT_IDLE:
        h1_client_close(client);
        break;
    case CLIENT_HEAD:
        /* an upload that moves, or one that waits for its client, is not the origin's delay */
        if (!client->write_complete && (moved != client->moved_before || client->writer.waiting)) {
            client->moved_before = moved;
            client_deadline(client, client->of->config.first_byte_ms);
        } else {
            client_fail(client, CLIENT_FAILURE_TIMEOUT, NULL);
        }
        break;
    case CLIENT_BODY:
        if (client->reader.receiving)
            client_fail_body(client);
        else
            client_deadline(client, client->between_ms); /* our reader is slow, not the origin */
        break;
    case CLIENT_CLOSING:
        break;
    }
}

err h1_client_new(struct client *of, struct h1_client **ret_client)
{
    static const struct net_handler handler = {client_received, client_sent, NULL, client_closed};
    struct h1_client *client = calloc(1, sizeof(*client));

    ENSURE(client != NULL, MEMORY);
    client->of = of;
    client->net = of->net;
    pool_init(&client->iov_pool, H1_WRITER_IOV_BYTES, 1);
    timer_init(&client->timer, client_timer);
    net_give(client->net, &handler, client);
    h1_writer_init(&client->writer, client->net, &client->iov_pool);
    client_watch_idle(client);
    *ret_client = client;
    return ERR_OK;
}
