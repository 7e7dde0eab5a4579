/* h2_client: an HTTP/2 connection to an origin, as many exchanges at once as it allows.
 *
 *   new --SETTINGS--> OPEN --GOAWAY, a time-out, client_close--> retired --the last exchange ends--> over --> gone
 *                      |                                            |
 *                      +------ the network's end, anything odd -----+--> over: what has no answer fails
 *
 * What is over frees nghttp2's side at once and closes the net stream; the struct stays until both that is told and every
 * exchange was finished. nghttp2's callbacks run while bytes are received or sent and never end the session themselves:
 * that is for h2_after, which runs behind each batch. */
#include "proto/h2_client_own.h"

#include <errno.h>
#include <stdlib.h>

#define MS               UINT64_C(1000000)
#define KEEP_EXCHANGES   64u
#define KEEP_BLOCKS      64u /* 1 MiB */
#define BODY_BLOCK_BYTES 16384u
#define KEEP_HEADS       16u
#define CALM_MAX         1000 /* control frames beyond those that go with useful ones */
#define CALM_PER_FRAME   2
#define LAST_WORDS_MS    5000u
#define LAST_STREAM    (INT32_MAX / 2) /* a new connection, long before the numbers end */

static struct h2_client *h2_of(void *user)
{
    return ((struct h2_session *)user)->owner;
}

/* ---- the end of the connection ------------------------------------------------------------------------------------ */

static void h2_free_if_gone(struct h2_client *h2)
{
    struct client *of = h2->of;

    if (!h2->is_closed || !list_is_empty(&h2->exchanges))
        return;
    h2_session_done(&h2->session);
    of->h2 = NULL;
    free(h2);
    client_gone(of);
}

static void h2_close(struct h2_client *h2, bool reset)
{
    if (h2->is_closing)
        return;
    h2->is_closing = true;
    loop_timer_stop(h2->of->config.loop, &h2->timer);
    net_close(h2->net, reset);
}

/* politely: what is on its way, a GOAWAY, is sent before the stream is closed. */
static void h2_end(struct h2_client *h2, bool politely)
{
    struct loop *loop = h2->of->config.loop;

    h2->is_over = h2->is_retired = true;
    h2->open = 0;
    h2_session_end(&h2->session);
    if (politely && h2->session.sending)
        loop_timer_set(loop, &h2->timer, loop_now_ns(loop) + LAST_WORDS_MS * MS);
    else
        h2_close(h2, !politely);
}

/* Not from inside nghttp2's callbacks. */
static void h2_lost(struct h2_client *h2, enum client_failure failure, const char *detail)
{
    if (h2->is_over)
        return;
    LIST_FOREACH(&h2->exchanges, it)
        container_of(it, struct h2_exchange, link)->is_open = false;
    h2_end(h2, failure == CLIENT_FAILURE_INVALID);
    /* each may end others, by what its user does: from the front until those are done that were here */
    struct list lost;
    list_init(&lost);
    list_splice_back(&lost, &h2->exchanges);
    while (!list_is_empty(&lost)) {
        struct list *first = list_first(&lost);
        list_remove(first);
        list_push_back(&h2->exchanges, first);
        h2_exchange_lost(container_of(first, struct h2_exchange, link), failure, detail);
    }
    h2->of->config.events->changed(h2->of->config.owner);
}

/* Nobody uses it any more. */
static void h2_leave(struct h2_client *h2)
{
    h2->is_over = h2->is_retired = true;
    (void)nghttp2_session_terminate_session(h2->session.ng, NGHTTP2_NO_ERROR);
    h2_session_pump(&h2->session);
    h2_end(h2, true);
    h2->of->config.events->changed(h2->of->config.owner);
}

void h2_client_changed(struct h2_client *h2)
{
    h2->of->config.events->changed(h2->of->config.owner);
    if (h2->is_over)
        h2_free_if_gone(h2);
    else
        h2_session_wake(&h2->session); /* h2_after sees whether it is idle */
}

