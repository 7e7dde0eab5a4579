/* floor_uring: the least a server with io_uring can do. One receive per connection stays armed (multishot,
 * buffers from a ring that both sides share), a send per answer; both wait for the one io_uring_enter of a
 * turn.
 *
 *   floor_uring PORT      exit 3: the kernel does not let us */
#include "answer.h"

#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFERS        1024u /* a power of two */
#define BUFFER_BYTES   2048u
#define BUFFER_GROUP   0
#define EXIT_FORBIDDEN 3

/* A completion is for a connection's receive or send, by the lowest bit of its pointer; NULL is the listener.
 */
#define FOR_SEND 1u

struct conn {
    int fd;
    unsigned under_way; /* operations the kernel still has */
    bool closing;
    size_t held;
    char head[REQUEST_HEAD_MAX];
    struct answer answer;
    struct iovec parts[2];
    struct msghdr message;
};

static struct io_uring ring;
static struct io_uring_buf_ring *buffer_ring;
static char *buffers;
static int listener;

static struct io_uring_sqe *sqe_get(void)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

    if (sqe == NULL) {
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    if (sqe == NULL)
        die("no submission entry");
    return sqe;
}

static void accept_arm(void)
{
    struct io_uring_sqe *sqe = sqe_get();

    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data64(sqe, 0);
}

static void conn_receive(struct conn *conn)
{
    struct io_uring_sqe *sqe = sqe_get();

    io_uring_prep_recv_multishot(sqe, conn->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    io_uring_sqe_set_data64(sqe, (uintptr_t)conn);
    conn->under_way++;
}

static void conn_answer(struct conn *conn, size_t head_len)
{
    struct request request;
    struct io_uring_sqe *sqe;

    if (!request_read(conn->head, head_len, PLAIN_HEAD_MAX, &request)) {
        conn->closing = true;
        return;
    }
    sqe = sqe_get();
    if (request.size <= READY_SIZE_MAX || request.if_none_match) {
        const struct ready *ready = ready_of(&request);
        io_uring_prep_send(sqe, conn->fd, ready->bytes, ready->len, MSG_NOSIGNAL | MSG_WAITALL);
        conn->answer.head_len = ready->len;
        conn->answer.body_len = 0;
    } else {
        answer_make(&conn->answer, &request, "Cache-Control: max-age=3600\r\n");
        conn->parts[0] = (struct iovec){conn->answer.head, conn->answer.head_len};
        conn->parts[1] = (struct iovec){(void *)(uintptr_t)conn->answer.body, conn->answer.body_len};
        conn->message = (struct msghdr){.msg_iov = conn->parts, .msg_iovlen = 2};
        io_uring_prep_sendmsg(sqe, conn->fd, &conn->message, MSG_NOSIGNAL | MSG_WAITALL);
    }
    io_uring_sqe_set_data64(sqe, (uintptr_t)conn | FOR_SEND);
    conn->under_way++;
}

static void conn_received(struct conn *conn, const char *data, size_t len)
{
    size_t head_len;

    if (len > sizeof(conn->head) - conn->held) {
        conn->closing = true;
        return;
    }
    memcpy(conn->head + conn->held, data, len);
    conn->held += len;
    head_len = head_length(conn->head, conn->held);
    if (head_len == 0)
        return;
    if (head_len != conn->held) { /* the generator does not pipeline */
        conn->closing = true;
        return;
    }
    conn->held = 0;
    conn_answer(conn, head_len);
}

/* A closing connection ends once the kernel has no more of its operations. */
static void conn_close_if(struct conn *conn)
{
    if (!conn->closing)
        return;
    shutdown(conn->fd, SHUT_RDWR);
    if (conn->under_way > 0)
        return;
    close(conn->fd);
    free(conn);
}

static void conn_completed(struct conn *conn, const struct io_uring_cqe *cqe)
{
    if (!(cqe->flags & IORING_CQE_F_MORE))
        conn->under_way--;
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        if (cqe->res > 0)
            conn_received(conn, buffers + (size_t)id * BUFFER_BYTES, (size_t)cqe->res);
        io_uring_buf_ring_add(buffer_ring, buffers + (size_t)id * BUFFER_BYTES, BUFFER_BYTES,
                              (unsigned short)id, io_uring_buf_ring_mask(BUFFERS), 0);
        io_uring_buf_ring_advance(buffer_ring, 1);
    }
    if (cqe->res == 0 || (cqe->res < 0 && cqe->res != -ENOBUFS))
        conn->closing = true;
    if (!conn->closing && !(cqe->flags & IORING_CQE_F_MORE))
        conn_receive(conn); /* the kernel ended the armed receive: buffers ran out */
    conn_close_if(conn);
}

static void conn_sent(struct conn *conn, int result)
{
    conn->under_way--;
    if (result != (int)(conn->answer.head_len + conn->answer.body_len))
        conn->closing = true;
    conn_close_if(conn);
}

static void accepted(const struct io_uring_cqe *cqe)
{
    if (cqe->res >= 0) {
        struct conn *conn = calloc(1, sizeof(*conn));
        if (conn == NULL)
            die("calloc");
        conn->fd = cqe->res;
        conn_receive(conn);
    }
    if (!(cqe->flags & IORING_CQE_F_MORE))
        accept_arm();
}

static void ring_init(void)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                              IORING_SETUP_CQSIZE,
                                     .cq_entries = 8192};
    struct io_uring_buf_reg group = {.ring_entries = BUFFERS, .bgid = BUFFER_GROUP};
    int result = io_uring_queue_init_params(1024, &ring, &params);

    if (result == 0) {
        if (posix_memalign((void **)&buffer_ring, 4096, BUFFERS * sizeof(struct io_uring_buf)) != 0)
            die("posix_memalign");
        group.ring_addr = (uintptr_t)buffer_ring;
        result = io_uring_register_buf_ring(&ring, &group, 0);
    }
    if (result != 0) {
        fprintf(stderr, "io_uring: %s\n", strerror(-result));
        exit(EXIT_FORBIDDEN);
    }
    buffers = malloc((size_t)BUFFERS * BUFFER_BYTES);
    if (buffers == NULL)
        die("malloc");
    io_uring_buf_ring_init(buffer_ring);
    for (unsigned i = 0; i < BUFFERS; i++)
        io_uring_buf_ring_add(buffer_ring, buffers + (size_t)i * BUFFER_BYTES, BUFFER_BYTES,
                              (unsigned short)i, io_uring_buf_ring_mask(BUFFERS), (int)i);
    io_uring_buf_ring_advance(buffer_ring, BUFFERS);
}

static void turn(void)
{
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;
    int result = io_uring_submit_and_wait(&ring, 1);

    if (result < 0 && result != -EINTR && result != -EBUSY) {
        errno = -result;
        die("io_uring_enter");
    }
    io_uring_for_each_cqe(&ring, head, cqe)
    {
        struct conn *conn = (struct conn *)(uintptr_t)(cqe->user_data & ~(uint64_t)FOR_SEND);
        count++;
        if (conn == NULL)
            accepted(cqe);
        else if (cqe->user_data & FOR_SEND)
            conn_sent(conn, cqe->res);
        else
            conn_completed(conn, cqe);
    }
    io_uring_cq_advance(&ring, count);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: floor_uring PORT\n");
        return 2;
    }
    raise_files();
    pattern_init(OBJECT_SIZE_MAX);
    ring_init();
    listener = listen_on(argv[1]);
    accept_arm();
    for (;;)
        turn();
}
