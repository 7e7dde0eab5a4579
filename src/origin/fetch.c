/* One thread's connections to origins, and a fetch over them. */
#include "origin/group.h"
#include "proto/h1_client.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>

const struct origin_limits origin_limits_default = {
    .connect_ms = 2000,
    .first_byte_ms = 30000,
    .between_ms = 60000,
    .slow_body_ms = 900000,
    .idle_ms = 25000,
    .idle_max = 256,
    .connections_max = 16384,
};

/* A connection of the pool; its fetch while one uses it. */
struct origin_conn {
    struct list link; /* in pool->idle */
    struct origin_pool *pool;
    struct origin *origin;
    struct h1_client *client;
    struct origin_fetch *fetch;
    bool is_used_again, is_idle;
};

struct origin_pool {
    struct origin_pool_config config;
    struct list idle; /* newest first */
    unsigned idle_count, open_count;
};

enum fetch_state { FETCH_STARTING, FETCH_RESOLVING, FETCH_CONNECTING, FETCH_WAITING, FETCH_ANSWERED };

struct origin_fetch {
    struct origin_pool *pool;
    struct origin_request request;
    struct task task; /* starts it, and tells of a failure, from the loop */
    struct resolve resolve;
    struct origin *origin;
    struct origin_conn *conn;
    struct client_stream *stream;
    struct os_address addresses[RESOLVE_ADDRESSES_MAX];
    unsigned address_count, address_next;
    uint64_t tried; /* origins, a bit each */
    uint64_t begun_ns;
    enum fetch_state state;
    enum client_failure failure;
    char detail[160];
    bool retried, fresh, failing;
};

static void fetch_try(struct origin_fetch *fetch);
static void fetch_connect_next(struct origin_fetch *fetch);

static uint64_t fetch_now(const struct origin_fetch *fetch)
{
    return loop_now_ns(fetch->pool->config.loop);
}

/* status 0: no answer. The duration is the head's: bodies run at their readers' pace. */
static void fetch_count(struct origin_fetch *fetch, uint16_t status)
{
    struct metrics_block *metrics = fetch->pool->config.metrics;

    atomic_fetch_add_explicit(status == 0 ? &fetch->origin->fetch_failures : &fetch->origin->answers, 1,
                              memory_order_relaxed);
    if (metrics != NULL)
        metric_origin(metrics, fetch->origin->metric, code_class_of(status), fetch_now(fetch) - fetch->begun_ns);
}

static void fetch_fail(struct origin_fetch *fetch, enum client_failure failure, const char *detail)
{
    const struct origin_events *events = fetch->request.events;
    void *user = fetch->request.user;
    char text[sizeof(fetch->detail)];

    memcpy(text, fetch->detail, sizeof(text));
    if (detail != NULL)
        log_safe(slice_str(detail), text, sizeof(text));
    if (fetch->origin != NULL)
        fetch_count(fetch, 0);
    origin_fetch_finish(fetch);
    events->failed(user, failure, text);
}

/* ---- the pool ----------------------------------------------------------------------------------------------- */

static void conn_leave_idle(struct origin_conn *conn)
{
    if (!conn->is_idle)
        return;
    conn->is_idle = false;
    list_remove(&conn->link);
    conn->pool->idle_count--;
}

static void conn_idle(void *owner)
{
    struct origin_conn *conn = owner;
    struct origin_pool *pool = conn->pool;

    conn->fetch = NULL;
    conn->is_used_again = true;
    if (pool->idle_count >= pool->config.limits->idle_max) {
        h1_client_close(conn->client);
        return;
    }
    conn->is_idle = true;
    pool->idle_count++;
    list_push_front(&pool->idle, &conn->link);
}

static void conn_gone(void *owner)
{
    struct origin_conn *conn = owner;

    INVARIANT(conn->fetch == NULL || conn->fetch->conn != conn);
    conn_leave_idle(conn);
    conn->pool->open_count--;
    free(conn);
}

static struct origin_conn *pool_take_idle(struct origin_pool *pool, const struct origin *origin)
{
    LIST_FOREACH(&pool->idle, it)
    {
        struct origin_conn *conn = container_of(it, struct origin_conn, link);
        if (conn->origin == origin) {
            conn_leave_idle(conn);
            return conn;
        }
    }
    return NULL;
}

err origin_pool_new(const struct origin_pool_config *config, struct origin_pool **ret_pool)
{
    struct origin_pool *pool = calloc(1, sizeof(*pool));

    ENSURE(pool != NULL, MEMORY);
    pool->config = *config;
    list_init(&pool->idle);
    *ret_pool = pool;
    return ERR_OK;
}

void origin_pool_close_idle(struct origin_pool *pool)
{
    while (!list_is_empty(&pool->idle)) {
        struct origin_conn *conn = container_of(list_first(&pool->idle), struct origin_conn, link);
        conn_leave_idle(conn);
        h1_client_close(conn->client);
    }
}

struct origin_pool *origin_pool_free(struct origin_pool *pool)
{
    if (pool == NULL)
        return NULL;
    INVARIANT(pool->open_count == 0);
    free(pool);
    return NULL;
}

