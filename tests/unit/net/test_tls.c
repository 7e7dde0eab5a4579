#include "unit_io.h"

#include "net/net.h"
#include "tls_server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct talk {
    struct net_stream *stream;
    int32_t connected, received, sent;
    unsigned connects, receives, sends, closes;
    char detail[128], got[64];
    bool inside_call;
};

static struct loop *loop;
static struct talk talk;

static void on_connected(struct net_stream *stream, int32_t result, const char *detail)
{
    assert_ptr_equal(stream, talk.stream);
    assert_false(talk.inside_call);
    talk.connected = result;
    talk.connects++;
    snprintf(talk.detail, sizeof(talk.detail), "%s", detail != NULL ? detail : "");
}

static void on_received(struct net_stream *stream, int32_t result, const char *data)
{
    (void)stream;
    assert_false(talk.inside_call);
    talk.received = result;
    talk.receives++;
    if (result > 0)
        memcpy(talk.got, data, MIN((size_t)result, sizeof(talk.got)));
}

static void on_sent(struct net_stream *stream, int32_t result)
{
    (void)stream;
    assert_false(talk.inside_call);
    talk.sent = result;
    talk.sends++;
}

static void on_closed(struct net_stream *stream)
{
    (void)stream;
    assert_false(talk.inside_call);
    talk.closes++;
}

static const struct net_handler handler = {on_received, on_sent, on_connected, on_closed};

#define CALL(call)                \
    do {                          \
        talk.inside_call = true;  \
        call;                     \
        talk.inside_call = false; \
    } while (0)

#define LOOP_UNTIL(cond)                                \
    do {                                                \
        uint64_t until_ = os_clock_ns() + 20000000000u; \
        while (!(cond)) {                               \
            assert_true(os_clock_ns() < until_);        \
            loop_turn(loop, until_);                    \
        }                                               \
    } while (0)

static int setup(void **state)
{
    struct loop_config config = {.os.io = TEST_IO};
    (void)state;
    memset(&talk, 0, sizeof(talk));
    assert_true(err_is_ok(loop_new(&config, &loop)));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    loop = loop_free(loop);
    return 0;
}

static void talk_connect(struct net_tls_config *config, const struct net_tls_target *target)
{
    talk.inside_call = true;
    assert_true(err_is_ok(net_tls_connect(config, loop, target, &handler, &talk.stream)));
    talk.inside_call = false;
    LOOP_UNTIL(talk.connects == 1);
}

static struct net_tls_config *config_of(const struct net_tls_options *options)
{
    struct net_tls_config *config;
    char why[256];

    assert_true(err_is_ok(net_tls_config_new(options, why, sizeof(why), &config)));
    return config;
}

/* Connects and waits for the result of the handshake. */
static void talk_start(struct tls_server *server, slice name, const char *ca_file, bool verify)
{
    struct net_tls_options options = {.ca_file = ca_file, .verify = verify};
    struct net_tls_target target = {.address = tls_server_address(server), .name = name};
    struct net_tls_config *config = config_of(&options);

    talk_connect(config, &target);
    net_tls_config_unref(config); /* the stream has its own */
}

static void talk_end(void)
{
    CALL(net_close(talk.stream, false));
    LOOP_UNTIL(talk.closes == 1);
}

static void talk_read_to(int32_t result)
{
    do {
        unsigned before = talk.receives;
        CALL(net_recv(talk.stream, NULL, 0));
        LOOP_UNTIL(talk.receives == before + 1);
    } while (talk.received > 0);
    assert_int_equal(talk.received, result);
}

