#include "os/region_own.h"
#include "os/uring/door.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

/* os_socket.state: flags below; above them the errno of an end that nobody has heard of yet, and the turn in which the
 * receive was asked for. */
enum {
    S_IN_RECV = 1 << 0,   /* a receive is with the kernel */
    S_IN_SEND = 1 << 1,   /* a send, a connect or the wait for one */
    S_DIRECT = 1 << 2,    /* that receive writes to the caller's memory */
    S_GIVEN_UP = 1 << 3,  /* that receive was taken back: its completion is nobody's */
    S_MULTISHOT = 1 << 4, /* one receive for its life */
    S_STOPPING = 1 << 5,  /* the multishot's end was asked for */
    S_QUEUED = 1 << 6,    /* in door->due */
    S_CLOSING = 1 << 7,
    S_SEND_DUE = 1 << 8, /* the result of a send by reference is known, done() is due */
    S_ERROR_SHIFT = 16,
    S_ERROR_MASK = 0xff << S_ERROR_SHIFT,
    S_TURN_SHIFT = 24,
};

/* Bytes that came while nobody asked: [start, end). */
struct held {
    uint32_t start, end, room;
    char bytes[];
};
#define HELD_PIECE_BYTES 65536u /* no receive brings more, as with epoll */

static void socket_queue(struct os_socket *socket)
{
    if (socket->state & S_QUEUED)
        return;
    socket->state |= S_QUEUED;
    list_push_back(&uring_of(socket->os)->due, &socket->link);
}

static void socket_init(struct os *os, struct os_socket *socket, int fd, uint32_t state)
{
    socket->os = os;
    socket->fd = fd;
    socket->state = state;
    socket->recv = NULL;
    socket->send = NULL;
    socket->own = NULL;
    list_init(&socket->link);
}

static uint32_t socket_error(const struct os_socket *socket)
{
    return (socket->state & S_ERROR_MASK) >> S_ERROR_SHIFT;
}

/* The first one counts. */
static void socket_keep_error(struct os_socket *socket, int error)
{
    if (socket_error(socket) == 0)
        socket->state |= ((uint32_t)error << S_ERROR_SHIFT) & S_ERROR_MASK;
}

/* A multishot receive of a unix socket does not tell of a FIN that came together with bytes: the kernel looks
 * again only where the socket says how much it still has. */
static bool has_multishot(int fd)
{
    int domain = AF_UNIX;
    socklen_t len = sizeof(domain);

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain != AF_UNIX;
}

err uring_socket_adopt(struct os *os, struct os_socket *socket, int fd)
{
    socket_init(os, socket, fd, has_multishot(fd) ? S_MULTISHOT : 0);
    return ERR_OK;
}

err uring_socket_connect(struct os *os, struct os_socket *socket, struct os_connect *connect)
{
    int fd = kernel_socket(connect->address->any.sa_family);
    struct io_uring_sqe *sqe;

    if (fd < 0)
        return ERR_SYS(errno);
    socket_init(os, socket, fd, S_IN_SEND);
    op_begin(&connect->op, OP_CONNECT);
    socket->send = (struct os_send *)(void *)connect;
    sqe = uring_sqe(uring_of(os));
    io_uring_prep_connect(sqe, fd, &connect->address->any, connect->address->len);
    io_uring_sqe_set_data64(sqe, uring_data(socket, TAG_SEND));
    return ERR_OK;
}

/* ---- receiving --------------------------------------------------------------------------------------------- */

static void recv_submit(struct os_socket *socket)
{
    const struct os_recv *op = socket->recv;
    struct io_uring_sqe *sqe = uring_sqe(uring_of(socket->os));

    if (op->into != NULL) {
        io_uring_prep_recv(sqe, socket->fd, op->into, op->into_bytes, 0);
        socket->state |= S_DIRECT;
    } else {
        if (socket->state & S_MULTISHOT)
            io_uring_prep_recv_multishot(sqe, socket->fd, NULL, 0, 0);
        else
            io_uring_prep_recv(sqe, socket->fd, NULL, BUFFER_BYTES, 0);
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST; /* who waits for a request or an answer seldom has it already */
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = BUFFER_GROUP;
    }
    io_uring_sqe_set_data64(sqe, uring_data(socket, TAG_RECV));
    socket->state |= S_IN_RECV;
    socket->state = (socket->state & ((1u << S_TURN_SHIFT) - 1)) | (uint32_t)uring_of(socket->os)->turn << S_TURN_SHIFT;
}

