/* Accepted TLS streams over the simulated network: the peer is OpenSSL, its bytes are the test's to cut and delay. */
#include "net/net.h"
#include "tests/support/sim_net.h"
#include "tests/support/tls_files.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#define HERE "10.0.0.2:443"
#define HOUR_MS UINT64_C(3600000)

static struct tls_files files;

/* ---- the accepted side: takes what comes, and says what the test says --------------------------------------------- */

static struct side {
    struct net_identity *identity;
    struct net_tickets *tickets;
    struct net_acceptor *acceptor;
    struct os_listener listener;
    struct os_acceptor listening;
    struct net_stream *stream; /* the latest */
    struct iovec iov[4];
    char got[1 << 20];
    size_t len;
    unsigned accepted, connected, received, sent, closed;
    int32_t connect_result, receive_result, send_result;
    char detail[128];
    bool reads;
} side;

static void side_read(void)
{
    net_recv(side.stream, NULL, 0);
}

static void side_connected(struct net_stream *stream, int32_t result, const char *detail)
{
    assert_ptr_equal(stream, side.stream);
    side.connect_result = result;
    snprintf(side.detail, sizeof(side.detail), "%s", detail != NULL ? detail : "");
    side.connected++;
    if (result == 0 && side.reads)
        side_read();
}

static void side_received(struct net_stream *stream, int32_t result, const char *data)
{
    (void)stream;
    side.receive_result = result;
    side.received++;
    if (result <= 0)
        return;
    assert_true(side.len + (size_t)result <= sizeof(side.got));
    memcpy(side.got + side.len, data, (size_t)result);
    side.len += (size_t)result;
    if (side.reads)
        side_read();
}

static void side_sent(struct net_stream *stream, int32_t result)
{
    (void)stream;
    side.send_result = result;
    side.sent++;
}

static void side_closed(struct net_stream *stream)
{
    assert_ptr_equal(stream, side.stream);
    side.stream = NULL;
    side.closed++;
}

static void side_accepted(struct os_acceptor *acceptor, int fd, const struct os_peer *peer)
{
    static const struct net_handler handler = {side_received, side_sent, side_connected, side_closed};

    (void)acceptor;
    assert_null(side.stream);
    assert_true(err_is_ok(net_tls_accept(side.acceptor, sim_net.loops[0], fd, peer, &handler, &side, &side.stream)));
    side.accepted++;
}

/* As a reload does it. */
static void side_identity(const struct net_identity_options *options)
{
    char message[512];
    err result;

    side.acceptor = net_acceptor_free(side.acceptor);
    side.identity = net_identity_unref(side.identity);
    result = net_identity_new(options, message, sizeof(message), &side.identity);
    if (!err_is_ok(result))
        fail_msg("%s", message);
    assert_true(err_is_ok(net_acceptor_new(side.identity, side.tickets, &side.acceptor)));
}

static void side_one_certificate(void)
{
    char cert[256], key[256];

    strcpy(cert, tls_files_path(&files, "one.crt"));
    strcpy(key, tls_files_path(&files, "one.key"));
    side_identity(&(struct net_identity_options){.cert_file = cert, .key_file = key});
}

static void side_open(void)
{
    struct os_address address = address_of(HERE);

    memset(&side, 0, sizeof(side));
    side.reads = true;
    assert_true(err_is_ok(net_tickets_new(&side.tickets)));
    side_one_certificate();
    assert_true(err_is_ok(os_listen(&address, 1, 16, &side.listener)));
    side.listening = (struct os_acceptor){.accepted = side_accepted, .listener = &side.listener};
    assert_true(err_is_ok(os_accept_start(loop_os(sim_net.loops[0]), &side.listening)));
}

static void side_hang_up(bool reset)
{
    unsigned before = side.closed;

    net_close(side.stream, reset);
    run_until_count(&side.closed, before + 1);
}

static void side_shut(void)
{
    if (side.stream != NULL)
        side_hang_up(false);
    os_accept_stop(&side.listening);
    os_listener_close(&side.listener);
    sim_net_settle();
    net_acceptor_free(side.acceptor);
    net_identity_unref(side.identity);
    net_tickets_free(side.tickets);
    assert_int_equal(side.closed, side.accepted);
}