static void h2_idle_timer(struct timer *timer)
{
    struct h2_client *h2 = container_of(timer, struct h2_client, timer);

    if (h2->is_over)
        h2_close(h2, true);
    else if (list_is_empty(&h2->exchanges))
        h2_leave(h2);
}

void h2_client_close(struct h2_client *h2)
{
    if (h2->is_retired)
        return;
    h2->is_retired = true;
    h2_session_wake(&h2->session);
}

/* ---- room ------------------------------------------------------------------------------------------------------------ */

unsigned h2_client_room_max(const struct h2_client *h2)
{
    const struct client_config *config = &h2->of->config;
    uint32_t allowed = config->room_assumed, max = config->room_max != 0 ? config->room_max : H2_CLIENT_STREAMS_MAX;

    if (h2->is_over)
        return 0;
    if (h2->has_settings)
        allowed = nghttp2_session_get_remote_settings(h2->session.ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    return MIN(allowed, MIN(max, H2_CLIENT_STREAMS_MAX));
}

unsigned h2_client_room(const struct h2_client *h2)
{
    unsigned max = h2_client_room_max(h2);

    return h2->is_retired || h2->is_resting || h2->open >= max ? 0 : max - h2->open;
}

struct client_stream *h2_client_begin(struct h2_client *h2, const struct client_request *request,
                                      const struct client_events *events, void *user)
{
    struct h2_exchange *exchange;

    if (h2_client_room(h2) == 0)
        return NULL;
    exchange = h2_exchange_new(h2, request, events, user);
    if (exchange == NULL) {
        h2_client_close(h2);
        return NULL;
    }
    h2->open++;
    if (exchange->id >= LAST_STREAM)
        h2->is_retired = true;
    loop_timer_stop(h2->of->config.loop, &h2->timer);
    return &exchange->stream;
}

/* ---- nghttp2's callbacks --------------------------------------------------------------------------------------------- */

static struct h2_exchange *exchange_of(nghttp2_session *ng, int32_t id)
{
    return id > 0 ? nghttp2_session_get_stream_user_data(ng, id) : NULL;
}

static void h2_flooded(struct h2_client *h2)
{
    if (h2->of->config.metrics != NULL)
        metric_limit(h2->of->config.metrics, STREAM_LIMIT_ORIGIN_CONTROL);
    h2->why = "too many control frames";
}

/* Frames that move no message cost us time and the origin nothing: so many more than useful ones, then no more. */
static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *user)
{
    struct h2_client *h2 = h2_of(user);
    bool is_useful = hd->type == NGHTTP2_HEADERS || (hd->type == NGHTTP2_DATA && hd->length > 0);

    if (is_useful) {
        h2->calm = MIN(CALM_MAX, h2->calm + CALM_PER_FRAME);
        return 0;
    }
    if (--h2->calm != 0)
        return 0;
    h2_flooded(h2);
    return nghttp2_session_terminate_session(ng, NGHTTP2_ENHANCE_YOUR_CALM) == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct h2_exchange *exchange = exchange_of(ng, frame->hd.stream_id);

    (void)user;
    return exchange != NULL ? h2_exchange_begin_headers(exchange) : 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    struct h2_exchange *exchange = exchange_of(ng, frame->hd.stream_id);

    (void)flags, (void)user;
    if (exchange != NULL)
        h2_exchange_header(exchange, slice_of((const char *)name, name_len), slice_of((const char *)value, value_len));
    return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *user)
{
    struct h2_exchange *exchange = exchange_of(ng, id);

    (void)flags, (void)user;
    (void)nghttp2_session_consume_connection(ng, len);
    if (exchange != NULL)
        h2_exchange_data(exchange, slice_of((const char *)data, len));
    return 0;
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct h2_client *h2 = h2_of(user);
    struct h2_exchange *exchange = exchange_of(ng, frame->hd.stream_id);
    bool end_stream = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (exchange != NULL)
            h2_exchange_headers(exchange, end_stream);
        break;
    case NGHTTP2_DATA:
        if (exchange != NULL && end_stream)
            h2_exchange_end(exchange);
        break;
    case NGHTTP2_SETTINGS:
        h2->has_settings |= (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0;
        break;
    case NGHTTP2_GOAWAY:
        h2->is_retired = true; /* what it did not process nghttp2 closes as refused; the rest goes on */
        break;
    default:
        break;
    }
    return 0;
}