static void good(slice name, bool tls12, const char *seen_name)
{
    struct tls_server *server = tls_server_start(SERVE_ECHO, tls12);
    struct iovec iov[2] = {{(char[]){"hel"}, 3}, {(char[]){"lo"}, 2}};
    char got[5];
    size_t size = 0;

    talk_start(server, name, tls_server_ca_file(server), true);
    assert_string_equal(talk.detail, "");
    assert_int_equal(talk.connected, 0);
    assert_int_equal(talk.stream->scheme, NET_TLS);
    CALL(net_send(talk.stream, iov, 2, false));
    LOOP_UNTIL(talk.sends == 1);
    assert_int_equal(talk.sent, 5);
    while (size < 5) {
        unsigned before = talk.receives;
        CALL(net_recv(talk.stream, got + size, 1)); /* byte by byte: the rest waits in the stream */
        LOOP_UNTIL(talk.receives == before + 1);
        assert_int_equal(talk.received, 1);
        size++;
    }
    assert_memory_equal(got, "hello", 5);
    assert_string_equal(tls_server_seen_name(server), seen_name);
    assert_string_equal(tls_server_seen_alpn(server), "http/1.1");
    CALL(net_shutdown(talk.stream));
    talk_read_to(0);
    talk_end();
    tls_server_stop(server);
}

static void good_by_name(void **state)
{
    (void)state;
    good(SLICE("origin.test"), false, "origin.test");
}

static void good_by_name_with_dot_in_tls12(void **state)
{
    (void)state;
    good(SLICE("origin.test."), true, "origin.test");
}

static void good_by_ip(void **state)
{
    (void)state;
    good(SLICE("127.0.0.1"), false, "");
}

static void refused(slice name, bool own_ca, const char *detail, enum net_certificate problem)
{
    struct tls_server *server = tls_server_start(SERVE_ECHO, false);
    struct tls_server *other = tls_server_start(SERVE_HANG_UP, false);

    talk_start(server, name, tls_server_ca_file(own_ca ? server : other), true);
    assert_int_equal(talk.connected, -EPROTO);
    assert_string_equal(talk.detail, detail);
    assert_int_equal(talk.stream->certificate, problem);
    talk_end();
    tls_server_stop(server);

    /* The other one still waits for its connection. */
    memset(&talk, 0, sizeof(talk));
    talk_start(other, name, NULL, false);
    assert_int_equal(talk.connected, -ECONNRESET);
    assert_string_equal(talk.detail, "connection closed during the TLS handshake");
    talk_end();
    tls_server_stop(other);
}

static void wrong_name(void **state)
{
    (void)state;
    refused(SLICE("other.test"), true, "hostname mismatch", NET_CERTIFICATE_NAME);
}

static void wrong_ip(void **state)
{
    (void)state;
    refused(SLICE("127.0.0.2"), true, "IP address mismatch", NET_CERTIFICATE_NAME);
}

static void unknown_ca(void **state)
{
    (void)state;
    refused(SLICE("origin.test"), false, "unable to get local issuer certificate", NET_CERTIFICATE_UNTRUSTED);
}

static void unverified_when_told_so(void **state)
{
    struct tls_server *server = tls_server_start(SERVE_ECHO, false);
    (void)state;
    talk_start(server, SLICE("other.test"), NULL, false);
    assert_int_equal(talk.connected, 0);
    talk_end();
    tls_server_stop(server);
}

static void truncation_is_not_an_end(void **state)
{
    struct tls_server *server = tls_server_start(SERVE_TRUNCATED, false);
    (void)state;
    talk_start(server, SLICE("origin.test"), tls_server_ca_file(server), true);
    talk_read_to(-ECONNRESET);
    assert_memory_equal(talk.got, "part", 4);
    talk_end();
    tls_server_stop(server);
}

static void plain_answer(void **state)
{
    struct tls_server *server = tls_server_start(SERVE_PLAIN, false);
    (void)state;
    talk_start(server, SLICE("origin.test"), tls_server_ca_file(server), true);
    assert_int_equal(talk.connected, -EPROTO);
    assert_string_equal(talk.detail, "wrong version number");
    talk_end();
    tls_server_stop(server);
}

static void closed_in_the_handshake(void **state)
{
    struct tls_server *server = tls_server_start(SERVE_HANG_UP, false);
    struct net_tls_options options = {.ca_file = tls_server_ca_file(server), .verify = true};
    struct net_tls_target target = {.address = tls_server_address(server), .name = SLICE("origin.test")};
    struct net_tls_config *config;
    char why[256];

    (void)state;
    assert_true(err_is_ok(net_tls_config_new(&options, why, sizeof(why), &config)));
    assert_true(err_is_ok(net_tls_connect(config, loop, &target, &handler, &talk.stream)));
    net_tls_config_unref(config);
    talk_end();
    assert_int_equal(talk.connects, 0);
    tls_server_stop(server);
}

