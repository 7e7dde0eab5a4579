/* h2_body: the two bodies of an HTTP/2 stream, either side's.
 *
 * h2_reader: DATA that arrived, as a source. Bytes lie in blocks until they are consumed; only then the peer's windows
 * open again, so that what waits here is bounded by them. h2_sender: a source as DATA frames; nghttp2 asks when windows
 * and priorities let it. */
#ifndef WARP_PROTO_H2_BODY_H
#define WARP_PROTO_H2_BODY_H

#include "base/list.h"
#include "base/source.h"
#include "http/field.h"
#include "proto/h2_inbox.h"
#include "proto/h2_session.h"

struct h2_reader {
    struct source source;       /* closed by nobody: it belongs to the stream */
    struct h2_session *session; /* NULL: the stream is over, and windows are nobody's concern */
    struct pool *pool;          /* the inbox's */
    struct h2_inbox inbox;
    void *owner;                                  /* the stream's own */
    void (*first_pull)(struct h2_reader *reader); /* 100-continue; may be NULL */
    const struct fields *trailers;                /* once complete, when there were any */
    uint64_t moved_bytes;                         /* received */
    int64_t left_bytes;   /* announced and not yet received; -1: unknown */
    int32_t stream_id;
    bool pulled, waiting; /* waiting: the last peek found nothing */
    bool ended;           /* END_STREAM was seen */
    bool failed;
};

/* length_bytes -1: unknown. */
void h2_reader_init(struct h2_reader *reader, struct h2_session *session, struct pool *pool, int32_t stream_id,
                    int64_t length_bytes);
void h2_reader_done(struct h2_reader *reader);
/* False: more than was announced, or no memory: the stream has to be reset. */
MUST_USE bool h2_reader_add(struct h2_reader *reader, slice data);
/* END_STREAM. False: fewer than announced. */
MUST_USE bool h2_reader_end(struct h2_reader *reader);
/* The stream is over before its end was seen; what was received may still be read. */
void h2_reader_cut(struct h2_reader *reader);
/* Calls on_ready where somebody waits: not from inside nghttp2's callbacks. */
void h2_reader_tell(struct h2_reader *reader);
/* Somebody waits for bytes that the peer may send: nobody's reader, and bytes that nobody has read, hold windows shut. */
static inline bool h2_reader_is_waiting(const struct h2_reader *reader)
{
    return reader->waiting && !reader->ended && reader->source.on_ready != NULL && reader->inbox.bytes == 0;
}

struct h2_sender {
    struct h2_session *session;
    struct source *body; /* the stream's; closed by it */
    int64_t left_bytes;  /* announced and not yet sent; -1: unknown */
    uint64_t sent_bytes;
    int32_t stream_id;
    bool waiting; /* the body has nothing now */
    bool ended;   /* END_STREAM is on its way, or trailers that carry it */
    bool failed;  /* the body will never be complete: nghttp2 resets the stream */
};

/* body: its on_ready is h2_sender_ready's to be called from. */
void h2_sender_init(struct h2_sender *sender, struct h2_session *session, int32_t stream_id, struct source *body,
                    int64_t length_bytes);
nghttp2_data_provider h2_sender_provider(struct h2_sender *sender);
/* The body may have more. */
void h2_sender_ready(struct h2_sender *sender);
/* nghttp2's send_data_callback. */
int h2_sender_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t length,
                        nghttp2_data_source *source, void *user);

#endif
