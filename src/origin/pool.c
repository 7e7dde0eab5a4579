/* One thread's connections to origins. */
#include "origin/pool.h"

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

/* ---- sides ------------------------------------------------------------------------------------------------------ */

static struct list *side_bucket(struct origin_pool *pool, const struct origin *origin)
{
    return &pool->sides[(uintptr_t)origin / sizeof(*origin) % ORIGIN_SIDE_BUCKETS];
}

struct origin_side *pool_side(struct origin_pool *pool, struct origin *origin)
{
    struct list *bucket = side_bucket(pool, origin);
    struct origin_side *side;

    LIST_FOREACH(bucket, it)
    {
        side = container_of(it, struct origin_side, link);
        if (side->origin == origin)
            return side;
    }
    side = calloc(1, sizeof(*side));
    if (side == NULL)
        return NULL;
    side->origin = origin;
    origin_group_ref(origin->group);
    side->room_max = pool->config.limits->streams_max != 0 ? pool->config.limits->streams_max : ORIGIN_ROOM_ASSUMED;
    list_init(&side->open);
    list_init(&side->waiting);
    list_push_back(bucket, &side->link);
    return side;
}

static void side_free(struct origin_side *side)
{
    INVARIANT(list_is_empty(&side->open) && list_is_empty(&side->waiting) && side->connecting == 0);
    list_remove(&side->link);
    net_tls_memory_done(&side->memory);
    origin_group_unref(side->origin->group);
    free(side);
}

bool side_is_worth_waiting(const struct origin_side *side)
{
    uint8_t speaks = atomic_load_explicit(&side->origin->speaks, memory_order_relaxed);

    return speaks != NET_ALPN_H1 && side->waiting_count + side->connecting < side->connecting * side->room_max;
}

/* ---- connections -------------------------------------------------------------------------------------------------- */

static void conn_set_idle(struct origin_conn *conn, bool is_idle)
{
    if (conn->is_idle == is_idle)
        return;
    conn->is_idle = is_idle;
    if (is_idle)
        conn->pool->idle_count++;
    else
        conn->pool->idle_count--;
}

static void conn_set_open(struct origin_conn *conn, bool is_open)
{
    if (is_open && !list_is_linked(&conn->link))
        list_push_front(&conn->side->open, &conn->link);
    else if (!is_open && list_is_linked(&conn->link))
        list_remove(&conn->link);
}

static void conn_close(struct origin_conn *conn)
{
    conn_set_open(conn, false);
    conn_set_idle(conn, false);
    client_close(conn->client);
}

void conn_look(struct origin_conn *conn)
{
    bool has_room = !conn->is_connecting && client_room(conn->client) > 0;
    bool is_idle = has_room && conn->exchanges == 0;

    if (client_protocol(conn->client) == NET_ALPN_H2 && has_room)
        conn->side->room_max = client_room_max(conn->client);
    conn_set_open(conn, has_room);
    conn_set_idle(conn, is_idle);
    conn->is_used_again |= is_idle;
    if (is_idle && conn->pool->idle_count > conn->pool->config.limits->idle_max)
        conn_close(conn);
}

static void conn_changed(void *owner)
{
    struct origin_conn *conn = owner;

    if (!conn->is_connecting)
        conn_look(conn);
}

static void conn_gone(void *owner)
{
    struct origin_conn *conn = owner;

    INVARIANT(conn->exchanges == 0 && conn->fetch == NULL);
    conn_set_open(conn, false);
    conn_set_idle(conn, false);
    conn->pool->open_count--;
    conn->side->conn_count--;
    free(conn);
}

static void conn_connected(void *owner, int32_t result, const char *detail)
{
    struct origin_conn *conn = owner;
    struct origin_side *side = conn->side;
    struct origin_fetch *fetch = conn->fetch;

    conn->is_connecting = false;
    conn->fetch = NULL;
    if (conn->may_be_h2) {
        side->connecting--;
        if (result == 0)
            atomic_store_explicit(&side->origin->speaks, client_protocol(conn->client), memory_order_relaxed);
    }
    if (result == 0) {
        origin_connected(side->origin);
        if (fetch == NULL)
            conn_look(conn); /* it has left meanwhile: kept for the next */
    }
    if (fetch != NULL)
        fetch_connected(fetch, conn, result, detail);
    if (result == 0 || side->connecting == 0)
        fetch_wake_all(side);
}