static void side_say(const void *bytes, size_t len)
{
    unsigned before = side.sent;

    side.iov[0] = (struct iovec){(void *)(uintptr_t)bytes, len};
    net_send(side.stream, side.iov, 1, false);
    run_until_count(&side.sent, before + 1);
}

/* ---- the peer ------------------------------------------------------------------------------------------------------- */

struct peer {
    struct wire *wire;
    SSL_CTX *context;
    SSL *ssl;
    BIO *in, *out;
    size_t fed; /* of wire->got */
    char got[1 << 20];
    size_t len;
    bool holds; /* what it says is not sent yet */
};
static struct peer peer;

static SSL_SESSION *latest_session;

static int peer_keeps(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(latest_session);
    latest_session = session;
    return 1;
}

static void peer_open(SSL_SESSION *session)
{
    static const unsigned char alpn[] = "\x08http/1.1";

    memset(&peer, 0, sizeof(peer));
    peer.context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(peer.context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(peer.context, peer_keeps);
    SSL_CTX_set_alpn_protos(peer.context, alpn, sizeof(alpn) - 1);
    peer.ssl = SSL_new(peer.context);
    peer.in = BIO_new(BIO_s_mem());
    peer.out = BIO_new(BIO_s_mem());
    SSL_set_bio(peer.ssl, peer.in, peer.out);
    SSL_set_connect_state(peer.ssl);
    SSL_set_tlsext_host_name(peer.ssl, "a.test");
    if (session != NULL)
        SSL_set_session(peer.ssl, session);
    peer.wire = wire_connect(HERE);
}

static void peer_shut(void)
{
    SSL_set_shutdown(peer.ssl, SSL_SENT_SHUTDOWN); /* or its session is taken for a bad one */
    SSL_free(peer.ssl);
    SSL_CTX_free(peer.context);
    wire_close(peer.wire);
}

/* What it wants to say: bytes of a memory BIO that the test may cut. */
static size_t peer_words(char **ret_words)
{
    return (size_t)BIO_get_mem_data(peer.out, ret_words);
}

static void peer_flush(void)
{
    char *words;
    size_t n = peer_words(&words);

    if (n > 0 && !peer.holds) {
        wire_say_bytes(peer.wire, words, n);
        (void)BIO_reset(peer.out);
    }
}

/* Takes what has come; true once it has a number of bytes, or the handshake. */
static bool peer_turns(void *arg)
{
    const size_t *wanted = arg;
    int n;

    if (peer.wire->len > peer.fed)
        BIO_write(peer.in, peer.wire->got + peer.fed, (int)(peer.wire->len - peer.fed));
    peer.fed = peer.wire->len;
    if (!SSL_is_init_finished(peer.ssl))
        (void)SSL_do_handshake(peer.ssl);
    while (SSL_is_init_finished(peer.ssl) && (n = SSL_read(peer.ssl, peer.got + peer.len, (int)(sizeof(peer.got) - peer.len))) > 0)
        peer.len += (size_t)n;
    peer_flush();
    return wanted != NULL ? peer.len >= *wanted : SSL_is_init_finished(peer.ssl);
}

static void peer_shakes_hands(void)
{
    run_until(peer_turns, NULL, "a handshake");
    run_until_count(&side.connected, side.accepted);
    assert_int_equal(side.connect_result, 0);
    assert_string_equal(side.detail, "");
}

static void peer_expects(const char *bytes, size_t len)
{
    size_t wanted = peer.len + len, from = peer.len;

    run_until(peer_turns, &wanted, "data");
    assert_int_equal(peer.len, wanted);
    assert_memory_equal(peer.got + from, bytes, len);
}

static void peer_says(const char *bytes, size_t len)
{
    assert_int_equal(SSL_write(peer.ssl, bytes, (int)len), len);
    peer_flush();
}

static bool side_has(void *arg)
{
    return side.len >= *(size_t *)arg;
}

static void side_expects(const char *bytes, size_t len)
{
    size_t wanted = side.len + len, from = side.len;

    run_until(side_has, &wanted, "data at the accepted side");
    assert_memory_equal(side.got + from, bytes, len);
}

static void open_both(void)
{
    side_open();
    peer_open(NULL);
    peer_shakes_hands();
}

static void shut_both(void)
{
    side_shut();
    peer_shut();
    SSL_SESSION_free(latest_session);
    latest_session = NULL;
}

/* ---- data ------------------------------------------------------------------------------------------------------------- */

static void test_both_ways(void)
{
    static char large[400000];

    for (size_t i = 0; i < sizeof(large); i++)
        large[i] = (char)(i * 2654435761u >> 13);
    open_both();
    assert_int_equal(side.stream->scheme, NET_TLS);
    assert_int_equal(side.stream->alpn, NET_ALPN_H1);
    assert_false(side.stream->is_tls12 || side.stream->is_resumed);
    peer_says("hello", 5);
    side_expects("hello", 5);
    side_say("welcome", 7);
    peer_expects("welcome", 7);
    for (size_t at = 0; at < sizeof(large); at += 10000)
        peer_says(large + at, 10000);
    side_expects(large, sizeof(large));
    shut_both();
}
SEEDED(test_both_ways, 1)

/* Two records in one segment, of which one is read: wherever the other is now, the stream is not fit for another user. */
static void test_what_nobody_has_read_is_not_silence(void)
{
    open_both();
    side.reads = false;
    peer.holds = true;
    peer_says("one", 3);
    peer_says("two", 3);
    peer.holds = false;
    peer_flush();
    side_expects("one", 3);
    run_ms(100);
    assert_int_equal(side.len, 3);
    assert_false(net_is_silent(side.stream));
    side.reads = true;
    side_read();
    side_expects("two", 3);
    assert_true(net_recv_cancel(side.stream));
    assert_true(net_is_silent(side.stream));
    side_read();
    peer_says("three", 5); /* it is as good as before */
    side_expects("three", 5);
    shut_both();
}
SEEDED(test_what_nobody_has_read_is_not_silence, 1)

/* One send of 256 KiB in pieces of all kinds; taken in as many sends as the stream likes. */
static void test_send_of_pieces(void)
{
    static char large[200000];
    struct iovec pieces[4] = {{large, 1}, {large + 1, 0}, {large + 1, 70000}, {large + 70001, 129999}};
    size_t sent = 0;

    for (size_t i = 0; i < sizeof(large); i++)
        large[i] = (char)(i * 2246822519u >> 11);
    open_both();
    while (sent < sizeof(large)) {
        size_t skip = sent, count = 0, wanted;
        unsigned before = side.sent;
        for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
            size_t n = MIN(skip, pieces[i].iov_len);
            side.iov[count++] = (struct iovec){(char *)pieces[i].iov_base + n, pieces[i].iov_len - n};
            skip -= n;
        }
        net_send(side.stream, side.iov, (unsigned)count, true);
        while (side.sent == before) {
            wanted = peer.len + 1;
            run_until(peer_turns, &wanted, "some of it");
        }
        assert_true(side.send_result > 0);
        sent += (size_t)side.send_result;
    }
    peer_expects("", 0);
    while (peer.len < sizeof(large)) {
        size_t wanted = sizeof(large);
        run_until(peer_turns, &wanted, "the rest");
    }
    assert_memory_equal(peer.got, large, sizeof(large));
    shut_both();
}
SEEDED(test_send_of_pieces, 1)

