/* Two threads that fill one store from one simulated origin. */
#ifndef WARP_TESTS_FILL_TEST_H
#define WARP_TESTS_FILL_TEST_H

#include "../one_tenant.h"
#include "cache/key.h"
#include "cache/vary.h"
#include "fill/fill_internal.h"
#include "http/h1_parse.h"
#include "store/storage_ops.h"
#include "tests/support/late_tier.h"
#include "tests/support/sim_net.h"
#include "tests/support/taken.h"

#include <stdio.h>

#define ORIGIN  "10.0.0.9:80"
#define THREADS 2u
#define TENANT  1u
#define FRESH   "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: \"v1\"\r\n"

struct site {
    struct resolver *resolver[THREADS];
    struct origin_pool *pool[THREADS];
    struct fill_context context[THREADS];
    struct fill_table *table;
    struct storage *storage;
    struct tenants *tenants;
    struct tenant_view *view[THREADS];
    struct door *door;
    struct arena arena;
};
static struct site site;

static inline struct storage *site_tier(void)
{
    static const uint8_t secret[HASH_SECRET_BYTES] = {7, 8, 9};
    struct store_ram_config config = {.max_bytes = 32u << 20, .secret = secret};
    struct storage *storage = NULL;

    assert_true(err_is_ok(store_ram_new(&config, &storage)));
    return storage;
}

/* storage is taken over. */
static inline void site_open_over(struct storage *storage)
{
    slice url = SLICE(ORIGIN);
    struct origin_group_config origins = {.urls = &url, .count = 1, .h2 = true};
    struct origin_group *group = NULL;
    char why[256];

    site = (struct site){.storage = storage};
    arena_init(&site.arena, NULL, 0, 8u << 20);
    site.door = door_open(ORIGIN);
    assert_true(err_is_ok(fill_table_new(&site.table)));
    assert_true(err_is_ok(origin_group_new(&origins, why, sizeof(why), &group)));
    site.tenants = one_tenant(group);
    for (unsigned i = 0; i < THREADS; i++) {
        struct origin_pool_config config = {.loop = sim_net.loops[i], .limits = &origin_limits_default};
        site.view[i] = tenant_view_new(site.tenants);
        assert_non_null(site.view[i]);
        assert_true(err_is_ok(resolver_new(sim_net.loops[i], &site.resolver[i])));
        config.resolver = site.resolver[i];
        assert_true(err_is_ok(origin_pool_new(&config, &site.pool[i])));
        site.context[i] = (struct fill_context){.loop = sim_net.loops[i],
                                                .table = site.table,
                                                .storage = site.storage,
                                                .pool = site.pool[i],
                                                .note_ms = 10000,
                                                .node = 1,
                                                .fills_max = 100};
        fill_context_init(&site.context[i]);
    }
}

static inline void site_open(void)
{
    site_open_over(site_tier());
}

static bool site_is_quiet_(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < THREADS; i++) {
        origin_pool_close_idle(site.pool[i]);
        if (origin_pool_open(site.pool[i]) > 0)
            return false;
    }
    return true;
}

static inline void site_close(void)
{
    for (unsigned i = 0; i < THREADS; i++) {
        fill_context_stop(&site.context[i]);
        assert_int_equal(site.context[i].count, 0);
    }
    run_ms(1000); /* mail */
    run_until(site_is_quiet_, NULL, "the last connection's end");
    for (unsigned i = 0; i < THREADS; i++) {
        fill_context_done(&site.context[i]);
        assert_int_equal(site.view[i]->users, 0); /* every fill let go */
        tenant_view_retire(site.view[i]);
        origin_pool_free(site.pool[i]);
        resolver_free(site.resolver[i]);
    }
    for (unsigned i = 0; i < 200; i++)
        storage_turn(site.storage, os_wall_ms());
    fill_table_free(site.table);
    tenants_unref(site.tenants);
    storage_free(site.storage);
    arena_done(&site.arena);
    door_shut(site.door);
}

/* ---- one who waits --------------------------------------------------------------------------------------- */

struct seeker {
    struct fill_waiter waiter;
    struct request request;
    slice key;
    enum fill_joined joined;
    bool told, gone;
    unsigned interims;
};

static inline void seeker_done(struct fill_waiter *waiter)
{
    struct seeker *seeker = container_of(waiter, struct seeker, waiter);

    assert_false(seeker->told);
    assert_false(seeker->gone);
    seeker->told = true;
}

static inline void seeker_interim(struct fill_waiter *waiter, struct response *response)
{
    (void)response;
    container_of(waiter, struct seeker, waiter)->interims++;
}

static inline void seeker_gone(struct fill_waiter *waiter)
{
    struct seeker *seeker = container_of(waiter, struct seeker, waiter);

    assert_false(seeker->told);
    assert_false(seeker->gone);
    seeker->gone = true;
}

