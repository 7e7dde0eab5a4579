/* A door of the kernel: the binary has several, each struct os is opened through one of them. For os/ only. */
#ifndef WARP_OS_DOOR_H
#define WARP_OS_DOOR_H

#include "os/os.h"

#include <stdatomic.h>

/* As the functions of os.h with these names. */
struct os_door {
    const char *name;
    err (*open)(const struct os_config *config, int wake_fd, struct os **ret_os); /* wake_fd stays the caller's */
    struct os *(*close)(struct os *os);
    unsigned (*turn)(struct os *os, uint64_t deadline_ns);
    err (*socket_adopt)(struct os *os, struct os_socket *socket, int fd);
    err (*socket_connect)(struct os *os, struct os_socket *socket, struct os_connect *connect);
    void (*socket_recv)(struct os_socket *socket, struct os_recv *recv);
    bool (*socket_recv_cancel)(struct os_socket *socket);
    bool (*socket_is_silent)(struct os_socket *socket);
    void (*socket_send)(struct os_socket *socket, struct os_send *send);
    void (*socket_shutdown)(struct os_socket *socket);
    void (*socket_close)(struct os_socket *socket, bool reset);
    err (*accept_start)(struct os *os, struct os_acceptor *acceptor);
    void (*accept_stop)(struct os_acceptor *acceptor);
    err (*watch_start)(struct os *os, struct os_watch *watch);
    void (*watch_stop)(struct os_watch *watch);
    void (*file_submit)(struct os_file_op *op); /* op->os is set */
};

extern const struct os_door door_epoll, door_uring;

/* First in each door's own struct. */
struct os {
    const struct os_door *door;
    int refused; /* errno with which io_uring was refused, 0: it was not asked for, or is there */
    int wake_fd; /* an eventfd: every write is an edge, so the counter is never read */
    atomic_bool wake_pending;
};

/* The wake-up has arrived. Before the mail is looked at: who posts after this writes again. */
static inline void os_woken(struct os *os)
{
    atomic_exchange(&os->wake_pending, false);
}

#endif