/* The records among the last bytes that came. */
static unsigned records_since(size_t from)
{
    const unsigned char *at = (const unsigned char *)peer.wire->got + from;
    const unsigned char *end = (const unsigned char *)peer.wire->got + peer.wire->len;
    unsigned count = 0;

    for (; at + 5 <= end; at += 5 + (at[3] << 8 | at[4]))
        count++;
    assert_ptr_equal(at, end);
    return count;
}

static void test_a_head_and_its_body_are_one_record(void)
{
    static char head[300], body[65536];
    unsigned before;
    size_t from, wanted;

    open_both();
    peer_says("x", 1);
    side_expects("x", 1);
    run_ms(1000);
    peer_turns(NULL); /* the ticket */
    from = peer.wire->len;
    side.iov[0] = (struct iovec){head, sizeof(head)};
    side.iov[1] = (struct iovec){body, 1000};
    before = side.sent;
    net_send(side.stream, side.iov, 2, false);
    run_until_count(&side.sent, before + 1);
    wanted = 1300;
    run_until(peer_turns, &wanted, "all");
    assert_int_equal(side.send_result, 1300);
    assert_int_equal(records_since(from), 1);
    /* and 64 KiB with a head are taken by one send */
    from = peer.wire->len;
    side.iov[1].iov_len = sizeof(body);
    net_send(side.stream, side.iov, 2, false);
    wanted += 300 + sizeof(body);
    run_until(peer_turns, &wanted, "all");
    run_until_count(&side.sent, before + 2);
    assert_int_equal(side.send_result, 300 + sizeof(body));
    assert_int_equal(records_since(from), 5);
    shut_both();
}
SEEDED(test_a_head_and_its_body_are_one_record, 1)

