/* h1_write: heads of HTTP/1 messages into the caller's buffer. Field sets are copied as they are: they hold
 * neither framing nor hop-by-hop fields; those are written here, from struct h1_framing. */
#ifndef WARP_HTTP_H1_WRITE_H
#define WARP_HTTP_H1_WRITE_H

#include "http/message.h"

enum h1_connection {
    H1_CONNECTION_DEFAULT,    /* no line */
    H1_CONNECTION_CLOSE,      /* Connection: close */
    H1_CONNECTION_KEEP_ALIVE, /* Connection: keep-alive, for HTTP/1.0 clients */
    H1_CONNECTION_TE,         /* Connection: TE, beside such a field (RFC 9110 10.1.4) */
    H1_CONNECTION_WEBSOCKET,  /* Connection: Upgrade, Upgrade: websocket */
};

struct h1_framing {
    enum body_kind body;   /* BODY_LENGTH: Content-Length; BODY_CHUNKED: Transfer-Encoding; others: no line */
    uint64_t length_bytes; /* of BODY_LENGTH */
    enum h1_connection connection;
};

/* Both return the size of the head; it was written if and only if that is <= size. buffer may be NULL with size
 * 0. Field sets may be NULL. Always HTTP/1.1. Host is one of the fields. */
MUST_USE size_t h1_write_request(char *buffer, size_t size, slice method, slice target,
                                 const struct fields *fields, const struct h1_framing *framing);
MUST_USE size_t h1_write_response(char *buffer, size_t size, uint16_t status, const struct fields *stored,
                                  const struct fields *added, const struct h1_framing *framing);

/* "0\r\n", the trailers, "\r\n". Same result as above. */
MUST_USE size_t h1_write_last_chunk(char *buffer, size_t size, const struct fields *trailers);

/* The standard phrase (RFC 9110 15 and the registry), "" for others. */
slice http_reason(uint16_t status);

#endif
