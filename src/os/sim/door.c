#include "os/sim/world.h"

#include <errno.h>
#include <stdlib.h>

/* os_socket.state */
enum {
    S_CONNECTING = 1 << 0,
    S_SEND_DUE = 1 << 1,
    S_CLOSING = 1 << 2,
};

struct os {
    struct list sockets;   /* os_socket.link */
    struct list acceptors; /* os_acceptor.link */
    struct list disk_due;  /* struct disk_op */
    char *recv_buffer;
    uint32_t recv_buffer_bytes;
    bool woken;
};

err os_new(const struct os_config *config, struct os **ret_os)
{
    struct os *os = world_alloc(sizeof(*os));

    list_init(&os->sockets);
    list_init(&os->acceptors);
    list_init(&os->disk_due);
    os->recv_buffer_bytes =
        config != NULL && config->recv_buffer_bytes != 0 ? config->recv_buffer_bytes : OS_RECV_BUFFER_BYTES;
    os->recv_buffer = world_alloc(os->recv_buffer_bytes);
    *ret_os = os;
    return ERR_OK;
}

struct os *os_free(struct os *os)
{
    if (os == NULL)
        return NULL;
    LIST_FOREACH (&os->sockets, link) {
        /* A socket that still waits for closed() would be called by nobody. */
        INVARIANT(!(container_of(link, struct os_socket, link)->state & S_CLOSING));
    }
    disk_ops_drop(os);
    free(os->recv_buffer);
    free(os);
    return NULL;
}

struct list *door_disk_due(struct os *os)
{
    return &os->disk_due;
}

void os_wake(struct os *os)
{
    os->woken = true;
}

/* ---- sockets
 * ------------------------------------------------------------------------------------------------ */

static void socket_init(struct os *os, struct os_socket *socket, int fd)
{
    socket->os = os;
    socket->fd = fd;
    socket->state = 0;
    socket->recv = NULL;
    socket->send = NULL;
    list_push_back(&os->sockets, &socket->link);
}

static struct sim_end *socket_end(const struct os_socket *socket)
{
    return end_of_fd(socket->fd);
}

err os_socket_adopt(struct os *os, struct os_socket *socket, int fd)
{
    struct sim_end *end = end_of_fd(fd);

    INVARIANT(end != NULL && end->owner == OWNER_NONE);
    end->owner = OWNER_SOCKET;
    end->socket = socket;
    socket_init(os, socket, fd);
    return ERR_OK;
}

static void socket_connected(void *arg, struct sim_end *end, int32_t result)
{
    struct os_socket *socket = arg;

    if (end != NULL) {
        end->owner = OWNER_SOCKET;
        end->socket = socket;
        socket->fd = end->fd;
    }
    socket->state = (socket->state & ~(uint32_t)S_CONNECTING) | S_SEND_DUE;
    socket->send->op.result = result;
}

err os_socket_connect(struct os *os, struct os_socket *socket, struct os_connect *connect)
{
    struct os_peer from = {
        .family = AF_INET, .ip = {[10] = 0xff, 0xff, 127, 0, 0, 1}, .port = world->next_port++};

    socket_init(os, socket, world->next_fd++); /* a number until it is connected */
    socket->state = S_CONNECTING;
    op_begin(&connect->op, OP_CONNECT);
    socket->send = (struct os_send *)(void *)connect;
    world_connect(connect->address, &from, socket_connected, socket);
    return ERR_OK;
}

static bool socket_is_connected(const struct os_socket *socket)
{
    return socket_end(socket) != NULL; /* neither connecting nor failed to */
}

static void send_try(struct os_socket *socket)
{
    struct os_send *op = socket->send;
    ssize_t n =
        socket_is_connected(socket) ? end_send(socket_end(socket), op->iov, op->iov_count) : -ENOTCONN;

    if (n == -EAGAIN)
        return;
    op->op.result = (int32_t)n;
    socket->state |= S_SEND_DUE;
}

void os_socket_send(struct os_socket *socket, struct os_send *op)
{
    INVARIANT(socket->fd >= 0);
    INVARIANT(socket->send == NULL);
    INVARIANT(op->iov_count > 0);
    op_begin(&op->op, OP_SEND);
    socket->send = op;
    send_try(socket);
}

void os_socket_recv(struct os_socket *socket, struct os_recv *op)
{
    INVARIANT(socket->fd >= 0);
    INVARIANT(socket->recv == NULL);
    INVARIANT(op->into == NULL || op->into_bytes > 0);
    op_begin(&op->op, OP_RECV);
    socket->recv = op;
}