struct origin_conn *pool_take(struct origin_side *side, bool h1_only)
{
    LIST_FOREACH(&side->open, it)
    {
        struct origin_conn *conn = container_of(it, struct origin_conn, link);
        if (!h1_only || client_protocol(conn->client) == NET_ALPN_H1)
            return conn;
    }
    return NULL;
}

static enum client_speaks speaks_of(const struct origin *origin, bool h1_only)
{
    if (h1_only || origin->h1_only)
        return CLIENT_H1;
    return origin->tls != NULL ? CLIENT_ALPN : CLIENT_H2;
}

err pool_connect(struct origin_pool *pool, struct origin_side *side, const struct os_address *address, bool h1_only,
                 struct origin_conn **ret_conn)
{
    static const struct client_owner events = {conn_connected, conn_changed, conn_gone};
    const struct origin_limits *limits = pool->config.limits;
    struct origin_conn *conn = calloc(1, sizeof(*conn));
    struct client_config config = {
        .loop = pool->config.loop,
        .shared = pool->shared,
        .metrics = pool->config.metrics,
        .address = address,
        .speaks = speaks_of(side->origin, h1_only),
        .tls = side->origin->tls,
        .memory = &side->memory,
        .name = side->origin->host,
        .room_assumed = MAX(1u, side->room_max),
        .room_max = limits->streams_max,
        .connect_ms = limits->connect_ms,
        .first_byte_ms = limits->first_byte_ms,
        .between_ms = limits->between_ms,
        .slow_body_ms = limits->slow_body_ms,
        .idle_ms = limits->idle_ms != 0 ? limits->idle_ms : origin_limits_default.idle_ms,
        .events = &events,
        .owner = conn,
    };
    err result;

    ENSURE(conn != NULL, MEMORY);
    *conn = (struct origin_conn){.pool = pool, .side = side, .is_connecting = true};
    conn->may_be_h2 = config.speaks != CLIENT_H1;
    list_init(&conn->link);
    result = client_new(&config, &conn->client);
    if (!err_is_ok(result)) {
        free(conn);
        return result;
    }
    side->connecting += conn->may_be_h2;
    side->conn_count++;
    pool->open_count++;
    *ret_conn = conn;
    return ERR_OK;
}

/* ---- the pool ------------------------------------------------------------------------------------------------------ */

err origin_pool_new(const struct origin_pool_config *config, struct origin_pool **ret_pool)
{
    struct origin_pool *pool = calloc(1, sizeof(*pool));

    ENSURE(pool != NULL, MEMORY);
    if (!err_is_ok(client_shared_new(&pool->shared))) {
        free(pool);
        return ERR(MEMORY);
    }
    pool->config = *config;
    for (unsigned i = 0; i < ORIGIN_SIDE_BUCKETS; i++)
        list_init(&pool->sides[i]);
    *ret_pool = pool;
    return ERR_OK;
}

static void side_close_idle(struct origin_side *side)
{
    LIST_FOREACH_SAFE(&side->open, it)
    {
        struct origin_conn *conn = container_of(it, struct origin_conn, link);
        if (conn->is_idle)
            conn_close(conn);
    }
}

void origin_pool_close_idle(struct origin_pool *pool)
{
    for (unsigned i = 0; i < ORIGIN_SIDE_BUCKETS; i++)
        LIST_FOREACH(&pool->sides[i], at)
            side_close_idle(container_of(at, struct origin_side, link));
}

void origin_pool_turn(struct origin_pool *pool)
{
    for (unsigned i = 0; i < ORIGIN_SIDE_BUCKETS; i++) {
        LIST_FOREACH_SAFE(&pool->sides[i], at)
        {
            struct origin_side *side = container_of(at, struct origin_side, link);
            if (!atomic_load_explicit(&side->origin->group->is_retired, memory_order_relaxed))
                continue;
            side_close_idle(side);
            if (side->conn_count == 0 && list_is_empty(&side->waiting))
                side_free(side);
        }
    }
}

struct origin_pool *origin_pool_free(struct origin_pool *pool)
{
    if (pool == NULL)
        return NULL;
    INVARIANT(pool->open_count == 0);
    for (unsigned i = 0; i < ORIGIN_SIDE_BUCKETS; i++)
        LIST_FOREACH_SAFE(&pool->sides[i], it)
            side_free(container_of(it, struct origin_side, link));
    client_shared_free(pool->shared);
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
