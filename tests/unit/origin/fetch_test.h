/* A pool before scripted origins, and one fetch with what became of it. */
#ifndef WARP_TESTS_FETCH_TEST_H
#define WARP_TESTS_FETCH_TEST_H

#include "origin/origin.h"
#include "tests/support/feed.h"
#include "tests/support/sim_net.h"
#include "tests/support/taken.h"

#include <stdio.h>

#define ONE "10.0.0.11:80"
#define TWO "10.0.0.12:80"

static struct resolver *resolver;
static struct origin_pool *pool;
static struct origin_group *group;
static struct origin_limits limits;

/* One fetch and what became of it. */
struct got {
    struct origin_fetch *fetch;
    struct arena arena;
    struct fields fields;
    struct feed upload;
    unsigned heads, failures, interims;
    bool told;
    struct response response;
    enum client_failure failure;
    char detail[160];
};

static inline void on_interim(void *user, struct response *response)
{
    (void)response;
    ((struct got *)user)->interims++;
}

static inline void on_head(void *user, struct response *response)
{
    struct got *got = user;
    got->heads++;
    got->told = true;
    got->response = *response;
}

static inline void on_failed(void *user, enum client_failure failure, const char *detail)
{
    struct got *got = user;
    got->failures++;
    got->told = true;
    got->failure = failure;
    got->fetch = NULL;
    snprintf(got->detail, sizeof(got->detail), "%s", detail != NULL ? detail : "");
}

static const struct origin_events events = {on_interim, on_head, on_failed};

static inline void pool_open(const char *one, const char *two)
{
    slice urls[2] = {slice_str(one), slice_str(two)};
    struct origin_group_config origins = {.urls = urls, .count = two != NULL ? 2 : 1, .h2 = true};
    struct origin_pool_config config = {.loop = sim_net.loops[0], .limits = &limits};
    char why[256];

    limits = origin_limits_default;
    assert_true(err_is_ok(resolver_new(sim_net.loops[0], &resolver)));
    config.resolver = resolver;
    assert_true(err_is_ok(origin_group_new(&origins, why, sizeof(why), &group)));
    assert_true(err_is_ok(origin_pool_new(&config, &pool)));
}

static inline bool pool_is_closed(void *arg)
{
    (void)arg;
    origin_pool_close_idle(pool);
    return origin_pool_open(pool) == 0;
}

static inline void pool_close(void)
{
    run_until(pool_is_closed, NULL, "the last connection's end");
    pool = origin_pool_free(pool);
    group = origin_group_unref(group);
    resolver = resolver_free(resolver);
}

static inline void fetch_with(struct got *got, enum method method, const char *name, bool body)
{
    struct origin_request request = {.request = {.method = method,
                                                 .method_name = slice_str(name),
                                                 .target = SLICE("/x"),
                                                 .body_bytes = body ? 4 : -1},
                                     .group = group,
                                     .events = &events,
                                     .user = got};

    *got = (struct got){0};
    arena_init(&got->arena, NULL, 0, 0);
    fields_init(&got->fields, &got->arena);
    assert_true(err_is_ok(fields_add(&got->fields, F_HOST, SLICE("h"))));
    feed_init(&got->upload, SLICE("body"));
    feed_all(&got->upload);
    request.request.fields = &got->fields;
    request.request.arena = &got->arena;
    request.request.body = body ? &got->upload.source : NULL;
    got->fetch = origin_fetch_start(pool, &request);
    assert_non_null(got->fetch);
    assert_false(got->told); /* never from inside */
}

static inline void fetch_get(struct got *got)
{
    fetch_with(got, METHOD_GET, "GET", false);
}

static inline void got_done(struct got *got)
{
    got->fetch = origin_fetch_finish(got->fetch);
    arena_done(&got->arena);
}

static inline void expect_head(struct got *got, unsigned status)
{
    RUN_UNTIL_TRUE(got->told);
    assert_int_equal(got->failures, 0);
    assert_int_equal(got->heads, 1);
    assert_int_equal(got->response.status, status);
}

static inline void expect_failed(struct got *got, enum client_failure failure)
{
    RUN_UNTIL_TRUE(got->told);
    assert_int_equal(got->heads, 0);
    assert_int_equal(got->failures, 1);
    assert_int_equal(got->failure, failure);
    got_done(got);
}

#endif
