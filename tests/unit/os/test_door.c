#include "unit_io.h"

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
    assert_true(err_is_ok(os_new(&(struct os_config){.io = TEST_IO}, &w->os)));
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
    snprintf(text, sizeof(text), "unix:/tmp/warp-test-door-%d", (int)getpid());
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

/* A done() that is due must not wait for the next event. */
static void completion_does_not_sleep(void **state)
{
    struct world *w = *state;

    conn_send(&w->client, "x", 1);
    assert_int_equal(w->client.sends, 0);
    while (w->client.sends == 0)
        os_turn(w->os, UINT64_MAX);
    assert_int_equal(w->client.sent, 1);
}

static void data_waits_for_a_receive(void **state)
{
    struct world *w = *state;
    char into[3];

    conn_send(&w->client, "hello", 5);
    TURN_UNTIL(w->os, w->client.sends == 1);
    os_turn(w->os, 0);
    w->server.recv.into = into;
    w->server.recv.into_bytes = sizeof(into);
    conn_recv(&w->server);
    TURN_UNTIL(w->os, w->server.receives == 1);
    assert_int_equal(w->server.received, 3);
    assert_memory_equal(into, "hel", 3);
    conn_recv(&w->server);
    TURN_UNTIL(w->os, w->server.receives == 2);
    assert_int_equal(w->server.received, 2);
    assert_memory_equal(into, "lo", 2);
}

static void short_sends_with_stopped_reader(void **state)
{
    static char block[1 << 20];
    struct world *w = *state;
    size_t sent = 0, received = 0;
    unsigned stuck = 0;

    memset(block, 'b', sizeof(block));
    while (stuck < 3) {
        unsigned before = w->client.sends;
        if (w->client.send.op.kind == 0 || w->client.socket.send == NULL)
            conn_send(&w->client, block, sizeof(block));
        os_turn(w->os, 0);
        if (w->client.sends == before) {
            stuck++;
        } else {
            assert_in_range(w->client.sent, 1, sizeof(block));
            sent += (size_t)w->client.sent;
        }
    }
    assert_non_null(w->client.socket.send);
    if (w->acceptor.listener.address.any.sa_family != AF_UNIX)
        assert_true(os_socket_unsent_bytes(&w->client.socket) > 0);

    unsigned sends = w->client.sends;
    while (w->client.sends == sends || received < sent) {
        if (w->server.socket.recv == NULL) {
            conn_recv(&w->server);
        }
        unsigned before = w->server.receives;
        os_turn(w->os, os_clock_ns() + 5000000000u);
        if (w->server.receives > before)
            received += (size_t)w->server.received;
    }
    assert_in_range(w->client.sent, 1, sizeof(block));
}

static void fin_comes_after_the_data(void **state)
{
    struct world *w = *state;

    conn_send(&w->client, "bye", 3);
    os_socket_shutdown(&w->client.socket);
    TURN_UNTIL(w->os, w->client.sends == 1);
    os_turn(w->os, 0);
    conn_recv(&w->server);
    TURN_UNTIL(w->os, w->server.receives == 1);
    assert_int_equal(w->server.received, 3);
    conn_recv(&w->server);
    TURN_UNTIL(w->os, w->server.receives == 2);
    assert_int_equal(w->server.received, 0);

    /* The other direction still works. */
    conn_recv(&w->client);
    conn_send(&w->server, "ok", 2);
    TURN_UNTIL(w->os, w->client.receives == 1);
    assert_int_equal(w->client.received, 2);
}

static void reset_is_not_fin(void **state)
{
    struct world *w = *state;

    conn_recv(&w->server);
    conn_close(&w->client, true);
    TURN_UNTIL(w->os, w->server.receives == 1 && w->client.closes == 1);
    assert_int_equal(w->server.received, -ECONNRESET);
    conn_send(&w->server, "x", 1);
    TURN_UNTIL(w->os, w->server.sends == 1);
    assert_int_equal(w->server.sent, -EPIPE);
}

static void close_is_fin(void **state)
{
    struct world *w = *state;

    conn_recv(&w->server);
    conn_close(&w->client, false);
    TURN_UNTIL(w->os, w->server.receives == 1);
    assert_int_equal(w->server.received, 0);
}

static void cancelled_receive_is_not_called(void **state)
{
    struct world *w = *state;

    assert_false(os_socket_recv_cancel(&w->server.socket));
    conn_recv(&w->server);
    assert_true(os_socket_recv_cancel(&w->server.socket));
    conn_send(&w->client, "late", 4);
    TURN_UNTIL(w->os, w->client.sends == 1);
    os_turn(w->os, 0);
    /* Known readable, queued, not tried: still to be had back, with its bytes. */
    conn_recv(&w->server);
    assert_true(os_socket_recv_cancel(&w->server.socket));
    os_turn(w->os, 0);
    assert_int_equal(w->server.receives, 0);
    conn_recv(&w->server);
    TURN_UNTIL(w->os, w->server.receives == 1);
    assert_memory_equal(w->server.got, "late", 4);
}

