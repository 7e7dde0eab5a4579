/* server: connections of clients on one thread, whatever they speak.
 *
 *   accept --plain--> HTTP/1 --its first bytes are HTTP/2's preface (RFC 9113 3.4)--> HTTP/2
 *          --TLS----> handshake --ALPN--> HTTP/1 or HTTP/2
 *
 * Counts and bounds connections; h1_server and h2_server serve them. Requests of all go to the same events. */
#ifndef WARP_PROTO_SERVER_H
#define WARP_PROTO_SERVER_H

#include "http/h1_parse.h"
#include "net/net.h"
#include "net/peers.h"
#include "proto/stream.h"
#include "stat/metrics.h"

/* Times in milliseconds; security.md section 3 has the reasons. */
struct server_limits {
    struct h1_limits head;
    uint32_t head_ms;      /* from the first byte of a head to its last; a TLS handshake, too */
    uint32_t idle_ms;      /* keep-alive */
    uint32_t body_idle_ms; /* waiting for announced bytes of a request body */
    uint32_t body_min_bytes_per_s;
    uint32_t send_idle_ms; /* bytes wait to be sent and none can be */
    uint32_t send_min_bytes_per_s;
    uint32_t tunnel_idle_ms;
    uint32_t connections_max; /* of one server */
};
extern const struct server_limits server_limits_default;

struct server_config {
    struct loop *loop;
    const struct server_events *events;
    void *context; /* of events->begin */
    const struct server_limits *limits;
    struct peers *peers;           /* connections per client address; NULL: not limited */
    /* A peer that speaks for many clients has as many connections as it likes; may be NULL: nobody does. */
    bool (*is_trusted)(void *context, const struct os_peer *peer);
    struct metrics_block *metrics; /* connections by state, limits hit; NULL: not counted */
    bool websocket;                /* HTTP/2 clients may ask for one (RFC 8441) */
};

struct server;
MUST_USE err server_new(const struct server_config *config, struct server **ret_server);
/* Every connection is gone. */
struct server *server_free(struct server *server);

void server_accept(struct server *server, int fd, const struct os_peer *peer);
/* Over TLS. acceptor: needed inside the call only. */
void server_accept_tls(struct server *server, struct net_acceptor *acceptor, int fd, const struct os_peer *peer);
/* Idle connections are closed now, busy ones after their answers. on_empty (may be NULL): when the last is gone. */
void server_drain(struct server *server, void (*on_empty)(void *arg), void *arg);
/* Resets what is left. */
void server_stop(struct server *server);
unsigned server_connections(const struct server *server);
/* User memory of one idle HTTP/1 connection without TLS, in bytes. */
size_t server_idle_bytes(void);

#endif