static int on_frame_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct h2_exchange *exchange = exchange_of(ng, frame->hd.stream_id);
    struct h2_client *h2 = h2_of(user);

    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    h2->calm = MIN(CALM_MAX, h2->calm + CALM_PER_FRAME); /* each may be answered by a WINDOW_UPDATE or two */
    if (exchange != NULL)
        h2_exchange_sent(exchange, (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0);
    return 0;
}

/* Trailers that are too large for nghttp2: the request will never be complete. (A head that is has its stream closed.) */
static int on_frame_not_sent(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *user)
{
    struct h2_exchange *exchange = exchange_of(ng, frame->hd.stream_id);

    (void)user;
    if (frame->hd.type != NGHTTP2_HEADERS || error != NGHTTP2_ERR_FRAME_SIZE_ERROR || exchange == NULL)
        return 0;
    exchange->has_upload_failed = true;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        (void)nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_INTERNAL_ERROR);
    return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t error_code, void *user)
{
    struct h2_exchange *exchange = exchange_of(ng, id);
    struct h2_client *h2 = h2_of(user);

    if (h2->is_over)
        return 0;
    if (h2->open > 0)
        h2->open--;
    h2->is_resting = error_code == NGHTTP2_REFUSED_STREAM && h2->open > 0;
    if (exchange != NULL)
        h2_exchange_closed(exchange, error_code);
    return 0;
}

static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int code, void *user)
{
    (void)ng, (void)frame;
    h2_of(user)->why = nghttp2_strerror(code);
    return 0;
}

/* ---- behind each batch -------------------------------------------------------------------------------------------------- */

static void h2_after(struct h2_session *session)
{
    struct h2_client *h2 = session->owner;
    struct loop *loop = h2->of->config.loop;

    if (h2->is_over)
        return;
    if (session->failed || h2->is_broken) {
        h2_lost(h2, CLIENT_FAILURE_INVALID, h2->why != NULL ? h2->why : "HTTP/2 session failed");
        return;
    }
    if (h2->is_retired && list_is_empty(&h2->exchanges)) {
        h2_leave(h2);
        return;
    }
    if (!nghttp2_session_want_read(session->ng) && !nghttp2_session_want_write(session->ng)) {
        h2_lost(h2, CLIENT_FAILURE_INVALID, h2->why != NULL ? h2->why : "HTTP/2 protocol error");
        return;
    }
    if (!list_is_empty(&h2->exchanges))
        loop_timer_stop(loop, &h2->timer);
    else if (!timer_is_set(&h2->timer))
        loop_timer_set(loop, &h2->timer, loop_now_ns(loop) + h2->of->config.idle_ms * MS);
    h2->of->config.events->changed(h2->of->config.owner);
}

/* ---- the net stream ------------------------------------------------------------------------------------------------------- */

/* nghttp2 has given up; h2_after ends the connection when the GOAWAY is on its way. */
static void h2_broken(struct h2_client *h2)
{
    bool flooded = h2->session.error == NGHTTP2_ERR_FLOODED; /* its bound of answers to SETTINGS and PING */

    h2->is_retired = h2->is_broken = true;
    if (flooded)
        h2_flooded(h2);
    else if (h2->why == NULL)
        h2->why = nghttp2_strerror(h2->session.error);
    (void)nghttp2_session_terminate_session(h2->session.ng,
                                            flooded ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_INTERNAL_ERROR);
}

static void h2_received(struct net_stream *net, int32_t result, const char *data)
{
    struct h2_client *h2 = net->owner;

    if (h2->is_over)
        return;
    if (result == -EPROTO) { /* in TLS 1.3 a refused client certificate is told so late */
        h2_lost(h2, CLIENT_FAILURE_TLS, "the origin ended TLS with an alert");
        return;
    }
    if (result <= 0) {
        h2_lost(h2, CLIENT_FAILURE_CLOSED, NULL);
        return;
    }
    if (!h2_session_receive(&h2->session, slice_of(data, (size_t)result)))
        h2_broken(h2);
    h2_session_pump(&h2->session);
    if (!h2->is_over)
        net_recv(net, NULL, 0);
}

