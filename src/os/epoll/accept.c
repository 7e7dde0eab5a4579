/* Listeners and the resolver's descriptors: level-triggered, rare events. */
#include "os/epoll/door.h"

#include <errno.h>

err epoll_accept_start(struct os *os, struct os_acceptor *acceptor)
{
    struct epoll *door = epoll_of(os);
    int added;

    acceptor->os = os;
    acceptor->own = NULL;
    list_init(&acceptor->link);
    kernel_listener_no_delay(acceptor->listener->fd);
    /* Exclusive: a unix listener is in every thread's set, and one connection wakes one thread. */
    added = door_epoll_add(door, acceptor->listener->fd, EPOLLIN | EPOLLEXCLUSIVE, acceptor, TAG_ACCEPTOR);
    return added < 0 ? ERR_SYS(-added) : ERR_OK;
}

void epoll_accept_stop(struct os_acceptor *acceptor)
{
    struct epoll *door = epoll_of(acceptor->os);

    epoll_ctl(door->epoll_fd, EPOLL_CTL_DEL, acceptor->listener->fd, NULL); /* fails while paused */
    list_remove(&acceptor->link);
    if (door->accepting == acceptor)
        door->accepting = NULL;
    if (list_is_empty(&door->acceptors_paused))
        door->accept_resume_ns = 0;
}

void acceptor_event(struct epoll *door, struct os_acceptor *acceptor)
{
    list_remove(&acceptor->link);
    list_push_back(&door->acceptors_ready, &acceptor->link);
}

static void acceptor_pause(struct epoll *door, struct os_acceptor *acceptor, int error)
{
    epoll_ctl(door->epoll_fd, EPOLL_CTL_DEL, acceptor->listener->fd, NULL);
    list_remove(&acceptor->link);
    list_push_back(&door->acceptors_paused, &acceptor->link);
    door->accept_resume_ns = os_clock_ns() + ACCEPT_PAUSE_NS;
    if (acceptor->failed != NULL)
        acceptor->failed(acceptor, error);
}

/* All at the latest pause: one of them may wait up to twice as long. */
void acceptors_resume(struct epoll *door, uint64_t now_ns)
{
    struct list paused = LIST_INIT(paused);
    struct list *link;

    if (now_ns < door->accept_resume_ns)
        return;
    door->accept_resume_ns = 0;
    list_splice_back(&paused, &door->acceptors_paused);
    while ((link = list_pop_front(&paused)) != NULL) {
        struct os_acceptor *acceptor = container_of(link, struct os_acceptor, link);
        if (door_epoll_add(door, acceptor->listener->fd, EPOLLIN | EPOLLEXCLUSIVE, acceptor, TAG_ACCEPTOR) == 0)
            continue;
        list_push_back(&door->acceptors_paused, link);
        door->accept_resume_ns = now_ns + ACCEPT_PAUSE_NS;
    }
}

static unsigned acceptor_run(struct epoll *door, struct os_acceptor *acceptor)
{
    unsigned ran = 0;

    door->accepting = acceptor;
    for (unsigned i = 0; i < ACCEPTS_PER_TURN && door->accepting != NULL; i++) {
        struct os_address from = {.len = sizeof(from.un)};
        int fd = accept4(acceptor->listener->fd, &from.any, &from.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            struct os_peer peer = os_peer_of(&from);
            acceptor->accepted(acceptor, fd, &peer);
            ran++;
        } else if (errno == EAGAIN) {
            break;
        } else if (!kernel_accept_error_passes(errno)) {
            acceptor_pause(door, acceptor, errno);
            return ran + 1;
        }
    }
    door->accepting = NULL;
    return ran;
}

unsigned acceptors_run(struct epoll *door)
{
    struct list ready = LIST_INIT(ready);
    struct list *link;
    unsigned ran = 0;

    list_splice_back(&ready, &door->acceptors_ready);
    while ((link = list_pop_front(&ready)) != NULL)
        ran += acceptor_run(door, container_of(link, struct os_acceptor, link));
    return ran;
}

/* os_watch.want: what is ready, above what is wanted, until its turn to run. */
enum {
    WATCH_READY_SHIFT = 8,
    WATCH_WANT_MASK = 3
};

err epoll_watch_start(struct os *os, struct os_watch *watch)
{
    struct epoll *door = epoll_of(os);
    uint32_t events = ((watch->want & 1) ? EPOLLIN : 0u) | ((watch->want & 2) ? EPOLLOUT : 0u);
    struct epoll_event event = {.events = events, .data.u64 = (uintptr_t)watch | TAG_WATCH};

    watch->os = os;
    watch->own = NULL;
    if (epoll_ctl(door->epoll_fd, EPOLL_CTL_ADD, watch->fd, &event) == 0) {
        list_init(&watch->link);
        return ERR_OK;
    }
    if (errno == EEXIST && epoll_ctl(door->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event) == 0)
        return ERR_OK;
    return ERR_SYS(errno);
}

void epoll_watch_stop(struct os_watch *watch)
{
    epoll_ctl(epoll_of(watch->os)->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    list_remove(&watch->link);
}

void watch_event(struct epoll *door, struct os_watch *watch, uint32_t events)
{
    uint32_t which = ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) ? 1u : 0u) |
                     ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) ? 2u : 0u);

    watch->want = (watch->want & WATCH_WANT_MASK) | which << WATCH_READY_SHIFT;
    list_remove(&watch->link);
    list_push_back(&door->watches_ready, &watch->link);
}

unsigned watches_run(struct epoll *door)
{
    struct list ready = LIST_INIT(ready);
    struct list *link;
    unsigned ran = 0;

    list_splice_back(&ready, &door->watches_ready);
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
