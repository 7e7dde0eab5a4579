/* A fetch over a thread's connections to origins. */
#include "origin/gate.h"
#include "origin/pool.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>

#define NS_PER_MS   UINT64_C(1000000)
#define REPEATS_MAX 4u /* of requests that the origin says it has not looked at */

enum fetch_state { FETCH_STARTING, FETCH_RESOLVING, FETCH_QUEUED, FETCH_CONNECTING, FETCH_WAITING, FETCH_ANSWERED };

struct origin_fetch {
    struct origin_pool *pool;
    struct origin_request request;
    struct task task; /* starts it, and again when it was queued */
    struct list link; /* in side->waiting while FETCH_QUEUED */
    struct resolve resolve;
    struct origin *origin;
    struct origin_side *side; /* of origin */
    struct origin_conn *conn; /* being made for it, or used */
    struct client_stream *stream;
    struct os_address addresses[RESOLVE_ADDRESSES_MAX];
    unsigned address_count, address_next;
    uint64_t tried; /* origins, a bit each */
    uint64_t begun_ns;
    enum fetch_state state;
    enum client_failure failure;
    char detail[160];
    uint8_t repeats;
    bool retried; /* once, because a kept connection was lost */
    bool fresh;   /* not over a kept connection */
    bool stays;   /* with the origin it has chosen */
    bool has_turn;   /* past the gate, */
    struct origin_turn *turn; /* it waits for */
    struct origin_group *counted; /* held: whose gate it has to leave */
    struct timer turn_timer;
};

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

/* ---- the exchange ---------------------------------------------------------------------------------------------- */

static void fetch_let_go_of_conn(struct origin_fetch *fetch)
{
    struct origin_conn *conn = fetch->conn;

    if (conn != NULL && conn->is_connecting)
        conn->fetch = NULL;
    else if (conn != NULL)
        conn->exchanges--;
    fetch->conn = NULL;
    fetch->stream = NULL;
}

static void exchange_interim(void *user, struct response *response)
{
    struct origin_fetch *fetch = user;
    fetch->request.events->interim(fetch->request.user, response);
}

/* Of a request that the origin may have seen: once, when it came over a kept connection, which the origin may have
 * closed before; no byte of its body was taken, because it has none. */
static bool fetch_may_retry(const struct origin_fetch *fetch, bool sent)
{
    if (fetch->retried || !fetch->conn->is_used_again || fetch->request.request.body != NULL)
        return false;
    return !sent || method_is_idempotent(fetch->request.request.method);
}

/* RFC 9113 8.7: what HTTP/2 says was not processed can be sent again, whatever its method. */
static bool fetch_is_untouched(const struct origin_fetch *fetch, bool sent)
{
    return !sent && client_protocol(fetch->conn->client) == NET_ALPN_H2 && fetch->repeats < REPEATS_MAX;
}

static void fetch_again(struct origin_fetch *fetch)
{
    fetch->stays = true;
    fetch->state = FETCH_STARTING;
    loop_defer(fetch->pool->config.loop, &fetch->task);
}

static void fetch_retry(struct origin_fetch *fetch)
{
    /* where one kept HTTP/1 connection is dead the others may be, too */
    fetch->fresh = client_protocol(fetch->conn->client) == NET_ALPN_H1;
    fetch->retried = true;
    fetch_let_go_of_conn(fetch);
    fetch_again(fetch);
}

static void exchange_failed(void *user, enum client_failure failure, bool sent, const char *detail)
{
    struct origin_fetch *fetch = user;

    if (failure == CLIENT_FAILURE_CLOSED && fetch_is_untouched(fetch, sent)) {
        fetch->repeats++;
        fetch_let_go_of_conn(fetch);
        fetch_again(fetch);
        return;
    }
    /* with a detail: something of the answer came */
    if (failure == CLIENT_FAILURE_CLOSED && detail == NULL && fetch_may_retry(fetch, sent)) {
        fetch_retry(fetch);
        return;
    }
    fetch_let_go_of_conn(fetch);
    fetch_fail(fetch, failure, detail);
}

static void exchange_head(void *user, struct response *response)
{
    struct origin_fetch *fetch = user;

    /* 408 on a kept connection: said before our request arrived (RFC 9110 15.5.9 lets it be repeated) */
    if (response->status == 408 && fetch_may_retry(fetch, true)) {
        struct client_stream *stream = fetch->stream;
        fetch_retry(fetch);
        client_stream_finish(stream);
        return;
    }
    fetch->conn->is_used_again = true;
    fetch->state = FETCH_ANSWERED;
    fetch_count(fetch, response->status);
    fetch->request.events->head(fetch->request.user, response);
}

