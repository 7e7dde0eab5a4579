#include "loop/loop.h"
#include "loop/wheel.h"

#include <stdlib.h>

struct loop {
    struct os *os;
    uint64_t now_ns; /* 0: the turn may have slept since; read again when asked for */
    int64_t wall_ms; /* 0: likewise */
    struct list tasks;
    unsigned index;
    bool stopped;
    struct wheel wheel;
    _Alignas(64) _Atomic(struct mail *) mailbox; /* newest first; the only field that others write */
};

err loop_new(const struct loop_config *config, struct loop **ret_loop)
{
    struct loop *loop = aligned_alloc(64, (sizeof(*loop) + 63) / 64 * 64);
    err opened;

    ENSURE(loop != NULL, MEMORY);
    memset(loop, 0, sizeof(*loop));
    loop->index = config->index;
    list_init(&loop->tasks);
    atomic_init(&loop->mailbox, NULL);
    opened = os_new(&config->os, &loop->os);
    if (!err_is_ok(opened)) {
        free(loop);
        return opened;
    }
    wheel_init(&loop->wheel, os_clock_ns());
    *ret_loop = loop;
    return ERR_OK;
}

struct loop *loop_free(struct loop *loop)
{
    if (loop != NULL) {
        os_free(loop->os);
        free(loop);
    }
    return NULL;
}

/* ---- mail: a stack that senders push to without locks, taken whole and turned round by the loop ----------
 */

void loop_post(struct loop *loop, struct mail *mail)
{
    struct mail *head = atomic_load_explicit(&loop->mailbox, memory_order_relaxed);

    do {
        mail->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&loop->mailbox, &head, mail, memory_order_release,
                                                    memory_order_relaxed));
    /* mail is the loop's now. Where others lie already, whoever was first wakes the loop. */
    if (head == NULL)
        os_wake(loop->os);
}

static unsigned loop_run_mail(struct loop *loop)
{
    struct mail *newest, *oldest = NULL;
    unsigned ran = 0;

    if (atomic_load_explicit(&loop->mailbox, memory_order_relaxed) == NULL)
        return 0;
    newest = atomic_exchange_explicit(&loop->mailbox, NULL, memory_order_acquire);
    while (newest != NULL) {
        struct mail *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct mail *next = oldest->next; /* run() may free or post it again */
        oldest->run(oldest);
        oldest = next;
        ran++;
    }
    return ran;
}

/* ---- tasks ----------------------------------------------------------------------------------------------
 */

void task_init(struct task *task, void (*run)(struct task *task))
{
    list_init(&task->link);
    task->run = run;
}

void loop_defer(struct loop *loop, struct task *task)
{
    if (!list_is_linked(&task->link))
        list_push_back(&loop->tasks, &task->link);
}

void task_cancel(struct task *task)
{
    list_remove(&task->link);
}

static unsigned loop_run_tasks(struct loop *loop)
{
    struct list now = LIST_INIT(now);
    struct list *link;
    unsigned ran = 0;

    list_splice_back(&now, &loop->tasks); /* what these defer runs in the next turn */
    while ((link = list_pop_front(&now)) != NULL) {
        struct task *task = container_of(link, struct task, link);
        task->run(task);
        ran++;
    }
    return ran;
}

/* ---- timers ----------------------------------------------------------------------------------------------
 */

void timer_init(struct timer *timer, void (*fire)(struct timer *timer))
{
    *timer = (struct timer){.fire = fire};
    list_init(&timer->link);
}

void loop_timer_set(struct loop *loop, struct timer *timer, uint64_t deadline_ns)
{
    wheel_set(&loop->wheel, timer, deadline_ns);
}

void loop_timer_stop(struct loop *loop, struct timer *timer)
{
    wheel_stop(&loop->wheel, timer);
}

/* ---- turns ------------------------------------------------------------------------------------------------
 */

static uint64_t loop_wait_until(struct loop *loop, uint64_t deadline_ns)
{
    if (!list_is_empty(&loop->tasks) || atomic_load_explicit(&loop->mailbox, memory_order_relaxed) != NULL)
        return 0;
    return MIN(deadline_ns, wheel_next_ns(&loop->wheel));
}

bool loop_turn(struct loop *loop, uint64_t deadline_ns)
{
    unsigned ran = 0;

    loop->now_ns = os_clock_ns();
    loop->wall_ms = 0;
    ran += loop_run_mail(loop);
    ran += loop_run_tasks(loop);
    ran += wheel_advance(&loop->wheel, loop->now_ns);
    /* Not after something ran: the caller may wait for just that, and looks between turns. */
    deadline_ns = ran > 0 ? 0 : loop_wait_until(loop, deadline_ns);
    if (deadline_ns > loop->now_ns) {
        loop->now_ns = 0;
        loop->wall_ms = 0;
    }
    ran += os_turn(loop->os, deadline_ns);
    return ran > 0;
}

void loop_run(struct loop *loop)
{
    loop->stopped = false;
    while (!loop->stopped)
        (void)loop_turn(loop, UINT64_MAX);
}

void loop_stop(struct loop *loop)
{
    loop->stopped = true;
}

struct os *loop_os(struct loop *loop)
{
    return loop->os;
}

unsigned loop_index(const struct loop *loop)
{
    return loop->index;
}

/* Completions run after the sleep, and a limit counted from before it would be over at once: so the clock is
 * read again by the first who asks after a sleep. The cache is the only thing changed, hence the cast. */
uint64_t loop_now_ns(const struct loop *loop)
{
    if (UNLIKELY(loop->now_ns == 0))
        ((struct loop *)loop)->now_ns = os_clock_ns();
    return loop->now_ns;
}

int64_t loop_wall_ms(const struct loop *loop)
{
    if (loop->wall_ms == 0)
        ((struct loop *)loop)->wall_ms = os_wall_ms();
    return loop->wall_ms;
}

uint64_t loop_next_timer_ns(const struct loop *loop)
{
    return wheel_next_ns(&loop->wheel);
}
