#include "os/epoll/door.h"

#include <errno.h>
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

static void socket_queue(struct epoll *door, struct os_socket *socket)
{
    if (socket->state & S_QUEUED)
        return;
    socket->state |= S_QUEUED;
    /* Once per turn, so that two sockets that feed each other do not starve the rest. */
    bool ran = (socket->state >> S_TURN_SHIFT) == door->turn;
    list_push_back(ran ? &door->next : &door->due, &socket->link);
}

static void socket_init(struct epoll *door, struct os_socket *socket, int fd)
{
    socket->os = &door->os;
    socket->fd = fd;
    socket->state = (uint32_t)(uint16_t)(door->turn - 1) << S_TURN_SHIFT;
    socket->recv = NULL;
    socket->send = NULL;
    list_init(&socket->link);
}

err epoll_socket_adopt(struct os *os, struct os_socket *socket, int fd)
{
    struct epoll *door = epoll_of(os);
    int added;

    socket_init(door, socket, fd);
    socket->state |= S_WRITABLE;
    added = door_epoll_add(door, fd, SOCKET_EVENTS, socket, TAG_SOCKET);
    if (added < 0) {
        close(fd);
        socket->fd = -1;
        return ERR_SYS(-added);
    }
    return ERR_OK;
}

static void connect_result(struct epoll *door, struct os_socket *socket, int32_t result)
{
    socket->send->op.result = result;
    socket->state |= S_SEND_DUE;
    socket_queue(door, socket);
}

err epoll_socket_connect(struct os *os, struct os_socket *socket, struct os_connect *connect_op)
{
    struct epoll *door = epoll_of(os);
    const struct os_address *to = connect_op->address;
    int fd = kernel_socket(to->any.sa_family), added, error;

    if (fd < 0)
        return ERR_SYS(errno);
    socket_init(door, socket, fd);
    error = connect(fd, &to->any, to->len) == 0 ? 0 : errno;
    /* After connect: an unconnected socket would report a hang-up at once. */
    added = door_epoll_add(door, fd, SOCKET_EVENTS, socket, TAG_SOCKET);
    if (added < 0) {
        close(fd);
        socket->fd = -1;
        return ERR_SYS(-added);
    }
    op_begin(&connect_op->op, OP_CONNECT);
    socket->send = (struct os_send *)(void *)connect_op;
    if (error != EINPROGRESS)
        connect_result(door, socket, -error);
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

/* Leaves S_SEND_DUE set when the send has a result. */
static void send_try(struct os_socket *socket)
{
    struct os_send *op = socket->send;
    ssize_t n = kernel_send(socket->fd, op);

    if (n < 0 && errno == EAGAIN) {
        socket->state &= ~(uint32_t)S_WRITABLE;
        return;
    }
    /* The kernel promises an edge after a short send as well: no second call to hear EAGAIN. */
    if (n >= 0 && (size_t)n < kernel_send_bytes(op))
        socket->state &= ~(uint32_t)S_WRITABLE;
    op->op.result = n >= 0 ? (int32_t)n : -errno;
    socket->state |= S_SEND_DUE;
}

void epoll_socket_send(struct os_socket *socket, struct os_send *op)
{
    op_begin(&op->op, OP_SEND);
    socket->send = op;
    if (socket->state & S_WRITABLE)
        send_try(socket);
    if (socket->state & S_SEND_DUE)
        socket_queue(epoll_of(socket->os), socket);
}

void epoll_socket_recv(struct os_socket *socket, struct os_recv *op)
{
    op_begin(&op->op, OP_RECV);
    socket->recv = op;
    if (socket->state & S_READABLE)
        socket_queue(epoll_of(socket->os), socket);
}

bool epoll_socket_recv_cancel(struct os_socket *socket)
{
    /* A receive that is queued has not been tried: its bytes are still the kernel's. */
    if (socket->recv == NULL || (socket->state & S_CLOSING))
        return false;
    socket->recv = NULL;
    return true;
}

bool epoll_socket_is_silent(struct os_socket *socket)
{
    return kernel_is_silent(socket->fd);
}

void epoll_socket_shutdown(struct os_socket *socket)
{
    shutdown(socket->fd, SHUT_WR); /* fails only where the peer has gone: the receive tells */
}

void epoll_socket_close(struct os_socket *socket, bool reset)
{
    kernel_close(socket->fd, reset); /* takes it out of epoll too: nobody has a copy of the descriptor */
    socket->fd = -1;
    socket->state |= S_CLOSING;
    socket_queue(epoll_of(socket->os), socket);
}

void socket_event(struct epoll *door, struct os_socket *socket, uint32_t events)
{
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        socket->state |= S_READABLE;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        socket->state |= S_ENDED;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        socket->state |= S_WRITABLE;
    if ((socket->recv != NULL && (socket->state & S_READABLE)) ||
        (socket->send != NULL && (socket->state & S_WRITABLE)))
        socket_queue(door, socket);
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

static unsigned recv_run(struct epoll *door, struct os_socket *socket)
{
    struct os_recv *op = socket->recv;
    char *into;
    size_t size;
    ssize_t n;

    if (op == NULL || !(socket->state & S_READABLE))
        return 0;
    into = op->into != NULL ? op->into : door->recv_buffer;
    size = op->into != NULL ? op->into_bytes : door->recv_buffer_bytes;
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

static unsigned socket_run(struct epoll *door, struct os_socket *socket)
{
    unsigned ran = 0, sent = 0;

    socket->state = (socket->state & 0xffffu & ~(uint32_t)S_QUEUED) | (uint32_t)door->turn << S_TURN_SHIFT;
    if (!(socket->state & S_CLOSING))
        ran += sent = send_run(socket);
    if (!(socket->state & S_CLOSING))
        ran += recv_run(door, socket);
    /* The answer to what was just received has left already: tell it now, not after another epoll_wait. */
    if (!(socket->state & S_CLOSING) && sent == 0)
        ran += send_run(socket);
    if (socket->state & S_CLOSING)
        return ran + op_end_all(socket);

    if ((socket->state & S_SEND_DUE) || (socket->recv != NULL && (socket->state & S_READABLE))) {
        socket_queue(door, socket);
    } else if (socket->state & S_QUEUED) {
        /* Queued by its own callbacks for what has been done since: the next turn may sleep. */
        socket->state &= ~(uint32_t)S_QUEUED;
        list_remove(&socket->link);
    }
    return ran;
}

unsigned epoll_sockets_run(struct epoll *door)
{
    unsigned ran = 0;

    for (unsigned i = 0; i < SOCKETS_PER_TURN; i++) {
        struct list *link = list_pop_front(&door->due);
        if (link == NULL)
            break;
        ran += socket_run(door, container_of(link, struct os_socket, link));
    }
    return ran;
}
