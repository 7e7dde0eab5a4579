/* h2_session: what both ends of an HTTP/2 connection share: nghttp2's state machine between the bytes of a net_stream.
 *
 *   net received --h2_session_receive--> nghttp2 --callbacks--> streams
 *   streams --submit, resume--> nghttp2 --h2_session_pump--> output blocks --net_send--> h2_session_sent --> pump ...
 *
 * Nothing is sent from inside nghttp2's callbacks: what one batch of received bytes brought about leaves together, and
 * what happens between batches leaves with the session's task (h2_session_wake). Output is bounded: a full buffer ends
 * the pumping until it was sent. nghttp2 allocates from the thread's pools.
 *
 * Messages are checked by http/h2_message, not by nghttp2 (nghttp2_option_set_no_http_messaging). */
#ifndef WARP_PROTO_H2_SESSION_H
#define WARP_PROTO_H2_SESSION_H

#include "base/pool.h"
#include "base/slice.h"
#include "net/net.h"

#include <nghttp2/nghttp2.h>

#define H2_PREFACE_BYTES     24u
#define H2_STREAM_WINDOW     65535u      /* RFC 9113 6.9.2: the default needs no SETTINGS to be in force */
#define H2_CONNECTION_WINDOW (1u << 20)
#define H2_FRAME_BYTES_MAX   (9u + 16384u)
#define H2_OUT_BLOCK_BYTES   17408u      /* a frame of any kind fits */
#define H2_OUT_BLOCKS        4u

/* A head that is sent, by nghttp2's estimate of the worst: names, values, and 12 bytes a field. More than any message has
 * that was let in; what is larger all the same is not sent, and on_frame_not_send_callback is told. */
#define H2_SENT_HEAD_BYTES_MAX (256u << 10)

#define H2_MEMORY_CLASSES   6u
#define H2_MEMORY_FREED_MAX 512u

/* gcc and clang say it in different ways. */
#if defined(__SANITIZE_ADDRESS__)
#define H2_MEMORY_CHECKED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define H2_MEMORY_CHECKED 1
#endif
#endif

/* One thread's memory for sessions. */
struct h2_memory {
    struct pool classes[H2_MEMORY_CLASSES];
    struct pool out_pool;
    nghttp2_mem mem;
#ifdef H2_MEMORY_CHECKED
    void *freed[H2_MEMORY_FREED_MAX]; /* the last ones, to see whether nghttp2 still writes to them */
    unsigned freed_at;
#endif
};
void h2_memory_init(struct h2_memory *memory);
void h2_memory_done(struct h2_memory *memory);

struct h2_block {
    char *bytes; /* of the memory's out_pool */
    uint32_t start, end;
};

struct h2_session {
    nghttp2_session *ng; /* NULL: over, nothing may be asked of it any more */
    struct net_stream *net;
    struct h2_memory *memory;
    void *owner;
    /* From the loop, when nghttp2 has done something: ended streams can be told, an end of the session be noticed. */
    void (*after)(struct h2_session *session);
    struct task task;
    struct h2_block out[H2_OUT_BLOCKS];
    struct iovec iov[H2_OUT_BLOCKS];
    uint32_t out_bytes;   /* in blocks */
    uint8_t out_count;    /* blocks in use */
    bool sending;         /* a net_send is under way */
    bool is_slow;         /* the last send was not taken whole: one block at a time */
    bool is_pumping, failed; /* failed: nghttp2 or memory; only a GOAWAY may still leave */
    int error;            /* of nghttp2, when receiving failed */
    uint64_t moved_bytes; /* that the network took */
};

struct h2_session_config {
    struct h2_memory *memory;
    struct net_stream *net;
    const nghttp2_session_callbacks *callbacks; /* send_data_callback is h2_session's own (h2_body.h); their user_data
                                                   is the session */
    const nghttp2_option *options;
    bool is_server;
    void *owner;
    void (*after)(struct h2_session *session);
};

/* The options and callbacks that both sides want: on_begin_frame is called for every frame, also of types that nobody knows.
 * nghttp2_option_del, nghttp2_session_callbacks_del. NULL: no memory. */
MUST_USE nghttp2_option *h2_session_options(void);
MUST_USE nghttp2_session_callbacks *h2_session_callbacks(void);
MUST_USE err h2_session_init(struct h2_session *session, const struct h2_session_config *config);
/* Frees nghttp2's side: on_stream_close is not called any more. Blocks that are being sent stay until h2_session_done. */
void h2_session_end(struct h2_session *session);
/* After the stream's closed(). */
void h2_session_done(struct h2_session *session);

/* Bytes of the peer. False: the connection is over, for a reason the peer is told by a GOAWAY that was queued (unless it
 * was out of memory); nothing more may be received into the session. Then pumps, then after(). */
MUST_USE bool h2_session_receive(struct h2_session *session, slice bytes);
/* Something was submitted or can go on: pumps soon. */
void h2_session_wake(struct h2_session *session);
/* Moves frames to the output and sends it, if none is being sent. */
void h2_session_pump(struct h2_session *session);
/* In sent(). False: the network failed. */
MUST_USE bool h2_session_sent(struct h2_session *session, int32_t result);
/* Nothing is left to be sent. */
bool h2_session_is_flushed(const struct h2_session *session);

/* For send_data_callback: whether so many bytes more may be put, and putting them. */
bool h2_session_has_room(const struct h2_session *session, size_t bytes);
MUST_USE bool h2_session_put(struct h2_session *session, const void *data, size_t len);

#endif