static bool side_has_sent(void *arg)
{
    return side.sent > *(unsigned *)arg;
}

/* A peer that reads nothing: nothing is told to be sent, and not more than one buffer is taken. */
static void test_backpressure(void)
{
    static char large[4 << 20];
    unsigned before;
    size_t sent = 0;

    open_both();
    sim_pause(&peer.wire->sim, true);
    for (;;) {
        before = side.sent;
        side.iov[0] = (struct iovec){large, sizeof(large)};
        net_send(side.stream, side.iov, 1, false);
        run_ms(60000);
        if (side.sent == before)
            break;
        assert_true(side.send_result > 0 && side.send_result <= 72 << 10);
        sent += (size_t)side.send_result;
        assert_true(sent < sizeof(large));
    }
    assert_true(net_unsent_bytes(side.stream) > 0);
    sim_pause(&peer.wire->sim, false);
    while (!side_has_sent(&before)) {
        size_t wanted = peer.len + 1;
        run_until(peer_turns, &wanted, "more");
    }
    sent += (size_t)side.send_result;
    run_until(peer_turns, &sent, "the rest");
    assert_int_equal(net_unsent_bytes(side.stream), 0);
    shut_both();
}
SEEDED(test_backpressure, 1)

/* ---- ends ---------------------------------------------------------------------------------------------------------------- */

static void test_close_notify_is_an_end(void)
{
    unsigned before;

    open_both();
    peer_says("last", 4);
    side_expects("last", 4);
    before = side.received;
    SSL_shutdown(peer.ssl);
    peer_flush();
    run_until_count(&side.received, before + 1);
    assert_int_equal(side.receive_result, 0);
    side_say("still open", 10); /* the other direction */
    peer_expects("still open", 10);
    shut_both();
}
SEEDED(test_close_notify_is_an_end, 1)

static void test_fin_is_a_truncation(void)
{
    unsigned before;

    open_both();
    peer_says("part", 4);
    side_expects("part", 4);
    before = side.received;
    wire_finish(peer.wire);
    run_until_count(&side.received, before + 1);
    assert_int_equal(side.receive_result, -ECONNRESET);
    shut_both();
}
SEEDED(test_fin_is_a_truncation, 1)

static void test_a_cut_record_is_a_truncation(void)
{
    char *words;
    size_t n;

    open_both();
    peer.holds = true;
    peer_says("never whole", 11);
    n = peer_words(&words);
    for (size_t i = 0; i + 1 < n; i++) {
        wire_say_bytes(peer.wire, words + i, 1);
        run_ms(1000);
    }
    assert_int_equal(side.received, 0);
    wire_finish(peer.wire);
    run_until_count(&side.received, 1);
    assert_int_equal(side.receive_result, -ECONNRESET);
    assert_int_equal(side.len, 0);
    shut_both();
}
SEEDED(test_a_cut_record_is_a_truncation, 1)

static void test_garbage_behind_the_handshake(void)
{
    open_both();
    wire_say_bytes(peer.wire, "\x17\x03\x03\x00\x20this is not what the keys make..", 37);
    run_until_count(&side.received, 1);
    assert_int_equal(side.receive_result, -EPROTO);
    assert_int_equal(side.len, 0);
    side_hang_up(true);
    shut_both();
}
SEEDED(test_garbage_behind_the_handshake, 1)

/* A changed byte anywhere in a record is an error, never data. */
static void test_a_changed_byte(void)
{
    char *words;
    size_t n, at;

    open_both();
    peer.holds = true;
    peer_says("pay 100", 7);
    n = peer_words(&words);
    at = 5 + sim_random(n - 5);
    words[at] = (char)(words[at] ^ 1);
    wire_say_bytes(peer.wire, words, n);
    run_until_count(&side.received, 1);
    assert_int_equal(side.receive_result, -EPROTO);
    side_hang_up(true);
    shut_both();
}
SEEDED(test_a_changed_byte, 1)

