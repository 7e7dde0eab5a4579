/* One node of one thread: a real server over real transactions, a store and a simulated origin. */
#ifndef WARP_TESTS_TXN_TEST_H
#define WARP_TESTS_TXN_TEST_H

#include "../one_tenant.h"
#include "proto/server.h"
#include "tenant/tenant.h"
#include "tests/support/sim_net.h"
#include "txn/txn.h"

#include <stdio.h>
#include <stdlib.h>

#define HERE   "10.0.0.2:80"
#define ORIGIN "10.0.0.9:80"
#define FRESH  "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Type: text/plain\r\nETag: \"v1\"\r\n"

struct site {
    struct resolver *resolver;
    struct origin_pool *pool;
    struct fill_context fills;
    struct txn_context txns;
    struct server *server;
    struct storage *storage;
    struct tenants *tenants;
    struct metrics *metrics;
    struct os_acceptor acceptor;
    struct os_listener listener;
    struct door *door;
};
static struct site site;

static inline void site_accepted(struct os_acceptor *acceptor, int fd, const struct os_peer *peer)
{
    (void)acceptor;
    server_accept(site.server, fd, peer);
}

static inline void site_open(void)
{
    static const uint8_t secret[HASH_SECRET_BYTES] = {3, 1, 4};
    struct loop *loop = sim_net.loops[0];
    struct store_ram_config ram = {.max_bytes = 16u << 20, .secret = secret};
    struct metrics_config metrics = {.threads = 1, .tenants_shown = 1000,
                                     .refused = {stream_refusals, stream_refusals_count},
                                     .limits = {stream_limits, STREAM_LIMIT_COUNT}};
    struct origin_group *group = NULL;
    struct origin_pool_config pool = {.loop = loop, .limits = &origin_limits_default};
    struct server_config server = {
        .loop = loop, .events = &txn_events, .context = &site.txns, .limits = &server_limits_default};
    struct os_address address = address_of(HERE);
    slice url = SLICE(ORIGIN);
    struct origin_group_config origins = {.urls = &url, .count = 1, .h2 = true};
    char why[256];
    struct fill_table *table;

    site = (struct site){0};
    site.door = door_open(ORIGIN);
    assert_true(err_is_ok(metrics_new(&metrics, &site.metrics)));
    assert_true(err_is_ok(metrics_tenant_set(site.metrics, TENANT_DEFAULT, SLICE("default"))));
    assert_true(err_is_ok(store_ram_new(&ram, &site.storage)));
    assert_true(err_is_ok(origin_group_new(&origins, why, sizeof(why), &group)));
    site.tenants = one_tenant(group);
    assert_true(err_is_ok(metrics_origin_add(site.metrics, SLICE("default"), url, &group->origins[0].metric)));
    assert_true(err_is_ok(resolver_new(loop, &site.resolver)));
    pool.resolver = site.resolver;
    assert_true(err_is_ok(origin_pool_new(&pool, &site.pool)));
    assert_true(err_is_ok(fill_table_new(&table)));
    site.fills = (struct fill_context){.loop = loop,
                                       .table = table,
                                       .storage = site.storage,
                                       .pool = site.pool,
                                       .note_ms = 10000,
                                       .node = 1,
                                       .fills_max = 100,
                                       .metrics = metrics_block_of(site.metrics, 0)};
    fill_context_init(&site.fills);
    site.txns = (struct txn_context){.loop = loop,
                                     .storage = site.storage,
                                     .fills = &site.fills,
                                     .origins = site.pool,
                                     .metrics = metrics_block_of(site.metrics, 0),
                                     .node = 1};
    txn_context_init(&site.txns);
    txn_context_use(&site.txns, tenant_view_new(site.tenants));
    assert_non_null(site.txns.view);
    server.metrics = site.txns.metrics;
    assert_true(err_is_ok(server_new(&server, &site.server)));
    assert_true(err_is_ok(os_listen(&address, 1, 128, &site.listener)));
    site.acceptor = (struct os_acceptor){.accepted = site_accepted, .listener = &site.listener};
    assert_true(err_is_ok(os_accept_start(loop_os(loop), &site.acceptor)));
}

static inline bool site_is_quiet_(void *arg)
{
    (void)arg;
    origin_pool_close_idle(site.pool);
    return origin_pool_open(site.pool) == 0 && server_connections(site.server) == 0;
}

static inline void site_close(void)
{
    struct fill_table *table = site.fills.table;

    os_accept_stop(&site.acceptor);
    os_listener_close(&site.listener);
    server_stop(site.server);
    run_ms(100);
    fill_context_stop(&site.fills);
    run_ms(100);
    run_until(site_is_quiet_, NULL, "the last connection's end");
    assert_int_equal(site.txns.pool.in_use, 0); /* every transaction came to its end */
    server_free(site.server);
    assert_int_equal(site.txns.view->users, 0); /* and every fill */
    txn_context_done(&site.txns);
    fill_context_done(&site.fills);
    origin_pool_free(site.pool);
    resolver_free(site.resolver);
    fill_table_free(table);
    tenants_unref(site.tenants);
    storage_free(site.storage);
    metrics_free(site.metrics);
}

static inline bool any_input_(void *arg)
{
    const struct wire *wire = arg;
    return wire->len > wire->read || !list_is_empty(&site.door->waiting);
}

/* One miss through the origin; both connections stay. *origin NULL: a new one. */
static inline void miss(struct wire *client, struct wire **origin, const char *target, const char *answer)
{
    char text[300];

    snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: example.com\r\n\r\n", target);
    wire_say(client, text);
    if (*origin != NULL)
        run_until(any_input_, *origin, "a request to the origin");
    if (*origin == NULL || (*origin)->len == (*origin)->read)
        *origin = door_accept(site.door);
    wire_expect_head(*origin);
    wire_say(*origin, answer);
    wire_expect_head(client);
}

#endif
