/* h1_server: HTTP/1 connections of clients, one struct a thread and listener kind.
 *
 *   IDLE --bytes--> HEAD --head complete--> BUSY --answer sent--> IDLE ...
 *     |               |                       +--must close--> LINGER --> CLOSING
 *     +--time-out-----+--refused: answered, then LINGER
 *
 * An idle connection holds sizeof(struct h1_conn), no buffer. Requests are answered in order: bytes that come
 * early wait in the connection's inbuf (one buffer) and are parsed after the answer. */
#ifndef WARP_PROTO_H1_SERVER_H
#define WARP_PROTO_H1_SERVER_H

#include "http/h1_parse.h"
#include "net/net.h"
#include "net/peers.h"
#include "proto/stream.h"
#include "stat/metrics.h"

/* Times in milliseconds; security.md section 3 has the reasons. */
struct h1_server_limits {
    struct h1_limits head;
    uint32_t head_ms;      /* from the first byte of a head to its last */
    uint32_t idle_ms;      /* keep-alive */
    uint32_t body_idle_ms; /* waiting for announced bytes of a request body */
    uint32_t body_min_bytes_per_s;
    uint32_t send_idle_ms; /* bytes wait to be sent and none can be */
    uint32_t send_min_bytes_per_s;
    uint32_t tunnel_idle_ms;
    uint32_t connections_max; /* of this struct */
};
extern const struct h1_server_limits h1_server_limits_default;

struct h1_server_config {
    struct loop *loop;
    const struct server_events *events;
    void *context; /* of events->begin */
    const struct h1_server_limits *limits;
    struct peers *peers;           /* connections per client address; NULL: not limited */
    struct metrics_block *metrics; /* connections by state, limits hit; NULL: not counted */
    bool https;
};

struct h1_server;
MUST_USE err h1_server_new(const struct h1_server_config *config, struct h1_server **ret_server);
/* Every connection is gone. */
struct h1_server *h1_server_free(struct h1_server *server);

void h1_server_accept(struct h1_server *server, int fd, const struct os_peer *peer);
/* Idle connections are closed now, busy ones after their answer. on_empty (may be NULL): when the last is gone. */
void h1_server_drain(struct h1_server *server, void (*on_empty)(void *arg), void *arg);
/* Resets what is left. */
void h1_server_stop(struct h1_server *server);
unsigned h1_server_connections(const struct h1_server *server);
/* User memory of one idle connection, in bytes. */
size_t h1_server_idle_bytes(void);

#endif
