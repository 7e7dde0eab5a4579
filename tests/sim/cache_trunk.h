/* HTTP/2 origins. A trunk is one connection of WARP's to one of them, over nghttp2's server side; a branch is one of its
 * streams. To the script of cache_origin.c each branch is a connection of its own that carries one request: it reads and
 * writes the text of HTTP/1, so that site, oracle and drawing are the same for both protocols.
 *
 *   accepted -> head --told at once, or held for a while--> the script has it -> answer -> closed
 *                  \--refused, or above the last stream of a GOAWAY--> the script never heard of it
 *
 * cache_trunk.c has the connection and the requests, cache_branch.c the answers, cache_harm.c what an origin must not do. */
#ifndef WARP_TESTS_SIM_CACHE_TRUNK_H
#define WARP_TESTS_SIM_CACHE_TRUNK_H

#include "tests/sim/cache_origin.h"
#include "tests/sim/cache_wire.h"

#include <nghttp2/nghttp2.h>

#define BRANCH_HARMED_NS (10 * NS_S) /* until WARP has reset it: before any time-out of its own */

struct trunk {
    struct sim_peer peer;
    struct sim_timer whim; /* what it does besides answering */
    struct list link, branches;
    nghttp2_session *session; /* NULL: over */
    unsigned origin;
    int32_t last_told; /* the highest stream that a script has */
    int32_t late;      /* a stream that has ended, and on which something is still to come; 0: none */
    bool is_busy;      /* inside a call of nghttp2: its callbacks may not call it again, nor end it */
    bool is_muted;     /* has not said anything yet */
    bool has_notice, has_goaway, is_spoiled, had_crowd;
    bool is_closed; /* the peer */
};

struct branch {
    struct list link;
    struct trunk *trunk;
    struct conn *conn; /* the script's; NULL: not told yet, or over */
    struct sim_timer held; /* until it is told; then for WARP's reset, where one is owed */
    int32_t id;
    bool is_open; /* nghttp2 has the stream */
    bool is_held, is_crowd;
    /* the request */
    char method[12], path[128], authority[64];
    char *text; /* fields, then what the script has not been told */
    size_t text_bytes, unconsumed_bytes;
    bool is_chunked, is_asked; /* asked: in full */
    /* the answer */
    struct wire wire;
    unsigned status;
    char *body;
    size_t body_bytes, body_at, body_room;
    bool has_head, has_length, is_complete, has_trailer, is_waiting, has_ended;
};

void trunks_begin(void);
void trunks_end(void); /* before the scripts' */
struct sim_peer *trunk_accepted(unsigned origin);

/* Of the script: bytes of its answer; FIN, complete or in the middle; the end. */
void branch_send(struct branch *branch, const char *bytes, size_t size);
void branch_finish(struct branch *branch);
void branch_over(struct branch *branch);
size_t branch_unsent(const struct branch *branch);
/* What was submitted goes out. */
void branch_flush(struct branch *branch);

/* ---- between the three files --------------------------------------------------------------------------------------- */

void trunk_flush(struct trunk *trunk);
/* Streams above the last one that a script has are not processed, those below are. */
void trunk_goaway(struct trunk *trunk, uint32_t error);
/* Ends here and now, without a GOAWAY. */
void trunk_down(struct trunk *trunk, const char *why);
/* Whoever asks for a crowd's URL must get it: an end of the whole connection would cut it off. */
bool trunk_has_crowd(const struct trunk *trunk);
/* From now on it is WARP that has to end the connection. */
void trunk_spoil(struct trunk *trunk, const char *what);
void branch_reset(struct branch *branch, uint32_t error);
void branch_is_harmed(struct branch *branch); /* WARP has to reset it */
void branch_resume(struct branch *branch); /* it has more to send */

/* In place of a head. */
void branch_junk(struct branch *branch);
/* Where an answer, or a silence, ends before its time. */
void branch_cut(struct branch *branch);
/* Frames behind the end of a stream. */
void trunk_late(struct trunk *trunk, uint32_t id);
/* Frames that mean nothing, and harm nobody. */
void trunk_chatter(struct trunk *trunk);

#endif