/* False: the connection was dead. */
static bool fetch_use_conn(struct origin_fetch *fetch, struct origin_conn *conn)
{
    static const struct client_events events = {exchange_interim, exchange_head, exchange_failed};

    fetch->conn = conn;
    conn->exchanges++;
    fetch->state = FETCH_WAITING;
    fetch->stream = client_begin(conn->client, &fetch->request.request, &events, fetch);
    if (fetch->stream == NULL)
        fetch_let_go_of_conn(fetch);
    conn_look(conn);
    return fetch->stream != NULL;
}

/* ---- queued: another's connection may do ----------------------------------------------------------------------- */

static bool fetch_is_h1_only(const struct origin_fetch *fetch)
{
    return fetch->request.request.upgrade || fetch->origin->h1_only;
}

static bool fetch_may_queue(const struct origin_fetch *fetch)
{
    return !fetch_is_h1_only(fetch) && side_is_worth_waiting(fetch->side);
}

static void fetch_queue(struct origin_fetch *fetch)
{
    fetch->state = FETCH_QUEUED;
    list_push_back(&fetch->side->waiting, &fetch->link);
    fetch->side->waiting_count++;
}

static void fetch_leave_queue(struct origin_fetch *fetch)
{
    if (fetch->state != FETCH_QUEUED)
        return;
    list_remove(&fetch->link);
    fetch->side->waiting_count--;
    fetch->state = FETCH_STARTING;
}

void fetch_wake_all(struct origin_side *side)
{
    struct list *node;

    while ((node = list_first(&side->waiting)) != NULL) {
        struct origin_fetch *fetch = container_of(node, struct origin_fetch, link);
        fetch_leave_queue(fetch);
        fetch->fresh = false; /* what it waited for is as fresh as can be */
        fetch_again(fetch);
    }
}

/* ---- connecting -------------------------------------------------------------------------------------------------- */

static void fetch_leave_origin(struct origin_fetch *fetch)
{
    fetch->tried |= UINT64_C(1) << (fetch->origin - fetch->request.group->origins);
    fetch->stays = false;
    fetch->state = FETCH_STARTING;
    loop_defer(fetch->pool->config.loop, &fetch->task);
}

/* Those who waited for the same connection have no better luck, and the origin has not failed any more often. */
static void fetch_origin_failed(struct origin_fetch *fetch)
{
    struct origin_side *side = fetch->side;

    origin_connect_failed(fetch->origin, fetch_now(fetch), fetch->detail);
    while (side->connecting == 0 && !list_is_empty(&side->waiting)) {
        struct origin_fetch *other = container_of(list_first(&side->waiting), struct origin_fetch, link);

        fetch_leave_queue(other);
        other->failure = fetch->failure;
        memcpy(other->detail, fetch->detail, sizeof(other->detail));
        fetch_leave_origin(other);
    }
    fetch_leave_origin(fetch);
}

static void fetch_connect_next(struct origin_fetch *fetch)
{
    while (fetch->address_next < fetch->address_count) {
        const struct os_address *address = &fetch->addresses[fetch->address_next++];
        err result = pool_connect(fetch->pool, fetch->side, address, fetch_is_h1_only(fetch), &fetch->conn);

        if (err_is_ok(result)) {
            fetch->conn->fetch = fetch;
            fetch->state = FETCH_CONNECTING;
            return;
        }
        fetch->failure = CLIENT_FAILURE_CONNECT;
        log_safe(slice_str(err_text(result)), fetch->detail, sizeof(fetch->detail));
    }
    fetch_origin_failed(fetch);
}

void fetch_connected(struct origin_fetch *fetch, struct origin_conn *conn, int32_t result, const char *detail)
{
    fetch->conn = NULL;
    if (result == 0) {
        if (!fetch_use_conn(fetch, conn))
            fetch_fail(fetch, CLIENT_FAILURE_CLOSED, "right after connecting");
        return;
    }
    fetch->failure = client_connect_failure(conn->client, result);
    log_safe(slice_str(detail != NULL ? detail : err_text(ERR_SYS(-result))), fetch->detail, sizeof(fetch->detail));
    fetch_connect_next(fetch);
}

/* The addresses are known. */
static void fetch_connect(struct origin_fetch *fetch)
{
    fetch->address_next = 0;
    if (fetch_may_queue(fetch))
        fetch_queue(fetch);
    else
        fetch_connect_next(fetch);
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
    memcpy(fetch->addresses, addresses, fetch->address_count * sizeof(*addresses));
    fetch_connect(fetch);
}

/* ---- choosing ------------------------------------------------------------------------------------------------------ */

