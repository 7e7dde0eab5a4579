/* h2_budget: what a client may cost a connection beside its requests, a minute (SECURITY: rapid reset and its kin). */
#ifndef WARP_PROTO_H2_BUDGET_H
#define WARP_PROTO_H2_BUDGET_H

#include "proto/stream.h"

#include <nghttp2/nghttp2.h>

#define H2_STREAMS_MAX       100u /* at once; a stream that was reset keeps its place until its work has ended */
#define H2_CONTINUATIONS_MAX 5u   /* of one field block */
#define H2_WINDOW_BYTES      256u /* that a WINDOW_UPDATE beyond the budget has to stand for */
#define H2_PING_BYTES        512u /* and a PING: gRPC probes the path's bandwidth with one for what it has received */

/* name of the limit (STREAM_LIMITS), frames a minute */
#define H2_BUDGETS(X)                                                                                        \
    X(H2_RESETS, 200)                                                                                        \
    X(H2_RESETS_CAUSED, 200)                                                                                 \
    X(H2_SETTINGS, 14)                                                                                       \
    X(H2_PING, 60)                                                                                           \
    X(H2_PRIORITY, 120)                                                                                      \
    X(H2_EMPTY, 100)                                                                                         \
    X(H2_WINDOW_UPDATE, 1000)                                                                                \
    X(H2_IGNORED, 10000)

enum h2_budget_kind {
#define X(limit, frames) H2_BUDGET_##limit,
    H2_BUDGETS(X)
#undef X
        H2_BUDGET_COUNT
};

struct h2_budget {
    uint64_t begun_ns;      /* of this minute */
    uint64_t sent_bytes;    /* of bodies, in this minute: window updates and pings may answer them */
    uint32_t used[H2_BUDGET_COUNT];
    uint32_t unseen;        /* frames that began, less those that nghttp2 has told of */
    uint32_t skip_bytes;    /* until the next frame's header */
    uint32_t header_length; /* of the frame whose header is coming in, as far as it has */
    uint8_t header_bytes;   /* of that header */
    uint8_t continuations;  /* of this field block */
    uint8_t exceeded;       /* enum stream_limit; STREAM_LIMIT_COUNT: none */
};

void h2_budget_init(struct h2_budget *budget, uint64_t now_ns);
/* One more. False: too many; exceeded says of what. */
MUST_USE bool h2_budget_take(struct h2_budget *budget, enum h2_budget_kind kind, uint64_t now_ns);
/* A frame of the client begins; is_late: its stream is over. False as above. */
MUST_USE bool h2_budget_frame(struct h2_budget *budget, const nghttp2_frame_hd *head, bool is_late, uint64_t now_ns);
/* nghttp2 does not tell of what it ignores: types it does not know, DATA of streams that are gone, the rest of a field block
 * that it refused. So the headers of frames are counted before it gets them, all that comes from the connection's first byte
 * on; and behind that, what it did not tell of is taken. False as above. */
void h2_budget_scan(struct h2_budget *budget, slice bytes);
MUST_USE bool h2_budget_unseen(struct h2_budget *budget, uint64_t now_ns);

#endif