bool os_socket_recv_cancel(struct os_socket *socket)
{
    if (socket->recv == NULL || (socket->state & S_CLOSING))
        return false;
    socket->recv = NULL;
    return true;
}

bool os_socket_is_silent(struct os_socket *socket)
{
    return socket_is_connected(socket) && !end_can_recv(socket_end(socket));
}

void os_socket_shutdown(struct os_socket *socket)
{
    INVARIANT(socket->fd >= 0);
    if (socket_is_connected(socket))
        end_finish(socket_end(socket));
}

void os_socket_close(struct os_socket *socket, bool reset)
{
    INVARIANT(socket->fd >= 0);
    if (socket->state & S_CONNECTING)
        world_connect_cancel(socket);
    else if (socket_is_connected(socket))
        end_close(socket_end(socket), reset);
    socket->fd = -1;
    socket->state |= S_CLOSING;
}

uint32_t os_socket_unsent_bytes(const struct os_socket *socket)
{
    if (socket->fd < 0 || !socket_is_connected(socket))
        return 0;
    return socket_end(socket)->other->in.used; /* unread by the peer: more than Linux would say */
}

/* ---- listeners
 * ------------------------------------------------------------------------------------------------- */

static bool address_taken(const struct os_address *address)
{
    LIST_FOREACH (&world->listeners, link) {
        struct sim_listener *listener = container_of(link, struct sim_listener, link);
        if (listener->fd >= 0 && listener->address.len == address->len &&
            memcmp(&listener->address.any, &address->any, address->len) == 0)
            return true;
    }
    return false;
}

err os_listen(const struct os_address *address, unsigned shards, int backlog,
              struct os_listener *ret_listeners)
{
    struct os_address at = *address;

    (void)backlog;
    if (at.any.sa_family != AF_UNIX && at.in4.sin_port == 0)
        at.in4.sin_port = htons(world->next_port++); /* in6 has it in the same place */
    if (address_taken(&at))
        return ERR_SYS(EADDRINUSE);
    for (unsigned i = 0; i < shards; i++) {
        struct sim_listener *listener = world_alloc(sizeof(*listener));
        listener->fd = world->next_fd++;
        listener->address = at;
        list_init(&listener->backlog);
        list_push_back(&world->listeners, &listener->link);
        ret_listeners[i] = (struct os_listener){listener->fd, at};
    }
    return ERR_OK;
}

static struct sim_listener *listener_of_fd(int fd)
{
    LIST_FOREACH (&world->listeners, link) {
        struct sim_listener *listener = container_of(link, struct sim_listener, link);
        if (listener->fd == fd)
            return listener;
    }
    return NULL;
}

void os_listener_close(struct os_listener *listener)
{
    struct sim_listener *own = listener->fd >= 0 ? listener_of_fd(listener->fd) : NULL;
    struct list *link;

    listener->fd = -1;
    if (own == NULL)
        return;
    while ((link = list_pop_front(&own->backlog)) != NULL)
        end_close(container_of(link, struct sim_end, link), true);
    list_remove(&own->link);
    free(own);
}

err os_accept_start(struct os *os, struct os_acceptor *acceptor)
{
    acceptor->os = os;
    list_push_back(&os->acceptors, &acceptor->link);
    return ERR_OK;
}

void os_accepted_close(int fd)
{
    struct sim_end *end = end_of_fd(fd);

    INVARIANT(end != NULL && end->owner == OWNER_NONE);
    end_close(end, false);
}

void os_accept_stop(struct os_acceptor *acceptor)
{
    list_remove(&acceptor->link);
}

static void accept_one(struct os_acceptor *acceptor)
{
    struct sim_listener *listener = listener_of_fd(acceptor->listener->fd);
    struct sim_end *end;

    if (world->accept_failures > 0) {
        world->accept_failures--;
        if (acceptor->failed != NULL)
            acceptor->failed(acceptor, world->accept_error);
        return;
    }
    end = container_of(list_pop_front(&listener->backlog), struct sim_end, link);
    world_trace(TRACE_ACCEPT, (uint64_t)end->fd, 0);
    acceptor->accepted(acceptor, end->fd, &end->address);
}

/* ---- a turn
 * --------------------------------------------------------------------------------------------------- */

