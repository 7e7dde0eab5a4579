/* wheel: the loop's timers, four levels of 256 slots, 1 ms a tick: 49 days. A timer lies in the slot of its
 * tick at the level that its distance needs and moves down as time comes near; setting, moving and stopping
 * cost O(1).
 *
 * Invariant: a timer is linked exactly when its slot_ns is not 0, and slot_ns >= deadline_ns or the deadline
 * has been moved later since: the wheel looks at it at slot_ns at the latest. */
#ifndef WARP_LOOP_WHEEL_H
#define WARP_LOOP_WHEEL_H

#include "loop/loop.h"

#define WHEEL_TICK_NS 1000000u
#define WHEEL_LEVELS  4u
#define WHEEL_SLOTS   256u
#define WHEEL_BITS    8u

struct wheel {
    uint64_t tick;   /* all slots up to this tick have been looked at */
    uint64_t target; /* where the turn under way goes: nothing new may be put before its end */
    uint64_t used[WHEEL_LEVELS][WHEEL_SLOTS / 64]; /* slots that may hold a timer */
    struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *wheel, uint64_t now_ns);
void wheel_set(struct wheel *wheel, struct timer *timer, uint64_t deadline_ns);
void wheel_stop(struct wheel *wheel, struct timer *timer);
/* Fires what is due at now_ns; returns how many. */
unsigned wheel_advance(struct wheel *wheel, uint64_t now_ns);
/* When to call wheel_advance next: the earliest slot in use, or UINT64_MAX. */
uint64_t wheel_next_ns(const struct wheel *wheel);

#endif
