/* What every connection goes through before it is HTTP/1 or HTTP/2, and what is counted of both. */
#include "proto/server_own.h"

#include "base/log.h"

#include <stdlib.h>

#define KEEP_STREAMS     4096u
#define KEEP_HANDSHAKES  64u
#define LINGER_BYTES_MAX (1u << 20)
#define MS               UINT64_C(1000000)

const struct server_limits server_limits_default = {
    .head = {32768, 16384, 8192, 100}, /* H1_LIMITS_REQUEST */
    .head_ms = 10000,
    .idle_ms = 30000,
    .body_idle_ms = 15000,
    .body_min_bytes_per_s = 500,
    .send_idle_ms = 30000,
    .send_min_bytes_per_s = 1024,
    .tunnel_idle_ms = 3600000,
    .connections_max = 1u << 20,
};

/* A TLS connection that has not yet said what it speaks. */
struct handshake {
    struct server *server;
    struct net_stream *net;
    struct list link;
    struct timer timer;
    bool is_closing;
};

/* ---- counting ------------------------------------------------------------------------------------------------- */

void server_count_limit(struct server *server, enum stream_limit limit)
{
    if (server->config.metrics != NULL)
        metric_limit(server->config.metrics, limit);
}

void server_count_connection(struct server *server, enum conn_state from, enum conn_state to)
{
    if (server->config.metrics != NULL && from != to)
        metric_connection(server->config.metrics, from, to);
}

static void server_forget_peer(struct server *server, const struct os_peer *peer)
{
    if (server->config.peers != NULL)
        peers_leave(server->config.peers, peer);
}

void server_connection_gone(struct server *server, const struct os_peer *peer, enum conn_state last)
{
    server_forget_peer(server, peer);
    server_count_connection(server, last, CONN_STATE_COUNT);
    server->connections--;
    if (server->connections == 0 && server->on_empty != NULL)
        server->on_empty(server->on_empty_arg);
}

bool server_client_takes(const struct server *server, const struct net_stream *net, struct server_linger *linger, uint32_t ms)
{
    const struct server_limits *limits = server->config.limits;
    uint32_t before = linger->unsent_bytes, left = net_unsent_bytes(net);
    bool is_slow = left > 0 && before > 0 && (uint64_t)left + (uint64_t)limits->send_min_bytes_per_s * ms / 1000 > before;

    linger->unsent_bytes = left;
    linger->slow_ms = is_slow ? linger->slow_ms + ms : 0;
    return (left > 0 || before > 0) && linger->slow_ms < limits->send_idle_ms;
}

bool server_lingers(struct server_linger *linger, int32_t received)
{
    linger->received_bytes += received > 0 ? (uint32_t)received : 0;
    return received > 0 && linger->received_bytes <= LINGER_BYTES_MAX;
}

static void unserved_closed(struct net_stream *stream)
{
    server_connection_gone(stream->owner, &stream->peer, CONN_idle);
}

void server_give_up(struct server *server, struct net_stream *stream)
{
    static const struct net_handler unserved = {.closed = unserved_closed};

    net_give(stream, &unserved, server);
    net_close(stream, true);
}

/* False: refused, counted, fd closed. */
static bool server_admit(struct server *server, int fd, const struct os_peer *peer)
{
    const struct server_config *config = &server->config;
    bool is_trusted = config->peers != NULL && config->is_trusted != NULL && config->is_trusted(config->context, peer);

    if (config->peers != NULL && !peers_enter(config->peers, peer, is_trusted)) {
        server_count_limit(server, STREAM_LIMIT_CONNECTIONS_PER_IP);
        os_accepted_close(fd);
        return false;
    }
    if (server->connections >= server->config.limits->connections_max || server->draining) {
        server_count_limit(server, STREAM_LIMIT_CONNECTIONS);
        server_forget_peer(server, peer);
        os_accepted_close(fd);
        return false;
    }
    return true;
}

static void server_admitted(struct server *server)
{
    server->connections++;
    server_count_connection(server, CONN_STATE_COUNT, CONN_idle);
}

/* ---- TLS ------------------------------------------------------------------------------------------------------- */

static void handshake_forget(struct handshake *handshake)
{
    loop_timer_stop(handshake->server->config.loop, &handshake->timer);
    list_remove(&handshake->link);
    pool_put(&handshake->server->handshake_pool, handshake);
}

static void handshake_close(struct handshake *handshake, bool reset)
{
    if (handshake->is_closing)
        return;
    handshake->is_closing = true;
    loop_timer_stop(handshake->server->config.loop, &handshake->timer);
    net_close(handshake->net, reset);
}

static void handshake_count_failure(struct server *server, unsigned failure)
{
    if (server->config.metrics != NULL)
        metric_handshake_failure(server->config.metrics, failure);
}