/* Something can be told without the kernel. */
static bool recv_is_due(const struct os_socket *socket)
{
    return socket->recv != NULL && (socket->own != NULL || socket_error(socket) != 0);
}

void uring_socket_recv(struct os_socket *socket, struct os_recv *op)
{
    op_begin(&op->op, OP_RECV);
    socket->recv = op;
    if (recv_is_due(socket))
        socket_queue(socket);
    else if (!(socket->state & S_IN_RECV))
        recv_submit(socket);
}

static unsigned recv_tell(struct os_socket *socket, int32_t result, const char *data)
{
    struct os_recv *op = socket->recv;

    op->data = data;
    op->op.result = result;
    socket->recv = NULL;
    op->op.done(&op->op);
    return 1;
}

/* The connection cannot go on without the bytes that there is no room for. */
static void recv_hold(struct os_socket *socket, const char *data, uint32_t size)
{
    struct held *held = socket->own;
    uint32_t have = held != NULL ? held->end - held->start : 0;

    if (held == NULL || held->room - held->end < size) {
        uint32_t room = (have + size) * 2;
        struct held *larger = malloc(sizeof(*larger) + room);
        if (larger == NULL) {
            socket_keep_error(socket, ENOMEM);
            return;
        }
        if (have > 0)
            memcpy(larger->bytes, held->bytes + held->start, have);
        free(held);
        held = larger;
        held->start = 0;
        held->end = have;
        held->room = room;
        socket->own = held;
    }
    memcpy(held->bytes + held->end, data, size);
    held->end += size;
}

/* Bytes into the memory the receive names; what is left over is held. */
static unsigned recv_tell_into(struct os_socket *socket, const char *data, uint32_t size)
{
    struct os_recv *op = socket->recv;
    uint32_t taken = MIN(size, op->into_bytes);

    memcpy(op->into, data, taken);
    if (taken < size)
        recv_hold(socket, data + taken, size - taken);
    return recv_tell(socket, (int32_t)taken, op->into);
}

static unsigned recv_tell_bytes(struct os_socket *socket, const char *data, uint32_t size)
{
    return socket->recv->into != NULL ? recv_tell_into(socket, data, size) : recv_tell(socket, (int32_t)size, data);
}

static unsigned recv_run_held(struct os_socket *socket, struct held *held)
{
    uint32_t most = socket->recv->into != NULL ? socket->recv->into_bytes : HELD_PIECE_BYTES;
    uint32_t size = MIN(held->end - held->start, most);
    const char *data = held->bytes + held->start;
    unsigned ran;

    held->start += size;
    if (held->start < held->end)
        return recv_tell_bytes(socket, data, size); /* what is left stays where it is */
    socket->own = NULL; /* the callback may receive again */
    ran = recv_tell_bytes(socket, data, size);
    free(held);
    return ran;
}

/* What came while nobody asked. */
static unsigned recv_run(struct os_socket *socket)
{
    uint32_t error = socket_error(socket);

    if (socket->own != NULL)
        return recv_run_held(socket, socket->own);
    socket->state &= ~(uint32_t)S_ERROR_MASK;
    return recv_tell(socket, -(int32_t)error, NULL);
}

static void recv_stop(struct os_socket *socket)
{
    if ((socket->state & (S_IN_RECV | S_STOPPING)) != S_IN_RECV)
        return;
    socket->state |= S_STOPPING;
    uring_cancel(uring_of(socket->os), uring_data(socket, TAG_RECV));
}

static unsigned recv_bytes(struct os_socket *socket, const char *data, uint32_t size)
{
    if (socket->recv != NULL && socket->own == NULL)
        return recv_tell_bytes(socket, data, size);
    recv_hold(socket, data, size);
    socket->state &= ~(uint32_t)S_STOPPING; /* a cancellation finds no receive that is just being tried: ask again */
    recv_stop(socket);
    return 0;
}

