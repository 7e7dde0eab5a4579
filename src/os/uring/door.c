#include "os/uring/door.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- submission ------------------------------------------------------------------------------------------ */

/* Errors that pass: the entries stay in the queue and go with the next call. */
static bool submit_error_passes(int result)
{
    return result == -EINTR || result == -EAGAIN || result == -EBUSY || result == -ETIME;
}

/* What cannot be done without waiting (a flush, a buffered read or write) the kernel hands to threads of the ring's
 * own: as many as the other door has, on no CPU that this thread may not use, which is not what they begin with. */
static void helpers_bound(struct uring *door)
{
    unsigned most[2] = {HELPERS_MAX, HELPERS_MAX}; /* for files, for what can wait for ever */
    unsigned long cpus[CPUS_MAX / (8 * sizeof(unsigned long))] = {0};

    (void)io_uring_register_iowq_max_workers(&door->ring, most);
    if (sched_getaffinity(0, sizeof(cpus), (cpu_set_t *)(void *)cpus) == 0)
        (void)io_uring_register_iowq_aff(&door->ring, sizeof(cpus), (const cpu_set_t *)(const void *)cpus);
}

/* The thread that comes first is the ring's from now on. */
static void enable(struct uring *door)
{
    /* liburing 2.3 declares io_uring_enable_rings and does not export it. */
    long result = syscall(__NR_io_uring_register, door->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);

    INVARIANT(result == 0);
    (void)io_uring_register_ring_fd(&door->ring); /* saves a look at the descriptor table; does without */
    helpers_bound(door);
    door->is_enabled = true;
    door->owner = pthread_self();
}

void uring_flush(struct uring *door)
{
    if (UNLIKELY(!door->is_enabled))
        enable(door);
    for (unsigned tries = 0; io_uring_sq_ready(&door->ring) > 0; tries++) {
        int result = io_uring_submit(&door->ring);
        INVARIANT(result >= 0 || (submit_error_passes(result) && tries < 1000));
    }
}

static bool has_task_work(const struct uring *door)
{
    return (IO_URING_READ_ONCE(*door->ring.sq.kflags) & IORING_SQ_TASKRUN) != 0;
}

void uring_settle(struct uring *door)
{
    uring_flush(door);
    for (unsigned tries = 0; tries < 1000 && has_task_work(door); tries++)
        (void)io_uring_get_events(&door->ring);
}

struct io_uring_sqe *uring_sqe(struct uring *door)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&door->ring);

    if (UNLIKELY(sqe == NULL)) {
        uring_flush(door);
        sqe = io_uring_get_sqe(&door->ring);
        INVARIANT(sqe != NULL);
    }
    return sqe;
}

