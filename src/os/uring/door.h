/* The io_uring door's own state; for os/uring/ only.
 *
 * One turn: what was asked for since the last one goes to the kernel in one io_uring_enter, which also brings what
 * has completed; then each completion runs. The ring has one issuer and does its work only when that thread asks
 * (IORING_SETUP_DEFER_TASKRUN), so between two enters nothing appears in the completion queue.
 *
 * Receives. A socket that was accepted has one multishot receive for its life: bytes arrive in buffers that all
 * sockets of the thread share, one completion a piece, no submission per request. Where the upper layer is not
 * asking, the bytes are copied aside (held), the buffer goes back to the ring at once, and the multishot is
 * cancelled: nobody can take the shared buffers from others, and the peer feels the window. A socket that we
 * connected uses the same buffers once per wait, and receives straight into the caller's memory where it names some.
 *
 * An operation in flight keeps its socket: closed() is called when the last completion has come. */
#ifndef WARP_OS_URING_DOOR_H
#define WARP_OS_URING_DOOR_H

#include "os/door.h"
#include "os/kernel.h"
#include "os/op.h"

#include <liburing.h>
#include <pthread.h>

#define SQ_ENTRIES           1024u
#define COMPLETIONS_PER_TURN 1024u
#define BUFFER_BYTES         4096u
#define BUFFERS_FIRST        256u
#define BUFFERS_MAX          1024u
#define BUFFER_GROUP         0
#define HELPERS_MAX          4u
#define CPUS_MAX             8192u

struct uring {
    struct os os;
    struct io_uring ring;
    pthread_t owner;         /* who enabled it */
    bool is_enabled;         /* by the thread that turns, at its first turn */
    struct msghdr *messages; /* one per submission entry: the kernel has copied it when the entry is consumed */
    uint8_t turn;            /* goes on when all that was asked for is with the kernel */
    struct io_uring_buf_ring *buffer_ring;
    char *buffers; /* BUFFERS_MAX of them, pages are taken when they are first used */
    unsigned buffer_count;
    struct list due;              /* os_socket.link: something to run that the kernel will not tell of */
    struct list listens, watches; /* struct uring_listen, struct uring_watch */
    uint64_t accept_resume_ns;    /* 0: none is paused */
    struct list files;            /* struct os_file_op.op.link: under way */
};

static inline struct uring *uring_of(struct os *os)
{
    return container_of(os, struct uring, os);
}

/* What a completion is of, in the low bits of the pointer it carries. A completion of 0 is nobody's. */
enum uring_tag {
    TAG_RECV,
    TAG_SEND, /* or connect */
    TAG_SEND_POLL,
    TAG_LISTEN,
    TAG_WATCH,
    TAG_WAKE,
    TAG_FILE,
    TAG_MASK = 7
};

static inline uint64_t uring_data(const void *object, enum uring_tag tag)
{
    INVARIANT(((uintptr_t)object & TAG_MASK) == 0);
    return (uint64_t)(uintptr_t)object | tag;
}

/* A submission entry, never NULL: a full queue is submitted. */
struct io_uring_sqe *uring_sqe(struct uring *door);
/* Everything asked for so far is with the kernel. */
void uring_flush(struct uring *door);
/* The same, and no operation is half-way: each has completed or waits where a cancellation finds it. */
void uring_settle(struct uring *door);
/* Asks for the end of the operation with that data; its own completion tells when. */
void uring_cancel(struct uring *door, uint64_t data);
void uring_buffer_give(struct uring *door, unsigned id);
/* The ring ran dry: more buffers, while there may be more. */
void uring_buffers_grow(struct uring *door);

err uring_socket_adopt(struct os *os, struct os_socket *socket, int fd);
err uring_socket_connect(struct os *os, struct os_socket *socket, struct os_connect *connect);
void uring_socket_recv(struct os_socket *socket, struct os_recv *recv);
bool uring_socket_recv_cancel(struct os_socket *socket);
bool uring_socket_is_silent(struct os_socket *socket);
void uring_socket_send(struct os_socket *socket, struct os_send *send);
void uring_socket_shutdown(struct os_socket *socket);
void uring_socket_close(struct os_socket *socket, bool reset);
err uring_accept_start(struct os *os, struct os_acceptor *acceptor);
void uring_accept_stop(struct os_acceptor *acceptor);
err uring_watch_start(struct os *os, struct os_watch *watch);
void uring_watch_stop(struct os_watch *watch);
void uring_file_submit(struct os_file_op *op);

/* Completions; each returns the number of callbacks that ran. */
unsigned socket_recv_completed(struct uring *door, struct os_socket *socket, int32_t result, uint32_t flags);
unsigned socket_send_completed(struct uring *door, struct os_socket *socket, int32_t result);
unsigned socket_send_ready(struct uring *door, struct os_socket *socket);
unsigned listen_completed(struct uring *door, void *listen, int32_t result, uint32_t flags);
unsigned watch_completed(struct uring *door, void *watch, int32_t result);
unsigned file_completed(struct uring *door, struct os_file_op *op, int32_t result);
unsigned uring_sockets_run(struct uring *door);
void listens_resume(struct uring *door, uint64_t now_ns);
void listens_free(struct uring *door);
/* The kernel no longer touches any operation on a file. */
void uring_files_wait(struct uring *door);

#endif
