/* A server's TLS connections until they say what they speak: deadline, drain, counters. */
#include "server_test.h"

#include "proto/server_own.h"

#include "tests/support/tls_files.h"

#include <stdlib.h>

#define HERE_TLS "10.0.0.2:443"

static struct tls_files files;

static struct secure {
    struct net_identity *identity;
    struct net_tickets *tickets;
    struct net_acceptor *acceptor;
    struct metrics *metrics;
    struct os_acceptor listening;
    struct os_listener listener;
} secure;

static void secure_accepted(struct os_acceptor *acceptor, int fd, const struct os_peer *peer)
{
    (void)acceptor;
    server_accept_tls(node.server, secure.acceptor, fd, peer);
}

static void secure_open(void)
{
    struct metrics_config config = {.threads = 1, .tenants_shown = 1000,
                                    .limits = {stream_limits, STREAM_LIMIT_COUNT},
                                    .handshake_failures = {net_handshake_failures, NET_HANDSHAKE_FAILURE_COUNT}};
    struct os_address address = address_of(HERE_TLS);
    char message[256], cert[256], key[256];

    node_open();
    strcpy(cert, tls_files_path(&files, "a.crt"));
    strcpy(key, tls_files_path(&files, "a.key"));
    assert_true(err_is_ok(metrics_new(&config, &secure.metrics)));
    node.server->config.metrics = metrics_block_of(secure.metrics, 0);
    assert_true(err_is_ok(net_identity_new(&(struct net_identity_options){.cert_file = cert, .key_file = key}, message,
                                           sizeof(message), &secure.identity)));
    assert_true(err_is_ok(net_tickets_new(&secure.tickets)));
    assert_true(err_is_ok(net_acceptor_new(secure.identity, secure.tickets, &secure.acceptor)));
    assert_true(err_is_ok(os_listen(&address, 1, 16, &secure.listener)));
    secure.listening = (struct os_acceptor){.accepted = secure_accepted, .listener = &secure.listener};
    assert_true(err_is_ok(os_accept_start(loop_os(sim_net.loops[0]), &secure.listening)));
}

static void secure_close(void)
{
    os_accept_stop(&secure.listening);
    os_listener_close(&secure.listener);
    node_close();
    net_acceptor_free(secure.acceptor);
    net_identity_unref(secure.identity);
    net_tickets_free(secure.tickets);
    metrics_free(secure.metrics);
}

/* As a scrape sees it. */
static void expect_sample(const char *sample)
{
    size_t len;
    char *text;

    assert_true(err_is_ok(metrics_text(secure.metrics, METRICS_PROMETHEUS, &text, &len)));
    if (strstr(text, sample) == NULL)
        fail_msg("no %s in %s", sample, text);
    free(text);
}

static void test_a_handshake_has_a_deadline(void)
{
    struct wire *client;
    uint64_t begun;

    secure_open();
    client = wire_connect(HERE_TLS);
    run_until_count(&node.server->connections, 1);
    begun = now_ms();
    for (unsigned i = 0; i < 9; i++) { /* a byte a second keeps nothing alive */
        wire_say_bytes(client, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc" + i, 1);
        run_ms(1000);
    }
    wire_expect_reset(client);
    assert_in_range(now_ms() - begun, node.limits.head_ms, node.limits.head_ms + 1000);
    assert_int_equal(server_connections(node.server), 0);
    expect_sample("warp_limit_hits_total{limit=\"handshake_time\"} 1\n");
    expect_sample("warp_tls_handshake_failures_total{reason=\"timeout\"} 1\n");
    expect_sample("warp_connections{state=\"idle\"} 0\n");
    secure_close();
}
SEEDED(test_a_handshake_has_a_deadline, 1)

static void test_plain_text(void)
{
    struct wire *client;

    secure_open();
    client = wire_connect(HERE_TLS);
    wire_say(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    run_until_count(&node.server->connections, 1);
    while (!wire_has_ended(client))
        run_ms(100);
    run_ms(1000);
    assert_int_equal(server_connections(node.server), 0);
    assert_int_equal(node.begun, 0);
    expect_sample("warp_tls_handshake_failures_total{reason=\"not-tls\"} 1\n");
    secure_close();
}
SEEDED(test_plain_text, 1)

static void test_drain_ends_handshakes(void)
{
    struct wire *client;

    secure_open();
    client = wire_connect(HERE_TLS);
    run_until_count(&node.server->connections, 1);
    server_drain(node.server, NULL, NULL);
    wire_expect_reset(client);
    assert_int_equal(server_connections(node.server), 0);
    secure_close();
}
SEEDED(test_drain_ends_handshakes, 1)

static int make_files(void **state)
{
    (void)state;
    tls_files_begin(&files);
    tls_files_add(&files, "a", "DNS:a.test", false);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    tls_files_end(&files);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEEDED_TEST(test_a_handshake_has_a_deadline),
        SEEDED_TEST(test_plain_text),
        SEEDED_TEST(test_drain_ends_handshakes),
    };
    return cmocka_run_group_tests_name("proto/server_tls", tests, make_files, remove_files);
}
