/* A TLS stream over a plain one, of either side.
 *
 * OpenSSL sees two buffers instead of a socket. Coming in: the bytes of one plain receive, read where the
 * door put them; what the reader did not want yet is kept in a block of malloc (at most what one receive
 * brings) and nothing more is received until it is used up. Going out: one block, of malloc or of the
 * acceptor's pools, held while it has bytes that TCP has not taken. An idle stream holds neither.
 *
 *   CONNECTING --tcp--> HANDSHAKE --verified--> OPEN        any --net_close--> CLOSED
 *   (accepted) ---------^
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
#define OUT_BYTES          (RECORD_BYTES + 1024u) /* a record and an alert; of a stream to an origin */
#define HANDSHAKE_BYTES_MAX (64u << 10) /* from a client; a long chain of its own certificates is a quarter of it */

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
    char *out;     /* out_size, or NULL */
    uint32_t out_size, out_start, out_end;
    struct iovec out_iov; /* of the plain send under way */

    void *into; /* of the receive under way */
    uint32_t into_bytes;
    const struct iovec *iov; /* of the send under way */
    unsigned iov_count;
    size_t iov_taken;     /* of the first of them */
    uint32_t taken_bytes; /* of that send, in out or beyond */
    uint32_t handshake_bytes;
    struct tls_accepted accepted; /* acceptor NULL: to an origin */

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

/* The block that so many bytes of ciphertext would go to. */
static uint32_t out_size_for(const struct net_tls *tls, size_t bytes)
{
    if (tls->accepted.acceptor == NULL)
        return OUT_BYTES;
    return bytes <= TLS_OUT_SMALL_BYTES ? TLS_OUT_SMALL_BYTES : TLS_OUT_LARGE_BYTES;
}

static struct pool *out_pool(const struct net_tls *tls)
{
    struct tls_out_pools *pools = acceptor_out_pools(tls->accepted.acceptor);

    return tls->out_size == TLS_OUT_SMALL_BYTES ? &pools->small : &pools->large;
}

static void out_drop(struct net_tls *tls)
{
    if (tls->out != NULL && tls->accepted.acceptor != NULL)
        pool_put(out_pool(tls), tls->out);
    else
        free(tls->out);
    tls->out = NULL;
    tls->out_start = tls->out_end = 0;
}

/* False: no memory. */
static bool out_take(struct net_tls *tls, size_t bytes)
{
    tls->out_size = out_size_for(tls, bytes);
    tls->out = tls->accepted.acceptor != NULL ? pool_get(out_pool(tls)) : malloc(tls->out_size);
    return tls->out != NULL;
}

/* A block with room for so many bytes more, as far as there is one: where a small one holds a few that are not on their
 * way yet, they move. */
static void out_prepare(struct net_tls *tls, size_t bytes)
{
    struct net_tls old = {.out = tls->out, .out_size = tls->out_size, .out_start = tls->out_start, .out_end = tls->out_end,
                          .accepted.acceptor = tls->accepted.acceptor};

    if (tls->out == NULL) {
        (void)out_take(tls, bytes); /* without memory wire_write tries again, and fails */
        return;
    }
    bytes += tls->out_end;
    if (tls->tcp_sending || tls->out_size >= out_size_for(tls, bytes))
        return;
    if (!out_take(tls, bytes)) {
        tls->out = old.out;
        tls->out_size = old.out_size;
        return;
    }
    memcpy(tls->out, old.out, old.out_end);
    out_drop(&old);
}

