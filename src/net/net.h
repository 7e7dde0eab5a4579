/* net: byte streams between this node and one peer: tcp or unix, with filters stacked on top (TLS; later the PROXY
 * protocol). A reader sees the same calls whatever the stack is.
 *
 * Thread: a stream belongs to one loop. One receive and one send at a time. */
#ifndef WARP_NET_NET_H
#define WARP_NET_NET_H

#include "base/err.h"
#include "loop/loop.h"
#include "os/os.h"

struct net_stream;

/* What a stream tells its reader. Set once, before the first call; each is called from the loop, never from
 * inside a call to the stream. */
struct net_handler {
    /* Bytes of a net_recv: result > 0 bytes in data (valid inside the call when the receive named no buffer,
     * else the caller's own), 0 the peer finished sending (TLS: only after close_notify), < 0 -errno
     * (-ECONNRESET also for a TLS stream that ends without close_notify, -EPROTO for a TLS error). */
    void (*received)(struct net_stream *stream, int32_t result, const char *data);
    /* Of a net_send: bytes taken (maybe fewer than given), or -errno. */
    void (*sent)(struct net_stream *stream, int32_t result);
    /* Of a connect, or of an accepted TLS stream's handshake (nothing may be received or sent before): 0 or -errno;
     * detail says more for a log (TLS verification), or is NULL. */
    void (*connected)(struct net_stream *stream, int32_t result, const char *detail);
    /* After net_close: the memory may go. */
    void (*closed)(struct net_stream *stream);
};

struct net_stream_ops; /* net/stream_ops.h, for filters */

enum net_scheme { NET_PLAIN, NET_TLS };

/* What both ends agreed to speak (RFC 7301); known once connected() was called. */
enum net_alpn { NET_ALPN_NONE, NET_ALPN_H1, NET_ALPN_H2 };

/* Why the peer's certificate was refused; known once connected() failed. */
enum net_certificate { NET_CERTIFICATE_FINE, NET_CERTIFICATE_UNTRUSTED, NET_CERTIFICATE_EXPIRED, NET_CERTIFICATE_NAME, NET_CERTIFICATE_BAD };

/* Why a client's TLS handshake failed: name, word for the metric, meaning. */
#define NET_HANDSHAKE_FAILURES(X)                                                                            \
    X(CLOSED, "closed", "the client went away in the middle")                                                \
    X(NOT_TLS, "not-tls", "plain HTTP, or nothing that TLS knows")                                           \
    X(VERSION, "version", "older than TLS 1.2")                                                              \
    X(CIPHER, "cipher", "no common cipher, group or signature algorithm")                                    \
    X(ALPN, "alpn", "no common protocol")                                                                    \
    X(SERVER_NAME, "server-name", "no certificate for that name, and none for all")                          \
    X(CLIENT_CERTIFICATE, "client-certificate", "none shown where one is asked for, or one that is not good") \
    X(ALERT, "alert", "the client refused: it does not trust the certificate, or does not like something else") \
    X(TOO_LONG, "too-long", "more bytes than a handshake has")                                               \
    X(TIMEOUT, "timeout", "more time than a handshake has")                                                  \
    X(OTHER, "other", "everything else that is no TLS handshake")

enum net_handshake_failure {
#define X(name, word, meaning) NET_HANDSHAKE_##name,
    NET_HANDSHAKE_FAILURES(X)
#undef X
        NET_HANDSHAKE_FAILURE_COUNT
};
extern const char *const net_handshake_failures[NET_HANDSHAKE_FAILURE_COUNT];

/* Embedded first in the plain stream or in a filter's struct. */
struct net_stream {
    const struct net_stream_ops *ops;
    const struct net_handler *handler;
    struct loop *loop;
    void *owner; /* the reader's own */
    struct os_peer peer;
    uint8_t scheme; /* enum net_scheme */
    uint8_t alpn;   /* enum net_alpn */
    uint8_t certificate; /* enum net_certificate */
    /* Of an accepted TLS stream, once connected() was called. */
    uint8_t handshake_failure; /* enum net_handshake_failure, of one that failed */
    bool is_tls12, is_resumed;
};

/* Another reader takes over: inside a callback of the handler so far, or with nothing under way. */
static inline void net_give(struct net_stream *stream, const struct net_handler *handler, void *owner)
{
    stream->handler = handler;
    stream->owner = owner;
}

/* The plain stream, for embedding or from a pool: an idle connection is this and its owner, nothing else. */
struct net_tcp {
    struct net_stream stream;
    struct os_socket socket;
    struct os_recv recv;
    union {
        struct os_send send;
        struct os_connect connect;
    };
    struct pool *pool; /* where the memory goes after closed(); NULL: it is somebody's */
};

/* fd from an acceptor. On error fd is closed. */
MUST_USE err net_tcp_adopt(struct net_tcp *tcp, struct loop *loop, int fd, const struct os_peer *peer,
                           const struct net_handler *handler);
/* The same in memory of its own (pool of sizeof(struct net_tcp)), which goes back after closed(). net_give follows. */
MUST_USE err net_tcp_accept(struct pool *pool, struct loop *loop, int fd, const struct os_peer *peer,
                            struct net_stream **ret_stream);
/* Begins to connect; handler->connected tells. address stays valid until then (or closed). */
MUST_USE err net_tcp_connect(struct net_tcp *tcp, struct loop *loop, const struct os_address *address,
                             const struct net_handler *handler);

