/* tls_server: a TLS server on a thread, with a CA of its own, made afresh for the test. */
#ifndef WARP_TESTS_TLS_SERVER_H
#define WARP_TESTS_TLS_SERVER_H

#include "os/os.h"

enum tls_server_mode {
    SERVE_ECHO,      /* until close_notify, then answers it */
    SERVE_TRUNCATED, /* says "part" and closes without close_notify */
    SERVE_PLAIN,     /* answers the handshake in plain text */
    SERVE_HANG_UP,   /* closes during the handshake */
};

struct tls_server;
struct tls_server *tls_server_start(enum tls_server_mode mode, bool tls12);
/* Waits for the one connection to end. */
void tls_server_stop(struct tls_server *server);
const struct os_address *tls_server_address(const struct tls_server *server);
const char *tls_server_ca_file(const struct tls_server *server);
const char *tls_server_seen_name(const struct tls_server *server); /* SNI; after the handshake */
const char *tls_server_seen_alpn(const struct tls_server *server);

/* After one connection has ended: takes another. */
void tls_server_again(struct tls_server *server);
/* Before a connection: it needs a certificate of the server's own authority; the file with certificate and key has one. */
void tls_server_ask_certificate(struct tls_server *server);
const char *tls_server_cert_file(const struct tls_server *server);
const char *tls_server_seen_client(const struct tls_server *server);
bool tls_server_has_resumed(const struct tls_server *server);

#endif
