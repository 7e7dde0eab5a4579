/* demo_internal: one request to the demo and what its handlers share.
 *
 *   exchange_begin -> exchange_request -> route's handler -> answer_begin, fields, answer_... -> exchange_ended
 *
 * A handler that returns an error before its answer went out has the connection reset: that is only ever
 * memory that ended. */
#ifndef WARP_DEMO_DEMO_INTERNAL_H
#define WARP_DEMO_DEMO_INTERNAL_H

#include "base/pool.h"
#include "demo/demo.h"
#include "demo/drip.h"
#include "demo/large.h"
#include "demo/site.h"
#include "proto/server.h"
#include "proto/stream.h"

#define AFTER_SLOTS 128u

struct exchange;

/* Methods of a path, as bits. */
#define BIT(method)   (1u << METHOD_##method)
#define METHODS_READ  (BIT(GET) | BIT(HEAD))
#define METHODS_WRITE (BIT(POST) | BIT(PUT))

struct route {
    slice path; /* ends with '*': everything below */
    unsigned methods;
    err (*answer)(struct exchange *x);
    slice cache_control;
    slice tags; /* Surrogate-Key; empty: none */
};
extern const struct route routes[];
extern const unsigned routes_count;

/* How many answers /fail?after=N has given for one query. */
struct after_slot {
    uint64_t query_hash;
    uint64_t given;
};

struct demo {
    struct loop *loop;
    struct server *server;
    struct server_limits limits;
    struct pool exchange_pool, large_pool;
    struct os_listener listener;
    struct os_acceptor acceptor;
    struct timer stop_timer;
    struct mail stop_mail;
    atomic_bool stop_asked;
    bool listening;
    void (*stopped)(void *arg);
    void *stopped_arg;

    uint64_t *counts; /* requests by path: routes, then files, then everything else */
    uint64_t requests, not_modified;
    uint64_t begun_ns;
    bool flaky_off;
    struct after_slot after[AFTER_SLOTS];
    unsigned after_next; /* the slot a new query takes */
};

unsigned demo_counts_len(void);

/* What is echoed comes from the request as it arrives. */
struct echo {
    struct source source;
    struct source *from;
};

struct exchange {
    struct demo *demo;
    struct server_stream *stream;
    struct request request;
    slice path, query;
    slice cache_control, tags; /* the route's, unless its handler says otherwise */
    uint64_t count;            /* requests for this path so far, this one included */
    slice cookie, language;    /* for answer_begin: Set-Cookie; Content-Language and Vary. Empty: none */
    slice location;            /* likewise */
    unsigned events_max;
    struct fields fields;      /* of the answer */
    bool responded;
    union {
        struct source_memory memory;
        struct drip drip;
        struct large large;
        struct echo echo;
    } body;
    char event[192];
    struct arena arena;
    char arena_first[3072];
};

/* ---- answer.c -------------------------------------------------------------------------------------------- */

/* Something with validators and a length, of which ranges can be asked for. */
struct entity {
    slice type, etag;
    uint64_t length_bytes;
    const char *bytes; /* NULL: generated (large.h) */
};

/* Starts x->fields: Date, Content-Type (when there is one), Cache-Control, tags. */
MUST_USE err answer_begin(struct exchange *x, uint16_t status, slice type);
/* The rest after answer_begin. length_bytes -1: unknown. body may be unused (HEAD): then it is not closed. */
MUST_USE err answer_source(struct exchange *x, uint16_t status, struct source *body, int64_t length_bytes);
MUST_USE err answer_memory(struct exchange *x, uint16_t status, slice text);
/* Both at once, a body in memory; text.data NULL is ERR_MEMORY. */
MUST_USE err answer_text(struct exchange *x, uint16_t status, slice type, slice text);
/* The same within the site's page. html: escaped already. */
MUST_USE err answer_page(struct exchange *x, uint16_t status, const char *title, slice html);
/* Conditional requests, ranges, or all of it. */
MUST_USE err answer_entity(struct exchange *x, const struct entity *entity);
/* Not to be stored: what was asked for makes no sense. */
MUST_USE err answer_bad_request(struct exchange *x, const char *why);
bool exchange_is_head(const struct exchange *x);

#define TYPE_HTML SLICE("text/html; charset=utf-8")
#define TYPE_TEXT SLICE("text/plain; charset=utf-8")
#define TYPE_JSON SLICE("application/json")

/* ---- route.c --------------------------------------------------------------------------------------------- */

MUST_USE err route_answer(struct exchange *x);

/* ---- handlers -------------------------------------------------------------------------------------------- */

err search_answer(struct exchange *x); /* pages.c */
err private_answer(struct exchange *x);
err time_answer(struct exchange *x);
err vary_answer(struct exchange *x);
err headers_answer(struct exchange *x); /* tools.c */
err stats_answer(struct exchange *x);
err status_answer(struct exchange *x);
err redirect_answer(struct exchange *x);
err echo_answer(struct exchange *x);
err slow_answer(struct exchange *x); /* timed.c */
err events_answer(struct exchange *x);
err fail_answer(struct exchange *x); /* fail.c */
err flaky_answer(struct exchange *x);
err flaky_on_answer(struct exchange *x);
err flaky_off_answer(struct exchange *x);
err large_answer(struct exchange *x); /* large.c */

#endif
