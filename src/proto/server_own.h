/* Between server.c, h1_server.c and h2_server.c: what a connection of either kind has to do with the server. */
#ifndef WARP_PROTO_SERVER_OWN_H
#define WARP_PROTO_SERVER_OWN_H

#include "proto/server.h"

struct h1_server;
struct h2_server;

struct server {
    struct server_config config;
    struct h1_server *h1;
    struct h2_server *h2;
    struct list handshakes; /* TLS connections that are not yet either */
    struct pool tcp_pool, handshake_pool;
    unsigned connections;
    bool draining;
    void (*on_empty)(void *arg); /* once draining; may be NULL */
    void *on_empty_arg;
};

/* A connection goes from one state to another; CONN_STATE_COUNT: it was, or is, not there. */
void server_count_connection(struct server *server, enum conn_state from, enum conn_state to);
void server_count_limit(struct server *server, enum stream_limit limit);
/* In closed() of a connection's stream: it is no more. */
void server_connection_gone(struct server *server, const struct os_peer *peer, enum conn_state last);

/* A connection that has nothing more to say, and a client that may still be taking what was said. Zeroed when that begins. */
struct server_linger {
    uint32_t unsent_bytes; /* at the last look */
    uint32_t slow_ms;      /* so long next to nothing of them was taken */
    uint32_t received_bytes;
};
#define SERVER_LINGER_MS 2000u
/* The time of waiting (ms since the last look) is over. True: another one is due, for bytes lie in the kernel that the
 * client takes at the least rate, or they were there at the last look. Ended now, what it sends would be answered by RST,
 * which destroys them. */
MUST_USE bool server_client_takes(const struct server *server, const struct net_stream *net, struct server_linger *linger, uint32_t ms);
/* Received behind a FIN of ours, to no end. False: that was the last, or enough. */
MUST_USE bool server_lingers(struct server_linger *linger, int32_t received);
/* No memory for a connection: its stream, which is all there is of it, is reset. */
void server_give_up(struct server *server, struct net_stream *stream);

/* What serves a protocol. The stream is idle, with nothing under way, and counted as CONN_idle; from here on it is the
 * callee's, which ends it with server_connection_gone. On no memory the callee closes it, and that is told later. */

/* bytes: what was received already (HTTP/2 with prior knowledge: the preface and what follows it), maybe none; valid
 * inside the call. */
MUST_USE err h1_server_new(struct server *server, struct h1_server **ret_h1);
struct h1_server *h1_server_free(struct h1_server *h1);
void h1_server_adopt(struct h1_server *h1, struct net_stream *stream);
void h1_server_drain(struct h1_server *h1);
void h1_server_stop(struct h1_server *h1);
size_t h1_server_idle_bytes(void);

MUST_USE err h2_server_new(struct server *server, struct h2_server **ret_h2);
struct h2_server *h2_server_free(struct h2_server *h2);
void h2_server_adopt(struct h2_server *h2, struct net_stream *stream, slice bytes);
void h2_server_drain(struct h2_server *h2);
void h2_server_stop(struct h2_server *h2);

#endif