/* The receive with the kernel ended without bytes. */
static unsigned recv_ended(struct uring *door, struct os_socket *socket, int32_t result, bool was_given_up)
{
    if (result == -ENOBUFS)
        uring_buffers_grow(door);
    /* 0, the peer's FIN, is told again by the next receive; an error is told once. */
    if (result < 0 && result != -ENOBUFS && result != -ECANCELED && result != -EINTR && !was_given_up &&
        (socket->recv == NULL || socket->own != NULL)) {
        socket_keep_error(socket, -result);
        return 0;
    }
    if (socket->recv == NULL || socket->own != NULL)
        return 0;
    if (result == -ENOBUFS || result == -ECANCELED || result == -EINTR || was_given_up) {
        recv_submit(socket);
        return 0;
    }
    return recv_tell(socket, result, NULL);
}

static unsigned socket_finish(struct os_socket *socket);

unsigned socket_recv_completed(struct uring *door, struct os_socket *socket, int32_t result, uint32_t flags)
{
    bool was_direct = (socket->state & S_DIRECT) != 0, was_given_up = (socket->state & S_GIVEN_UP) != 0;
    unsigned buffer = flags >> IORING_CQE_BUFFER_SHIFT, ran = 0;

    if (!(flags & IORING_CQE_F_MORE))
        socket->state &= ~(uint32_t)(S_IN_RECV | S_DIRECT | S_GIVEN_UP | S_STOPPING);
    if (socket->state & S_CLOSING)
        ran = socket_finish(socket);
    else if (result <= 0)
        ran = recv_ended(door, socket, result, was_given_up);
    else if (was_direct)
        ran = recv_tell(socket, result, socket->recv->into);
    else
        ran = recv_bytes(socket, door->buffers + (size_t)buffer * BUFFER_BYTES, (uint32_t)result);
    if (flags & IORING_CQE_F_BUFFER)
        uring_buffer_give(door, buffer);
    return ran;
}

/* The kernel no longer touches what the operations with that data (0: all of the socket's) point to. False: there
 * was none, it has completed already. */
static bool cancel_now(struct os_socket *socket, uint64_t data)
{
    struct uring *door = uring_of(socket->os);
    struct io_uring_sync_cancel_reg reg = {
        .addr = data,
        .fd = socket->fd,
        .flags = data == 0 ? IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL : 0,
        .timeout = {.tv_sec = -1, .tv_nsec = -1},
    };

    uring_settle(door);
    return io_uring_register_sync_cancel(&door->ring, &reg) == 0;
}

bool uring_socket_recv_cancel(struct os_socket *socket)
{
    if (socket->recv == NULL || (socket->state & S_CLOSING))
        return false;
    if (socket->state & S_DIRECT) {
        if (!cancel_now(socket, uring_data(socket, TAG_RECV)))
            return false;
        socket->state |= S_GIVEN_UP;
    }
    socket->recv = NULL; /* what a shared buffer brings from now on is held */
    return true;
}

/* A completion that has not run yet may have taken bytes out of the socket. */
static bool recv_has_completed(struct uring *door, const struct os_socket *socket)
{
    struct io_uring_cqe *cqe;
    unsigned head;

    io_uring_for_each_cqe(&door->ring, head, cqe)
    {
        if (cqe->user_data == uring_data(socket, TAG_RECV) && cqe->res != -ECANCELED)
            return true;
    }
    return false;
}

bool uring_socket_is_silent(struct os_socket *socket)
{
    return socket->own == NULL && socket_error(socket) == 0 &&
           !recv_has_completed(uring_of(socket->os), socket) && kernel_is_silent(socket->fd);
}

/* ---- sending ----------------------------------------------------------------------------------------------- */

static void send_submit(struct os_socket *socket)
{
    struct uring *door = uring_of(socket->os);
    const struct os_send *op = socket->send;
    struct io_uring_sqe *sqe = uring_sqe(door);
    struct msghdr *message = &door->messages[sqe - door->ring.sq.sqes];

    if (op->iov_count == 1) {
        io_uring_prep_send(sqe, socket->fd, op->iov->iov_base, op->iov->iov_len, kernel_send_flags(op));
    } else {
        *message = (struct msghdr){.msg_iov = (struct iovec *)(uintptr_t)op->iov,
                                   .msg_iovlen = MIN((size_t)op->iov_count, (size_t)OS_IOV_MAX)};
        io_uring_prep_sendmsg(sqe, socket->fd, message, (unsigned)kernel_send_flags(op));
    }
    io_uring_sqe_set_data64(sqe, uring_data(socket, TAG_SEND));
    socket->state |= S_IN_SEND;
}

/* Bytes of the region go by sendfile(2), which no submission does without a thread of its own: at once where they
 * fit, else when the socket is writable. False: not yet. */