static void h2_sent(struct net_stream *net, int32_t result)
{
    struct h2_client *h2 = net->owner;

    bool fine = h2_session_sent(&h2->session, result);

    /* where sending fails an answer may have come first: the receive tells */
    h2->is_retired |= !fine;
    if (h2->is_over && !h2->session.sending)
        h2_close(h2, !fine);
}

static void h2_closed(struct net_stream *net)
{
    struct h2_client *h2 = net->owner;

    h2->is_closed = true;
    h2_free_if_gone(h2);
}

static bool h2_greet(struct h2_client *h2)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_CLIENT_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, CLIENT_HEAD_BYTES_MAX},
    };

    return nghttp2_submit_settings(h2->session.ng, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) == 0 &&
           nghttp2_session_set_local_window_size(h2->session.ng, NGHTTP2_FLAG_NONE, 0, H2_CLIENT_CONNECTION_WINDOW) == 0;
}

err h2_client_new(struct client *client, struct h2_client **ret_h2)
{
    static const struct net_handler handler = {h2_received, h2_sent, NULL, h2_closed};
    struct client_shared *shared = client->config.shared;
    struct h2_client *h2 = calloc(1, sizeof(*h2));
    struct h2_session_config config = {
        .memory = &shared->memory,
        .net = client->net,
        .callbacks = shared->callbacks,
        .options = shared->options,
        .owner = h2,
        .after = h2_after,
    };
    err result;

    ENSURE(h2 != NULL, MEMORY);
    *h2 = (struct h2_client){.of = client, .shared = shared, .net = client->net, .calm = CALM_MAX};
    list_init(&h2->exchanges);
    timer_init(&h2->timer, h2_idle_timer);
    result = h2_session_init(&h2->session, &config);
    if (err_is_ok(result) && !h2_greet(h2)) {
        h2_session_done(&h2->session);
        result = ERR(MEMORY);
    }
    if (!err_is_ok(result)) {
        free(h2);
        return result;
    }
    net_give(client->net, &handler, h2);
    net_recv(client->net, NULL, 0);
    h2_session_wake(&h2->session);
    *ret_h2 = h2;
    return ERR_OK;
}

/* ---- what the connections of a thread share ---------------------------------------------------------------------------- */

static nghttp2_session_callbacks *callbacks_new(void)
{
    nghttp2_session_callbacks *callbacks = h2_session_callbacks();

    if (callbacks == NULL)
        return NULL;
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    return callbacks;
}

err client_shared_new(struct client_shared **ret_shared)
{
    struct client_shared *shared = calloc(1, sizeof(*shared));

    ENSURE(shared != NULL, MEMORY);
    h2_memory_init(&shared->memory);
    pool_init(&shared->exchange_pool, sizeof(struct h2_exchange), KEEP_EXCHANGES);
    pool_init(&shared->block_pool, BODY_BLOCK_BYTES, KEEP_BLOCKS);
    pool_init(&shared->head_pool, H2_HEAD_BLOCK_BYTES, KEEP_HEADS);
    shared->callbacks = callbacks_new();
    shared->options = h2_session_options();
    if (shared->callbacks == NULL || shared->options == NULL) {
        client_shared_free(shared);
        return ERR(MEMORY);
    }
    *ret_shared = shared;
    return ERR_OK;
}

struct client_shared *client_shared_free(struct client_shared *shared)
{
    if (shared == NULL)
        return NULL;
    nghttp2_session_callbacks_del(shared->callbacks);
    nghttp2_option_del(shared->options);
    h2_memory_done(&shared->memory);
    pool_done(&shared->exchange_pool);
    pool_done(&shared->block_pool);
    pool_done(&shared->head_pool);
    free(shared->nv);
    free(shared->names);
    free(shared);
    return NULL;
}
