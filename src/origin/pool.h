/* Between pool.c and fetch.c: one thread's connections, and the fetches that use them.
 *
 * A fetch takes a connection with room, the one used last first. Where there is none it opens one, unless another that
 * may turn out to be HTTP/2 is being made and will have room for it: then it waits, for the end of that one handshake at
 * most. So HTTP/2 has few connections, and an origin known to speak HTTP/1 has one for each fetch, at once. */
#ifndef WARP_ORIGIN_POOL_H
#define WARP_ORIGIN_POOL_H

#include "origin/group.h"
#include "proto/client.h"

#define ORIGIN_ROOM_ASSUMED 100u /* of an HTTP/2 connection, before the origin has said (RFC 9113 6.5.2) */

struct origin_fetch;

/* One thread's side of an origin. */
struct origin_side {
    struct list link; /* in its bucket of pool->sides */
    struct origin *origin; /* whose group is held */
    struct list open;    /* connections with room */
    struct list waiting; /* fetches, for a connection that is being made */
    unsigned waiting_count;
    unsigned conn_count;
    unsigned connecting; /* being made, and may turn out to be HTTP/2 */
    unsigned room_max;   /* what one connection takes, as last seen */
    struct net_tls_memory memory;
};

struct origin_conn {
    struct list link; /* in side->open, while it has room */
    struct origin_pool *pool;
    struct origin_side *side;
    struct client *client;
    struct origin_fetch *fetch; /* it was opened for, while connecting; NULL: that has left */
    unsigned exchanges;
    bool is_connecting, may_be_h2, is_idle, is_used_again;
};

#define ORIGIN_SIDE_BUCKETS 1024u

struct origin_pool {
    struct origin_pool_config config;
    struct client_shared *shared;
    struct list sides[ORIGIN_SIDE_BUCKETS]; /* by the origin's address */
    unsigned idle_count, open_count;
};

/* NULL: no memory. */
struct origin_side *pool_side(struct origin_pool *pool, struct origin *origin);
/* A connection with room, NULL: none. */
struct origin_conn *pool_take(struct origin_side *side, bool h1_only);
/* Begins to connect; fetch_connected tells. */
MUST_USE err pool_connect(struct origin_pool *pool, struct origin_side *side, const struct os_address *address, bool h1_only,
                          struct origin_conn **ret_conn);
/* Whether a connection that is being made will do for one more fetch. */
bool side_is_worth_waiting(const struct origin_side *side);
/* Its exchanges, or its room, have changed. */
void conn_look(struct origin_conn *conn);

/* Implemented in fetch.c. result: 0 or -errno. */
void fetch_connected(struct origin_fetch *fetch, struct origin_conn *conn, int32_t result, const char *detail);
/* The connection that they wait for is made, or will not be: they look again. */
void fetch_wake_all(struct origin_side *side);

#endif
