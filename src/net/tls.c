/* A TLS client stream over a plain one.
 *
 * OpenSSL sees two buffers instead of a socket. Coming in: the bytes of one plain receive, read where the
 * door put them; what the reader did not want yet is kept in a block of malloc (at most what one receive
 * brings) and nothing more is received until it is used up. Going out: one block of malloc, held while it
 * has bytes that TCP has not taken. An idle stream holds neither.
 *
 *   CONNECTING --tcp--> HANDSHAKE --verified--> OPEN        any --net_close--> CLOSED
 *
 * tls_pump makes all progress and all callbacks; it runs from the plain stream's callbacks or from a task,
 * never inside a call of the stream's user. */
#include "net/tls.h"
#include "net/stream_ops.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdlib.h>

#define RECORD_BYTES       16384u /* RFC 8446 5.1: the most plaintext in a record */
#define RECORD_OVERHEAD    256u   /* RFC 8446 5.2: the most that protection may add */
#define RECORD_WORTH_BYTES 1024u  /* a smaller one waits for room, unless it is all there is */
#define OUT_BYTES          (RECORD_BYTES + 1024u) /* a record and an alert */

enum tls_state {
    TLS_CONNECTING,
    TLS_HANDSHAKE,
    TLS_OPEN,
    TLS_FAILED,
    TLS_CLOSED
};

struct net_tls {
    struct net_stream stream;
    struct net_tcp tcp;
    struct net_tls_config *config;
    struct net_tls_memory *memory; /* of sessions with this peer; may be NULL */
    SSL *ssl;
    struct task task;
    enum tls_state state;
    int32_t error; /* why reading or writing is over for good, -errno */

    const char *in; /* ciphertext not yet seen by OpenSSL */
    size_t in_bytes;
    char *in_kept; /* where in points to when it is ours */
    char *out;     /* OUT_BYTES, or NULL */
    uint32_t out_start, out_end;
    struct iovec out_iov; /* of the plain send under way */

    void *into; /* of the receive under way */
    uint32_t into_bytes;
    const struct iovec *iov; /* of the send under way */
    unsigned iov_count;
    uint32_t taken_bytes; /* of that send, in out or beyond */

    bool tcp_receiving, tcp_sending, tcp_ended;
    bool receiving, sending;
    bool shut_wanted, shut_notified, shut_done; /* shutdown: asked for, close_notify written, FIN sent */
};

static struct net_tls *tls_of(struct net_stream *stream)
{
    return container_of(stream, struct net_tls, stream);
}

/* ---- OpenSSL's view of the wire ---------------------------------------------------------------------------
 */

static int wire_read(BIO *bio, char *into, int size)
{
    struct net_tls *tls = BIO_get_data(bio);
    size_t n = MIN(tls->in_bytes, (size_t)size);

    BIO_clear_retry_flags(bio);
    if (n == 0) {
        if (!tls->tcp_ended)
            BIO_set_retry_read(bio);
        return tls->tcp_ended ? 0 : -1;
    }
    memcpy(into, tls->in, n);
    tls->in += n;
    tls->in_bytes -= n;
    if (tls->in_bytes == 0) {
        free(tls->in_kept);
        tls->in_kept = NULL;
    }
    return (int)n;
}

static int wire_write(BIO *bio, const char *bytes, int size)
{
    struct net_tls *tls = BIO_get_data(bio);
    size_t n;

    BIO_clear_retry_flags(bio);
    if (tls->out == NULL && (tls->out = malloc(OUT_BYTES)) == NULL)
        return -1;
    n = MIN(OUT_BYTES - tls->out_end, (size_t)size);
    if (n == 0) {
        BIO_set_retry_write(bio);
        return -1;
    }
    memcpy(tls->out + tls->out_end, bytes, n); /* behind what a plain send may be reading */
    tls->out_end += (uint32_t)n;
    return (int)n;
}

static long wire_control(BIO *bio, int command, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    if (command == BIO_CTRL_EOF) {
        struct net_tls *tls = BIO_get_data(bio);
        return tls->tcp_ended && tls->in_bytes == 0;
    }
    return command == BIO_CTRL_FLUSH;
}

static int wire_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

BIO_METHOD *net_tls_bio_method_new(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "warp stream");

    if (method != NULL) {
        BIO_meth_set_read(method, wire_read);
        BIO_meth_set_write(method, wire_write);
        BIO_meth_set_ctrl(method, wire_control);
        BIO_meth_set_create(method, wire_create);
    }
    return method;
}

/* ---- errors
 * ------------------------------------------------------------------------------------------------ */

/* What a result <= 0 of OpenSSL means: 0 it waits for the wire, else -errno. */
static int32_t tls_error(struct net_tls *tls, int result)
{
    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return 0;
    default:
        /* The end of TCP without close_notify is a truncation: somebody may have cut the answer short. */
        if (tls->tcp_ended && tls->in_bytes == 0)
            return tls->error != 0 ? tls->error : -ECONNRESET;
        return -EPROTO;
    }
}

