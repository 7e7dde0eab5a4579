/* Between h2_client.c, the connection, and h2_exchange.c, its exchanges. */
#ifndef WARP_PROTO_H2_CLIENT_OWN_H
#define WARP_PROTO_H2_CLIENT_OWN_H

#include "http/h2_message.h"
#include "proto/client_own.h"
#include "proto/h2_inbox.h"
#include "proto/h2_session.h"

#define H2_CLIENT_STREAMS_MAX 100u /* at once on one connection, whatever the origin allows */
/* What is in flight to one reader. A slow one fills its own window and nobody else's: the connection's window is opened
 * again as bytes arrive, not as they are read, so that a connection holds at most streams x this: 25 MiB. */
#define H2_CLIENT_STREAM_WINDOW     (256u << 10)
#define H2_CLIENT_CONNECTION_WINDOW (16u << 20)

struct client_shared {
    struct h2_memory memory;
    struct pool exchange_pool, block_pool, head_pool;
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *options;
    nghttp2_nv *nv; /* scratch of one field section going out */
    char *names;
    size_t nv_cap, names_cap;
};

struct h2_client {
    struct client *of;
    struct client_shared *shared;
    struct net_stream *net;
    struct h2_session session;
    struct list exchanges; /* which their users have not finished */
    struct timer timer;    /* idle; once over: what is being sent */
    unsigned open;         /* streams, as the origin counts them */
    int32_t calm;          /* control frames that it may still send before it has to send something useful */
    const char *why;       /* nghttp2's complaint */
    bool has_settings;     /* of the origin */
    bool is_retired;       /* takes no more exchanges */
    bool is_resting;       /* the origin has refused a stream: no more until another one has ended */
    bool is_broken;        /* nghttp2 has given up */
    bool is_over;          /* the session is */
    bool is_closing;       /* the net stream */
    bool is_closed;        /* the net stream is */
};

/* One request and its answer. Until its user has finished it, or was told that it failed. */
struct h2_exchange {
    struct client_stream stream;
    struct h2_client *h2;
    struct list link;
    struct client_request request; /* fields: until the head of the answer */
    struct source body;            /* of the answer */
    struct timer timer;
    struct h2_inbox inbox;
    struct h2_head *head;          /* while a field section is decoded */
    const struct fields *trailers;
    uint64_t received_bytes, length_bytes; /* of the answer's body: so far; announced */
    uint64_t uploaded_bytes, uploaded_before;
    uint64_t asked_ns, waited_ns; /* since when the reader waits; all those waits before it together */
    uint32_t between_ms;
    int32_t id;
    uint8_t interims;
    bool is_open;     /* nghttp2 has the stream */
    bool is_sent;     /* the request's head is on its way */
    bool is_answered; /* the final head is here */
    bool has_length, is_bodiless, is_endless;
    bool is_complete, is_failed; /* the answer's body */
    bool is_asking;              /* the reader waits for bytes */
    bool is_uploaded, is_upload_waiting, is_body_taken, has_upload_failed;
};

/* h2_client.c: an exchange is no more. */
void h2_client_changed(struct h2_client *h2);

/* h2_exchange.c. NULL: no memory, or no more streams on this connection. */
struct h2_exchange *h2_exchange_new(struct h2_client *h2, const struct client_request *request,
                                    const struct client_events *events, void *user);
/* Its connection is no more. */
void h2_exchange_lost(struct h2_exchange *exchange, enum client_failure failure, const char *detail);
/* nghttp2's callbacks about one stream, and what they return. */
int h2_exchange_begin_headers(struct h2_exchange *exchange);
void h2_exchange_header(struct h2_exchange *exchange, slice name, slice value);
void h2_exchange_headers(struct h2_exchange *exchange, bool end_stream);
void h2_exchange_data(struct h2_exchange *exchange, slice bytes);
void h2_exchange_end(struct h2_exchange *exchange);
void h2_exchange_sent(struct h2_exchange *exchange, bool end_stream);
void h2_exchange_closed(struct h2_exchange *exchange, uint32_t error_code);

#endif
