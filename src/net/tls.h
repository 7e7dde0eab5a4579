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

/* ---- accepted streams (tls_acceptor.c) ----------------------------------------------------------------------------
 *
 * What belongs to a stream's SSL as its app data. */
struct tls_accepted {
    struct net_acceptor *acceptor;       /* NULL: a stream to an origin */
    const struct identity_name *name;    /* what is shown to this client; until the handshake is over */
    struct tls_certificate *certificate; /* counted, once the handshake is over; NULL: good for every host */
    bool is_shaking;
};

/* One thread's buffers of ciphertext on its way out, held only while there is some: small ones for short answers, large
 * ones for the four records of 64 KiB of a body with its head, which leave in one send. */
#define TLS_OUT_SMALL_BYTES 4096u
#define TLS_OUT_LARGE_BYTES (72u << 10)
struct tls_out_pools {
    struct pool small, large;
};

/* An SSL that accepts; the handshake counts until accepted_handshake_over. */
MUST_USE err acceptor_ssl(struct net_acceptor *acceptor, struct tls_accepted *accepted, SSL **ret_ssl);
/* good: fills in what the stream tells of itself. Else says why (enum net_handshake_failure). Once. */
void accepted_handshake_over(struct tls_accepted *accepted, SSL *ssl, bool good, struct net_stream *stream);
void accepted_done(struct tls_accepted *accepted);
/* Memory of a stream; NULL when memory ends. */
void *acceptor_stream_get(struct net_acceptor *acceptor);
/* Gives it back; the acceptor may go with it. */
void acceptor_stream_put(struct net_acceptor *acceptor, void *stream);
struct tls_out_pools *acceptor_out_pools(struct net_acceptor *acceptor);

/* In tls.c: the size of what acceptor_stream_get is for, and that part of a TLS stream. */
size_t tls_stream_bytes(void);
const struct tls_accepted *tls_accepted_of(const struct net_stream *stream);

/* Implemented in tls.c. */
MUST_USE BIO_METHOD *net_tls_bio_method_new(void);
/* A ticket has come: true when it was kept (the reference is the stream's now). */
MUST_USE bool net_tls_keep_session(SSL *ssl, SSL_SESSION *session);
/* Implemented in tls_config.c: a client SSL that sends and checks the target's name and resumes its session. */
MUST_USE err net_tls_config_ssl(struct net_tls_config *config, const struct net_tls_target *target, SSL **ret_ssl);

#endif
