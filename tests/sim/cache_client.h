/* The scripted clients of sim_cache. */
#ifndef WARP_TESTS_SIM_CACHE_CLIENT_H
#define WARP_TESTS_SIM_CACHE_CLIENT_H

#include "tests/sim/cache_run.h"
#include "tests/sim/cache_wire.h"

#define CLIENT_REQUESTS_MAX 8u
#define CLIENTS_MAX         160u
#define CLIENT_TOKEN        "sesame-and-more"

enum asked_method { ASKED_GET, ASKED_HEAD, ASKED_POST, ASKED_PURGE };

struct asked {
    uint32_t url;
    enum asked_method method;
    const char *coding;      /* Accept-Encoding; "" none */
    char range[64];          /* "" none */
    char if_range[64];
    char condition[64];      /* an ETag, or "date" */
    uint32_t condition_version;
    uint32_t upload_bytes;
    bool is_http10, is_malformed, is_authorized, has_cookie, only_if_cached, upload_is_bad;
    uint32_t version_min;    /* when its first byte went out */
    uint32_t purge_version;  /* of a PURGE: made just before */
    size_t begin, end;       /* in the client's text */
};

/* The answer that is being read. */
struct got {
    unsigned status;
    bool is_interim, has_mark, ends_all;
    struct mark mark;
    uint64_t from, at, to;   /* of the body's bytes in the mark's */
    char boundary[80];
    char *parts;             /* multipart: collected */
    size_t parts_bytes;
    uint32_t other_url, other_version; /* what a POST's answer made invalid beside; version 0: nothing */
};

struct carrier;

struct client {
    struct sim_peer peer;    /* HTTP/1 */
    struct carrier *carrier; /* HTTP/2: the connection that it shares; NULL: HTTP/1 */
    struct sim_timer step, watch, leave, unpause;
    struct wire wire;
    unsigned id;
    struct asked asked[CLIENT_REQUESTS_MAX];
    unsigned asked_count, answered;
    char *text;
    size_t text_bytes, text_at;
    struct got got;
    bool is_pipelined, is_splitting, half_closes, pauses, stops_reading, lingers;
    bool is_crowd; /* its answer must come, whole */
    bool connected, done, fin_sent, has_joined;
};

extern struct client clients[CLIENTS_MAX];
extern const struct wire_events client_events;
extern const char *const client_codings[5];

/* Draws what it will ask; starts at at_ns. herd_url >= 0: what it gets first, as others do at that moment. carrier: NULL for
 * HTTP/1. */
void client_plan(struct client *client, struct carrier *carrier, unsigned id, uint64_t at_ns, int herd_url);
/* One of those who ask for the same cold URL at once. */
void client_plan_crowd(struct client *client, struct carrier *carrier, unsigned id, uint64_t at_ns, uint32_t url);
/* What the network says, of either protocol: 0 or -errno; bytes of answers, as HTTP/1; no more will come. */
void client_connected(struct client *client, int32_t result);
void client_feed(struct client *client, const char *data, size_t size);
void client_ended(struct client *client, const char *why);
void client_over(struct client *client, const char *why, bool reset);
/* An answer is complete: on to the next request. */
void client_answered(struct client *client);
void client_free(struct client *client);

#endif