static void missing_ca_file(void **state)
{
    struct net_tls_options options = {.ca_file = "/nonexistent", .verify = true};
    struct net_tls_config *config;
    char why[256];
    (void)state;
    assert_int_equal(net_tls_config_new(&options, why, sizeof(why), &config).code, ERR_INVALID);
    assert_string_equal(why, "/nonexistent: no certificates to trust can be read from it (No such file or directory)");
}

static void talk_echo(void)
{
    struct iovec iov = {(char[]){"hello"}, 5};
    char got[5];

    CALL(net_send(talk.stream, &iov, 1, false));
    for (size_t size = 0; size < sizeof(got); size += (size_t)talk.received) {
        unsigned before = talk.receives;
        CALL(net_recv(talk.stream, got + size, (uint32_t)(sizeof(got) - size)));
        LOOP_UNTIL(talk.receives == before + 1);
        assert_true(talk.received > 0);
    }
    LOOP_UNTIL(talk.sends == 1);
    assert_memory_equal(got, "hello", sizeof(got));
}

/* The server of these tests takes the first that is offered. */
static void alpn(bool h2, bool h1_only, enum net_alpn expected)
{
    struct tls_server *server = tls_server_start(SERVE_ECHO, false);
    struct net_tls_options options = {.ca_file = tls_server_ca_file(server), .verify = true, .h2 = h2};
    struct net_tls_target target = {.address = tls_server_address(server), .name = SLICE("origin.test"), .h1_only = h1_only};
    struct net_tls_config *config = config_of(&options);

    talk_connect(config, &target);
    assert_int_equal(talk.connected, 0);
    assert_int_equal(talk.stream->alpn, expected);
    talk_end();
    tls_server_stop(server);
    net_tls_config_unref(config);
}

static void alpn_h2(void **state)
{
    (void)state;
    alpn(true, false, NET_ALPN_H2);
}

static void alpn_h1(void **state)
{
    (void)state;
    alpn(false, false, NET_ALPN_H1);
}

static void alpn_h1_of_one_stream(void **state)
{
    (void)state;
    alpn(true, true, NET_ALPN_H1);
}

/* The address is what the URL says, the certificate bears another name. */
static void name_override(void **state)
{
    struct tls_server *server = tls_server_start(SERVE_ECHO, false);
    struct net_tls_options options = {.ca_file = tls_server_ca_file(server), .verify = true, .name = "origin.test"};
    struct net_tls_target target = {.address = tls_server_address(server), .name = SLICE("elsewhere.test")};
    struct net_tls_config *config = config_of(&options);

    (void)state;
    talk_connect(config, &target);
    assert_int_equal(talk.connected, 0);
    talk_echo();
    assert_string_equal(tls_server_seen_name(server), "origin.test");
    talk_end();
    tls_server_stop(server);
    net_tls_config_unref(config);
}

static void client_certificate(void **state)
{
    struct tls_server *server = tls_server_start(SERVE_ECHO, false);
    struct net_tls_options options = {.ca_file = tls_server_ca_file(server),
                                      .cert_file = tls_server_cert_file(server),
                                      .key_file = tls_server_cert_file(server),
                                      .verify = true};
    struct net_tls_target target = {.address = tls_server_address(server), .name = SLICE("origin.test")};
    struct net_tls_config *config = config_of(&options);

    (void)state;
    tls_server_ask_certificate(server);
    talk_connect(config, &target);
    assert_int_equal(talk.connected, 0);
    talk_echo();
    assert_string_equal(tls_server_seen_client(server), "a server");
    talk_end();
    tls_server_stop(server);
    net_tls_config_unref(config);
}

/* In TLS 1.3 the refusal comes when the handshake is long over for us. */
static void client_certificate_missing(void **state)
{
    struct tls_server *server = tls_server_start(SERVE_ECHO, false);

    (void)state;
    tls_server_ask_certificate(server);
    talk_start(server, SLICE("origin.test"), tls_server_ca_file(server), true);
    talk_read_to(-EPROTO);
    talk_end();
    tls_server_stop(server);
}

