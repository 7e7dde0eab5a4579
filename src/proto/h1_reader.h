/* h1_reader: the body of one incoming HTTP/1 message, as a source.
 *
 * Bytes lie in the connection's inbuf (what came with the head, then what is received into it) and are handed
 * out from there, unframed in place. The reader asks the socket only when it is pulled: that is all the
 * back-pressure there is. The owner hands what net tells to h1_reader_received while reader.receiving. */
#ifndef WARP_PROTO_H1_READER_H
#define WARP_PROTO_H1_READER_H

#include "base/source.h"
#include "http/h1_chunked.h"
#include "http/message.h"
#include "net/net.h"

#define H1_INBUF_BYTES 16384u

/* Bytes received and not yet used: [start, end) of bytes. Takes memory only while it holds some. */
struct h1_inbuf {
    char *bytes;
    uint32_t cap, start, end;
};

static inline slice h1_inbuf_slice(const struct h1_inbuf *in)
{
    return in->bytes == NULL ? SLICE_NONE : slice_of(in->bytes + in->start, in->end - in->start);
}
/* Room for more bytes behind end, up to cap_max in all; false when there is none. */
MUST_USE bool h1_inbuf_reserve(struct h1_inbuf *in, uint32_t more, uint32_t cap_max);
MUST_USE bool h1_inbuf_append(struct h1_inbuf *in, slice data, uint32_t cap_max);
void h1_inbuf_consume(struct h1_inbuf *in, uint32_t n); /* gives the memory back when it becomes empty */
void h1_inbuf_done(struct h1_inbuf *in);

struct h1_reader {
    struct source source; /* closed by nobody: it belongs to the connection */
    struct net_stream *net;
    struct h1_inbuf *in;
    void *owner;                                  /* the owner's own */
    void (*first_pull)(struct h1_reader *reader); /* 100-continue; may be NULL */
    void (*at_end)(struct h1_reader *reader);     /* the last byte was found; may be NULL */
    struct h1_chunked chunked;
    uint64_t left_bytes;  /* BODY_LENGTH */
    uint64_t moved_bytes; /* received by this reader: for rates */
    uint64_t asked_ns, waited_ns; /* since when this receive is under way; all those before it together */
    uint32_t shown_bytes; /* unframed bytes at in->start, handed out and not consumed */
    uint8_t kind;         /* enum body_kind */
    bool receiving, pulled, complete, failed, fin;
};

/* arena: for trailers. */
void h1_reader_init(struct h1_reader *reader, struct net_stream *net, struct h1_inbuf *in, enum body_kind kind,
                    uint64_t length_bytes, struct arena *arena);
/* From now on every byte is the body, until the peer's FIN (after 101). */
void h1_reader_make_raw(struct h1_reader *reader);
/* result and data as net_handler.received. Calls the source's on_ready. */
void h1_reader_received(struct h1_reader *reader, int32_t result, const char *data);

#endif
