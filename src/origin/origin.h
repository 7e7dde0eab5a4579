/* origin: where content comes from: addresses, health, connection pools, one fetch with its retries.
 *
 * An origin_group is what a tenant's requests go to: several origins share the load round robin; one that
 * fails to connect is skipped for a while (1 s, doubling to 30 s), the last usable one never. Health is shared
 * by the threads; connections belong to one thread each (origin_pool). */
#ifndef WARP_ORIGIN_ORIGIN_H
#define WARP_ORIGIN_ORIGIN_H

#include "net/net.h"
#include "net/resolve.h"
#include "proto/stream.h"
#include "stat/metrics.h"

#include <pthread.h>
#include <stdatomic.h>

#define ORIGIN_NAME_MAX  256u
#define ORIGINS_MAX      64u

struct origin {
    struct origin_group *group; /* that it is in */
    char name[ORIGIN_NAME_MAX]; /* as configured, for metrics and messages */
    slice host;                 /* into name; without brackets */
    uint16_t port;
    uint16_t metric; /* its id in the metrics */
    bool https, h2c;            /* neither: HTTP/1.1 over TCP */
    bool h1_only;               /* never HTTP/2 */
    struct net_tls_config *tls; /* NULL unless https */
    struct os_address address;  /* len 0: host is a name, to be resolved */
    _Atomic uint32_t failures;  /* connect failures in a row */
    _Atomic uint64_t down_until_ns; /* loop time; 0: healthy */
    _Atomic uint8_t speaks;         /* enum net_alpn, as its last connection said; NONE: not known */
    _Atomic uint64_t answers, fetch_failures; /* for people; the metrics have more */
};

struct origin_gate { /* gate.h */
    _Atomic uint32_t limit; /* 0: none */
    pthread_mutex_t lock;   /* of the next */
    struct list waiting;    /* the first to come first */
    uint32_t waiting_count, under_way;
};

struct origin_group {
    struct origin *origins;
    unsigned count;
    char *host_override; /* --origin-host; "" the client's */
    struct net_tls_config *tls;
    uint64_t settings; /* a hash of what it was made from; the maker's */
    _Atomic unsigned turn;
    _Atomic unsigned refs, sets;
    struct origin_gate gate;
    _Atomic bool is_retired; /* no fetch uses it, and none will: its idle connections are closed */
};

/* "http://host:port", "https://host", "h2c://host:port" (HTTP/2 without TLS), "host:port"; ERR_INVALID with a text in
 * why otherwise. */
MUST_USE err origin_parse(slice text, struct origin *ret_origin, const char **ret_why);
/* What a tenant's settings say of its origins. */
struct origin_group_config {
    const slice *urls;
    unsigned count;
    slice host_override;
    struct net_tls_config *tls; /* of https origins; a reference is taken; NULL: none of them is https */
    bool h2;                    /* https origins may be spoken to in HTTP/2 */
};
/* On error message says which URL is wrong, and why. */
MUST_USE err origin_group_new(const struct origin_group_config *config, char *message, size_t message_size,
                              struct origin_group **ret_group);
struct origin_group *origin_group_ref(struct origin_group *group);
struct origin_group *origin_group_unref(struct origin_group *group);
/* A set of tenants that a group is given to counts as one that asks it, from origin_group_new or _share to _leave; each
 * has a reference with that. When the last one leaves, no fetch uses the group any more, and pools let go of it at their
 * next turn. _leave: NULL is fine. */
struct origin_group *origin_group_share(struct origin_group *group);
struct origin_group *origin_group_leave(struct origin_group *group);

/* So many requests to its origins at a time, tunnels among them; more wait in order, as long as for the first byte of an answer
 * at most. 0: no limit. Those under way stay, and those that began without a limit are not counted. Any thread. */
void origin_group_limit(struct origin_group *group, uint32_t requests);
void origin_group_load(struct origin_group *group, uint32_t *ret_under_way, uint32_t *ret_waiting);

bool origin_is_healthy(const struct origin *origin, uint64_t now_ns);

/* ---- one thread's connections --------------------------------------------------------------------------- */

/* Time-outs in milliseconds (security.md section 3). */
struct origin_limits {
    uint32_t connect_ms, first_byte_ms, between_ms, slow_body_ms;
    uint32_t idle_ms;       /* a pooled connection's life without a request; 0: 25 s */
    uint32_t idle_max;      /* pooled connections per origin and thread */
    uint32_t connections_max; /* per thread, all origins */
    uint32_t streams_max;   /* requests at once on one HTTP/2 connection, where the origin allows as many; 0: 100 */
};
extern const struct origin_limits origin_limits_default;

struct origin_pool;
struct origin_pool_config {
    struct loop *loop;
    struct resolver *resolver;
    const struct origin_limits *limits;
    struct metrics_block *metrics; /* of this thread; NULL: not counted */
};
MUST_USE err origin_pool_new(const struct origin_pool_config *config, struct origin_pool **ret_pool);
struct origin_pool *origin_pool_free(struct origin_pool *pool); /* every fetch has ended */
void origin_pool_close_idle(struct origin_pool *pool);
/* Its thread, now and then: lets go of groups that are retired. */
void origin_pool_turn(struct origin_pool *pool);
unsigned origin_pool_idle(const struct origin_pool *pool);
unsigned origin_pool_open(const struct origin_pool *pool);

/* ---- one fetch ------------------------------------------------------------------------------------------ */

struct origin_fetch;

/* As client_events, plus what was tried. Called from the loop, never from inside origin_fetch_start. */
struct origin_events {
    void (*interim)(void *user, struct response *response);
    void (*head)(void *user, struct response *response);
    void (*failed)(void *user, enum client_failure failure, const char *detail);
};

struct origin_request {
    struct client_request request; /* valid until head or failed */
    struct origin_group *group;
    const struct origin_events *events;
    void *user;
};

/* NULL: no memory. Retries once on a fresh connection when a kept one was closed before a byte of the answer
 * came, and the method is idempotent or the request cannot have been seen; tries the next address and the
 * next origin while connecting fails. A body that was begun is never sent twice. */
MUST_USE struct origin_fetch *origin_fetch_start(struct origin_pool *pool, const struct origin_request *request);
/* After head: the body (NULL: none), and trailers at its end. */
struct source *origin_fetch_body(struct origin_fetch *fetch);
void origin_fetch_tunnel(struct origin_fetch *fetch, struct source *from_client);
const struct origin *origin_fetch_origin(const struct origin_fetch *fetch);
uint64_t origin_fetch_begun_ns(const struct origin_fetch *fetch);
/* Another user takes over (a fill hands its answer to a transaction). */
void origin_fetch_hand_over(struct origin_fetch *fetch, const struct origin_events *events, void *user);
/* Ends it wherever it is; the body source must not be touched after. NULL is fine; returns NULL. */
struct origin_fetch *origin_fetch_finish(struct origin_fetch *fetch);

#endif
