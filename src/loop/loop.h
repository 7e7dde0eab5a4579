/* loop: one thread's event loop: completions (os), timers, tasks to run soon, mail from other threads.
 *
 * Order of one turn: mail, tasks, timers that are due, then completions. now_ns is read once per turn, and
 * once more, when asked for, after a turn has slept.
 * Thread: everything but loop_post belongs to the loop's thread. */
#ifndef WARP_LOOP_LOOP_H
#define WARP_LOOP_LOOP_H

#include "base/list.h"
#include "base/pool.h"
#include "os/os.h"

#include <stdatomic.h>

/* A timer in a hierarchical wheel of 1 ms ticks. Moving the deadline later costs nothing: the wheel looks at
 * deadline_ns when the old slot comes round. Never fires early; at most 2 ms late plus the turn. */
struct timer {
    struct list link;
    uint64_t deadline_ns; /* 0: not set */
    uint64_t slot_ns;     /* the wheel's */
    void (*fire)(struct timer *timer);
};

/* Something to run once, soon, on this thread, after the current callback has returned. */
struct task {
    struct list link;
    void (*run)(struct task *task);
};

/* A message from any thread. Intrusive: the sender owns the memory until run() is called on the loop's
 * thread; one mail can be in one mailbox at a time. */
struct mail {
    struct mail *next;
    void (*run)(struct mail *mail);
};

struct loop;
struct loop_config {
    unsigned index; /* of the worker, from 0 */
    struct os_config os;
};

MUST_USE err loop_new(const struct loop_config *config, struct loop **ret_loop);
struct loop *loop_free(struct loop *loop);

/* One turn, waiting at most until the next timer, deadline_ns, or mail, and not at all when mail, a task or a
 * timer ran: the caller looks between turns. Returns false when nothing ran. */
bool loop_turn(struct loop *loop, uint64_t deadline_ns);
/* Turns until loop_stop. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop); /* own thread; loop_run returns after the turn */

struct os *loop_os(struct loop *loop);
unsigned loop_index(const struct loop *loop);
uint64_t loop_now_ns(const struct loop *loop);  /* monotonic, of this turn */
int64_t loop_wall_ms(const struct loop *loop);  /* UTC, of this turn */
uint64_t loop_next_timer_ns(const struct loop *loop); /* UINT64_MAX when there is none: for the simulator */

/* fire is set by timer_init; deadline_ns is absolute; setting again moves it. */
void timer_init(struct timer *timer, void (*fire)(struct timer *timer));
void loop_timer_set(struct loop *loop, struct timer *timer, uint64_t deadline_ns);
void loop_timer_stop(struct loop *loop, struct timer *timer); /* safe when not set */
static inline bool timer_is_set(const struct timer *timer)
{
    return timer->deadline_ns != 0;
}

void task_init(struct task *task, void (*run)(struct task *task));
void loop_defer(struct loop *loop, struct task *task); /* again while queued: nothing */
void task_cancel(struct task *task);

/* Any thread. Mail from one sender to one loop arrives in order. */
void loop_post(struct loop *loop, struct mail *mail);

#endif