static void test_reset(void)
{
    open_both();
    wire_reset(peer.wire);
    run_until_count(&side.received, 1);
    assert_true(side.receive_result < 0);
    shut_both();
}
SEEDED(test_reset, 1)

/* ---- handshakes ------------------------------------------------------------------------------------------------------------ */

/* Byte by byte, a second each: it is the server's deadline that ends such a one, not the stream. */
static void test_slow_handshake(void)
{
    char *words;

    side_open();
    peer_open(NULL);
    peer.holds = true;
    for (unsigned flight = 0; flight < 2; flight++) {
        size_t n;
        peer_turns(NULL);
        n = peer_words(&words);
        assert_true(n > 0);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(side.connected, 0);
            wire_say_bytes(peer.wire, words + i, 1);
            run_ms(1000);
        }
        (void)BIO_reset(peer.out);
        run_ms(10000);
    }
    run_until_count(&side.connected, 1);
    assert_int_equal(side.connect_result, 0);
    shut_both();
}
SEEDED(test_slow_handshake, 1)

static void fails(const char *bytes, size_t len, int32_t result, enum net_handshake_failure failure)
{
    side_open();
    peer_open(NULL);
    wire_say_bytes(peer.wire, bytes, len);
    if (result == -ECONNRESET)
        wire_finish(peer.wire);
    run_until_count(&side.connected, 1);
    assert_int_equal(side.connect_result, result);
    assert_int_equal(side.stream->handshake_failure, failure);
    shut_both();
}

