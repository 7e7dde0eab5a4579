/* client: one connection to an origin, whatever it speaks.
 *
 *   CONNECTING --TCP, as told---> HTTP/1 or HTTP/2 (prior knowledge)
 *              --TLS, by ALPN---> HTTP/1 or HTTP/2         any --client_close, or the origin's end--> CLOSING --> gone
 *
 * HTTP/1 takes one exchange at a time, HTTP/2 as many as the origin allows (client_room). Closed by itself when it was
 * idle for too long, when the origin ends it, or when anything is odd. */
#ifndef WARP_PROTO_CLIENT_H
#define WARP_PROTO_CLIENT_H

#include "net/net.h"
#include "proto/stream.h"
#include "stat/metrics.h"

struct client;

/* Called from the loop; changed() also from inside client_stream_finish. */
struct client_owner {
    /* Of client_new: 0, or -errno with detail (then gone() follows). */
    void (*connected)(void *owner, int32_t result, const char *detail);
    void (*changed)(void *owner); /* an exchange is over, or client_room has another value */
    void (*gone)(void *owner);    /* closed, and every exchange was finished; the struct is freed after the call */
};

/* What one thread's HTTP/2 connections have in common: pools, mostly. */
struct client_shared;
MUST_USE err client_shared_new(struct client_shared **ret_shared);
struct client_shared *client_shared_free(struct client_shared *shared); /* every client is gone */

enum client_speaks {
    CLIENT_H1,   /* nothing else is offered */
    CLIENT_H2,   /* prior knowledge; without TLS only */
    CLIENT_ALPN, /* what the origin chooses */
};

struct client_config {
    struct loop *loop;
    struct client_shared *shared; /* NULL with CLIENT_H1 only */
    struct metrics_block *metrics; /* limits that origins run into; NULL: not counted */
    const struct os_address *address;
    enum client_speaks speaks;
    struct net_tls_config *tls;    /* NULL: plain */
    struct net_tls_memory *memory; /* NULL: TLS sessions are not resumed */
    slice name;                    /* for TLS; valid inside client_new */
    unsigned room_assumed; /* exchanges at once over HTTP/2, until the origin has said */
    unsigned room_max;     /* and never more than that; 0: 100 */
    uint32_t connect_ms, first_byte_ms, between_ms, idle_ms;
    uint32_t slow_body_ms; /* in all, for a body below 500 bytes a second; event streams and tunnels have no such limit; 0: none */
    const struct client_owner *events;
    void *owner;
};

MUST_USE err client_new(const struct client_config *config, struct client **ret_client);
/* How many more exchanges it takes now; 0 while connecting and once it closes. */
unsigned client_room(const struct client *client);
/* How many it takes at once when it is idle. */
unsigned client_room_max(const struct client *client);
/* Once connected. */
enum net_alpn client_protocol(const struct client *client);
/* Why connecting failed, in the words for users; inside connected(). */
enum client_failure client_connect_failure(const struct client *client, int32_t result);
/* Where there is room. NULL: the connection turned out dead (gone() follows): take another one. */
MUST_USE struct client_stream *client_begin(struct client *client, const struct client_request *request,
                                          const struct client_events *events, void *user);
/* Takes no more exchanges; ends when the last of them does, now when there is none. */
void client_close(struct client *client);

#endif