void uring_cancel(struct uring *door, uint64_t data)
{
    struct io_uring_sqe *sqe = uring_sqe(door);

    io_uring_prep_cancel64(sqe, data, 0);
    io_uring_sqe_set_data64(sqe, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

/* ---- the shared buffers ---------------------------------------------------------------------------------- */

static void buffer_put(struct uring *door, unsigned id)
{
    io_uring_buf_ring_add(door->buffer_ring, door->buffers + (size_t)id * BUFFER_BYTES, BUFFER_BYTES,
                          (unsigned short)id, io_uring_buf_ring_mask(BUFFERS_MAX), 0);
    io_uring_buf_ring_advance(door->buffer_ring, 1);
}

void uring_buffer_give(struct uring *door, unsigned id)
{
    buffer_put(door, id);
}

void uring_buffers_grow(struct uring *door)
{
    unsigned count = MIN(MAX(door->buffer_count * 2, BUFFERS_FIRST), BUFFERS_MAX);

    while (door->buffer_count < count)
        buffer_put(door, door->buffer_count++);
}

static void *pages_new(size_t size)
{
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return pages != MAP_FAILED ? pages : NULL;
}

static void pages_free(void *pages, size_t size)
{
    if (pages != NULL)
        munmap(pages, size);
}

#define BUFFER_RING_BYTES (BUFFERS_MAX * sizeof(struct io_uring_buf))

static err buffers_open(struct uring *door)
{
    struct io_uring_buf_reg reg = {.ring_entries = BUFFERS_MAX, .bgid = BUFFER_GROUP};
    int result;

    door->buffer_ring = pages_new(BUFFER_RING_BYTES);
    door->buffers = pages_new((size_t)BUFFERS_MAX * BUFFER_BYTES);
    ENSURE(door->buffer_ring != NULL && door->buffers != NULL, MEMORY);
    io_uring_buf_ring_init(door->buffer_ring);
    reg.ring_addr = (uint64_t)(uintptr_t)door->buffer_ring;
    result = io_uring_register_buf_ring(&door->ring, &reg, 0);
    if (result < 0)
        return ERR_SYS(-result);
    uring_buffers_grow(door);
    return ERR_OK;
}

/* ---- open, close ------------------------------------------------------------------------------------------ */

static void wake_arm(struct uring *door)
{
    struct io_uring_sqe *sqe = uring_sqe(door);

    io_uring_prep_poll_multishot(sqe, door->os.wake_fd, POLLIN);
    io_uring_sqe_set_data64(sqe, uring_data(NULL, TAG_WAKE));
}

static err door_open(struct uring *door)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
                 IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
        .cq_entries = SQ_ENTRIES * 8,
    };
    int result = io_uring_queue_init_params(SQ_ENTRIES, &door->ring, &params);

    if (result < 0) {
        door->ring.ring_fd = -1;
        return ERR_SYS(-result);
    }
    door->messages = calloc(params.sq_entries, sizeof(*door->messages));
    ENSURE(door->messages != NULL, MEMORY);
    TRY(buffers_open(door));
    wake_arm(door);
    return ERR_OK;
}

/* Nothing in flight may write to memory that is about to go. */
static void cancel_all(struct uring *door)
{
    struct io_uring_sync_cancel_reg reg = {
        .flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL, .timeout = {.tv_sec = -1, .tv_nsec = -1}};

    /* Of a thread that has ended the kernel has cancelled everything, and nobody else may submit. */
    if (!door->is_enabled || !pthread_equal(door->owner, pthread_self()))
        return;
    uring_files_wait(door);
    uring_settle(door);
    (void)io_uring_register_sync_cancel(&door->ring, &reg); /* -ENOENT: nothing was */
}

static struct os *uring_close(struct os *os)
{
    struct uring *door = uring_of(os);

    if (door->ring.ring_fd >= 0) {
        cancel_all(door);
        io_uring_queue_exit(&door->ring);
    }
    op_files_cancelled(&door->files);
    listens_free(door);
    pages_free(door->buffer_ring, BUFFER_RING_BYTES);
    pages_free(door->buffers, (size_t)BUFFERS_MAX * BUFFER_BYTES);
    free(door->messages);
    free(door);
    return NULL;
}

static err uring_open(const struct os_config *config, int wake_fd, struct os **ret_os)
{
    struct uring *door = calloc(1, sizeof(*door));
    err opened;

    (void)config;
    ENSURE(door != NULL, MEMORY);
    door->os.door = &door_uring;
    door->os.wake_fd = wake_fd;
    list_init(&door->due);
    list_init(&door->files);
    list_init(&door->listens);
    list_init(&door->watches);
    opened = door_open(door);
    if (!err_is_ok(opened)) {
        uring_close(&door->os);
        return opened;
    }
    *ret_os = &door->os;
    return ERR_OK;
}

/* ---- a turn ------------------------------------------------------------------------------------------------ */

