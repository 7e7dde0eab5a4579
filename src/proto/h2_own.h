/* Between h2_server.c (connections), h2_stream.c (requests), h2_rates.c and h2_websocket.c.
 *
 * A stream:  begun (its HEADERS begin) -> asked (the head is complete: request | refused) -> answered -> closed (nghttp2
 * has done with it) -> ended (told from the loop, the slot is free). A connection:
 *
 *   IDLE <-> BUSY --error, drained--> LINGER (a GOAWAY is out, nothing is read any more) --> CLOSING
 *
 * IDLE: no stream, and nothing of ours left to be sent. */
#ifndef WARP_PROTO_H2_OWN_H
#define WARP_PROTO_H2_OWN_H

#include "http/h2_message.h"
#include "http/priority.h"
#include "proto/h2_body.h"
#include "proto/h2_budget.h"
#include "proto/h2_priority.h"
#include "proto/server_own.h"

#define H2_HEAD_BYTES 4096u /* a head that is decoded, or an answer's until it is compressed */
#define H2_MS         UINT64_C(1000000)

struct h2_server {
    struct server *server;
    struct list conns;
    struct pool conn_pool, stream_pool, head_pool, body_pool;
    struct h2_memory memory;
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *options;
};

enum h2_state { H2_STATE_IDLE, H2_STATE_BUSY, H2_STATE_LINGER, H2_STATE_CLOSING };

struct h2_conn {
    struct h2_session session;
    struct h2_server *h2;
    struct list link;    /* in h2->conns */
    struct list streams; /* all that are not ended */
    struct list work;    /* those that have something to tell */
    struct timer timer;
    struct h2_head *head;          /* the field block that is being decoded */
    struct h2_stream *head_stream; /* whose it is; NULL: nobody's any more */
    uint64_t head_begun_ns;
    uint64_t checked_ns;   /* the last look at the rates */
    uint64_t moved_before; /* session.moved_bytes then */
    uint64_t framed_bytes; /* of bodies, all streams */
    uint64_t framed_before;
    struct h2_budget budget;
    struct h2_priorities priorities;
    struct server_linger linger;
    uint16_t stream_count;
    uint16_t slow_checks; /* in a row */
    uint8_t state;
    uint8_t end; /* enum stream_end of what is cut when the connection closes */
    bool receiving;
    bool greeted; /* the preface and SETTINGS were here */
    bool is_leaving; /* the GOAWAY that is the last is queued */
    bool is_deaf; /* a GOAWAY is on its way, and nothing more is read until it is out */
    bool fin;     /* the client has said all; nothing is received any more */
    bool is_draining, said_goodbye; /* the first, the last GOAWAY of a drain */
};

struct h2_stream {
    struct server_stream stream;
    struct h2_conn *conn;
    struct list link; /* in conn->streams */
    struct list work; /* in conn->work */
    struct h2_reader reader;
    struct h2_sender sender;
    struct source *answer; /* owned */
    char *head;            /* of the answer, until nghttp2 has compressed it */
    struct arena *arena;
    uint64_t read_before, sent_before; /* at the last look at the rates */
    struct priority priority; /* what the client says, the newest; within what the origin leaves open of it: */
    struct priority low, high;
    char websocket_key[24];
    int32_t id;
    uint32_t head_bytes;
    uint16_t read_checks, send_checks, still_checks; /* too slow, or nothing at all, so many looks in a row */
    uint8_t end; /* enum stream_end, when closed for a reason of our own; STREAM_END_COUNT: none */
    bool asked, responded, closed;
    bool was_charged; /* a reset that the client brought about was counted */
    bool answered; /* END_STREAM is in the output */
    bool was_updated;   /* by a PRIORITY_UPDATE, which outranks the request's Priority */
    bool expects_continue, is_websocket, is_tunnel, is_call; /* call: gRPC, whose messages come when they come */
};

/* ---- h2_server.c */

static inline struct loop *h2_loop(const struct h2_conn *conn)
{
    return conn->h2->server->config.loop;
}
/* Resets with that code are the client's doing: as dear as its own. */
static inline bool h2_is_charged(uint32_t code)
{
    return code != NGHTTP2_NO_ERROR && code != NGHTTP2_INTERNAL_ERROR && code != NGHTTP2_CANCEL && code != NGHTTP2_ENHANCE_YOUR_CALM;
}
void h2_conn_set_state(struct h2_conn *conn, enum h2_state state);
void h2_conn_deadline(struct h2_conn *conn, uint32_t ms);
/* The field block that was being received is nobody's. */
void h2_conn_drop_head(struct h2_conn *conn);
/* The stream has something to tell (ended, bytes): soon, from the loop. */
void h2_conn_work(struct h2_conn *conn, struct h2_stream *stream);
/* A reset that the client brought about, counted when it is decided, not when it is sent: a client that reads nothing
 * would be charged nothing. stream may be NULL. False: too many of them; the connection ends behind this batch. */
bool h2_conn_charge_reset(struct h2_conn *conn, struct h2_stream *stream);
/* Too much of something: GOAWAY with ENHANCE_YOUR_CALM, counted. */
void h2_conn_calm(struct h2_conn *conn, enum stream_limit limit);
/* All of it, now; streams that are not complete end for that reason. */
void h2_conn_close(struct h2_conn *conn, bool reset, enum stream_end end);
/* A GOAWAY with that code, then the end: a reset where it cannot leave. */
void h2_conn_terminate(struct h2_conn *conn, uint32_t code, enum stream_end end);

/* ---- h2_events.c */

/* For all sessions of a thread. nghttp2_session_callbacks_del; NULL: no memory. */
MUST_USE nghttp2_session_callbacks *h2_events_callbacks(void);

/* ---- h2_stream.c */

/* NULL: no memory, or too many. */
struct h2_stream *h2_stream_new(struct h2_conn *conn, int32_t id);
/* The head is complete: hands a request, or the reason to refuse it, to the events. */
void h2_stream_ask(struct h2_stream *stream, struct h2_head *head, bool end_stream);
/* The second field block: trailers. */
void h2_stream_trailers(struct h2_stream *stream, struct h2_head *head, bool end_stream);
/* A PRIORITY_UPDATE for it. */
void h2_stream_reprioritize(struct h2_stream *stream, struct priority priority);
void h2_stream_data(struct h2_stream *stream, slice data);
void h2_stream_data_end(struct h2_stream *stream);
/* nghttp2 has compressed a head: the answer's, or an interim one's. */
void h2_stream_head_sent(struct h2_stream *stream, const nghttp2_headers *headers);
/* END_STREAM is in the output. */
void h2_stream_answered(struct h2_stream *stream);
void h2_stream_closed(struct h2_stream *stream);
void h2_stream_reset(struct h2_stream *stream, uint32_t code, enum stream_end end);
/* The client sends nothing any more: ends it, unless the request was complete and its answer is awaited. */
void h2_stream_fin(struct h2_stream *stream);
/* Told from the loop: frees it. */
void h2_stream_end(struct h2_stream *stream);

/* ---- h2_rates.c */

/* Sets the timer for the next look. */
void h2_rates_watch(struct h2_conn *conn);
void h2_rates_check(struct h2_conn *conn);

/* ---- h2_websocket.c */

/* 16 random bytes in base64, for an origin (RFC 6455 4.1). */
void h2_websocket_key(char ret_key[24]);
/* Whether the origin has understood: its Sec-WebSocket-Accept is what follows from the key (RFC 6455 4.2.2). */
MUST_USE bool h2_websocket_is_accepted(const char key[24], const struct reply *reply);

#endif