static bool reference_try(struct os_socket *socket)
{
    struct os_send *op = socket->send;
    ssize_t n = kernel_send(socket->fd, op);

    if (n < 0 && errno == EAGAIN) {
        struct io_uring_sqe *sqe = uring_sqe(uring_of(socket->os));
        io_uring_prep_poll_add(sqe, socket->fd, POLLOUT);
        io_uring_sqe_set_data64(sqe, uring_data(socket, TAG_SEND_POLL));
        socket->state |= S_IN_SEND;
        return false;
    }
    op->op.result = n >= 0 ? (int32_t)n : -errno;
    return true;
}

void uring_socket_send(struct os_socket *socket, struct os_send *op)
{
    op_begin(&op->op, OP_SEND);
    socket->send = op;
    if (!region_has_any(op->iov, op->iov_count)) {
        send_submit(socket);
    } else if (reference_try(socket)) {
        socket->state |= S_SEND_DUE;
        socket_queue(socket);
    }
}

static unsigned send_tell(struct os_socket *socket)
{
    struct os_send *op = socket->send;

    socket->state &= ~(uint32_t)S_SEND_DUE;
    socket->send = NULL;
    op->op.done(&op->op);
    return 1;
}

unsigned socket_send_completed(struct uring *door, struct os_socket *socket, int32_t result)
{
    struct os_send *op = socket->send;

    (void)door;
    socket->state &= ~(uint32_t)S_IN_SEND;
    if (socket->state & S_CLOSING)
        return socket_finish(socket);
    if (result == -EINTR && op->op.kind == OP_SEND) {
        send_submit(socket);
        return 0;
    }
    op->op.result = result;
    return send_tell(socket);
}

unsigned socket_send_ready(struct uring *door, struct os_socket *socket)
{
    (void)door;
    socket->state &= ~(uint32_t)S_IN_SEND;
    if (socket->state & S_CLOSING)
        return socket_finish(socket);
    return reference_try(socket) ? send_tell(socket) : 0;
}

/* ---- the end ------------------------------------------------------------------------------------------------- */

void uring_socket_shutdown(struct os_socket *socket)
{
    if (socket->state & S_IN_SEND)
        uring_flush(uring_of(socket->os)); /* the FIN goes behind it */
    shutdown(socket->fd, SHUT_WR); /* fails only where the peer has gone: the receive tells */
}

void uring_socket_close(struct os_socket *socket, bool reset)
{
    struct uring *door = uring_of(socket->os);

    if (socket->state & (S_IN_SEND | S_DIRECT)) {
        (void)cancel_now(socket, 0);
    } else if (socket->state & S_IN_RECV) {
        /* A submission names the descriptor by its number, which may be another socket's by the next turn. */
        if (socket->state >> S_TURN_SHIFT == door->turn)
            uring_flush(door);
        /* Ends any receive by itself, also one that a cancellation does not find because it is just being tried. */
        shutdown(socket->fd, SHUT_RD);
        recv_stop(socket);
    }
    kernel_close(socket->fd, reset); /* what is in flight keeps the kernel's socket until it has ended */
    socket->fd = -1;
    socket->state |= S_CLOSING;
    if (!(socket->state & (S_IN_RECV | S_IN_SEND)))
        socket_queue(socket);
}

/* Nothing is in flight any more, or the last of it has just completed. */
static unsigned socket_finish(struct os_socket *socket)
{
    if (socket->state & (S_IN_RECV | S_IN_SEND))
        return 0;
    free(socket->own);
    socket->own = NULL;
    return op_end_all(socket);
}

unsigned uring_sockets_run(struct uring *door)
{
    struct list due = LIST_INIT(due);
    struct list *link;
    unsigned ran = 0;

    list_splice_back(&due, &door->due); /* what these ask for runs in the next turn */
    while ((link = list_pop_front(&due)) != NULL) {
        struct os_socket *socket = container_of(link, struct os_socket, link);
        socket->state &= ~(uint32_t)S_QUEUED;
        if (socket->state & S_CLOSING) {
            ran += socket_finish(socket);
            continue;
        }
        if (socket->state & S_SEND_DUE)
            ran += send_tell(socket);
        if (!(socket->state & S_CLOSING) && recv_is_due(socket))
            ran += recv_run(socket);
    }
    return ran;
}
