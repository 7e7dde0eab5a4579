#include "os/epoll/door.h"
#include "os/region_own.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* os_socket.state: flags below, the turn in which the socket last ran above. A turn number that comes round
 * again only puts a socket off to the next turn. */
enum {
    S_READABLE = 1 << 0, /* a recv may bring something */
    S_WRITABLE = 1 << 1, /* a send may take something */
    S_ENDED = 1 << 2,    /* FIN or error was seen: stays readable to its end */
    S_SEND_DUE = 1 << 3, /* the result of the send (or connect) is known, done() is due */
    S_QUEUED = 1 << 4,
    S_CLOSING = 1 << 5,
    S_TURN_SHIFT = 16,
};

#define SOCKET_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

static void socket_queue(struct os *os, struct os_socket *socket)
{
    if (socket->state & S_QUEUED)
        return;
    socket->state |= S_QUEUED;
    /* Once per turn, so that two sockets that feed each other do not starve the rest. */
    bool ran = (socket->state >> S_TURN_SHIFT) == os->turn;
    list_push_back(ran ? &os->next : &os->due, &socket->link);
}

static void socket_init(struct os *os, struct os_socket *socket, int fd)
{
    socket->os = os;
    socket->fd = fd;
    socket->state = (uint32_t)(uint16_t)(os->turn - 1) << S_TURN_SHIFT;
    socket->recv = NULL;
    socket->send = NULL;
    list_init(&socket->link);
}

err os_socket_adopt(struct os *os, struct os_socket *socket, int fd)
{
    int added;

    socket_init(os, socket, fd);
    socket->state |= S_WRITABLE;
    added = door_epoll_add(os, fd, SOCKET_EVENTS, socket, TAG_SOCKET);
    if (added < 0) {
        close(fd);
        socket->fd = -1;
        return ERR_SYS(-added);
    }
    return ERR_OK;
}