/* TLS to an origin over a plain stream, OpenSSL on memory BIOs. */
struct net_tls_config; /* shared by threads, counted: the trust store, our certificate, ALPN */
struct net_tls_options {
    const char *ca_file;              /* NULL: the system's store */
    const char *cert_file, *key_file; /* ours, for peers that ask for one; both or none */
    const char *name;                 /* SNI, and the name that is verified; NULL: what net_tls_connect is given */
    bool verify;                      /* default true; false only when the operator said so */
    bool h2;                          /* offered by ALPN before http/1.1 */
};
/* On error message says which file is wrong, and how. */
MUST_USE err net_tls_config_new(const struct net_tls_options *options, char *message, size_t message_size,
                                struct net_tls_config **ret_config);
struct net_tls_config *net_tls_config_unref(struct net_tls_config *config);
struct net_tls_config *net_tls_config_ref(struct net_tls_config *config);

/* The latest session ticket of one peer, for one thread: the next connection to it saves the handshake's signatures.
 * Outlives the streams that were given it. */
struct net_tls_memory {
    void *session;
};
void net_tls_memory_done(struct net_tls_memory *memory);

struct net_tls_target {
    const struct os_address *address; /* valid until connected (or closed) */
    slice name;                       /* sent as SNI (not an IP literal) and verified; the config's own goes before */
    struct net_tls_memory *memory;    /* NULL: no session is resumed */
    bool h1_only;                     /* offer http/1.1, whatever the config says */
};
/* A TLS client stream. *ret_stream is freed after closed(). */
MUST_USE err net_tls_connect(struct net_tls_config *config, struct loop *loop, const struct net_tls_target *target,
                             const struct net_handler *handler, struct net_stream **ret_stream);

/* First thing in main(), before anything else uses OpenSSL: its memory then takes less room (crypto_memory.c). */
void net_tls_use_tight_memory(void);

/* ---- TLS to clients ------------------------------------------------------------------------------------------
 *
 * A struct net_identity is what a listener shows its clients: certificates with their keys and OCSP answers, chosen by
 * server name. It never changes: a reload makes a new one, and connections keep the one they began with. Made on any
 * thread, shared by all, counted. Each thread serves it through a struct net_acceptor of its own. */
struct net_identity;
struct net_tickets; /* the keys of session tickets, shared by threads and by identities that follow each other */

/* A certificate that is shown for these names alone, whatever else it names: its owner's, who has no others. */
struct net_identity_file {
    const char *cert_file, *key_file;
    const slice *hosts; /* lower case, "*.example" for all below */
    unsigned host_count;
};

struct net_identity_options {
    const struct net_identity_file *files; /* of owners that have names of their own */
    unsigned file_count;
    const char *cert_file, *key_file; /* for clients without a server name, or with one that nobody has; may be NULL */
    const char *cert_dir;             /* may be NULL; docs/tls.md says what lies there */
    const char *client_ca_file;       /* clients must show a certificate of these; NULL: none is asked for */
    bool h2;                          /* offered by ALPN beside http/1.1 */
};

/* On error message says which file is wrong, and how. */
MUST_USE err net_identity_new(const struct net_identity_options *options, char *message, size_t message_size,
                              struct net_identity **ret_identity);
struct net_identity *net_identity_ref(struct net_identity *identity);
struct net_identity *net_identity_unref(struct net_identity *identity);
/* Its certificates, for metrics and lists: name (the file's path) and end of validity; false: no more. */
MUST_USE bool net_identity_certificate(const struct net_identity *identity, unsigned at, const char **ret_name,
                                       int64_t *ret_expires_s);

MUST_USE err net_tickets_new(struct net_tickets **ret_tickets);
struct net_tickets *net_tickets_free(struct net_tickets *tickets);

/* One thread's side of an identity: its OpenSSL context, and the memory of the streams it accepts. May be made on
 * another thread. tickets outlive it and its streams. Connections keep what they need of it: freed as soon as no more are
 * accepted by it. */
struct net_acceptor;
MUST_USE err net_acceptor_new(struct net_identity *identity, struct net_tickets *tickets, struct net_acceptor **ret_acceptor);
struct net_acceptor *net_acceptor_free(struct net_acceptor *acceptor);

/* A TLS stream over an accepted descriptor. handler->connected tells when the handshake is over; the memory goes after
 * closed(). On error fd is closed. */
MUST_USE err net_tls_accept(struct net_acceptor *acceptor, struct loop *loop, int fd, const struct os_peer *peer,
                            const struct net_handler *handler, void *owner, struct net_stream **ret_stream);
/* Whether requests for host (without port) may come over this stream: its certificate is good for that name, or only one
 * certificate was given for all (no cert_dir). Always true of a plain stream. (421, RFC 9110 15.5.20.) */
MUST_USE bool net_is_for_host(const struct net_stream *stream, slice host);

/* ---- every stream ----------------------------------------------------------------------------------------------- */

/* into NULL: the stream provides the bytes; an idle stream then holds no buffer. */
void net_recv(struct net_stream *stream, void *into, uint32_t into_bytes);
/* True: taken back, received() will not be called. */
MUST_USE bool net_recv_cancel(struct net_stream *stream);
/* iov and what it points to stay until sent(). more: another send follows at once. */
void net_send(struct net_stream *stream, const struct iovec *iov, unsigned iov_count, bool more);
/* Nothing has arrived that was not received yet: asks the kernel (one system call). For a kept connection,
 * before it is used again, with no receive under way. */
MUST_USE bool net_is_silent(struct net_stream *stream);
/* Bytes that were taken to be sent and that the peer has not acknowledged, TLS's own among them: asks the kernel. 0 where
 * unknown. */
MUST_USE uint32_t net_unsent_bytes(const struct net_stream *stream);
void net_shutdown(struct net_stream *stream); /* FIN (TLS: close_notify first) */
/* What is under way is dropped without received()/sent(); closed() follows. */
void net_close(struct net_stream *stream, bool reset);

#endif