/* False: it has failed. */
static bool fetch_choose(struct origin_fetch *fetch)
{
    if (!fetch->stays)
        fetch->origin = origin_pick(fetch->request.group, fetch->tried, fetch_now(fetch));
    if (fetch->origin == NULL) {
        fetch->origin = &fetch->request.group->origins[0];
        fetch_fail(fetch, fetch->failure, NULL);
        return false;
    }
    fetch->side = pool_side(fetch->pool, fetch->origin);
    if (fetch->side == NULL)
        fetch_fail(fetch, CLIENT_FAILURE_NO_MEMORY, NULL);
    return fetch->side != NULL;
}

static void fetch_resolve(struct origin_fetch *fetch)
{
    if (fetch->origin->address.len != 0) {
        fetch->addresses[0] = fetch->origin->address;
        fetch->address_count = 1;
        fetch_connect(fetch);
        return;
    }
    fetch->state = FETCH_RESOLVING;
    fetch->resolve.done = fetch_resolved;
    resolve_start(fetch->pool->config.resolver, &fetch->resolve, fetch->origin->host, fetch->origin->port);
}

static void fetch_run(struct task *task);

/* ---- its turn ------------------------------------------------------------------------------------------------------ */

static void fetch_turn_come(void *user)
{
    struct origin_fetch *fetch = user;

    loop_timer_stop(fetch->pool->config.loop, &fetch->turn_timer);
    fetch->turn = NULL;
    fetch->has_turn = true;
    fetch->counted = origin_group_ref(fetch->request.group);
    fetch_run(&fetch->task);
}

static void fetch_turn_late(struct timer *timer)
{
    fetch_fail(container_of(timer, struct origin_fetch, turn_timer), CLIENT_FAILURE_CONCURRENCY, "too many requests are under way");
}

/* False: it waits, or has failed. */
static bool fetch_enter(struct origin_fetch *fetch)
{
    const struct origin_pool_config *config = &fetch->pool->config;
    enum gate_entry entry = origin_gate_enter(fetch->request.group, config->loop, fetch_turn_come, fetch, &fetch->turn);

    switch (entry) {
    case GATE_FREE:
    case GATE_TAKEN:
        fetch->has_turn = true;
        fetch->counted = entry == GATE_TAKEN ? origin_group_ref(fetch->request.group) : NULL;
        break;
    case GATE_WAITS:
        if (config->metrics != NULL)
            metric_limit(config->metrics, STREAM_LIMIT_ORIGIN_CONCURRENCY);
        loop_timer_set(config->loop, &fetch->turn_timer, fetch->begun_ns + config->limits->first_byte_ms * NS_PER_MS);
        break;
    case GATE_NO_MEMORY:
        fetch_fail(fetch, CLIENT_FAILURE_NO_MEMORY, NULL);
        break;
    }
    return entry == GATE_FREE || entry == GATE_TAKEN;
}

/* An origin, and a connection to it: one with room, one that is being made, or a new one. */
static void fetch_run(struct task *task)
{
    struct origin_fetch *fetch = container_of(task, struct origin_fetch, task);
    struct origin_pool *pool = fetch->pool;
    struct origin_conn *conn;

    if (!fetch->has_turn && !fetch_enter(fetch))
        return;
    if (!fetch_choose(fetch))
        return;
    while (!fetch->fresh && (conn = pool_take(fetch->side, fetch_is_h1_only(fetch))) != NULL)
        if (fetch_use_conn(fetch, conn))
            return;
    if (fetch_may_queue(fetch)) {
        fetch_queue(fetch);
        return;
    }
    if (pool->open_count >= pool->config.limits->connections_max) {
        fetch_fail(fetch, CLIENT_FAILURE_LIMIT, NULL);
        return;
    }
    fetch_resolve(fetch);
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
    list_init(&fetch->link);
    task_init(&fetch->task, fetch_run);
    timer_init(&fetch->turn_timer, fetch_turn_late);
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

static void fetch_leave_gate(struct origin_fetch *fetch)
{
    loop_timer_stop(fetch->pool->config.loop, &fetch->turn_timer);
    fetch->turn = origin_gate_cancel(fetch->turn);
    if (fetch->counted != NULL) {
        origin_gate_leave(fetch->counted);
        fetch->counted = origin_group_unref(fetch->counted);
    }
}

struct origin_fetch *origin_fetch_finish(struct origin_fetch *fetch)
{
    struct client_stream *stream;

    if (fetch == NULL)
        return NULL;
    task_cancel(&fetch->task);
    fetch_leave_gate(fetch);
    fetch_leave_queue(fetch);
    if (fetch->state == FETCH_RESOLVING)
        resolve_cancel(fetch->pool->config.resolver, &fetch->resolve);
    stream = fetch->stream;
    fetch_let_go_of_conn(fetch); /* one that is still connecting is kept for the next fetch */
    client_stream_finish(stream);
    free(fetch);
    return NULL;
}
