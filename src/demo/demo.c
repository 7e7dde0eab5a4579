#include "demo/demo_internal.h"
#include "base/log.h"

#include <stdlib.h>

#define BACKLOG 512

/* ---- requests -------------------------------------------------------------------------------------------- */

static void *exchange_begin(void *context, struct server_stream *stream, struct arena **ret_arena)
{
    struct demo *demo = context;
    struct exchange *x = pool_get(&demo->exchange_pool);

    if (x == NULL)
        return NULL;
    memset(x, 0, offsetof(struct exchange, arena));
    x->demo = demo;
    x->stream = stream;
    x->cache_control = SLICE("no-store");
    arena_init(&x->arena, x->arena_first, sizeof(x->arena_first), DEMO_REQUEST_BYTES_MAX);
    *ret_arena = &x->arena;
    return x;
}

static void exchange_request(void *user, struct request *request)
{
    struct exchange *x = user;

    x->request = *request; /* what it points to lies in x->arena */
    if (!err_is_ok(route_answer(x)))
        stream_abort(x->stream);
}

static void exchange_refused(void *user, unsigned index, uint16_t status, const char *reason, const char *text)
{
    struct exchange *x = user;

    (void)index;
    (void)reason;
    x->request = (struct request){.method = METHOD_GET};
    if (!err_is_ok(answer_text(x, status, TYPE_TEXT, arena_printf(&x->arena, "%s\n", text))))
        stream_abort(x->stream);
}

static void exchange_ended(void *user, enum stream_end end)
{
    struct exchange *x = user;
    struct demo *demo = x->demo;

    (void)end;
    arena_done(&x->arena);
    pool_put(&demo->exchange_pool, x);
}

/* ---- the demo -------------------------------------------------------------------------------------------- */

unsigned demo_counts_len(void)
{
    return routes_count + site_files_count + 1;
}

static void demo_stop_now(struct timer *timer)
{
    struct demo *demo = container_of(timer, struct demo, stop_timer);
    server_stop(demo->server);
}

static void demo_empty(void *arg)
{
    struct demo *demo = arg;

    loop_timer_stop(demo->loop, &demo->stop_timer);
    if (demo->stopped != NULL)
        demo->stopped(demo->stopped_arg);
}

static void demo_stop_run(struct mail *mail)
{
    struct demo *demo = container_of(mail, struct demo, stop_mail);

    if (demo->listening) {
        os_accept_stop(&demo->acceptor);
        os_listener_close(&demo->listener);
        demo->listening = false;
    }
    loop_timer_set(demo->loop, &demo->stop_timer, loop_now_ns(demo->loop) + DEMO_STOP_MS * UINT64_C(1000000));
    server_drain(demo->server, demo_empty, demo);
}

/* Long idle times: the cache in front keeps its connections, and a close that crosses a request costs a retry. */
MUST_USE static err demo_server_new(struct demo *demo)
{
    static const struct server_events events = {exchange_begin, exchange_request, exchange_refused, exchange_ended};
    struct server_config config = {.loop = demo->loop, .events = &events, .context = demo, .limits = &demo->limits};

    demo->limits = server_limits_default;
    demo->limits.idle_ms = 120000;
    demo->limits.connections_max = DEMO_CONNECTIONS_MAX;
    return server_new(&config, &demo->server);
}

err demo_new(struct loop *loop, struct demo **ret_demo)
{
    struct demo *demo = calloc(1, sizeof(*demo));
    err made;

    ENSURE(demo != NULL, MEMORY);
    demo->loop = loop;
    demo->begun_ns = loop_now_ns(loop);
    pool_init(&demo->exchange_pool, sizeof(struct exchange), 64);
    pool_init(&demo->large_pool, LARGE_WINDOW_BYTES, 16);
    timer_init(&demo->stop_timer, demo_stop_now);
    demo->stop_mail.run = demo_stop_run;
    demo->counts = calloc(demo_counts_len(), sizeof(*demo->counts));
    made = demo->counts != NULL ? demo_server_new(demo) : ERR(MEMORY);
    if (!err_is_ok(made)) {
        demo_free(demo);
        return made;
    }
    *ret_demo = demo;
    return ERR_OK;
}

struct demo *demo_free(struct demo *demo)
{
    if (demo == NULL)
        return NULL;
    if (demo->listening) {
        os_accept_stop(&demo->acceptor);
        os_listener_close(&demo->listener);
    }
    loop_timer_stop(demo->loop, &demo->stop_timer);
    server_free(demo->server);
    pool_done(&demo->exchange_pool);
    pool_done(&demo->large_pool);
    free(demo->counts);
    free(demo);
    return NULL;
}

static void demo_accepted(struct os_acceptor *acceptor, int fd, const struct os_peer *peer)
{
    demo_accept(container_of(acceptor, struct demo, acceptor), fd, peer);
}

static void demo_accept_failed(struct os_acceptor *acceptor, int error)
{
    (void)acceptor;
    log_warn("demo: cannot accept connections just now: %s", err_text(ERR_SYS(error)));
}

err demo_listen(struct demo *demo, const struct os_address *address, struct os_address *ret_address)
{
    err started;

    INVARIANT(!demo->listening);
    TRY(os_listen(address, 1, BACKLOG, &demo->listener));
    demo->acceptor = (struct os_acceptor){
        .listener = &demo->listener, .accepted = demo_accepted, .failed = demo_accept_failed};
    started = os_accept_start(loop_os(demo->loop), &demo->acceptor);
    if (!err_is_ok(started)) {
        os_listener_close(&demo->listener);
        return started;
    }
    demo->listening = true;
    *ret_address = demo->listener.address;
    return ERR_OK;
}

void demo_accept(struct demo *demo, int fd, const struct os_peer *peer)
{
    server_accept(demo->server, fd, peer);
}

void demo_stop(struct demo *demo)
{
    if (!atomic_exchange(&demo->stop_asked, true))
        loop_post(demo->loop, &demo->stop_mail);
}

void demo_set_stopped(struct demo *demo, void (*stopped)(void *arg), void *arg)
{
    demo->stopped = stopped;
    demo->stopped_arg = arg;
}

/* ---- alone on a thread ----------------------------------------------------------------------------------- */

static void runner_stopped(void *arg)
{
    loop_stop(arg);
}

MUST_USE static err runner_serve(struct loop *loop, struct demo *demo, const struct os_address *address,
                                 void (*started)(void *arg, struct demo *demo, const struct os_address *bound),
                                 void *arg)
{
    struct os_address bound;

    TRY(demo_listen(demo, address, &bound));
    demo_set_stopped(demo, runner_stopped, loop);
    if (started != NULL)
        started(arg, demo, &bound);
    loop_run(loop);
    return ERR_OK;
}

err demo_run(const struct os_address *address,
             void (*started)(void *arg, struct demo *demo, const struct os_address *bound), void *arg)
{
    struct loop_config config = {.os.io = OS_IO_EPOLL};
    struct loop *loop;
    struct demo *demo;
    err result;

    TRY(loop_new(&config, &loop));
    result = demo_new(loop, &demo);
    if (err_is_ok(result)) {
        result = runner_serve(loop, demo, address, started, arg);
        demo_free(demo);
    }
    loop_free(loop);
    return result;
}
