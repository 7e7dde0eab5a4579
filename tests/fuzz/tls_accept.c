/* Whatever a peer sends into an accepted TLS stream: what the stream tells its reader is the beginning of what the peer's
 * own OpenSSL was given to write, in order, and everything ends.
 *
 * Input: a script. An odd first byte: the handshake is made first. Then commands, a byte each with its arguments:
 * what the peer says is its own words, cut, changed or forged. */
#include "loop/sim_thread.h"
#include "net/net.h"
#include "tests/support/tls_files.h"

#include <openssl/ssl.h>
#include <stdlib.h>

#define HERE     "10.0.0.2:443"
#define STEP_NS  UINT64_C(1000000000)
#define SAID_MAX (1u << 18)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tls_files files;

static struct run {
    struct loop *loop;
    struct net_tickets *tickets;
    struct net_acceptor *acceptor;
    struct net_stream *stream;
    struct os_listener listener;
    struct os_acceptor listening;
    struct sim_peer sim;
    bool is_closed, is_over; /* the peer's end; the reader's */
    SSL_CTX *context;
    SSL *ssl;
    BIO *in, *out;
    char said[SAID_MAX], words[64];
    size_t said_bytes, heard_bytes;
    struct iovec iov;
    bool sending;
} run;

/* ---- the accepted side: hears, and answers as much ------------------------------------------------------------------ */

static void side_connected(struct net_stream *stream, int32_t result, const char *detail)
{
    (void)detail;
    INVARIANT(stream == run.stream);
    if (result == 0)
        net_recv(stream, NULL, 0);
    run.is_over = result != 0;
}

static void side_received(struct net_stream *stream, int32_t result, const char *data)
{
    INVARIANT(!run.is_over);
    if (result <= 0) {
        run.is_over = true;
        return;
    }
    INVARIANT(run.heard_bytes + (size_t)result <= run.said_bytes);
    INVARIANT(memcmp(run.said + run.heard_bytes, data, (size_t)result) == 0);
    run.heard_bytes += (size_t)result;
    if (!run.sending) {
        run.sending = true;
        run.iov = (struct iovec){run.said, run.heard_bytes};
        net_send(stream, &run.iov, 1, false);
    }
    net_recv(stream, NULL, 0);
}

static void side_sent(struct net_stream *stream, int32_t result)
{
    (void)stream;
    INVARIANT(result != 0 && result <= (int32_t)run.heard_bytes);
    run.sending = false;
}

static void side_closed(struct net_stream *stream)
{
    INVARIANT(stream == run.stream);
    run.stream = NULL;
}

static void side_accepted(struct os_acceptor *acceptor, int fd, const struct os_peer *peer)
{
    static const struct net_handler handler = {side_received, side_sent, side_connected, side_closed};

    (void)acceptor;
    INVARIANT(err_is_ok(net_tls_accept(run.acceptor, run.loop, fd, peer, &handler, NULL, &run.stream)));
}

/* ---- the peer ---------------------------------------------------------------------------------------------------------- */

static void peer_received(struct sim_peer *peer, const char *data, size_t size)
{
    (void)peer;
    if (size > 0)
        BIO_write(run.in, data, (int)size);
}

static void peer_reset(struct sim_peer *peer)
{
    (void)peer;
    run.is_closed = true;
}

static void turn(uint64_t ns)
{
    struct sim_thread thread = sim_thread_of(run.loop);
    char bytes[512];

    sim_run(&thread, 1, os_clock_ns() + ns, NULL, NULL);
    if (!SSL_is_init_finished(run.ssl))
        (void)SSL_do_handshake(run.ssl);
    while (SSL_is_init_finished(run.ssl) && SSL_read(run.ssl, bytes, sizeof(bytes)) > 0) {
    }
}

static void say(const void *bytes, size_t n)
{
    if (!run.is_closed && n > 0)
        sim_send(&run.sim, bytes, n);
}

/* The first n of the words that wait; change: with one byte changed. */
static void say_own(size_t n, bool change)
{
    char *words;
    size_t have = (size_t)BIO_get_mem_data(run.out, &words);
    char copy[300];

    n = MIN(MIN(n, have), sizeof(copy));
    if (n == 0 || BIO_read(run.out, copy, (int)n) != (int)n)
        return;
    if (change)
        copy[n / 2] = (char)(copy[n / 2] ^ 0x20);
    say(copy, n);
}

