/* stream: one request and its answer on a connection, whatever the protocol. Two sides, each with two bodies
 * that move independently (an answer may flow while the request's body still does).
 *
 * Server side (h1_server.c, h2_server.c), seen from a transaction:
 *
 *   begin -> request | refused -> [interim...] respond | abort -> ended
 *
 * ended is called exactly once, from the loop, whatever happens: until then memory that an answer's bytes lie
 * in stays where it is, after it both forget each other. Client side (h1_client.c, h2_client.c): see client_stream below.
 *
 * Thread: everything belongs to the connection's loop. */
#ifndef WARP_PROTO_STREAM_H
#define WARP_PROTO_STREAM_H

#include "base/arena.h"
#include "base/source.h"
#include "http/message.h"
#include "loop/loop.h"
#include "net/net.h"

/* ---- server side ------------------------------------------------------------------------------------------ */

/* Why an exchange ended: name, word for logs and metrics */
#define STREAM_ENDS(X)                                                                                       \
    X(COMPLETE, "complete")                                                                                  \
    X(CLIENT_LEFT, "client-left")                                                                            \
    X(CLIENT_SLOW, "client-slow")                                                                            \
    X(BODY_FAILED, "body-failed")                                                                            \
    X(ABORTED, "aborted")                                                                                    \
    X(SHUTDOWN, "shutdown")

enum stream_end {
#define X(name, word) STREAM_END_##name,
    STREAM_ENDS(X)
#undef X
        STREAM_END_COUNT
};

struct server_stream;

struct server_stream_ops {
    void (*interim)(struct server_stream *stream, uint16_t status, const struct fields *fields);
    void (*respond)(struct server_stream *stream, const struct reply *reply, struct source *body);
    void (*abort)(struct server_stream *stream);
};

struct server_stream {
    const struct server_stream_ops *ops;
    struct loop *loop;
    const struct net_stream *net; /* the connection: its peer, whether it is TLS */
    struct source *body; /* of the request; NULL when it has none; belongs to the stream */
    void *user;          /* what begin returned */
    uint64_t begun_ns;   /* the first byte of the head was here */
    uint64_t sent_bytes; /* of the answer's body, so far */
    bool is_h2;          /* it came by HTTP/2 */
    bool leave_on_fin;   /* the user's: a FIN means that nobody waits for the (endless) answer any more */
};

/* What a listener's requests go to: transactions, the admin API, the demo origin. */
struct server_events {
    /* A request begins: the user's object and the arena its head goes to. NULL: no memory; the connection
     * is reset. */
    void *(*begin)(void *context, struct server_stream *stream, struct arena **ret_arena);
    void (*request)(void *user, struct request *request);
    /* The head was refused, or did not come in time: answer with that status; the connection closes after.
     * index: of stream_refusals, for a metric. */
    void (*refused)(void *user, unsigned index, uint16_t status, const char *reason, const char *text);
    void (*ended)(void *user, enum stream_end end);
};

/* A 1xx answer ahead of the real one. Dropped towards HTTP/1.0 clients. */
static inline void stream_interim(struct server_stream *s, uint16_t status, const struct fields *fields)
{
    s->ops->interim(s, status, fields);
}

/* The answer. What reply points to is copied before the call returns; body (may be NULL) is taken over and
 * closed at the end. With status 101 body carries the other side's bytes as they are, and s->body the
 * client's. Once per stream. */
static inline void stream_respond(struct server_stream *s, const struct reply *reply, struct source *body)
{
    s->ops->respond(s, reply, body);
}

/* The connection is reset: what the client has is visibly incomplete. */
static inline void stream_abort(struct server_stream *s)
{
    s->ops->abort(s);
}

/* ---- client side ------------------------------------------------------------------------------------------ */

/* Why an origin gave no answer: name, RFC 9209 error type, word for metrics and explain */
#define CLIENT_FAILURES(X)                                                                                   \
    X(RESOLVE, "dns_error", "dns-error")                                                                     \
    X(CONNECT, "connection_refused", "connect-failed")                                                       \
    X(CONNECT_TIMEOUT, "connection_timeout", "connect-timeout")                                              \
    X(TLS, "tls_protocol_error", "tls-failed")                                                               \
    X(CERTIFICATE_UNTRUSTED, "tls_certificate_error", "certificate-untrusted")                               \
    X(CERTIFICATE_EXPIRED, "tls_certificate_error", "certificate-expired")                                   \
    X(CERTIFICATE_NAME, "tls_certificate_error", "certificate-name")                                         \
    X(CERTIFICATE_BAD, "tls_certificate_error", "certificate-bad")                                           \
    X(CLOSED, "connection_terminated", "origin-closed")                                                      \
    X(TIMEOUT, "http_response_timeout", "origin-timeout")                                                    \
    X(INVALID, "http_protocol_error", "origin-invalid")                                                      \
    X(INTERIM, "http_protocol_error", "too-many-interim")                                                    \
    X(REQUEST_BODY, "http_request_error", "request-body-failed")                                             \
    X(NO_MEMORY, "proxy_internal_error", "no-memory")                                                        \
    X(LIMIT, "connection_limit_reached", "origin-limit")                                                     \
    X(CONCURRENCY, "connection_limit_reached", "origin-concurrency")