static void handshake_connected(struct net_stream *stream, int32_t result, const char *detail)
{
    struct handshake *handshake = stream->owner;
    struct server *server = handshake->server;

    if (result != 0) {
        char peer[64];
        handshake_count_failure(server, stream->handshake_failure);
        log_debug("TLS handshake with %s: %s", os_peer_text(&stream->peer, peer, sizeof(peer)),
                  detail != NULL ? detail : err_text(ERR_SYS(-result)));
        handshake_close(handshake, false);
        return;
    }
    handshake_forget(handshake);
    if (server->config.metrics != NULL)
        metric_handshake(server->config.metrics, stream->is_tls12, stream->is_resumed);
    if (stream->alpn == NET_ALPN_H2)
        h2_server_adopt(server->h2, stream, SLICE_NONE);
    else
        h1_server_adopt(server->h1, stream);
}

static void handshake_closed(struct net_stream *stream)
{
    struct handshake *handshake = stream->owner;
    struct server *server = handshake->server;

    handshake_forget(handshake);
    server_connection_gone(server, &stream->peer, CONN_idle);
}

static void handshake_timer(struct timer *timer)
{
    struct handshake *handshake = container_of(timer, struct handshake, timer);

    server_count_limit(handshake->server, STREAM_LIMIT_HANDSHAKE_TIME);
    handshake_count_failure(handshake->server, NET_HANDSHAKE_TIMEOUT);
    handshake_close(handshake, true);
}

void server_accept_tls(struct server *server, struct net_acceptor *acceptor, int fd, const struct os_peer *peer)
{
    static const struct net_handler handler = {NULL, NULL, handshake_connected, handshake_closed};
    struct loop *loop = server->config.loop;
    struct handshake *handshake;

    if (!server_admit(server, fd, peer))
        return;
    handshake = pool_get(&server->handshake_pool);
    if (handshake == NULL) {
        os_accepted_close(fd);
        server_forget_peer(server, peer);
        return;
    }
    *handshake = (struct handshake){.server = server};
    list_init(&handshake->link);
    timer_init(&handshake->timer, handshake_timer);
    if (!err_is_ok(net_tls_accept(acceptor, loop, fd, peer, &handler, handshake, &handshake->net))) {
        pool_put(&server->handshake_pool, handshake);
        server_forget_peer(server, peer);
        return;
    }
    list_push_back(&server->handshakes, &handshake->link);
    loop_timer_set(loop, &handshake->timer, loop_now_ns(loop) + server->config.limits->head_ms * MS);
    server_admitted(server);
}

/* ---- the server -------------------------------------------------------------------------------------------------- */

void server_accept(struct server *server, int fd, const struct os_peer *peer)
{
    struct net_stream *stream;

    if (!server_admit(server, fd, peer))
        return;
    if (!err_is_ok(net_tcp_accept(&server->tcp_pool, server->config.loop, fd, peer, &stream))) {
        server_forget_peer(server, peer);
        return;
    }
    server_admitted(server);
    h1_server_adopt(server->h1, stream);
}

err server_new(const struct server_config *config, struct server **ret_server)
{
    struct server *server = calloc(1, sizeof(*server));
    err result;

    ENSURE(server != NULL, MEMORY);
    server->config = *config;
    list_init(&server->handshakes);
    pool_init(&server->tcp_pool, sizeof(struct net_tcp), KEEP_STREAMS);
    pool_init(&server->handshake_pool, sizeof(struct handshake), KEEP_HANDSHAKES);
    result = h1_server_new(server, &server->h1);
    if (err_is_ok(result))
        result = h2_server_new(server, &server->h2);
    if (!err_is_ok(result)) {
        server_free(server);
        return result;
    }
    *ret_server = server;
    return ERR_OK;
}

struct server *server_free(struct server *server)
{
    if (server == NULL)
        return NULL;
    INVARIANT(server->connections == 0);
    h1_server_free(server->h1);
    h2_server_free(server->h2);
    pool_done(&server->tcp_pool);
    pool_done(&server->handshake_pool);
    free(server);
    return NULL;
}

static void server_end_handshakes(struct server *server)
{
    LIST_FOREACH_SAFE(&server->handshakes, it)
        handshake_close(container_of(it, struct handshake, link), true);
}

void server_drain(struct server *server, void (*on_empty)(void *arg), void *arg)
{
    server->draining = true;
    server->on_empty = on_empty;
    server->on_empty_arg = arg;
    server_end_handshakes(server);
    h1_server_drain(server->h1);
    h2_server_drain(server->h2);
    if (server->connections == 0 && on_empty != NULL)
        on_empty(arg);
}

void server_stop(struct server *server)
{
    server->draining = true;
    server_end_handshakes(server);
    h1_server_stop(server->h1);
    h2_server_stop(server->h2);
}

unsigned server_connections(const struct server *server)
{
    return server->connections;
}

size_t server_idle_bytes(void)
{
    return h1_server_idle_bytes();
}
