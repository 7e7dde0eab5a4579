/* Connections of the generator. TLS is the same for all servers: 1.3, AES-128-GCM, X25519, the certificate
 * that the benchmark made; what else a server might agree upon is not offered, and what it agreed upon is
 * looked at. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CIPHER     "TLS_AES_128_GCM_SHA256"
#define READ_AHEAD (128u << 10)

static SSL_CTX *context;
static X509 *certificate;
static char alpn_wanted[16]; /* its length, then the word: as in the extension */

const char *tls_why(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    return reason != NULL ? reason : "closed by the server";
}

static void certificate_read(void)
{
    FILE *file = fopen(opt.certificate, "r");

    if (file == NULL)
        fail("%s: %s", opt.certificate, strerror(errno));
    certificate = PEM_read_X509(file, NULL, NULL, NULL);
    if (certificate == NULL)
        fail("%s: no certificate", opt.certificate);
    fclose(file);
}

void wire_prepare(const char *alpn)
{
    if (opt.certificate == NULL)
        return;
    alpn_wanted[0] = (char)strlen(alpn);
    strcpy(alpn_wanted + 1, alpn);
    certificate_read();
    context = SSL_CTX_new(TLS_client_method());
    if (context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(context, CIPHER) != 1 || SSL_CTX_set1_groups_list(context, "X25519") != 1 ||
        SSL_CTX_set_alpn_protos(context, (unsigned char *)alpn_wanted, (unsigned)strlen(alpn_wanted)) != 0)
        fail("TLS: %s", tls_why());
    /* tls_check compares the certificate: cheaper than to build a chain. */
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF); /* some servers close without a word */
    if (opt.spoken == SPOKEN_HANDSHAKE || opt.spoken == SPOKEN_RESUME) {
        SSL_CTX_set_read_ahead(context, 1);
    } else if (opt.mode == MODE_IDLE) {
        SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    } else { /* several records in one receive */
        SSL_CTX_set_read_ahead(context, 1);
        SSL_CTX_set_default_read_buffer_len(context, READ_AHEAD);
    }
}

int socket_open(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(opt.port))};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        fail("connection: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

SSL *tls_new(int fd)
{
    SSL *ssl = SSL_new(context);

    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || SSL_set_tlsext_host_name(ssl, "bench.test") != 1)
        fail("TLS: %s", tls_why());
    SSL_set_connect_state(ssl);
    return ssl;
}

void tls_check(SSL *ssl, bool resumed)
{
    const unsigned char *alpn = NULL;
    unsigned alpn_len = 0;

    if (SSL_version(ssl) != TLS1_3_VERSION)
        fail("TLS: %s, not TLSv1.3", SSL_get_version(ssl));
    if (strcmp(SSL_get_cipher_name(ssl), CIPHER) != 0)
        fail("TLS: cipher %s, not " CIPHER, SSL_get_cipher_name(ssl));
    if (SSL_get_negotiated_group(ssl) != NID_X25519) /* also of a resumed one: psk_dhe_ke, not psk_ke */
        fail("TLS: a group that is not X25519");
    if (X509_cmp(SSL_get0_peer_certificate(ssl), certificate) != 0)
        fail("TLS: not the certificate of the benchmark");
    SSL_get0_alpn_selected(ssl, &alpn, &alpn_len);
    if (alpn_len != strlen(alpn_wanted + 1) || memcmp(alpn, alpn_wanted + 1, alpn_len) != 0)
        fail("TLS: ALPN chose %.*s%s, not %s", (int)alpn_len, alpn == NULL ? "" : (const char *)alpn,
             alpn_len == 0 ? "nothing" : "", alpn_wanted + 1);
    if ((SSL_session_reused(ssl) != 0) != resumed)
        fail("TLS: a handshake that was %s", resumed ? "not resumed" : "resumed");
}

void wire_open(struct wire *wire)
{
    wire->fd = socket_open();
    if (context == NULL)
        return;
    wire->ssl = tls_new(wire->fd);
    if (SSL_do_handshake(wire->ssl) != 1)
        fail("TLS handshake: %s", tls_why());
    tls_check(wire->ssl, false);
    if (fcntl(wire->fd, F_SETFL, O_NONBLOCK) != 0)
        fail("fcntl: %s", strerror(errno));
}

void wire_send(struct wire *wire, const void *data, size_t len)
{
    bool sent = wire->ssl != NULL ? SSL_write(wire->ssl, data, (int)len) == (int)len
                                  : send(wire->fd, data, len, MSG_NOSIGNAL) == (ssize_t)len;
    if (!sent)
        fail("send: %s", wire->ssl != NULL ? tls_why() : strerror(errno));
}

static ssize_t tls_recv(struct wire *wire, void *into, size_t len)
{
    int n = SSL_read(wire->ssl, into, (int)len);

    if (n > 0)
        return n;
    switch (SSL_get_error(wire->ssl, n)) {
    case SSL_ERROR_WANT_READ:
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        fail("TLS: %s", tls_why());
    }
}

ssize_t wire_recv(struct wire *wire, void *into, size_t len)
{
    ssize_t n;

    if (wire->ssl != NULL)
        return tls_recv(wire, into, len);
    n = recv(wire->fd, into, len, MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN)
        fail("recv: %s", strerror(errno));
    return n;
}

bool wire_more(const struct wire *wire)
{
    return wire->ssl != NULL && SSL_has_pending(wire->ssl) == 1;
}