static void test_handshakes_that_fail(void)
{
    fails("GET / HTTP/1.1\r\n\r\n", 18, -EPROTO, NET_HANDSHAKE_NOT_TLS);
    fails("\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 14, -EPROTO, NET_HANDSHAKE_NOT_TLS);
    fails("\x16\x03\x01\x00\x05\x01\x00", 7, -ECONNRESET, NET_HANDSHAKE_CLOSED);
    fails("", 0, -ECONNRESET, NET_HANDSHAKE_CLOSED);
    fails("\x16\x03\x01\x00\x04\x02\x00\x00\x00", 9, -EPROTO, NET_HANDSHAKE_OTHER); /* a ServerHello */
}
SEEDED(test_handshakes_that_fail, 1)

/* A ClientHello that announces 128 KiB: OpenSSL would take it. */
static void test_a_handshake_that_is_too_long(void)
{
    char record[5 + 16384] = "\x16\x03\x01\x40\x00\x01\x01\xff\xf0\x03\x03";

    side_open();
    peer_open(NULL);
    for (unsigned i = 0; i < 6; i++) {
        wire_say_bytes(peer.wire, record, sizeof(record));
        memset(record + 5, 0, sizeof(record) - 5);
    }
    run_until_count(&side.connected, 1);
    assert_int_equal(side.connect_result, -EPROTO);
    assert_int_equal(side.stream->handshake_failure, NET_HANDSHAKE_TOO_LONG);
    shut_both();
}
SEEDED(test_a_handshake_that_is_too_long, 1)

/* The identity goes, the handshake is finished with it all the same; and the stream lives on. */
static void test_reload_during_a_handshake(void)
{
    side_open();
    peer_open(NULL);
    run_until_count(&side.accepted, 1);
    side_one_certificate();
    peer_shakes_hands();
    side_one_certificate();
    peer_says("hello", 5);
    side_expects("hello", 5);
    side_say("welcome", 7);
    peer_expects("welcome", 7);
    side_hang_up(false);
    peer_shut();
    peer_open(NULL);
    run_until_count(&side.accepted, 2);
    side_one_certificate();
    side_hang_up(true); /* in the middle */
    shut_both();
}
SEEDED(test_reload_during_a_handshake, 1)

static void test_only_one_certificate_for_all_hosts(void)
{
    open_both();
    assert_true(net_is_for_host(side.stream, SLICE("anything.test")));
    shut_both();
}
SEEDED(test_only_one_certificate_for_all_hosts, 1)

static void test_certificates_by_name(void)
{
    side_open();
    side_identity(&(struct net_identity_options){.cert_dir = files.dir});
    peer_open(NULL);
    peer_shakes_hands();
    side_identity(&(struct net_identity_options){.cert_dir = files.dir}); /* its names stay known */
    assert_true(net_is_for_host(side.stream, SLICE("a.test")));
    assert_true(net_is_for_host(side.stream, SLICE("x.a.test")));
    assert_false(net_is_for_host(side.stream, SLICE("y.x.a.test")));
    assert_false(net_is_for_host(side.stream, SLICE("b.test")));
    assert_true(net_is_for_host(side.stream, SLICE("192.0.2.1")));
    shut_both();
}
SEEDED(test_certificates_by_name, 1)

/* ---- tickets ----------------------------------------------------------------------------------------------------------------- */

static bool peer_has_ticket(void *arg)
{
    (void)arg;
    peer_turns(NULL);
    return latest_session != NULL;
}

/* A connection that begins with the latest session, and keeps the one it is given. */
static bool resumes(void)
{
    SSL_SESSION *session = latest_session;
    bool resumed;

    latest_session = NULL;
    peer_open(session);
    peer_shakes_hands();
    resumed = SSL_session_reused(peer.ssl) == 1;
    assert_int_equal(side.stream->is_resumed, resumed);
    run_until(peer_has_ticket, NULL, "a ticket");
    side_hang_up(false);
    peer_shut();
    SSL_SESSION_free(session);
    return resumed;
}

static void test_tickets(void)
{
    side_open();
    assert_false(resumes());
    assert_true(resumes());
    side_one_certificate(); /* a reload */
    assert_true(resumes());
    run_ms(13 * HOUR_MS); /* another key, the old one is still good */
    assert_true(resumes());
    run_ms(23 * HOUR_MS); /* two old ones */
    assert_true(resumes());
    run_ms(37 * HOUR_MS); /* longer than all of them */
    assert_false(resumes());
    assert_true(resumes());
    SSL_SESSION_free(latest_session);
    latest_session = NULL;
    side_shut();
}
SEEDED(test_tickets, 1)

/* Its key is three rotations old: gone from the ring, not only out of date. */
static void test_tickets_rotated_out(void)
{
    SSL_SESSION *first;

    side_open();
    assert_false(resumes());
    first = latest_session;
    latest_session = NULL;
    for (unsigned i = 0; i < 3; i++) {
        run_ms(12 * HOUR_MS);
        SSL_SESSION_free(latest_session);
        latest_session = NULL;
        assert_false(resumes());
    }
    SSL_SESSION_free(latest_session);
    latest_session = first;
    assert_false(resumes());
    SSL_SESSION_free(latest_session);
    latest_session = NULL;
    side_shut();
}
SEEDED(test_tickets_rotated_out, 1)

static int make_files(void **state)
{
    (void)state;
    tls_files_begin(&files);
    tls_files_add(&files, "one", "DNS:a.test,DNS:*.a.test,IP:192.0.2.1", false);
    tls_files_add(&files, "two", "DNS:b.test", true);
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
        SEEDED_TEST(test_both_ways),
        SEEDED_TEST(test_what_nobody_has_read_is_not_silence),
        SEEDED_TEST(test_send_of_pieces),
        SEEDED_TEST(test_a_head_and_its_body_are_one_record),
        SEEDED_TEST(test_backpressure),
        SEEDED_TEST(test_close_notify_is_an_end),
        SEEDED_TEST(test_fin_is_a_truncation),
        SEEDED_TEST(test_a_cut_record_is_a_truncation),
        SEEDED_TEST(test_garbage_behind_the_handshake),
        SEEDED_TEST(test_a_changed_byte),
        SEEDED_TEST(test_reset),
        SEEDED_TEST(test_slow_handshake),
        SEEDED_TEST(test_handshakes_that_fail),
        SEEDED_TEST(test_a_handshake_that_is_too_long),
        SEEDED_TEST(test_reload_during_a_handshake),
        SEEDED_TEST(test_only_one_certificate_for_all_hosts),
        SEEDED_TEST(test_certificates_by_name),
        SEEDED_TEST(test_tickets),
        SEEDED_TEST(test_tickets_rotated_out),
    };
    return cmocka_run_group_tests_name("net/tls_accept", tests, make_files, remove_files);
}