enum client_failure {
#define X(name, type, word) CLIENT_FAILURE_##name,
    CLIENT_FAILURES(X)
#undef X
        CLIENT_FAILURE_COUNT
};

const char *client_failure_type(enum client_failure failure); /* for Proxy-Status */
const char *client_failure_word(enum client_failure failure);
const char *stream_end_word(enum stream_end end);

/* What goes to an origin. Everything stays valid until the head of the answer or a failure. */
struct client_request {
    enum method method;
    slice method_name;
    slice target;
    const struct fields *fields; /* as forwarded, without framing */
    struct source *body;         /* NULL: none. Not owned: never closed by the stream */
    int64_t body_bytes;          /* -1 unknown: chunked */
    bool upgrade;                /* a WebSocket handshake: 101 is allowed; HTTP/1.1 only */
    struct arena *arena;         /* the answer's head goes here */
};

/* Limits that a connection can run into, by name of their metric. */
#define STREAM_LIMITS(X)                                                                                     \
    X(CONNECTIONS, "connections")                                                                            \
    X(CONNECTIONS_PER_IP, "connections_per_ip")                                                              \
    X(HEAD_TIME, "head_time")                                                                                \
    X(IDLE_TIME, "idle_time")                                                                                \
    X(BODY_RATE, "body_rate")                                                                                \
    X(SEND_RATE, "send_rate")                                                                                \
    X(TUNNEL_TIME, "tunnel_time")                                                                            \
    X(PIPELINE, "pipeline_bytes")                                                                            \
    X(HANDSHAKE_TIME, "handshake_time")                                                                      \
    X(ORIGIN_CONTROL, "origin_control_frames")                                                               \
    X(ORIGIN_CONCURRENCY, "origin_concurrency")                                                              \
    X(H2_STREAMS, "h2_streams")                                                                              \
    X(H2_RESETS, "h2_resets")                                                                                \
    X(H2_RESETS_CAUSED, "h2_resets_caused")                                                                  \
    X(H2_SETTINGS, "h2_settings")                                                                            \
    X(H2_PING, "h2_ping")                                                                                    \
    X(H2_PRIORITY, "h2_priority")                                                                            \
    X(H2_EMPTY, "h2_empty")                                                                                  \
    X(H2_CONTINUATION, "h2_continuation")                                                                    \
    X(H2_WINDOW_UPDATE, "h2_window_update")                                                                  \
    X(H2_WINDOW, "h2_window")                                                                                \
    X(H2_OUTPUT, "h2_output")                                                                                \
    X(H2_IGNORED, "h2_ignored")                                                                              \
    X(RULE_STEPS, "rule_steps")                                                                              \
    X(ADDRESS, "address")                                                                                    \
    X(RATE, "rate")                                                                                          \
    X(CLIENT_RATE, "client_rate")                                                                            \
    X(REQUESTS, "requests")

enum stream_limit {
#define X(name, word) STREAM_LIMIT_##name,
    STREAM_LIMITS(X)
#undef X
        STREAM_LIMIT_COUNT
};
extern const char *const stream_limits[STREAM_LIMIT_COUNT];

/* The words of every reason to refuse a head, by index; for the metrics' table. */
extern const char *const stream_refusals[];
extern const unsigned stream_refusals_count;

struct client_stream;

struct client_events {
    void (*interim)(void *user, struct response *response);
    /* The final head (or 101). The body is stream->body (a source; NULL when the answer has none). The user
     * ends the exchange with client_stream_finish, at any time from now. */
    void (*head)(void *user, struct response *response);
    /* No answer: the exchange is over, the stream is gone. sent: the origin may have seen the request, or some of
     * its body was taken; else it can be sent again as it is. */
    void (*failed)(void *user, enum client_failure failure, bool sent, const char *detail);
};

struct client_stream_ops {
    void (*finish)(struct client_stream *stream);
    void (*tunnel)(struct client_stream *stream, struct source *from_client);
};

struct client_stream {
    const struct client_stream_ops *ops;
    struct source *body;
    const struct client_events *events;
    void *user;
};

/* Ends the exchange wherever it is; no more calls come. The connection is kept for another request only when
 * both messages are complete. NULL is fine; returns NULL. */
static inline struct client_stream *client_stream_finish(struct client_stream *s)
{
    if (s != NULL)
        s->ops->finish(s);
    return NULL;
}

/* After 101: the client's bytes go to the origin as they are. */
static inline void client_stream_tunnel(struct client_stream *s, struct source *from_client)
{
    s->ops->tunnel(s, from_client);
}

#endif