static void close_cancels_what_is_under_way(void **state)
{
    struct world *w = *state;

    conn_recv(&w->server);
    conn_send(&w->server, "x", 1);
    conn_close(&w->server, false);
    assert_int_equal(w->server.socket.fd, -1);
    assert_false(os_socket_recv_cancel(&w->server.socket));
    TURN_UNTIL(w->os, w->server.closes == 1);
    assert_int_equal(w->server.receives, 1);
    assert_int_equal(w->server.received, -ECANCELED);
    assert_int_equal(w->server.sends, 1);
    assert_int_equal(w->server.sent, -ECANCELED);
}

/* The next connection gets the number of one that was closed with a receive just asked for: it loses no byte. */
static void closed_number_receives_nothing(void **state)
{
    struct world *w = *state;

    for (unsigned round = 0; round < 50; round++) {
        struct conn next, accepted;
        unsigned before = w->acceptor.accepts;

        conn_init(&next);
        conn_send(&w->server, "old", 3);
        TURN_UNTIL(w->os, w->server.sends > 0);
        int number = w->client.socket.fd;
        conn_recv(&w->client);
        conn_close(&w->client, false);
        conn_connect(w->os, &next, &w->acceptor.listener.address);
        assert_int_equal(next.socket.fd, number);
        TURN_UNTIL(w->os, next.connects == 1 && w->acceptor.accepts == before + 1 && w->client.closes == 1);
        conn_init(&accepted);
        assert_true(err_is_ok(os_socket_adopt(w->os, &accepted.socket, w->acceptor.fd)));
        conn_send(&accepted, "hello", 5);
        TURN_UNTIL(w->os, accepted.sends == 1);
        conn_recv(&next);
        TURN_UNTIL(w->os, next.receives == 1);
        assert_int_equal(next.received, 5);
        assert_memory_equal(next.got, "hello", 5);
        pair_close(w->os, &next, &accepted);
        conn_close(&w->server, true);
        TURN_UNTIL(w->os, w->server.closes == 1);
        pair_open(w->os, &w->acceptor, &w->client, &w->server);
    }
}

/* What a peer sends ahead is told in pieces that every receiver has room for, whatever came meanwhile. */
static void sent_ahead_comes_in_pieces(void **state)
{
    static char block[400000];
    struct world *w = *state;
    size_t sent = 0, received = 0;

    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (char)(i / 256 + i);
    conn_recv(&w->server);
    conn_send(&w->client, block, 1);
    TURN_UNTIL(w->os, w->server.receives == 1 && w->client.sends == 1);
    for (unsigned turns = 0; turns < 50; turns++) { /* nobody asks for it */
        if (w->client.socket.send == NULL) {
            if (turns > 0)
                sent += (size_t)w->client.sent;
            conn_send(&w->client, block + sent, sizeof(block) - sent);
        }
        os_turn(w->os, 0);
    }
    while (received < 100000) {
        unsigned before = w->server.receives;
        conn_recv(&w->server);
        TURN_UNTIL(w->os, w->server.receives == before + 1);
        assert_in_range(w->server.received, 1, 65536);
        assert_memory_equal(w->server.got, block + received, MIN((size_t)w->server.received, sizeof(w->server.got)));
        received += (size_t)w->server.received;
    }
}

static void connect_refused(void **state)
{
    struct world *w = *state;
    struct acceptor gone;
    struct os_address address;
    struct conn c;

    acceptor_start(w->os, &gone, SLICE("127.0.0.1:0"));
    address = gone.listener.address;
    acceptor_stop(&gone);
    conn_init(&c);
    conn_connect(w->os, &c, &address);
    TURN_UNTIL(w->os, c.connects == 1);
    assert_int_equal(c.connected, -ECONNREFUSED);
    conn_close(&c, false);
    TURN_UNTIL(w->os, c.closes == 1);
}

static void connect_closed_at_once(void **state)
{
    struct world *w = *state;
    struct conn c;

    conn_init(&c);
    conn_connect(w->os, &c, &w->acceptor.listener.address);
    conn_close(&c, true);
    TURN_UNTIL(w->os, c.closes == 1);
    assert_int_equal(c.connects, 1);
    assert_int_equal(c.connected, -ECANCELED);
}

static void accepting_survives_emfile(void **state)
{
    struct world *w = *state;
    struct rlimit before, none;
    struct conn c;
    unsigned accepts = w->acceptor.accepts;
    uint64_t start;

    conn_init(&c);
    conn_connect(w->os, &c, &w->acceptor.listener.address);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){3, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    os_accept_stop(&w->acceptor.acceptor); /* io_uring reads the limit when accepting begins */
    assert_true(err_is_ok(os_accept_start(w->os, &w->acceptor.acceptor)));
    start = os_clock_ns();
    TURN_UNTIL(w->os, w->acceptor.failures == 2);
    assert_int_equal(w->acceptor.error, EMFILE);
    assert_true(os_clock_ns() - start >= 100000000u);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    TURN_UNTIL(w->os, w->acceptor.accepts == accepts + 1);
    close(w->acceptor.fd);
    conn_close(&c, false);
    TURN_UNTIL(w->os, c.closes == 1);
}

