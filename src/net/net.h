/* net: byte streams between this node and one peer: tcp or unix, with filters stacked on top (TLS to origins
 * now; PROXY protocol and TLS to clients later). A reader sees the same calls whatever the stack is.
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
    /* Of net_connect: 0 or -errno; detail says more for a log (TLS verification), or is NULL. */
    void (*connected)(struct net_stream *stream, int32_t result, const char *detail);
    /* After net_close: the memory may go. */
    void (*closed)(struct net_stream *stream);
};

struct net_stream_ops; /* net/stream_ops.h, for filters */

/* Embedded first in the plain stream or in a filter's struct. */
struct net_stream {
    const struct net_stream_ops *ops;
    const struct net_handler *handler;
    struct loop *loop;
    void *owner; /* the reader's own */
    struct os_peer peer;
    uint8_t scheme; /* enum net_scheme */
};

enum net_scheme { NET_PLAIN, NET_TLS };

/* The plain stream, for embedding: an idle connection is this and its owner, nothing else. */
struct net_tcp {
    struct net_stream stream;
    struct os_socket socket;
    struct os_recv recv;
    union {
        struct os_send send;
        struct os_connect connect;
    };
};

/* fd from an acceptor. On error fd is closed. */
MUST_USE err net_tcp_adopt(struct net_tcp *tcp, struct loop *loop, int fd, const struct os_peer *peer,
                           const struct net_handler *handler);
/* Begins to connect; handler->connected tells. address stays valid until then (or closed). */
MUST_USE err net_tcp_connect(struct net_tcp *tcp, struct loop *loop, const struct os_address *address,
                             const struct net_handler *handler);

/* TLS to an origin over a plain stream, OpenSSL on memory BIOs. */
struct net_tls_config; /* shared by threads, counted: the trust store, our certificate, ALPN */
struct net_tls_options {
    const char *ca_file; /* NULL: the system's store */
    bool verify;         /* default true; false only when the operator said so */
};
MUST_USE err net_tls_config_new(const struct net_tls_options *options, struct net_tls_config **ret_config);
struct net_tls_config *net_tls_config_unref(struct net_tls_config *config);
struct net_tls_config *net_tls_config_ref(struct net_tls_config *config);

/* A TLS client stream; name is sent as SNI (not for IP literals) and verified against the certificate.
 * *ret_stream is freed after closed(). */
MUST_USE err net_tls_connect(struct net_tls_config *config, struct loop *loop, const struct os_address *address,
                             slice name, const struct net_handler *handler, struct net_stream **ret_stream);

/* into NULL: the stream provides the bytes; an idle stream then holds no buffer. */
void net_recv(struct net_stream *stream, void *into, uint32_t into_bytes);
/* True: taken back, received() will not be called. */
MUST_USE bool net_recv_cancel(struct net_stream *stream);
/* iov and what it points to stay until sent(). more: another send follows at once. */
void net_send(struct net_stream *stream, const struct iovec *iov, unsigned iov_count, bool more);
/* Nothing has arrived that was not received yet: asks the kernel (one system call). For a kept connection,
 * before it is used again, with no receive under way. */
MUST_USE bool net_is_silent(struct net_stream *stream);
void net_shutdown(struct net_stream *stream); /* FIN (TLS: close_notify first) */
/* What is under way is dropped without received()/sent(); closed() follows. */
void net_close(struct net_stream *stream, bool reset);

#endif