static enum net_certificate certificate_problem(long verified)
{
    switch (verified) {
    case X509_V_OK:
        return NET_CERTIFICATE_FINE;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return NET_CERTIFICATE_EXPIRED;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return NET_CERTIFICATE_NAME;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
        return NET_CERTIFICATE_UNTRUSTED;
    default:
        return NET_CERTIFICATE_BAD;
    }
}

static const char *tls_handshake_detail(struct net_tls *tls)
{
    long verified = SSL_get_verify_result(tls->ssl);
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    if (verified != X509_V_OK && SSL_get_verify_mode(tls->ssl) != SSL_VERIFY_NONE) {
        tls->stream.certificate = certificate_problem(verified);
        return X509_verify_cert_error_string(verified);
    }
    if (tls->tcp_ended)
        return "connection closed during the TLS handshake";
    return reason;
}

/* ---- progress
 * ------------------------------------------------------------------------------------------------ */

static void tls_flush(struct net_tls *tls)
{
    if (tls->tcp_sending || tls->out_start == tls->out_end || tls->state == TLS_CLOSED)
        return;
    tls->out_iov = (struct iovec){tls->out + tls->out_start, tls->out_end - tls->out_start};
    tls->tcp_sending = true;
    net_send(&tls->tcp.stream, &tls->out_iov, 1, false);
}

static bool tls_out_has_room(const struct net_tls *tls, size_t bytes)
{
    return OUT_BYTES - tls->out_end >= bytes + RECORD_OVERHEAD;
}

/* Turns as much of the send as fits into records; the whole of a record or nothing, so that OpenSSL never
 * holds half of one and asks for the same bytes again. */
static void tls_write(struct net_tls *tls)
{
    while (tls->iov_count > 0 && tls->error == 0) {
        size_t left = tls->iov->iov_len;
        size_t room = tls_out_has_room(tls, 0) ? OUT_BYTES - tls->out_end - RECORD_OVERHEAD : 0;
        size_t n = MIN(MIN(left, room), (size_t)RECORD_BYTES);
        int result;

        if (left > 0) {
            if (n == 0 || n < MIN(left, (size_t)RECORD_WORTH_BYTES))
                return;
            ERR_clear_error();
            result = SSL_write(tls->ssl, tls->iov->iov_base, (int)n);
            if (result <= 0) {
                tls->error = tls_error(tls, result);
                if (tls->error == 0)
                    tls->error = -EPROTO; /* neither room nor input can be missing: we do not renegotiate */
                return;
            }
            tls->taken_bytes += (uint32_t)result;
            if ((size_t)result < left)
                return; /* a short send: the caller brings the rest */
        }
        tls->iov++;
        tls->iov_count--;
    }
}

static void tls_shut(struct net_tls *tls)
{
    if (!tls->shut_wanted || tls->sending || tls->shut_done || tls->state != TLS_OPEN)
        return;
    if (!tls->shut_notified && tls_out_has_room(tls, 0)) {
        ERR_clear_error();
        SSL_shutdown(tls->ssl); /* writes close_notify; a failed stream has nobody to tell */
        tls->shut_notified = true;
        tls_flush(tls);
    }
    if (tls->shut_notified && !tls->tcp_sending && tls->out_start == tls->out_end) {
        tls->shut_done = true;
        net_shutdown(&tls->tcp.stream);
    }
}

static void tls_connected(struct net_tls *tls, int32_t result, const char *detail)
{
    tls->state = result == 0 ? TLS_OPEN : TLS_FAILED;
    tls->stream.handler->connected(&tls->stream, result, detail);
}

static enum net_alpn tls_alpn(const struct net_tls *tls)
{
    const unsigned char *chosen;
    unsigned len;

    SSL_get0_alpn_selected(tls->ssl, &chosen, &len);
    if (len == 2 && memcmp(chosen, "h2", 2) == 0)
        return NET_ALPN_H2;
    return len == 8 && memcmp(chosen, "http/1.1", 8) == 0 ? NET_ALPN_H1 : NET_ALPN_NONE;
}

bool net_tls_keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct net_tls *tls = BIO_get_data(SSL_get_rbio(ssl));

    if (tls->memory == NULL)
        return false;
    net_tls_memory_done(tls->memory);
    tls->memory->session = session;
    return true;
}

static void tls_handshake(struct net_tls *tls)
{
    int result;
    int32_t error;

    ERR_clear_error();
    result = SSL_do_handshake(tls->ssl);
    tls_flush(tls); /* an alert as well */
    if (result == 1) {
        tls->stream.alpn = tls_alpn(tls);
        tls_connected(tls, 0, NULL);
        return;
    }
    error = tls_error(tls, result);
    if (error != 0)
        tls_connected(tls, error, tls_handshake_detail(tls));
}