static unsigned completed(struct uring *door, uint64_t data, int32_t result, uint32_t flags)
{
    void *object = (void *)(uintptr_t)(data & ~(uint64_t)TAG_MASK);

    if (data == 0)
        return 0; /* a cancellation that found nothing any more */
    switch ((enum uring_tag)(data & TAG_MASK)) {
    case TAG_RECV:
        return socket_recv_completed(door, object, result, flags);
    case TAG_SEND:
        return socket_send_completed(door, object, result);
    case TAG_SEND_POLL:
        return socket_send_ready(door, object);
    case TAG_LISTEN:
        return listen_completed(door, object, result, flags);
    case TAG_WATCH:
        return watch_completed(door, object, result);
    case TAG_WAKE:
        os_woken(&door->os);
        if (!(flags & IORING_CQE_F_MORE))
            wake_arm(door);
        return 0;
    case TAG_FILE:
        return file_completed(door, object, result);
    case TAG_MASK:
        break;
    }
    INVARIANT(false);
    return 0;
}

/* One at a time out of the queue, so that os_socket_is_silent can look at those that are still to come. */
static unsigned completions_run(struct uring *door)
{
    struct io_uring_cqe *cqe;
    unsigned ran = 0;

    for (unsigned i = 0; i < COMPLETIONS_PER_TURN && io_uring_cq_ready(&door->ring) > 0; i++) {
        if (io_uring_peek_cqe(&door->ring, &cqe) != 0)
            break;
        uint64_t data = cqe->user_data;
        int32_t result = cqe->res;
        uint32_t flags = cqe->flags;
        io_uring_cqe_seen(&door->ring, cqe);
        ran += completed(door, data, result, flags);
    }
    return ran;
}

static bool has_kernel_work(const struct uring *door)
{
    unsigned flags = IO_URING_READ_ONCE(*door->ring.sq.kflags);

    return io_uring_sq_ready(&door->ring) > 0 || has_task_work(door) || (flags & IORING_SQ_CQ_OVERFLOW) != 0;
}

static void wait_until(struct uring *door, uint64_t deadline_ns)
{
    uint64_t now_ns = deadline_ns != UINT64_MAX ? os_clock_ns() : 0;
    uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    struct __kernel_timespec timeout = {(long long)(left_ns / 1000000000u), (long long)(left_ns % 1000000000u)};
    struct io_uring_cqe *cqe;
    int result = io_uring_submit_and_wait_timeout(&door->ring, &cqe, 1, deadline_ns != UINT64_MAX ? &timeout : NULL, NULL);

    INVARIANT(result >= 0 || submit_error_passes(result));
}

static void enter(struct uring *door, uint64_t deadline_ns)
{
    if (door->accept_resume_ns != 0)
        deadline_ns = MIN(deadline_ns, door->accept_resume_ns);
    if (deadline_ns != 0 && list_is_empty(&door->due) && io_uring_cq_ready(&door->ring) == 0) {
        wait_until(door, deadline_ns);
    } else if (has_kernel_work(door)) {
        int result = io_uring_submit_and_get_events(&door->ring);
        INVARIANT(result >= 0 || submit_error_passes(result));
    }
}

static unsigned uring_turn(struct os *os, uint64_t deadline_ns)
{
    struct uring *door = uring_of(os);
    unsigned ran = 0;

    if (UNLIKELY(!door->is_enabled))
        enable(door);
    enter(door, deadline_ns);
    door->turn += io_uring_sq_ready(&door->ring) == 0;
    if (UNLIKELY(door->accept_resume_ns != 0))
        listens_resume(door, os_clock_ns());
    ran += completions_run(door);
    ran += uring_sockets_run(door);
    return ran;
}

const struct os_door door_uring = {
    .name = "uring",
    .open = uring_open,
    .close = uring_close,
    .turn = uring_turn,
    .socket_adopt = uring_socket_adopt,
    .socket_connect = uring_socket_connect,
    .socket_recv = uring_socket_recv,
    .socket_recv_cancel = uring_socket_recv_cancel,
    .socket_is_silent = uring_socket_is_silent,
    .socket_send = uring_socket_send,
    .socket_shutdown = uring_socket_shutdown,
    .socket_close = uring_socket_close,
    .accept_start = uring_accept_start,
    .accept_stop = uring_accept_stop,
    .watch_start = uring_watch_start,
    .watch_stop = uring_watch_stop,
    .file_submit = uring_file_submit,
};
