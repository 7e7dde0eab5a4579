#include "os/epoll/door.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

int door_epoll_add(struct os *os, int fd, uint32_t events, void *object, enum event_tag tag)
{
    struct epoll_event event = {.events = events, .data.u64 = (uintptr_t)object | tag};

    INVARIANT(((uintptr_t)object & TAG_MASK) == 0);
    return epoll_ctl(os->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

MUST_USE static err door_open(struct os *os)
{
    os->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (os->epoll_fd < 0)
        return ERR_SYS(errno);
    os->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (os->event_fd < 0)
        return ERR_SYS(errno);
    /* Edge-triggered: every write is an edge, so the counter need never be read. */
    int added = door_epoll_add(os, os->event_fd, EPOLLIN | EPOLLET, NULL, TAG_WAKE);
    if (added < 0)
        return ERR_SYS(-added);
    os->recv_buffer = malloc(os->recv_buffer_bytes);
    ENSURE(os->recv_buffer != NULL, MEMORY);
    return ERR_OK;
}

err os_new(const struct os_config *config, struct os **ret_os)
{
    struct os *os = calloc(1, sizeof(*os));
    err opened;

    ENSURE(os != NULL, MEMORY);
    os->epoll_fd = os->event_fd = -1;
    os->recv_buffer_bytes =
        config != NULL && config->recv_buffer_bytes != 0 ? config->recv_buffer_bytes : OS_RECV_BUFFER_BYTES;
    list_init(&os->due);
    list_init(&os->next);
    list_init(&os->acceptors_ready);
    list_init(&os->acceptors_paused);
    list_init(&os->watches_ready);
    opened = door_open(os);
    if (!err_is_ok(opened)) {
        os_free(os);
        return opened;
    }
    *ret_os = os;
    return ERR_OK;
}

struct os *os_free(struct os *os)
{
    if (os == NULL)
        return NULL;
    /* At the end of the process: sockets left open go with it, their done() and closed() are not called. */
    if (os->event_fd >= 0)
        close(os->event_fd);
    if (os->epoll_fd >= 0)
        close(os->epoll_fd);
    free(os->recv_buffer);
    free(os);
    return NULL;
}

void os_wake(struct os *os)
{
    uint64_t one = 1;

    if (atomic_load_explicit(&os->wake_pending, memory_order_relaxed) && atomic_load(&os->wake_pending))
        return;
    if (atomic_exchange(&os->wake_pending, true))
        return;
    ssize_t written = write(os->event_fd, &one, sizeof(one));
    INVARIANT(written == sizeof(one) || errno == EAGAIN);
}

const char *os_backend_name(void)
{
    return "epoll";
}

static int wait_ms(uint64_t deadline_ns, uint64_t now_ns)
{
    uint64_t ms;

    if (deadline_ns <= now_ns)
        return 0;
    ms = (deadline_ns - now_ns + 999999u) / 1000000u; /* rounded up: a timer is never early */
    return (int)MIN(ms, (uint64_t)INT_MAX);
}

static int door_wait_ms(struct os *os, uint64_t deadline_ns)
{
    if (!list_is_empty(&os->due) || deadline_ns == 0)
        return 0;
    if (os->accept_resume_ns != 0)
        deadline_ns = MIN(deadline_ns, os->accept_resume_ns);
    return deadline_ns == UINT64_MAX ? -1 : wait_ms(deadline_ns, os_clock_ns());
}

static void door_event(struct os *os, const struct epoll_event *event)
{
    void *object = (void *)(uintptr_t)(event->data.u64 & ~(uint64_t)TAG_MASK);

    switch ((enum event_tag)(event->data.u64 & TAG_MASK)) {
    case TAG_SOCKET:
        socket_event(os, object, event->events);
        break;
    case TAG_ACCEPTOR:
        acceptor_event(os, object);
        break;
    case TAG_WATCH:
        watch_event(os, object, event->events);
        break;
    case TAG_WAKE:
        /* Before the mail is looked at: who posts after this writes again. */
        atomic_exchange(&os->wake_pending, false);
        break;
    }
}

unsigned os_turn(struct os *os, uint64_t deadline_ns)
{
    int count;
    unsigned ran = 0;

    os->turn++;
    list_splice_back(&os->due, &os->next);
    count = epoll_wait(os->epoll_fd, os->events, EVENTS_PER_TURN, door_wait_ms(os, deadline_ns));
    INVARIANT(count >= 0 || errno == EINTR);
    for (int i = 0; i < count; i++)
        door_event(os, &os->events[i]);

    if (UNLIKELY(os->accept_resume_ns != 0))
        acceptors_resume(os, os_clock_ns());
    ran += acceptors_run(os);
    ran += watches_run(os);
    ran += sockets_run(os);
    return ran;
}