unsigned origin_pool_idle(const struct origin_pool *pool)
{
    return pool->idle_count;
}

unsigned origin_pool_open(const struct origin_pool *pool)
{
    return pool->open_count;
}

/* ---- the exchange ---------------------------------------------------------------------------------------------- */

static void fetch_let_go_of_conn(struct origin_fetch *fetch)
{
    if (fetch->conn != NULL)
        fetch->conn->fetch = NULL;
    fetch->conn = NULL;
    fetch->stream = NULL;
}

static void exchange_interim(void *user, struct response *response)
{
    struct origin_fetch *fetch = user;
    fetch->request.events->interim(fetch->request.user, response);
}

/* Nothing of the request's body was taken: it can be sent again as it is. */
static bool fetch_may_repeat(const struct origin_fetch *fetch, bool sent)
{
    if (fetch->retried || !fetch->conn->is_used_again || fetch->request.request.body != NULL)
        return false;
    return !sent || method_is_idempotent(fetch->request.request.method);
}

static void fetch_repeat(struct origin_fetch *fetch)
{
    fetch_let_go_of_conn(fetch);
    fetch->retried = fetch->fresh = true;
    fetch->state = FETCH_STARTING;
    fetch_try(fetch);
}

static void exchange_failed(void *user, enum client_failure failure, bool sent, const char *detail)
{
    struct origin_fetch *fetch = user;
    bool again = failure == CLIENT_FAILURE_CLOSED && detail == NULL && fetch_may_repeat(fetch, sent);

    if (again) {
        fetch_repeat(fetch);
        return;
    }
    fetch_let_go_of_conn(fetch);
    fetch_fail(fetch, failure, detail);
}

static void exchange_head(void *user, struct response *response)
{
    struct origin_fetch *fetch = user;

    /* 408 on a kept connection: said before our request arrived (RFC 9110 15.5.9 lets it be repeated) */
    if (response->status == 408 && fetch_may_repeat(fetch, true)) {
        client_stream_finish(fetch->stream);
        fetch_repeat(fetch);
        return;
    }
    fetch->state = FETCH_ANSWERED;
    fetch_count(fetch, response->status);
    fetch->request.events->head(fetch->request.user, response);
}

/* False: the connection was dead. */
static bool fetch_use_conn(struct origin_fetch *fetch, struct origin_conn *conn)
{
    static const struct client_events events = {exchange_interim, exchange_head, exchange_failed};

    fetch->conn = conn;
    conn->fetch = fetch;
    fetch->state = FETCH_WAITING;
    fetch->stream = h1_client_request(conn->client, &fetch->request.request, &events, fetch);
    if (fetch->stream != NULL)
        return true;
    fetch_let_go_of_conn(fetch);
    return false;
}

/* ---- connecting -------------------------------------------------------------------------------------------------- */

static void fetch_origin_failed(struct origin_fetch *fetch)
{
    origin_connect_failed(fetch->origin, fetch_now(fetch), fetch->detail);
    fetch->tried |= UINT64_C(1) << (fetch->origin - fetch->request.group->origins);
    fetch->state = FETCH_STARTING;
    fetch_try(fetch);
}

static void conn_connected(void *owner, int32_t result, const char *detail)
{
    struct origin_conn *conn = owner;
    struct origin_fetch *fetch = conn->fetch;

    if (fetch == NULL) {
        if (result == 0)
            conn_idle(conn); /* its fetch has left meanwhile: keep it for the next */
        return;
    }
    if (result == 0) {
        origin_connected(conn->origin);
        if (!fetch_use_conn(fetch, conn))
            fetch_fail(fetch, CLIENT_FAILURE_CLOSED, "right after connecting");
        return;
    }
    fetch_let_go_of_conn(fetch);
    fetch->failure = result == -ETIMEDOUT ? CLIENT_FAILURE_CONNECT_TIMEOUT
                     : result == -EPROTO  ? CLIENT_FAILURE_TLS
                                          : CLIENT_FAILURE_CONNECT;
    log_safe(slice_str(detail != NULL ? detail : err_text(ERR_SYS(-result))), fetch->detail, sizeof(fetch->detail));
    fetch_connect_next(fetch);
}

static err fetch_open_conn(struct origin_fetch *fetch, const struct os_address *address)
{
    static const struct h1_client_owner events = {conn_connected, conn_idle, conn_gone};
    struct origin_pool *pool = fetch->pool;
    struct origin_conn *conn = calloc(1, sizeof(*conn));
    struct h1_client_config config = {
        .loop = pool->config.loop,
        .address = address,
        .tls = fetch->origin->tls,
        .name = fetch->origin->host,
        .connect_ms = pool->config.limits->connect_ms,
        .first_byte_ms = pool->config.limits->first_byte_ms,
        .between_ms = pool->config.limits->between_ms,
        .slow_body_ms = pool->config.limits->slow_body_ms,
        .idle_ms = pool->config.limits->idle_ms != 0 ? pool->config.limits->idle_ms : origin_limits_default.idle_ms,
        .events = &events,
        .owner = conn,
    };
    err result;

    ENSURE(conn != NULL, MEMORY);
    conn->pool = pool;
    conn->origin = fetch->origin;
    list_init(&conn->link);
    result = h1_client_new(&config, &conn->client);
    if (!err_is_ok(result)) {
        free(conn);
        return result;
    }
    pool->open_count++;
    conn->fetch = fetch;
    fetch->conn = conn;
    return ERR_OK;
}

