/* h1_client: one HTTP/1 connection to an origin, one exchange at a time.
 *
 *   connect --> IDLE --h1_client_request--> BUSY --finish--> IDLE, owner's idle()
 *                 |                           |
 *                 +-- bytes or FIN: close     +-- anything odd: close
 *
 * A connection is used again only when both messages were complete, both sides want it and nothing is left
 * over; an idle one must stay silent (security.md rule 2). */
#ifndef WARP_PROTO_H1_CLIENT_H
#define WARP_PROTO_H1_CLIENT_H

#include "proto/stream.h"

#include "net/net.h"

struct h1_client;

struct h1_client_owner {
    /* Of h1_client_new: 0, or -errno with detail (then gone() follows). */
    void (*connected)(void *owner, int32_t result, const char *detail);
    void (*idle)(void *owner); /* the exchange is over and the connection is good for another */
    void (*gone)(void *owner); /* closed; the struct is freed after the call */
};

struct h1_client_config {
    struct loop *loop;
    const struct os_address *address;
    struct net_tls_config *tls; /* NULL: plain */
    slice name;                 /* for TLS; valid until connected */
    uint32_t connect_ms, first_byte_ms, between_ms, idle_ms;
    uint32_t slow_body_ms; /* in all, for a body below 500 bytes a second; event streams and tunnels have no such limit; 0: none */
    const struct h1_client_owner *events;
    void *owner;
};

MUST_USE err h1_client_new(const struct h1_client_config *config, struct h1_client **ret_client);
/* From IDLE only. NULL: the connection turned out dead (gone() follows): take another one. */
MUST_USE struct client_stream *h1_client_request(struct h1_client *client, const struct client_request *request,
                                                 const struct client_events *events, void *user);
void h1_client_close(struct h1_client *client);

#endif
