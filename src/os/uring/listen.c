/* Listeners and the resolver's descriptors. What the kernel refers to is the door's own and outlives the caller's
 * struct, which may go as soon as it is stopped. */
#include "os/uring/door.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

struct uring_listen {
    struct list link; /* in door->listens */
    struct os_acceptor *acceptor; /* NULL: stopped */
    bool is_armed, is_paused;
};

struct uring_watch {
    struct list link; /* in door->watches */
    struct os_watch *watch; /* NULL: stopped */
};

static void own_free(struct list *link, void *own)
{
    list_remove(link);
    free(own);
}

void listens_free(struct uring *door)
{
    struct list *link;

    while ((link = list_pop_front(&door->listens)) != NULL)
        free(container_of(link, struct uring_listen, link));
    while ((link = list_pop_front(&door->watches)) != NULL)
        free(container_of(link, struct uring_watch, link));
}

/* ---- listeners --------------------------------------------------------------------------------------------- */

static void listen_arm(struct uring *door, struct uring_listen *listen)
{
    struct io_uring_sqe *sqe = uring_sqe(door);

    io_uring_prep_multishot_accept(sqe, listen->acceptor->listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    io_uring_sqe_set_data64(sqe, uring_data(listen, TAG_LISTEN));
    listen->is_armed = true;
}

err uring_accept_start(struct os *os, struct os_acceptor *acceptor)
{
    struct uring *door = uring_of(os);
    struct uring_listen *listen = calloc(1, sizeof(*listen));

    ENSURE(listen != NULL, MEMORY);
    acceptor->os = os;
    acceptor->own = listen;
    list_init(&acceptor->link);
    kernel_listener_no_delay(acceptor->listener->fd);
    listen->acceptor = acceptor;
    list_push_back(&door->listens, &listen->link);
    listen_arm(door, listen);
    return ERR_OK;
}

void uring_accept_stop(struct os_acceptor *acceptor)
{
    struct uring *door = uring_of(acceptor->os);
    struct uring_listen *listen = acceptor->own;

    acceptor->own = NULL;
    listen->acceptor = NULL;
    if (listen->is_armed)
        uring_cancel(door, uring_data(listen, TAG_LISTEN));
    else
        own_free(&listen->link, listen);
}

void listens_resume(struct uring *door, uint64_t now_ns)
{
    if (now_ns < door->accept_resume_ns)
        return;
    door->accept_resume_ns = 0;
    LIST_FOREACH (&door->listens, link) {
        struct uring_listen *listen = container_of(link, struct uring_listen, link);
        if (!listen->is_paused)
            continue;
        listen->is_paused = false;
        listen_arm(door, listen);
    }
}

static unsigned listen_accepted(struct uring_listen *listen, int fd)
{
    struct os_address from = {.len = sizeof(from.un)};

    /* A multishot has no place for the address of each. A peer that has gone already has none. */
    if (listen->acceptor == NULL || getpeername(fd, &from.any, &from.len) != 0) {
        close(fd);
        return 0;
    }
    struct os_peer peer = os_peer_of(&from);
    listen->acceptor->accepted(listen->acceptor, fd, &peer);
    return 1;
}

static unsigned listen_ended(struct uring *door, struct uring_listen *listen, int32_t result)
{
    listen->is_armed = false;
    if (listen->acceptor == NULL) {
        own_free(&listen->link, listen);
        return 0;
    }
    if (result >= 0 || result == -ECANCELED || kernel_accept_error_passes(-result)) {
        listen_arm(door, listen);
        return 0;
    }
    listen->is_paused = true;
    door->accept_resume_ns = os_clock_ns() + ACCEPT_PAUSE_NS;
    if (listen->acceptor->failed == NULL)
        return 0;
    listen->acceptor->failed(listen->acceptor, -result);
    return 1;
}

unsigned listen_completed(struct uring *door, void *own, int32_t result, uint32_t flags)
{
    struct uring_listen *listen = own;
    unsigned ran = result >= 0 ? listen_accepted(listen, result) : 0;

    return flags & IORING_CQE_F_MORE ? ran : ran + listen_ended(door, listen, result);
}

/* ---- readiness --------------------------------------------------------------------------------------------- */

static void watch_arm(struct uring *door, struct uring_watch *own)
{
    struct io_uring_sqe *sqe = uring_sqe(door);
    unsigned events = ((own->watch->want & 1) ? POLLIN : 0u) | ((own->watch->want & 2) ? POLLOUT : 0u);

    io_uring_prep_poll_add(sqe, own->watch->fd, events);
    io_uring_sqe_set_data64(sqe, uring_data(own, TAG_WATCH));
}

err uring_watch_start(struct os *os, struct os_watch *watch)
{
    struct uring *door = uring_of(os);
    struct uring_watch *own = calloc(1, sizeof(*own));

    ENSURE(own != NULL, MEMORY);
    if (watch->own != NULL)
        uring_watch_stop(watch); /* another want: another poll */
    watch->os = os;
    watch->own = own;
    list_init(&watch->link);
    own->watch = watch;
    list_push_back(&door->watches, &own->link);
    watch_arm(door, own);
    return ERR_OK;
}

void uring_watch_stop(struct os_watch *watch)
{
    struct uring_watch *own = watch->own;

    watch->own = NULL;
    if (own == NULL)
        return;
    own->watch = NULL;
    uring_cancel(uring_of(watch->os), uring_data(own, TAG_WATCH));
}

unsigned watch_completed(struct uring *door, void *object, int32_t result)
{
    struct uring_watch *own = object;
    struct os_watch *watch = own->watch;
    uint32_t events = result > 0 ? (uint32_t)result : POLLERR, which;

    if (watch == NULL) {
        own_free(&own->link, own);
        return 0;
    }
    which = (((events & (POLLIN | POLLHUP | POLLERR)) ? 1u : 0u) | ((events & (POLLOUT | POLLHUP | POLLERR)) ? 2u : 0u)) &
            watch->want;
    watch_arm(door, own); /* stays until it is stopped, perhaps by the callback; the kernel hears of it later */
    if (which == 0)
        return 0;
    watch->ready(watch, which);
    return 1;
}
