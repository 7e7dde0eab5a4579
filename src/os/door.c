/* os.h over the kernel: every call goes to the door through which its struct os was opened. */
#include "os/door.h"
#include "os/op.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

static err door_choose(const struct os_config *config, int wake_fd, struct os **ret_os)
{
    int refused = 0;

    if (config->io != OS_IO_EPOLL) {
        err opened = door_uring.open(config, wake_fd, ret_os);
        if (err_is_ok(opened) || config->io == OS_IO_URING)
            return opened;
        refused = opened.sys != 0 ? opened.sys : ENOMEM;
    }
    TRY(door_epoll.open(config, wake_fd, ret_os));
    (*ret_os)->refused = refused;
    return ERR_OK;
}

err os_new(const struct os_config *config, struct os **ret_os)
{
    static const struct os_config defaults = {0};
    int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (wake_fd < 0)
        return ERR_SYS(errno);
    err opened = door_choose(config != NULL ? config : &defaults, wake_fd, ret_os);
    if (!err_is_ok(opened))
        close(wake_fd);
    return opened;
}

struct os *os_free(struct os *os)
{
    int wake_fd;

    if (os == NULL)
        return NULL;
    wake_fd = os->wake_fd;
    os->door->close(os);
    close(wake_fd); /* last: who ends an operation wakes */
    return NULL;
}

const char *os_backend_name(const struct os *os)
{
    return os->door->name;
}

int os_uring_refused(const struct os *os)
{
    return os->refused;
}

unsigned os_turn(struct os *os, uint64_t deadline_ns)
{
    return os->door->turn(os, deadline_ns);
}

void os_wake(struct os *os)
{
    uint64_t one = 1;

    if (atomic_load_explicit(&os->wake_pending, memory_order_relaxed) && atomic_load(&os->wake_pending))
        return;
    if (atomic_exchange(&os->wake_pending, true))
        return;
    ssize_t written = write(os->wake_fd, &one, sizeof(one));
    INVARIANT(written == sizeof(one) || errno == EAGAIN);
}

err os_socket_adopt(struct os *os, struct os_socket *socket, int fd)
{
    return os->door->socket_adopt(os, socket, fd);
}

err os_socket_connect(struct os *os, struct os_socket *socket, struct os_connect *connect)
{
    return os->door->socket_connect(os, socket, connect);
}

void os_socket_recv(struct os_socket *socket, struct os_recv *recv)
{
    INVARIANT(socket->fd >= 0);
    INVARIANT(socket->recv == NULL);
    INVARIANT(recv->into == NULL || recv->into_bytes > 0);
    socket->os->door->socket_recv(socket, recv);
}

void os_socket_send(struct os_socket *socket, struct os_send *send)
{
    INVARIANT(socket->fd >= 0);
    INVARIANT(socket->send == NULL);
    INVARIANT(send->iov_count > 0);
    socket->os->door->socket_send(socket, send);
}

bool os_socket_recv_cancel(struct os_socket *socket)
{
    return socket->os->door->socket_recv_cancel(socket);
}

bool os_socket_is_silent(struct os_socket *socket)
{
    return socket->os->door->socket_is_silent(socket);
}

void os_socket_shutdown(struct os_socket *socket)
{
    INVARIANT(socket->fd >= 0);
    socket->os->door->socket_shutdown(socket);
}

void os_socket_close(struct os_socket *socket, bool reset)
{
    INVARIANT(socket->fd >= 0);
    socket->os->door->socket_close(socket, reset);
}

err os_accept_start(struct os *os, struct os_acceptor *acceptor)
{
    return os->door->accept_start(os, acceptor);
}

void os_accept_stop(struct os_acceptor *acceptor)
{
    acceptor->os->door->accept_stop(acceptor);
}

void os_file_submit(struct os *os, struct os_file_op *op)
{
    op_file_begin(os, op);
    os->door->file_submit(op);
}

err os_watch_start(struct os *os, struct os_watch *watch)
{
    return os->door->watch_start(os, watch);
}

void os_watch_stop(struct os_watch *watch)
{
    watch->os->door->watch_stop(watch);
}
