/* h1_writer: one outgoing HTTP/1 message: head, then a body pulled from a source and framed.
 *
 *   init --> [interim]* --> begin(head, body) --> sending / waiting for the source --> done()
 *
 * Bytes go out as: 1xx heads, head, then frames. A frame is mark (chunk size), data (the source's own bytes,
 * not copied), tail (CRLF, last chunk); with Content-Length or raw bytes mark and tail are empty. A
 * whole body that fits behind its head is copied there: one piece to send costs less than two. One
 * net_send at a time; the owner hands what net tells to h1_writer_sent. done() is called from the loop,
 * never from inside begin or pump. Used by the server side for answers, by the client side for requests. */
#ifndef WARP_PROTO_H1_WRITER_H
#define WARP_PROTO_H1_WRITER_H

#include "base/pool.h"
#include "base/source.h"
#include "http/field.h"
#include "net/net.h"

#define H1_WRITER_IOV       8
#define H1_WRITER_IOV_BYTES (H1_WRITER_IOV * sizeof(struct iovec))

enum h1_body { H1_BODY_NONE, H1_BODY_LENGTH, H1_BODY_CHUNKED, H1_BODY_RAW };

enum h1_write_end {
    H1_WRITE_COMPLETE,
    H1_WRITE_NET_FAILED,
    H1_WRITE_BODY_FAILED, /* the source failed, or brought fewer bytes than announced */
};

/* Bytes on their way out; sent of len are gone. */
struct h1_piece {
    const char *bytes;
    uint32_t len, sent;
};

struct h1_writer {
    struct net_stream *net;
    struct source *body; /* not owned */
    void *owner;         /* the owner's own */
    void (*head_done)(struct h1_writer *writer); /* the head's memory may go */
    void (*done)(struct h1_writer *writer, enum h1_write_end end);
    struct task failed;
    struct h1_piece interim, head, mark, tail;
    uint32_t head_room; /* behind the head's bytes: set before begin, for a small body; 0: none */
    uint32_t head_body; /* bytes of the body that lie there */
    uint64_t data_left;   /* of the frame under way */
    uint64_t length_left; /* H1_BODY_LENGTH: of the body, beyond that frame */
    uint64_t sent_bytes;  /* of the body */
    uint64_t moved_bytes; /* everything the socket took: for rates */
    char *interim_text, *trailer_text; /* malloc; NULL until needed */
    uint8_t framing;
    bool sending, waiting, begun, finished;
    char mark_text[20];
    struct pool *iov_pool; /* of H1_WRITER_IOV vectors; an answer that waits holds none */
    struct iovec *iov;     /* while sending */
};

void h1_writer_init(struct h1_writer *writer, struct net_stream *net, struct pool *iov_pool);
/* Frees what the writer owns; nothing may be under way at the socket. Closes nothing. */
void h1_writer_done(struct h1_writer *writer);

/* A complete 1xx head to send first; false when there is no room (the caller drops it). */
MUST_USE bool h1_writer_interim(struct h1_writer *writer, slice head);
/* head stays valid until head_done, and head_room bytes behind it are the writer's. length_bytes: of H1_BODY_LENGTH. body NULL: H1_BODY_NONE. */
void h1_writer_begin(struct h1_writer *writer, slice head, struct source *body, enum h1_body framing,
                     uint64_t length_bytes);
/* What net told: the result of a net_send. */
void h1_writer_sent(struct h1_writer *writer, int32_t result);
/* The source can be asked again (its on_ready). */
void h1_writer_pump(struct h1_writer *writer);

#endif
