/* forward: the request an origin sees. Written afresh: nothing is copied through that this file did not allow. */
#ifndef WARP_CACHE_FORWARD_H
#define WARP_CACHE_FORWARD_H

#include "http/message.h"

/* Why a client's field is not passed on. name, word, text */
#define FORWARD_REASONS(X)                                                                                   \
    X(ALLOWED, "allowed", "passed on")                                                                       \
    X(HOP, "hop-by-hop", "concerns this connection only (RFC 9110 7.6.1)")                                   \
    X(FRAMING, "framing", "the connection to the origin has its own")                                        \
    X(REBUILT, "rebuilt", "written by WARP from what it knows itself")                                       \
    X(UNKEYED, "unkeyed", "known to change answers without being in the key")                                \
    X(SPOOFED, "spoofed", "claims a client address nobody vouches for")                                      \
    X(CONSUMED, "consumed", "spoken to this cache")                                                          \
    X(FILL, "fill", "a fill wants the whole response for everybody")

enum forward_reason {
#define X(name, word, text) FORWARD_##name,
    FORWARD_REASONS(X)
#undef X
        FORWARD_REASON_COUNT
};

/* The published deny-list. A name ending in "*" is a prefix; "_" in a client's name counts as "-", as CGI and its
 * heirs cannot tell them apart. name, reason */
#define FORWARD_DENIED(X)                                                                                    \
    X("Connection", HOP)                                                                                     \
    X("Keep-Alive", HOP)                                                                                     \
    X("Proxy-*", HOP)                                                                                        \
    X("Proxy", UNKEYED)                                                                                      \
    X("TE", HOP)                                                                                             \
    X("Upgrade", HOP)                                                                                        \
    X("HTTP2-Settings", HOP)                                                                                 \
    X("Max-Forwards", HOP)                                                                                   \
    X("Expect", HOP)                                                                                         \
    X("Trailer", FRAMING)                                                                                    \
    X("Transfer-Encoding", FRAMING)                                                                          \
    X("Content-Length", FRAMING)                                                                             \
    X("Host", REBUILT)                                                                                       \
    X("Via", REBUILT)                                                                                        \
    X("CDN-Loop", REBUILT)                                                                                   \
    X("Forwarded", REBUILT)                                                                                  \
    X("X-Forwarded-*", REBUILT)                                                                              \
    X("traceparent", REBUILT)                                                                                \
    X("X-Device-Class", REBUILT)                                                                             \
    X("X-Request-Id", REBUILT)                                                                               \
    X("X-Original-URL", UNKEYED)                                                                             \
    X("X-Original-URI", UNKEYED)                                                                             \
    X("X-Original-Host", UNKEYED)                                                                            \
    X("X-Rewrite-URL", UNKEYED)                                                                              \
    X("X-HTTP-Method-Override", UNKEYED)                                                                     \
    X("X-HTTP-Method", UNKEYED)                                                                              \
    X("X-Method-Override", UNKEYED)                                                                          \
    X("X-Host", UNKEYED)                                                                                     \
    X("X-HTTP-Host-Override", UNKEYED)                                                                       \
    X("X-HTTP-Path-Override", UNKEYED)                                                                       \
    X("Front-End-Https", UNKEYED)                                                                            \
    X("X-Middleware-*", UNKEYED)                                                                             \
    X("X-Now-Route-Matches", UNKEYED)                                                                        \
    X("X-Forwarded", SPOOFED)                                                                                \
    X("Client-IP", SPOOFED)                                                                                  \
    X("X-Remote-IP", SPOOFED)                                                                                \
    X("X-Remote-Addr", SPOOFED)                                                                              \
    X("X-Originating-IP", SPOOFED)                                                                           \
    X("X-Real-IP", SPOOFED)                                                                                  \
    X("True-Client-IP", SPOOFED)                                                                             \
    X("X-Client-IP", SPOOFED)                                                                                \
    X("X-Cluster-Client-IP", SPOOFED)                                                                        \
    X("CF-Connecting-IP", SPOOFED)                                                                           \
    X("Fastly-Client-IP", SPOOFED)                                                                           \
    X("Surrogate-Capability", REBUILT)

/* What the table says about a name (Connection-listed names and fills are forward_build's to add). */
enum forward_reason forward_reason_of(enum field_id id, slice name);

struct forward_options {
    slice client_ip;    /* text, IPv6 without brackets; empty (unix socket): "unknown" */
    slice trusted_for;  /* what a trusted proxy in front said in X-Forwarded-For; put before client_ip; may be empty */
    bool https;         /* the scheme the client used */
    uint32_t node;      /* for CDN-Loop */
    slice request_id;   /* used unless the client sent a sane one: 1..128 of [A-Za-z0-9._=+/-] */
    slice origin_host;  /* Host to send; empty: the client's authority */
    const uint8_t *trace_random; /* 24 random bytes: 16 trace id, 8 parent id */
    bool is_fill;       /* without the client's conditionals, Range and cache directives */
    bool keep_range;    /* a fill that stores a part: Range is kept */
    bool keep_trailers; /* the client understands trailers, and the answer goes to it alone: TE: trailers is written */
    bool keep_upgrade;  /* a WebSocket handshake: Connection: Upgrade and Upgrade: websocket are written */
    const char *const *also_pass; /* names a tenant asked for although denied as UNKEYED or SPOOFED; NULL-terminated or NULL */
};

/* The fields of the request to the origin, Host first; framing is the connection's to write. ret_fields is
 * initialised (fields_init) and empty. */
MUST_USE err forward_build(const struct request *request, const struct forward_options *options, struct fields *ret_fields);

/* The fields of an answer that is passed through unstored, for struct reply: without hop-by-hop, framing and
 * consumed fields. ret_fields is initialised and empty. ERR_LIMIT: Connection names too much (502). */
MUST_USE err forward_response(const struct response *response, struct fields *ret_fields);

#define FORWARD_HOPS_MAX 8u
enum forward_loop {
    FORWARD_LOOP_NONE,
    FORWARD_LOOP_OWN_NODE, /* this node is in CDN-Loop already: 508 */
    FORWARD_LOOP_HOPS,     /* more than FORWARD_HOPS_MAX hops in CDN-Loop: 508 */
};
enum forward_loop forward_loop_check(const struct fields *request, uint32_t node);

#endif