static void write_own(size_t n)
{
    char bytes[256];

    n = MIN(n, sizeof(bytes));
    if (n == 0 || run.said_bytes + n > SAID_MAX || !SSL_is_init_finished(run.ssl))
        return;
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(run.said_bytes + i);
    if (SSL_write(run.ssl, bytes, (int)n) == (int)n) {
        memcpy(run.said + run.said_bytes, bytes, n);
        run.said_bytes += n;
    }
}

static void make_handshake(void)
{
    for (unsigned i = 0; i < 8 && !SSL_is_init_finished(run.ssl); i++) {
        turn(STEP_NS);
        while (BIO_pending(run.out) > 0)
            say_own(300, false);
    }
    INVARIANT(SSL_is_init_finished(run.ssl));
}

static void follow(const uint8_t *at, const uint8_t *end)
{
    while (at + 1 < end) {
        unsigned command = *at++, n = *at++;

        switch (command % 7) {
        case 0: { /* forged */
            size_t take = MIN(n, (size_t)(end - at));
            say(at, take);
            at += take;
            break;
        }
        case 1:
            say_own(n + 1, false);
            break;
        case 2:
            say_own(n + 1, true);
            break;
        case 3:
            write_own(n);
            break;
        case 4:
            turn(n * STEP_NS / 16);
            break;
        case 5:
            if (n > 200 && SSL_is_init_finished(run.ssl))
                SSL_shutdown(run.ssl);
            break;
        case 6:
            if (n > 230 && !run.is_closed)
                sim_finish(&run.sim);
            break;
        }
    }
}

/* ---- all of it ----------------------------------------------------------------------------------------------------------- */

static void remove_files(void)
{
    tls_files_end(&files);
}

static struct net_identity *identity_get(void)
{
    static struct net_identity *identity;
    char message[512];

    if (identity == NULL) {
        tls_files_begin(&files);
        atexit(remove_files);
        tls_files_add(&files, "a", "DNS:a.test", false);
        INVARIANT(err_is_ok(net_identity_new(&(struct net_identity_options){.cert_dir = files.dir}, message, sizeof(message),
                                             &identity)));
    }
    return identity;
}

static void run_begin(void)
{
    struct loop_config config = {0};
    struct os_address address;

    memset(&run, 0, sizeof(run));
    sim_begin(1);
    INVARIANT(err_is_ok(loop_new(&config, &run.loop)) && err_is_ok(net_tickets_new(&run.tickets)));
    INVARIANT(err_is_ok(net_acceptor_new(identity_get(), run.tickets, &run.acceptor)));
    INVARIANT(err_is_ok(os_address_parse(SLICE(HERE), &address)) && err_is_ok(os_listen(&address, 1, 4, &run.listener)));
    run.listening = (struct os_acceptor){.accepted = side_accepted, .listener = &run.listener};
    INVARIANT(err_is_ok(os_accept_start(loop_os(run.loop), &run.listening)));
    run.context = SSL_CTX_new(TLS_client_method());
    run.ssl = SSL_new(run.context);
    run.in = BIO_new(BIO_s_mem());
    run.out = BIO_new(BIO_s_mem());
    SSL_set_bio(run.ssl, run.in, run.out);
    SSL_set_connect_state(run.ssl);
    SSL_set_tlsext_host_name(run.ssl, "a.test");
    run.sim.received = peer_received;
    run.sim.reset = peer_reset;
    sim_connect(&run.sim, &address, NULL);
    turn(STEP_NS);
}

static void run_end(void)
{
    turn(STEP_NS);
    if (run.stream != NULL)
        net_close(run.stream, true);
    if (!run.is_closed)
        sim_close(&run.sim);
    os_accept_stop(&run.listening);
    os_listener_close(&run.listener);
    turn(60 * STEP_NS);
    INVARIANT(run.stream == NULL);
    net_acceptor_free(run.acceptor);
    net_tickets_free(run.tickets);
    loop_free(run.loop);
    sim_end();
    SSL_free(run.ssl);
    SSL_CTX_free(run.context);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    run_begin();
    if (data[0] & 1)
        make_handshake();
    follow(data + 1, data + size);
    run_end();
    return 0;
}
