/* The epoll door's own state; for os/epoll/ only.
 *
 * One turn: (1) epoll_wait only notes what has become readable or writable and queues it, no callback runs,
 * so that nothing in the batch of events can point to a freed object; (2) acceptors and watches run;
 * (3) each queued socket runs once. Edge-triggered: one epoll_ctl in a connection's life. */
#ifndef WARP_OS_EPOLL_DOOR_H
#define WARP_OS_EPOLL_DOOR_H

#include "os/op.h"

#include <stdatomic.h>
#include <sys/epoll.h>

#define EVENTS_PER_TURN  256u
#define SOCKETS_PER_TURN 1024u
#define ACCEPTS_PER_TURN 64u
#define ACCEPT_PAUSE_NS  100000000u

struct os {
    struct list due;  /* os_socket.link: run in this turn */
    struct list next; /* os_socket.link: run in the next one, which does not sleep */
    struct list acceptors_ready, acceptors_paused, watches_ready;
    struct os_acceptor *accepting; /* whose callback runs; NULL once that one was stopped */
    uint64_t accept_resume_ns;     /* 0: none is paused */
    char *recv_buffer;
    uint32_t recv_buffer_bytes;
    uint16_t turn;
    int epoll_fd, event_fd;
    atomic_bool wake_pending;
    struct epoll_event events[EVENTS_PER_TURN];
};

/* Which kind of object an event belongs to, in the low bits of its pointer. */
enum event_tag {
    TAG_SOCKET,
    TAG_ACCEPTOR,
    TAG_WATCH,
    TAG_WAKE,
    TAG_MASK = 3
};

MUST_USE int door_epoll_add(struct os *os, int fd, uint32_t events, void *object, enum event_tag tag);

void socket_event(struct os *os, struct os_socket *socket, uint32_t events);
unsigned sockets_run(struct os *os);
void acceptor_event(struct os *os, struct os_acceptor *acceptor);
unsigned acceptors_run(struct os *os);
void acceptors_resume(struct os *os, uint64_t now_ns);
void watch_event(struct os *os, struct os_watch *watch, uint32_t events);
unsigned watches_run(struct os *os);

#endif