static int wire_write(BIO *bio, const char *bytes, int size)
{
    struct net_tls *tls = BIO_get_data(bio);
    size_t n;

    BIO_clear_retry_flags(bio);
    /* A handshake's messages come one by one and leave together. */
    if (tls->out == NULL && !out_take(tls, tls->state == TLS_HANDSHAKE ? TLS_OUT_LARGE_BYTES : (size_t)size))
        return -1;
    n = MIN(tls->out_size - tls->out_end, (uint32_t)size);
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

/* SSL_get_error looks at the queue. Emptying it walks all of its sixteen places, also where there is nothing. */
static void errors_clear(void)
{
    if (UNLIKELY(ERR_peek_error() != 0))
        ERR_clear_error();
}

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

/* Plaintext that one more record could take. */
static size_t tls_out_room(const struct net_tls *tls)
{
    uint32_t room = (tls->out != NULL ? tls->out_size : out_size_for(tls, 0)) - tls->out_end;

    return room > RECORD_OVERHEAD ? room - RECORD_OVERHEAD : 0;
}

static size_t iov_left(const struct net_tls *tls)
{
    size_t left = 0;

    for (unsigned i = 0; i < tls->iov_count; i++)
        left += tls->iov[i].iov_len;
    return left - tls->iov_taken;
}

static void iov_advance(struct net_tls *tls, size_t n)
{
    tls->taken_bytes += (uint32_t)n;
    for (n += tls->iov_taken; tls->iov_count > 0 && n >= tls->iov->iov_len; tls->iov_count--)
        n -= (tls->iov++)->iov_len;
    tls->iov_taken = tls->iov_count > 0 ? n : 0;
}

/* The next n bytes, n at most what is left: in scratch where they lie in pieces, so that a head and its body are one
 * record. */
static const char *iov_show(const struct net_tls *tls, size_t n, char *scratch)
{
    const char *first = (const char *)tls->iov->iov_base + tls->iov_taken;
    size_t at = 0, skip = tls->iov_taken;

    if (tls->iov->iov_len - tls->iov_taken >= n)
        return first;
    for (unsigned i = 0; at < n; i++) {
        size_t piece = MIN(tls->iov[i].iov_len - skip, n - at);
        memcpy(scratch + at, (const char *)tls->iov[i].iov_base + skip, piece);
        at += piece;
        skip = 0;
    }
    return scratch;
}

/* Turns as much of the send as fits into records; the whole of a record or nothing, so that OpenSSL never
 * holds half of one and asks for the same bytes again. */
static void tls_write(struct net_tls *tls)
{
    size_t left = iov_left(tls);
    char scratch[RECORD_BYTES];

    if (left == 0)
        tls->iov_count = 0;
    else
        out_prepare(tls, left + RECORD_OVERHEAD);
    while (left > 0 && tls->error == 0) {
        size_t n = MIN(MIN(left, tls_out_room(tls)), (size_t)RECORD_BYTES);
        int result;

        if (n == 0 || n < MIN(left, (size_t)RECORD_WORTH_BYTES))
            return; /* a short send: the caller brings the rest */
        errors_clear();
        result = SSL_write(tls->ssl, iov_show(tls, n, scratch), (int)n);
        if (result <= 0) {
            tls->error = tls_error(tls, result);
            if (tls->error == 0)
                tls->error = -EPROTO; /* neither room nor input can be missing: we do not renegotiate */
            return;
        }
        iov_advance(tls, (size_t)result);
        left -= (size_t)result;
    }
}

static void tls_shut(struct net_tls *tls)
{
    if (!tls->shut_wanted || tls->sending || tls->shut_done || tls->state != TLS_OPEN)
        return;
    if (!tls->shut_notified && tls_out_room(tls) > 0) {
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
    if (tls->accepted.acceptor != NULL) {
        accepted_handshake_over(&tls->accepted, tls->ssl, result == 0, &tls->stream);
        if (result != 0 && tls->tcp_ended)
            tls->stream.handshake_failure = NET_HANDSHAKE_CLOSED;
        else if (result != 0 && tls->handshake_bytes > HANDSHAKE_BYTES_MAX)
            tls->stream.handshake_failure = NET_HANDSHAKE_TOO_LONG;
    }
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
    if (result == 1) {
        tls->stream.alpn = tls_alpn(tls);
        tls_connected(tls, 0, NULL); /* what the reader sends at once leaves with the handshake's last bytes */
        return;
    }
    tls_flush(tls); /* an alert as well */
    error = tls_error(tls, result);
    if (error != 0)
        tls_connected(tls, error, tls_handshake_detail(tls));
    else if (tls->accepted.acceptor != NULL && tls->handshake_bytes > HANDSHAKE_BYTES_MAX)
        tls_connected(tls, -EPROTO, "the handshake is too long");
}

/* As OpenSSL would say as well, with a buffer fetched for it. */
static bool tls_has_nothing(const struct net_tls *tls)
{
    return tls->in_bytes == 0 && !tls->tcp_ended && tls->error == 0 && SSL_has_pending(tls->ssl) == 0 &&
           (SSL_get_shutdown(tls->ssl) & SSL_RECEIVED_SHUTDOWN) == 0;
}

/* The end of TCP without close_notify, between two records: many clients leave so. OpenSSL would say the same, and write
 * an alert for somebody who is gone. */
static bool tls_is_cut(const struct net_tls *tls)
{
    return tls->in_bytes == 0 && tls->tcp_ended && SSL_has_pending(tls->ssl) == 0 &&
           (SSL_get_shutdown(tls->ssl) & SSL_RECEIVED_SHUTDOWN) == 0;
}

static void tls_received(struct net_tls *tls, int32_t result, void *data)
{
    if (result < 0)
        tls->error = result;
    tls->receiving = false;
    tls->stream.handler->received(&tls->stream, result, data);
}

/* True when something was told to the reader. */
static bool tls_read(struct net_tls *tls)
{
    char buffer[RECORD_BYTES];
    void *into = tls->into != NULL ? tls->into : buffer;
    size_t size = tls->into != NULL ? MIN(tls->into_bytes, (uint32_t)INT32_MAX) : sizeof(buffer);
    int32_t result;

    if (tls_has_nothing(tls))
        return false;
    if (tls_is_cut(tls)) {
        tls_received(tls, tls->error != 0 ? tls->error : -ECONNRESET, into);
        return true;
    }
    errors_clear();
    result = SSL_read(tls->ssl, into, (int)size);
    if (result <= 0 && SSL_get_error(tls->ssl, result) == SSL_ERROR_ZERO_RETURN) {
        result = 0; /* close_notify; not a fatal alert, which counts as a shutdown, too */
    } else if (result <= 0) {
        result = tls_error(tls, result);
        if (result == 0)
            return false;
    }
    tls_received(tls, result, into);
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
    tls->iov_taken = 0;
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
        if (tls->state == TLS_HANDSHAKE)
            tls->handshake_bytes += (uint32_t)result;
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
    if (tls->out_start == tls->out_end)
        out_drop(tls);
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
    out_drop(tls);
    if (tls->accepted.acceptor != NULL) {
        accepted_done(&tls->accepted);
        acceptor_stream_put(tls->accepted.acceptor, tls);
    } else {
        free(tls);
    }
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
    tls->iov_taken = 0;
    tls->taken_bytes = 0;
    tls->sending = true;
    if (tls->error == 0)
        tls_write(tls);
    if (tls->error == 0)
        tls_flush(tls);
    else
        tls_pump_soon(tls);
}

/* Nothing anywhere: decrypted, kept for OpenSSL, or in the kernel. A session ticket that comes only now counts, too: what it
 * is can only be known by reading on, and then it may be the beginning of an answer that nobody asked for. */
static bool tls_op_is_silent(struct net_stream *stream)
{
    struct net_tls *tls = tls_of(stream);

    if (!tls_has_nothing(tls) || (tls->tcp_receiving && !net_recv_cancel(&tls->tcp.stream)))
        return false;
    tls->tcp_receiving = false;
    return net_is_silent(&tls->tcp.stream);
}

static uint32_t tls_op_unsent_bytes(const struct net_stream *stream)
{
    const struct net_tls *tls = container_of(stream, struct net_tls, stream);

    return tls->out_end - tls->out_start + net_unsent_bytes(&tls->tcp.stream);
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

static const struct net_stream_ops tls_ops = {tls_op_recv, tls_op_recv_cancel, tls_op_is_silent, tls_op_send, tls_op_unsent_bytes,
                                              tls_op_shutdown, tls_op_close};
static const struct net_handler tls_wire = {wire_received, wire_sent, wire_connected, wire_closed};

err net_tls_connect(struct net_tls_config *config, struct loop *loop, const struct net_tls_target *target,
                    const struct net_handler *handler, struct net_stream **ret_stream)
{
    struct net_tls *tls = calloc(1, sizeof(*tls));
    err result;

    ENSURE(tls != NULL, MEMORY);
    task_init(&tls->task, tls_task);
    tls->memory = target->memory;
    result = net_tls_config_ssl(config, target, &tls->ssl);
    if (err_is_ok(result)) {
        BIO_set_data(SSL_get_rbio(tls->ssl), tls);
        tls->config = net_tls_config_ref(config);
        result = net_tcp_connect(&tls->tcp, loop, target->address, &tls_wire);
    }
    if (!err_is_ok(result)) {
        tls_free(tls);
        return result;
    }
    tls->stream = (struct net_stream){
        .ops = &tls_ops, .handler = handler, .loop = loop, .peer = tls->tcp.stream.peer, .scheme = NET_TLS};
    *ret_stream = &tls->stream;
    return ERR_OK;
}

/* ---- accepted ---------------------------------------------------------------------------------------------- */

size_t tls_stream_bytes(void)
{
    return sizeof(struct net_tls);
}

const struct tls_accepted *tls_accepted_of(const struct net_stream *stream)
{
    return &container_of(stream, struct net_tls, stream)->accepted;
}

err net_tls_accept(struct net_acceptor *acceptor, struct loop *loop, int fd, const struct os_peer *peer,
                   const struct net_handler *handler, void *owner, struct net_stream **ret_stream)
{
    struct net_tls *tls = acceptor_stream_get(acceptor);
    err result;

    if (tls == NULL) {
        os_accepted_close(fd);
        return ERR(MEMORY);
    }
    memset(tls, 0, sizeof(*tls));
    task_init(&tls->task, tls_task);
    tls->accepted.acceptor = acceptor;
    tls->state = TLS_HANDSHAKE;
    result = acceptor_ssl(acceptor, &tls->accepted, &tls->ssl);
    if (err_is_ok(result)) {
        BIO_set_data(SSL_get_rbio(tls->ssl), tls);
        result = net_tcp_adopt(&tls->tcp, loop, fd, peer, &tls_wire);
    } else {
        os_accepted_close(fd);
    }
    if (!err_is_ok(result)) {
        tls_free(tls);
        return result;
    }
    tls->stream = (struct net_stream){
        .ops = &tls_ops, .handler = handler, .loop = loop, .owner = owner, .peer = *peer, .scheme = NET_TLS};
    tls->tcp_receiving = true; /* the client speaks first */
    net_recv(&tls->tcp.stream, NULL, 0);
    *ret_stream = &tls->stream;
    return ERR_OK;
}
