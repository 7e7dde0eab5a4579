/* A real server whose requests the test answers by hand. */
#ifndef WARP_TESTS_SERVER_TEST_H
#define WARP_TESTS_SERVER_TEST_H

#include "proto/server.h"
#include "tests/support/feed.h"
#include "tests/support/sim_net.h"
#include "tests/support/taken.h"

#include <stdio.h>
#include <stdlib.h>

#define HERE "10.0.0.2:80"

/* One exchange, from begin to ended; lives until node_close. */
struct asked {
    struct list link, fresh;
    struct server_stream *stream;
    struct arena arena;
    struct request request;
    bool has_request;
    unsigned refused_index;
    uint16_t refused; /* the status */
    const char *reason;
    unsigned ended;
    enum stream_end end;
    uint64_t sent_bytes;
    struct source_memory memory;
    struct feed feed;
    unsigned readied;
};

struct node {
    struct server *server;
    struct server_limits limits;
    struct metrics *metrics;
    struct os_acceptor acceptor;
    struct os_listener listener;
    struct list asked, fresh;
    unsigned begun, ended;
    bool is_listening, no_memory;
};
static struct node node;

static void *node_begin(void *context, struct server_stream *stream, struct arena **ret_arena)
{
    struct asked *asked;

    assert_ptr_equal(context, &node);
    if (node.no_memory)
        return NULL;
    asked = calloc(1, sizeof(*asked));
    assert_non_null(asked);
    asked->stream = stream;
    arena_init(&asked->arena, NULL, 0, 0);
    *ret_arena = &asked->arena;
    list_push_back(&node.asked, &asked->link);
    list_init(&asked->fresh);
    node.begun++;
    return asked;
}

static void node_request(void *user, struct request *request)
{
    struct asked *asked = user;

    assert_false(asked->has_request);
    asked->request = *request;
    asked->has_request = true;
    list_push_back(&node.fresh, &asked->fresh);
}

static void node_refused(void *user, unsigned index, uint16_t status, const char *reason, const char *text)
{
    struct asked *asked = user;

    assert_non_null(text);
    asked->refused = status;
    asked->refused_index = index;
    asked->reason = reason;
    list_push_back(&node.fresh, &asked->fresh);
}

static void node_ended(void *user, enum stream_end end)
{
    struct asked *asked = user;

    assert_int_equal(asked->ended, 0); /* exactly once, in every case */
    asked->ended++;
    asked->end = end;
    asked->sent_bytes = asked->stream->sent_bytes;
    asked->stream = NULL;
    list_remove(&asked->fresh);
    node.ended++;
}

static const struct server_events node_events = {node_begin, node_request, node_refused, node_ended};

static void node_accepted(struct os_acceptor *acceptor, int fd, const struct os_peer *peer)
{
    (void)acceptor;
    server_accept(node.server, fd, peer);
}

static inline void node_open(void)
{
    struct os_address address = address_of(HERE);
    struct server_config config = {.loop = sim_net.loops[0], .events = &node_events, .context = &node};
    struct metrics_config metrics = {.threads = 1, .tenants_shown = 1000, .limits = {stream_limits, STREAM_LIMIT_COUNT}};

    node = (struct node){.limits = server_limits_default, .is_listening = true};
    list_init(&node.asked);
    list_init(&node.fresh);
    config.limits = &node.limits;
    config.websocket = true;
    assert_true(err_is_ok(metrics_new(&metrics, &node.metrics)));
    config.metrics = metrics_block_of(node.metrics, 0);
    assert_true(err_is_ok(server_new(&config, &node.server)));
    assert_true(err_is_ok(os_listen(&address, 1, 128, &node.listener)));
    node.acceptor = (struct os_acceptor){.accepted = node_accepted, .listener = &node.listener};
    assert_true(err_is_ok(os_accept_start(loop_os(sim_net.loops[0]), &node.acceptor)));
}

static inline void node_unlisten(void)
{
    if (node.is_listening) {
        os_accept_stop(&node.acceptor);
        os_listener_close(&node.listener);
    }
    node.is_listening = false;
}

/* Ends everything and sees that every exchange was ended. */
static inline void node_close(void)
{
    node_unlisten();
    server_stop(node.server);
    sim_net_settle();
    assert_int_equal(server_connections(node.server), 0);
    assert_int_equal(node.ended, node.begun);
    node.server = server_free(node.server);
    node.metrics = metrics_free(node.metrics);
    for (struct list *link; (link = list_pop_front(&node.asked)) != NULL;) {
        struct asked *asked = container_of(link, struct asked, link);
        assert_int_equal(asked->ended, 1);
        arena_done(&asked->arena);
        free(asked);
    }
}

static bool node_has_request(void *arg)
{
    (void)arg;
    return !list_is_empty(&node.fresh);
}

/* How often that limit was reached. */
static inline unsigned node_limit(enum stream_limit limit)
{
    char name[64], *text, *at;
    size_t len;
    unsigned count = 0;

    assert_true(err_is_ok(metrics_text(node.metrics, METRICS_PROMETHEUS, &text, &len)));
    snprintf(name, sizeof(name), "warp_limit_hits_total{limit=\"%s\"} ", stream_limits[limit]);
    at = strstr(text, name);
    if (at != NULL)
        count = (unsigned)strtoul(at + strlen(name), NULL, 10);
    free(text);
    return count;
}

/* The next request (or refusal) that arrives. */
static inline struct asked *node_next(void)
{
    run_until(node_has_request, NULL, "a request");
    return container_of(list_pop_front(&node.fresh), struct asked, fresh);
}

static inline struct asked *node_expect(const char *method, const char *target)
{
    struct asked *asked = node_next();

    assert_true(asked->has_request);
    assert_true(slice_eq(asked->request.method_name, slice_str(method)));
    assert_true(slice_eq(asked->request.target, slice_str(target)));
    return asked;
}

static inline void answer(struct asked *asked, uint16_t status, const char *text)
{
    struct reply reply = {.status = status, .length_bytes = (int64_t)strlen(text)};

    source_memory_init(&asked->memory, slice_str(text));
    stream_respond(asked->stream, &reply, &asked->memory.source);
}

static inline bool asked_has_ended(void *arg)
{
    return ((struct asked *)arg)->ended > 0;
}

static inline void expect_ended(struct asked *asked, enum stream_end end)
{
    run_until(asked_has_ended, asked, "the end of the exchange");
    assert_int_equal(asked->end, end);
}

static bool node_is_empty_(void *arg)
{
    (void)arg;
    return server_connections(node.server) == 0;
}

static inline void node_expect_empty(void)
{
    run_until(node_is_empty_, NULL, "the last connection's end");
}

#endif