static void stopped_acceptor_leaves_the_backlog(void **state)
{
    struct world *w = *state;
    struct conn c;
    unsigned accepts = w->acceptor.accepts;

    os_accept_stop(&w->acceptor.acceptor);
    conn_init(&c);
    conn_connect(w->os, &c, &w->acceptor.listener.address);
    TURN_UNTIL(w->os, c.connects == 1);
    os_turn(w->os, 0);
    assert_int_equal(w->acceptor.accepts, accepts);
    assert_true(err_is_ok(os_accept_start(w->os, &w->acceptor.acceptor)));
    TURN_UNTIL(w->os, w->acceptor.accepts == accepts + 1);
    close(w->acceptor.fd);
    conn_close(&c, false);
    TURN_UNTIL(w->os, c.closes == 1);
}

static void accepted_socket_has_no_delay(void **state)
{
    struct world *w = *state;
    int on = 0;
    socklen_t len = sizeof(on);

    assert_int_equal(getsockopt(w->server.socket.fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    assert_int_not_equal(on, 0);
    assert_int_equal(w->acceptor.peer.family, AF_INET);
    assert_true(os_peer_is_loopback(&w->acceptor.peer));
}

static void wake_thread(void *arg)
{
    for (unsigned i = 0; i < 1000; i++)
        os_wake(arg);
}

static void wake_from_another_thread(void **state)
{
    struct world *w = *state;
    struct os_thread *thread;
    uint64_t start = os_clock_ns();

    for (unsigned i = 0; i < 20; i++) {
        assert_true(err_is_ok(os_thread_start("waker", wake_thread, w->os, &thread)));
        os_turn(w->os, start + 60000000000u); /* returns at the wake, not a minute later */
        os_thread_join(thread);
        os_turn(w->os, 0);
    }
    assert_true(os_clock_ns() - start < 30000000000u);
}

static void foreign_listener_is_in_use(void **state)
{
    struct world *w = *state;
    struct os_listener mine[3];
    struct os_address any;

    assert_true(err_is_ok(os_address_parse(SLICE("127.0.0.1:0"), &any)));
    assert_true(err_is_ok(os_listen(&any, 3, 16, mine)));
    assert_int_equal(mine[0].address.in4.sin_port, mine[2].address.in4.sin_port);
    /* They have SO_REUSEPORT set and belong to the same user: the kernel alone would share them. */
    struct os_listener second;
    assert_int_equal(os_listen(&mine[0].address, 1, 16, &second).sys, EADDRINUSE);
    assert_int_equal(second.fd, -1);
    for (unsigned i = 0; i < 3; i++)
        os_listener_close(&mine[i]);
    assert_int_equal(os_listen(&w->acceptor.listener.address, 1, 16, &second).sys, EADDRINUSE);
}

static void stale_unix_socket_is_replaced(void **state)
{
    struct os_listener listeners[2];
    struct os_address address;
    char text[64];

    (void)state;
    snprintf(text, sizeof(text), "unix:/tmp/warp-test-stale-%d", (int)getpid());
    assert_true(err_is_ok(os_address_parse(slice_str(text), &address)));
    for (unsigned round = 0; round < 2; round++) {
        assert_true(err_is_ok(os_listen(&address, 2, 16, listeners)));
        assert_int_not_equal(listeners[0].fd, listeners[1].fd);
        os_listener_close(&listeners[0]);
        os_listener_close(&listeners[1]);
    }
    unlink(address.un.sun_path);
}

int main(void)
{
#define ON_TCP(name)  cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
#define ON_UNIX(name) cmocka_unit_test_setup_teardown(name, world_setup_unix, world_teardown)
    const struct CMUnitTest tests[] = {
        ON_TCP(echo),
        ON_UNIX(echo),
        ON_TCP(completion_does_not_sleep),
        ON_TCP(data_waits_for_a_receive),
        ON_TCP(short_sends_with_stopped_reader),
        ON_UNIX(short_sends_with_stopped_reader),
        ON_TCP(fin_comes_after_the_data),
        ON_UNIX(fin_comes_after_the_data),
        ON_TCP(reset_is_not_fin),
        ON_TCP(close_is_fin),
        ON_UNIX(close_is_fin),
        ON_TCP(cancelled_receive_is_not_called),
        ON_TCP(close_cancels_what_is_under_way),
        ON_TCP(closed_number_receives_nothing),
        ON_TCP(sent_ahead_comes_in_pieces),
        ON_TCP(connect_refused),
        ON_TCP(connect_closed_at_once),
        ON_UNIX(connect_closed_at_once),
        ON_TCP(accepting_survives_emfile),
        ON_TCP(stopped_acceptor_leaves_the_backlog),
        ON_TCP(accepted_socket_has_no_delay),
        ON_TCP(wake_from_another_thread),
        ON_TCP(foreign_listener_is_in_use),
        ON_UNIX(foreign_listener_is_in_use),
        cmocka_unit_test(stale_unix_socket_is_replaced),
    };
    TEST_IO_NEEDED();
    return cmocka_run_group_tests_name("os/door", tests, NULL, NULL);
}
