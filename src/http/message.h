/* message: a parsed request or response head. Everything it points to lies in its arena. */
#ifndef WARP_HTTP_MESSAGE_H
#define WARP_HTTP_MESSAGE_H

#include "http/field.h"

/* name, safe (RFC 9110 9.2.1), idempotent (9.2.2) */
#define HTTP_METHODS(X)                                                                                      \
    X(GET, 1, 1)                                                                                             \
    X(HEAD, 1, 1)                                                                                            \
    X(POST, 0, 0)                                                                                            \
    X(PUT, 0, 1)                                                                                             \
    X(DELETE, 0, 1)                                                                                          \
    X(CONNECT, 0, 0)                                                                                         \
    X(OPTIONS, 1, 1)                                                                                         \
    X(TRACE, 1, 1)                                                                                           \
    X(PATCH, 0, 0)                                                                                           \
    X(PURGE, 0, 1)

enum method {
    METHOD_OTHER, /* any other token: unsafe, not idempotent */
#define X(name, safe, idempotent) METHOD_##name,
    HTTP_METHODS(X)
#undef X
        METHOD_COUNT
};

enum method method_of(slice name); /* case-sensitive */
bool method_is_safe(enum method method);
bool method_is_idempotent(enum method method);

enum body_kind {
    BODY_NONE,
    BODY_LENGTH,  /* length_bytes follow */
    BODY_CHUNKED, /* chunks, maybe trailers */
    BODY_CLOSE,   /* until the connection ends; responses only */
};

enum target_form { TARGET_ORIGIN, TARGET_ABSOLUTE, TARGET_ASTERISK, TARGET_AUTHORITY };

struct request {
    enum method method;
    slice method_name;
    enum target_form form;
    slice target;    /* path and query as forwarded ("/a?b"), "*" for asterisk-form; never empty */
    slice authority; /* normalised: lower-case host, default port dropped, no trailing dot; from the absolute
                        form, else from Host; empty only in HTTP/1.0 without Host */
    bool https;      /* the scheme the client used */
    uint8_t minor;   /* 0 or 1 of HTTP/1.x; 1 for HTTP/2 */
    bool h2;         /* HTTP/2 */
    struct fields fields; /* as received, framing and hop-by-hop fields included */
    enum body_kind body;
    uint64_t length_bytes; /* of BODY_LENGTH */
    bool keep_alive;       /* the connection may serve another request after this one */
    bool expect_continue;
    bool upgrade_websocket; /* a complete, valid WebSocket handshake (RFC 6455 4.1) */
};

struct response {
    uint16_t status; /* 100..599 (RFC 9110 15: others are refused by the parser) */
    uint8_t minor;
    struct fields fields; /* as received */
    enum body_kind body;  /* already for the method of the request: none for HEAD, 204, 304 */
    uint64_t length_bytes; /* of BODY_LENGTH; for HEAD and 304 what Content-Length said, when has_length */
    bool has_length;
    bool keep_alive;
};

/* What a client is sent: a status and two sets of fields (stored ones, then ours); neither holds framing or
 * hop-by-hop fields: the connection writes those. */
struct reply {
    uint16_t status;
    const struct fields *stored; /* may be NULL */
    const struct fields *added;  /* may be NULL */
    int64_t length_bytes;        /* of the body; -1 unknown */
    bool no_body;                /* HEAD, 204, 304: length_bytes is still announced when >= 0 (not for 204) */
    bool close;                  /* do not reuse the connection */
};

#endif