static void resume(bool tls12)
{
    struct tls_server *server = tls_server_start(SERVE_ECHO, tls12);
    struct net_tls_options options = {.ca_file = tls_server_ca_file(server), .verify = true};
    struct net_tls_memory memory = {0};
    struct net_tls_target target = {
        .address = tls_server_address(server), .name = SLICE("origin.test"), .memory = &memory};
    struct net_tls_config *config = config_of(&options);

    for (unsigned i = 0; i < 3; i++) {
        if (i > 0)
            tls_server_again(server);
        memset(&talk, 0, sizeof(talk));
        talk_connect(config, &target);
        assert_int_equal(talk.connected, 0);
        talk_echo();
        assert_int_equal(tls_server_has_resumed(server), i > 0);
        assert_non_null(memory.session);
        talk_end();
    }
    tls_server_stop(server);
    net_tls_memory_done(&memory);
    net_tls_config_unref(config);
}

static void resumed_in_tls13(void **state)
{
    (void)state;
    resume(false);
}

static void resumed_in_tls12(void **state)
{
    (void)state;
    resume(true);
}

/* More than all buffers hold, echoed: both directions at once, or it would stand still. */
static void large_both_ways(void **state)
{
    enum {
        SIZE = 8 << 20
    };
    struct tls_server *server = tls_server_start(SERVE_ECHO, false);
    char *out = malloc(SIZE), *in = malloc(SIZE);
    size_t sent = 0, received = 0;
    bool sending = false, receiving = false;

    (void)state;
    for (size_t i = 0; i < SIZE; i++)
        out[i] = (char)(i * 2654435761u >> 13);
    talk_start(server, SLICE("origin.test"), tls_server_ca_file(server), true);
    while (received < SIZE) {
        unsigned sends = talk.sends, receives = talk.receives;
        struct iovec iov[2] = {{out + sent, (SIZE - sent) / 2},
                               {out + sent + (SIZE - sent) / 2, (SIZE - sent + 1) / 2}};
        if (!sending && sent < SIZE)
            CALL(net_send(talk.stream, iov, 2, true));
        sending = sent < SIZE;
        if (!receiving)
            CALL(net_recv(talk.stream, in + received, (uint32_t)MIN(SIZE - received, 100000)));
        receiving = true;
        LOOP_UNTIL(talk.sends != sends || talk.receives != receives);
        if (talk.sends != sends) {
            assert_true(talk.sent > 0);
            sent += (size_t)talk.sent;
            sending = false;
        }
        if (talk.receives != receives) {
            assert_true(talk.received > 0);
            received += (size_t)talk.received;
            receiving = false;
        }
    }
    assert_int_equal(sent, SIZE);
    assert_memory_equal(in, out, SIZE);
    CALL(net_recv(talk.stream, NULL, 0));
    assert_true(net_recv_cancel(talk.stream));
    assert_false(net_recv_cancel(talk.stream));
    talk_end();
    tls_server_stop(server);
    free(in);
    free(out);
}

int main(void)
{
#define WITH_LOOP(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_LOOP(good_by_name),
        WITH_LOOP(good_by_name_with_dot_in_tls12),
        WITH_LOOP(good_by_ip),
        WITH_LOOP(wrong_name),
        WITH_LOOP(wrong_ip),
        WITH_LOOP(unknown_ca),
        WITH_LOOP(unverified_when_told_so),
        WITH_LOOP(truncation_is_not_an_end),
        WITH_LOOP(plain_answer),
        WITH_LOOP(closed_in_the_handshake),
        WITH_LOOP(missing_ca_file),
        WITH_LOOP(alpn_h2),
        WITH_LOOP(alpn_h1),
        WITH_LOOP(alpn_h1_of_one_stream),
        WITH_LOOP(name_override),
        WITH_LOOP(client_certificate),
        WITH_LOOP(client_certificate_missing),
        WITH_LOOP(resumed_in_tls13),
        WITH_LOOP(resumed_in_tls12),
        WITH_LOOP(large_both_ways),
    };
    TEST_IO_NEEDED();
    signal(SIGPIPE, SIG_IGN); /* the server's blocking writes */
    return cmocka_run_group_tests_name("net/tls", tests, NULL, NULL);
}
