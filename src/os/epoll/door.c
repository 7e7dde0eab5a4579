#include "os/epoll/door.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

int door_epoll_add(struct epoll *door, int fd, uint32_t events, void *object, enum event_tag tag)
{
    struct epoll_event event = {.events = events, .data.u64 = (uintptr_t)object | tag};

    INVARIANT(((uintptr_t)object & TAG_MASK) == 0);
    return epoll_ctl(door->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

MUST_USE static err door_open(struct epoll *door)
{
    door->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (door->epoll_fd < 0)
        return ERR_SYS(errno);
    /* Edge-triggered: every write is an edge, so the counter need never be read. */
    int added = door_epoll_add(door, door->os.wake_fd, EPOLLIN | EPOLLET, NULL, TAG_WAKE);
    if (added < 0)
        return ERR_SYS(-added);
    door->recv_buffer = malloc(door->recv_buffer_bytes);
    ENSURE(door->recv_buffer != NULL, MEMORY);
    return ERR_OK;
}

static struct os *epoll_close(struct os *os)
{
    struct epoll *door = epoll_of(os);

    /* At the end of the process: sockets left open go with it, their done() and closed() are not called. */
    if (door->epoll_fd >= 0)
        close(door->epoll_fd);
    epoll_files_done(&door->files);
    free(door->recv_buffer);
    free(door);
    return NULL;
}

static err epoll_open(const struct os_config *config, int wake_fd, struct os **ret_os)
{
    struct epoll *door = calloc(1, sizeof(*door));
    err opened;

    ENSURE(door != NULL, MEMORY);
    door->os.door = &door_epoll;
    door->os.wake_fd = wake_fd;
    door->epoll_fd = -1;
    door->recv_buffer_bytes = config->recv_buffer_bytes != 0 ? config->recv_buffer_bytes : OS_RECV_BUFFER_BYTES;
    list_init(&door->due);
    list_init(&door->next);
    list_init(&door->acceptors_ready);
    list_init(&door->acceptors_paused);
    list_init(&door->watches_ready);
    epoll_files_init(&door->files);
    opened = door_open(door);
    if (!err_is_ok(opened)) {
        epoll_close(&door->os);
        return opened;
    }
    *ret_os = &door->os;
    return ERR_OK;
}

static int wait_ms(uint64_t deadline_ns, uint64_t now_ns)
{
    uint64_t ms;

    if (deadline_ns <= now_ns)
        return 0;
    ms = (deadline_ns - now_ns + 999999u) / 1000000u; /* rounded up: a timer is never early */
    return (int)MIN(ms, (uint64_t)INT_MAX);
}

static int door_wait_ms(struct epoll *door, uint64_t deadline_ns)
{
    if (!list_is_empty(&door->due) || deadline_ns == 0)
        return 0;
    if (door->accept_resume_ns != 0)
        deadline_ns = MIN(deadline_ns, door->accept_resume_ns);
    return deadline_ns == UINT64_MAX ? -1 : wait_ms(deadline_ns, os_clock_ns());
}

static void door_event(struct epoll *door, const struct epoll_event *event)
{
    void *object = (void *)(uintptr_t)(event->data.u64 & ~(uint64_t)TAG_MASK);

    switch ((enum event_tag)(event->data.u64 & TAG_MASK)) {
    case TAG_SOCKET:
        socket_event(door, object, event->events);
        break;
    case TAG_ACCEPTOR:
        acceptor_event(door, object);
        break;
    case TAG_WATCH:
        watch_event(door, object, event->events);
        break;
    case TAG_WAKE:
        os_woken(&door->os);
        break;
    }
}

static unsigned epoll_turn(struct os *os, uint64_t deadline_ns)
{
    struct epoll *door = epoll_of(os);
    int count;
    unsigned ran = 0;

    door->turn++;
    list_splice_back(&door->due, &door->next);
    count = epoll_wait(door->epoll_fd, door->events, EVENTS_PER_TURN, door_wait_ms(door, deadline_ns));
    INVARIANT(count >= 0 || errno == EINTR);
    for (int i = 0; i < count; i++)
        door_event(door, &door->events[i]);

    if (UNLIKELY(door->accept_resume_ns != 0))
        acceptors_resume(door, os_clock_ns());
    ran += acceptors_run(door);
    ran += watches_run(door);
    ran += epoll_files_run(&door->files);
    ran += epoll_sockets_run(door);
    return ran;
}

const struct os_door door_epoll = {
    .name = "epoll",
    .open = epoll_open,
    .close = epoll_close,
    .turn = epoll_turn,
    .socket_adopt = epoll_socket_adopt,
    .socket_connect = epoll_socket_connect,
    .socket_recv = epoll_socket_recv,
    .socket_recv_cancel = epoll_socket_recv_cancel,
    .socket_is_silent = epoll_socket_is_silent,
    .socket_send = epoll_socket_send,
    .socket_shutdown = epoll_socket_shutdown,
    .socket_close = epoll_socket_close,
    .accept_start = epoll_accept_start,
    .accept_stop = epoll_accept_stop,
    .watch_start = epoll_watch_start,
    .watch_stop = epoll_watch_stop,
    .file_submit = epoll_file_submit,
};