static bool socket_is_due(const struct os_socket *socket)
{
    if (socket->state & (S_CLOSING | S_SEND_DUE))
        return true;
    if ((socket->state & S_CONNECTING) || !socket_is_connected(socket))
        return false;
    return (socket->recv != NULL && end_can_recv(socket_end(socket))) ||
           (socket->send != NULL && end_can_send(socket_end(socket)));
}

static void recv_run(struct os *os, struct os_socket *socket)
{
    struct os_recv *op = socket->recv;
    char *into = op->into != NULL ? op->into : os->recv_buffer;
    size_t size = op->into != NULL ? op->into_bytes : os->recv_buffer_bytes;

    op->data = into;
    op->op.result = (int32_t)end_recv(socket_end(socket), into, size);
    socket->recv = NULL;
    op->op.done(&op->op);
}

static void send_run(struct os_socket *socket)
{
    struct os_send *op = socket->send;

    if (!(socket->state & S_SEND_DUE))
        send_try(socket);
    if (!(socket->state & S_SEND_DUE))
        return;
    socket->state &= ~(uint32_t)S_SEND_DUE;
    socket->send = NULL;
    op->op.done(&op->op);
}

static void socket_run(struct os *os, struct os_socket *socket)
{
    bool connected = !(socket->state & S_CLOSING) && socket_is_connected(socket);
    bool can_recv = connected && socket->recv != NULL && end_can_recv(socket_end(socket));
    bool can_send = (socket->state & S_SEND_DUE) ||
                    (connected && socket->send != NULL && end_can_send(socket_end(socket)));

    if (socket->state & S_CLOSING)
        (void)op_end_all(socket);
    else if (can_recv && (!can_send || world_chance(50)))
        recv_run(os, socket);
    else if (can_send)
        send_run(socket);
}

static bool acceptor_is_due(const struct os_acceptor *acceptor)
{
    const struct sim_listener *listener = listener_of_fd(acceptor->listener->fd);
    return listener != NULL && !list_is_empty(&listener->backlog);
}

/* Runs the due thing number `pick` (counting only when pick is UINT32_MAX); returns how many are due. */
static unsigned due_visit(struct os *os, unsigned pick)
{
    unsigned due = 0;

    LIST_FOREACH (&os->acceptors, link) {
        struct os_acceptor *acceptor = container_of(link, struct os_acceptor, link);
        if (acceptor_is_due(acceptor) && due++ == pick) {
            accept_one(acceptor);
            return due;
        }
    }
    LIST_FOREACH (&os->sockets, link) {
        struct os_socket *socket = container_of(link, struct os_socket, link);
        if (socket_is_due(socket) && due++ == pick) {
            world_trace(TRACE_DONE, pick, socket->state);
            socket_run(os, socket);
            return due;
        }
    }
    LIST_FOREACH (&os->disk_due, link) {
        if (!disks_have_stopped() && due++ == pick) {
            disk_op_tell(link);
            return due;
        }
    }
    return due;
}

unsigned os_turn(struct os *os, uint64_t deadline_ns)
{
    unsigned most = due_visit(os, UINT32_MAX), ran = 0;

    (void)deadline_ns; /* the driver moves the clock */
    os->woken = false;
    while (ran < most) {
        unsigned due = due_visit(os, UINT32_MAX);
        if (due == 0 || (ran > 0 && world_chance(10)))
            break;
        (void)due_visit(os, (unsigned)world_random(due));
        ran++;
    }
    return ran;
}

/* ---- not simulated
 * -------------------------------------------------------------------------------------------- */

int os_resolver_socket(int family, int type)
{
    (void)family;
    (void)type;
    return -EAFNOSUPPORT;
}

int os_resolver_connect(int fd, const struct sockaddr *address, socklen_t len)
{
    (void)fd;
    (void)address;
    (void)len;
    return -EBADF;
}

ssize_t os_resolver_send(int fd, const struct iovec *iov, int count)
{
    (void)fd;
    (void)iov;
    (void)count;
    return -EBADF;
}

ssize_t os_resolver_recv(int fd, void *buffer, size_t size, struct sockaddr *from, socklen_t *from_len)
{
    (void)fd;
    (void)buffer;
    (void)size;
    (void)from;
    (void)from_len;
    return -EBADF;
}

void os_resolver_close(int fd)
{
    (void)fd;
}

err os_watch_start(struct os *os, struct os_watch *watch)
{
    (void)os;
    (void)watch;
    return ERR(UNSUPPORTED);
}

void os_watch_stop(struct os_watch *watch)
{
    (void)watch;
}
