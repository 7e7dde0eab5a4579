/* gate: how many requests may be under way to a group's origins at a time, over all threads. Others wait for their turn, in
 * the order they came in; each is told on its own loop.
 *
 *   enter --FREE: no limit--> (nothing to leave)
 *         --TAKEN--> leave
 *         --WAITS--> go() --> leave      or cancel before go()
 *
 * A turn that is given while its taker is being cancelled comes back by itself. Threads: any; the lock is only taken where
 * there is a limit, and held for a few instructions. */
#ifndef WARP_ORIGIN_GATE_H
#define WARP_ORIGIN_GATE_H

#include "origin/origin.h"

struct origin_turn; /* of one that waits */

enum gate_entry { GATE_FREE, GATE_TAKEN, GATE_WAITS, GATE_NO_MEMORY };

void origin_gate_init(struct origin_gate *gate);
void origin_gate_done(struct origin_gate *gate);
/* go: on loop's thread, later. *ret_turn only with GATE_WAITS, gone when go is called. */
enum gate_entry origin_gate_enter(struct origin_group *group, struct loop *loop, void (*go)(void *user), void *user,
                                  struct origin_turn **ret_turn);
void origin_gate_leave(struct origin_group *group);
/* The thread of its loop. NULL is fine; returns NULL. */
struct origin_turn *origin_gate_cancel(struct origin_turn *turn);

#endif
