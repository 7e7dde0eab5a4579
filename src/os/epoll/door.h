/* The epoll door's own state; for os/epoll/ only.
 *
 * One turn: (1) epoll_wait only notes what has become readable or writable and queues it, no callback runs,
 * so that nothing in the batch of events can point to a freed object; (2) acceptors and watches run;
 * (3) each queued socket runs once. Edge-triggered: one epoll_ctl in a connection's life. */
#ifndef WARP_OS_EPOLL_DOOR_H
#define WARP_OS_EPOLL_DOOR_H

#include "os/door.h"
#include "os/kernel.h"
#include "os/op.h"

#include <pthread.h>
#include <sys/epoll.h>

#define EVENTS_PER_TURN  256u
#define SOCKETS_PER_TURN 1024u
#define ACCEPTS_PER_TURN 64u

/* Operations on files that this door's thread asked for. */
struct epoll_files {
    unsigned under_way; /* not called back yet; the door's thread only */
    bool in_pool;       /* from the first of them on */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct list ended; /* os_file_op.op.link */
};

struct epoll {
    struct os os;
    struct list due;  /* os_socket.link: run in this turn */
    struct list next; /* os_socket.link: run in the next one, which does not sleep */
    struct list acceptors_ready, acceptors_paused, watches_ready;
    struct os_acceptor *accepting; /* whose callback runs; NULL once that one was stopped */
    uint64_t accept_resume_ns;     /* 0: none is paused */
    char *recv_buffer;
    uint32_t recv_buffer_bytes;
    uint16_t turn;
    int epoll_fd;
    struct epoll_files files;
    struct epoll_event events[EVENTS_PER_TURN];
};

static inline struct epoll *epoll_of(struct os *os)
{
    return container_of(os, struct epoll, os);
}

/* Which kind of object an event belongs to, in the low bits of its pointer. */
enum event_tag {
    TAG_SOCKET,
    TAG_ACCEPTOR,
    TAG_WATCH,
    TAG_WAKE,
    TAG_MASK = 3
};

MUST_USE int door_epoll_add(struct epoll *door, int fd, uint32_t events, void *object, enum event_tag tag);

err epoll_socket_adopt(struct os *os, struct os_socket *socket, int fd);
err epoll_socket_connect(struct os *os, struct os_socket *socket, struct os_connect *connect);
void epoll_socket_recv(struct os_socket *socket, struct os_recv *recv);
bool epoll_socket_recv_cancel(struct os_socket *socket);
bool epoll_socket_is_silent(struct os_socket *socket);
void epoll_socket_send(struct os_socket *socket, struct os_send *send);
void epoll_socket_shutdown(struct os_socket *socket);
void epoll_socket_close(struct os_socket *socket, bool reset);
err epoll_accept_start(struct os *os, struct os_acceptor *acceptor);
void epoll_accept_stop(struct os_acceptor *acceptor);
err epoll_watch_start(struct os *os, struct os_watch *watch);
void epoll_watch_stop(struct os_watch *watch);
void epoll_file_submit(struct os_file_op *op);

void socket_event(struct epoll *door, struct os_socket *socket, uint32_t events);
unsigned epoll_sockets_run(struct epoll *door);
void acceptor_event(struct epoll *door, struct os_acceptor *acceptor);
unsigned acceptors_run(struct epoll *door);
void acceptors_resume(struct epoll *door, uint64_t now_ns);
void watch_event(struct epoll *door, struct os_watch *watch, uint32_t events);
unsigned watches_run(struct epoll *door);
void epoll_files_init(struct epoll_files *files);
unsigned epoll_files_run(struct epoll_files *files);
/* Waits for those under way; none is called back. */
void epoll_files_done(struct epoll_files *files);

#endif
