/* Listeners and the resolver's descriptors: level-triggered, rare events. */
#include "os/epoll/door.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

err os_accept_start(struct os *os, struct os_acceptor *acceptor)
{
    int on = 1, added;

    acceptor->os = os;
    acceptor->state = 0;
    list_init(&acceptor->link);
    /* Accepted sockets inherit it: no call per connection. Fails on a unix socket, where it means nothing. */
    setsockopt(acceptor->listener->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    /* Exclusive: a unix listener is in every thread's set, and one connection wakes one thread. */
    added = door_epoll_add(os, acceptor->listener->fd, EPOLLIN | EPOLLEXCLUSIVE, acceptor, TAG_ACCEPTOR);
    return added < 0 ? ERR_SYS(-added) : ERR_OK;
}

void os_accept_stop(struct os_acceptor *acceptor)
{
    struct os *os = acceptor->os;

    epoll_ctl(os->epoll_fd, EPOLL_CTL_DEL, acceptor->listener->fd, NULL); /* fails while paused */
    list_remove(&acceptor->link);
    if (os->accepting == acceptor)
        os->accepting = NULL;
    if (list_is_empty(&os->acceptors_paused))
        os->accept_resume_ns = 0;
}

void os_accepted_close(int fd)
{
    close(fd);
}

void acceptor_event(struct os *os, struct os_acceptor *acceptor)
{
    list_remove(&acceptor->link);
    list_push_back(&os->acceptors_ready, &acceptor->link);
}

static void acceptor_pause(struct os *os, struct os_acceptor *acceptor, int error)
{
    epoll_ctl(os->epoll_fd, EPOLL_CTL_DEL, acceptor->listener->fd, NULL);
    list_remove(&acceptor->link);
    list_push_back(&os->acceptors_paused, &acceptor->link);
    os->accept_resume_ns = os_clock_ns() + ACCEPT_PAUSE_NS;
    if (acceptor->failed != NULL)
        acceptor->failed(acceptor, error);
}

/* All at the latest pause: one of them may wait up to twice as long. */
void acceptors_resume(struct os *os, uint64_t now_ns)
{
    struct list paused = LIST_INIT(paused);
    struct list *link;

    if (now_ns < os->accept_resume_ns)
        return;
    os->accept_resume_ns = 0;
    list_splice_back(&paused, &os->acceptors_paused);
    while ((link = list_pop_front(&paused)) != NULL) {
        struct os_acceptor *acceptor = container_of(link, struct os_acceptor, link);
        if (door_epoll_add(os, acceptor->listener->fd, EPOLLIN | EPOLLEXCLUSIVE, acceptor, TAG_ACCEPTOR) == 0)
            continue;
        list_push_back(&os->acceptors_paused, link);
        os->accept_resume_ns = now_ns + ACCEPT_PAUSE_NS;
    }
}

/* Errors of the one connection that would have been accepted, not of the listener (accept(2)). */
static bool accept_error_passes(int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM: /* a firewall rule */
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
        return true;
    default:
        return false;
    }
}

static unsigned acceptor_run(struct os *os, struct os_acceptor *acceptor)
{
    unsigned ran = 0;

    os->accepting = acceptor;
    for (unsigned i = 0; i < ACCEPTS_PER_TURN && os->accepting != NULL; i++) {
        struct os_address from = {.len = sizeof(from.un)};
        int fd = accept4(acceptor->listener->fd, &from.any, &from.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            struct os_peer peer = os_peer_of(&from);
            acceptor->accepted(acceptor, fd, &peer);
            ran++;
        } else if (errno == EAGAIN) {
            break;
        } else if (!accept_error_passes(errno)) {
            acceptor_pause(os, acceptor, errno);
            return ran + 1;
        }
    }
    os->accepting = NULL;
    return ran;
}

unsigned acceptors_run(struct os *os)
{
    struct list ready = LIST_INIT(ready);
    struct list *link;
    unsigned ran = 0;

    list_splice_back(&ready, &os->acceptors_ready);
    while ((link = list_pop_front(&ready)) != NULL)
        ran += acceptor_run(os, container_of(link, struct os_acceptor, link));
    return ran;
}

/* os_watch.want: what is ready, above what is wanted, until its turn to run. */
enum {
    WATCH_READY_SHIFT = 8,
    WATCH_WANT_MASK = 3
};

err os_watch_start(struct os *os, struct os_watch *watch)
{
    uint32_t events = ((watch->want & 1) ? EPOLLIN : 0u) | ((watch->want & 2) ? EPOLLOUT : 0u);
    struct epoll_event event = {.events = events, .data.u64 = (uintptr_t)watch | TAG_WATCH};

    watch->os = os;
    if (epoll_ctl(os->epoll_fd, EPOLL_CTL_ADD, watch->fd, &event) == 0) {
        list_init(&watch->link);
        return ERR_OK;
    }
    if (errno == EEXIST && epoll_ctl(os->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event) == 0)
        return ERR_OK;
    return ERR_SYS(errno);
}

void os_watch_stop(struct os_watch *watch)
{
    epoll_ctl(watch->os->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    list_remove(&watch->link);
}

void watch_event(struct os *os, struct os_watch *watch, uint32_t events)
{
    uint32_t which = ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) ? 1u : 0u) |
                     ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) ? 2u : 0u);

    watch->want = (watch->want & WATCH_WANT_MASK) | which << WATCH_READY_SHIFT;
    list_remove(&watch->link);
    list_push_back(&os->watches_ready, &watch->link);
}

unsigned watches_run(struct os *os)
{
    struct list ready = LIST_INIT(ready);
    struct list *link;
    unsigned ran = 0;

    list_splice_back(&ready, &os->watches_ready);
    while ((link = list_pop_front(&ready)) != NULL) {
        struct os_watch *watch = container_of(link, struct os_watch, link);
        uint32_t which = (watch->want >> WATCH_READY_SHIFT) & watch->want & WATCH_WANT_MASK;
        watch->want &= WATCH_WANT_MASK;
        if (which == 0)
            continue;
        watch->ready(watch, which);
        ran++;
    }
    return ran;
}
