/* Between the files of txn/. */
#ifndef WARP_TXN_INTERNAL_H
#define WARP_TXN_INTERNAL_H

#include "fill/slices.h"
#include "http/range.h"
#include "store/purge_batch.h"
#include "txn/txn.h"

/* The request of a small client, its key and its answer's own fields fit; a browser's takes a chunk of the
 * thread's pool beside it. A transaction that waits is this, which is what a follower of a fill costs. */
#define TXN_BLOCK_BYTES 768u

enum step_result { STEP_NEXT, STEP_WAIT, STEP_DONE };

#define TXN_STEPS(X)                                                                                         \
    X(acme, ACME)                                                                                            \
    X(route, ROUTE)                                                                                          \
    X(key, KEY)                                                                                              \
    X(lookup, LOOKUP)                                                                                        \
    X(fetch, FETCH)                                                                                          \
    X(serve, SERVE)                                                                                          \
    X(pass, PASS)                                                                                            \
    X(purge, PURGE)                                                                                          \
    X(synth, SYNTH)                                                                                          \
    X(finish, FINISH)

enum txn_step {
#define X(name, NAME) STEP_##NAME,
    TXN_STEPS(X)
#undef X
        STEP_COUNT
};

enum waiting_on { WAIT_NONE, WAIT_STORE, WAIT_FILL, WAIT_ORIGIN, WAIT_CLIENT, WAIT_MEMORY, WAIT_SLICE, WAIT_PURGE };

/* How the answer came about: what Cache-Status, metrics and the access record say. */
struct txn_facts {
    uint8_t outcome;   /* enum outcome */
    uint8_t fwd;       /* enum cache_status_fwd */
    bool hit, stored, collapsed, has_ttl;
    uint16_t fwd_status;
    int32_t ttl_s, age_s; /* age -1: no Age */
    const char *reason; /* why not stored, passed or refused; static text */
};

struct txn {
    struct txn_context *context;
    struct server_stream *stream;
    struct tenant_view *view;
    const struct policy *policy; /* from ROUTE on */
    struct arena arena;
    struct request request;
    struct request_control control;
    slice key;      /* primary; in the arena */
    slice slot_key; /* of the fill: primary, or the variant's */
    struct store_object *object; /* a reference: what was found, later what is served */
    struct txn_facts facts;
    uint64_t first_byte_ns; /* when the answer began; 0: not yet */
    uint64_t origin_ns;
    uint16_t tenant; /* id; 0: nobody's */
    uint16_t status;
    uint8_t step, waiting_on;
    uint8_t look_again;  /* how often: bounded */
    uint8_t specs_tried; /* of the Vary marker */
    bool running, ended, is_head, alone, soft_purged, has_marker, is_looking, is_waiting_for_fill, is_entered;
    uint8_t end; /* enum stream_end */
    bool is_serving; /* serve.hit is open */
    bool is_sliced;  /* serve.slices is, or was */
    bool is_passing; /* pass.fetch is under way */
    bool is_purging; /* purge is in use */
    uint8_t tier;    /* enum tier: where a hit came from */

    struct {
        uint16_t status;
        uint32_t retry_after_s; /* 0: not said */
        const char *word, *text;
        const char *failure_type; /* Proxy-Status; NULL: the origin is not at fault */
    } synth;

    /* one at a time */
    union {
        struct store_lookup lookup;
        struct fill_waiter waiter;
        struct {
            struct hit_handler hit;
            struct source source;  /* resume.c: over hit, while the object is still being filled */
            struct resume *resume; /* once the reader was left behind */
            struct slices *slices; /* instead, of a body in slices */
            struct slices_seen seen;
            bool were_stored, slices_given; /* the stream closes it */
        } serve;
        struct {
            struct origin_fetch *fetch;
            struct fill_handed *handed;
            struct response *response;
            struct fields *fields; /* of the request */
        } pass;
        struct {
            struct purge_batch *batch; /* NULL: done */
            struct purge_batch_result result;
            uint64_t begun_ns;
        } purge;
    };
    uint64_t inline_arena[];
};
static_assert(sizeof(struct txn) + 224 <= TXN_BLOCK_BYTES, "room for a short request's head");

