/* h2_priority: PRIORITY_UPDATE frames (RFC 9218 7.1), read here and not by nghttp2: what its 1.52 keeps for a stream that
 * is idle outlives that stream.
 *
 *   on_extension_chunk_recv --h2_priority_chunk--> text --unpack_extension: h2_priority_end--> id and value
 *
 * A value for a stream that is not there yet waits in a small table until the stream opens: h2_priority_open. */
#ifndef WARP_PROTO_H2_PRIORITY_H
#define WARP_PROTO_H2_PRIORITY_H

#include "base/slice.h"
#include "http/priority.h"

#define H2_PRIORITY_EARLY_MAX  16u  /* values that wait, the oldest goes first */
#define H2_PRIORITY_BYTES_MAX  132u /* of a frame; one that is longer says nothing */

struct h2_priority_early {
    int32_t id;
    struct priority priority;
};

struct h2_priorities {
    struct h2_priority_early early[H2_PRIORITY_EARLY_MAX]; /* the oldest first */
    uint32_t frame_bytes; /* of the frame that is being received; what is beyond the text is not kept */
    int32_t last_id;      /* the highest stream that the client has opened */
    uint8_t early_count;
    char text[H2_PRIORITY_BYTES_MAX];
};

enum h2_priority_result {
    H2_PRIORITY_IS,      /* for a stream that was opened already */
    H2_PRIORITY_IGNORED, /* kept for later, or no value that can be read */
    H2_PRIORITY_SHORT,   /* errors of the connection: no room for the id */
    H2_PRIORITY_INVALID, /* a frame on a stream, or for a stream that no client can open */
};

void h2_priority_chunk(struct h2_priorities *all, slice bytes);
/* The frame is complete, and the next one may begin. frame_id: the stream it was on. Results are those of IS. */
MUST_USE enum h2_priority_result h2_priority_end(struct h2_priorities *all, int32_t frame_id, int32_t *ret_id,
                                                 struct priority *ret_priority);
/* A stream opens; lower ones will not any more (RFC 9113 5.1.1). Whether a value has waited for it. */
bool h2_priority_open(struct h2_priorities *all, int32_t id, struct priority *ret_priority);

#endif
