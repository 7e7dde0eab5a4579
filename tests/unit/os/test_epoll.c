#include "conn.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

struct world {
    struct os *os;
    struct acceptor acceptor;
    struct conn client, server;
};

static int world_setup_at(void **state, slice text)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_true(err_is_ok(os_new(NULL, &w->os)));
    acceptor_start(w->os, &w->acceptor, text);
    pair_open(w->os, &w->acceptor, &w->client, &w->server);
    *state = w;
    return 0;
}

static int world_setup(void **state)
{
    return world_setup_at(state, SLICE("127.0.0.1:0"));
}

static int world_setup_unix(void **state)
{
    char text[64];
    snprintf(text, sizeof(text), "unix:/tmp/warp-test-epoll-%d", (int)getpid());
    return world_setup_at(state, slice_str(text));
}

static int world_teardown(void **state)
{
    struct world *w = *state;
    pair_close(w->os, &w->client, &w->server);
    if (w->acceptor.listener.address.any.sa_family == AF_UNIX)
        unlink(w->acceptor.listener.address.un.sun_path);
    acceptor_stop(&w->acceptor);
    os_free(w->os);
    free(w);
    return 0;
}

static void echo(void **state)
{
    struct world *w = *state;

    conn_recv(&w->server);
    conn_send(&w->client, "hello", 5);
    TURN_UNTIL(w->os, w->server.receives == 1 && w->client.sends == 1);
    assert_int_equal(w->client.sent, 5);
    assert_int_equal(w->server.received, 5);
    assert_memory_equal(w->server.got, "hello", 5);

    conn_recv(&w->client);
    conn_send(&w->server, "world", 5);
    TURN_UNTIL(w->os, w->client.receives == 1 && w->server.sends == 1);
    assert_memory_equal(w->client.got, "world", 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(echo, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(echo, world_setup_unix, world_teardown),
    };
    return cmocka_run_group_tests_name("os/epoll", tests, NULL, NULL);
}
