#include "floor_tls.h"

#include "common.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

static SSL_CTX *context;
static BIO_METHOD *method;

void bytes_add(struct bytes *bytes, const void *data, size_t len)
{
    if (len > bytes->room - bytes->len) {
        bytes->room = (bytes->len + len) * 2;
        bytes->data = realloc(bytes->data, bytes->room);
        if (bytes->data == NULL)
            die("realloc");
    }
    memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
}

/* ---- OpenSSL's side: a BIO on both pieces of memory */

static int memory_read(BIO *bio, char *into, int room)
{
    struct tls *tls = BIO_get_data(bio);
    size_t n = tls->in_len < (size_t)room ? tls->in_len : (size_t)room;

    BIO_clear_retry_flags(bio);
    if (n == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(into, tls->in, n);
    tls->in += n;
    tls->in_len -= n;
    return (int)n;
}

static int memory_write(BIO *bio, const char *data, int len)
{
    struct tls *tls = BIO_get_data(bio);

    bytes_add(tls->out, data, (size_t)len);
    return len;
}

static long memory_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static int alpn_choose(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
                       const unsigned char *offered, unsigned offered_len, void *unused)
{
    static const unsigned char known[] = "\x02h2\x08http/1.1";

    (void)ssl;
    (void)unused;
    return SSL_select_next_proto((unsigned char **)(uintptr_t)ret, ret_len, known, sizeof(known) - 1, offered,
                                 offered_len) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

void tls_prepare(const char *certificate, const char *key)
{
    context = SSL_CTX_new(TLS_server_method());
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "memory");
    if (context == NULL || method == NULL || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        die("certificate or key");
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF); /* tickets need none */
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_alpn_select_cb(context, alpn_choose, NULL);
    BIO_meth_set_read(method, memory_read);
    BIO_meth_set_write(method, memory_write);
    BIO_meth_set_ctrl(method, memory_control);
}

/* ---- the server's side */

void tls_open(struct tls *tls, struct bytes *out)
{
    BIO *bio = BIO_new(method);

    *tls = (struct tls){.ssl = SSL_new(context), .out = out};
    if (bio == NULL || tls->ssl == NULL)
        die("SSL_new");
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_accept_state(tls->ssl);
}

void tls_close(struct tls *tls)
{
    SSL_free(tls->ssl);
    tls->ssl = NULL;
}

enum tls_read tls_read(struct tls *tls, char *into, size_t room, size_t *ret_len)
{
    int n;

    if (!tls->shaken) {
        n = SSL_do_handshake(tls->ssl);
        if (n != 1)
            return SSL_get_error(tls->ssl, n) == SSL_ERROR_WANT_READ ? TLS_EMPTY : TLS_ENDED;
        tls->shaken = true;
    }
    n = SSL_read(tls->ssl, into, (int)room);
    if (n > 0) {
        *ret_len = (size_t)n;
        return TLS_DATA;
    }
    switch (SSL_get_error(tls->ssl, n)) {
    case SSL_ERROR_WANT_READ:
        return TLS_EMPTY;
    case SSL_ERROR_ZERO_RETURN:
        SSL_shutdown(tls->ssl);
        /* fallthrough */
    default:
        return TLS_ENDED;
    }
}

void tls_write(struct tls *tls, const void *data, size_t len)
{
    if (SSL_write(tls->ssl, data, (int)len) != (int)len)
        die("SSL_write");
}

bool tls_is_h2(const struct tls *tls)
{
    const unsigned char *alpn;
    unsigned len;

    SSL_get0_alpn_selected(tls->ssl, &alpn, &len);
    return len == 2 && memcmp(alpn, "h2", 2) == 0;
}