/* The kernel's socket(), out of reach where the parameter has its name. */
static int socket_open(sa_family_t family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

    if (fd >= 0 && family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

static void connect_result(struct os *os, struct os_socket *socket, int32_t result)
{
    socket->send->op.result = result;
    socket->state |= S_SEND_DUE;
    socket_queue(os, socket);
}

err os_socket_connect(struct os *os, struct os_socket *socket, struct os_connect *connect_op)
{
    const struct os_address *to = connect_op->address;
    int fd = socket_open(to->any.sa_family), added, error;

    if (fd < 0)
        return ERR_SYS(errno);
    socket_init(os, socket, fd);
    error = connect(fd, &to->any, to->len) == 0 ? 0 : errno;
    /* After connect: an unconnected socket would report a hang-up at once. */
    added = door_epoll_add(os, fd, SOCKET_EVENTS, socket, TAG_SOCKET);
    if (added < 0) {
        close(fd);
        socket->fd = -1;
        return ERR_SYS(-added);
    }
    op_begin(&connect_op->op, OP_CONNECT);
    socket->send = (struct os_send *)(void *)connect_op;
    if (error != EINPROGRESS)
        connect_result(os, socket, -error);
    return ERR_OK;
}

static void connect_try(struct os_socket *socket)
{
    int error = 0;
    socklen_t len = sizeof(error);

    if (getsockopt(socket->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    socket->send->op.result = -error;
    socket->state |= S_SEND_DUE;
}

static size_t iov_bytes(const struct os_send *op)
{
    size_t size = 0;
    for (unsigned i = 0; i < op->iov_count; i++)
        size += op->iov[i].iov_len;
    return size;
}

static ssize_t send_once(int fd, const struct os_send *op)
{
    int flags = MSG_NOSIGNAL | (op->more ? MSG_MORE : 0);
    ssize_t n;

    if (region_has_any(op->iov, op->iov_count))
        return region_send(fd, op->iov, op->iov_count, op->more);
    do {
        if (op->iov_count == 1) {
            n = send(fd, op->iov[0].iov_base, op->iov[0].iov_len, flags);
        } else {
            struct msghdr message = {.msg_iov = (struct iovec *)op->iov,
                                     .msg_iovlen = MIN((size_t)op->iov_count, (size_t)OS_IOV_MAX)};
            n = sendmsg(fd, &message, flags);
        }
    } while (n < 0 && errno == EINTR);
    return n;
}

/* Leaves S_SEND_DUE set when the send has a result. */
static void send_try(struct os_socket *socket)
{
    struct os_send *op = socket->send;
    ssize_t n = send_once(socket->fd, op);

    if (n < 0 && errno == EAGAIN) {
        socket->state &= ~(uint32_t)S_WRITABLE;
        return;
    }
    /* The kernel promises an edge after a short send as well: no second call to hear EAGAIN. */
    if (n >= 0 && (size_t)n < iov_bytes(op))
        socket->state &= ~(uint32_t)S_WRITABLE;
    op->op.result = n >= 0 ? (int32_t)n : -errno;
    socket->state |= S_SEND_DUE;
}

void os_socket_send(struct os_socket *socket, struct os_send *op)
{
    INVARIANT(socket->fd >= 0);
    INVARIANT(socket->send == NULL);
    INVARIANT(op->iov_count > 0);
    op_begin(&op->op, OP_SEND);
    socket->send = op;
    if (socket->state & S_WRITABLE)
        send_try(socket);
    if (socket->state & S_SEND_DUE)
        socket_queue(socket->os, socket);
}

void os_socket_recv(struct os_socket *socket, struct os_recv *op)
{
    INVARIANT(socket->fd >= 0);
    INVARIANT(socket->recv == NULL);
    INVARIANT(op->into == NULL || op->into_bytes > 0);
    op_begin(&op->op, OP_RECV);
    socket->recv = op;
    if (socket->state & S_READABLE)
        socket_queue(socket->os, socket);
}

bool os_socket_recv_cancel(struct os_socket *socket)
{
    /* A receive that is queued has not been tried: its bytes are still the kernel's. */
    if (socket->recv == NULL || (socket->state & S_CLOSING))
        return false;
    socket->recv = NULL;
    return true;
}

bool os_socket_is_silent(struct os_socket *socket)
{
    char byte;
    ssize_t n = recv(socket->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

void os_socket_shutdown(struct os_socket *socket)
{
    INVARIANT(socket->fd >= 0);
    shutdown(socket->fd, SHUT_WR); /* fails only where the peer has gone: the receive tells */
}

void os_socket_close(struct os_socket *socket, bool reset)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    INVARIANT(socket->fd >= 0);
    if (reset)
        setsockopt(socket->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(socket->fd); /* takes it out of epoll too: nobody has a copy of the descriptor */
    socket->fd = -1;
    socket->state |= S_CLOSING;
    socket_queue(socket->os, socket);
}

uint32_t os_socket_unsent_bytes(const struct os_socket *socket)
{
    int bytes = 0;

    if (socket->fd < 0 || ioctl(socket->fd, SIOCOUTQ, &bytes) != 0 || bytes < 0)
        return 0;
    return (uint32_t)bytes;
}

void socket_event(struct os *os, struct os_socket *socket, uint32_t events)
{
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        socket->state |= S_READABLE;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        socket->state |= S_ENDED;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        socket->state |= S_WRITABLE;
    if ((socket->recv != NULL && (socket->state & S_READABLE)) ||
        (socket->send != NULL && (socket->state & S_WRITABLE)))
        socket_queue(os, socket);
}

static unsigned send_run(struct os_socket *socket)
{
    struct os_send *op = socket->send;

    if (op == NULL)
        return 0;
    if (!(socket->state & S_SEND_DUE) && (socket->state & S_WRITABLE)) {
        if (op->op.kind == OP_CONNECT)
            connect_try(socket);
        else
            send_try(socket);
    }
    if (!(socket->state & S_SEND_DUE))
        return 0;
    socket->state &= ~(uint32_t)S_SEND_DUE;
    socket->send = NULL;
    op->op.done(&op->op);
    return 1;
}

static unsigned recv_run(struct os *os, struct os_socket *socket)
{
    struct os_recv *op = socket->recv;
    char *into;
    size_t size;
    ssize_t n;

    if (op == NULL || !(socket->state & S_READABLE))
        return 0;
    into = op->into != NULL ? op->into : os->recv_buffer;
    size = op->into != NULL ? op->into_bytes : os->recv_buffer_bytes;
    do {
        n = recv(socket->fd, into, size, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        socket->state &= ~(uint32_t)(S_READABLE | S_ENDED);
        return 0;
    }
    /* Fewer than asked for: the queue is empty and the next byte makes an edge, so no second call to hear
     * EAGAIN; unless the end was seen already, which makes no further edge. */
    if (n > 0 && (size_t)n < size && !(socket->state & S_ENDED))
        socket->state &= ~(uint32_t)S_READABLE;
    op->data = into;
    op->op.result = n >= 0 ? (int32_t)n : -errno;
    socket->recv = NULL;
    op->op.done(&op->op);
    return 1;
}

static unsigned socket_finish(struct os_socket *socket)
{
    struct os_op *ops[2] = {socket->send != NULL ? &socket->send->op : NULL,
                            socket->recv != NULL ? &socket->recv->op : NULL};
    unsigned ran = 1;

    list_remove(&socket->link);
    socket->send = NULL;
    socket->recv = NULL;
    for (unsigned i = 0; i < ARRAY_LEN(ops); i++) {
        if (ops[i] == NULL)
            continue;
        ops[i]->result = -ECANCELED;
        ops[i]->done(ops[i]);
        ran++;
    }
    socket->closed(socket); /* the memory may be gone now */
    return ran;
}

static unsigned socket_run(struct os *os, struct os_socket *socket)
{
    unsigned ran = 0, sent = 0;

    socket->state = (socket->state & 0xffffu & ~(uint32_t)S_QUEUED) | (uint32_t)os->turn << S_TURN_SHIFT;
    if (!(socket->state & S_CLOSING))
        ran += sent = send_run(socket);
    if (!(socket->state & S_CLOSING))
        ran += recv_run(os, socket);
    /* The answer to what was just received has left already: tell it now, not after another epoll_wait. */
    if (!(socket->state & S_CLOSING) && sent == 0)
        ran += send_run(socket);
    if (socket->state & S_CLOSING)
        return ran + socket_finish(socket);

    if ((socket->state & S_SEND_DUE) || (socket->recv != NULL && (socket->state & S_READABLE))) {
        socket_queue(os, socket);
    } else if (socket->state & S_QUEUED) {
        /* Queued by its own callbacks for what has been done since: the next turn may sleep. */
        socket->state &= ~(uint32_t)S_QUEUED;
        list_remove(&socket->link);
    }
    return ran;
}

unsigned sockets_run(struct os *os)
{
    unsigned ran = 0;

    for (unsigned i = 0; i < SOCKETS_PER_TURN; i++) {
        struct list *link = list_pop_front(&os->due);
        if (link == NULL)
            break;
        ran += socket_run(os, container_of(link, struct os_socket, link));
    }
    return ran;
}