#define X(name, NAME) enum step_result txn_step_##name(struct txn *txn);
TXN_STEPS(X)
#undef X

enum step_result txn_goto(struct txn *txn, enum txn_step step);
enum step_result txn_wait(struct txn *txn, enum waiting_on what);
/* What the transaction waited for has come. */
void txn_resume(struct txn *txn, enum waiting_on what);
/* WARP's own answer; word: a token for logs, metrics, detail; text for the page. */
enum step_result txn_synth(struct txn *txn, uint16_t status, const char *word, const char *text);
enum step_result txn_synth_failure(struct txn *txn, enum client_failure failure);

/* Sends the answer; body may be NULL. The transaction then waits for the client. */
enum step_result txn_reply(struct txn *txn, const struct reply *reply, struct source *body);
/* Adds Cache-Status, Via, Age to the answer's own fields. */
MUST_USE err txn_add_status(struct txn *txn, struct fields *added);
/* A fresh id for a request that came without one; in the arena. */
slice txn_request_id(struct txn *txn);
/* What a request of this transaction to the origin carries; ret_fields is initialised here. is_fill: without the
 * client's conditions and Range. */
MUST_USE err txn_forward_fields(struct txn *txn, bool is_fill, struct fields *ret_fields);
slice txn_client_ip(struct txn *txn, char *buffer, size_t size);
/* client.c: who asks: the peer, or whom a trusted proxy names. */
struct tenant_client txn_client(const struct txn *txn);
/* What trusted proxies say of the hops before them; empty: nothing, or nobody is trusted. */
slice txn_trusted_for(struct txn *txn);
/* The scheme that the client used, where a trusted proxy says. */
void txn_client_scheme(struct txn *txn);

/* lookup.c: what a fetch for this transaction is started with; ip is scratch. */
struct fill_start txn_fill_start(struct txn *txn, char *ip, size_t ip_size);
/* What was found is not so any more: once more from the lookup, a few times at most. */
enum step_result txn_look_again(struct txn *txn);

/* What a multipart answer takes the object's bytes from. */
struct seekable {
    struct source *source;
    void (*seek)(struct txn *txn, uint64_t from, uint64_t to);
};
/* serve_slices.c: a body in slices */
enum slices_state {
    SLICES_READY, /* the first bytes are there: the answer can begin */
    SLICES_WAIT,  /* the transaction will be resumed with WAIT_SLICE */
    SLICES_LOST,  /* serve_slices_lost says what then */
};
/* Opens the body, and moves it to [from, to). */
enum slices_state serve_slices_open(struct txn *txn, uint64_t from, uint64_t to);
enum step_result serve_slices_lost(struct txn *txn);
/* The stream has it now, and closes it. */
void serve_slices_give(struct txn *txn);
struct seekable serve_slices_seekable(struct txn *txn);
/* Closes it where no stream has it. */
void serve_slices_done(struct txn *txn);
/* serve.c's sources */
/* multipart/byteranges over it; *ret_type is the Content-Type. NULL: no memory. */
struct source *multipart_new(struct txn *txn, struct seekable body, const struct range_set *ranges, uint64_t length, slice type,
                             slice *ret_type, uint64_t *ret_bytes);
/* Over txn->serve.hit while its fill runs: goes on from the origin where a window has left the reader behind, under
 * the object's strong entity tag. */
struct source *resume_source(struct txn *txn);

/* pass.c: an answer that a fill handed over. */
enum step_result txn_pass_handed(struct txn *txn, struct fill_handed *handed);
void txn_interim(struct txn *txn, const struct response *response);
/* invalidate.c */
/* What an unsafe request's answer makes invalid. */
void txn_invalidate(struct txn *txn, const struct response *response);
/* purge.c: PURGE on the data listener. */
enum step_result txn_purge(struct txn *txn, const struct tenant *tenant);

#endif