/* True when something was told to the reader. */
static bool tls_read(struct net_tls *tls)
{
    char buffer[RECORD_BYTES];
    void *into = tls->into != NULL ? tls->into : buffer;
    size_t size = tls->into != NULL ? MIN(tls->into_bytes, (uint32_t)INT32_MAX) : sizeof(buffer);
    int32_t result;

    ERR_clear_error();
    result = SSL_read(tls->ssl, into, (int)size);
    if (result <= 0 && SSL_get_error(tls->ssl, result) == SSL_ERROR_ZERO_RETURN) {
        result = 0; /* close_notify; not a fatal alert, which counts as a shutdown, too */
    } else if (result <= 0) {
        result = tls_error(tls, result);
        if (result == 0)
            return false;
        tls->error = result;
    }
    tls->receiving = false;
    tls->stream.handler->received(&tls->stream, result, into);
    return true;
}

static void tls_tell_sent(struct net_tls *tls)
{
    uint32_t taken = tls->taken_bytes;
    bool drained = !tls->tcp_sending && tls->out_start == tls->out_end;

    /* Told when TCP has it, not when OpenSSL has: that is what keeps a slow peer's reader waiting. */
    if (!tls->sending || (tls->error == 0 && (!drained || taken == 0)))
        return;
    tls->sending = false;
    tls->taken_bytes = 0;
    tls->iov_count = 0;
    tls->stream.handler->sent(&tls->stream, tls->error != 0 ? tls->error : (int32_t)taken);
}

static void tls_want_input(struct net_tls *tls)
{
    bool wanted = tls->state == TLS_HANDSHAKE || (tls->state == TLS_OPEN && tls->receiving);

    if (!wanted || tls->tcp_receiving || tls->tcp_ended || tls->in_bytes > 0)
        return;
    tls->tcp_receiving = true;
    net_recv(&tls->tcp.stream, NULL, 0);
}

static void tls_pump(struct net_tls *tls)
{
    if (tls->state == TLS_HANDSHAKE)
        tls_handshake(tls);
    /* A callback may send, receive or close: each step looks at the state anew. Ends: every read that is
     * told uses up input, and input is bounded. */
    while (tls->state == TLS_OPEN && tls->receiving && tls_read(tls))
        tls_flush(tls);
    if (tls->state == TLS_OPEN && tls->sending && tls->taken_bytes == 0)
        tls_write(tls);
    tls_flush(tls);
    if (tls->state == TLS_OPEN)
        tls_tell_sent(tls);
    if (tls->state == TLS_OPEN)
        tls_shut(tls);
    tls_want_input(tls);
}

static void tls_pump_soon(struct net_tls *tls)
{
    loop_defer(tls->stream.loop, &tls->task);
}

static void tls_task(struct task *task)
{
    tls_pump(container_of(task, struct net_tls, task));
}

/* ---- the plain stream's callbacks
 * ---------------------------------------------------------------------------- */

static struct net_tls *tls_of_tcp(struct net_stream *stream)
{
    return container_of(stream, struct net_tls, tcp.stream);
}

static void wire_connected(struct net_stream *stream, int32_t result, const char *detail)
{
    struct net_tls *tls = tls_of_tcp(stream);

    if (result != 0) {
        tls_connected(tls, result, detail);
        return;
    }
    tls->state = TLS_HANDSHAKE;
    tls_pump(tls);
}

/* The door's bytes go when this callback returns: keep what was not wanted. */
static void wire_keep(struct net_tls *tls)
{
    char *kept;

    if (tls->in_bytes == 0 || tls->state == TLS_CLOSED)
        return;
    kept = malloc(tls->in_bytes);
    if (kept == NULL) {
        tls->error = -ENOMEM;
        tls->tcp_ended = true;
        tls->in_bytes = 0;
        return;
    }
    memcpy(kept, tls->in, tls->in_bytes);
    tls->in = tls->in_kept = kept;
}

static void wire_received(struct net_stream *stream, int32_t result, const char *data)
{
    struct net_tls *tls = tls_of_tcp(stream);

    tls->tcp_receiving = false;
    /* OpenSSL takes all it has before it asks for more: only a reader that lost interest leaves some. */
    INVARIANT(tls->in_bytes == 0);
    if (result > 0) {
        tls->in = data;
        tls->in_bytes = (size_t)result;
    } else {
        tls->tcp_ended = true;
        if (result < 0 && tls->error == 0)
            tls->error = result;
    }
    tls_pump(tls);
    if (result > 0)
        wire_keep(tls);
}

