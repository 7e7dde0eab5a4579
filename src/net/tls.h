/* What tls.c and tls_config.c share; for net/ only. */
#ifndef WARP_NET_TLS_H
#define WARP_NET_TLS_H

#include "net/net.h"

#include <openssl/ssl.h>

struct net_tls_config {
    atomic_uint refs;
    SSL_CTX *context;
    BIO_METHOD *bio_method; /* reads and writes the buffers of a struct net_tls */
};

/* Implemented in tls.c. */
MUST_USE BIO_METHOD *net_tls_bio_method_new(void);
/* A client SSL that sends and checks that name. NULL: err tells. */
MUST_USE err net_tls_config_ssl(struct net_tls_config *config, slice name, SSL **ret_ssl);

#endif