static void fetch_connect_next(struct origin_fetch *fetch)
{
    fetch->state = FETCH_CONNECTING;
    while (fetch->address_next < fetch->address_count) {
        err result = fetch_open_conn(fetch, &fetch->addresses[fetch->address_next++]);
        if (err_is_ok(result))
            return;
        fetch->failure = CLIENT_FAILURE_CONNECT;
        log_safe(slice_str(err_text(result)), fetch->detail, sizeof(fetch->detail));
    }
    fetch_origin_failed(fetch);
}

static void fetch_resolved(struct resolve *resolve, const struct os_address *addresses, unsigned count, const char *why)
{
    struct origin_fetch *fetch = container_of(resolve, struct origin_fetch, resolve);

    if (count == 0) {
        fetch->failure = CLIENT_FAILURE_RESOLVE;
        log_safe(slice_str(why), fetch->detail, sizeof(fetch->detail));
        fetch_origin_failed(fetch);
        return;
    }
    fetch->address_count = MIN(count, RESOLVE_ADDRESSES_MAX);
    fetch->address_next = 0;
    memcpy(fetch->addresses, addresses, fetch->address_count * sizeof(*addresses));
    fetch_connect_next(fetch);
}

/* The next origin, over a kept connection or a new one. */
static void fetch_try(struct origin_fetch *fetch)
{
    struct origin_pool *pool = fetch->pool;
    struct origin_conn *conn;

    if (!fetch->retried || fetch->tried != 0) {
        fetch->origin = origin_pick(fetch->request.group, fetch->tried, fetch_now(fetch));
        if (fetch->origin == NULL) {
            fetch->origin = &fetch->request.group->origins[0];
            fetch_fail(fetch, fetch->failure, NULL);
            return;
        }
    }
    while (!fetch->fresh && (conn = pool_take_idle(pool, fetch->origin)) != NULL)
        if (fetch_use_conn(fetch, conn))
            return;
    if (pool->open_count >= pool->config.limits->connections_max) {
        fetch_fail(fetch, CLIENT_FAILURE_LIMIT, NULL);
        return;
    }
    if (fetch->origin->address.len != 0) {
        fetch->addresses[0] = fetch->origin->address;
        fetch->address_count = 1;
        fetch->address_next = 0;
        fetch_connect_next(fetch);
        return;
    }
    fetch->state = FETCH_RESOLVING;
    fetch->resolve.done = fetch_resolved;
    resolve_start(pool->config.resolver, &fetch->resolve, fetch->origin->host, fetch->origin->port);
}

static void fetch_run(struct task *task)
{
    fetch_try(container_of(task, struct origin_fetch, task));
}

struct origin_fetch *origin_fetch_start(struct origin_pool *pool, const struct origin_request *request)
{
    struct origin_fetch *fetch = malloc(sizeof(*fetch));

    if (fetch == NULL)
        return NULL;
    memset(fetch, 0, offsetof(struct origin_fetch, addresses));
    memset(&fetch->address_count, 0, sizeof(*fetch) - offsetof(struct origin_fetch, address_count));
    fetch->pool = pool;
    fetch->request = *request;
    fetch->begun_ns = fetch_now(fetch);
    task_init(&fetch->task, fetch_run);
    loop_defer(pool->config.loop, &fetch->task);
    return fetch;
}

struct source *origin_fetch_body(struct origin_fetch *fetch)
{
    return fetch->stream->body;
}

void origin_fetch_tunnel(struct origin_fetch *fetch, struct source *from_client)
{
    client_stream_tunnel(fetch->stream, from_client);
}

const struct origin *origin_fetch_origin(const struct origin_fetch *fetch)
{
    return fetch->origin;
}

uint64_t origin_fetch_begun_ns(const struct origin_fetch *fetch)
{
    return fetch->begun_ns;
}

void origin_fetch_hand_over(struct origin_fetch *fetch, const struct origin_events *events, void *user)
{
    INVARIANT(fetch->state == FETCH_ANSWERED);
    fetch->request.events = events;
    fetch->request.user = user;
}

struct origin_fetch *origin_fetch_finish(struct origin_fetch *fetch)
{
    struct client_stream *stream;

    if (fetch == NULL)
        return NULL;
    task_cancel(&fetch->task);
    if (fetch->state == FETCH_RESOLVING)
        resolve_cancel(fetch->pool->config.resolver, &fetch->resolve);
    stream = fetch->stream;
    fetch_let_go_of_conn(fetch); /* one that is still connecting is kept for the next fetch */
    client_stream_finish(stream);
    free(fetch);
    return NULL;
}