static void wire_sent(struct net_stream *stream, int32_t result)
{
    struct net_tls *tls = tls_of_tcp(stream);

    tls->tcp_sending = false;
    if (result < 0 && tls->error == 0)
        tls->error = result;
    tls->out_start = result < 0 ? tls->out_end : tls->out_start + (uint32_t)result;
    if (tls->out_start == tls->out_end) {
        free(tls->out);
        tls->out = NULL;
        tls->out_start = tls->out_end = 0;
    }
    tls_pump(tls);
}

static struct net_tls *tls_free(struct net_tls *tls)
{
    if (tls == NULL)
        return NULL;
    /* OpenSSL spoils the session of a stream that ends without close_notify; what may be cut short is not the ticket */
    if (tls->memory != NULL && tls->ssl != NULL && tls->error != -EPROTO)
        SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN);
    SSL_free(tls->ssl);
    net_tls_config_unref(tls->config);
    free(tls->in_kept);
    free(tls->out);
    free(tls);
    return NULL;
}

static void wire_closed(struct net_stream *stream)
{
    struct net_tls *tls = tls_of_tcp(stream);

    tls->stream.handler->closed(&tls->stream);
    tls_free(tls);
}

/* ---- the stream's calls
 * ---------------------------------------------------------------------------------------- */

static void tls_op_recv(struct net_stream *stream, void *into, uint32_t into_bytes)
{
    struct net_tls *tls = tls_of(stream);

    INVARIANT(tls->state == TLS_OPEN && !tls->receiving);
    tls->into = into;
    tls->into_bytes = into_bytes;
    tls->receiving = true;
    tls_pump_soon(tls);
}

static bool tls_op_recv_cancel(struct net_stream *stream)
{
    struct net_tls *tls = tls_of(stream);
    bool was = tls->receiving;

    /* A plain receive stays under way: its bytes are kept for the next reader. */
    tls->receiving = false;
    return was;
}

static void tls_op_send(struct net_stream *stream, const struct iovec *iov, unsigned iov_count, bool more)
{
    struct net_tls *tls = tls_of(stream);

    (void)more; /* what is sent together lies in one buffer already */
    INVARIANT(tls->state == TLS_OPEN && !tls->sending && !tls->shut_wanted);
    tls->iov = iov;
    tls->iov_count = iov_count;
    tls->taken_bytes = 0;
    tls->sending = true;
    if (tls->error == 0)
        tls_write(tls);
    if (tls->error == 0)
        tls_flush(tls);
    else
        tls_pump_soon(tls);
}

/* Records that carry no data (session tickets) may come at any time: only application bytes count. */
static bool tls_op_is_silent(struct net_stream *stream)
{
    return SSL_pending(tls_of(stream)->ssl) == 0;
}

static void tls_op_shutdown(struct net_stream *stream)
{
    struct net_tls *tls = tls_of(stream);

    if (tls->shut_wanted)
        return;
    tls->shut_wanted = true;
    tls_shut(tls);
}

static void tls_op_close(struct net_stream *stream, bool reset)
{
    struct net_tls *tls = tls_of(stream);

    INVARIANT(tls->state != TLS_CLOSED);
    /* close_notify for a peer that waits for it; once, as far as the socket takes it now. */
    if (!reset && tls->state == TLS_OPEN && tls->error == 0 && !tls->sending && !tls->tcp_sending) {
        tls->shut_wanted = true;
        tls_shut(tls);
    }
    tls->state = TLS_CLOSED;
    tls->receiving = tls->sending = false;
    task_cancel(&tls->task);
    net_close(&tls->tcp.stream, reset);
}

err net_tls_connect(struct net_tls_config *config, struct loop *loop, const struct net_tls_target *target,
                    const struct net_handler *handler, struct net_stream **ret_stream)
{
    static const struct net_stream_ops ops = {tls_op_recv, tls_op_recv_cancel, tls_op_is_silent, tls_op_send, tls_op_shutdown,
                                              tls_op_close};
    static const struct net_handler wire = {wire_received, wire_sent, wire_connected, wire_closed};
    struct net_tls *tls = calloc(1, sizeof(*tls));
    err result;

    ENSURE(tls != NULL, MEMORY);
    task_init(&tls->task, tls_task);
    tls->memory = target->memory;
    result = net_tls_config_ssl(config, target, &tls->ssl);
    if (err_is_ok(result)) {
        BIO_set_data(SSL_get_rbio(tls->ssl), tls);
        tls->config = net_tls_config_ref(config);
        result = net_tcp_connect(&tls->tcp, loop, target->address, &wire);
    }
    if (!err_is_ok(result)) {
        tls_free(tls);
        return result;
    }
    tls->stream = (struct net_stream){
        .ops = &ops, .handler = handler, .loop = loop, .peer = tls->tcp.stream.peer, .scheme = NET_TLS};
    *ret_stream = &tls->stream;
    return ERR_OK;
}