static inline slice key_of(const char *target)
{
    struct key_parts parts = {.tenant = TENANT, .authority = SLICE("h"), .target = slice_str(target)};
    slice key;

    assert_true(err_is_ok(key_build(&site.arena, &parts, &key)));
    return key;
}

static inline void request_of(const char *target, const char *more, struct request *ret_request)
{
    slice head = arena_printf(&site.arena, "GET %s HTTP/1.1\r\nHost: h\r\n%s\r\n", target, more);
    struct h1_limits limits = H1_LIMITS_REQUEST;

    assert_int_equal(h1_parse_request(head, &limits, false, &site.arena, ret_request), H1_OK);
}

struct seek {
    const char *target;
    const char *more; /* request fields, each with its CRLF */
    unsigned thread;
    struct store_object *stale;
    slice slot_key;
    bool alone, background;
};

static inline enum fill_joined seek_with(struct seeker *seeker, struct seek seek)
{
    struct fill_start start;

    *seeker = (struct seeker){.waiter = {.loop = sim_net.loops[seek.thread], .done = seeker_done, .interim = seeker_interim}};
    request_of(seek.target, seek.more != NULL ? seek.more : "", &seeker->request);
    seeker->key = key_of(seek.target);
    start = (struct fill_start){.context = &site.context[seek.thread],
                                .request = &seeker->request,
                                .primary_key = seeker->key,
                                .slot_key = seek.slot_key.data != NULL ? seek.slot_key : seeker->key,
                                .view = site.view[seek.thread],
                                .policy = &tenants_at(site.tenants, 0)->policy,
                                .client_ip = SLICE("192.0.2.1"),
                                .request_id = SLICE("id"),
                                .stale = seek.stale,
                                .alone = seek.alone};
    seeker->joined = fill_join(&start, seek.background ? NULL : &seeker->waiter);
    return seeker->joined;
}

static inline void seek(struct seeker *seeker, const char *target, unsigned thread)
{
    (void)seek_with(seeker, (struct seek){.target = target, .thread = thread});
}

static inline void expect_outcome(struct seeker *seeker, enum fill_outcome outcome)
{
    RUN_UNTIL_TRUE(seeker->told);
    assert_int_equal(seeker->waiter.outcome, outcome);
}

/* What the seeker got is let go of. */
static inline void seeker_end(struct seeker *seeker)
{
    seeker->waiter.object = store_object_unref(seeker->waiter.object);
    seeker->waiter.handed = fill_handed_free(seeker->waiter.handed);
}

/* Reads the object the seeker got to its end. */
static inline void expect_read(struct store_object *object, unsigned thread, enum source_state end, const char *text)
{
    struct hit_handler hit;
    struct taken taken;

    assert_non_null(object);
    hit_handler_open(&hit, store_object_ref(object), sim_net.loops[thread]);
    take_begin(&taken, &hit.source);
    take_expect(&taken, end, text);
    take_done(&taken);
    source_close(&hit.source);
    run_ms(1);
}

static inline struct store_lookup look(slice key)
{
    struct store_lookup lookup = {.key = storage_key(site.storage, key), .peek = true};

    assert_int_equal(storage_lookup(site.storage, &lookup), STORE_DONE);
    return lookup;
}

static inline bool is_stored(const char *target)
{
    struct store_lookup lookup = look(key_of(target));
    bool found = lookup.found == STORE_HIT;

    store_object_unref(lookup.object);
    return found;
}

static inline void purge_host(void)
{
    struct store_purge purge = {.tenant = TENANT,
                                .kind = STORE_LABEL_HOST,
                                .label = store_label_of(TENANT, STORE_LABEL_HOST, SLICE("h"))};

    assert_int_equal(storage_purge(site.storage, &purge), STORE_DONE);
}

/* The origin's next connection, its request read; the head is valid until the next. */
static const char *asked_head;
static inline struct wire *origin_next(void)
{
    struct wire *wire = door_accept(site.door);

    asked_head = wire_expect_head(wire);
    return wire;
}

static bool origin_is_asked_(void *arg)
{
    const struct wire *wire = arg;
    return wire->len > wire->read || !list_is_empty(&site.door->waiting);
}

/* The origin's next request, on that connection or on a new one. */
static inline struct wire *origin_again(struct wire *wire)
{
    run_until(origin_is_asked_, wire, "another request");
    if (wire->len == wire->read)
        return origin_next();
    asked_head = wire_expect_head(wire);
    return wire;
}

/* Fills target with a fresh answer of that body; the wire is idle then. */
static inline struct wire *store_one(const char *target, const char *head, const char *body)
{
    struct seeker seeker;
    struct wire *wire;
    char text[2000];

    seek(&seeker, target, 0);
    wire = origin_next();
    snprintf(text, sizeof(text), "%sContent-Length: %zu\r\n\r\n%s", head, strlen(body), body);
    wire_say(wire, text);
    expect_outcome(&seeker, FILL_OBJECT);
    expect_read(seeker.waiter.object, 0, SOURCE_END, body);
    seeker_end(&seeker);
    return wire;
}

#endif
