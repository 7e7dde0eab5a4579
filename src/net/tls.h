/* What tls.c and tls_config.c share; for net/ only. */
#ifndef WARP_NET_TLS_H
#define WARP_NET_TLS_H

#include "net/net.h"

#include <openssl/ssl.h>

struct net_tls_config {
    atomic_uint refs;
    SSL_CTX *context;
    BIO_METHOD *bio_method; /* reads and writes the buffers of a struct net_tls */
    char name[256];         /* "": that of the target */
};

/* Implemented in tls.c. */
MUST_USE BIO_METHOD *net_tls_bio_method_new(void);
/* A ticket has come: true when it was kept (the reference is the stream's now). */
MUST_USE bool net_tls_keep_session(SSL *ssl, SSL_SESSION *session);
/* Implemented in tls_config.c: a client SSL that sends and checks the target's name and resumes its session. */
MUST_USE err net_tls_config_ssl(struct net_tls_config *config, const struct net_tls_target *target, SSL **ret_ssl);

#endif
